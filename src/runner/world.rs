//! What stands behind the loop of one session: its journal, its commits, its inbox, its state.
//!
//! Invariant: the order of a step. What the model said and what its calls gave is in the journal,
//! synced, before it counts; then the commit and the record move together; then the state.

use std::collections::HashMap;
use std::error::Error;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::agent::{
    Allowance, Consent, Fault, Guarded, Moment, Money, Shared, Steer, StepWords, Taken, World,
};
use crate::event::{
    self, BY_HAND, Decision, Delta, Event, Origin, Update, UserMessage, VerifyRecord,
};
use crate::failpoint;
use crate::file::Changed;
use crate::git::ObjectId;
use crate::measure::coverage::Watch;
use crate::message::Usage;
use crate::session::budget::Budget;
use crate::session::checkpoint::{self, Checkpoints, Ends, Step};
use crate::session::disk;
use crate::session::inbox::{Kind, When};
use crate::session::journal::Journal;
use crate::session::state::{Phase, State};
use crate::session::store::Session;
use crate::session::subject::Words;
use crate::tool::Toolbox;
use crate::tool::output::Cap;

use super::gate::Gate;
use super::notes::Notes;
use super::shadowing::Followed;
use crate::session::bill::Bill;

/// How long one verify command may take: a whole test suite, but not for ever.
const VERIFY_LIMIT: Duration = Duration::from_secs(60 * 60);
/// How much of what it prints goes back to the model.
const VERIFY_CAP: Cap = Cap { bytes: 8 << 10, lines: 200 };

/// The world of one session.
pub(super) struct SessionWorld<'a> {
    pub(super) session: &'a Session,
    pub(super) tools: &'a Toolbox,
    pub(super) journal: Journal,
    pub(super) state: State,
    pub(super) checkpoints: Checkpoints,
    /// The git dir of its commands, where they have one of their own.
    pub(super) shadow: Option<Followed>,
    pub(super) notes: Notes,
    pub(super) bill: Bill,
    /// What a person must look at before it is committed.
    pub(super) gate: Gate,
    /// The commands that must succeed before it is done.
    pub(super) checks: Vec<String>,
    /// What was changed waits for that.
    pub(super) is_held: bool,
    /// A call or a check has run since the worktree was last taken.
    pub(super) untaken: bool,
    /// When it last looked who else changes the same lines.
    pub(super) looked: Instant,
    /// `agent.minFreeDisk`, in bytes.
    pub(super) min_free_disk: u64,
    /// The budget that it shares with other sessions.
    pub(super) budget: Option<Budget>,
    /// Who has sent which message, by its id; and who has last asked for a rest.
    pub(super) senders: HashMap<String, String>,
    pub(super) rested_by: Option<String>,
}

