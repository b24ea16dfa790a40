//! What a session takes on the disk.
//!
//! Invariant: it is counted in the blocks that the disk gives, and no link is followed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;

use super::store::Session;
use crate::parallel;

/// What a session takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Its worktree.
    pub worktree: u64,
    /// Its folder, without what comes next.
    pub state: u64,
    /// Its supervisor's log, and outputs too long for the model.
    pub logs: u64,
}

impl Size {
    /// All of it.
    pub fn total(self) -> u64 {
        self.worktree + self.state + self.logs
    }

    /// What this session takes.
    pub fn of(session: &Session) -> Self {
        let logs = below(&session.out_dir()) + below(&session.log_path());
        let state = below(&session.dir).saturating_sub(logs);
        Self { worktree: below(&session.spec.worktree), state, logs }
    }
}

/// What each of these sessions takes, in their order; counted by several threads, since it is the
/// disk that is waited for.
pub fn of_all(sessions: &[Session]) -> Vec<Size> {
    parallel::map(sessions, Size::of)
}

/// What a file, or a folder with all below it, takes; nothing where it is not there or cannot be
/// read.
pub fn below(path: &Path) -> u64 {
    let Ok(meta) = fs::symlink_metadata(path) else { return 0 };
    let mut size = meta.blocks() * 512;
    if meta.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        size += entries.map(|entry| below(&entry.path())).sum::<u64>();
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::spec::tests::sample;
    use crate::session::store::Store;

    #[test]
    fn k07_worktree_state_and_logs_are_counted_apart_and_links_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        let worktree = folder.path().join("wt");
        let mut sessions = Vec::new();
        for (id, kib) in [("one-7f3k", 64), ("two-2mq8", 256)] {
            let mut spec = sample(id);
            spec.worktree = worktree.join(id);
            let session = store.create(spec).unwrap();
            fs::create_dir_all(session.spec.worktree.join("src")).unwrap();
            fs::write(session.spec.worktree.join("src/a"), vec![1; kib << 10]).unwrap();
            std::os::unix::fs::symlink("/", session.spec.worktree.join("link")).unwrap();
            fs::write(session.log_path(), vec![1; 16 << 10]).unwrap();
            fs::create_dir(session.out_dir()).unwrap();
            fs::write(session.out_dir().join("1"), vec![1; 16 << 10]).unwrap();
            sessions.push(session);
        }
        let sizes = of_all(&sessions);
        assert_eq!(sizes, sessions.iter().map(Size::of).collect::<Vec<_>>());
        for (size, kib) in sizes.iter().zip([64, 256]) {
            let counted = [size.worktree, size.logs, size.state].map(|bytes| bytes >> 10);
            assert!((kib..kib + 32).contains(&counted[0]), "{counted:?}");
            assert!((32..64).contains(&counted[1]) && counted[2] < 32, "{counted:?}");
        }
    }
}
