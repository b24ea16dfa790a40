//! The files of a checkout, brought along when its branch moves.
//!
//! [`Repo::update_checkout`] does it; here is what a landing needs around it: to know beforehand,
//! without a write and of trees that are in memory only, and to go back where it stopped half way.
//!
//! Invariant: nothing is overwritten that is in no commit; either all paths change or none.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;

use super::{LandError, same};
use crate::git::{BString, ObjectId, Repo, Status, WorktreeError};
use crate::process::{Cmd, Finished};

/// How long somebody who writes an index is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same where it may be what a landing has left running that was killed.
const MORE_PATIENCE: Duration = Duration::from_secs(10);

/// A folder with files of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// The folder.
    pub path: PathBuf,
    /// Its git dir.
    pub git_dir: PathBuf,
    /// What was carried from a checkout into the session: files that hold it may be replaced.
    pub carried: Option<ObjectId>,
}

impl Checkout {
    /// Whether the files could follow from one tree to another; nothing is written. The trees are
    /// in `view`, maybe there alone.
    ///
    /// # Errors
    /// [`LandError::InTheWay`] with the files that are in the way; or the index is locked.
    pub fn rehearse(&self, view: &Repo, old: ObjectId, new: ObjectId) -> Result<(), LandError> {
        self.await_index(PATIENCE)?;
        let repo = view.view_of(&self.git_dir)?;
        let changed = Changed::between(view, old, new)?;
        let mut paths = self.untracked(&repo, view, old, &changed.added)?;
        paths.extend(dirty(&repo, &changed.all)?);
        paths.extend(same::hidden(&repo, &changed.all)?);
        paths.sort();
        paths.dedup();
        if !paths.is_empty() {
            let held = same::held(&repo, view, &changed.all, [old, new], self.carried)?;
            paths.retain(|path| {
                !held.iter().any(|(held, _)| String::from_utf8_lossy(held) == *path)
            });
        }
        match paths.is_empty() {
            true => Ok(()),
            false => Err(LandError::InTheWay { path: self.path.clone(), paths }),
        }
    }

    /// Brings the index and the files from one tree to another. [`Checkout::rehearse`] comes
    /// before; what changed since is refused here.
    ///
    /// # Errors
    /// Something is in the way by now, the index is locked, or the disk is full. Files may have
    /// changed then; [`Checkout::put_back`] puts them right.
    pub fn update(&self, view: &Repo, old: ObjectId, new: ObjectId) -> Result<(), LandError> {
        let repo = view.view_of(&self.git_dir)?;
        let error = match repo.update_checkout(old, new) {
            Err(error @ WorktreeError::Dirty { .. }) => error,
            updated => return Ok(updated?),
        };
        let changed = Changed::between(view, old, new)?.all;
        let held = same::held(&repo, view, &changed, [old, new], self.carried)?;
        if held.is_empty() {
            return Err(error.into());
        }
        // What they hold is in a commit: they are taken for unchanged.
        let at = view.edit_tree(Some(old), &held)?;
        same::stage(&repo, &held)?;
        Ok(repo.update_checkout(at, new)?)
    }

