//! Objects on the disk before a ref points to them.
//!
//! Invariant: when a ref of ours has moved, everything written through this repository before is
//! on the disk, so a power cut leaves either the old tip or a whole new one.
//!
//! gix writes loose objects without a sync, and so does git by default (`core.fsync`,
//! git-config(1)). A synced journal that says "step done" beside a ref to empty files would be the
//! worst of both. The syncs of one step are started together, so that the file system commits its
//! own journal once or twice for all of them instead of once for each: 10 objects on ext4 cost
//! about 1.4 ms that way, 2.2 ms one after the other.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use fs_err as fs;

use crate::git::ObjectId;

/// The objects written since the last sync; shared by all clones of a repository.
#[derive(Clone, Debug, Default)]
pub(super) struct Unsynced(Arc<Mutex<Vec<ObjectId>>>);

impl Unsynced {
    /// Notes an object that was just written, or found to be there.
    pub(super) fn add(&self, id: ObjectId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    /// Puts all objects noted so far on the disk.
    pub(super) fn sync(&self, objects: &Path) -> std::io::Result<()> {
        let ids = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let synced = sync(objects, &ids);
        if synced.is_err() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
        }
        synced
    }
}

fn sync(objects: &Path, ids: &[ObjectId]) -> std::io::Result<()> {
    let sync_all = |ids: &[ObjectId]| ids.iter().try_for_each(|id| sync_one(objects, *id));
    std::thread::scope(|scope| {
        let each = ids.len().div_ceil(THREADS).max(1);
        let threads: Vec<_> =
            ids.chunks(each).map(|ids| scope.spawn(move || sync_all(ids))).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(std::io::Error::other("a sync panicked")))
        })
    })
}

const THREADS: usize = 8;

fn sync_one(objects: &Path, id: ObjectId) -> std::io::Result<()> {
    let hex = id.to_string();
    let (folder, name) = hex.split_at(2);
    match fs::File::open(objects.join(folder).join(name)) {
        Ok(file) => file.sync_all(),
        // In a pack, or in the store of another repository: there before us.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
