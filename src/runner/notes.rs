//! The notes on a session's commits, written together when it rests.
//!
//! Invariant: a note is written after its commit is on the branch; one that a crash has kept back
//! is written by the next run, from the journal.

use crate::event::{Event, Update};
use crate::git::{NotesError, ObjectId};
use crate::message::Usage;
use crate::session::bill::Bill;
use crate::session::checkpoint::Checkpoints;
use crate::session::note::{BUILTIN, NOTES_REF, Note};
use crate::session::spec::Spec;
use crate::session::state::State;

/// Notes that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pending: Vec<Pending>,
    /// What the commits noted so far have cost, so that a note tells of its own step alone.
    counted: Usage,
    paid: Option<f64>,
}

#[derive(Debug)]
struct Pending {
    commit: ObjectId,
    step: u32,
    model: String,
    usage: Usage,
    cost_usd: Option<f64>,
}

impl Notes {
    /// Takes in what an earlier run of the session has done: unwritten are the commits since it
    /// last rested.
    pub(super) fn replay(&mut self, event: &Event, bill: &Bill) {
        match &event.update {
            // What a person did is not noted.
            Update::Checkpoint(checkpoint) if checkpoint.by_person.is_none() => {
                let commit = checkpoint.commit.as_deref();
                let commit = commit.and_then(|hex| ObjectId::from_hex(hex.as_bytes()).ok());
                if let Some(commit) = commit {
                    self.add(commit, event.step, bill);
                }
            }
            Update::State(change) if change.is_rest() => {
                self.pending.clear();
            }
            // What comes before is the past of another session, and noted there.
            Update::Fork(_) => *self = Self::default(),
            _ => {}
        }
    }

    /// Remembers a commit that was made, with all that the session has cost by then.
    pub(super) fn add(&mut self, commit: ObjectId, step: u32, bill: &Bill) {
        let (usage, cost) = (bill.usage(), bill.cost_usd());
        let cost_usd = match (cost, self.paid) {
            (Some(cost), paid) => Some(cost - paid.unwrap_or(0.0)),
            (None, _) => None,
        };
        let (model, usage_here) = (bill.model().to_owned(), usage - self.counted);
        self.pending.push(Pending { commit, step, model, usage: usage_here, cost_usd });
        (self.counted, self.paid) = (usage, cost.or(self.paid));
    }

    /// Writes them all, in one commit on the notes ref.
    ///
    /// # Errors
    /// They cannot be written; they are then still to be written.
    pub(super) fn write(
        &mut self,
        spec: &Spec,
        state: &State,
        bill: &Bill,
        checkpoints: &Checkpoints,
    ) -> Result<(), NotesError> {
        let tip = checkpoints.head();
        // The verify record belongs to the commit whose tree it ran on: the last one.
        let verify =
            state.verify.as_ref().filter(|verify| Some(&verify.tree) == state.tree.as_ref());
        let is_pending = self.pending.iter().any(|pending| pending.commit == tip);
        if verify.is_some() && !is_pending && spec.base.commit != tip.to_string().as_str() {
            self.add(tip, state.step, bill);
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        let texts = self.pending.iter().map(|pending| {
            let note = Note {
                session: &spec.id,
                agent: BUILTIN,
                model: &pending.model,
                step: Some(pending.step),
                usage: pending.usage,
                cost_usd: pending.cost_usd,
                verify: verify.filter(|_| pending.commit == tip),
                is_verified: spec.last_check().is_some(),
            };
            (pending.commit, note.text())
        });
        let texts = texts.collect::<Vec<_>>();
        let message = format!("{}: notes up to step {}\n", spec.id, state.step);
        checkpoints.repo().write_notes(NOTES_REF, &texts, checkpoints.who(), &message)?;
        self.pending.clear();
        Ok(())
    }
}
