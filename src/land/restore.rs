//! A session's worktree, brought back: branch, files, and what was in no commit.
//!
//! The session's ref is enough, for one that was fetched from elsewhere too; only files that git
//! ignores come back from beside the session's state, if that is still there.
//!
//! Invariant: nothing that exists is written over; what fails half way is taken away again.

use std::path::{Path, PathBuf};

use super::ignored::{self, Kept};
use super::remove::{head_of, ignored_folder};
use super::{LandError, work};
use crate::git::{AddWorktree, Expected, ObjectId, RefUpdate, RemoveWorktree, Repo};
use crate::session::record::Record;
use crate::session::store::Session;

/// A worktree that was brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Where it is.
    pub path: PathBuf,
    /// The branch was gone and is back.
    pub branch_created: bool,
    /// Files that no commit of the branch holds, brought back as such.
    pub uncommitted: Vec<String>,
    /// The commit that holds such files, where the branch has moved since: they were not put over
    /// what is new.
    pub set_apart: Option<ObjectId>,
    /// What became of ignored files.
    pub ignored: Kept,
}

/// Brings the worktree of a session back.
///
/// # Errors
/// It is there, or something else is in its place, or it cannot be made.
pub fn restore(repo: &Repo, session: &Session) -> Result<Restored, LandError> {
    let (_lock, _state) = session.lock().map_err(|error| super::apply::at_work(error, session))?;
    let spec = &session.spec;
    if let Some(entry) = work::entry(repo, &spec.worktree)? {
        if !entry.missing {
            let (id, path) = (session.id.clone(), spec.worktree.clone());
            return Err(LandError::WorktreeExists { id, path });
        }
        // Its folder was deleted by hand: the registration would be in the way.
        let stale =
            RemoveWorktree { path: &spec.worktree, id: &entry.id, with_submodules: false };
        repo.remove_worktree(&stale)?.purge()?;
    }
    let record = repo.ref_id(&session.ref_name())?;
    let record = record.ok_or_else(|| LandError::NoRecord(session.id.clone()))?;
    let record = Record::read(repo, record)?;
    let branch = repo.ref_id(&spec.branch)?;
    let head = match branch {
        Some(tip) => tip,
        None => head_of(repo, &record)?,
    };
    let git_dir = repo.add_worktree(&AddWorktree {
        path: &spec.worktree,
        branch: &spec.branch,
        commit: head,
        create_branch: branch.is_none(),
    })?;
    fill(repo, session, &record, head, &git_dir)
        .map(|restored| Restored { branch_created: branch.is_none(), ..restored })
        .inspect_err(|_| undo(repo, session, branch.is_none().then_some(head), &git_dir))
}

/// Brings back what the branch does not hold.
fn fill(
    repo: &Repo,
    session: &Session,
    record: &Record,
    head: ObjectId,
    git_dir: &Path,
) -> Result<Restored, LandError> {
    let view = repo.view_of(git_dir)?;
    let path = session.spec.worktree.clone();
    let (mut uncommitted, mut set_apart) = (Vec::new(), None);
    let code = view.read_commit(record.code)?;
    if record.code != head && code.tree != view.tree_of(head)? {
        if code.parents.first() == Some(&head) {
            uncommitted = put_files(&view, head, record.code)?;
        } else if !view.is_ancestor(record.code, head)? {
            set_apart = Some(record.code);
        }
    }
    let folder = ignored_folder(session);
    let kept = ignored::put_back(&folder, &path)?;
    if kept.left_out.is_empty() {
        ignored::forget(&folder)?;
    }
    Ok(Restored { path, branch_created: false, uncommitted, set_apart, ignored: kept })
}

/// Makes the files those of `code`, with the user's filters; the index stays at `head`, so that
/// they show as what they are: changes in no commit.
fn put_files(view: &Repo, head: ObjectId, code: ObjectId) -> Result<Vec<String>, LandError> {
    let source = format!("--source={code}");
    let git = view.git().args(["restore", "--worktree", "--no-overlay", &source, "--", ":/"]);
    let done = git.run()?;
    if done.exit != 0 {
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(std::io::Error::other(said).into());
    }
    let stat = view.diff_stat(view.tree_of(head)?, view.tree_of(code)?)?;
    Ok(stat.paths.into_iter().map(|file| file.path.to_string()).collect())
}

/// Takes away what was made; `created` is where the branch was made.
fn undo(repo: &Repo, session: &Session, created: Option<ObjectId>, git_dir: &Path) {
    let id = git_dir.file_name().unwrap_or_default().to_string_lossy();
    let made = RemoveWorktree { path: &session.spec.worktree, id: &id, with_submodules: true };
    let undone = || -> Result<(), LandError> {
        repo.remove_worktree(&made)?.purge()?;
        if let Some(tip) = created {
            repo.update_refs(&[RefUpdate {
                name: session.spec.branch.clone(),
                old: Expected::Is(tip),
                new: None,
                reason: "agent: restore undone".to_owned(),
            }])?;
        }
        Ok(())
    };
    if let Err(error) = undone() {
        tracing::warn!(%error, "a worktree that could not be restored is left half made");
    }
}
