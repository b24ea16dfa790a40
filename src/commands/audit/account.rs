//! What is on record of one session: a fold over its journal.
//!
//! Invariant: nothing is counted that the journal does not hold; what a session was forked from is
//! listed, and counted in the session that it happened in.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde::Serialize;

use crate::event::{Access, Decision, Event, Question, Update, Verdict, Visit};
use crate::message::{ToolCall, Usage};
use crate::sandbox::proxy::{Pattern, Place};
use crate::session::bill::Bill;
use crate::session::spec::Spec;
use crate::session::state::State;

use super::entry;

/// What is on record of one session, in format 1 of the JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Account {
    pub(super) session: String,
    pub(super) asked: String,
    pub(super) asked_by: Option<String>,
    pub(super) state: String,
    pub(super) models: BTreeSet<String>,
    pub(super) steps: u32,
    pub(super) commands: u64,
    pub(super) files: BTreeSet<String>,
    pub(super) approvals: u64,
    pub(super) cost_usd: Option<f64>,
    pub(super) tokens: Tokens,
    pub(super) by_model: Vec<Share>,
    pub(super) hosts: Vec<Host>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) entries: Vec<Entry>,
}

/// Tokens, in format 1 of the JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tokens {
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) output: u64,
}

/// What one model has done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Share {
    pub(super) model: String,
    pub(super) answers: u64,
    pub(super) tokens: Tokens,
    pub(super) cost_usd: Option<f64>,
}

/// A host that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Host {
    pub(super) place: String,
    pub(super) access: Access,
    pub(super) received: u64,
    /// A person, a setting, or none where nobody allowed it.
    pub(super) decided_by: Option<String>,
}

/// One thing that was asked, done or decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Entry {
    pub(super) time: Timestamp,
    pub(super) step: u32,
    /// `person`, `agent` or `program`.
    pub(super) who: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<String>,
    pub(super) what: &'static str,
    pub(super) text: String,
    #[serde(flatten)]
    pub(super) more: More,
}

/// What else there is to an entry, each only where it has a sense.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct More {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tokens: Option<Tokens>,
    /// The inner one is none where the price is not known: `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cost_usd: Option<Option<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) millis: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tree: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) paths: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) question: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<Host>,
}

/// What was heard so far, as far as later events are told by it.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) bill: Bill,
    pub(super) calls: Vec<ToolCall>,
    pub(super) questions: HashMap<u32, Question>,
    asked: u32,
    /// What was decided of a host, and by whom.
    hosts: HashMap<String, (Verdict, Option<String>)>,
    allow_net: Vec<String>,
}

impl Account {
    /// The account of these events, which are all of the journal; with `entries`, one by one.
    ///
    /// # Errors
    /// What reading an event says.
    pub(super) fn of<E>(
        spec: &Spec,
        state: &State,
        events: impl IntoIterator<Item = Result<Event, E>>,
        with_entries: bool,
    ) -> Result<Self, E> {
        let mut account = Self {
            session: spec.id.clone(),
            asked: spec.task.clone(),
            asked_by: None,
            state: state.phase.to_string(),
            models: BTreeSet::from([spec.model_label()]),
            steps: state.step,
            commands: 0,
            files: BTreeSet::new(),
            approvals: 0,
            cost_usd: None,
            tokens: Tokens::default(),
            by_model: Vec::new(),
            hosts: Vec::new(),
            entries: Vec::new(),
        };
        let mut past = Past::new(spec);
        for event in events {
            let event = event?;
            account.count(&event, &past);
            if with_entries {
                account.entries.extend(entry::of(&event, &past));
            }
            past.apply(&event);
        }
        account.cost_usd = past.bill.cost_usd();
        account.tokens = past.bill.usage().into();
        Ok(account)
    }

    fn count(&mut self, event: &Event, past: &Past) {
        match &event.update {
            Update::UserMessage(message) if message.from == crate::event::Origin::Task => {
                self.asked_by.clone_from(&event.by);
            }
            Update::ToolCallUpdate(_) => self.commands += 1,
            Update::Checkpoint(checkpoint) => self.files.extend(checkpoint.paths.iter().cloned()),
            Update::Decision(decision) if decision.verdict != Verdict::Withdrawn => {
                self.approvals += 1;
            }
            Update::Model(change) => drop(self.models.insert(change.to.clone())),
            Update::AgentMessage(answer) => self.bill(past, &answer.usage, 1),
            Update::Unfinished(unfinished) => self.bill(past, &unfinished.usage, 0),
            Update::Compaction(made) if made.usage != Usage::default() => {
                self.bill(past, &made.usage, 1);
            }
            Update::Network(visit) => self.visit(past.host(visit)),
            // All that is before is another session's.
            Update::Fork(_) => {
                (self.commands, self.approvals) = (0, 0);
                self.files.clear();
                self.by_model.clear();
                self.hosts.clear();
                self.asked_by.clone_from(&event.by);
            }
            _ => {}
        }
    }

