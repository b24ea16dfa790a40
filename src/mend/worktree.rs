//! A session whose worktree is not where it should be: deleted by hand, moved, or cut off from git.
//!
//! Invariant: one that lives on elsewhere is never made a second time, and what stands at its place
//! is never written over; a worktree that is nobody's session is left alone.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{CureError, Ground, Problem, is_at_rest, record};
use crate::git::{RemoveWorktree, Repo, WorktreeEntry};
use crate::land::LandError;
use crate::land::restore::{self, Restored};
use crate::session::state::Phase;
use crate::session::store::Session;
use crate::session::worktree;

/// How a session's worktree is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As it should be.
    Good,
    /// Nothing is there, or an empty folder.
    Gone,
    /// It is somewhere else.
    MovedTo(PathBuf),
    /// Something is there that is not linked to it.
    Unlinked,
}

/// A worktree that is not brought back.
#[derive(Debug, thiserror::Error)]
pub enum BringBackError {
    /// It is somewhere else.
    #[error("the worktree of {id} was moved to {}", found.display())]
    Moved {
        /// The session.
        id: String,
        /// Where it is.
        found: PathBuf,
        /// Where it should be.
        path: PathBuf,
    },
    /// It cannot be made.
    #[error(transparent)]
    Land(#[from] LandError),
    /// The session's ref cannot be made again first.
    #[error("its record cannot be made again: {0}")]
    Record(String),
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Brings back a session's worktree that was deleted by hand; none where it is there.
///
/// # Errors
/// It was moved, or cannot be made.
pub fn bring_back(repo: &Repo, session: &Session) -> Result<Option<Restored>, BringBackError> {
    let path = &session.spec.worktree;
    match standing(repo, session)? {
        Standing::Good | Standing::Unlinked => return Ok(None),
        Standing::MovedTo(found) => {
            let (id, path) = (session.id.clone(), path.clone());
            return Err(BringBackError::Moved { id, found, path });
        }
        Standing::Gone => {}
    }
    if path.exists() {
        fs::remove_dir(path)?;
    }
    if repo.ref_id(&session.ref_name()).map_err(LandError::from)?.is_none() {
        record::rebuild(repo, session).map_err(|it| BringBackError::Record(it.to_string()))?;
    }
    Ok(Some(restore::restore(repo, session)?))
}

/// How the session's worktree is found.
///
/// # Errors
/// The worktrees cannot be listed.
pub fn standing(repo: &Repo, session: &Session) -> io::Result<Standing> {
    let path = &session.spec.worktree;
    let entries = repo.worktrees()?;
    let is_empty = fs::read_dir(path).is_ok_and(|mut files| files.next().is_none());
    if path.symlink_metadata().is_ok() && !is_empty {
        let found = worktree::git_dir(path);
        let is_linked = entries.iter().any(|entry| {
            let git_dir = fs::canonicalize(&entry.git_dir).ok();
            entry.path == *path && entry.broken.is_none() && git_dir.is_some() && git_dir == found
        });
        return Ok(if is_linked { Standing::Good } else { Standing::Unlinked });
    }
    let on_branch = |entry: &&WorktreeEntry| {
        !entry.main && !entry.missing && entry.branch.as_ref() == Some(&session.spec.branch)
    };
    let elsewhere = entries.iter().filter(|entry| entry.path != *path).find(on_branch);
    if let Some(entry) = elsewhere {
        return Ok(Standing::MovedTo(entry.path.clone()));
    }
    let entry = entries.iter().find(|entry| !entry.main && entry.path == *path);
    let moved = entry.and_then(|entry| moved_from(repo, path, &entry.git_dir));
    Ok(moved.map_or(Standing::Gone, Standing::MovedTo))
}

/// Where a worktree lies now that still names this git dir: beside where it was, or one folder
/// up, or where the repository has taken it along.
fn moved_from(repo: &Repo, path: &Path, git_dir: &Path) -> Option<PathBuf> {
    let beside = path.parent()?;
    let mut places: Vec<_> = [Some(beside), beside.parent()]
        .into_iter()
        .flatten()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .collect();
    let around = repo.main_work_dir();
    places.extend(
        around
            .as_deref()
            .and_then(Path::parent)
            .and_then(|around| Some(around.join(beside.file_name()?).join(path.file_name()?))),
    );
    let id = git_dir.file_name()?;
    // After a move of the whole repository the link leads to where that was.
    let names_it = |place: &PathBuf| {
        let link = fs::read_to_string(place.join(".git")).unwrap_or_default();
        let named = link.strip_prefix("gitdir: ").map(|it| Path::new(it.trim_end()));
        named.is_some_and(|named| {
            named == git_dir
                || (!named.exists() && named.ends_with(Path::new("worktrees").join(id)))
        })
    };
    places.into_iter().filter(|place| place != path).find(names_it)
}

pub(super) fn find<'a>(ground: &Ground<'a>, sessions: &[Session]) -> io::Result<Vec<Problem<'a>>> {
    let repo = ground.repo;
    let mut found = Vec::new();
    for session in sessions.iter().filter(|session| is_at_rest(session)) {
        // One that cannot be read is told of by whoever lists the sessions.
        let Ok(state) = session.state() else { continue };
        let (id, path) = (&session.id, &session.spec.worktree);
        let entries = repo.worktrees()?;
        let entry = entries.into_iter().find(|entry| !entry.main && entry.path == *path);
        let shown = path.display();
        let problem = |what: String| Problem::new("worktree", what);
        match (standing(repo, session)?, entry) {
            (Standing::Good, _) => {}
            (Standing::Gone, Some(entry)) if state.phase.is_final() => {
                let what = format!("{id} has landed, and its worktree {shown} is registered still");
                found.push(problem(what).cure(move || forget(repo, &entry)));
            }
            // One that was removed on purpose has no registration.
            (Standing::Gone, None) if state.phase != Phase::Interrupted => {}
            (Standing::Gone, _) => {
                let session = session.clone();
                let problem = problem(format!("the worktree of {id} was deleted: {shown}"));
                found.push(problem.cure(move || match bring_back(repo, &session)? {
                    Some(restored) => Ok(format!("{} is back as it was", restored.path.display())),
                    None => Ok("it is there again".to_owned()),
                }));
            }
            (Standing::MovedTo(to), _) => {
                let to = to.display();
                let what = format!("the worktree of {id} was moved from {shown} to {to}");
                found.push(problem(what).hint(moved_hint(&to, &shown)));
            }
            (Standing::Unlinked, None) if state.phase.is_final() => {}
            (Standing::Unlinked, _) => {
                let session = session.clone();
                let what = format!("{shown} is not linked to the repository, or to another");
                found.push(problem(format!("{id}: {what}")).cure(move || repair(repo, &session)));
            }
        }
    }
    Ok(found)
}

/// How a worktree that was moved gets back.
pub fn moved_hint(from: &impl std::fmt::Display, to: &impl std::fmt::Display) -> String {
    format!("mv {from} {to} && git worktree repair {to}")
}

/// Takes away the registration of a worktree whose folder is gone.
fn forget(repo: &Repo, entry: &WorktreeEntry) -> Result<String, CureError> {
    let gone = RemoveWorktree { path: &entry.path, id: &entry.id, with_submodules: true };
    repo.remove_worktree(&gone)?.purge()?;
    Ok(format!("{} is registered no more", entry.path.display()))
}

/// Lets git link the two again.
fn repair(repo: &Repo, session: &Session) -> Result<String, CureError> {
    let path = &session.spec.worktree;
    let done = repo.git().args(["worktree", "repair"]).arg(path).run()?;
    match standing(repo, session)? {
        Standing::Good => Ok(format!("git worktree repair has linked {} again", path.display())),
        _ => {
            let said = String::from_utf8_lossy(&done.stderr);
            Err(format!("git worktree repair does not link it: {}", said.trim()).into())
        }
    }
}
