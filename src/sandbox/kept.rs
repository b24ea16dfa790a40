//! Folders of a repository for what commands add to caches: numbered, each for one session at a
//! time.
//!
//! Invariant: who uses one holds its lock, and none is removed that somebody holds; what is in them
//! can be had again.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fs_err as fs;

use crate::file::remove_tree;

/// More sessions of a repository than this do not run at once with caches that last.
const MOST: u32 = 64;

/// One of them, held.
#[derive(Debug)]
pub(super) struct Kept {
    folder: PathBuf,
    _lock: File,
}

/// One that nobody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// Where it is.
    pub folder: PathBuf,
    /// When it was last taken.
    pub since: SystemTime,
}

impl Kept {
    /// Takes the first that is free; none where there is no repository.
    pub(super) fn take(common_dir: &Path) -> Option<Self> {
        if !common_dir.is_dir() {
            return None;
        }
        let root = root(common_dir);
        fs::create_dir_all(&root).ok()?;
        (0..MOST).find_map(|number| {
            let folder = root.join(number.to_string());
            let lock = hold(&folder).ok()?;
            if let Err(error) = lock.set_modified(SystemTime::now()) {
                tracing::debug!(%error, "when a cache was used is not known");
            }
            Some(Self { folder, _lock: lock })
        })
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Where they are.
fn root(common_dir: &Path) -> PathBuf {
    common_dir.join("agent/cache")
}

/// Those that nobody holds and that have something in them, by their names.
pub fn unused(common_dir: &Path) -> Vec<Unused> {
    let entries = fs::read_dir(root(common_dir)).into_iter().flatten().flatten();
    let folders = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
    let mut unused: Vec<_> = folders
        .filter_map(|folder| {
            let since = hold(&folder).ok()?.metadata().ok()?.modified().ok()?;
            Some(Unused { folder, since })
        })
        .collect();
    unused.sort_by(|one, other| one.folder.cmp(&other.folder));
    unused
}

/// Removes one, unless somebody holds it by now.
///
/// # Errors
/// [`io::ErrorKind::ResourceBusy`] where it is held; or whatever the file system says.
pub fn remove(folder: &Path) -> io::Result<()> {
    let _lock = hold(folder)?;
    remove_tree(folder)
}

fn hold(folder: &Path) -> io::Result<File> {
    // Not truncated: when it was last taken is the time of its last change.
    let lock = File::options().create(true).append(true).open(folder.with_extension("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, "a session uses it"))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn where_there_is_no_repository_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no/repository");
        assert!(Kept::take(&missing).is_none());
        assert!(!folder.path().join("no").exists());
        let kept = Kept::take(folder.path()).unwrap();
        assert_eq!(kept.folder(), folder.path().join("agent/cache/0"));
    }

    #[test]
    fn k08_what_nobody_holds_is_listed_and_removed_closed_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (Kept::take(folder.path()).unwrap(), Kept::take(folder.path()).unwrap());
        for kept in [&one, &two] {
            // As an overlay leaves it.
            let work = kept.folder().join("registry/work/work");
            fs::create_dir_all(&work).unwrap();
            fs::set_permissions(work, std::fs::Permissions::from_mode(0o000)).unwrap();
        }
        assert_eq!(unused(folder.path()), []);
        let (first, second) = (one.folder().to_owned(), two.folder().to_owned());
        drop(one);
        let listed: Vec<_> = unused(folder.path()).into_iter().map(|it| it.folder).collect();
        assert_eq!(listed, std::slice::from_ref(&first));
        assert_eq!(remove(&second).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        remove(&first).unwrap();
        assert!(!first.exists() && second.exists());
        assert_eq!(unused(folder.path()), []);
    }
}
