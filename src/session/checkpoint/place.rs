//! Setting the code of a session to another place: branch, record and files.
//!
//! Invariant: what is left is on record before anything moves; only what differs between the two
//! trees is touched, and nothing that no record holds is written over.

use std::path::Path;

use super::{CheckpointError, Checkpoints};
use crate::event;
use crate::file::Changed;
use crate::git::{Expected, ObjectId, RefUpdate};
use crate::session::record::{Record, Written};
use crate::session::state::State;

/// Where the code of a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The branch's commit.
    pub head: ObjectId,
    /// The tree of the worktree: also what no commit of the branch holds.
    pub tree: ObjectId,
}

/// A move to another place, of which only objects are written.
#[derive(Debug)]
pub struct Move {
    place: Place,
    code: ObjectId,
    written: Written,
}

impl Place {
    /// The place that a journal names; none where that is damaged.
    pub fn parse(place: &event::Place) -> Option<Self> {
        let id = |hex: &str| ObjectId::from_hex(hex.as_bytes()).ok();
        Some(Self { head: id(&place.head)?, tree: id(&place.tree)? })
    }

    /// As a journal names it.
    pub fn to_event(self) -> event::Place {
        event::Place { head: self.head.to_string(), tree: self.tree.to_string() }
    }
}

impl Move {
    /// The record that the session's ref will point to.
    pub fn record(&self) -> ObjectId {
        self.written.commit()
    }
}

impl Checkpoints {
    /// Where the code is now, what is in no commit taken in.
    ///
    /// # Errors
    /// The worktree is gone or on another branch, or cannot be read.
    pub fn here(&mut self) -> Result<Place, CheckpointError> {
        self.check_worktree()?;
        if let Some(tip) = self.repo.ref_id(&self.spec.branch)?.filter(|tip| *tip != self.head) {
            (self.head, self.code) = (tip, tip);
        }
        let tree = self.snapshot.take(&Changed::Anything)?.tree;
        Ok(Place { head: self.head, tree })
    }

    /// Puts the code, as it was taken last, on record where the last record does not hold it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&mut self, state: &mut State, journal: &Path) -> Result<(), CheckpointError> {
        let last = Record::last(&self.repo, &self.spec.id)?;
        let tree = self.snapshot.tree();
        let is_kept = match last {
            Some(last) if tree == self.repo.tree_of(self.head)? => last.code == self.head,
            Some(last) => last.code == self.code && tree == self.repo.tree_of(self.code)?,
            None => false,
        };
        if is_kept {
            return Ok(());
        }
        let code = self.holder(Place { head: self.head, tree })?;
        self.repo.sync_with_objects(journal);
        let (repo, spec) = (&self.repo, &self.spec);
        let written = self.recorder.write(repo, spec, state, journal, code, &self.who)?;
        self.repo.update_refs(std::slice::from_ref(&written.update))?;
        self.recorder.advance(&written);
        self.code = code;
        Ok(())
    }

    /// Refuses where the files could not follow to this tree. The worktree's own index is brought
    /// up to the tree taken last.
    ///
    /// # Errors
    /// Something that no record holds is in the way, or the index is locked.
    pub fn check_way(&self, tree: ObjectId) -> Result<(), CheckpointError> {
        self.snapshot.refresh_worktree_index()?;
        self.repo.check_filters(&self.spec.worktree)?;
        Ok(self.repo.check_update(self.snapshot.tree(), tree)?)
    }

    /// Writes the objects of a move: the state there, and what holds its code.
    ///
    /// # Errors
    /// An object cannot be read or written.
    pub fn prepare(
        &self,
        place: Place,
        state: &mut State,
        journal: &Path,
    ) -> Result<Move, CheckpointError> {
        let code = self.holder(place)?;
        state.head = Some(place.head.to_string());
        state.tree = Some(place.tree.to_string());
        let (repo, spec) = (&self.repo, &self.spec);
        let written = self.recorder.write(repo, spec, state, journal, code, &self.who)?;
        Ok(Move { place, code, written })
    }

    /// Moves branch and session ref: both or none.
    ///
    /// # Errors
    /// Somebody else has moved one of them.
    pub fn go(&mut self, to: &Move, reason: &str) -> Result<(), CheckpointError> {
        let mut updates = vec![to.written.update.clone()];
        if to.place.head != self.head {
            updates.push(RefUpdate {
                name: self.spec.branch.clone(),
                old: Expected::Is(self.head),
                new: Some(to.place.head),
                reason: reason.to_owned(),
            });
        }
        self.repo.update_refs(&updates)?;
        self.recorder.advance(&to.written);
        (self.head, self.code) = (to.place.head, to.code);
        Ok(())
    }

    /// Makes the files those of this tree. What was taken last is on record by now.
    ///
    /// # Errors
    /// Something is in the way, the index is locked, or the disk is full; files may have changed
    /// then.
    pub fn check_out(&mut self, tree: ObjectId) -> Result<(), CheckpointError> {
        self.snapshot.refresh_worktree_index()?;
        self.repo.check_filters(&self.spec.worktree)?;
        self.repo.update_checkout(self.snapshot.tree(), tree)?;
        Ok(self.snapshot.reset_to(tree)?)
    }

    /// A commit that holds the code of a place: the branch's own, or a snapshot on top of it.
    fn holder(&self, place: Place) -> Result<ObjectId, CheckpointError> {
        if self.repo.tree_of(place.head)? == place.tree {
            return Ok(place.head);
        }
        Ok(self.snapshot_on(&[place.head], place.tree, "Snapshot\n")?)
    }
}
