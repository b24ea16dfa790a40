//! Who runs a session: the process that holds its lock, for as long as it lives.
//!
//! A session is locked twice: by the file `lock` in its folder, and by the folder itself, which
//! nobody deletes by accident. Where the file system locks no folders, the file has to do.
//!
//! Invariant: the lock is the kernel's, so it goes with its holder, however that ends; the number
//! in the file is only for people and for signals, which go to none but a holder that listens.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::death;
use crate::file;

/// How long a lock that is held may be a mere look of [`holder`] at it.
const PATIENCE: Duration = Duration::from_millis(300);

/// The line of a holder that heeds signals, below its marks.
const LISTENS: &str = "listens";

/// A lock that is held until this is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// The folder around it, where that is locked too: held for its drop.
    folder: Option<File>,
    left: String,
}

/// The process that holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id as it wrote it down; none where it had no time to.
    pub pid: Option<u32>,
    /// Whether it said that it heeds signals; any other may be ended by one.
    pub listens: bool,
}

/// A lock that is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("it is run by {}", match holder.pid { Some(pid) => format!("process {pid}"), None => "another process".to_owned() })]
    Held {
        /// That process.
        holder: Holder,
    },
    /// The lock file cannot be used.
    #[error("cannot use the lock {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock, or says who has it.
    ///
    /// # Errors
    /// Another process has it, or the file cannot be used.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        Self::acquire_within(path, PATIENCE)
    }

    /// As [`Lock::acquire`], waiting for another holder to end for at most this long.
    ///
    /// # Errors
    /// Another process still has it, or the file cannot be used.
    pub fn acquire_within(path: &Path, patience: Duration) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.to_owned(), source };
        let mut file = open(path).map_err(failed)?;
        if !try_within(&file, patience).map_err(failed)? {
            return Err(LockError::Held { holder: Holder::written_in(&mut file) });
        }
        let left = text_of(&mut file);
        // The lock holds without the number too, on a full disk say.
        if let Err(error) = write_pid(&mut file) {
            tracing::debug!(%error, path = %path.display(), "process id not written to the lock");
        }
        Ok(Self { file, folder: None, left })
    }

    /// As [`Lock::acquire`], with the folder around the file: so nobody else is let in where the
    /// file was deleted under its holder.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    pub fn acquire_with_folder(path: &Path) -> Result<Self, LockError> {
        let folder = folder_of(path)
            .map_err(|source| LockError::Io { path: path.to_owned(), source })?
            .filter(|folder| match try_within(folder, PATIENCE) {
                Ok(is_locked) => is_locked,
                Err(error) => {
                    tracing::debug!(%error, path = %path.display(), "the folder is not locked");
                    false
                }
            });
        if folder.is_none() && is_folder_held(path) {
            let holder = holder(path).ok().flatten().unwrap_or(Holder::UNKNOWN);
            return Err(LockError::Held { holder });
        }
        let mut lock = Self::acquire(path)?;
        lock.folder = folder;
        Ok(lock)
    }

    /// Says that this process heeds signals, from now until it lets go. Where that cannot be
    /// written, on a full disk say, none are sent to it.
    pub fn listen(&mut self) {
        if let Err(error) = writeln!(self.file, "{LISTENS}") {
            tracing::warn!(%error, "nobody knows that this process listens");
        }
    }

    /// What the last holder has left in the file, if it did not let go of it by itself.
    pub fn left(&self) -> &str {
        &self.left
    }
}

/// Tries to lock this for so long; says whether it is.
fn try_within(file: &File, patience: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(source)) => return Err(source),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => return Ok(false),
        }
    }
}

impl Lock {
    /// The file that holds the lock, for a child to inherit: the lock is then held until the child
    /// ends, or lets go of it.
    ///
    /// # Errors
    /// There are no more file descriptors; the lock is let go then.
    pub fn hand_over(self) -> io::Result<File> {
        // The lock belongs to what both are open on, so closing the one lets go of nothing.
        self.file.try_clone()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A number left behind misleads nobody who asks the lock first.
        if let Err(error) = self.file.set_len(0) {
            tracing::debug!(%error, "process id left in the lock");
        }
        drop(self.folder.take());
    }
}

