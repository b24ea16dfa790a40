//! `git agent audit`: what sessions did, on whose word, at what price; and whether that is true.
//!
//! Invariant: it only reads. What is listed is what the record holds; nothing is summed up that is
//! not in it.

mod account;
mod entry;
mod print;
mod verify;

use std::collections::BTreeMap;

use clap::builder::NonEmptyStringValueParser;
use clap_complete::ArgValueCompleter;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::complete;
use super::context::Context;
use crate::error::{CommandError, Result};
use crate::git::ObjectId;
use crate::session::record::Record;
use crate::session::store::Session;
use crate::session::{archive, journal, record};
use crate::ui::{Ui, json};
use account::{Account, Total};

/// List what sessions did, on whose word and at what price, from their records
///
/// Who asked for what, which model answered at what price, each command with its exit code, each
/// host that was asked for, each file changed, each decision and who made it. Without a session,
/// all of the repository: one line for each, those that are archived or were fetched too.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
JSON, format 1:
  {\"format\":1,\"audit\":ACCOUNT}, without a session
  {\"format\":1,\"audit\":[ACCOUNT…],\"total\":{sessions,steps,commands,approvals,tokens,cost_usd,unpriced,by_model}}
  ACCOUNT  session asked asked_by state models steps commands files approvals cost_usd tokens
           by_model:[{model,answers,tokens,cost_usd}]
           hosts:[{place,access,received,decided_by}] entries:[ENTRY…]
  ENTRY    time step who (person, agent, program) by what text, and of what applies: model
           tokens cost_usd tool exit failed millis commit tree paths question verdict reason host
  tokens   {input,cached,output}; a cost_usd of null is a price that nobody knows
Fields may be added to a format; none is renamed or taken away."
)]
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
    Verify(verify::Args),
}

/// Lists, or proves.
///
/// # Errors
/// There is no such session, or its record cannot be read; told, exit code 1: it is not proven.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    match (&args.verb, &args.session) {
        (Some(Verb::Verify(args)), _) => verify::run(&context, args),
        (None, Some(given)) => one(&context, given, args.json),
        (None, None) => all(&context, args.json),
    }
}

fn one(context: &Context<'_>, given: &str, as_json: bool) -> Result {
    let account = match context.session(given) {
        Ok(session) => here(&session, true)?,
        // One that is archived, or was fetched, has no folder here.
        Err(error) => match &elsewhere(context, |id| id.starts_with(given))?[..] {
            [(_, tip)] => recorded(context, *tip, true)?,
            _ => return Err(error),
        },
    };
    let text = match as_json {
        true => json::named("audit", &account)?,
        false => print::one(&account, &context.ui.look(), &TimeZone::system()),
    };
    Ok(context.ui.answer(&text)?)
}

/// All of the repository, as JSON.
#[derive(Debug, Serialize)]
struct Document<'a> {
    format: u32,
    audit: &'a [Account],
    total: &'a Total,
}

fn all(context: &Context<'_>, as_json: bool) -> Result {
    let sessions = context.store.list()?.sessions;
    let mut accounts = Vec::new();
    for session in &sessions {
        match here(session, false) {
            Ok(account) => accounts.push(account),
            // One that cannot be read keeps none of the others from being told.
            Err(error) => context.ui.warning(&format!("{}: {}", session.id, error.line())),
        }
    }
    for (id, tip) in elsewhere(context, |id| sessions.iter().all(|here| here.id != id))? {
        match recorded(context, tip, false) {
            Ok(account) => accounts.push(account),
            Err(error) => context.ui.warning(&format!("{id}: {}", error.line())),
        }
    }
    let text = match as_json {
        true => serde_json::to_string(&Document {
            format: json::FORMAT,
            audit: &accounts,
            total: &Total::of(&accounts),
        })?,
        false => print::all(&accounts, &context.ui.look()),
    };
    Ok(context.ui.answer(&text)?)
}

/// Sessions that have a record, and no folder is asked for, by id.
fn elsewhere(
    context: &Context<'_>,
    is_meant: impl Fn(&str) -> bool,
) -> Result<Vec<(String, ObjectId)>> {
    let mut found: BTreeMap<_, _> = archive::list(&context.repo)?.into_iter().collect();
    // One that goes on again is out of the archive, or newer than what is in it.
    found.extend(record::list(&context.repo)?);
    Ok(found.into_iter().filter(|(id, _)| is_meant(id)).collect())
}

fn here(session: &Session, with_entries: bool) -> Result<Account> {
    let events = journal::Reader::open(&session.journal_path(), 0)?.events();
    let account = Account::of(&session.spec, &session.state()?, events, with_entries);
    account.map_err(CommandError::from)
}

fn recorded(context: &Context<'_>, tip: ObjectId, with_entries: bool) -> Result<Account> {
    let record = Record::read(&context.repo, tip)?;
    let mut file = tempfile::NamedTempFile::new()?;
    record.write_journal(&context.repo, &mut file)?;
    let events = journal::Reader::open(file.path(), 0)?.events();
    Account::of(&record.spec, &record.state, events, with_entries).map_err(CommandError::from)
}
