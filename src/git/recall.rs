//! What was read of the object store, for a number of views of one repository.
//!
//! gix remembers objects for each repository by itself, and a clone of one forgets even that it
//! should.
//!
//! Invariant: an object is known by its id alone, and one that was never stored is not among them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gix::ObjectId;
use gix::objs::Kind;
use gix::odb::pack::cache::Object;
use gix::odb::pack::cache::object::MemoryCappedHashmap;

/// Objects that were read, the last ones up to some size.
#[derive(Clone)]
pub(super) struct Recall(Arc<Mutex<MemoryCappedHashmap>>);

impl Recall {
    /// Of so many bytes at most.
    pub(super) fn of(bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(MemoryCappedHashmap::new(bytes))))
    }

    /// From now on a repository reads from here what is here, and adds what it reads.
    pub(super) fn serve(&self, gix: &mut gix::Repository) {
        let recall = self.clone();
        gix.objects.set_object_cache(move || Box::new(recall.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, MemoryCappedHashmap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Object for Recall {
    fn put(&mut self, id: ObjectId, kind: Kind, data: &[u8]) {
        self.lock().put(id, kind, data);
    }

    fn get(&mut self, id: &ObjectId, out: &mut Vec<u8>) -> Option<Kind> {
        self.lock().get(id, out)
    }
}

impl fmt::Debug for Recall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recall").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use crate::git::testing::Fixture;

    #[test]
    fn a_view_of_a_view_knows_what_was_read_through_either() {
        let fixture = Fixture::with_commit(&[]);
        let repo = fixture.repo();
        let blob = repo.write_blob(b"once\n").unwrap();
        let view = repo.in_memory();
        let inner = view.in_memory();
        assert_eq!(inner.read_blob(blob).unwrap(), b"once\n");
        let hex = blob.to_string();
        fs::remove_file(repo.common_dir().join("objects").join(&hex[..2]).join(&hex[2..])).unwrap();
        assert!(repo.read_blob(blob).is_err());
        for view in [&view, &inner, &view.in_memory()] {
            assert_eq!(view.read_blob(blob).unwrap(), b"once\n");
        }
        assert!(repo.in_memory().read_blob(blob).is_err());
        let unstored = view.write_blob(b"never stored\n").unwrap();
        assert!(view.read_blob(unstored).is_ok() && inner.read_blob(unstored).is_err());
    }
}
