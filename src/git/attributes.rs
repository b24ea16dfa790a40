//! Which attributes hold for the paths that a diff or a merge is about.
//!
//! Invariant: they come from a tree, never from a checkout or an index, so that the answer is the
//! same wherever it is asked; `info/attributes` and the user's own go over them, as always.

use std::collections::BTreeSet;
use std::path::PathBuf;

use gix::bstr::{BStr, BString, ByteSlice};
use gix::index::entry::{Flags, Mode, Stat};
use gix::worktree::stack::state::attributes::Source;

use crate::git::ObjectId;
use crate::git::repo::Repo;

/// The folders of a set of paths, each as its path without a last `/`; the root is empty.
#[derive(Debug, Default)]
pub(super) struct Folders(BTreeSet<BString>);

impl Folders {
    /// Adds all folders on the way to `path`.
    pub(super) fn add(&mut self, path: &BStr) {
        let mut rest = path;
        while let Some(slash) = rest.rfind_byte(b'/') {
            rest = rest[..slash].as_bstr();
            if !self.0.insert(rest.to_owned()) {
                return;
            }
        }
        self.0.insert(BString::default());
    }

    /// Adds the folders of all paths that differ between two trees.
    pub(super) fn add_changed(
        &mut self,
        gix: &gix::Repository,
        old: ObjectId,
        new: ObjectId,
    ) -> gix::Result<()> {
        let (old, new) = (gix.find_tree(old)?, gix.find_tree(new)?);
        let mut changes = old.changes()?;
        changes.options(|options| {
            options.track_path().track_rewrites(None);
        });
        changes.for_each_to_obtain_tree(&new, |change| {
            self.add(change.location());
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        Ok(())
    }
}

impl Repo {
    /// Where attributes are read from that are in no commit; not each of them need be there.
    pub fn attribute_files(&self) -> Vec<PathBuf> {
        let own = self.common_dir().join("info/attributes");
        let config = self.gix().config_snapshot();
        let everywhere = match config.trusted_path("core.attributesFile") {
            Ok(Some(path)) => Some(path),
            // Where git looks then (gitattributes(5)).
            _ => self.environment().config_home().map(|home| home.join("git/attributes")),
        };
        [Some(own), everywhere].into_iter().flatten().collect()
    }

    /// The attributes that `tree` gives to paths in these folders. Only their `.gitattributes` are
    /// read, where gix would first decode a whole index.
    pub(super) fn attributes(
        &self,
        tree: ObjectId,
        folders: &Folders,
    ) -> gix::Result<gix::worktree::Stack> {
        let mut index = gix::index::State::new(self.gix().object_hash());
        let root = self.gix().find_tree(tree)?;
        for folder in &folders.0 {
            let mut path = folder.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(b".gitattributes");
            let Some(entry) = root.lookup_entry(path.split_str("/"))? else { continue };
            // git does not follow a link here either (gitattributes(5)).
            if entry.mode().is_blob() {
                let id = entry.object_id();
                index.dangerously_push_entry(
                    Stat::default(),
                    id,
                    Flags::empty(),
                    Mode::FILE,
                    path.as_bstr(),
                );
            }
        }
        index.sort_entries();
        Ok(self.gix().attributes_only(&index, Source::IdMapping)?.detach())
    }
}
