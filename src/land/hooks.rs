//! The user's hooks for commits, run on the commit that lands.
//!
//! Invariant: the hooks are those of the user's own checkout, never what a session has made of
//! them; what a hook stages or writes into the message is what is committed.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use fs_err as fs;

use crate::git::{Repo, Scratch};
use crate::plan::{LandError, Way};

/// The hooks that a commit of this kind runs, before its message is written.
pub(super) fn before(way: Way) -> &'static str {
    if way == Way::Merge { "pre-merge-commit" } else { "pre-commit" }
}

/// Whether the user has a hook that a landing of this kind runs.
pub(super) fn are_there(repo: &Repo, way: Way) -> bool {
    let folder = repo.hooks_dir();
    let is_program = |name: &str| {
        let meta = fs::metadata(folder.join(name));
        meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    // git replays commits without them.
    way.makes_commit()
        && [before(way), "prepare-commit-msg", "commit-msg"].into_iter().any(is_program)
}

/// A folder of hooks that is configured and not there: none of them runs. Who names no folder,
/// `/dev/null` say, wants none.
pub fn missing_folder(repo: &Repo) -> Option<PathBuf> {
    let folder = repo.hooks_dir();
    let is_configured = repo.config_value("core.hooksPath").is_some();
    (is_configured && !folder.exists()).then_some(folder)
}

/// Runs what comes before the message.
///
/// # Errors
/// A hook says no.
pub(super) fn check(repo: &Repo, scratch: &Scratch, way: Way) -> Result<(), LandError> {
    run(repo, scratch, before(way), &[])
}

/// Lets the hooks see the message, and gives what they make of it.
///
/// # Errors
/// A hook says no, or leaves no message.
pub(super) fn message(
    repo: &Repo,
    scratch: &Scratch,
    way: Way,
    words: &str,
) -> Result<String, LandError> {
    let path = scratch.view().git_dir().join("COMMIT_EDITMSG");
    fs::write(&path, words)?;
    let file = path.to_string_lossy();
    let source = if way == Way::Merge { "merge" } else { "message" };
    run(repo, scratch, "prepare-commit-msg", &[&file, source])?;
    run(repo, scratch, "commit-msg", &[&file])?;
    let text = String::from_utf8_lossy(&fs::read(&path)?).trim().to_owned();
    if text.is_empty() {
        let said = "it left no message".to_owned();
        return Err(LandError::Hook { name: "commit-msg".to_owned(), said });
    }
    Ok(text + "\n")
}

fn run(repo: &Repo, scratch: &Scratch, name: &str, args: &[&str]) -> Result<(), LandError> {
    let mut folder = std::ffi::OsString::from("core.hooksPath=");
    folder.push(repo.hooks_dir());
    let git = scratch.view().user_git().arg("-c").arg(folder);
    let git = git.args(["hook", "run", "--ignore-missing", name, "--"]).args(args);
    // As git commit sets them, where no editor is to be opened.
    let git =
        git.env("GIT_EDITOR", ":").env("GIT_INDEX_FILE", scratch.view().git_dir().join("index"));
    let done = git.run()?;
    if done.exit == 0 {
        return Ok(());
    }
    let text = [done.stdout, done.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let last: Vec<_> = text.lines().rev().filter(|line| !line.trim().is_empty()).take(3).collect();
    let said = last.into_iter().rev().collect::<Vec<_>>().join("; ");
    Err(LandError::Hook { name: name.to_owned(), said })
}
