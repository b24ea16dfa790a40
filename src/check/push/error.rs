//! Why commits could not be judged.
//!
//! Invariant: none of these is a verdict; who asks treats each as "no".

use crate::check::CheckError;
use crate::git::{GitError, NotesError, ObjectError, ObjectId, RefError, RevisionError};
use crate::pattern::BadPattern;
use crate::session::format::FormatError;
use crate::session::record::RecordError;
use crate::session::store::Broken;

/// Why commits could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// What was given is not a range of commits.
    #[error("'{0}' is not a range of commits")]
    NotARange(String),
    /// What git says to a `pre-push` hook is not as it should be.
    #[error("'{0}' is not a line that git gives to pre-push")]
    BadLine(String),
    /// The history ends before the range begins.
    #[error("{0} is not here: this clone is shallow")]
    Shallow(String),
    /// A signature was not looked at.
    #[error("git says nothing of the signature of {0}")]
    NoVerdict(ObjectId),
    /// A revision or a history cannot be read.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// A ref cannot be read.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// An object cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Notes cannot be read.
    #[error(transparent)]
    Notes(#[from] NotesError),
    /// A session's record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A session cannot be read.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// Its state cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// What a commit changes cannot be judged.
    #[error(transparent)]
    Changes(#[from] CheckError),
    /// A pattern of a session's bounds, or of the settings, is none.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// git cannot be asked.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The sessions cannot be listed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<crate::process::ProcessError> for PushError {
    fn from(error: crate::process::ProcessError) -> Self {
        Self::Git(error.into())
    }
}
