//! How a session comes to rest: its last commit, its notes, its record, its phase.
//!
//! Invariant: the state's file comes last, so who sees the session at rest finds all else as it
//! says; and only `done` waits for the record.

use crate::agent::{Consent, Fault, Rest, StepWords, World};
use crate::event::Update;
use crate::failpoint;
use crate::file::Changed;
use crate::session::checkpoint::Ends;
use crate::session::inbox::Kind;
use crate::session::state::Phase;

use super::world::{SessionWorld, fault};

impl SessionWorld<'_> {
    /// Takes what jobs have written up to their end, as the last step's.
    pub(super) fn take_from_jobs(&mut self, words: &StepWords) {
        let taken = self.take(words, &Changed::Anything, Ends::Step, &Consent::default());
        self.untaken = self.is_held || taken.is_err();
        self.complain(taken.map(drop));
    }

    /// Brings everything to rest: the last commit, phase, notes, record, index.
    pub(super) fn settle(&mut self, rest: &Rest) -> Result<(), Fault> {
        if let Rest::Done { summary } = rest {
            self.state.summary.clone_from(summary);
            let task = self.session.spec.task.lines().next().unwrap_or_default();
            let words = StepWords {
                step: self.state.step,
                said: format!("{task}\n\n{summary}"),
                calls: Vec::new(),
            };
            self.take(&words, &Changed::Nothing, Ends::Session, &Consent::default())?;
        }
        let why = self.asked_to_stop().unwrap_or_default();
        let (phase, reason) = match rest {
            Rest::Done { .. } => (Phase::Done, ""),
            Rest::Failed { reason } => (Phase::Failed, reason.as_str()),
            Rest::Paused { reason } => (Phase::Paused, reason.as_str()),
            Rest::NeedsInput(_) => (Phase::NeedsInput, ""),
            Rest::Stopped => (Phase::Stopped, why.as_str()),
        };
        self.rest(phase, reason, rest)
    }

    /// Why a person wants it stopped; none where nobody does.
    pub(super) fn asked_to_stop(&self) -> Option<String> {
        let letters = self.session.inbox().peek().ok()?.letters;
        letters.into_iter().find_map(|letter| match letter.kind {
            Kind::Stop { reason } => Some(reason),
            _ => None,
        })
    }

    /// As [`SessionWorld::settle`], where the system ends us: the session is to go on later.
    pub(super) fn interrupt(&mut self, reason: &str) -> Result<(), Fault> {
        self.rest(Phase::Interrupted, reason, &Rest::Stopped)
    }

    fn rest(&mut self, phase: Phase, reason: &str, rest: &Rest) -> Result<(), Fault> {
        // Notes and index make a person's look pleasant; the session is safe without.
        let Self { session, state, bill, checkpoints, notes, .. } = &mut *self;
        let mut written = notes.write(&session.spec, state, bill, checkpoints);
        // Once more, if it was a gc that took away what was written for them.
        if written.is_err() && checkpoints.repo().restore_kept().is_ok_and(|it| it > 0) {
            written = notes.write(&session.spec, state, bill, checkpoints);
        }
        self.complain(written.map_err(fault("the notes on its commits are not written")));
        let index = self.checkpoints.rest();
        self.complain(index.map_err(fault("the worktree's index is not up to date")));
        self.drop_wishes(phase)?;
        failpoint::reach("notes");
        self.state.settled = self.is_settled();
        self.move_to(phase, reason)?;
        failpoint::reach("rest");
        if let Rest::NeedsInput(question) = rest {
            self.state.question = Some(question.clone());
        }
        let recorded = self.checkpoints.record(&mut self.state, &self.session.journal_path());
        let recorded = recorded.map_err(fault("cannot record the session"));
        match rest {
            // What is not on record is not done.
            Rest::Done { .. } => recorded?,
            // Why it rests says more than what follows from that; the next run records it.
            _ => self.complain(recorded),
        }
        failpoint::reach("last-record");
        self.write_state()?;
        // From now on nobody wishes so any more.
        self.drop_wishes(phase)
    }

    /// Whether the worktree holds nothing of the session's that is not taken.
    fn is_settled(&self) -> bool {
        !self.is_held
            && (!self.untaken || self.checkpoints.is_clean().unwrap_or_else(|error| {
                tracing::debug!(%error, "what is changed by hand from now on is not told apart");
                false
            }))
    }

    /// Tells of what did not work and need not keep the session from resting.
    fn complain(&mut self, result: Result<(), Fault>) {
        if let Err(Fault(reason)) = result {
            tracing::warn!(reason, "the session rests all the same");
            self.state.notice(reason);
        }
    }

    /// A pause that comes too late has come true; so has a stop, where there is nothing to stop.
    fn drop_wishes(&mut self, phase: Phase) -> Result<(), Fault> {
        let inbox = self.session.inbox();
        let waiting = inbox.peek().map_err(fault("cannot read the inbox"))?;
        for letter in waiting.letters {
            let has_come_true = match letter.kind {
                Kind::Pause => true,
                Kind::Stop { .. } => !phase.may_become(Phase::Stopped),
                Kind::Say { .. }
                | Kind::Answer { .. }
                | Kind::Decide { .. }
                | Kind::Limit { .. } => false,
            };
            if has_come_true {
                if matches!(letter.kind, Kind::Stop { .. }) && phase != Phase::Stopped {
                    let notice = format!("it was {phase} before it could be stopped");
                    self.record(self.state.step, vec![Update::Notice(notice)])?;
                }
                inbox.done(&letter.id).map_err(fault("cannot clear the inbox"))?;
            }
        }
        Ok(())
    }
}
