//! What the loop needs of the world outside it.
//!
//! Invariant: every method either has its whole effect or returns a [`Fault`]; the loop then rests
//! and can be resumed.

use crate::agent::{Consent, Guarded, Money, Rest, Steer};
use crate::event::{Checkpoint, Delta, Finding, Update, VerifyRecord};
use crate::file::Changed;
use crate::message::Usage;

/// Journal, checkpoints, verify, inbox: what stands behind the loop.
pub trait World {
    /// Appends to the journal; returns when it would survive a power cut.
    ///
    /// # Errors
    /// The journal cannot be written.
    fn record(&mut self, step: u32, updates: Vec<Update>) -> Result<(), Fault>;

    /// Keeps what a step has changed: snapshot, commit, session ref, state; nothing of it where a
    /// person must look at something first that no consent covers.
    ///
    /// # Errors
    /// Nothing was kept: the branch was moved by somebody, a filter is missing, the disk is full.
    fn checkpoint(
        &mut self,
        words: &StepWords,
        changed: &Changed,
        at: Moment,
        consent: &Consent,
    ) -> Result<Taken, Fault>;

    /// Makes these paths what they were after the last checkpoint, and gives the commit that holds
    /// what they are now, in hex; none where nothing is left to put back.
    ///
    /// # Errors
    /// Not all of them are as they were; doing it again goes on from there.
    fn put_back(&mut self, paths: &[String]) -> Result<Option<String>, Fault>;

    /// What the rules on paths say of one that a tool is about to write, `/`-separated.
    fn guard(&self, path: &str) -> Option<Guarded>;

    /// Runs the verify commands on the committed tree, up to the first that fails.
    ///
    /// # Errors
    /// One could not be run at all.
    fn verify(&mut self) -> impl Future<Output = Result<Vec<VerifyRecord>, Fault>>;

    /// What has been said to the session for this moment and not been delivered, oldest first.
    ///
    /// # Errors
    /// The inbox cannot be read.
    fn inbox(&mut self, at: Moment) -> Result<Vec<Steer>, Fault>;

    /// This message is in the journal and need not be kept.
    ///
    /// # Errors
    /// It cannot be taken away.
    fn delivered(&mut self, id: &str) -> Result<(), Fault>;

    /// What the session has cost so far, and those it shares a budget with.
    ///
    /// # Errors
    /// The shared budget cannot be read.
    fn money(&self) -> Result<Money, Fault>;

    /// US dollars for these tokens, where the price is known.
    fn price(&self, usage: &Usage) -> Option<f64>;

    /// Shows what the model is saying just now.
    fn show(&mut self, delta: Delta<'_>);

    /// Shows what is being run just now, a title a call.
    fn busy(&mut self, titles: &[String]);
}

/// Something outside the loop that keeps it from going on, in one line for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

impl From<Fault> for Rest {
    fn from(Fault(reason): Fault) -> Self {
        Self::Paused { reason }
    }
}

/// When a checkpoint is taken, and messages are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A step has ended.
    Step,
    /// A turn has ended: the model says that it is done.
    Turn,
}

/// What came of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// What the journal says of it, and of what a person did to the branch before.
    pub told: Vec<Checkpoint>,
    /// What a person must look at first: nothing of the step is kept then.
    pub held: Vec<Finding>,
}

/// A step in words, for its commit message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepWords {
    /// Which step, counted from 1.
    pub step: u32,
    /// What the model said; may be empty, may have many lines.
    pub said: String,
    /// What was called, a line each.
    pub calls: Vec<String>,
}
