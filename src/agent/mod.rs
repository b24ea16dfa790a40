//! The loop: ask the model, run its tools, commit the step, verify, go on.
//!
//! Invariant: what comes next depends on [`Conversation`] alone, which is a fold over the journal;
//! so a session that was interrupted anywhere goes on as if it had not been. Git and the disk are
//! reached only through [`World`].

mod compact;
mod conversation;
mod history;
mod hold;
mod limits;
mod model;
mod network;
pub mod permission;
mod permit;
mod progress;
pub mod prompt;
mod question;
mod steer;
mod stuck;
#[cfg(test)]
mod tests;
mod world;

use std::time::{Duration, Instant};

use futures_util::future::join_all;

pub use conversation::{Conversation, Next};
pub use history::Forgotten;
pub use hold::Consent;
pub use limits::{Allowance, Allowances, Limits, Money, Shared};
pub use model::Models;
pub use permission::Rules;
pub use permit::Guarded;
pub use steer::{Steer, why_denied};
pub use world::{Fault, Moment, StepWords, Taken, World};

use crate::cancel::Signals;
use crate::event::{Origin, Question, ToolEnd, Update, UserMessage};
use crate::file::Changed;
use crate::message::{ToolCall, ToolResult};
use crate::model::Model;
use crate::tool::{Called, Effect, Toolbox};

/// One session's loop, and the parts it works with.
pub struct Agent<'a, W> {
    /// The model it asks.
    pub model: &'a mut Model,
    /// Where another one comes from, or another key for this one.
    pub models: &'a mut dyn Models,
    /// Whether its key was asked for again since it last answered.
    pub is_renewed: bool,
    /// The tools the model may call.
    pub tools: &'a Toolbox,
    /// Journal, checkpoints, verify and inbox.
    pub world: &'a mut W,
    /// How people interrupt it.
    pub signals: &'a Signals,
    /// What has happened so far.
    pub conversation: Conversation,
    /// Which calls may run.
    pub rules: &'a Rules,
    /// When it gives up by itself.
    pub limits: Limits,
    /// Whether a person is asked about changes before they are committed.
    pub is_held: bool,
    /// Since when the time at work is not journalled yet.
    pub lap: Instant,
}

/// Why the loop has come to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// The model has finished and every verify command was content.
    Done {
        /// What the model says it did.
        summary: String,
    },
    /// Going on would not get there.
    Failed {
        /// Why, in one line.
        reason: String,
    },
    /// It can go on from here when a person says so.
    Paused {
        /// Why, in one line.
        reason: String,
    },
    /// It waits for an answer.
    NeedsInput(Box<Question>),
    /// A person has ended it.
    Stopped,
}

