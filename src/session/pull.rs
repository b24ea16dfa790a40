//! What becomes of a session's work when it is done: the pull request that was wished for at its
//! start.
//!
//! Invariant: it is written once, beside the spec, and only read by who ends a run.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::format::{self, FORMAT, FormatError};
use super::store::Session;

/// How a notice begins that says why a pull request came to nothing.
pub const NEEDS_PERSON: &str = "the pull request needs you: ";

/// The pull request that is to be opened when the session is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullWish {
    format: u32,
    /// The options of `git agent pr`, in order.
    pub options: Vec<String>,
}

impl PullWish {
    /// With these options of `git agent pr`.
    pub fn new(options: Vec<String>) -> Self {
        Self { format: FORMAT, options }
    }

    /// Writes it down.
    ///
    /// # Errors
    /// The file system says no.
    pub fn write(&self, session: &Session) -> io::Result<()> {
        format::write(&path(session), self)
    }

    /// What was wished for, if anything was.
    ///
    /// # Errors
    /// The file cannot be read, or a newer program wrote it.
    pub fn read(session: &Session) -> Result<Option<Self>, FormatError> {
        format::read_to_act(&path(session))
    }
}

fn path(session: &Session) -> PathBuf {
    session.dir.join("pull.toml")
}
