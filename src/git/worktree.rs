//! The worktrees of a repository: listed, and taken away one at a time.
//!
//! Invariant: a folder is moved or deleted only if it and its registration name each other, read
//! again under the lock; what is absent, locked or broken elsewhere is never touched.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::file;
use crate::git::command::GitError;
use crate::git::diff::DiffError;
use crate::git::refs::RefError;
use crate::git::repo::{Head, OpenError, Repo};
use crate::git::{BString, ObjectId};
use crate::process::{Cmd, ProcessError};

/// One worktree, as it is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorktreeEntry {
    /// Where it is said to be; empty if the registration is too broken to say.
    pub path: PathBuf,
    /// Its own git dir: `worktrees/<id>` in the common git dir, or that itself.
    pub git_dir: PathBuf,
    /// The name of its registration; empty for the main one.
    pub id: String,
    /// The commit it is on; none for an unborn branch, or if it cannot be read.
    pub head: Option<ObjectId>,
    /// The branch it is on, by its full name.
    pub branch: Option<String>,
    /// Somebody locked it, with this reason, which may be empty.
    pub locked: Option<String>,
    /// Nothing is at its path: deleted by hand, moved, or on a disk that is not mounted.
    pub missing: bool,
    /// Why it cannot be used as it is, for a person to read.
    pub broken: Option<String>,
    /// It is the checkout that came with the repository.
    pub main: bool,
}

/// Why a worktree was not made, moved on or removed.
#[derive(Debug, thiserror::Error)]
pub enum WorktreeError {
    /// Something is where the worktree should be.
    #[error("{} already exists", .0.display())]
    PathExists(PathBuf),
    /// The path leads through a link that is part of the repository.
    #[error("{} is a symbolic link inside the repository", .0.display())]
    PathThroughLink(PathBuf),
    /// Not an absolute path with a name.
    #[error("{} is no place for a worktree", .0.display())]
    BadPath(PathBuf),
    /// The branch to create is already there.
    #[error("branch {0} already exists")]
    BranchExists(String),
    /// The branch to check out is not there, or no longer at the commit expected.
    #[error("branch {branch} is not at {expected}")]
    BranchMoved {
        /// Its full name.
        branch: String,
        /// Where it should be.
        expected: ObjectId,
    },
    /// Another worktree is on the branch.
    #[error("branch {branch} is checked out at {}", .at.display())]
    BranchCheckedOut {
        /// Its full name.
        branch: String,
        /// That worktree.
        at: PathBuf,
    },
    /// A file could not be made.
    #[error("cannot check out {path}")]
    Checkout {
        /// Relative to the worktree.
        path: BString,
        /// What stood in the way.
        #[source]
        source: io::Error,
    },
    /// A filter is needed for a file and cannot be run.
    #[error("cannot check out {path}: {reason}")]
    Filter {
        /// Relative to the worktree.
        path: BString,
        /// What it said.
        reason: String,
    },
    /// A filter is configured that is a program of the checkout, where an agent works.
    #[error("{0}")]
    FilterOfCheckout(String),
    /// No worktree is registered under this name.
    #[error("no worktree is registered as {0}")]
    NotRegistered(String),
    /// What is at the path is not the worktree that is registered.
    #[error("{} is not the worktree {id}: {reason}", .path.display())]
    Mismatch {
        /// The path.
        path: PathBuf,
        /// The name of the registration.
        id: String,
        /// What differs.
        reason: String,
    },
    /// Somebody locked it.
    #[error("{} is locked{}{reason}", .path.display(), if .reason.is_empty() { "" } else { ": " })]
    Locked {
        /// Where it is.
        path: PathBuf,
        /// Why, in their words; may be empty.
        reason: String,
    },
    /// It is the repository's main checkout, or not a linked worktree at all.
    #[error("{} is the main worktree", .0.display())]
    Main(PathBuf),
    /// Its submodules keep their repositories in it, and may hold the only copy of commits.
    #[error("{} has submodules with repositories of their own", .0.display())]
    HasSubmodules(PathBuf),
    /// Files that would be overwritten hold changes that are nowhere else.
    #[error("{} would be overwritten in {}", match .paths.len() { 1 => "1 file".to_owned(), files => format!("{files} files") }, .worktree.display())]
    Dirty {
        /// The worktree.
        worktree: PathBuf,
        /// Relative to it, sorted.
        paths: Vec<BString>,
    },
    /// git refused.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A ref could not be read or moved.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// Two trees could not be compared.
    #[error(transparent)]
    Diff(#[from] DiffError),
    /// The repository could not be opened from there.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<ProcessError> for WorktreeError {
    fn from(error: ProcessError) -> Self {
        Self::Git(GitError::Process(error))
    }
}

/// A worktree to take away.
#[derive(Clone, Copy, Debug)]
pub struct RemoveWorktree<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// The name of its registration, as it was recorded when it was made.
    pub id: &'a str,
    /// Remove the repositories of its submodules too: what only they hold was saved.
    pub with_submodules: bool,
}

