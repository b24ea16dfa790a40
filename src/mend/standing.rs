//! How a session's worktree is found: where it should be, or where a person has taken it.
//!
//! Invariant: nothing is changed, and only what git itself registers as the session's own worktree
//! is taken for it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::git::operation::{self, Operation};
use crate::git::{Repo, WorktreeEntry};
use crate::session::store::Session;
use crate::session::worktree;

/// How a session's worktree is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As it should be.
    Good,
    /// Nothing is there, or an empty folder.
    Gone,
    /// A person has moved it, or renamed its branch, and git knows.
    Followed(Place),
    /// It is somewhere else, and git does not know.
    MovedTo(PathBuf),
    /// It is gone, and its branch is checked out in this worktree.
    Taken(PathBuf),
    /// It is there, and its registration at this place is gone.
    Unregistered(PathBuf),
    /// Something is there that is not linked to it.
    Unlinked,
    /// Something that is no folder is there: `a file`, `a symbolic link`.
    InTheWay(&'static str),
    /// git is in the middle of something there.
    Busy(Operation),
    /// It is on this branch, or detached at this commit.
    Elsewhere(String),
}

/// Where a session works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its worktree.
    pub path: PathBuf,
    /// Its branch, by its full name.
    pub branch: String,
}

/// How the session's worktree is found.
///
/// # Errors
/// The worktrees, or the branch, cannot be read.
pub fn standing(repo: &Repo, session: &Session) -> io::Result<Standing> {
    let path = &session.spec.worktree;
    let meta = path.symlink_metadata().ok();
    let is_empty = || fs::read_dir(path).is_ok_and(|mut files| files.next().is_none());
    let is_folder = meta.as_ref().is_some_and(std::fs::Metadata::is_dir);
    let is_there = is_folder && !is_empty();
    if is_there && let Some(git_dir) = worktree::git_dir(path) {
        let registered = entry_of(repo, &git_dir);
        if let Some(entry) = registered.filter(|it| it.path == *path && it.broken.is_none()) {
            return Ok(at_its_place(repo, session, &entry));
        }
    }
    let entries = repo.worktrees()?;
    let own = |entry: &&WorktreeEntry| is_usable(entry) && is_its_own(session, &entry.id);
    if let Some(place) = entries.iter().filter(own).find_map(|it| followed(repo, session, it)) {
        return Ok(Standing::Followed(place));
    }
    if is_there {
        let named = named_by(path).filter(|named| !named.exists());
        let folder = repo.common_dir().join("worktrees");
        let lost = named.filter(|named| named.parent() == Some(&folder));
        return Ok(lost.map_or(Standing::Unlinked, Standing::Unregistered));
    }
    let registered = entries.iter().find(|entry| !entry.main && entry.path == *path);
    if let Some(found) = registered.and_then(|entry| moved_from(repo, path, &entry.git_dir)) {
        return Ok(Standing::MovedTo(found));
    }
    let on_branch = |entry: &&WorktreeEntry| entry.branch.as_ref() == Some(&session.spec.branch);
    if let Some(taken) = entries.iter().filter(|it| is_usable(it)).find(on_branch) {
        return Ok(Standing::Taken(taken.path.clone()));
    }
    Ok(match meta {
        Some(meta) if meta.is_symlink() => Standing::InTheWay("a symbolic link"),
        Some(meta) if !meta.is_dir() => Standing::InTheWay("a file"),
        _ => Standing::Gone,
    })
}

/// The same for a worktree that is where it should be.
fn at_its_place(repo: &Repo, session: &Session, entry: &WorktreeEntry) -> Standing {
    if let Some(operation) = operation::in_git_dir(&entry.git_dir) {
        return Standing::Busy(operation);
    }
    if entry.branch.as_ref() == Some(&session.spec.branch) {
        return Standing::Good;
    }
    if let Some(place) = followed(repo, session, entry) {
        return Standing::Followed(place);
    }
    let commit = || entry.head.map(|head| head.to_string()).unwrap_or_default();
    let branch = entry.branch.as_deref().map(short);
    Standing::Elsewhere(branch.map_or_else(commit, str::to_owned))
}

/// Where this worktree is, if it is on the session's branch, or on what that was renamed to.
fn followed(repo: &Repo, session: &Session, entry: &WorktreeEntry) -> Option<Place> {
    let branch = entry.branch.clone()?;
    let is_on_it = branch == session.spec.branch || is_renamed(repo, session, entry, &branch);
    let path = fs::canonicalize(&entry.path).ok()?;
    is_on_it.then_some(Place { path, branch })
}

/// Whether git has given the session's branch this name: its log says so; where it keeps none,
/// the branch is at the commit that the session has left it at.
fn is_renamed(repo: &Repo, session: &Session, entry: &WorktreeEntry, branch: &str) -> bool {
    let spec = &session.spec;
    if !matches!(repo.ref_id(&spec.branch), Ok(None)) {
        return false;
    }
    let log = fs::read_to_string(repo.common_dir().join("logs").join(branch));
    let renamed = format!("renamed {} to ", spec.branch);
    match log {
        Ok(log) => log.contains(&renamed),
        Err(_) => {
            let left = session.state().ok().and_then(|state| state.head);
            let left = left.as_deref().unwrap_or_else(|| spec.first_commit());
            entry.head.map(|head| head.to_string()).as_deref() == Some(left)
        }
    }
}

/// Whether a registration of this name was made for the session: git keeps it when it moves a
/// worktree.
fn is_its_own(session: &Session, id: &str) -> bool {
    let name = session.spec.worktree.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    [&*name, &session.spec.name].into_iter().any(|name| {
        let tail = id.strip_prefix(name);
        tail.is_some_and(|tail| tail.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

fn is_usable(entry: &WorktreeEntry) -> bool {
    !entry.main && !entry.missing && entry.broken.is_none()
}

/// The registration with this git dir, where that is one of the repository's.
fn entry_of(repo: &Repo, git_dir: &Path) -> Option<WorktreeEntry> {
    let folder = fs::canonicalize(repo.common_dir().join("worktrees")).ok()?;
    let id = git_dir.file_name().filter(|_| git_dir.parent() == Some(&folder))?;
    Some(repo.worktree(id))
}

/// The git dir that the `.git` of a worktree names, whether it is there or not.
fn named_by(worktree: &Path) -> Option<PathBuf> {
    let link = fs::read(worktree.join(".git")).ok()?;
    let named = link.strip_prefix(b"gitdir: ")?.trim_ascii_end();
    Some(worktree.join(OsStr::from_bytes(named)))
}

/// Where a worktree lies now that still names this git dir: beside where it was, or one folder
/// up, or where a link at its place leads, or where the repository has taken it along.
fn moved_from(repo: &Repo, path: &Path, git_dir: &Path) -> Option<PathBuf> {
    let beside = path.parent()?;
    let mut places: Vec<_> = fs::canonicalize(path).into_iter().collect();
    places.extend(
        [Some(beside), beside.parent()]
            .into_iter()
            .flatten()
            .filter_map(|folder| fs::read_dir(folder).ok())
            .flat_map(|entries| entries.flatten().map(|entry| entry.path())),
    );
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
        named_by(place).is_some_and(|named| {
            named == git_dir
                || (!named.exists() && named.ends_with(Path::new("worktrees").join(id)))
        })
    };
    places.into_iter().filter(|place| place != path).find(names_it)
}

/// A branch as people say it.
pub(super) fn short(branch: &str) -> &str {
    branch.strip_prefix("refs/heads/").unwrap_or(branch)
}
