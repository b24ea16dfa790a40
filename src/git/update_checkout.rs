//! Bringing a person's checkout along when its branch moves: a landing.
//!
//! Invariant: a file that holds anything but the old version stops the whole update before the
//! first write; files and staged changes outside the update stay as they are.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use fs_err as fs;
use gix::bstr::{BStr, BString, ByteSlice};

use crate::git::ObjectId;
use crate::git::command::{self, GitError};
use crate::git::diff::Status;
use crate::git::filter;
use crate::git::index::as_path;
use crate::git::repo::Repo;
use crate::git::worktree::WorktreeError;
use crate::process::Cmd;

impl Repo {
    /// Changes the files and the index of this repository's own checkout from `old` to `new`, two
    /// trees, touching only what differs between them. `HEAD` is left to the caller.
    ///
    /// # Errors
    /// [`WorktreeError::Dirty`] names the files of the update that are changed, staged, unmerged,
    /// missing or in its way; nothing was touched then.
    pub fn update_checkout(&self, old: ObjectId, new: ObjectId) -> Result<(), WorktreeError> {
        self.check_update(old, new)?;
        let read_tree = self.checkout_git().args(["read-tree", "-m", "-u"]);
        command::succeed(&read_tree.arg(old.to_string()).arg(new.to_string()))?;
        Ok(())
    }

    /// Refuses to let git make or read files in a checkout of an agent's where a filter is
    /// configured that is a program of that checkout.
    ///
    /// # Errors
    /// [`WorktreeError::FilterOfCheckout`], or the configuration makes no sense.
    pub fn check_filters(&self, root: &Path) -> Result<(), WorktreeError> {
        let options = gix::filter::Pipeline::options(self.gix()).map_err(std::io::Error::other)?;
        options.drivers.iter().try_for_each(|driver| {
            let trusted = filter::is_trusted(driver, root);
            trusted.map_err(|error| WorktreeError::FilterOfCheckout(error.to_string()))
        })
    }

    /// Refuses where [`Repo::update_checkout`] would; no file is touched.
    ///
    /// # Errors
    /// As [`Repo::update_checkout`].
    pub fn check_update(&self, old: ObjectId, new: ObjectId) -> Result<(), WorktreeError> {
        let Some(worktree) = self.work_dir() else {
            return Err(WorktreeError::BadPath(self.git_dir().to_owned()));
        };
        let (old, new) = (old.to_string(), new.to_string());
        // Times that changed without the content would else count as changes. Its exit code only
        // says that there are some.
        self.checkout_git().args(["update-index", "-q", "--refresh"]).run()?;
        let mut dirty = self.dirty(worktree, &old, &new)?;
        if !dirty.is_empty() {
            dirty.sort();
            return Err(WorktreeError::Dirty { worktree: worktree.to_owned(), paths: dirty });
        }
        let rehearse = self.checkout_git().args(["read-tree", "-m", "-u", "--dry-run"]);
        command::succeed(&rehearse.args([&old, &new]))?;
        Ok(())
    }

    /// Refuses where something that `old` does not hold, a nested repository say, stands where
    /// `new` has a file. Nothing is written, not even the index; the trees may be in memory.
    ///
    /// # Errors
    /// As [`Repo::update_checkout`].
    pub fn check_free(&self, old: ObjectId, new: ObjectId) -> Result<(), WorktreeError> {
        let Some(worktree) = self.work_dir() else {
            return Err(WorktreeError::BadPath(self.git_dir().to_owned()));
        };
        let (mut updated, mut added) = (BTreeSet::new(), Vec::new());
        for file in self.diff_stat(old, new)?.paths {
            match file.status {
                Status::Added => added.push(file.path.clone()),
                Status::Renamed(from) => {
                    updated.insert(from);
                    added.push(file.path.clone());
                }
                Status::Deleted | Status::Modified => {}
            }
            updated.insert(file.path);
        }
        let paths = |path: &BString| in_the_way(worktree, path.as_bstr(), &updated);
        let paths: BTreeSet<BString> = added.iter().flat_map(paths).collect();
        if paths.is_empty() {
            return Ok(());
        }
        let (worktree, paths) = (worktree.to_owned(), paths.into_iter().collect());
        Err(WorktreeError::Dirty { worktree, paths })
    }

    fn dirty(&self, worktree: &Path, old: &str, new: &str) -> Result<Vec<BString>, WorktreeError> {
        let tree = ["--no-renames", "--no-ext-diff", "-z"];
        let mut updated = BTreeSet::new();
        let mut added = Vec::new();
        let diff = self.git().args(["diff-tree", "-r", "--name-status"]).args(tree);
        for (status, path) in pairs(&command::succeed(&diff.args([old, new]))?) {
            if status == "A" {
                added.push(path.clone());
            }
            updated.insert(path);
        }
        let differs = |cmd: Cmd| -> Result<Vec<BString>, GitError> {
            let diff = cmd.args(["--name-only", "--ignore-submodules=dirty"]).args(tree).arg(old);
            Ok(names(&command::succeed(&diff)?).collect())
        };
        let on_disk = differs(self.git().arg("diff-index"))?;
        let staged = differs(self.git().args(["diff-index", "--cached"]))?;
        let mut dirty: BTreeSet<BString> =
            on_disk.into_iter().chain(staged).filter(|path| updated.contains(path)).collect();
        for path in added {
            dirty.extend(in_the_way(worktree, path.as_bstr(), &updated));
        }
        Ok(dirty.into_iter().collect())
    }

    /// git with the user's filters, but none of the hooks that writing an index or files can run.
    fn checkout_git(&self) -> Cmd {
        let settings =
            ["core.hooksPath=/dev/null", "core.fsmonitor=false", "submodule.recurse=false"];
        let git = self.without_configured_hooks(self.user_git());
        git.args(settings.iter().flat_map(|setting| ["-c", setting]))
    }
}

/// What stands where a new file is to go, or on the way to it, unless the update takes it away.
fn in_the_way(worktree: &Path, path: &BStr, updated: &BTreeSet<BString>) -> Vec<BString> {
    let folders = path.find_iter("/").map(|at| path[..at].as_bstr());
    for folder in folders {
        match fs::symlink_metadata(worktree.join(as_path(folder))) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) if updated.contains(folder) => return Vec::new(),
            Ok(_) => return vec![folder.to_owned()],
            Err(_) => return Vec::new(),
        }
    }
    match fs::symlink_metadata(worktree.join(as_path(path))) {
        Ok(meta) if meta.is_dir() => {
            let mut below = Vec::new();
            files_below(worktree, path, &mut below);
            below.retain(|file| !updated.contains(file));
            below
        }
        Ok(_) => vec![path.to_owned()],
        Err(_) => Vec::new(),
    }
}

fn files_below(worktree: &Path, folder: &BStr, into: &mut Vec<BString>) {
    let Ok(listing) = fs::read_dir(worktree.join(as_path(folder))) else {
        into.push(folder.to_owned());
        return;
    };
    for entry in listing.flatten() {
        let path = crate::git::index::join(folder, entry.file_name().as_bytes().as_bstr());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files_below(worktree, path.as_bstr(), into);
        } else {
            into.push(path);
        }
    }
}

fn names(output: &[u8]) -> impl Iterator<Item = BString> {
    output.split_str("\0").filter(|name| !name.is_empty()).map(BString::from)
}

fn pairs(output: &[u8]) -> Vec<(BString, BString)> {
    let mut fields = names(output);
    std::iter::from_fn(|| Some((fields.next()?, fields.next()?))).collect()
}