/// A removed worktree's files, out of the way but not yet deleted.
#[derive(Debug)]
#[must_use = "the files stay on the disk until they are purged"]
pub struct Trash(Option<PathBuf>);

impl Repo {
    /// All worktrees, the main one first if there is one, then by the name of the registration.
    ///
    /// # Errors
    /// The list itself cannot be read; an entry that cannot is listed as broken.
    pub fn worktrees(&self) -> io::Result<Vec<WorktreeEntry>> {
        let mut entries = Vec::new();
        if let Some(path) = self.main_work_dir() {
            entries.push(self.worktree_entry(self.common_dir(), path, String::new()));
        }
        let folder = self.common_dir().join("worktrees");
        let listing = file::if_there(fs::read_dir(&folder))?.into_iter().flatten();
        let mut ids = listing
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        ids.sort();
        for id in ids {
            entries.push(self.worktree(&id));
        }
        Ok(entries)
    }

    /// The linked worktree whose registration has this name; what cannot be read of it makes it
    /// broken.
    pub fn worktree(&self, id: &OsStr) -> WorktreeEntry {
        let git_dir = self.common_dir().join("worktrees").join(id);
        let id = id.to_string_lossy().into_owned();
        match registered_path(&git_dir) {
            Ok(path) => self.worktree_entry(&git_dir, path, id),
            Err(error) => WorktreeEntry {
                path: PathBuf::new(),
                git_dir,
                id,
                head: None,
                branch: None,
                locked: None,
                missing: false,
                broken: Some(error.to_string()),
                main: false,
            },
        }
    }

    /// Takes a worktree out of the way: its folder is renamed aside on the same file system, its
    /// registration removed. The branch stays. [`Trash::purge`] then deletes the files.
    ///
    /// # Errors
    /// Path and registration do not name each other, it is locked, or the main one; or it cannot
    /// be moved. Nothing was changed then.
    pub fn remove_worktree(&self, remove: &RemoveWorktree<'_>) -> Result<Trash, WorktreeError> {
        let _lock = self.lock_worktrees()?;
        let path = remove.path;
        let resolved = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if self.main_work_dir().is_some_and(|main| main == resolved) {
            return Err(WorktreeError::Main(path.to_owned()));
        }
        let git_dir = self.common_dir().join("worktrees").join(remove.id);
        if remove.id.is_empty() || remove.id.contains('/') || !git_dir.is_dir() {
            return Err(WorktreeError::NotRegistered(remove.id.to_owned()));
        }
        if let Some(reason) = lock_reason(&git_dir)? {
            return Err(WorktreeError::Locked { path: path.to_owned(), reason });
        }
        if !remove.with_submodules && git_dir.join("modules").exists() {
            return Err(WorktreeError::HasSubmodules(path.to_owned()));
        }
        let there = names_each_other(path, &git_dir).map_err(|reason| {
            let (path, id) = (path.to_owned(), remove.id.to_owned());
            WorktreeError::Mismatch { path, id, reason }
        })?;
        let trash = Trash(if there { set_aside(path)? } else { None });
        fs::remove_dir_all(&git_dir)?;
        // git drops the folder of registrations with the last one; it is refused while others are.
        drop(fs::remove_dir(self.common_dir().join("worktrees")));
        Ok(trash)
    }

    /// Excludes all others who make or remove worktrees here, as long as it is held.
    pub(super) fn lock_worktrees(&self) -> io::Result<std::fs::File> {
        let folder = self.common_dir().join("agent");
        fs::create_dir_all(&folder)?;
        let path = folder.join("worktree.lock");
        let options = || {
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create(true).truncate(false);
            options
        };
        let file = fs::OpenOptions::from_options(options()).open(&path)?.into_file();
        file.lock()?;
        Ok(file)
    }

