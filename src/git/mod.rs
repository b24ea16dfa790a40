//! git, one noun a file.
//!
//! Invariant: every ref write compares the old value; no git call of ours obeys config that an
//! agent could have written; no type of gix but [`ObjectId`] and [`BString`] shows outside.

mod add_worktree;
mod aside;
mod attributes;
mod blame;
mod branch;
mod bundle;
mod cause;
mod changed;
mod checkout;
mod clash;
mod command;
mod config;
pub mod credential;
mod diff;
mod discover;
mod durable;
mod entries;
mod environment;
mod filter;
mod index;
mod index_file;
mod keep;
mod lines;
mod loose;
mod merge;
mod notes;
mod object;
pub mod operation;
mod recall;
mod refs;
mod registration;
mod repo;
mod revision;
mod scan;
mod scratch;
mod sign;
mod smudge;
mod snapshot;
mod stale;
mod take;
#[cfg(test)]
pub(crate) mod testing;
mod trailer;
mod update_checkout;
mod worktree;

pub use gix::ObjectId;
pub use gix::bstr::BString;
pub use keep::Collectors;

pub use add_worktree::AddWorktree;
pub use blame::{Blame, BlameAsk, BlameCommit, BlameLine};
pub use bundle::{Bundle, BundleError, Quarantine, TakenIn};
pub use cause::Cause;
pub use changed::ChangedPaths;
pub use clash::{Clash, ClashKind, Hunk};
pub use command::{GitError, HARDENED};
pub use config::{ConfigEntry, Scope};
pub use diff::{Counted, DiffError, DiffStat, FileChange, Status};
pub use entries::Difference;
pub use environment::{BadOverride, Environment};
pub use lines::{LineChange, is_binary, line_changes, lines_of};
pub use loose::loose_commit;
pub use merge::{Merge, MergeError};
pub use notes::NotesError;
pub use object::{CommitInfo, Draft, Identity, Mode, ObjectError, Time, TreeEntry};
pub use refs::{Expected, RefError, RefUpdate};
pub use registration::Tampered;
pub use repo::{Head, OpenError, Repo};
pub use revision::RevisionError;
pub use scratch::Scratch;
pub use snapshot::{Change, ChangeKind, LeftOut, Snapshot, SnapshotError, Taken, Why};
pub use trailer::{append, parse};
pub use worktree::{RemoveWorktree, Trash, WorktreeEntry, WorktreeError};