    /// Puts right what an [`Checkout::update`] from `old` to `new` left that was cut off or failed:
    /// files that are at `new`, or as far as a full disk let them come, while the index is still at
    /// `old`, go back. A file that is at neither is somebody's work and stays.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn put_back(&self, view: &Repo, old: ObjectId, new: ObjectId) -> Result<(), LandError> {
        let repo = view.view_of(&self.git_dir)?;
        let changed = Changed::between(view, old, new)?.all;
        if !self.is_at(view, old, new)? {
            return self.restore(&repo, view, old, new, &changed);
        }
        // It has come as far as the index, which is written last.
        self.update(view, new, old)
    }

    /// Finishes an update from `old` to `new` that was cut off, wherever it was.
    ///
    /// # Errors
    /// The index is locked, as by what the update had started; or as [`Checkout::update`].
    pub fn catch_up(&self, view: &Repo, old: ObjectId, new: ObjectId) -> Result<(), LandError> {
        self.await_index(MORE_PATIENCE)?;
        if self.is_at(view, old, new)? {
            return Ok(());
        }
        self.put_back(view, old, new)?;
        self.update(view, old, new)
    }

    /// Whether the index has come from tree `old` to `new`.
    fn is_at(&self, view: &Repo, old: ObjectId, new: ObjectId) -> Result<bool, LandError> {
        let repo = view.view_of(&self.git_dir)?;
        let changed = Changed::between(view, old, new)?.all;
        let new = new.to_string();
        let staged = ["diff-index", "-z", "--name-only", "--no-renames", "--cached", &new];
        Ok(list(&repo, &staged, &changed)?.is_empty())
    }

    fn restore(
        &self,
        repo: &Repo,
        view: &Repo,
        old: ObjectId,
        new: ObjectId,
        changed: &[BString],
    ) -> Result<(), LandError> {
        // Indexes without stat data, so that git compares the content of each file.
        let scratch = tempfile::tempdir()?;
        let [was, would_be] = [old, new].map(|tree| scratch.path().join(tree.to_string()));
        let with = |index: &Path, args: &[&str]| repo.git().env("GIT_INDEX_FILE", index).args(args);
        for (index, tree) in [(&was, old), (&would_be, new)] {
            said(&with(index, &["read-tree", &tree.to_string()]).run()?)?;
        }
        // What was taken for unchanged, which the index has by then.
        let old_hex = old.to_string();
        let staged = ["diff-index", "-z", "--name-only", "--no-renames", "--cached", &old_hex];
        let staged = list(repo, &staged, changed)?;
        let diff = ["diff", "-z", "--name-only", "--no-ext-diff", "--no-textconv"];
        let differs: HashSet<_> = list_by(&with(&would_be, &diff), changed)?.into_iter().collect();
        let (mut from_index, mut from_old) = (Vec::new(), Vec::new());
        for path in changed {
            let full = self.path.join(os_path(path));
            let (before, after) = (view.entry(old, path)?, view.entry(new, path)?);
            let there = fs::symlink_metadata(&full).is_ok();
            let moved = match (there, &after) {
                (false, _) => before.is_some(),
                (true, None) => false,
                (true, Some(_)) => {
                    !differs.contains(&path.to_string()) || is_cut_off(repo, &full, new, path)?
                }
            };
            match (staged.contains(&path.to_string()), before) {
                _ if !moved => {}
                (true, _) if there => from_index.push(path),
                (true, _) => {}
                (false, Some(_)) => from_old.push(path),
                // What was new goes first: on a full disk, the rest needs its room.
                (false, None) => self.take_away(&full)?,
            }
        }
        let write = ["checkout-index", "-q", "-f", "-z", "--stdin"];
        for (git, paths) in [(repo.git().args(write), from_index), (with(&was, &write), from_old)] {
            let paths: Vec<u8> =
                paths.into_iter().flat_map(|path| [path, &b"\0"[..]].concat()).collect();
            if !paths.is_empty() {
                said(&git.stdin(paths).run()?)?;
            }
        }
        Ok(())
    }

    /// Deletes a file, and the folders that it leaves empty.
    fn take_away(&self, file: &Path) -> io::Result<()> {
        fs::remove_file(file)?;
        let folders = file.ancestors().skip(1).take_while(|folder| *folder != self.path);
        for folder in folders {
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Waits until nobody writes the index.
    fn await_index(&self, patience: Duration) -> Result<(), LandError> {
        let lock = self.git_dir.join("index.lock");
        let deadline = Instant::now() + patience;
        while lock.exists() {
            if Instant::now() > deadline {
                return Err(LandError::IndexLocked { path: self.path.clone(), lock });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Files at these paths that git does not track, ignored ones too, and files where these paths
    /// need a folder.
    fn untracked(
        &self,
        repo: &Repo,
        view: &Repo,
        old: ObjectId,
        added: &[BString],
    ) -> Result<Vec<String>, LandError> {
        let mut there = Vec::new();
        for path in added {
            if let Some(obstacle) = obstacle(&self.path, path)
                && !there.contains(&obstacle)
            {
                // What the old tree has there goes away by itself, or is refused if it is dirty.
                let tracked = view.entry(old, &obstacle)?;
                if tracked.is_none_or(|entry| entry.mode == crate::git::Mode::Tree) {
                    there.push(obstacle);
                }
            }
        }
        list(repo, &["ls-files", "-z", "--others"], &there)
    }
}

/// Whether a file holds the beginning of what a tree has there, as the user's filters write it:
/// nothing that would be lost.
fn is_cut_off(repo: &Repo, full: &Path, tree: ObjectId, path: &BString) -> io::Result<bool> {
    if !fs::symlink_metadata(full)?.is_file() {
        return Ok(false);
    }
    let mut object = std::ffi::OsString::from(format!("{tree}:"));
    object.push(os_path(path));
    let whole =
        repo.git().args(["cat-file", "--filters"]).arg(object).run().map_err(io::Error::other)?;
    Ok(whole.exit == 0 && whole.stdout.starts_with(&fs::read(full)?))
}

/// The paths that differ between two trees.
struct Changed {
    all: Vec<BString>,
    added: Vec<BString>,
}

impl Changed {
    fn between(view: &Repo, old: ObjectId, new: ObjectId) -> Result<Self, LandError> {
        let mut changed = Self { all: Vec::new(), added: Vec::new() };
        for file in view.diff_stat(old, new)?.paths {
            if let Status::Renamed(from) = &file.status {
                changed.all.push(from.clone());
            }
            if matches!(file.status, Status::Added | Status::Renamed(_)) {
                changed.added.push(file.path.clone());
            }
            changed.all.push(file.path);
        }
        Ok(changed)
    }
}

/// What is on disk at this path, or where a folder above it would have to be.
fn obstacle(root: &Path, path: &BString) -> Option<BString> {
    let mut end = 0;
    loop {
        let next = path[end..].iter().position(|byte| *byte == b'/').map(|at| end + at);
        let part = &path[..next.unwrap_or(path.len())];
        let meta = fs::symlink_metadata(root.join(os_path(part))).ok()?;
        if next.is_none() || !meta.is_dir() {
            return Some(part.into());
        }
        end = next? + 1;
    }
}

pub(super) fn os_path(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;

    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// Which of these paths the user has changed, in the index or on disk.
fn dirty(repo: &Repo, paths: &[BString]) -> Result<Vec<String>, LandError> {
    let mut dirty = list(repo, &["diff-files", "-z", "--name-only", "--ignore-submodules"], paths)?;
    if !dirty.is_empty() {
        // A file that was merely touched is told from a changed one by its content, with the clean
        // filters of the user.
        dirty = list(
            repo,
            &["diff", "-z", "--name-only", "--no-ext-diff", "--no-textconv", "--ignore-submodules"],
            paths,
        )?;
    }
    let staged = ["diff-index", "-z", "--name-only", "--cached", "--ignore-submodules", "HEAD"];
    dirty.extend(list(repo, &staged, paths)?);
    Ok(dirty)
}

/// Runs a git command that lists paths, for these paths only; for none it lists none.
pub(super) fn list(
    repo: &Repo,
    command: &[&str],
    paths: &[BString],
) -> Result<Vec<String>, LandError> {
    list_by(&repo.git().args(command), paths)
}

fn list_by(command: &Cmd, paths: &[BString]) -> Result<Vec<String>, LandError> {
    // So many that a command line can hold them.
    const AT_ONCE: usize = 500;
    let mut listed = Vec::new();
    for some in paths.chunks(AT_ONCE) {
        let cmd = command.clone().env("GIT_LITERAL_PATHSPECS", "1").arg("--");
        let cmd = cmd.args(some.iter().map(|path| os_path(path)));
        let done = cmd.run()?;
        let lines = said(&done)?.split(|byte| *byte == 0).filter(|line| !line.is_empty());
        listed.extend(lines.map(|line| String::from_utf8_lossy(line).into_owned()));
    }
    Ok(listed)
}

pub(super) fn said(done: &Finished) -> Result<&[u8], LandError> {
    if done.exit == 0 {
        return Ok(&done.stdout);
    }
    Err(io::Error::other(String::from_utf8_lossy(&done.stderr).trim().to_owned()).into())
}
