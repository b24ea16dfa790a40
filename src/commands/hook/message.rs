//! The message of a commit that a person makes in a session's worktree: it names the session.
//!
//! It does not say that an agent made it, so the person's part stays the person's.
//!
//! Invariant: a message that has nothing but comments is left alone, so that git still gives up.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::error::{CommandError, Result};
use crate::git::Repo;
use crate::session::store::Store;

/// Below this line, behind the sign of a comment, git cuts a message off (wt-status.c).
const SCISSORS: &str = "------------------------ >8 ------------------------";

/// Before the editor: where there is a message already.
///
/// # Errors
/// The file cannot be read, or git does not write it.
pub(super) fn prepare(args: &[OsString]) -> Result {
    match args.get(1).and_then(|source| source.to_str()) {
        // An untouched template is no message, and an empty one has yet to be written.
        None | Some("template") => Ok(()),
        Some(_) => finish(args),
    }
}

/// After the editor.
///
/// # Errors
/// The file cannot be read, or git does not write it.
pub(super) fn finish(args: &[OsString]) -> Result {
    let file = PathBuf::from(super::argument(args, 0)?);
    let file = std::env::current_dir()?.join(file);
    let repo = super::repo()?;
    let Some(session) = session_of(&repo)? else { return Ok(()) };
    if is_empty(&repo, &file)? {
        return Ok(());
    }
    // git itself knows where a message ends, whatever its comments begin with.
    let add = ["interpret-trailers", "--in-place", "--no-divider", "--where=end"];
    let trailer = format!("Agent-Session: {session}");
    let how = ["--if-exists=addIfDifferent", "--if-missing=add", "--trailer", &trailer];
    let done = repo.git().args(add).args(how).arg(&file).run()?;
    if done.exit != 0 {
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(CommandError::no(format!("the session is not named in the message: {said}")));
    }
    Ok(())
}

/// The session in whose worktree this is, where its commits are to name it.
fn session_of(repo: &Repo) -> Result<Option<String>> {
    let (true, Some(here)) = (repo.is_linked(), repo.work_dir()) else { return Ok(None) };
    let sessions = Store::open(repo.common_dir()).list()?.sessions;
    let session = sessions.into_iter().rfind(|session| session.spec.worktree == here);
    Ok(session.filter(|session| session.spec.trailers).map(|session| session.id))
}

fn is_empty(repo: &Repo, file: &Path) -> Result<bool> {
    let text = fs::read(file)?;
    let text = String::from_utf8_lossy(&text);
    let is_kept = |line: &&str| !line.ends_with(SCISSORS);
    let text: String = text.lines().take_while(is_kept).flat_map(|line| [line, "\n"]).collect();
    let bare = repo.git().args(["stripspace", "--strip-comments"]).stdin(text).run()?;
    Ok(bare.exit == 0 && bare.stdout.is_empty())
}
