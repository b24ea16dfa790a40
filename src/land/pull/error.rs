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
    /// The session stands on no other.
    #[error("{id} began at no commit of another session")]
    NoStack {
        /// The session.
        id: String,
    },
    /// The sessions that were named are not on top of each other.
    #[error("neither of {one} and {other} stands on the other")]
    Apart {
        /// The one.
        one: String,
        /// The other.
        other: String,
    },
    /// The session began at another's commits, which the remote has on no branch that it is for.
    #[error("{id} stands on {below}, whose branch {branch} is not at {remote}")]
    Stands {
        /// The session.
        id: String,
        /// The one below it.
        below: String,
        /// That one's branch.
        branch: String,
        /// The remote.
        remote: String,
    },
    /// Pushes go to another project than the one that the pull request is for.
    #[error("a stack needs its branches at {remote}, and pushes go to {push_remote}")]
    StackOfFork {
        /// The remote that it is for.
        remote: String,
        /// The remote that is pushed to.
        push_remote: String,
    },
    /// A pull request that others stand on was put away.
    #[error("the pull request of {below} that {id} stands on, {pull}, was closed unmerged")]
    Closed {
        /// The session.
        id: String,
        /// The one below it.
        below: String,
        /// Its pull request, `#7`.
        pull: String,
    },
    /// A session of the stack was removed, and has no pull request that others could stand on.
    #[error("{id}, on which others stand, was removed")]
    Removed {
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
by_way_of_land!(
    std::io::Error,
    FormatError,
    GitError,
    ObjectError,
    ProcessError,
    RefError,
    SessionError
);
