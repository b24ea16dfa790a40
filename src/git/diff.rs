//! What differs between two trees, counted.
//!
//! Invariant: the counts of `git diff --shortstat -M`, whatever the user's configuration says of
//! renames and of how diffs look: a binary file counts no line, a renamed file counts once.

use gix::bstr::{BString, ByteSlice};
use gix::diff::blob::pipeline::{Mode, WorktreeRoots};
use gix::diff::blob::platform::prepare_diff::Operation;
use gix::diff::blob::{Diff, Platform, ResourceKind};
use gix::diff::tree_with_rewrites::ChangeRef;
use gix::objs::tree::{EntryKind, EntryMode};

use crate::git::ObjectId;
use crate::git::attributes::Folders;
use crate::git::cause::Cause;
use crate::git::repo::Repo;

/// Files and lines that differ between two trees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiffStat {
    /// How many files.
    pub files: u64,
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// Each file, by path.
    pub paths: Vec<FileChange>,
}

/// One file that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// Its path; for a deleted file the one it had.
    pub path: BString,
    /// What happened to it.
    pub status: Status,
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
}

/// What happened to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// Its content or mode is another.
    Modified,
    /// It was moved from there, and maybe changed.
    Renamed(BString),
}

/// The two trees could not be compared.
#[derive(Debug, thiserror::Error)]
#[error("cannot compare {old} with {new}")]
pub struct DiffError {
    /// The one tree.
    pub old: ObjectId,
    /// The other.
    pub new: ObjectId,
    /// What stood in the way.
    #[source]
    pub source: Cause,
}

impl Repo {
    /// What differs from tree `old` to tree `new`.
    ///
    /// # Errors
    /// An object cannot be read.
    pub fn diff_stat(&self, old: ObjectId, new: ObjectId) -> Result<DiffStat, DiffError> {
        self.stat(old, new).map_err(|source| DiffError { old, new, source: source.into() })
    }

    fn stat(&self, old: ObjectId, new: ObjectId) -> gix::Result<DiffStat> {
        let mut folders = Folders::default();
        folders.add_changed(self.gix(), old, new)?;
        let mut cache = self.blob_diffs(new, &folders)?;
        let mut changes = Vec::new();
        let (old, new) = (self.gix().find_tree(old)?, self.gix().find_tree(new)?);
        gix::diff::tree_with_rewrites(
            gix::objs::TreeRefIter::from_bytes(&old.data, old.id.kind()),
            gix::objs::TreeRefIter::from_bytes(&new.data, new.id.kind()),
            &mut cache,
            &mut gix::diff::tree::State::default(),
            self.gix(),
            |change| {
                changes.push(change.into_owned());
                Ok(std::ops::ControlFlow::Continue(()))
            },
            gix::diff::tree_with_rewrites::Options {
                location: Some(gix::diff::tree::recorder::Location::Path),
                rewrites: Some(gix::diff::Rewrites::default()),
            },
        )
        .map_err(gix::Error::from_error)?;
        let mut stat = DiffStat::default();
        for change in &changes {
            let change = change.to_ref();
            if !change.entry_mode().is_tree() {
                stat.add(self.count(change, &mut cache)?);
            }
        }
        stat.paths.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(stat)
    }

    /// What turns objects into lines, and knows which are binary.
    pub(super) fn blob_diffs(&self, tree: ObjectId, folders: &Folders) -> gix::Result<Platform> {
        let attributes = self.attributes(tree, folders)?;
        gix::diff::resource_cache(self.gix(), Mode::ToGit, attributes, WorktreeRoots::default())
    }

    fn count(&self, change: ChangeRef<'_>, cache: &mut Platform) -> gix::Result<FileChange> {
        let null = self.null_id();
        let (status, from, old, old_mode) = match change {
            ChangeRef::Addition { location, entry_mode, .. } => {
                (Status::Added, location, null, entry_mode)
            }
            ChangeRef::Deletion { location, id, entry_mode, .. } => {
                (Status::Deleted, location, id, entry_mode)
            }
            ChangeRef::Modification { location, previous_id, previous_entry_mode, .. } => {
                (Status::Modified, location, previous_id, previous_entry_mode)
            }
            ChangeRef::Rewrite { source_location, source_id, source_entry_mode, .. } => {
                let status = Status::Renamed(source_location.to_owned());
                (status, source_location, source_id, source_entry_mode)
            }
        };
        let (mode, id) = change.entry_mode_and_id();
        let new = if status == Status::Deleted { null } else { id.to_owned() };
        let path = change.location().to_owned();
        let (insertions, deletions) = if old == new {
            (0, 0)
        } else {
            let one = Side { id: old, mode: old_mode, path: from.to_owned() };
            let other = Side { id: new, mode, path: path.clone() };
            self.lines(&one, &other, cache)?
        };
        Ok(FileChange { path, status, insertions, deletions })
    }

    /// Lines added and removed between two versions of a file.
    fn lines(&self, old: &Side, new: &Side, cache: &mut Platform) -> gix::Result<(u64, u64)> {
        cache.clear_resource_cache_keep_allocation();
        // git shows a submodule as one line of text: the commit it is at.
        if old.mode.is_commit() || new.mode.is_commit() {
            return Ok((u64::from(!new.id.is_null()), u64::from(!old.id.is_null())));
        }
        for (side, kind) in
            [(old, ResourceKind::OldOrSource), (new, ResourceKind::NewOrDestination)]
        {
            let mode: EntryKind = side.mode.kind();
            cache.set_resource(side.id, mode, side.path.as_bstr(), kind, self.gix())?;
        }
        let prepared = cache.prepare_diff()?;
        let Operation::InternalDiff { algorithm } = prepared.operation else { return Ok((0, 0)) };
        let diff = Diff::compute(algorithm, &prepared.interned_input());
        Ok((diff.count_additions().into(), diff.count_removals().into()))
    }
}

struct Side {
    id: ObjectId,
    mode: EntryMode,
    path: BString,
}

impl DiffStat {
    fn add(&mut self, file: FileChange) {
        self.files += 1;
        self.insertions += file.insertions;
        self.deletions += file.deletions;
        self.paths.push(file);
    }
}
