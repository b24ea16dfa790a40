//! What our hooks cost where nothing is ours: paid by every push and every move of a ref.
//!
//! Invariant: the hook is run as git runs it, by its file; beside it one that only reads.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use git_agent::process::Cmd;

use crate::row;
use crate::support::{ask, git, sh};

/// Commits that the remote does not have.
const COMMITS: usize = 20;
/// Branches that it has.
const BRANCHES: usize = 1_000;

pub(crate) fn measure(root: &Path) {
    let program = Path::new(env!("CARGO_BIN_EXE_git-agent"));
    let bin = program.parent().expect("it is in a folder");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    git(root, &["remote", "add", "origin", "/nonexistent"]);
    let old = ask(root, &["rev-parse", "HEAD"]);
    let tracked: String =
        (0..BRANCHES).map(|n| format!("create refs/remotes/origin/b{n} {old}\n")).collect();
    fs::write(root.join(".git/x"), tracked).unwrap();
    sh(root, "git update-ref --stdin <.git/x && git update-ref refs/remotes/origin/main HEAD");
    git(root, &["pack-refs", "--all"]);
    for _ in 0..COMMITS {
        git(root, &["commit", "-q", "--allow-empty", "-m", "A person's"]);
    }
    let new = ask(root, &["rev-parse", "HEAD"]);
    assert_eq!(Cmd::new(program).args(["hooks", "install"]).dir(root).run().unwrap().exit, 0);
    let empty = root.join(".git/empty-hook");
    fs::write(&empty, "#!/bin/sh\ncat >/dev/null\n").unwrap();
    fs::set_permissions(&empty, fs::Permissions::from_mode(0o755)).unwrap();
    let hooks = root.join(".git/hooks");
    let run = |file: &Path, args: &[&str], input: &str| {
        let cmd = Cmd::new(file).args(args).dir(root).env("PATH", &path).stdin(input);
        let done = cmd.run().unwrap();
        assert_eq!(done.exit, 0, "{}", String::from_utf8_lossy(&done.stderr));
    };
    let zeros = "0".repeat(40);
    let to = ["origin", "/nonexistent"];
    for (what, theirs) in [("a branch", &old), ("a new branch", &zeros)] {
        let line = format!("refs/heads/main {new} refs/heads/main {theirs}\n");
        row(
            &format!("`pre-push` of {what}, {COMMITS} commits of a person"),
            "≤ 10",
            || run(&empty, &to, &line),
            || run(&hooks.join("pre-push"), &to, &line),
        );
    }
    let moved = format!("{old} {new} refs/heads/main\n");
    row(
        "`reference-transaction`, a branch moves",
        "",
        || run(&empty, &["prepared"], &moved),
        || run(&hooks.join("reference-transaction"), &["prepared"], &moved),
    );
    let message = root.join(".git/MESSAGE");
    fs::write(&message, "A person's\n").unwrap();
    let file = [message.to_str().unwrap()];
    row(
        "`commit-msg` outside of any session",
        "",
        || run(&empty, &file, ""),
        || run(&hooks.join("commit-msg"), &file, ""),
    );
}
