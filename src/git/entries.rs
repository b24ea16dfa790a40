//! Which files two trees hold in different ways: no line is counted, no blob is read.
//!
//! Invariant: what costs is what differs, folder by folder; a rename is a file that went and one
//! that came.

use gix::bstr::BString;
use gix::diff::tree::recorder::Change;
use gix::objs::TreeRefIter;
use gix::objs::tree::EntryMode;

use crate::git::diff::DiffError;
use crate::git::object::Mode;
use crate::git::repo::Repo;
use crate::git::{Cause, ObjectId};

/// A file, a link or a submodule that differs between two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its path.
    pub path: BString,
    /// What it was; none where it is new.
    pub old: Option<(Mode, ObjectId)>,
    /// What it is; none where it is gone.
    pub new: Option<(Mode, ObjectId)>,
}

impl Repo {
    /// What differs from tree `old` to tree `new`, by path.
    ///
    /// # Errors
    /// A tree cannot be read.
    pub fn differences(&self, old: ObjectId, new: ObjectId) -> Result<Vec<Difference>, DiffError> {
        if old == new {
            return Ok(Vec::new());
        }
        let failed = |source: Cause| DiffError { old, new, source };
        let changes = self.record(old, new).map_err(|error| failed(error.into()))?;
        let mut found = Vec::new();
        for change in changes {
            let file =
                |mode: EntryMode, id| Some((Mode::of(mode.kind()), id)).filter(|_| !mode.is_tree());
            let (path, old, new) = match change {
                Change::Addition { entry_mode, oid, path, .. } => {
                    (path, None, file(entry_mode, oid))
                }
                Change::Deletion { entry_mode, oid, path, .. } => {
                    (path, file(entry_mode, oid), None)
                }
                Change::Modification {
                    previous_entry_mode,
                    previous_oid,
                    entry_mode,
                    oid,
                    path,
                } => (path, file(previous_entry_mode, previous_oid), file(entry_mode, oid)),
            };
            if old.is_some() || new.is_some() {
                found.push(Difference { path, old, new });
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    fn record(&self, old: ObjectId, new: ObjectId) -> gix::Result<Vec<Change>> {
        let (old, new) = (self.gix().find_tree(old)?, self.gix().find_tree(new)?);
        let mut recorder = gix::diff::tree::Recorder::default();
        gix::diff::tree(
            TreeRefIter::from_bytes(&old.data, old.id.kind()),
            TreeRefIter::from_bytes(&new.data, new.id.kind()),
            &mut gix::diff::tree::State::default(),
            self.gix(),
            &mut recorder,
        )
        .map_err(gix::Error::from_error)?;
        Ok(recorder.records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    #[test]
    fn each_file_that_differs_is_named_with_what_it_was_and_is() {
        let fixture = Fixture::with_commit(&[]);
        let repo = fixture.repo_at(&fixture.root, &[]);
        let [one, two] = ["one", "two"].map(|text| repo.write_blob(text.as_bytes()).unwrap());
        let file = |id| Some((Mode::File, id));
        let edits =
            [("a", file(one)), ("d/e/f", file(one)), ("same/x", file(one)), ("t", file(one))];
        let old = repo.edit_tree(None, &edits).unwrap();
        let edits = [("a", None), ("d/e/f", file(two)), ("d/n", file(one)), ("t/in", file(one))];
        let new = repo.edit_tree(Some(old), &edits).unwrap();
        let found = repo.differences(old, new).unwrap();
        let wanted = [
            ("a", file(one), None),
            ("d/e/f", file(one), file(two)),
            ("d/n", None, file(one)),
            ("t", file(one), None),
            ("t/in", None, file(one)),
        ]
        .map(|(path, old, new)| Difference { path: path.into(), old, new });
        assert_eq!(found, wanted);
        assert_eq!(repo.differences(old, old).unwrap(), []);
    }
}
