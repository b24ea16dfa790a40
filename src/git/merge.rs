//! Merging in memory, without a checkout.
//!
//! Invariant: the tree of `git merge-tree --write-tree`, or a list of the paths in conflict and
//! not one object written.

use std::collections::BTreeSet;

use gix::bstr::{BString, ByteSlice};
use gix::diff::blob::Algorithm;
use gix::diff::tree_with_rewrites::Change;
use gix::merge::blob::Driver;
use gix::merge::plumbing::{self, blob, tree::Conflict, tree::TreatAsUnresolved};
use gix::objs::{Kind, TreeRefIter, Write};
use gix::odb::memory::Storage;

use crate::git::ObjectId;
use crate::git::attributes::Folders;
use crate::git::cause::Cause;
use crate::git::repo::Repo;

/// What merging two commits gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It merges: this tree, which is written.
    Clean(ObjectId),
    /// It does not: these paths need a person. Nothing is written.
    Conflicts(Vec<String>),
}

/// Two commits could not be merged at all.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// They share no commit that is here; in a shallow clone it may be elsewhere.
    #[error("{ours} and {theirs} have no commit in common")]
    Unrelated {
        /// The one commit.
        ours: ObjectId,
        /// The other.
        theirs: ObjectId,
    },
    /// The merge failed on the way.
    #[error("cannot merge {theirs} into {ours}")]
    Failed {
        /// The one commit.
        ours: ObjectId,
        /// The other.
        theirs: ObjectId,
        /// What stood in the way.
        #[source]
        source: Cause,
    },
}

impl Repo {
    /// Merges `theirs` into `ours`, renames followed, `.gitattributes` of `ours` obeyed.
    ///
    /// # Errors
    /// [`MergeError::Unrelated`] without a common ancestor, or an object cannot be read.
    pub fn merge_commits(&self, ours: ObjectId, theirs: ObjectId) -> Result<Merge, MergeError> {
        let failed = |source: Cause| MergeError::Failed { ours, theirs, source };
        let base = match self.merge_base(ours, theirs) {
            Ok(Some(base)) => base,
            Ok(None) => return Err(MergeError::Unrelated { ours, theirs }),
            Err(error) => return Err(failed(gix::Error::from_error(error).into())),
        };
        self.merge(base, ours, theirs).map_err(|source| failed(source.into()))
    }

    fn merge(&self, base: ObjectId, ours: ObjectId, theirs: ObjectId) -> gix::Result<Merge> {
        let [base_tree, our_tree, their_tree] = [base, ours, theirs].map(|commit| {
            let commit = self.gix().find_commit(commit)?;
            commit.tree_id().map(gix::Id::detach)
        });
        let (base_tree, our_tree) = (base_tree?, our_tree?);
        let mut folders = Folders::default();
        folders.add_changed(self.gix(), base_tree, our_tree)?;
        folders.add_changed(self.gix(), base_tree, their_tree?)?;

        let mut memory = self.gix().clone().with_object_memory();
        let mut diffs = self.blob_diffs(our_tree, &folders)?;
        let mut blobs = self.blob_merges(our_tree, &folders)?;
        let commit_graph = memory.commit_graph_if_enabled()?;
        let mut graph = memory.revision_graph(commit_graph.as_ref());
        let mut outcome = plumbing::commit(
            ours,
            theirs,
            blob::builtin_driver::text::Labels::default(),
            &mut graph,
            &mut diffs,
            &mut blobs,
            &memory,
            &mut |id| id.to_string(),
            plumbing::commit::Options {
                allow_missing_merge_base: false,
                use_first_merge_base: false,
                tree_merge: self.tree_merge_options()?,
            },
        )?
        .tree_merge;

        let paths: BTreeSet<BString> = outcome
            .conflicts
            .iter()
            .filter(|conflict| conflict.is_unresolved(TreatAsUnresolved::git()))
            .flat_map(paths_of)
            .collect();
        if !paths.is_empty() {
            let paths = paths.iter().map(|path| path.to_str_lossy().into_owned()).collect();
            return Ok(Merge::Conflicts(paths));
        }
        let merged = outcome.tree.write(|tree| memory.write_object(tree).map(gix::Id::detach))?;
        drop((outcome, graph));
        self.keep(memory.objects.take_object_memory().unwrap_or_default(), merged)?;
        Ok(Merge::Clean(merged))
    }

