//! A little space kept back on the disk, so that a session that must rest because the disk is full
//! can still say so.
//!
//! Invariant: nothing is ever read from it; without it everything works, on a disk with space.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

/// More than a state takes, with its plan and summary.
const SIZE: usize = 64 << 10;

/// Keeps space in a session's folder, if none is kept there yet.
///
/// # Errors
/// There is none to keep.
pub fn keep(folder: &Path) -> io::Result<()> {
    let path = path(folder);
    if fs::metadata(&path).is_ok_and(|kept| kept.len() >= SIZE as u64) {
        return Ok(());
    }
    // Not zeros: a file system that compresses would keep nothing of them.
    let mut word = 1_u32;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        word.to_be_bytes()[0]
    })
    .take(SIZE)
    .collect();
    fs::write(path, bytes)
}

/// Gives the space back to who needs it now.
///
/// # Errors
/// There is none, or it cannot be given back.
pub fn give_back(folder: &Path) -> io::Result<()> {
    fs::remove_file(path(folder))
}

fn path(folder: &Path) -> PathBuf {
    folder.join("reserve")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_kept_once_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(path(folder.path()), "cut short by a full disk").unwrap();
        keep(folder.path()).unwrap();
        assert_eq!(fs::metadata(path(folder.path())).unwrap().len(), SIZE as u64);
        keep(folder.path()).unwrap();
        give_back(folder.path()).unwrap();
        assert!(give_back(folder.path()).is_err());
    }
}
