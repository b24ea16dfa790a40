//! Why there is no checkpoint.
//!
//! Invariant: each says what stood in the way; what follows from it is for who knows hints.

use std::path::PathBuf;

use super::foreign::ForeignError;
use super::hold::Unjudged;
use crate::git::operation::Operation;
use crate::git::{
    DiffError, GitError, ObjectError, ObjectId, RefError, RevisionError, SnapshotError, Tampered,
    WorktreeError,
};
use crate::session::record::RecordError;

/// Why there is no checkpoint. But for [`CheckpointError::BranchMoved`], everything is as before.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Somebody else moved the branch, or deleted it. The work is kept by the session's ref.
    #[error("{branch} was {} by somebody else", match found { Some(id) => format!("moved to {id}"), None => "deleted".to_owned() })]
    BranchMoved {
        /// The branch.
        branch: String,
        /// Where it is now; none if it is gone.
        found: Option<ObjectId>,
        /// The commit that holds the step's work, on top of where the branch was.
        kept: ObjectId,
    },
    /// There is no such branch any more; the session's ref still holds the code.
    #[error("{branch} is gone")]
    BranchGone {
        /// The branch.
        branch: String,
    },
    /// What somebody else did cannot be gone on from.
    #[error(transparent)]
    Foreign(#[from] Box<ForeignError>),
    /// The worktree is gone, or is no worktree any more: its missing files are nobody's deletions.
    #[error("the worktree is gone: {}", path.display())]
    WorktreeGone {
        /// Where it was.
        path: PathBuf,
    },
    /// What leads git from the worktree to the session's git dir was changed or taken away.
    #[error(
        "{} is gone or does not lead to the session's git dir; git worktree repair mends it",
        path.display()
    )]
    NotLinked {
        /// The `.git` of the worktree.
        path: PathBuf,
    },
    /// What leads from the worktree to the repository was rewritten: git would obey it.
    #[error(transparent)]
    Tampered(#[from] Tampered),
    /// The worktree is on another branch, so its files are not the session's.
    #[error("the worktree is on {found} instead of {branch}")]
    Elsewhere {
        /// The session's branch.
        branch: String,
        /// What the worktree is on.
        found: String,
    },
    /// A person has begun something in the worktree that is not at its end.
    #[error("the worktree is in the middle of {operation}: finish or abort it, then resume")]
    Busy {
        /// What git is about there.
        operation: Operation,
    },
    /// The worktree cannot be taken.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The files cannot follow.
    #[error(transparent)]
    Worktree(#[from] WorktreeError),
    /// The record cannot be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The journal cannot be read.
    #[error("the journal cannot be read")]
    Journal(#[source] std::io::Error),
    /// An object cannot be written or read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The base is not there, in a clone that is too shallow say.
    #[error(transparent)]
    Base(#[from] RevisionError),
    /// Trees cannot be compared.
    #[error(transparent)]
    Diff(#[from] DiffError),
    /// What has changed cannot be looked at.
    #[error(transparent)]
    Unjudged(#[from] Unjudged),
    /// The refs cannot be moved, or the session's ref was moved by somebody else.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// git does not know who the user is.
    #[error("the author of commits is not known")]
    Identity(#[source] GitError),
}
