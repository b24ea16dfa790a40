//! `git agent audit`: what sessions did, on whose word, at what price; and whether that is true.
//!
//! Invariant: it only reads. What is listed is what the record holds; nothing is summed up that is
//! not in it.

use std::collections::BTreeSet;

use clap::builder::NonEmptyStringValueParser;
use clap_complete::ArgValueCompleter;
use jiff::Timestamp;
use serde::Serialize;

use super::complete;
use super::context::Context;
use crate::error::{CommandError, Kind, Result, exit};
use crate::event::{Event, Origin, Update};
use crate::message::ToolCall;
use crate::session::audit::{self, Asked, Divergence, Proof};
use crate::session::store::Session;
use crate::session::{archive, journal, record};
use crate::ui::{Ui, json, text, units};

/// List what sessions did, on whose word and at what price, from their records
///
/// Who asked for what, which model answered, each command with its exit code, each file changed,
/// each approval. Without a session, one line for each.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Session, by any unique beginning of its id or name
    #[arg(
        value_name = "SESSION",
        value_parser = NonEmptyStringValueParser::new(),
        add = ArgValueCompleter::new(complete::sessions),
    )]
    session: Option<String>,
    /// Print JSON: {"format":1,"audit":…}
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Prove that nothing in the record of a session was changed or left out
    ///
    /// Every record of the chain is read: the journal only grows, each commit it names is held,
    /// what was asked stays as it was, signatures hold, and the session's folder says the same. A
    /// chain that was made anew as a whole shows only against a copy that was kept elsewhere
    /// (--against) or by its signature. Exit code 1 if it is not proven.
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// Session, by any unique beginning of its id or name
    #[arg(
        value_name = "SESSION",
        required_unless_present = "all",
        value_parser = NonEmptyStringValueParser::new(),
        add = ArgValueCompleter::new(complete::sessions),
    )]
    session: Option<String>,
    /// Every session that has a record here, archived ones included
    #[arg(long, conflicts_with = "session")]
    all: bool,
    /// A record that is known to be true, by its id or the ref of a copy
    #[arg(long, value_name = "REVISION", conflicts_with = "all")]
    against: Option<String>,
}

/// Lists, or proves.
///
/// # Errors
/// There is no such session, or its record cannot be read; told, exit code 1: it is not proven.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    match (&args.verb, &args.session) {
        (Some(Verb::Verify(args)), _) => verify(&context, args),
        (None, Some(given)) => one(&context, &context.session(given)?, args.json),
        (None, None) => all(&context, args.json),
    }
}

/// What is on record of one session.
#[derive(Debug, Serialize)]
struct Account {
    session: String,
    asked: String,
    state: String,
    models: BTreeSet<String>,
    steps: u32,
    commands: u64,
    files: BTreeSet<String>,
    approvals: u64,
    cost_usd: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entries: Vec<Entry>,
}

/// One thing that was asked, done or decided.
#[derive(Debug, Serialize)]
struct Entry {
    time: Timestamp,
    step: u32,
    who: &'static str,
    what: &'static str,
    text: String,
}

fn account(session: &Session, with_entries: bool) -> Result<Account> {
    let state = session.state()?;
    let spec = &session.spec;
    let mut account = Account {
        session: session.id.clone(),
        asked: spec.task.clone(),
        state: state.phase.to_string(),
        models: BTreeSet::from([spec.model_label()]),
        steps: state.step,
        commands: 0,
        files: BTreeSet::new(),
        approvals: 0,
        cost_usd: state.cost_usd,
        entries: Vec::new(),
    };
    let mut calls: Vec<ToolCall> = Vec::new();
    for event in journal::Reader::open(&session.journal_path(), 0)?.events() {
        let event = event?;
        account.count(&event);
        if with_entries {
            account.entries.extend(entry(&event, &mut calls));
        }
    }
    Ok(account)
}

impl Account {
    fn count(&mut self, event: &Event) {
        match &event.update {
            Update::ToolCallUpdate(_) => self.commands += 1,
            Update::Checkpoint(checkpoint) => self.files.extend(checkpoint.paths.iter().cloned()),
            Update::Decision(_) => self.approvals += 1,
            Update::Model(change) => drop(self.models.insert(change.to.clone())),
            _ => {}
        }
    }
}

/// What an event tells of who asked for what and who did it; none of what is only a means.
fn entry(event: &Event, calls: &mut Vec<ToolCall>) -> Option<Entry> {
    let (who, what, text) = match &event.update {
        Update::UserMessage(message) => match message.from {
            Origin::Task => ("person", "task", first_line(&message.text)),
            Origin::Person => ("person", "say", message.text.clone()),
            Origin::Loop => return None,
        },
        Update::AgentMessage(answer) => {
            calls.clone_from(&answer.calls);
            let model = answer.raw.as_ref().map_or("the model", |raw| raw.model.as_str());
            let usage = answer.usage;
            let text = format!("{model}: {} tokens in, {} out", usage.input, usage.output);
            ("agent", "answer", text)
        }
        Update::ToolCallUpdate(end) => {
            let name = calls.iter().find(|call| call.id == end.result.call_id);
            let name = name.map_or("call", |call| call.name.as_str());
            ("agent", "run", format!("{name}: {}", end.title))
        }
        Update::Checkpoint(checkpoint) => {
            let commit = checkpoint
                .commit
                .as_deref()
                .map_or("held", |commit| &commit[..12.min(commit.len())]);
            ("program", "commit", format!("{commit} {}", checkpoint.paths.join(" ")))
        }
        Update::Verify(verify) => {
            ("program", "verify", format!("{} · exit {}", verify.command, verify.exit))
        }
        Update::Question(question) => ("program", "ask", question.text.clone()),
        Update::Decision(decision) => {
            let verdict = format!("{:?}", decision.verdict).to_lowercase();
            let reason = Some(decision.reason.as_str()).filter(|reason| !reason.is_empty());
            let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
            ("person", "decide", format!("question {} {verdict}{reason}", decision.question))
        }
        Update::Limit(change) => {
            let to = change.to.map_or("none".to_owned(), |to| change.limit.say(to));
            ("person", "limit", format!("{} set to {to}", change.limit.noun()))
        }
        Update::PutBack(back) => ("program", "put back", back.paths.join(" ")),
        Update::Model(change) => {
            ("program", "model", format!("{} goes on: {}", change.to, change.reason))
        }
        Update::Rewind(rewind) => ("person", "rewind", format!("to step {}", rewind.step)),
        Update::Fork(fork) => {
            ("person", "fork", format!("of {} at step {}", fork.session, fork.step))
        }
        Update::State(change) => {
            let reason = Some(change.reason.as_str()).filter(|reason| !reason.is_empty());
            let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
            ("program", "state", format!("{}{reason}", change.to))
        }
        _ => return None,
    };
    Some(Entry { time: event.time, step: event.step, who, what, text })
}

