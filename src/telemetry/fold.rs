//! Spans of a session: a fold over its journal.
//!
//! `invoke_agent` is one turn, from when the session runs until it rests; in it `chat` for each
//! answer, `execute_tool` for each call, and `verify`. Names and attributes are those of
//! OpenTelemetry's semantic conventions for generative AI, version 1.41
//! (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>); what they have no name for
//! begins with `git_agent.`.
//!
//! Invariant: what a span tells is known by its end from the events up to there; a span is told
//! once, after what ends it.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value as Json;

use super::span::{Attribute, Kind, Mark, Span, SpanId, TraceId, Value};
use super::{content, id};
use crate::event::{Event, StateChange, ToolEnd, Update, VerifyRecord};
use crate::message::{Answer, ToolCall, Usage};
use crate::redact;
use crate::session::bill::Bill;
use crate::session::spec::Spec;

/// The fold.
#[derive(Clone, Debug)]
pub struct Fold {
    session: String,
    trace: TraceId,
    /// Whether what is said and done is told too.
    with_content: bool,
    /// The session that this one was forked from, until its past is over: that tells of it itself.
    past_of: Option<String>,
    bill: Bill,
    turn: Option<Turn>,
    last_turn: Option<SpanId>,
    calls: HashMap<String, (Timestamp, ToolCall)>,
    /// Since when the model may be at work: the end of what it was waited for with.
    ready: Timestamp,
    /// What became of the request so far, where it did not come to its end at once.
    tries: Option<Tries>,
    /// Up to where verify commands have run.
    verified: Timestamp,
    /// What the model was told since its last answer.
    said: Vec<Json>,
}

#[derive(Clone, Debug)]
struct Turn {
    span: SpanId,
    since: Timestamp,
    model: String,
    usage: Usage,
    answers: i64,
    /// Where the last of its events is.
    end: Timestamp,
}

#[derive(Clone, Debug)]
struct Tries {
    usage: Usage,
    failed: Vec<(Timestamp, String)>,
    end: Timestamp,
}

impl Fold {
    /// Nothing yet; `with_content` tells prompts, answers and results too.
    pub fn new(spec: &Spec, with_content: bool) -> Self {
        Self {
            session: spec.id.clone(),
            trace: id::trace(&spec.id),
            with_content,
            past_of: spec.forked_from.as_ref().map(|origin| origin.session.clone()),
            bill: Bill::new(spec),
            turn: None,
            last_turn: None,
            calls: HashMap::new(),
            ready: spec.created,
            tries: None,
            verified: spec.created,
            said: Vec::new(),
        }
    }

    /// Takes in the event at this byte of the journal, and gives the spans that it ends.
    pub fn apply(&mut self, at: u64, event: &Event) -> Vec<Span> {
        let mut ended = Vec::new();
        let now = event.time;
        let is_of_request = matches!(
            event.update,
            Update::AgentMessage(_) | Update::Waiting(_) | Update::Unfinished(_)
        );
        if !is_of_request && let Some(tries) = self.tries.take() {
            ended.push(self.unanswered(at, event.step, &tries));
        }
        match &event.update {
            Update::UserMessage(message) => self.say(|| content::of_user(message)),
            Update::AgentMessage(answer) => {
                let tries = self.tries.take();
                ended.push(self.chat(at, event, answer, tries.as_ref()));
                self.said.clear();
            }
            Update::Waiting(waiting) => {
                let tries = self.tries(now);
                tries.failed.push((now, waiting.reason.clone()));
            }
            Update::Unfinished(cut) => self.tries(now).usage += cut.usage,
            Update::Compaction(made) if made.usage != Usage::default() => {
                let mut attributes = self.of_chat(&made.usage);
                attributes.push(Attribute::new("git_agent.purpose", "summary"));
                self.add(&made.usage);
                let name = attributes_name(&attributes);
                ended.push(self.span("chat", at, name, (self.ready, now), attributes));
            }
            Update::ToolCall(call) => {
                self.calls.insert(call.id.clone(), (now, call.clone()));
            }
            Update::ToolCallUpdate(end) => {
                ended.extend(self.tool(at, event, end));
                self.say(|| content::of_result(&end.result));
            }
            Update::Verify(record) => ended.push(self.verify(at, record)),
            Update::State(change) => ended.extend(self.state(at, event, change)),
            Update::Fork(fork) => {
                self.past_of.take_if(|origin| *origin == fork.session);
                (self.turn, self.last_turn) = (None, None);
                self.calls.clear();
            }
            _ => {}
        }
        self.bill.apply(&event.update);
        if !matches!(event.update, Update::Waiting(_) | Update::Unfinished(_)) {
            self.ready = now;
        }
        if let Some(turn) = &mut self.turn {
            turn.end = now;
        }
        if self.past_of.is_some() {
            ended.clear();
        }
        ended
    }

