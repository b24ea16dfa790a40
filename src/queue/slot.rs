//! Slots: a folder of numbered files, each locked by the supervisor that runs in it.
//!
//! Invariant: a slot is taken exactly as long as a process lives that was given it, or until that
//! lets go; there is nothing to clean up.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use rustix::fs::FlockOperation;

use crate::file;
use crate::session::lock::{self, Lock, LockError};

/// The slots of a repository, or of the user.
pub(super) struct Slots {
    folder: PathBuf,
}

impl Slots {
    /// Those in this folder of ours.
    pub(super) fn in_folder(root: &Path) -> Self {
        Self { folder: root.join("slots") }
    }

    /// The right to give slots away, which one process has at a time.
    ///
    /// # Errors
    /// Another still has it, or the file cannot be used.
    pub(super) fn turn(&self, patience: Duration) -> Result<Lock, LockError> {
        let path = self.folder.join("turn");
        fs::create_dir_all(&self.folder)
            .map_err(|source| LockError::Io { path: path.clone(), source })?;
        Lock::acquire_within(&path, patience)
    }

    /// How many are taken.
    ///
    /// # Errors
    /// A slot cannot be looked at.
    pub(super) fn taken(&self) -> io::Result<usize> {
        let mut taken = 0;
        for path in self.all()? {
            taken += usize::from(lock::holder(&path)?.is_some());
        }
        Ok(taken)
    }

    /// A free one, where not yet `most` are taken.
    ///
    /// # Errors
    /// A slot cannot be looked at or made.
    pub(super) fn take(&self, most: u32) -> io::Result<Option<Lock>> {
        fs::create_dir_all(&self.folder)?;
        // Where fewer may run than before, those beyond are still counted.
        if self.taken()? >= most as usize {
            return Ok(None);
        }
        for number in 1..=most {
            let path = self.folder.join(number.to_string());
            if lock::holder(&path)?.is_some() {
                continue;
            }
            // Waits for others that merely look at it.
            match Lock::acquire(&path) {
                Ok(lock) => return Ok(Some(lock)),
                Err(LockError::Held { .. }) => {}
                Err(LockError::Io { source, .. }) => return Err(source),
            }
        }
        Ok(None)
    }

    fn all(&self) -> io::Result<Vec<PathBuf>> {
        let Some(entries) = file::if_there(fs::read_dir(&self.folder))? else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let number = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
            all.extend(number.map(|_| path));
        }
        Ok(all)
    }
}

/// Lets go of the slots that this process was given as its standard input and output, whoever
/// has inherited them.
pub(super) fn let_go() {
    for slot in [rustix::stdio::stdin(), rustix::stdio::stdout()] {
        // One that was started by hand has others there.
        if let Err(error) = rustix::fs::flock(slot, FlockOperation::Unlock) {
            tracing::debug!(%error, "no slot was held");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_slots_as_are_allowed_now() {
        let folder = tempfile::tempdir().unwrap();
        let slots = Slots::in_folder(folder.path());
        assert_eq!(slots.taken().unwrap(), 0);
        let held: Vec<_> = (0..3).map(|_| slots.take(3).unwrap().unwrap()).collect();
        assert!(slots.take(3).unwrap().is_none());
        assert_eq!(slots.taken().unwrap(), 3);
        let fourth = slots.take(4).unwrap().unwrap();
        // Fewer are allowed by now, and those that run count.
        drop(held);
        assert!(slots.take(1).unwrap().is_none());
        drop(fourth);
        // A child that another test is just starting may hold it until it runs.
        let free = (0..500).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            slots.take(1).unwrap()
        });
        assert!(free.is_some());
    }

    #[test]
    fn one_at_a_time_gives_slots_away() {
        let folder = tempfile::tempdir().unwrap();
        let slots = Slots::in_folder(folder.path());
        let turn = slots.turn(Duration::ZERO).unwrap();
        assert!(matches!(slots.turn(Duration::ZERO), Err(LockError::Held { .. })));
        assert_eq!(slots.taken().unwrap(), 0, "the turn is no slot");
        drop(turn);
        slots.turn(Duration::from_secs(10)).unwrap();
    }
}