impl<W: World> Agent<'_, W> {
    /// Works until there is a reason to rest.
    pub async fn run(&mut self) -> Rest {
        let rest = self.work().await;
        match self.tell_worked(Duration::ZERO) {
            Ok(()) => rest,
            // The reason that came first is the better one.
            Err(unwritten) => {
                tracing::warn!(?unwritten, "the last time at work is not journalled");
                rest
            }
        }
    }

    async fn work(&mut self) -> Rest {
        if let Err(rest) = self.catch_up() {
            return rest;
        }
        loop {
            if let Err(rest) = self.advance().await {
                return rest;
            }
        }
    }

    async fn advance(&mut self) -> Result<(), Rest> {
        self.steer(Moment::Step)?;
        if self.is_held && !self.conversation.is_held() {
            self.is_held = false;
            return self.commit(&Changed::Anything, Moment::Step);
        }
        match self.conversation.next() {
            Next::Ask => self.ask().await,
            Next::Call => self.call().await,
            Next::Nudge(text) => self.hear(Origin::Loop, text.to_owned(), None),
            Next::Verify(summary) => self.verify(summary).await,
            Next::Question(question) => self.tell(vec![Update::Question(question)]),
            Next::Wait(question) => self.wait(question),
        }
    }

    /// The calls of the last answer: side by side while they only read, else in their order; then
    /// the commit of what they changed.
    async fn call(&mut self) -> Result<(), Rest> {
        let mut changed = Changed::Nothing;
        loop {
            let group = self.conversation.next_calls(|call| self.tools.reads_only(call));
            if group.is_empty() {
                break;
            }
            let Some(group) = self.permitted(group)? else { break };
            self.tell(group.iter().cloned().map(Update::ToolCall).collect())?;
            self.world.busy(&group.iter().map(|call| self.tools.title(call)).collect::<Vec<_>>());
            self.open_hosts();
            let ended = join_all(group.iter().map(|call| self.run_one(call))).await;
            let mut ended: Vec<_> = group.into_iter().zip(ended).collect();
            let visits = self.tools.take_visits();
            network::say_blocked(&mut ended, &visits, self.tools.is_attended());
            let mut updates = Vec::new();
            for (call, (called, millis)) in ended {
                changed = changed.and(called.changed.clone());
                updates.extend(updates_of(call, called, millis));
            }
            self.tell(updates)?;
            self.tell_visits(visits)?;
        }
        self.commit(&changed, Moment::Step)
    }

    async fn run_one(&self, call: &ToolCall) -> (Called, u64) {
        let started = Instant::now();
        let called = tokio::select! {
            biased;
            () = std::future::ready(()), if self.conversation.was_cut_off() => {
                self.tools.not_run(call, prompt::CUT_OFF)
            }
            () = std::future::ready(()), if self.conversation.refuses(call) => {
                self.tools.not_run(call, prompt::NOT_RUN_AGAIN)
            }
            called = self.tools.call(call) => called,
            () = self.signals.stop.raised() => {
                let shutdown = self.signals.shutdown.is_raised();
                let why = if shutdown { prompt::INTERRUPTED } else { prompt::STOPPED };
                self.tools.not_run(call, why)
            }
        };
        (called, u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Lets the verify commands judge the committed tree: they say done, not the model.
    async fn verify(&mut self, summary: String) -> Result<(), Rest> {
        self.commit(&Changed::Anything, Moment::Turn)?;
        if self.is_held {
            return Ok(());
        }
        self.open_hosts();
        let records = tokio::select! {
            records = self.world.verify() => records?,
            () = self.signals.stop.raised() => return self.steer(Moment::Step).map(drop),
        };
        let red = records.iter().find(|record| record.exit != 0).cloned();
        self.tell(records.into_iter().map(Update::Verify).collect())?;
        let visits = self.tools.take_visits();
        self.tell_visits(visits)?;
        let Some(red) = red else {
            // What was said meanwhile, or for when this is done, is one more reason to go on; so is
            // what a person did to the branch.
            let is_heard = self.steer(Moment::Turn)?;
            let is_done = !is_heard && matches!(self.conversation.next(), Next::Verify(_));
            return if is_done { Err(Rest::Done { summary }) } else { Ok(()) };
        };
        // A person who speaks gives it another go.
        let rounds = if self.model.can_mend() { self.limits.red_rounds } else { 0 };
        let is_over = self.conversation.red_rounds() > rounds;
        if is_over && !self.steer(Moment::Turn)? {
            let reason = format!("verify still fails: {} (exit {})", red.command, red.exit);
            return Err(Rest::Failed { reason });
        }
        self.hear(Origin::Loop, prompt::verify_failed(&red), None)
    }

    /// Closes what an earlier run of this session left open.
    ///
    /// A call that had begun is told to the model as interrupted, never run again in silence; one
    /// that had not begun, or leaves no trace, is run as if nothing had been. Whatever was changed
    /// is committed.
    fn catch_up(&mut self) -> Result<(), Rest> {
        self.push_messages();
        let lost = self.conversation.lost_calls(|call| self.tools.is_repeatable(call));
        let ends = lost.into_iter().flat_map(|call| {
            let called = self.tools.not_run(&call, prompt::INTERRUPTED);
            updates_of(call, called, 0)
        });
        self.tell(ends.collect())?;
        self.is_held = self.conversation.is_held();
        if self.conversation.step() == 0 || self.is_held {
            return Ok(());
        }
        self.commit(&Changed::Anything, Moment::Step)
    }

    fn hear(&mut self, from: Origin, text: String, inbox_id: Option<String>) -> Result<(), Rest> {
        self.tell(vec![Update::UserMessage(UserMessage { from, text, inbox_id })])
    }

    /// Journals what has happened, then tells the model its part of it.
    fn tell(&mut self, updates: Vec<Update>) -> Result<(), Rest> {
        if updates.is_empty() {
            return Ok(());
        }
        let mut updates: Vec<_> = updates.into_iter().map(Update::redacted).collect();
        for update in &mut updates {
            if let Update::Question(question) = update {
                question.number = self.conversation.questions() + 1;
            }
            self.conversation.apply(update);
        }
        self.world.record(self.conversation.step(), updates)?;
        self.push_messages();
        Ok(())
    }

    fn push_messages(&mut self) {
        let (forgotten, messages) = self.conversation.take_messages();
        if let Some(Forgotten { answers, calls }) = forgotten {
            self.model.restart(answers, calls);
        }
        for message in messages {
            self.model.push(message);
        }
    }

    fn commit(&mut self, changed: &Changed, at: Moment) -> Result<(), Rest> {
        self.put_back()?;
        let words = self.conversation.step_words(self.tools);
        let taken = self.world.checkpoint(&words, changed, at, self.conversation.consent())?;
        for checkpoint in taken.told {
            self.conversation.apply(&Update::Checkpoint(checkpoint));
        }
        self.push_messages();
        if taken.held.is_empty() {
            return Ok(());
        }
        self.is_held = true;
        self.tell(vec![Update::Question(hold::question(taken.held))])
    }
}

/// What a finished call adds to the journal: its end, save where a person has to give it.
fn updates_of(call: ToolCall, called: Called, millis: u64) -> Vec<Update> {
    let Called { output, is_error, title, effect, .. } = called;
    if let Effect::Ask { question, options } = effect {
        let call_id = Some(call.id);
        let question = Question { text: question, options, call_id, ..Question::default() };
        return vec![Update::Question(question)];
    }
    let result = ToolResult { call_id: call.id, output, is_error };
    let end = Update::ToolCallUpdate(ToolEnd { result, title, millis });
    match effect {
        Effect::Plan(items) => vec![Update::Plan(items), end],
        _ => vec![end],
    }
}