    fn tries(&mut self, now: Timestamp) -> &mut Tries {
        let nothing = Tries { usage: Usage::default(), failed: Vec::new(), end: now };
        let tries = self.tries.get_or_insert(nothing);
        tries.end = now;
        tries
    }

    fn say(&mut self, message: impl FnOnce() -> Json) {
        if self.with_content {
            self.said.push(message());
        }
    }

    fn add(&mut self, usage: &Usage) {
        if let Some(turn) = &mut self.turn {
            turn.usage += *usage;
            turn.answers += 1;
        }
    }

    fn chat(&mut self, at: u64, event: &Event, answer: &Answer, tries: Option<&Tries>) -> Span {
        let mut usage = answer.usage;
        usage += tries.map(|tries| tries.usage).unwrap_or_default();
        self.add(&usage);
        let mut attributes = self.of_chat(&usage);
        let reasons = Value::List(vec![content::finish_reason(answer.stop)]);
        attributes.push(Attribute::new("gen_ai.response.finish_reasons", reasons));
        attributes.push(step(event.step + 1));
        if self.with_content {
            attributes.push(Attribute::new("gen_ai.input.messages", content::messages(&self.said)));
            let output = content::messages(&[content::of_answer(answer)]);
            attributes.push(Attribute::new("gen_ai.output.messages", output));
        }
        let name = attributes_name(&attributes);
        let mut span = self.span("chat", at, name, (self.ready, event.time), attributes);
        span.events = retries(tries);
        span
    }

    /// A request that did not come to an answer.
    fn unanswered(&mut self, at: u64, at_step: u32, tries: &Tries) -> Span {
        self.add(&tries.usage);
        let mut attributes = self.of_chat(&tries.usage);
        let error = if tries.failed.is_empty() { "cut_short" } else { "no_answer" };
        attributes.push(Attribute::new("error.type", error));
        attributes.push(step(at_step + 1));
        let name = attributes_name(&attributes);
        let mut span = self.span("unanswered", at, name, (self.ready, tries.end), attributes);
        let last = tries.failed.last().map(|(_, reason)| reason.clone()).unwrap_or_default();
        span.error = Some(last);
        span.events = retries(Some(tries));
        span
    }

    fn tool(&mut self, at: u64, event: &Event, end: &ToolEnd) -> Option<Span> {
        let (since, call) = self.calls.remove(&end.result.call_id)?;
        // Those that ran side by side are told together, when the last has ended.
        let until = (since + Duration::from_millis(end.millis)).min(event.time).max(since);
        let mut attributes = self.of_operation("execute_tool");
        attributes.push(Attribute::new("gen_ai.tool.name", call.name.clone()));
        attributes.push(Attribute::new("gen_ai.tool.call.id", call.id.clone()));
        attributes.push(Attribute::new("gen_ai.tool.type", "function"));
        attributes.push(step(event.step));
        if end.result.is_error {
            attributes.push(Attribute::new("error.type", "tool_error"));
        }
        if self.with_content {
            let arguments = redact::json(&call.arguments).into_owned();
            attributes.push(Attribute::new("gen_ai.tool.call.arguments", arguments));
            let result = redact::text(&end.result.output).into_owned();
            attributes.push(Attribute::new("gen_ai.tool.call.result", result));
        }
        let name = format!("execute_tool {}", call.name);
        let kind = format!("tool {}", call.id);
        let mut span = self.span(&kind, at, name, (since, until), attributes);
        if end.result.is_error {
            span.error = Some(String::new());
        }
        Some(span)
    }

    fn verify(&mut self, at: u64, record: &VerifyRecord) -> Span {
        // Several run one after the other, and are told together.
        let until = self.verified + Duration::from_millis(record.millis);
        let mut attributes = vec![
            Attribute::new("gen_ai.conversation.id", self.session.clone()),
            Attribute::new("git_agent.verify.exit", i64::from(record.exit)),
            Attribute::new("git_agent.verify.tree", record.tree.clone()),
        ];
        if self.with_content {
            let command = redact::text(&record.command).into_owned();
            attributes.push(Attribute::new("git_agent.verify.command", command));
        }
        let mut span =
            self.span("verify", at, "verify".to_owned(), (self.verified, until), attributes);
        if record.exit != 0 {
            span.error = Some(format!("exit {}", record.exit));
        }
        self.verified = until;
        span
    }

    fn state(&mut self, at: u64, event: &Event, change: &StateChange) -> Vec<Span> {
        let mut ended = Vec::new();
        let begins = change.to == "running" && change.from != "verifying";
        if change.to == "verifying" {
            self.verified = event.time;
        }
        if begins || change.is_rest() || change.to == "interrupted" {
            // What a run that was killed had begun has ended with its last word.
            let (to, end) = match begins {
                true => ("interrupted", None),
                false => (change.to.as_str(), Some(event.time)),
            };
            let turn = self.turn.take();
            ended.extend(turn.map(|turn| self.turn(&turn, to, end)));
        }
        if begins {
            let span = id::span(&self.session, "turn", at);
            let (since, model) = (event.time, self.bill.model().to_owned());
            let usage = Usage::default();
            self.turn = Some(Turn { span, since, model, usage, answers: 0, end: since });
        }
        ended
    }