/// Who holds the lock, none if it is free or was never made.
///
/// # Errors
/// The file cannot be opened or asked.
pub fn holder(path: &Path) -> io::Result<Option<Holder>> {
    let Some(mut file) = file::if_there(File::open(path))? else { return Ok(None) };
    // Shared, so that those who look do not see each other.
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(Holder::written_in(&mut file))),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// As [`holder`], for a lock that was taken with its folder.
///
/// # Errors
/// The file cannot be opened or asked.
pub fn holder_with_folder(path: &Path) -> io::Result<Option<Holder>> {
    match holder(path)? {
        // What is in a file that nobody holds was left by somebody else.
        None if is_folder_held(path) => Ok(Some(Holder::UNKNOWN)),
        found => Ok(found),
    }
}

/// What a holder that is gone has left in the file; nothing if it let go by itself.
pub(super) fn left_in(path: &Path) -> String {
    File::open(path).map(|mut file| text_of(&mut file)).unwrap_or_default()
}

fn folder_of(path: &Path) -> io::Result<Option<File>> {
    path.parent().map(File::open).transpose()
}

fn is_folder_held(path: &Path) -> bool {
    let folder = folder_of(path).ok().flatten();
    folder.is_some_and(|it| matches!(it.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}\n{}", std::process::id(), death::marks())
}

impl Holder {
    /// One that has written nothing down.
    const UNKNOWN: Self = Self { pid: None, listens: false };

    fn written_in(file: &mut File) -> Self {
        let text = text_of(file);
        Self {
            pid: text.lines().next().and_then(|line| line.trim().parse().ok()),
            listens: text.lines().any(|line| line == LISTENS),
        }
    }
}

/// The beginning of the file, which is all that is ever in it.
fn text_of(file: &mut File) -> String {
    let mut text = String::new();
    match file.rewind().and_then(|()| file.take(1 << 10).read_to_string(&mut text)) {
        Ok(_) => text,
        Err(error) => {
            tracing::debug!(%error, "a lock cannot be read");
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e04_one_holder_and_the_other_learns_who_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert_eq!(holder(&path).unwrap(), None);
        let mut lock = Lock::acquire(&path).unwrap();
        let me = Holder { pid: Some(std::process::id()), listens: false };
        assert_eq!(holder(&path).unwrap(), Some(me));
        match Lock::acquire_within(&path, Duration::ZERO).unwrap_err() {
            LockError::Held { holder } => assert_eq!(holder, me),
            other => panic!("{other}"),
        }
        lock.listen();
        assert_eq!(holder(&path).unwrap(), Some(Holder { listens: true, ..me }));
        drop(lock);
        assert_eq!(holder(&path).unwrap(), None);
        Lock::acquire(&path).unwrap();
    }

    #[test]
    fn e05_a_number_left_by_the_dead_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        fs_err::write(&path, format!("{}\n", std::process::id())).unwrap();
        assert_eq!(holder(&path).unwrap(), None);
        Lock::acquire(&path).unwrap();
    }

    #[test]
    fn a_lock_whose_file_was_deleted_still_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert_eq!(holder_with_folder(&path).unwrap(), None);
        let lock = Lock::acquire_with_folder(&path).unwrap();
        assert_eq!(lock.left(), "");
        fs_err::remove_file(&path).unwrap();
        assert_eq!(holder_with_folder(&path).unwrap(), Some(Holder::UNKNOWN));
        fs_err::write(&path, "77\nlistens\n").unwrap();
        assert_eq!(holder_with_folder(&path).unwrap(), Some(Holder::UNKNOWN), "77 is another's");
        let error = Lock::acquire_with_folder(&path).unwrap_err();
        assert_eq!(error.to_string(), "it is run by another process");
        drop(lock);
        assert_eq!(holder_with_folder(&path).unwrap(), None);
        fs_err::write(&path, "77\nboot x\n").unwrap();
        assert_eq!(Lock::acquire_with_folder(&path).unwrap().left(), "77\nboot x\n");
        assert_eq!(left_in(&path), "");
    }

    #[test]
    fn a_lock_that_is_handed_over_lives_as_long_as_what_it_was_given_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let file = Lock::acquire(&path).unwrap().hand_over().unwrap();
        assert_eq!(holder(&path).unwrap(), Some(Holder::UNKNOWN));
        file.unlock().unwrap();
        assert_eq!(holder(&path).unwrap(), None);
    }

    #[test]
    fn a_look_at_the_lock_does_not_keep_a_supervisor_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let look = open(&path).unwrap();
        look.try_lock_shared().unwrap();
        std::thread::scope(|scope| {
            let taken =
                scope.spawn(|| Lock::acquire_within(&path, Duration::from_secs(10)).is_ok());
            std::thread::sleep(Duration::from_millis(30));
            drop(look);
            assert!(taken.join().unwrap());
        });
    }
}
