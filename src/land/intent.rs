//! What a landing is about to do, written down before it begins.
//!
//! Invariant: while the file is there, the landing it tells of may be half done; whoever holds the
//! session's lock finishes it or finds that it never began.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::file;
use crate::git::ObjectId;
use crate::plan::LandError;
use crate::session::format::{self, FORMAT};
use crate::session::store::Session;

/// A landing that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    format: u32,
    /// The target, whole: `refs/heads/main`.
    pub branch: String,
    /// The commit it moves from, in hex.
    old: String,
    /// The commit it moves to, in hex.
    new: String,
    /// The session's commit that is landed, in hex.
    work: String,
    /// Only some of the session's work: it has not landed with that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
}

impl Intent {
    /// A landing that moves `branch` from `old` to `new`, with the work at `work`.
    pub fn new(branch: &str, old: ObjectId, new: ObjectId, work: ObjectId) -> Self {
        let [old, new, work] = [old, new, work].map(|id| id.to_string());
        Self { format: FORMAT, branch: branch.to_owned(), old, new, work, partial: false }
    }

    /// The same, of all that the session has to land, or of some of it.
    #[must_use]
    pub fn of_all(self, is_all: bool) -> Self {
        Self { partial: !is_all, ..self }
    }

    /// Whether the session has landed with it.
    pub fn is_all(&self) -> bool {
        !self.partial
    }

    /// The commit it moves from.
    ///
    /// # Errors
    /// The file was damaged.
    pub fn old(&self) -> Result<ObjectId, LandError> {
        parse(&self.old)
    }

    /// The commit it moves to.
    ///
    /// # Errors
    /// The file was damaged.
    pub fn new_tip(&self) -> Result<ObjectId, LandError> {
        parse(&self.new)
    }

    /// The session's commit that is landed.
    ///
    /// # Errors
    /// The file was damaged.
    pub fn work(&self) -> Result<ObjectId, LandError> {
        parse(&self.work)
    }

    /// Writes it down.
    ///
    /// # Errors
    /// The file system says no.
    pub fn write(&self, session: &Session) -> Result<(), LandError> {
        Ok(format::write(&path(session), self)?)
    }

    /// The landing of this session that has begun, if one has.
    ///
    /// # Errors
    /// The file cannot be read, or a newer program wrote it.
    pub fn read(session: &Session) -> Result<Option<Self>, LandError> {
        Ok(format::read_to_act(&path(session))?)
    }

    /// Takes it away: the landing is done, or never began.
    ///
    /// # Errors
    /// The file system says no.
    pub fn clear(session: &Session) -> Result<(), LandError> {
        Ok(file::remove(&path(session))?)
    }
}

fn path(session: &Session) -> PathBuf {
    session.dir.join(Path::new("landing.toml"))
}

fn parse(hex: &str) -> Result<ObjectId, LandError> {
    ObjectId::from_hex(hex.as_bytes())
        .map_err(|_| io::Error::other(format!("landing.toml: '{hex}' is not a commit")).into())
}