impl World for SessionWorld<'_> {
    fn record(&mut self, step: u32, updates: Vec<Update>) -> Result<(), Fault> {
        let can_wait = updates.iter().all(can_wait);
        for update in &updates {
            match update {
                Update::ToolCall(_) => {
                    self.untaken = true;
                    self.show_git();
                }
                Update::ToolCallUpdate(_) => failpoint::reach("ran"),
                Update::Verify(_) => {
                    self.untaken = true;
                    failpoint::reach("verified");
                }
                _ => {}
            }
        }
        let event = |update| {
            let by = self.person_behind(&update);
            Event::now(step, update).by(by)
        };
        let events: Vec<_> = updates.into_iter().map(event).collect();
        let written = match can_wait {
            true => self.journal.append_unsynced(&events),
            false => self.journal.append(&events),
        };
        written.map_err(fault("cannot write the journal"))?;
        for event in &events {
            self.follow(&event.update);
            reach(&event.update);
        }
        match events.iter().any(|event| has_cost(&event.update)) {
            true => self.book(),
            false => Ok(()),
        }
    }

    fn checkpoint(
        &mut self,
        words: &StepWords,
        changed: &Changed,
        at: Moment,
        consent: &Consent,
    ) -> Result<Taken, Fault> {
        let ends = match at {
            Moment::Step => Ends::Step,
            Moment::Turn => Ends::Turn,
        };
        let taken = self.take(words, changed, ends, consent)?;
        if self.is_held {
            return Ok(taken);
        }
        self.untaken = false;
        self.state.activity.clear();
        // No sync: the journal and the record, which have one, tell all of it but the phase.
        self.state
            .write_unsynced(&self.session.state_path())
            .map_err(fault("cannot write the state"))?;
        failpoint::reach("state");
        self.look_around(at)?;
        // What is done but for its checks is not kept from its end.
        if at == Moment::Step {
            self.check_disk()?;
        }
        Ok(taken)
    }

    fn put_back(&mut self, paths: &[String]) -> Result<Option<String>, Fault> {
        let journal = self.session.journal_path();
        let kept = self.checkpoints.put_back(paths, &mut self.state, &journal);
        let kept = kept.map_err(fault("what was denied is not put back"))?;
        failpoint::reach("put-back");
        self.write_state()?;
        Ok(kept.map(|commit| commit.to_string()))
    }

    fn guard(&self, path: &str) -> Option<Guarded> {
        self.gate.guard(path)
    }

    async fn verify(&mut self) -> Result<Vec<VerifyRecord>, Fault> {
        let commands = self.checks.clone();
        let gates = &self.session.spec.gates;
        if commands.is_empty() && gates.is_open() {
            return Ok(Vec::new());
        }
        let report = gates.coverage_report.as_deref();
        let watch = gates.min_coverage.map(|_| Watch::begin(&self.session.spec.worktree, report));
        self.enter(Phase::Verifying, "")?;
        self.show_git();
        let tree = self.checkpoints.tree().to_string();
        let mut records = Vec::new();
        for command in &commands {
            self.state.activity = format!("verify: {command}");
            self.show_state();
            let ran = self.tools.run(command, VERIFY_LIMIT, VERIFY_CAP).await.map_err(Fault)?;
            let record = VerifyRecord {
                command: command.clone(),
                exit: ran.exit,
                millis: ran.millis,
                tree: tree.clone(),
                output: ran.output,
                gate: None,
            };
            let red = record.exit != 0;
            records.push(record);
            if red {
                break;
            }
        }
        if records.iter().all(|record| record.exit == 0) {
            records.extend(self.measure(&tree, watch.as_ref()).await?);
        }
        self.enter(Phase::Running, "")?;
        Ok(records)
    }

    fn inbox(&mut self, at: Moment) -> Result<Vec<Steer>, Fault> {
        let inbox = self.session.inbox();
        let waiting = inbox.peek().map_err(fault("cannot read the inbox"))?;
        for (path, reason) in waiting.unreadable {
            tracing::warn!(path = %path.display(), reason, "a message that cannot be read");
        }
        let mut steers = Vec::new();
        for letter in waiting.letters {
            match letter.kind {
                Kind::Pause | Kind::Stop { .. } => self.rested_by = letter.by,
                _ => self.senders.extend(letter.by.map(|by| (letter.id.clone(), by))),
            }
            steers.push(match letter.kind {
                Kind::Say { when: When::AfterTurn, .. } if at == Moment::Step => continue,
                Kind::Say { text, .. } => Steer::Say { id: letter.id, text },
                Kind::Answer { text, question } => Steer::Answer { id: letter.id, text, question },
                Kind::Decide { question, verdict, reason } => {
                    let inbox_id = Some(letter.id);
                    Steer::Decide(Decision { question, verdict, reason, inbox_id })
                }
                Kind::Limit { limit, to } => Steer::Limit { id: letter.id, limit, to },
                // Both stay until they have come true: see `drop_wishes`.
                Kind::Pause => Steer::Pause,
                Kind::Stop { .. } => Steer::Stop,
            });
        }
        Ok(steers)
    }

    fn delivered(&mut self, id: &str) -> Result<(), Fault> {
        self.state.delivered += 1;
        self.session.inbox().done(id).map_err(fault("cannot clear the inbox"))
    }

    fn money(&self) -> Result<Money, Fault> {
        let shared = self.budget.as_ref().map(|budget| {
            let balance = budget.balance().map_err(fault("cannot read the shared budget"))?;
            let allowed = Allowance { to: balance.to, more: balance.first };
            Ok(Shared { name: budget.name().to_owned(), spent: balance.spent, allowed })
        });
        Ok(Money { dollars: self.bill.counted_usd(), shared: shared.transpose()? })
    }

    fn price(&self, usage: &Usage) -> Option<f64> {
        self.bill.price(usage)
    }

    fn show(&mut self, delta: Delta<'_>) {
        let before = (self.state.activity.clone(), self.state.waiting.clone());
        self.state.waiting = None;
        match delta {
            Delta::Waiting(waiting) => {
                let event = Event::now(self.state.step, Update::Waiting(waiting.clone()));
                if let Err(error) = self.journal.append(&[event]) {
                    tracing::warn!(%error, "a wait is not in the journal");
                }
                self.state.waiting = Some(waiting.clone());
                self.state.activity = format!("waiting: {}", waiting.reason);
            }
            Delta::Thought(_) => "thinking".clone_into(&mut self.state.activity),
            Delta::Text(_) => "answering".clone_into(&mut self.state.activity),
            Delta::Call(name) => self.state.activity = format!("calling {name}"),
            Delta::Usage(_) => {}
        }
        // A tool call or two a second is all that a person can read; words stream much faster.
        if before != (self.state.activity.clone(), self.state.waiting.clone())
            && matches!(delta, Delta::Waiting(_) | Delta::Thought(_))
        {
            self.show_state();
        }
    }

    fn busy(&mut self, titles: &[String]) {
        self.state.activity = titles.join(", ");
        self.show_state();
    }
}