    fn worktree_entry(&self, git_dir: &Path, path: PathBuf, id: String) -> WorktreeEntry {
        let main = id.is_empty();
        let missing = fs::symlink_metadata(&path).is_err();
        let (mut head, mut branch, mut broken) = (None, None, None);
        match Self::open_in(git_dir, None, self.environment().clone())
            .map_err(|error| error.to_string())
            .and_then(|repo| repo.head().map_err(|error| error.to_string()))
        {
            Ok(Head::Branch { name, id }) => (head, branch) = (Some(id), Some(name)),
            Ok(Head::Detached(id)) => head = Some(id),
            Ok(Head::Unborn(name)) => branch = Some(name),
            Err(error) => broken = Some(error),
        }
        if !main && !missing && broken.is_none() {
            broken = match names_each_other(&path, git_dir) {
                Ok(true) => None,
                Ok(false) => Some("its folder is empty".to_owned()),
                Err(reason) => Some(reason),
            };
        }
        let locked = lock_reason(git_dir).unwrap_or(None);
        let git_dir = git_dir.to_owned();
        WorktreeEntry { path, git_dir, id, head, branch, locked, missing, broken, main }
    }
}

impl Trash {
    /// Starts to delete the files and returns at once; a process of its own goes on with it.
    /// Symbolic links are deleted, never followed.
    ///
    /// # Errors
    /// The process cannot be started; the files are then in the returned folder.
    pub fn purge(self) -> Result<(), ProcessError> {
        let Some(path) = self.0 else { return Ok(()) };
        let log = fs::OpenOptions::new().write(true).open("/dev/null");
        let log = log.map_err(|source| ProcessError { program: "rm".to_owned(), source })?;
        // Package managers close folders to their owner.
        let script = "rm -rf -- \"$1\" || { chmod -R u+rwX -- \"$1\"; rm -rf -- \"$1\"; }";
        let rm = Cmd::new("sh").args(["-c", script, "rm"]).arg(path);
        rm.dir("/").spawn_detached(log.into_file())?;
        Ok(())
    }

    /// Where the files are now; none if there were none.
    pub fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }
}

/// Where the worktree registered in `git_dir` is said to be.
fn registered_path(git_dir: &Path) -> io::Result<PathBuf> {
    let file = git_dir.join("gitdir");
    let dot_git = path_in(&fs::read(&file)?);
    match git_dir.join(dot_git).parent() {
        Some(path) if path.is_absolute() && path != git_dir => Ok(path.to_owned()),
        _ => Err(io::Error::other(format!("{} names no worktree", file.display()))),
    }
}

/// Whether the worktree at `path` is there and the one registered in `git_dir`. False if nothing,
/// or an empty folder, is where the registration says.
fn names_each_other(path: &Path, git_dir: &Path) -> Result<bool, String> {
    let registered = registered_path(git_dir).map_err(|error| error.to_string())?;
    let resolve = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if resolve(&registered) != resolve(path) {
        return Err(format!("that is registered at {}", registered.display()));
    }
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.to_string()),
        Ok(meta) if !meta.is_dir() => return Err("it is not a folder".to_owned()),
        Ok(_) => {}
    }
    match git_dir_of(path) {
        Ok(named) if resolve(&named) == resolve(git_dir) => Ok(true),
        Ok(named) => Err(format!("it belongs to {}", named.display())),
        Err(error) => {
            let is_empty = fs::read_dir(path).is_ok_and(|mut listing| listing.next().is_none());
            if is_empty { Ok(false) } else { Err(error.to_string()) }
        }
    }
}

/// The git dir that the `.git` file of a worktree names.
pub(super) fn git_dir_of(worktree: &Path) -> io::Result<PathBuf> {
    let file = worktree.join(".git");
    let content = fs::read(&file)?;
    let named = content.strip_prefix(b"gitdir: ").map(path_in);
    let named =
        named.ok_or_else(|| io::Error::other(format!("{} names no git dir", file.display())))?;
    Ok(worktree.join(named))
}

fn lock_reason(git_dir: &Path) -> io::Result<Option<String>> {
    let reason = file::if_there(fs::read(git_dir.join("locked")))?;
    Ok(reason.map(|reason| String::from_utf8_lossy(&reason).trim_end().to_owned()))
}

pub(super) fn path_in(line: &[u8]) -> PathBuf {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |at| at + 1);
    PathBuf::from(OsStr::from_bytes(&line[..end]))
}

/// Renames a folder to a hidden name beside it; where that is refused, deletes it on the spot.
fn set_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    let random = getrandom::u64().map_err(io::Error::other)?;
    let trash = path.with_file_name(format!(".trash-{random:016x}"));
    match fs::rename(path, &trash) {
        Ok(()) => Ok(Some(trash)),
        Err(error) => {
            tracing::debug!(%error, "deleting in place");
            fs::remove_dir_all(path)?;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests;
