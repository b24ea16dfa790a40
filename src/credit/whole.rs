//! Whole commits: each line that one added, and who made it.
//!
//! Invariant: the lines are those that `git show` has in green; a merge adds none.

use std::collections::BTreeMap;

use super::{Credit, CreditError, Lines, Origin};
use crate::git::{self, BString, ObjectId, Status};

/// What a commit added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// For each file, each added line, from 1, with who made it.
    pub files: BTreeMap<BString, Vec<(usize, Origin)>>,
    /// Lines that the commit lost.
    pub deletions: u64,
}

impl Credit<'_> {
    /// Who made each line that a commit added.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn added(&mut self, commit: ObjectId) -> Result<Added, CreditError> {
        let info = self.repo.read_commit(commit)?;
        let old = match info.parents[..] {
            [] => self.repo.empty_tree(),
            [parent] if self.repo.has_object(parent) => self.repo.tree_of(parent)?,
            _ => return Ok(Added::default()),
        };
        let stat = self.repo.diff_stat(old, info.tree)?;
        let mut added = Added { deletions: stat.deletions, ..Added::default() };
        for change in stat.paths {
            if change.insertions == 0 {
                continue;
            }
            let before = match &change.status {
                Status::Added | Status::Deleted => None,
                Status::Modified => super::trail::file_at(self.repo, old, &change.path)?,
                Status::Renamed(from) => super::trail::file_at(self.repo, old, from)?,
            };
            let after = super::trail::file_at(self.repo, info.tree, &change.path)?;
            let [before, after] =
                [before, after].map(|blob| super::trail::content(self.repo, blob));
            let changes = git::line_changes(&before?, &after?);
            let numbers: Vec<_> =
                changes.into_iter().flat_map(|it| it.new).map(|it| it + 1).collect();
            let path = &change.path;
            let lines = Lines { commit, path, numbers: &numbers, author: None };
            let origins = self.trace(&lines)?;
            added.files.insert(change.path, numbers.into_iter().zip(origins).collect());
        }
        Ok(added)
    }
}