    fn turn(&mut self, turn: &Turn, to: &str, end: Option<Timestamp>) -> Span {
        let (provider, model) = named(&turn.model);
        let mut attributes = self.of_operation("invoke_agent");
        attributes.extend([
            Attribute::new("gen_ai.agent.name", "git-agent"),
            Attribute::new("gen_ai.agent.version", env!("CARGO_PKG_VERSION")),
            Attribute::new("gen_ai.provider.name", provider),
            Attribute::new("gen_ai.request.model", model),
            Attribute::new("git_agent.answers", turn.answers),
            Attribute::new("git_agent.state", to.to_owned()),
        ]);
        attributes.extend(of_usage(&turn.usage));
        let is_bad = matches!(to, "failed" | "interrupted");
        if is_bad {
            attributes.push(Attribute::new("error.type", to.to_owned()));
        }
        let name = "invoke_agent git-agent".to_owned();
        let times = (turn.since, end.unwrap_or(turn.end));
        let mut span = self.span("turn", 0, name, times, attributes);
        (span.id, span.parent) = (turn.span, None);
        if is_bad {
            span.error = Some(to.to_owned());
        }
        span.link = self.last_turn.replace(turn.span);
        span
    }

    fn of_operation(&self, operation: &'static str) -> Vec<Attribute> {
        vec![
            Attribute::new("gen_ai.operation.name", operation),
            Attribute::new("gen_ai.conversation.id", self.session.clone()),
        ]
    }

    fn of_chat(&self, usage: &Usage) -> Vec<Attribute> {
        let (provider, model) = named(self.bill.model());
        let mut attributes = self.of_operation("chat");
        attributes.push(Attribute::new("gen_ai.provider.name", provider));
        attributes.push(Attribute::new("gen_ai.request.model", model));
        attributes.extend(of_usage(usage));
        let cost = self.bill.price(usage);
        attributes.extend(cost.map(|cost| Attribute::new("git_agent.cost_usd", cost)));
        attributes
    }

    fn span(
        &self,
        kind: &str,
        at: u64,
        name: String,
        (since, until): (Timestamp, Timestamp),
        attributes: Vec<Attribute>,
    ) -> Span {
        let is_chat = name.starts_with("chat ");
        Span {
            trace: self.trace,
            id: id::span(&self.session, kind, at),
            parent: self.turn.as_ref().map(|turn| turn.span),
            kind: if is_chat { Kind::Client } else { Kind::Internal },
            name,
            start: since,
            // A clock that was set back makes no span end before it begins.
            end: until.max(since),
            attributes,
            events: Vec::new(),
            link: None,
            error: None,
        }
    }
}

/// `chat claude-opus-5`.
fn attributes_name(attributes: &[Attribute]) -> String {
    let model = attributes.iter().find(|it| it.key == "gen_ai.request.model");
    match model.map(|it| &it.value) {
        Some(Value::Text(model)) => format!("chat {model}"),
        _ => "chat".to_owned(),
    }
}

fn of_usage(usage: &Usage) -> [Attribute; 4] {
    let count = |name: &'static str, count: u64| {
        Attribute::new(name, i64::try_from(count).unwrap_or(i64::MAX))
    };
    [
        count("gen_ai.usage.input_tokens", usage.input),
        count("gen_ai.usage.output_tokens", usage.output),
        count("gen_ai.usage.cache_read.input_tokens", usage.cached),
        count("gen_ai.usage.cache_creation.input_tokens", usage.cache_write),
    ]
}

fn step(step: u32) -> Attribute {
    Attribute::new("git_agent.step", i64::from(step))
}

fn retries(tries: Option<&Tries>) -> Vec<Mark> {
    let failed = tries.iter().flat_map(|tries| &tries.failed);
    let mark = |(time, reason): &(Timestamp, String)| {
        let reason = Attribute::new("git_agent.reason", redact::text(reason).into_owned());
        Mark { name: "retry", time: *time, attributes: vec![reason] }
    };
    failed.map(mark).collect()
}

/// Provider and model, the provider as the conventions call it.
fn named(label: &str) -> (String, String) {
    let (provider, model) = label.split_once('/').unwrap_or(("", label));
    // What speaks the dialect is not always whose server it is.
    let provider = match provider {
        "" => "unknown",
        "chat" => "openai",
        other => other,
    };
    (provider.to_owned(), model.to_owned())
}

#[cfg(test)]
mod tests;
