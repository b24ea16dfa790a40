//! Locks on refs that a killed process has left behind.
//!
//! Invariant: a lock is taken away only by who alone may hold it, or once it has outlived any
//! write of a ref by far.

use std::io;
use std::time::{Duration, SystemTime};

use fs_err as fs;

use crate::git::repo::Repo;

impl Repo {
    /// Takes away the lock on a ref, once it is this old; says whether there was one. Waits until
    /// then, and for nothing where there is none. The age is nought for a ref that nobody but the
    /// caller writes.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn break_dead_lock(&self, name: &str, age: Duration) -> io::Result<bool> {
        let path = self.common_dir().join(format!("{name}.lock"));
        loop {
            let written = match fs::metadata(&path) {
                Ok(lock) => lock.modified()?,
                Err(error) if is_not_there(&error) => return Ok(false),
                Err(error) => return Err(error),
            };
            // A clock that was set back makes it wait the whole time once more, no longer.
            let lived = SystemTime::now().duration_since(written).unwrap_or(age);
            if lived >= age {
                fs::remove_file(&path)?;
                return Ok(true);
            }
            std::thread::sleep(age - lived);
        }
    }
}

/// Where refs are a table, `refs/heads` is a file.
fn is_not_there(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    #[test]
    fn a_dead_lock_is_broken_when_it_is_old_enough() {
        let fixture = Fixture::with_commit(&[]);
        let repo = fixture.repo();
        assert!(!repo.break_dead_lock("refs/heads/main", Duration::from_secs(60)).unwrap());
        let lock = repo.common_dir().join("refs/heads/main.lock");
        fs::write(&lock, "").unwrap();
        let age = Duration::from_millis(50);
        assert!(repo.break_dead_lock("refs/heads/main", age).unwrap());
        assert!(!lock.exists());
        // As in a repository with a reftable.
        fs::create_dir_all(repo.common_dir().join("refs/agent")).unwrap();
        fs::write(repo.common_dir().join("refs/agent/table"), "").unwrap();
        assert!(!repo.break_dead_lock("refs/agent/table/x", Duration::ZERO).unwrap());
    }
}
