//! What the sessions of all of a user's repositories share: slots, and the list of repositories
//! where somebody waits.
//!
//! Invariant: it may be missing, on a home that cannot be written say: then each repository has its
//! own slots alone.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::file;

/// The user's folder of ours.
pub(super) struct User {
    folder: PathBuf,
}

impl User {
    /// The folder, made if it is missing; none where it cannot be.
    pub(super) fn open() -> Option<Self> {
        let folder = crate::file::state_folder()?;
        match fs::create_dir_all(folder.join(WAITING)) {
            Ok(()) => Some(Self { folder }),
            Err(error) => {
                tracing::warn!(%error, "agent.maxRunningTotal does not hold");
                None
            }
        }
    }

    /// Whether anybody waits in any repository, as far as is known.
    pub(super) fn is_waited_for() -> bool {
        let entries =
            crate::file::state_folder().and_then(|folder| fs::read_dir(folder.join(WAITING)).ok());
        entries.is_some_and(|mut entries| entries.next().is_some())
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The git dirs of the repositories where somebody waits.
    pub(super) fn waiting(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.join(WAITING)).into_iter().flatten().flatten();
        let dirs = entries.filter_map(|entry| fs::read(entry.path()).ok());
        dirs.map(|bytes| PathBuf::from(OsStr::from_bytes(&bytes))).collect()
    }

    /// Writes down whether somebody waits in a repository. The caller alone gives slots away.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(super) fn register(&self, common_dir: &Path, waits: bool) -> io::Result<()> {
        let path = self.folder.join(WAITING).join(name(common_dir));
        if waits {
            return if path.exists() {
                Ok(())
            } else {
                file::replace_unsynced(&path, common_dir.as_os_str().as_bytes())
            };
        }
        file::remove(&path)
    }
}

/// The folder of the repositories where somebody waits.
const WAITING: &str = "waiting";

/// A name for the file of a repository: no two have the same.
fn name(common_dir: &Path) -> String {
    format!("{:016x}", super::start::fingerprint(common_dir.as_os_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_known_while_somebody_waits_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(WAITING)).unwrap();
        let user = User { folder: folder.path().to_owned() };
        let odd = PathBuf::from(OsStr::from_bytes(b"/wo rk/\xff\n/.git"));
        for dir in [Path::new("/shop/.git"), &odd, &odd] {
            user.register(dir, true).unwrap();
        }
        let mut waiting = user.waiting();
        waiting.sort();
        assert_eq!(waiting, [Path::new("/shop/.git"), &odd]);
        user.register(&odd, false).unwrap();
        user.register(&odd, false).unwrap();
        assert_eq!(user.waiting(), [Path::new("/shop/.git")]);
    }
}