impl SessionWorld<'_> {
    /// Who is behind it, where it is a person's word.
    fn person_behind(&self, update: &Update) -> Option<String> {
        let message = match update {
            Update::UserMessage(UserMessage { from: Origin::Task, .. }) => {
                return Some(self.checkpoints.who().to_string());
            }
            Update::State(change) => {
                let is_asked = change.to == Phase::Stopped.as_str() || change.reason == BY_HAND;
                return self.rested_by.clone().filter(|_| is_asked);
            }
            Update::UserMessage(message) => &message.inbox_id,
            Update::Decision(decision) => &decision.inbox_id,
            Update::Limit(change) => &change.inbox_id,
            _ => return None,
        };
        self.senders.get(message.as_deref()?).cloned()
    }

    /// Moves to another phase, in journal and state.
    pub(super) fn enter(&mut self, phase: Phase, reason: &str) -> Result<(), Fault> {
        self.move_to(phase, reason)?;
        self.write_state()
    }

    /// Takes what was changed by hand while the session rested, as the user's own. Until that is
    /// done, what differs stays theirs, whatever comes between. Gives what the journal says of it.
    pub(super) fn take_edits(&mut self) -> Result<Vec<event::Checkpoint>, Fault> {
        if !self.state.settled {
            return Ok(Vec::new());
        }
        let taken = self.checkpoints.take_edits(&mut self.state, &self.session.journal_path());
        taken.map_err(fault("the edits by hand are not committed"))?;
        failpoint::reach("edits");
        let told = self.tell_untold()?;
        self.state.settled = false;
        self.write_state()?;
        Ok(told)
    }

    /// Journals what a person has done, and is on record.
    fn tell_untold(&mut self) -> Result<Vec<event::Checkpoint>, Fault> {
        let untold = self.state.untold.clone();
        self.say(untold.iter().cloned().map(Update::Checkpoint).collect())?;
        self.state.untold.clear();
        Ok(untold)
    }

    /// Journals what an earlier run, or what a person did, had no time to say.
    pub(super) fn say(&mut self, unsaid: Vec<Update>) -> Result<(), Fault> {
        if unsaid.is_empty() {
            return Ok(());
        }
        let commits = unsaid.iter().filter_map(|update| match update {
            Update::Checkpoint(event::Checkpoint {
                commit: Some(hex), by_person: None, ..
            }) => ObjectId::from_hex(hex.as_bytes()).ok(),
            _ => None,
        });
        for commit in commits {
            self.notes.add(commit, self.state.step, &self.bill);
        }
        self.record(self.state.step, unsaid)
    }

    /// Rests before the disk is full, while there is room to do so.
    fn check_disk(&self) -> Result<(), Fault> {
        for path in [&self.session.spec.worktree, &self.session.dir] {
            disk::check(path, self.min_free_disk).map_err(super::fault)?;
        }
        Ok(())
    }

    pub(super) fn move_to(&mut self, phase: Phase, reason: &str) -> Result<(), Fault> {
        let change = self.state.move_to(phase, reason, Timestamp::now());
        let change = change.map_err(fault("the session cannot go on"))?;
        self.record(self.state.step, vec![Update::State(change)])
    }

    pub(super) fn take(
        &mut self,
        words: &StepWords,
        changed: &Changed,
        ends: Ends,
        consent: &Consent,
    ) -> Result<Taken, Fault> {
        let committed = self.shadow.as_ref().and_then(Followed::message);
        let text = committed.as_ref().unwrap_or(&words.said);
        let step = Step {
            number: words.step,
            ends,
            words: Words { text, titles: &words.calls },
            changed,
            models: self.bill.since_commit(),
        };
        let gate: checkpoint::Gate<'_> = &|repo, before, after| {
            let mut found = self.gate.findings(repo, before, after)?;
            found.retain(|finding| !consent.covers(finding, changed));
            Ok(found)
        };
        let made = self
            .checkpoints
            .take(&step, gate, &mut self.state, &self.session.journal_path())
            .map_err(fault("the step is not committed"))?;
        self.is_held = !made.held.is_empty();
        let mut told = self.tell_untold()?;
        if let Some(commit) = made.commit {
            self.notes.add(commit, words.step, &self.bill);
        }
        if let Some(event) = made.event.clone() {
            self.record(words.step, vec![Update::Checkpoint(event)])?;
        }
        told.extend(made.event);
        Ok(Taken { told, held: made.held })
    }

    /// Lets git in the sandbox see the steps that were committed since.
    fn show_git(&mut self) {
        if let Some(shadow) = &mut self.shadow
            && let Err(Fault(error)) =
                shadow.follow(&self.checkpoints, self.session.spec.commit_strategy)
        {
            tracing::warn!(error, "git in the sandbox is behind");
        }
    }

    /// What the state shows of what has happened.
    fn follow(&mut self, update: &Update) {
        self.state.updated = Timestamp::now();
        self.bill.apply(update);
        (self.state.usage, self.state.cost_usd) = (self.bill.usage(), self.bill.cost_usd());
        self.state.models = self.bill.models().to_vec();
        self.state.counted_usd = self.bill.counted_usd();
        match update {
            Update::AgentMessage(_) => {
                self.state.step += 1;
                self.state.waiting = None;
            }
            Update::Worked(millis) => self.state.worked += millis,
            Update::Limit(change) => {
                let limits = self.state.limits.get_or_insert(self.session.spec.limits);
                limits.set(change.limit, change.to);
            }
            Update::LimitMark(mark) if mark.percent == event::NOTICED => {
                self.state.notice(mark.text.clone());
            }
            Update::Plan(items) => self.state.plan.clone_from(items),
            Update::Verify(record) => self.state.take_verify(record),
            Update::Notice(text) => self.state.notice(text.clone()),
            Update::Model(change) => {
                let text = format!("{} goes on: {}", self.bill.model(), change.reason);
                self.state.notice(text);
            }
            _ => {}
        }
    }

    /// Books what the session has spent, where others share its budget.
    pub(super) fn book(&self) -> Result<(), Fault> {
        let Some(budget) = &self.budget else { return Ok(()) };
        let dollars = self.bill.counted_usd();
        budget.book(&self.session.id, dollars).map_err(fault("cannot book what is spent"))
    }

    pub(super) fn write_state(&mut self) -> Result<(), Fault> {
        self.state.write(&self.session.state_path()).map_err(fault("cannot write the state"))
    }

    /// For the eyes only: its loss loses nothing.
    pub(super) fn show_state(&self) {
        if let Err(error) = self.state.write_unsynced(&self.session.state_path()) {
            tracing::warn!(%error, "the state is not shown");
        }
    }
}

