//! Why work does not get into a pull request.
//!
//! Invariant: each refusal leaves every ref as it was, here and at the remote.

use crate::git::{GitError, ObjectError, RefError};
use crate::plan::LandError;
use crate::process::ProcessError;
use crate::session::format::FormatError;
use crate::session::store::SessionError;

/// Why nothing was pushed.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// There is no remote.
    #[error("there is no remote to push to")]
    NoRemote,
    /// The remote that was named is not there.
    #[error("there is no remote '{name}'; there is {}", there.join(", "))]
    NotARemote {
        /// The name.
        name: String,
        /// The remotes that are there.
        there: Vec<String>,
    },
    /// Several may be meant.
    #[error("it is not known which remote is meant: {}", .0.join(", "))]
    WhichRemote(Vec<String>),
    /// The branch that it is for is not at the remote.
    #[error("{remote} has no branch {branch}")]
    NoBase {
        /// The remote.
        remote: String,
        /// The branch.
        branch: String,
    },
    /// The session began at commits that the remote's branch does not have.
    #[error("{id} began at commits that {base} does not have: {commits}")]
    NotPushed {
        /// The session.
        id: String,
        /// The branch of the remote.
        base: String,
        /// How many.
        commits: String,
    },
    /// Somebody else has moved the branch of the pull request.
    #[error("somebody else has pushed to {branch} at {remote}: it is at {found}")]
    Foreign {
        /// The remote.
        remote: String,
        /// The branch.
        branch: String,
        /// Where it is, in short.
        found: String,
    },
    /// git did not push.
    #[error("git pushed nothing to {remote}: {said}")]
    Push {
        /// The remote.
        remote: String,
        /// What was said.
        said: String,
    },
    /// git cannot talk to the remote.
    #[error("git cannot reach {remote}: {said}")]
    Unreachable {
        /// The remote.
        remote: String,
        /// What git said.
        said: String,
    },
    /// The session that it stands on has no pull request.
    #[error("{id} is not stacked on a session with a pull request")]
    NoStack {
        /// The session.
        id: String,
    },
    /// The work does not land there.
    #[error(transparent)]
    Land(#[from] LandError),
}

macro_rules! by_way_of_land {
    ($($error:ty),*) => {$(
        impl From<$error> for PullError {
            fn from(error: $error) -> Self {
                Self::Land(error.into())
            }
        }
    )*};
}
by_way_of_land!(FormatError, GitError, ObjectError, ProcessError, RefError, SessionError);
