//! Notes: what is said of a commit without changing it.
//!
//! Invariant: many notes are one commit on their ref, and a note that another wrote meanwhile is
//! kept: the ref moves only from what was read.

use gix::bstr::ByteSlice;
use gix::note::plumbing::State;

use crate::git::object::{Draft, ObjectError};
use crate::git::refs::{Expected, RefError, RefUpdate};
use crate::git::repo::Repo;
use crate::git::{Identity, ObjectId};

/// Why notes were not read or written.
#[derive(Debug, thiserror::Error)]
pub enum NotesError {
    /// Their ref was not read or moved.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// An object was not read or written.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

/// How often the ref may have moved under our hands before we give up.
const TRIES: u32 = 10;

impl Repo {
    /// Sets the note of each of these commits, as one commit on `notes_ref` (full name). A note
    /// that is there is replaced. Nothing to say makes no commit.
    ///
    /// # Errors
    /// The objects or the ref cannot be written, or others move the ref faster than we can.
    pub fn write_notes(
        &self,
        notes_ref: &str,
        notes: &[(ObjectId, String)],
        who: &Identity,
        message: &str,
    ) -> Result<(), NotesError> {
        if notes.is_empty() {
            return Ok(());
        }
        let mut tries = 0;
        loop {
            let tip = self.ref_id(notes_ref)?;
            let tree = self.tree_with_notes(tip, notes)?;
            let commit = self.write_commit(&Draft {
                tree,
                parents: tip.into_iter().collect(),
                author: who.clone(),
                committer: who.clone(),
                time: None,
                message: message.to_owned(),
            })?;
            let moved = self.update_refs(&[RefUpdate {
                name: notes_ref.to_owned(),
                old: tip.map_or(Expected::Absent, Expected::Is),
                new: Some(commit),
                reason: format!("notes: {message}"),
            }]);
            tries += 1;
            match moved {
                Err(RefError::Moved { .. }) if tries < TRIES => {}
                other => return Ok(other?),
            }
        }
    }

    /// The note of a commit under `notes_ref` (full name).
    ///
    /// # Errors
    /// The ref or the note cannot be read.
    pub fn read_note(
        &self,
        notes_ref: &str,
        commit: ObjectId,
    ) -> Result<Option<String>, NotesError> {
        let Some(tip) = self.ref_id(notes_ref)? else { return Ok(None) };
        let unread = || ObjectError::new(format!("read the note of {commit}"));
        let tree = self.tree_of(tip)?;
        let mut state = State::new(tree, self.gix()).map_err(unread())?;
        let Some(blob) = state.get(&commit, self.gix()).map_err(unread())? else {
            return Ok(None);
        };
        Ok(Some(self.read_blob(blob)?.to_str_lossy().into_owned()))
    }

    fn tree_with_notes(
        &self,
        tip: Option<ObjectId>,
        notes: &[(ObjectId, String)],
    ) -> Result<ObjectId, ObjectError> {
        let failed = || ObjectError::new("write notes");
        let tree = tip.map(|tip| self.tree_of(tip)).transpose()?;
        let tree = tree.unwrap_or_else(|| self.empty_tree());
        let mut state = State::new(tree, self.gix()).map_err(failed())?;
        for (commit, text) in notes {
            let blob = self.write_blob(text.as_bytes())?;
            state.edit(*commit, Some(blob), self.gix()).map_err(failed())?;
        }
        state.write(self.gix()).map_err(failed())
    }
}
