//! What a rewind is about to do, written down before it begins.
//!
//! Invariant: while the file is there, the rewind it tells of may be half done; whoever holds the
//! session's lock finishes it, or finds that it never began.

use std::io;

use serde::{Deserialize, Serialize};

use crate::event::{Checkpoint, Rewind};
use crate::file;
use crate::git::ObjectId;
use crate::session::format::{self, FORMAT, FormatError};
use crate::session::store::Session;

/// A rewind that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    format: u32,
    /// The record that the session's ref moves to, in hex; empty as long as nothing moves.
    record: String,
    /// How long the journal is without it, in bytes.
    pub(super) journal: u64,
    /// What the journal is to say.
    pub(super) rewind: Rewind,
    /// What it is to say before: that a person had moved the branch, where nobody knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) moved: Option<Checkpoint>,
}

impl Intent {
    pub(super) fn new(rewind: Rewind, moved: Option<Checkpoint>) -> Self {
        Self { format: FORMAT, record: String::new(), journal: 0, rewind, moved }
    }

    /// The refs are about to move; the journal is this long.
    pub(super) fn set_out(&mut self, record: ObjectId, journal: u64) {
        self.record = record.to_string();
        self.journal = journal;
    }

    /// The record that the session's ref moves to; none as long as nothing moves.
    pub(super) fn record(&self) -> Option<ObjectId> {
        ObjectId::from_hex(self.record.as_bytes()).ok()
    }

    /// Writes it down.
    pub(super) fn write(&self, session: &Session) -> io::Result<()> {
        format::write(&session.rewind_path(), self)
    }

    /// The rewind of this session that has begun, if one has.
    pub(super) fn read(session: &Session) -> Result<Option<Self>, FormatError> {
        format::read_to_act(&session.rewind_path())
    }

    /// Takes it away: the rewind is done, or never began.
    pub(super) fn clear(session: &Session) -> io::Result<()> {
        file::remove(&session.rewind_path())
    }
}
