//! What a rewind is about to do, written down before it begins.
//!
//! Invariant: while the file is there, the rewind it tells of may be half done; whoever holds the
//! session's lock finishes it, or finds that it never began.

use std::io;
use std::path::PathBuf;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::event::Rewind;
use crate::file;
use crate::git::ObjectId;
use crate::session::format::{self, FORMAT, FormatError};
use crate::session::store::Session;

/// A rewind that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    format: u32,
    /// The record that the session's ref moves to, in hex.
    record: String,
    /// How long the journal is without it, in bytes.
    pub(super) journal: u64,
    /// What the journal is to say.
    pub(super) rewind: Rewind,
}

impl Intent {
    pub(super) fn new(record: ObjectId, journal: u64, rewind: Rewind) -> Self {
        Self { format: FORMAT, record: record.to_string(), journal, rewind }
    }

    /// Whether this is the record that the session's ref moves to.
    pub(super) fn is_record(&self, commit: ObjectId) -> bool {
        commit == *self.record.as_str()
    }

    /// Writes it down.
    pub(super) fn write(&self, session: &Session) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        file::replace(&path(session), text.as_bytes())
    }

    /// The rewind of this session that has begun, if one has.
    pub(super) fn read(session: &Session) -> Result<Option<Self>, FormatError> {
        let path = path(session);
        if !path.exists() {
            return Ok(None);
        }
        let intent: Self = format::read(&path)?;
        format::writable(&path, intent.format)?;
        Ok(Some(intent))
    }

    /// Takes it away: the rewind is done, or never began.
    pub(super) fn clear(session: &Session) -> io::Result<()> {
        match fs::remove_file(path(session)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn path(session: &Session) -> PathBuf {
    session.dir.join("rewind.toml")
}