    fn bill(&mut self, past: &Past, usage: &Usage, answers: u64) {
        let model = past.bill.model();
        let at = self.by_model.iter().position(|share| share.model == model);
        let at = at.unwrap_or_else(|| {
            let tokens = Tokens::default();
            let share = Share { model: model.to_owned(), answers: 0, tokens, cost_usd: Some(0.0) };
            self.by_model.push(share);
            self.by_model.len() - 1
        });
        let share = &mut self.by_model[at];
        share.answers += answers;
        share.tokens.input += usage.input;
        share.tokens.cached += usage.cached;
        share.tokens.output += usage.output;
        share.cost_usd = share.cost_usd.zip(past.bill.price(usage)).map(|(sum, more)| sum + more);
    }

    fn visit(&mut self, host: Host) {
        let is_same = |it: &&mut Host| it.place == host.place && it.access == host.access;
        match self.hosts.iter_mut().find(is_same) {
            Some(known) => {
                known.received += host.received;
                known.decided_by = host.decided_by.or(known.decided_by.take());
            }
            None => self.hosts.push(host),
        }
    }
}

impl Past {
    pub(super) fn new(spec: &Spec) -> Self {
        Self {
            bill: Bill::new(spec),
            calls: Vec::new(),
            questions: HashMap::new(),
            asked: 0,
            hosts: HashMap::new(),
            allow_net: spec.allow_net.clone(),
        }
    }

    pub(super) fn apply(&mut self, event: &Event) {
        self.bill.apply(&event.update);
        match &event.update {
            Update::AgentMessage(answer) => self.calls.clone_from(&answer.calls),
            Update::Question(question) => {
                self.asked += 1;
                // Who asked in earlier times did not number it.
                let number = if question.number > 0 { question.number } else { self.asked };
                self.questions.insert(number, question.clone());
            }
            Update::Decision(Decision { question, verdict, .. }) => {
                let asked = self.questions.get(question);
                if let Some(host) = asked.and_then(Question::host) {
                    self.hosts.insert(host.to_owned(), (*verdict, event.by.clone()));
                }
            }
            _ => {}
        }
    }

    /// A visit, and who allowed or denied it.
    pub(super) fn host(&self, visit: &Visit) -> Host {
        let Visit { place, access, received } = visit.clone();
        let said = self.hosts.get(&place);
        let person = || said.map(|(_, by)| by.clone().unwrap_or_else(|| "a person".to_owned()));
        let is_yes = said.is_some_and(|(verdict, _)| verdict.is_yes());
        let decided_by = match access {
            Access::Allowed if is_yes => person(),
            Access::Allowed if self.was_given(&place) => Some("--allow-net".to_owned()),
            Access::Allowed => Some("agent.sandbox.allowHost".to_owned()),
            Access::NotAllowed if !is_yes => person(),
            Access::NotAllowed | Access::Private | Access::Unknown => None,
        };
        Host { place, access, received, decided_by }
    }

    /// Whether the session was started with leave for it.
    fn was_given(&self, place: &str) -> bool {
        let patterns = self.allow_net.iter().filter_map(|host| host.parse::<Pattern>().ok());
        let place = Place::parse(place, None).ok();
        place.is_some_and(|place| patterns.into_iter().any(|pattern| pattern.matches(&place)))
    }
}

impl From<Usage> for Tokens {
    fn from(Usage { input, cached, output, .. }: Usage) -> Self {
        Self { input, cached, output }
    }
}

impl std::ops::AddAssign for Tokens {
    fn add_assign(&mut self, other: Self) {
        self.input += other.input;
        self.cached += other.cached;
        self.output += other.output;
    }
}

/// What all accounts come to, in format 1 of the JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Total {
    pub(super) sessions: u64,
    pub(super) steps: u64,
    pub(super) commands: u64,
    pub(super) approvals: u64,
    pub(super) tokens: Tokens,
    /// As far as prices are known.
    pub(super) cost_usd: f64,
    /// Sessions of which nobody knows the price.
    pub(super) unpriced: u64,
    pub(super) by_model: BTreeMap<String, Spent>,
}

/// What one model has cost in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Spent {
    pub(super) answers: u64,
    pub(super) tokens: Tokens,
    pub(super) cost_usd: Option<f64>,
}

impl Total {
    pub(super) fn of(accounts: &[Account]) -> Self {
        let mut total = Self::default();
        for account in accounts {
            total.sessions += 1;
            total.steps += u64::from(account.steps);
            total.commands += account.commands;
            total.approvals += account.approvals;
            total.tokens += account.tokens;
            total.cost_usd += account.cost_usd.unwrap_or_default();
            total.unpriced += u64::from(account.cost_usd.is_none() && !account.by_model.is_empty());
            for Share { model, answers, tokens, cost_usd } in &account.by_model {
                let nothing = Spent { cost_usd: Some(0.0), ..Spent::default() };
                let spent = total.by_model.entry(model.clone()).or_insert(nothing);
                spent.answers += answers;
                spent.tokens += *tokens;
                spent.cost_usd = spent.cost_usd.zip(*cost_usd).map(|(sum, more)| sum + more);
            }
        }
        total
    }
}