/// The points of a step that follow from what the journal was just told.
fn reach(update: &Update) {
    failpoint::reach(match update {
        Update::UserMessage(_) => "task",
        Update::AgentMessage(_) => "answer",
        Update::ToolCall(_) => "call",
        Update::ToolCallUpdate(_) => "result",
        Update::Checkpoint(_) => "checkpoint",
        _ => return,
    });
}

/// Whether the next wait for the disk does for this too, since nothing follows from it before.
/// Nothing is done with an answer until its calls are journalled as begun; the end of a call is
/// followed by another's beginning or by a checkpoint, which puts the journal on the disk before it
/// moves a ref; what a checkpoint's own event says is in the refs.
fn can_wait(update: &Update) -> bool {
    matches!(
        update,
        Update::AgentMessage(_)
            | Update::ToolCallUpdate(_)
            | Update::Plan(_)
            | Update::Checkpoint(_)
            | Update::LimitMark(_)
            | Update::Unfinished(_)
            | Update::Worked(_)
    )
}

fn has_cost(update: &Update) -> bool {
    matches!(update, Update::AgentMessage(_) | Update::Unfinished(_) | Update::Compaction(_))
}

/// What was attempted, and why it did not work, in one line.
pub(super) fn fault<E: Error>(what: &'static str) -> impl FnOnce(E) -> Fault {
    move |error| {
        let Fault(why) = super::fault(error);
        Fault(format!("{what}: {why}"))
    }
}
