//! Which paths differ between two trees, and what that says of a merge.
//!
//! Invariant: two sides of a merge that do not meet merge cleanly, whatever their files hold.

use std::collections::BTreeSet;

use gix::bstr::{BStr, BString, ByteSlice};
use gix::object::tree::diff::Change;

use crate::git::ObjectId;
use crate::git::diff::DiffError;
use crate::git::repo::Repo;

/// The paths that differ between two trees; a file that was moved is there with both of its paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedPaths {
    /// Files, links and submodules.
    all: BTreeSet<BString>,
    /// Those of them that are new.
    added: Vec<BString>,
    /// Folders that are gone.
    gone: Vec<BString>,
}

impl Repo {
    /// The paths that differ from tree `old` to tree `new`.
    ///
    /// # Errors
    /// An object cannot be read.
    pub fn changed_paths(&self, old: ObjectId, new: ObjectId) -> Result<ChangedPaths, DiffError> {
        self.paths_between(old, new).map_err(|source| DiffError { old, new, source: source.into() })
    }

    pub(super) fn paths_between(&self, old: ObjectId, new: ObjectId) -> gix::Result<ChangedPaths> {
        let mut changed = ChangedPaths::default();
        if old == new {
            return Ok(changed);
        }
        let (old, new) = (self.gix().find_tree(old)?, self.gix().find_tree(new)?);
        let mut changes = old.changes()?;
        changes.options(|options| {
            options.track_path().track_rewrites(None);
        });
        changes.for_each_to_obtain_tree(&new, |change| {
            let path = change.location().to_owned();
            match (change.entry_mode().is_tree(), &change) {
                (true, Change::Deletion { .. }) => changed.gone.push(path),
                (true, _) => {}
                (false, Change::Addition { .. }) => {
                    changed.added.push(path.clone());
                    changed.all.insert(path);
                }
                (false, _) => drop(changed.all.insert(path)),
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        Ok(changed)
    }
}

impl ChangedPaths {
    /// The paths, in order.
    pub fn iter(&self) -> impl Iterator<Item = &BStr> {
        self.all.iter().map(|path| path.as_bstr())
    }

    /// Whether a merge of two sides that changed these paths since their common base has anything
    /// to decide: a path that both changed, a file where the other has a folder, or a folder that
    /// one has moved and the other put something new in.
    pub fn meets(&self, other: &Self) -> bool {
        let (few, many) = match self.all.len() < other.all.len() {
            true => (self, other),
            false => (other, self),
        };
        few.all.iter().any(|path| many.touches(path))
            || self.may_move(other)
            || other.may_move(self)
    }

    /// Whether all that the other changed has changed here too.
    pub fn covers(&self, other: &Self) -> bool {
        other.all.is_subset(&self.all)
    }

    /// Whether this side may have moved a folder that the other put something new in: git then
    /// wonders whether that was meant to move too.
    pub(super) fn may_move(&self, other: &Self) -> bool {
        let is_gone = |path: &BString| self.gone.iter().any(|folder| is_below(path, folder));
        !self.added.is_empty() && !self.gone.is_empty() && other.added.iter().any(is_gone)
    }

    /// Whether one has something at a path below which the other has something: where a file may
    /// meet a folder, git makes up a name for the file.
    pub(super) fn may_stand_in(&self, other: &Self) -> bool {
        self.all.iter().any(|path| other.touches_beside(path))
    }

    /// Whether the path, something below it or a file above it has changed.
    fn touches(&self, path: &BString) -> bool {
        self.all.contains(path) || self.touches_beside(path)
    }

    /// Whether something below the path or a file above it has changed.
    fn touches_beside(&self, path: &BString) -> bool {
        let mut below = path.clone();
        below.push(b'/');
        let is_above = |end: usize| self.all.contains(path[..end].as_bstr());
        self.all.range(below.clone()..).next().is_some_and(|next| next.starts_with(&below))
            || path.find_iter(b"/").any(is_above)
    }
}

fn is_below(path: &BString, folder: &BString) -> bool {
    path.strip_prefix(folder.as_slice()).is_some_and(|rest| rest.first() == Some(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(all: &[&str], added: &[&str], gone: &[&str]) -> ChangedPaths {
        let own = |names: &[&str]| names.iter().map(|name| BString::from(*name)).collect();
        let all: Vec<BString> = own(all);
        let added: Vec<BString> = own(added);
        ChangedPaths {
            all: all.into_iter().chain(added.iter().cloned()).collect(),
            added,
            gone: own(gone),
        }
    }

    #[test]
    fn sides_meet_at_a_path_above_it_below_it_and_in_a_folder_that_moved() {
        let side = paths(&["a", "dir/b"], &["new/x"], &["old"]);
        for (other, meets) in [
            (paths(&["c", "dir/c", "dir-b"], &[], &[]), false),
            (paths(&["a"], &[], &[]), true),
            (paths(&[], &["dir"], &[]), true),
            (paths(&[], &["dir/b/deep"], &[]), true),
            (paths(&[], &["a/deep"], &[]), true),
            (paths(&[], &["old/fresh"], &[]), true),
            (paths(&[], &["older"], &[]), false),
            (paths(&["z"], &["y"], &["elsewhere"]), false),
        ] {
            assert_eq!(side.meets(&other), meets, "{other:?}");
            assert_eq!(other.meets(&side), meets, "{other:?}");
        }
    }
}
