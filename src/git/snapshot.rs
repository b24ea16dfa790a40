//! The content of a session's worktree as a tree object, step by step.
//!
//! Invariant: the disk is the truth. No index file, no flag in one and no config below the
//! worktree decides what is taken, and what is not taken is said.

use std::io;
use std::path::PathBuf;

use gix::bstr::{BStr, BString};

use crate::file::Changed;
use crate::git::ObjectId;
use crate::git::filter::{Filter, FilterError, Rules, flag, is_named};
use crate::git::index::{Folder, Stat};
use crate::git::index_file::{self, WriteError};
use crate::git::repo::Repo;
use crate::git::scan::Disk;
use crate::git::take::Pass;

/// The private index of one worktree, in memory.
pub struct Snapshot {
    pub(super) repo: Repo,
    pub(super) disk: Disk,
    pub(super) root: Folder,
    tree: ObjectId,
    pub(super) max_file_size: u64,
    /// `core.fileMode`: the executable bit on disk means something.
    pub(super) file_mode: bool,
    /// `core.symlinks`: links can be made; else a tracked link is a file that holds its target.
    pub(super) symlinks: bool,
    /// Ignore files outside the worktree.
    pub(super) global_rules: Vec<PathBuf>,
    /// Ignore files that are not tracked.
    pub(super) loose_rules: Vec<BString>,
    /// How all ignore files were at the last scan: as long as they are the same, a folder that
    /// did not change holds nothing new.
    pub(super) rule_files: Option<Vec<(PathBuf, Option<Stat>)>>,
    /// Rule files outside the sparse checkout, with their content.
    absent_rules: Vec<(BString, ObjectId)>,
    /// What happened since the last tree; kept when a take fails half-way.
    pub(super) changes: Vec<Change>,
    /// The last take failed, so only a scan can tell what is on disk.
    unsure: bool,
}

/// What [`Snapshot::take`] took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The tree, written.
    pub tree: ObjectId,
    /// What differs from the tree taken before.
    pub changes: Vec<Change>,
    /// What is on disk and not in the tree, ignored files apart.
    pub left_out: Vec<LeftOut>,
}

/// One path that differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Relative to the worktree, with `/`.
    pub path: BString,
    /// In what way.
    pub kind: ChangeKind,
}

/// In what way a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// Its content or its mode changed, or its type.
    Modified,
    /// It is gone.
    Deleted,
}

/// Something on disk that a tree does not show as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// Relative to the worktree, with `/`.
    pub path: BString,
    /// Why it was left out. If an older version was there, that one stays.
    pub why: Why,
}

/// Why something was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Larger than allowed; its size in bytes.
    TooLarge(u64),
    /// Another repository.
    Repository,
    /// A submodule whose checked-out commit is not the recorded one.
    Submodule(ObjectId),
    /// A name that could reach `.git` on some file system.
    Name,
    /// Neither file, folder nor link.
    Special,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge(size) => write!(f, "{size} bytes are more than a snapshot takes"),
            Self::Repository => f.write_str("a repository of its own"),
            Self::Submodule(id) => write!(f, "a submodule, now at {id}"),
            Self::Name => f.write_str("a name that git refuses"),
            Self::Special => f.write_str("neither a file, a folder nor a link"),
        }
    }
}

/// Why no tree could be taken.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Something in the worktree cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// Relative to the worktree.
        path: BString,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// `.gitattributes` names a filter for this path that is not configured here.
    #[error("{path} needs the filter {driver}, which is not configured")]
    FilterMissing {
        /// Relative to the worktree.
        path: BString,
        /// The filter's name.
        driver: String,
    },
    /// A filter or a conversion of this path failed.
    #[error("cannot bring {path} into its stored form: {reason}")]
    Filter {
        /// Relative to the worktree.
        path: BString,
        /// What it said.
        reason: String,
    },
    /// The repository cannot be read or written.
    #[error("cannot use the repository")]
    Repository(#[source] io::Error),
    /// The worktree's own index is locked by another git process.
    #[error("{} exists: another git process works there, or one crashed", .0.display())]
    IndexLocked(PathBuf),
}

impl SnapshotError {
    pub(super) fn unreadable(path: &BStr, source: io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), source }
    }

    pub(super) fn filter(path: &BStr, error: FilterError) -> Self {
        let path = path.to_owned();
        match error {
            FilterError::Missing(driver) => Self::FilterMissing { path, driver },
            FilterError::Failed(reason) => Self::Filter { path, reason },
            FilterError::OfCheckout { .. } => Self::Filter { path, reason: error.to_string() },
            FilterError::Io(source) => Self::Unreadable { path, source },
        }
    }

    pub(super) fn repository(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Repository(io::Error::other(error))
    }
}

