//! A worktree for a moment: where the files of a commit that is not made yet are looked at.
//!
//! Invariant: it is on no branch, and goes with the value, whatever happens; one that a process
//! left which was killed goes with the next.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};

use crate::git::ObjectId;
use crate::git::command::{self, GitError};
use crate::git::repo::Repo;
use crate::git::worktree::{RemoveWorktree, WorktreeError};

/// How its folder is called, before the number of the process.
const PREFIX: &str = ".git-agent-";

/// A worktree for a moment.
#[derive(Debug)]
pub struct Scratch {
    repo: Repo,
    view: Repo,
    path: PathBuf,
    folder: Option<tempfile::TempDir>,
}

impl Repo {
    /// Makes a worktree below `folder` whose `HEAD` is a commit and whose index and files are those
    /// of a tree.
    ///
    /// # Errors
    /// The folder cannot be written, or a file of the tree not be made.
    pub fn scratch(
        &self,
        folder: &Path,
        head: ObjectId,
        tree: ObjectId,
    ) -> Result<Scratch, WorktreeError> {
        self.sweep_scratches()?;
        let folder = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir_in(folder)?;
        let path = fs_err::canonicalize(folder.path())?.join("files");
        {
            let _lock = self.lock_worktrees()?;
            let add = self.git().args(["worktree", "add", "-q", "--detach", "--no-checkout"]);
            command::succeed(&add.arg(&path).arg(head.to_string()))?;
        }
        let entries = self.worktrees()?;
        let entry = entries.into_iter().find(|entry| entry.path == path);
        let git_dir = entry.ok_or_else(|| WorktreeError::NotRegistered(path.display().to_string()));
        let view = self.view_of(&git_dir?.git_dir).map_err(std::io::Error::other)?;
        let scratch = Scratch { repo: self.clone(), view, path, folder: Some(folder) };
        scratch.put(tree)?;
        Ok(scratch)
    }

    /// The tree of an index of this repository, written; git may bring that index up to date.
    ///
    /// # Errors
    /// Entries are unmerged, or the disk refuses.
    pub fn tree_of_index(&self, index: &Path) -> Result<ObjectId, GitError> {
        let git = self.git().arg("write-tree").env("GIT_INDEX_FILE", index);
        let said = command::succeed(&git)?;
        ObjectId::from_hex(said.trim_ascii()).map_err(|_| GitError::Refused {
            exit: 0,
            said: String::from_utf8_lossy(&said).into_owned(),
        })
    }

    /// Takes away what processes have left that are no more.
    fn sweep_scratches(&self) -> Result<(), WorktreeError> {
        for entry in self.worktrees()? {
            let folder = entry.path.parent().filter(|_| !entry.main);
            let name = folder.and_then(Path::file_name).map(|name| name.to_string_lossy());
            let pid = name.as_deref().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
            let pid = pid.and_then(|pid| Pid::from_raw(pid.parse().ok()?));
            if let (Some(folder), Some(pid)) = (folder, pid)
                && test_kill_process(pid).is_err()
            {
                take_away(self, &entry.path, &entry.id)?;
                // Its files go on their own; the folder around them is empty then.
                drop(fs_err::remove_dir(folder));
            }
        }
        Ok(())
    }
}

impl Scratch {
    /// The repository as seen from there.
    pub fn view(&self) -> &Repo {
        &self.view
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Brings its index and files to a tree.
    ///
    /// # Errors
    /// A file cannot be made.
    pub fn put(&self, tree: ObjectId) -> Result<(), GitError> {
        let git = self.view.git().args(["read-tree", "--reset", "-u"]);
        command::succeed(&git.arg(tree.to_string())).map(drop)
    }

    /// The tree of its index, written.
    ///
    /// # Errors
    /// Entries are unmerged, or the disk refuses.
    pub fn index_tree(&self) -> Result<ObjectId, GitError> {
        self.view.tree_of_index(&self.view.git_dir().join("index"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let id = self.view.git_dir().file_name().unwrap_or_default().to_string_lossy();
        if let Err(error) = take_away(&self.repo, &self.path, &id) {
            tracing::warn!(%error, path = %self.path.display(), "a worktree for a moment stays");
        }
        drop(self.folder.take());
    }
}

fn take_away(repo: &Repo, path: &Path, id: &str) -> Result<(), WorktreeError> {
    let remove = RemoveWorktree { path, id, with_submodules: true };
    Ok(repo.remove_worktree(&remove)?.purge()?)
}
