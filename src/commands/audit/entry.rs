//! What an event tells of who asked for what, who did it, and at what price.
//!
//! Invariant: a person is named as the journal names them, and never guessed; none is told of what
//! is only a means.

use crate::event::{Event, Origin, ToolEnd, Update, Verdict};
use crate::message::Usage;

use super::account::{Entry, More, Past};

const PERSON: &str = "person";
const AGENT: &str = "agent";
const PROGRAM: &str = "program";

/// What an event tells, if it tells anything, after these.
pub(super) fn of(event: &Event, past: &Past) -> Option<Entry> {
    let (who, what, text, more) = match &event.update {
        Update::UserMessage(message) => match message.from {
            Origin::Task => (PERSON, "task", task(&message.text), More::default()),
            Origin::Person => (PERSON, "say", message.text.clone(), More::default()),
            Origin::Loop => return None,
        },
        Update::AgentMessage(answer) => told(past, "answer", &answer.usage),
        Update::Unfinished(cut) if cut.usage != Usage::default() => {
            told(past, "cut off", &cut.usage)
        }
        Update::Compaction(made) if made.usage != Usage::default() => {
            told(past, "summary", &made.usage)
        }
        Update::ToolCallUpdate(end) => ran(past, end),
        Update::Checkpoint(made) => {
            let who = if made.by_person.is_some() { PERSON } else { PROGRAM };
            let what = if made.commit.is_some() { "commit" } else { "keep" };
            let more = More {
                commit: made.commit.clone(),
                tree: Some(made.tree.clone()),
                paths: Some(made.paths.clone()),
                ..More::default()
            };
            (who, what, made.subject.clone(), more)
        }
        Update::Verify(verify) => {
            let more = More {
                exit: Some(verify.exit),
                millis: Some(verify.millis),
                tree: Some(verify.tree.clone()),
                ..More::default()
            };
            (PROGRAM, "verify", verify.command.clone(), more)
        }
        Update::Question(question) => {
            let number = Some(question.number).filter(|number| *number > 0);
            let more = More { question: number, ..More::default() };
            let who = if question.call_id.is_some() { AGENT } else { PROGRAM };
            (who, "ask", question.text.clone(), more)
        }
        Update::Decision(decision) => {
            let who = match decision.verdict {
                Verdict::Withdrawn => PROGRAM,
                _ => PERSON,
            };
            let asked = past.questions.get(&decision.question);
            let asked = asked.map(|question| question.text.clone()).unwrap_or_default();
            let more = More {
                question: Some(decision.question),
                verdict: Some(decision.verdict),
                reason: filled(&decision.reason),
                ..More::default()
            };
            (who, "decide", asked, more)
        }
        Update::Limit(change) => {
            let to = change.to.map_or("none".to_owned(), |to| change.limit.say(to));
            let who =
                if event.by.is_some() || change.inbox_id.is_some() { PERSON } else { PROGRAM };
            (who, "limit", format!("{} may come to {to}", change.limit.noun()), More::default())
        }
        Update::PutBack(back) => {
            let more = More {
                paths: Some(back.paths.clone()),
                commit: back.kept.clone(),
                reason: filled(&back.reason),
                ..More::default()
            };
            (PROGRAM, "put back", back.paths.join(" "), more)
        }
        Update::Model(change) => {
            let more = More {
                model: Some(change.to.clone()),
                reason: filled(&change.reason),
                ..More::default()
            };
            (PROGRAM, "model", format!("{} goes on for {}", change.to, change.from), more)
        }
        Update::Network(visit) => {
            let host = past.host(visit);
            (AGENT, "network", host.place.clone(), More { host: Some(host), ..More::default() })
        }
        Update::Rewind(rewind) => {
            (PERSON, "rewind", format!("to step {}", rewind.step), More::default())
        }
        Update::Fork(fork) => {
            let text = format!("of {} at step {}", fork.session, fork.step);
            (PERSON, "fork", text, More::default())
        }
        Update::State(change) => {
            let who = if event.by.is_some() { PERSON } else { PROGRAM };
            let more = More { reason: filled(&change.reason), ..More::default() };
            (who, "state", change.to.clone(), more)
        }
        _ => return None,
    };
    Some(Entry { time: event.time, step: event.step, who, by: event.by.clone(), what, text, more })
}

type Told = (&'static str, &'static str, String, More);

/// Something of the model's that has a price.
fn told(past: &Past, what: &'static str, usage: &Usage) -> Told {
    let model = past.bill.model().to_owned();
    let more = More {
        model: Some(model.clone()),
        tokens: Some((*usage).into()),
        cost_usd: Some(past.bill.price(usage)),
        ..More::default()
    };
    (AGENT, what, model, more)
}

/// A call: its title without the end, which is told by itself.
fn ran(past: &Past, end: &ToolEnd) -> Told {
    let call = past.calls.iter().find(|call| call.id == end.result.call_id);
    let (text, exit) = match end.title.rsplit_once(" · exit ") {
        Some((text, rest)) => (text, rest.split(' ').next().and_then(|exit| exit.parse().ok())),
        None => (end.title.as_str(), None),
    };
    let more = More {
        tool: call.map(|call| call.name.clone()),
        exit,
        failed: Some(end.result.is_error),
        millis: Some(end.millis),
        ..More::default()
    };
    (AGENT, "run", text.to_owned(), more)
}

fn filled(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// The task as the person gave it, without the facts that the model gets with it.
fn task(text: &str) -> String {
    let task = text.strip_prefix("<task>").and_then(|rest| rest.split_once("</task>"));
    task.map_or(text, |(task, _)| task).trim().to_owned()
}
