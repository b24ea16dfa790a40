//! A folder for objects that git is to write elsewhere than in the repository.
//!
//! Invariant: git sees there what this view of the repository has in memory only; the repository's
//! own objects are read and never written.

use gix::objs::{Kind, TreeRefIter, Write};
use gix::odb::loose::Store;
use gix::odb::memory::Storage;

use crate::git::ObjectId;
use crate::git::repo::Repo;
use crate::process::Cmd;

/// Such a folder.
pub(super) struct Aside {
    folder: tempfile::TempDir,
    loose: Store,
    in_memory: bool,
}

impl Repo {
    /// Makes one.
    pub(super) fn aside(&self) -> gix::Result<Aside> {
        let folder = tempfile::tempdir().map_err(gix::Error::from_error)?;
        let loose = Store::at(folder.path(), self.gix().object_hash());
        let memory: Option<Storage> = self.gix().clone().objects.take_object_memory();
        let in_memory = memory.is_some();
        for (kind, data) in memory.iter().flat_map(|memory| memory.values()) {
            loose.write_buf(*kind, data)?;
        }
        Ok(Aside { folder, loose, in_memory })
    }
}

impl Aside {
    /// git, writing here.
    pub(super) fn on(&self, git: Cmd, repo: &Repo) -> Cmd {
        let store = repo.common_dir().join("objects");
        let git = git.env("GIT_OBJECT_DIRECTORY", self.folder.path());
        git.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", store)
    }

    /// Whether what is written through the view stays in memory, so that git must write here.
    pub(super) fn is_for_memory(&self) -> bool {
        self.in_memory
    }

    /// Takes a tree that git has written here into the memory of the view.
    pub(super) fn take(&self, repo: &Repo, tree: ObjectId) -> gix::Result<()> {
        let mut wanted = vec![tree];
        let mut buffer = Vec::new();
        while let Some(id) = wanted.pop() {
            // What is not here is the repository's own.
            let Some(found) = self.loose.try_find(&id, &mut buffer)? else { continue };
            let kind = found.kind;
            if kind == Kind::Tree {
                for entry in TreeRefIter::from_bytes(found.data, id.kind()) {
                    wanted.push(entry?.oid.to_owned());
                }
            }
            repo.gix().objects.write_buf(kind, &buffer)?;
        }
        Ok(())
    }
}
