//! A command of the user's that is given the notice.
//!
//! Invariant: the command line is the user's alone; the notice comes as JSON on standard input and
//! in variables, and whatever the command started ends with its time.

use std::time::Duration;

use super::{Letter, NotTold, Notice};
use crate::process::{Cmd, Watch};

/// How long a command may take.
pub(super) const LIMIT: Duration = Duration::from_secs(10);
/// How long it may take to end when its time is over.
const GRACE: Duration = Duration::from_millis(500);
/// The longest variable, in bytes: a system limits the length of all together.
const VARIABLE: usize = 8 << 10;

/// Runs the command.
pub(super) async fn tell(line: &str, letter: &Letter) -> Result<(), NotTold> {
    let Notice { occasion, title, text, commands, .. } = &letter.notice;
    let command = commands.first().map_or("", String::as_str);
    let mut shell = Cmd::new("sh").args(["-c", line]).stdin(letter.json() + "\n");
    for (name, value) in [
        ("GIT_AGENT_EVENT", occasion.name()),
        ("GIT_AGENT_SESSION", &letter.subject.session),
        ("GIT_AGENT_TITLE", title),
        ("GIT_AGENT_TEXT", text),
        ("GIT_AGENT_COMMAND", command),
    ] {
        shell = shell.env(name, variable(value));
    }
    run(shell.dir(&letter.subject.repository), letter).await
}

/// Runs a program to its end, no longer than [`LIMIT`].
pub(super) async fn run(cmd: Cmd, letter: &Letter) -> Result<(), NotTold> {
    run_within(cmd, letter, LIMIT).await.map(drop)
}

/// Runs a program to its end, no longer than this, and gives what it printed.
pub(super) async fn run_within(
    cmd: Cmd,
    letter: &Letter,
    limit: Duration,
) -> Result<String, NotTold> {
    let watch = Watch {
        log: letter.subject.folder.join("notice.log"),
        mark: format!("{}.notice", letter.subject.session),
        guard: None,
    };
    let mut running = cmd.start(watch)?;
    let is_over = running.wait_all(limit).await;
    let exit = if is_over { running.exit() } else { running.end(GRACE).await.and(None) };
    let printed = running.output().since(0);
    let printed = String::from_utf8_lossy(&[printed.head, printed.tail].concat()).into_owned();
    match exit {
        None => Err(NotTold::Late(limit)),
        Some(0) => Ok(printed),
        Some(exit) => {
            let said = printed.lines().rfind(|line| !line.trim().is_empty());
            Err(NotTold::Failed { exit, said: said.map(|line| line.trim().to_owned()) })
        }
    }
}

/// A text as a variable can hold it: without what would end it, and not endless.
fn variable(text: &str) -> String {
    let end = text.floor_char_boundary(VARIABLE);
    text[..end].replace('\0', "")
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::super::testing::letter;
    use super::*;

    #[tokio::test]
    async fn a_command_gets_the_notice_as_data() {
        let folder = tempfile::tempdir().unwrap();
        let letter = letter(folder.path());
        let out = folder.path().join("out");
        let line = format!(
            "{{ cat; printf '%s\\n' \"$GIT_AGENT_EVENT\" \"$GIT_AGENT_SESSION\" \"$GIT_AGENT_TITLE\" \
             \"$GIT_AGENT_TEXT\" \"$GIT_AGENT_COMMAND\"; }} >'{}'",
            out.display()
        );
        tell(&line, &letter).await.unwrap();
        let got = fs::read_to_string(out).unwrap();
        let (json, variables) = got.split_once('\n').unwrap();
        let wanted = serde_json::json!({
            "format": 1, "session": "add-rate-7f3k", "task": "Add rate limiting",
            "branch": "agent/add-rate", "worktree": "/src/shop.worktrees/add-rate",
            "repository": folder.path(), "event": "needs-input", "time": "2026-11-22T15:00:00Z",
            "step": 3, "title": "add-rate-7f3k needs input",
            "text": letter.notice.text, "commands": letter.notice.commands,
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(json).unwrap(), wanted);
        let wanted = [
            "needs-input",
            "add-rate-7f3k",
            "add-rate-7f3k needs input",
            &letter.notice.text,
            "git agent answer add-rate-7f3k \"…\"\n",
        ];
        assert_eq!(variables, wanted.join("\n"));
    }

    #[tokio::test]
    async fn k04_a_command_that_fails_or_hangs_is_told_and_ended() {
        let folder = tempfile::tempdir().unwrap();
        let letter = letter(folder.path());
        let error = tell("echo oh no >&2; exit 3", &letter).await.unwrap_err();
        assert_eq!(error.to_string(), "exit 3: oh no");
        let error = tell("nowhere-to-be-found", &letter).await.unwrap_err();
        assert!(error.to_string().starts_with("exit 127: "), "{error}");
        // One that never reads what it is given.
        tell("exec 0<&-; true", &letter).await.unwrap();
        let mark = folder.path().join("late");
        let line = format!("(sleep 1; touch '{}') & sleep 600", mark.display());
        let hanging = Cmd::new("sh").args(["-c", &line]);
        let error = run_within(hanging, &letter, Duration::from_millis(100)).await.unwrap_err();
        assert_eq!(error.to_string(), "ended after 0 s");
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert!(!mark.exists(), "what it had started was ended too");
    }

    #[test]
    fn a_variable_holds_no_nul_and_has_an_end() {
        assert_eq!(variable("a\0b"), "ab");
        assert_eq!(variable(&"ä".repeat(VARIABLE)).len(), VARIABLE);
    }
}
