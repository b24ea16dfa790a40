//! The files of a checkout, brought along when its branch moves.
//!
//! git's own two-tree merge does it (git-read-tree(1)): paths that the two trees have in common
//! keep what the user did to them, in the index and on disk; the others change. git takes ignored
//! files for expendable, so those are looked for before.
//!
//! Invariant: nothing is overwritten that is in no commit; either all paths change or none.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::LandError;
use crate::git::{BString, ObjectId, Repo, Status};
use crate::process::{Cmd, Finished};

/// A folder with files of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// The folder.
    pub path: PathBuf,
    /// Its git dir.
    pub git_dir: PathBuf,
}

impl Checkout {
    /// Whether the files could follow from one tree to another; nothing is written. The trees are
    /// in `view`, maybe there alone.
    ///
    /// # Errors
    /// [`LandError::InTheWay`] with the files that are in the way.
    pub fn rehearse(&self, view: &Repo, old: ObjectId, new: ObjectId) -> Result<(), LandError> {
        let repo = Repo::open(&self.git_dir)?;
        let changed = Changed::between(view, old, new)?;
        let mut paths = self.untracked(&repo, view, old, &changed.added)?;
        paths.extend(dirty(&repo, &changed.all)?);
        paths.sort();
        paths.dedup();
        match paths.is_empty() {
            true => Ok(()),
            false => Err(LandError::InTheWay { path: self.path.clone(), paths }),
        }
    }

    /// Brings the index and the files from one tree to another. [`Checkout::rehearse`] comes
    /// before; what changed since is still refused by git.
    ///
    /// # Errors
    /// Something is in the way by now, the index is locked, or the disk is full.
    pub fn update(&self, old: ObjectId, new: ObjectId) -> Result<(), LandError> {
        let repo = Repo::open(&self.git_dir)?;
        let [old, new] = [old, new].map(|tree| tree.to_string());
        let follow = repo.git().args(["read-tree", "-m", "-u", &old, &new]);
        if follow.run()?.exit == 0 {
            return Ok(());
        }
        // A file that was merely touched counts as changed until the index is refreshed. Its exit
        // code says that something else has changed, which read-tree says better.
        repo.git().args(["update-index", "-q", "--refresh"]).run()?;
        said(&follow.run()?).map(drop)
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

fn os_path(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;

    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// Which of these paths the user has changed, in the index or on disk.
fn dirty(repo: &Repo, paths: &[BString]) -> Result<Vec<String>, LandError> {
    let mut dirty = list(repo, &["diff-files", "-z", "--name-only", "--ignore-submodules"], paths)?;
    if !dirty.is_empty() {
        // A file that was merely touched is told from a changed one by its content, with the clean
        // filters of the user.
        dirty = list(repo, &["diff", "-z", "--name-only", "--no-ext-diff", "--no-textconv", "--ignore-submodules"], paths)?;
    }
    let staged = ["diff-index", "-z", "--name-only", "--cached", "--ignore-submodules", "HEAD"];
    dirty.extend(list(repo, &staged, paths)?);
    Ok(dirty)
}

/// Runs a git command that lists paths, for these paths only; for none it lists none.
fn list(repo: &Repo, command: &[&str], paths: &[BString]) -> Result<Vec<String>, LandError> {
    // So many that a command line can hold them.
    const AT_ONCE: usize = 500;
    let mut listed = Vec::new();
    for some in paths.chunks(AT_ONCE) {
        let cmd = repo.git().env("GIT_LITERAL_PATHSPECS", "1").args(command).arg("--");
        let cmd: Cmd = cmd.args(some.iter().map(|path| os_path(path)));
        let stdout = said(&cmd.run()?)?;
        let lines = stdout.split(|byte| *byte == 0).filter(|line| !line.is_empty());
        listed.extend(lines.map(|line| String::from_utf8_lossy(line).into_owned()));
    }
    Ok(listed)
}

fn said(done: &Finished) -> Result<&[u8], LandError> {
    if done.exit == 0 {
        return Ok(&done.stdout);
    }
    Err(io::Error::other(String::from_utf8_lossy(&done.stderr).trim().to_owned()).into())
}
