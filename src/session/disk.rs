//! The space that is left where a session lives.
//!
//! Invariant: a floor stops what would fill the disk before the disk stops it half way; a file
//! system that does not tell stops nothing.

use std::path::{Path, PathBuf};

/// There is less space than the user wants kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} MiB are free at {}, less than agent.minFreeDisk wants: {} MiB",
    free >> 20, path.display(), floor.div_ceil(1 << 20)
)]
pub struct LowDisk {
    /// Where.
    pub path: PathBuf,
    /// What is free for this user, in bytes.
    pub free: u64,
    /// `agent.minFreeDisk`, in bytes.
    pub floor: u64,
}

/// Refuses where less than `floor` bytes are free for this user at a path, or at the nearest
/// folder above it that is there.
///
/// # Errors
/// Less is free.
pub fn check(path: &Path, floor: u64) -> Result<(), LowDisk> {
    match path.ancestors().find_map(free).filter(|free| *free < floor) {
        Some(free) => Err(LowDisk { path: path.to_owned(), free, floor }),
        None => Ok(()),
    }
}

/// What is free for this user on the file system of a path; none where there is no such path.
fn free(path: &Path) -> Option<u64> {
    let told = rustix::fs::statvfs(path).ok()?;
    told.f_bavail.checked_mul(told.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k07_a_floor_is_passed_or_not_also_for_what_is_not_there_yet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not/there");
        assert_eq!(check(&path, 0), Ok(()));
        let low = check(&path, u64::MAX).unwrap_err();
        assert_eq!((&low.path, low.free > 0), (&path, true));
        let low = LowDisk { path: "/x".into(), free: 300 << 20, floor: 512 << 20 };
        assert_eq!(
            low.to_string(),
            "300 MiB are free at /x, less than agent.minFreeDisk wants: 512 MiB"
        );
    }
}
