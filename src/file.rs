//! Files that must never be seen half written, and reads that must never grow without bound.
//!
//! Invariant: after a crash a replaced file holds either the old bytes or the new ones.

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

/// What a tool may have changed in the worktree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Nothing.
    Nothing,
    /// These paths, relative to the worktree, and no other.
    Paths(Vec<PathBuf>),
    /// Anything: a program ran.
    Anything,
}

impl Changed {
    /// What this and `other` may have changed together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Anything, _) | (_, Self::Anything) => Self::Anything,
            (Self::Nothing, other) | (other, Self::Nothing) => other,
            (Self::Paths(mut paths), Self::Paths(more)) => {
                paths.extend(more);
                Self::Paths(paths)
            }
        }
    }
}

/// Replaces `path` with `bytes`, atomically and durably: a temporary file beside it, synced,
/// renamed over it. The folder must exist. A symbolic link is followed, so that it stays one.
///
/// # Errors
/// Whatever the file system says; the old content is then still there.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_beside(path, bytes, true, None)
}

/// As [`replace`], with this mode.
///
/// # Errors
/// Whatever the file system says; the old content is then still there.
pub fn replace_with_mode(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write_beside(path, bytes, true, Some(mode))
}

/// As [`replace`], without waiting for the disk: for what can be rebuilt after a power cut.
///
/// # Errors
/// Whatever the file system says; the old content is then still there.
pub fn replace_unsynced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_beside(path, bytes, false, None)
}

fn write_beside(path: &Path, bytes: &[u8], durable: bool, mode: Option<u32>) -> io::Result<()> {
    let target = match fs::canonicalize(path) {
        Ok(resolved) => resolved,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    let folder = target.parent().ok_or_else(|| io::Error::other("a file has no parent folder"))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| unnamed(&error))?;
    file.as_file_mut().write_all(bytes)?;
    if let Some(mode) = mode {
        file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
    }
    if durable {
        file.as_file().sync_data()?;
    }
    file.persist(&target).map_err(|error| error.error)?;
    Ok(())
}

/// `git-agent` in the user's folder of state, as the XDG base directory specification has it; none
/// where the user has no home.
pub fn state_folder() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = given.filter(|path| path.is_absolute()).or_else(|| {
        Some(std::env::home_dir().filter(|home| home.is_absolute())?.join(".local/state"))
    })?;
    Some(state.join("git-agent"))
}

/// What the system said, without the name of a temporary file that nobody has heard of.
pub fn unnamed(error: &io::Error) -> io::Error {
    let words = error.to_string();
    io::Error::new(error.kind(), words.split(" at path ").next().unwrap_or_default())
}

/// Reads a text file, with no question to the system but for its bytes: of a thousand small files
/// those are half the time.
///
/// # Errors
/// Whatever the file system says, or it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(4 << 10);
    // A file alone would be asked for its length first, and for the place in it.
    fs::File::open(path)?.take(u64::MAX).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} is not UTF-8", path.display()))
    })
}

/// Reads at most `limit` bytes of `path`; `None` if there is no such file.
///
/// # Errors
/// Whatever the file system says, other than that there is no such file.
pub fn read_capped(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replace_keeps_a_symbolic_link_one() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn what_cannot_be_written_is_told_in_the_systems_words() {
        let error = replace(Path::new("/nowhere/file"), b"new").unwrap_err();
        assert_eq!(error.to_string(), "No such file or directory (os error 2)");
    }

    #[test]
    fn a_read_stops_at_its_limit_and_a_missing_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        assert_eq!(read_capped(&path, 3).unwrap(), None);
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_capped(&path, 3).unwrap().unwrap(), b"123");
    }
}
