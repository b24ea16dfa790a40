//! What becomes of a session's work when it is done: the pull request that was wished for at its
//! start.
//!
//! Invariant: it is written once, beside the spec, and only read by who ends a run.

use std::io;
use std::path::PathBuf;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::format::{FORMAT, FormatError};
use super::store::Session;
use crate::file;

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
        let text = toml::to_string(self).map_err(io::Error::other)?;
        file::replace(&path(session), text.as_bytes())
    }

    /// What was wished for, if anything was.
    ///
    /// # Errors
    /// The file cannot be read, or a newer program wrote it.
    pub fn read(session: &Session) -> Result<Option<Self>, FormatError> {
        let path = path(session);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let malformed = |source: toml::de::Error| FormatError::Malformed {
            path: path.clone(),
            source: source.into(),
        };
        let wish: Self = toml::from_str(&text).map_err(malformed)?;
        match wish.format {
            found if found > FORMAT => Err(FormatError::Newer { path, found, known: FORMAT }),
            _ => Ok(Some(wish)),
        }
    }
}

fn path(session: &Session) -> PathBuf {
    session.dir.join("pull.toml")
}
