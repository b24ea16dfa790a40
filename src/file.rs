//! Files that must never be seen half written, and reads that must never grow without bound.
//!
//! Invariant: after a crash a replaced file holds either the old bytes or the new ones.

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
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

/// What was found or done; none where there is no such file.
///
/// # Errors
/// Whatever else the file system said.
pub fn if_there<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a file; one that is not there is gone.
///
/// # Errors
/// Whatever the file system says.
pub fn remove(path: &Path) -> io::Result<()> {
    if_there(fs::remove_file(path)).map(drop)
}

/// Reads at most `limit` bytes of `path`; `None` if there is no such file.
///
/// # Errors
/// Whatever the file system says, other than that there is no such file.
pub fn read_capped(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = if_there(fs::File::open(path))? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Opens a plain file below `dir` to read; neither a pipe nor a device is opened or waited for,
/// even where one takes the file's place meanwhile.
///
/// # Errors
/// Whatever the file system says; [`io::ErrorKind::InvalidInput`] where it is no plain file.
pub fn open_plain(dir: &Dir, path: &Path) -> io::Result<std::fs::File> {
    let plain = |metadata: cap_std::fs::Metadata| match metadata.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file")),
    };
    plain(dir.metadata(path)?)?;
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = dir.open_with(path, OpenOptions::new().read(true).custom_flags(flags))?;
    plain(file.metadata()?)?;
    Ok(file.into_std())
}

/// Removes a folder with all that is in it, though parts of it may be closed to their owner; no
/// link is followed. One that is not there is gone.
///
/// # Errors
/// Whatever the file system says.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let gone = |done| if_there(done).map(drop);
    match gone(fs::remove_dir_all(path)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(error);
            };
            open_up(&Dir::open_ambient_dir(parent, ambient_authority())?, Path::new(name))?;
            gone(fs::remove_dir_all(path))
        }
        done => done,
    }
}

/// Opens a folder, and those below, to their owner.
fn open_up(dir: &Dir, name: &Path) -> io::Result<()> {
    if !dir.symlink_metadata(name)?.is_dir() {
        return Ok(());
    }
    let open = std::fs::Permissions::from_mode(0o700);
    dir.set_permissions(name, cap_std::fs::Permissions::from_std(open))?;
    let below = dir.open_dir(name)?;
    for entry in below.entries()? {
        open_up(&below, Path::new(&entry?.file_name()))?;
    }
    Ok(())
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
    fn what_is_closed_to_its_owner_is_removed_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, tree) = (folder.path().join("kept"), folder.path().join("tree"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "").unwrap();
        fs::write(tree.join("a/b/file"), "").unwrap();
        std::os::unix::fs::symlink(&kept, tree.join("a/link")).unwrap();
        for (name, mode) in [("a/b", 0o000), ("a", 0o500)] {
            let mode = std::fs::Permissions::from_mode(mode);
            fs::set_permissions(tree.join(name), mode).unwrap();
        }
        remove_tree(&tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && kept.join("file").exists());
    }

    #[test]
    fn what_is_no_plain_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let file = rustix::fs::CWD;
        rustix::fs::mkfifoat(file, folder.path().join("pipe"), mode).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        std::os::unix::fs::symlink("pipe", folder.path().join("link")).unwrap();
        for name in ["pipe", "socket", "link", "."] {
            let error = open_plain(&dir, Path::new(name)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
        }
        fs::write(folder.path().join("file"), "x").unwrap();
        open_plain(&dir, Path::new("file")).unwrap();
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