/// The task itself, which the first message has in its second line.
fn first_line(text: &str) -> String {
    text.lines()
        .find(|line| !line.starts_with('<') && !line.is_empty())
        .unwrap_or_default()
        .to_owned()
}

fn one(context: &Context<'_>, session: &Session, as_json: bool) -> Result {
    let account = account(session, true)?;
    if as_json {
        return Ok(context.ui.answer(&json::named("audit", &account)?)?);
    }
    let look = context.ui.look();
    let mut lines = String::new();
    for entry in &account.entries {
        let time = entry.time.strftime("%Y-%m-%d %H:%M:%S");
        let line = format!("{time}  {:<8} {}", entry.what, entry.text.replace('\n', " "));
        let line = text::neutral(&line).into_owned();
        let room = if look.terminal { look.width } else { usize::MAX };
        lines += &text::truncate(&line, room, &look);
        lines.push('\n');
    }
    Ok(context.ui.answer(&(lines + &summary(&account)))?)
}

/// One line: `add-7f3k  done  5 steps, 7 commands, 4 files, 1 decision  $0.41  anthropic/claude`.
fn summary(account: &Account) -> String {
    let Account { session, state, .. } = account;
    let counted = [
        units::counted(account.steps.into(), "step"),
        units::counted(account.commands, "command"),
        units::counted(account.files.len() as u64, "file"),
        units::counted(account.approvals, "decision"),
    ];
    let models = account.models.iter().cloned().collect::<Vec<_>>().join(", ");
    let cost = units::cost(account.cost_usd);
    format!("{session}  {state}  {}  {cost}  {models}\n", counted.join(", "))
}

fn all(context: &Context<'_>, as_json: bool) -> Result {
    let sessions = context.store.list()?.sessions;
    let accounts = sessions.iter().map(|session| account(session, false));
    let accounts = accounts.collect::<Result<Vec<_>>>()?;
    if as_json {
        return Ok(context.ui.answer(&json::named("audit", &accounts)?)?);
    }
    Ok(context.ui.answer(&accounts.iter().map(summary).collect::<String>())?)
}

fn verify(context: &Context<'_>, args: &Verify) -> Result {
    let (config, _) = context.read_config()?;
    let mut sessions = record::list(&context.repo)?;
    sessions.extend(archive::list(&context.repo)?);
    if let Some(given) = &args.session {
        let id = match context.store.find(given) {
            Ok(session) => session.id,
            // One that was fetched has no folder here.
            Err(error) => {
                match sessions.iter().filter(|(id, _)| id.starts_with(given)).collect::<Vec<_>>()[..]
                {
                    [(id, _)] => id.clone(),
                    _ => return Err(error.into()),
                }
            }
        };
        sessions.retain(|(known, _)| *known == id);
        if sessions.is_empty() {
            return Err(
                CommandError::no(format!("{id} has no record")).hint("git agent doctor --fix")
            );
        }
    }
    let against = args.against.as_deref().map(|it| context.repo.resolve_commit(it)).transpose()?;
    let mut is_proven = true;
    for (id, tip) in &sessions {
        let folder = context.store.session(id).ok().map(|session| session.dir);
        let asked = Asked { id, tip: *tip, folder: folder.as_deref(), against };
        let said = match audit::verify(&context.repo, &asked)? {
            Ok(proof) if config.audit_sign && !proof.is_signed => {
                is_proven = false;
                format!("{id}: not proven: the last record is not signed")
            }
            Ok(proof) => format!("{id}: {}", proven(&proof)),
            Err(Divergence { record, what }) => {
                is_proven = false;
                let place = record.map_or(String::new(), |record| format!(" at {record}"));
                format!("{id}: not proven{place}: {what}")
            }
        };
        context.ui.answer(&text::neutral(&said))?;
    }
    match is_proven {
        true => Ok(()),
        false => Err(CommandError::new(Kind::Told(exit::NO), "")),
    }
}

fn proven(proof: &Proof) -> String {
    let mut said = format!(
        "proven, {}, {}, {}",
        units::counted(proof.records, "record"),
        units::counted(proof.events, "event"),
        units::counted(proof.commits, "commit"),
    );
    said += &match (proof.signed, proof.is_signed) {
        (0, _) => ", not signed".to_owned(),
        (_, true) => ", signed".to_owned(),
        (signed, false) => {
            format!(", {} signed, the last is not", units::counted(signed, "record"))
        }
    };
    if proof.unrecorded > 0 {
        said += &format!("; {} not on record yet", units::counted(proof.unrecorded, "event"));
    }
    said
}
