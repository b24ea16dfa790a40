//! Text that a person gives: as arguments, in a file, on standard input, or in their editor.
//!
//! Invariant: what is empty is refused here; nothing is ever sent or started for it.

use std::borrow::Cow;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::context::Context;
use crate::error::{CommandError, Kind, Result, ResultExt};
use crate::git::Repo;
use crate::process::Cmd;
use crate::redact;
use crate::ui::Ui;

/// More text than this is no message, in bytes.
const LIMIT: u64 = 1 << 20;

const HOW: &str = "Give it as an argument, with -F FILE, or with - on standard input";

/// Where the text is to come from.
#[derive(Clone, Debug, Default)]
pub struct Source<'a> {
    /// Words as typed; a single `-` means standard input.
    pub words: &'a [String],
    /// A file; `-` means standard input.
    pub file: Option<&'a Path>,
    /// What the editor shows below the place for the text.
    pub help: &'a str,
}

/// Reads the text.
///
/// # Errors
/// There is none, it cannot be read, or is too long; or the editor failed.
pub fn read(context: &Context<'_>, source: &Source<'_>) -> Result<String> {
    let repo = &context.repo;
    let from_stdin = |path: &Path| path.as_os_str() == "-";
    let text = match (source.words, source.file) {
        ([_, ..], Some(_)) => {
            let twice = "the text is given twice, as words and with -F";
            return Err(CommandError::usage(twice).hint(HOW));
        }
        (_, Some(file)) if from_stdin(file) => stdin()?,
        (_, Some(file)) => file_text(file)?,
        ([dash], None) if dash == "-" => stdin()?,
        ([], None) => edited(repo, source.help)?,
        (words, None) => words.join(" "),
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(CommandError::usage("the text is empty, so nothing was done").hint(HOW));
    }
    Ok(without_secrets(context.ui, text))
}

/// What the agent is told goes into the session's ref, and from there to wherever that is pushed.
pub(super) fn without_secrets(ui: &Ui, text: &str) -> String {
    let clean = redact::text(text);
    if let Cow::Owned(clean) = &clean {
        tell_secrets(ui, clean);
    }
    clean.into_owned()
}

/// Says what stands in the place of secrets.
pub(super) fn tell_secrets(ui: &Ui, clean: &str) {
    let marks = redact::marks(clean).collect::<Vec<_>>().join(", ");
    ui.warning(&format!("left out what looks like a secret; the agent reads {marks}"));
    ui.hint("What tools need is best in a file that .worktreeinclude names");
}

fn file_text(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path).map_err(|error| {
        CommandError::from_error(Kind::Usage, &error).hint("-F - reads standard input")
    })?;
    in_limit(&mut file)
}

fn stdin() -> Result<String> {
    in_limit(&mut std::io::stdin().lock())
}

fn in_limit(from: &mut dyn Read) -> Result<String> {
    let mut bytes = Vec::new();
    from.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        let limit = crate::ui::units::bytes(LIMIT);
        return Err(CommandError::usage(format!("the text is longer than {limit}"))
            .hint("Name the file in a short text instead: the agent can read it"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        CommandError::usage(format!("the text is not UTF-8, from byte {} on", at + 1))
            .hint("iconv -f LATIN1 -t UTF-8 FILE converts it; name what it is in, if not Latin-1")
    })
}

/// The text that a person writes in their editor, as `git commit` asks for it.
fn edited(repo: &Repo, help: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(CommandError::usage("there is no text").hint(HOW));
    }
    let editor = repo.user_git().args(["var", "GIT_EDITOR"]).run()?;
    let editor = String::from_utf8_lossy(&editor.stdout).trim().to_owned();
    let folder = tempfile::tempdir()?;
    let path: PathBuf = folder.path().join("AGENT_EDITMSG");
    let comments: String = help.lines().map(|line| format!("# {line}\n")).collect();
    crate::file::replace_unsynced(&path, format!("\n{comments}").as_bytes())?;
    // The way git runs it: the setting is a shell command, the file its argument.
    let script = format!("{editor} \"$@\"");
    let exit = Cmd::new("sh").args(["-c", &script, &editor]).arg(&path).run_attached()?;
    if exit != 0 {
        return Err(CommandError::no(format!("the editor '{editor}' failed: exit {exit}"))
            .hint("git config core.editor names another"));
    }
    let text = fs::read_to_string(&path).while_doing("cannot read what the editor wrote")?;
    Ok(without_comments(&text))
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_of_the_editor_are_no_text() {
        assert_eq!(without_comments("\nfix\n# help\n #1 stays\n"), "\nfix\n #1 stays");
    }

    #[test]
    fn a_text_has_an_end() {
        let long = "a".repeat(1 << 20);
        assert_eq!(in_limit(&mut long.as_bytes()).unwrap().len(), 1 << 20);
        let longer = format!("{long}a");
        assert_eq!(
            in_limit(&mut longer.as_bytes()).unwrap_err().message,
            "the text is longer than 1 MiB"
        );
    }
}
