//! Options and values that make no sense: exit code 2, one line, and where to read more.

use super::refused;
use crate::support::repo::Repo;

#[test]
fn what_is_typed_wrong_is_wrong_use() {
    let repo = Repo::new();
    let cases: &[(&[&str], &str)] = &[
        (
            &["lsit"],
            "unrecognized subcommand 'lsit'\nhint: Did you mean 'ls', 'list'?\nhint: git agent -h",
        ),
        (&["xyzzy"], "unrecognized subcommand 'xyzzy'\nhint: git agent -h"),
        (
            &["list", "--jsn"],
            "unexpected argument '--jsn' found\nhint: Did you mean '--json'?\nhint: git agent list -h",
        ),
        (
            &["worktree", "swich"],
            "unrecognized subcommand 'swich'\nhint: Did you mean 'switch'?\nhint: git agent worktree -h",
        ),
        (&["status", "a", "b"], "unexpected argument 'b' found\nhint: git agent status -h"),
        (
            &["say"],
            "the following required arguments were not provided: <SESSION>\nhint: git agent say -h",
        ),
        (
            &["start", "x", "--base", ""],
            "a value is required for '--base <REV>' but none was supplied\nhint: git agent start -h",
        ),
        (
            &["start", "x", "--model="],
            "a value is required for '--model <PROVIDER/NAME>' but none was supplied\nhint: git agent start -h",
        ),
        (
            &["start", "x", "--branch="],
            "a value is required for '--branch <NAME>' but none was supplied\nhint: git agent start -h",
        ),
        (
            &["start", "x", "--verify="],
            "a value is required for '--verify <CMD>' but none was supplied\nhint: git agent start -h",
        ),
        (
            &["start", "x", "--max-steps", "many"],
            "invalid value 'many' for '--max-steps <STEPS>': expected a number of steps from 1, or none\nhint: git agent start -h",
        ),
        (
            &["start", "x", "--timeout", "-5m"],
            "invalid value '[time]' for '--timeout <TIME>': expected a time, such as [time] or [time], or none\nhint: git agent start -h",
        ),
        (
            &["start", "x", "-n", "-1"],
            "invalid value '-1' for '--attempts <N>': -1 is not in 1..=32\nhint: git agent start -h",
        ),
        (
            &["start", "x", "-F", "f"],
            "the argument '[TASK]...' cannot be used with '--task-file <FILE>'\nhint: git agent start -h",
        ),
        (
            &["start", "x", "--wait", "--attach"],
            "the argument '--wait' cannot be used with '--attach'\nhint: git agent start -h",
        ),
        (
            &["start", "x", "--dry-run", "--wait"],
            "the argument '--dry-run' cannot be used with '--wait'\nhint: git agent start -h",
        ),
        (
            &["pause"],
            "the following required arguments were not provided: <SESSION>...\nhint: git agent pause -h",
        ),
        (
            &["stop", "--all", "x"],
            "the argument '--all' cannot be used with '[SESSION]...'\nhint: git agent stop -h",
        ),
        (
            &["list", "--color", "pink"],
            "invalid value 'pink' for '--color <WHEN>' [possible values: auto, always, never]\nhint: git agent list -h",
        ),
    ];
    for (args, message) in cases {
        refused(&repo, args, 2, &format!("error: {message}\n"));
    }
}

#[test]
fn c10_an_empty_session_is_nobody() {
    let repo = Repo::new();
    for verb in [
        "status", "log", "diff", "attach", "say", "answer", "approve", "deny", "pause", "resume",
        "stop",
    ] {
        let out = repo.agent(&[verb, ""]);
        assert_eq!((out.code, out.stdout.as_str()), (2, ""), "{verb}");
        let last = out.stderr.lines().last().unwrap_or_default();
        assert_eq!(last, format!("hint: git agent {verb} -h"), "{}", out.stderr);
    }
}

#[test]
fn no_verb_at_all_shows_the_verbs() {
    let repo = Repo::new();
    let out = repo.agent(&[]);
    assert_eq!((out.code, out.stdout.as_str()), (2, ""));
    let shown =
        out.stderr.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let wanted = "start Start a session on a task, in the background";
    assert!(shown.into_iter().any(|line| line == wanted), "{}", out.stderr);
}
