//! What is asked of agents' commits before they leave the machine, or enter a branch elsewhere.
//!
//! | file | what |
//! |---|---|
//! | `range.rs` | which commits: those that the other side does not have yet |
//! | `verified.rs` | whether verify has passed on the very tree |
//! | `paths.rs` | what they change: sizes, scope, secrets |
//! | `judge.rs` | all judges over a range, and what they found |
//!
//! Invariant: nothing here writes, and a commit that is no agent's is never found fault with.

mod error;
mod judge;
mod paths;
pub mod range;
pub mod verified;

pub use error::PushError;
pub use judge::{Judge, Report};

use crate::event::SECRET;
use crate::git::ObjectId;
use crate::session::state::Phase;
use verified::Unverified;

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The session; none where nobody knows which.
    pub session: Option<String>,
    /// The commits it is about, the newest first.
    pub commits: Vec<ObjectId>,
    /// What is wrong.
    pub fault: Fault,
    /// Whether nothing more is done in the session.
    pub over: bool,
}

/// What may be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its session is at work, or is about to be.
    #[error("the session is {0}")]
    Busy(Phase),
    /// Verify has not passed on the tree.
    #[error(transparent)]
    Unverified(#[from] Unverified),
    /// Steps, where work is to arrive as one commit.
    #[error("steps that are not squashed")]
    Steps,
    /// An agent's, and neither a note nor a trailer says of which session.
    #[error("nothing says which session made it")]
    NoProvenance,
    /// A path that the session might not change, or that holds what must not be pushed.
    #[error("{path} {why}{}", and_more(*more))]
    Path {
        /// The rule's short name.
        rule: String,
        /// The first such path.
        path: String,
        /// Why, in words that follow the path.
        why: String,
        /// How many more there are.
        more: usize,
    },
    /// More files than the session might change.
    #[error("{} changed, {limit} allowed", files_are(*files))]
    TooManyFiles {
        /// How many there are, those that people have allowed left out.
        files: usize,
        /// How many there may be.
        limit: u32,
    },
    /// A new file that is too large.
    #[error("{path} has {bytes} bytes, {limit} are allowed")]
    LargeFile {
        /// Its path.
        path: String,
        /// Its size.
        bytes: u64,
        /// What it may have.
        limit: u64,
    },
    /// All together is too much.
    #[error("{bytes} bytes are added, {limit} are allowed")]
    TooMuch {
        /// How much it is.
        bytes: u64,
        /// How much it may be.
        limit: u64,
    },
    /// There is no signature.
    #[error("not signed")]
    Unsigned,
    /// There is one that is not good.
    #[error("{0}")]
    BadSignature(&'static str),
}

impl Fault {
    /// The name of the check.
    pub fn check(&self) -> &'static str {
        match self {
            Self::Busy(_) => "session",
            Self::Unverified(_) => "verify",
            Self::Steps => "squash",
            Self::NoProvenance => "provenance",
            Self::Path { rule, .. } if rule.starts_with(SECRET) => "secret",
            Self::Path { .. } | Self::TooManyFiles { .. } => "scope",
            Self::LargeFile { .. } | Self::TooMuch { .. } => "size",
            Self::Unsigned | Self::BadSignature(_) => "signature",
        }
    }
}

fn files_are(count: usize) -> String {
    if count == 1 { "1 file is".to_owned() } else { format!("{count} files are") }
}

fn and_more(more: usize) -> String {
    if more == 0 { String::new() } else { format!(", and {more} more") }
}