    /// Writes the merged tree, and what it needs of the objects that are in memory only: the
    /// merges of merge bases are left behind.
    fn keep(&self, mut memory: Storage, tree: ObjectId) -> gix::Result<()> {
        let mut wanted = vec![tree];
        while let Some(id) = wanted.pop() {
            let Some((kind, data)) = memory.remove(&id) else { continue };
            if kind == Kind::Tree {
                for entry in TreeRefIter::from_bytes(&data, id.kind()) {
                    wanted.push(entry?.oid.to_owned());
                }
            }
            self.written(self.gix().objects.write_buf(kind, &data)?);
        }
        Ok(())
    }

    fn tree_merge_options(&self) -> gix::Result<plumbing::tree::Options> {
        let mut options: plumbing::tree::Options = self.gix().tree_merge_options()?.into();
        // What git's merge-ort takes where nothing is configured; diffs have another default.
        if self.config_value("diff.algorithm").is_none() {
            options.blob_merge.text.diff_algorithm = Algorithm::Histogram;
        }
        Ok(options)
    }

    /// What merges the content of files: gix's own set-up, but with attributes from a tree.
    fn blob_merges(&self, tree: ObjectId, folders: &Folders) -> gix::Result<blob::Platform> {
        let gix = self.gix();
        let config = gix.config_snapshot();
        let mode = match config.boolean("merge.renormalize") {
            Some(true) => blob::pipeline::Mode::Renormalize,
            _ => blob::pipeline::Mode::ToGit,
        };
        let filter = gix::filter::plumbing::Pipeline::new(
            gix.command_context()?,
            gix.object_hash(),
            gix::filter::Pipeline::options(gix)?,
        );
        let large_file_threshold_bytes = match config.integer("core.bigFileThreshold") {
            Some(bytes) => u64::try_from(bytes).unwrap_or(u64::MAX),
            None => 512 * 1024 * 1024,
        };
        let pipeline = blob::Pipeline::new(
            blob::pipeline::WorktreeRoots::default(),
            filter,
            blob::pipeline::Options { large_file_threshold_bytes },
        );
        let default_driver = config.string("merge.default");
        let attributes = self.attributes(tree, folders)?;
        let options = blob::platform::Options { default_driver };
        Ok(blob::Platform::new(pipeline, mode, attributes, drivers(&config), options))
    }
}

/// The programs that the user lets merge some files, by `merge.<name>.driver`.
fn drivers(config: &gix::config::Snapshot<'_>) -> Vec<Driver> {
    let mut drivers = Vec::<Driver>::new();
    for section in config.plumbing().sections_by_name("merge").into_iter().flatten() {
        let Some(name) = section.header().subsection_name().filter(|name| !name.is_empty()) else {
            continue;
        };
        let at = drivers.iter().position(|driver| driver.name == name).unwrap_or_else(|| {
            drivers.push(Driver {
                name: name.into(),
                display_name: name.into(),
                ..Driver::default()
            });
            drivers.len() - 1
        });
        if let Some(command) = section.value("driver") {
            drivers[at].command = command;
        }
        if let Some(recursive) = section.value("recursive") {
            drivers[at].recursive = Some(recursive);
        }
    }
    drivers
}

/// Where a person has to look: where the file is on either side, but not where it was before a
/// rename that merged.
fn paths_of(conflict: &Conflict) -> Vec<BString> {
    let moved_from = |change: &Change, other: &Change| matches!(change, Change::Rewrite { source_location, .. } if source_location == other.location());
    let (ours, theirs) = (&conflict.ours, &conflict.theirs);
    let merged = conflict.resolution.is_ok();
    let mut paths = Vec::new();
    if !(merged && moved_from(theirs, ours)) {
        paths.push(ours.location().to_owned());
    }
    if !(merged && moved_from(ours, theirs)) {
        paths.push(theirs.location().to_owned());
    }
    paths
}