impl Snapshot {
    /// Starts from `tree`, which is what was last taken of the checkout of `repo`, or what it was
    /// made from. Files over `max_file_size` bytes are left out from now on.
    ///
    /// The snapshot shares with `repo`, and its clones, the list of objects to put on the disk
    /// before a ref moves.
    ///
    /// # Errors
    /// The repository or the worktree cannot be read.
    pub fn open(repo: &Repo, tree: ObjectId, max_file_size: u64) -> Result<Self, SnapshotError> {
        let repo = repo.clone();
        let work_dir = repo.work_dir().ok_or_else(|| {
            SnapshotError::repository(format!("{} has no checkout", repo.git_dir().display()))
        })?;
        let mut disk = Disk::open(work_dir)?;
        let flag = |key, default| flag(repo.gix(), key, default);
        disk.ignore_case = flag("core.ignoreCase", false);
        disk.precompose = flag("core.precomposeUnicode", false);
        let (file_mode, symlinks) = (flag("core.fileMode", true), flag("core.symlinks", true));
        let mut snapshot = Self {
            file_mode,
            symlinks,
            global_rules: global_rules(repo.gix()),
            root: Folder::default(),
            rule_files: None,
            loose_rules: Vec::new(),
            absent_rules: Vec::new(),
            changes: Vec::new(),
            unsure: false,
            repo,
            disk,
            tree,
            max_file_size,
        };
        snapshot.reset_to(tree)?;
        Ok(snapshot)
    }

    /// Starts over from `tree`: somebody else moved the branch.
    ///
    /// # Errors
    /// The tree or the worktree's index cannot be read.
    pub fn reset_to(&mut self, tree: ObjectId) -> Result<(), SnapshotError> {
        self.root = Folder::read(&self.repo, tree).map_err(SnapshotError::Repository)?;
        self.tree = tree;
        self.changes.clear();
        self.unsure = true;
        let index = gix::index::File::at_or_default(
            self.repo.git_dir().join("index"),
            self.repo.gix().object_hash(),
            false,
            gix::index::decode::Options::default(),
        );
        self.root.adopt(&index.map_err(SnapshotError::repository)?);
        self.absent_rules = absent_rules(&self.root);
        Ok(())
    }

    /// Files over so many bytes are left out.
    pub fn max_file_size(&self) -> u64 {
        self.max_file_size
    }

    /// The tree taken last, or started from.
    pub fn tree(&self) -> ObjectId {
        self.tree
    }

    /// Takes what is on disk now into a tree and writes it, given what may have changed since
    /// the last time. The first take, and one after a failure, looks at everything.
    ///
    /// # Errors
    /// Something cannot be read, filtered or stored. What was taken before still stands.
    pub fn take(&mut self, changed: &Changed) -> Result<Taken, SnapshotError> {
        let everything = self.unsure || matches!(changed, Changed::Anything);
        self.unsure = true;
        let mut left_out = Vec::new();
        if everything || matches!(changed, Changed::Paths(_)) {
            let mut pass = self.pass().map_err(SnapshotError::Repository)?;
            if everything {
                self.look_everywhere(&mut pass)?;
            } else if let Changed::Paths(paths) = changed {
                for path in paths {
                    self.look_at(path, &mut pass)?;
                }
            }
            left_out = pass.left_out;
        }
        self.tree = self.root.write(&self.repo).map_err(SnapshotError::Repository)?;
        self.unsure = false;
        let mut changes = std::mem::take(&mut self.changes);
        changes.sort();
        changes.dedup();
        left_out.sort();
        left_out.dedup();
        Ok(Taken { tree: self.tree, changes, left_out })
    }

    /// Brings the worktree's own index up to the tree taken last, so that `git status` there has
    /// nothing to say. No other worktree's index is touched.
    ///
    /// # Errors
    /// Another git process holds the index locked, or it cannot be written.
    pub fn refresh_worktree_index(&self) -> Result<(), SnapshotError> {
        self.write_index(self.repo.git_dir())
    }

    /// Writes an index of the tree taken last into this git dir.
    ///
    /// # Errors
    /// As [`Snapshot::refresh_worktree_index`].
    pub fn write_index(&self, git_dir: &std::path::Path) -> Result<(), SnapshotError> {
        let hash = self.repo.gix().object_hash();
        index_file::write(git_dir, &self.root, hash).map_err(|error| match error {
            WriteError::Locked(lock) => SnapshotError::IndexLocked(lock),
            WriteError::Io(source) => SnapshotError::Repository(source),
        })
    }

    fn pass(&self) -> io::Result<Pass> {
        let rules = Rules::open(self.repo.gix(), self.disk.path(), &self.absent_rules)?;
        Ok(Pass { filter: Filter::open(rules, self.disk.path())?, left_out: Vec::new() })
    }
}

/// Where ignore rules come from besides the worktree: `gitignore(5)`.
fn global_rules(repo: &gix::Repository) -> Vec<PathBuf> {
    let home = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let own = repo.config_snapshot().trusted_path("core.excludesFile").ok().flatten();
    let own = own.or_else(|| {
        let config = home("XDG_CONFIG_HOME").or_else(|| Some(home("HOME")?.join(".config")));
        Some(config?.join("git/ignore"))
    });
    own.into_iter().chain([repo.common_dir().join("info/exclude")]).collect()
}

fn absent_rules(root: &Folder) -> Vec<(BString, ObjectId)> {
    let mut absent = Vec::new();
    root.each_file(BStr::new(""), &mut |path, file| {
        if file.skip && (is_named(path, ".gitattributes") || is_named(path, ".gitignore")) {
            absent.push((path.to_owned(), file.id));
        }
    });
    absent
}

#[cfg(test)]
mod tests;
