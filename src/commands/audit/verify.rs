//! `git agent audit verify`: whether the record of a session is what was written.
//!
//! Invariant: what could not be looked at is not proven.

use clap::builder::NonEmptyStringValueParser;
use clap_complete::ArgValueCompleter;

use super::super::complete;
use super::super::context::Context;
use crate::error::{CommandError, Kind, Result, exit};
use crate::session::audit::{self, Asked, Divergence, Proof};
use crate::session::{archive, record};
use crate::ui::{text, units};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
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

/// Proves what is asked for.
///
/// # Errors
/// There is no such session, or its record cannot be read; told, exit code 1: it is not proven.
pub(super) fn run(context: &Context<'_>, args: &Args) -> Result {
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
