//! `git agent pick`: of several attempts, the one that lands.
//!
//! Invariant: no other attempt is touched before the one has landed, and each that is put away can
//! be restored.

use serde::Serialize;

use super::how::{self, HowArgs};
use super::landing::{self, Outcome};
use crate::commands::context::{Context, SessionArg};
use crate::error::{CommandError, Kind, Result, exit};
use crate::land::apply::Landed;
use crate::plan::LandError;
use crate::session::store::Session;
use crate::stow::retire;
use crate::ui::{Ui, json};

/// Land one of several attempts at a task, and put the others away
///
/// It lands as by merge, with the same flags. The other attempts of its group are then removed:
/// worktree, branch and live state go, the session's ref holds all they did, and restore brings
/// each back. While one of them runs, nothing is done.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  git agent start \"Speed up the parser\" -n 3
  git agent compare speed-up
  git agent pick speed-up-2 --dry-run
  git agent pick speed-up-2
  git agent merge --undo speed-up-2    git agent restore speed-up-3")]
pub struct Args {
    #[command(flatten)]
    session: SessionArg,
    #[command(flatten)]
    how: HowArgs,
    /// Leave the other attempts as they are
    #[arg(long)]
    keep_others: bool,
    /// Print JSON: {"format":1,"landing":{…},…} with the ids of those put away, and of those kept
    #[arg(long)]
    json: bool,
}

/// What was done, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct Document {
    format: u32,
    landing: serde_json::Value,
    put_away: Vec<String>,
    kept: Vec<String>,
}

/// Lands one attempt and puts the others away.
///
/// # Errors
/// Every reason not to land; another attempt runs; or one cannot be put away, after the landing.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let session = context.session(&args.session.session)?;
    let others = others(&context, &session)?;
    if !args.keep_others {
        others.iter().try_for_each(check_rests)?;
    }
    let outcome = how::land(&context, &args.how, &session)?;
    if !args.json {
        landing::tell(ui, &session, &outcome)?;
    }
    let is_whole = match &outcome {
        Outcome::Would(plan) => plan.is_all,
        Outcome::Landed(Landed { plan, .. }) | Outcome::Found(Landed { plan, .. }) => {
            plan.as_ref().is_none_or(|plan| plan.is_all)
        }
    };
    let goes = is_whole && !args.keep_others;
    let mut failed = None;
    let (mut put_away, mut kept) = (Vec::new(), Vec::new());
    let max_file_size = context.config()?.max_file_size;
    for other in others {
        let id = other.id.clone();
        if !goes {
            kept.push(id);
            continue;
        }
        if args.how.dry_run {
            put_away.push(id);
            continue;
        }
        match retire::put_away(&context.repo, &context.store, &other, max_file_size) {
            Ok(_) => put_away.push(id),
            Err(error) => {
                kept.push(id);
                failed.get_or_insert(error);
            }
        }
    }
    if args.json {
        let landing = landing::value(&session, &outcome)?;
        let document = Document { format: json::FORMAT, landing, put_away, kept };
        ui.answer(&serde_json::to_string(&document)?)?;
    } else {
        tell(ui, args, &put_away, &kept, is_whole)?;
    }
    match failed {
        None => Ok(()),
        Some(error) => {
            let error = CommandError::from(error);
            let code = error.report(ui).max(exit::NO);
            Err(CommandError::new(Kind::Told(code), ""))
        }
    }
}

/// The other attempts at the task, in their order.
fn others(context: &Context<'_>, session: &Session) -> Result<Vec<Session>> {
    let id = &session.id;
    let Some(attempt) = &session.spec.attempt else {
        return Err(CommandError::usage(format!("{id} is the only attempt at its task"))
            .hint(format!("git agent merge {id}")));
    };
    let of_group = |other: &Session| {
        let its = other.spec.attempt.as_ref();
        other.id != *id && its.is_some_and(|its| its.group == attempt.group)
    };
    let mut others = context.store.list()?.sessions;
    others.retain(of_group);
    others.sort_by_key(|other| other.spec.attempt.as_ref().map(|its| its.number));
    Ok(others)
}

/// Refuses while somebody works on it, or is about to.
fn check_rests(other: &Session) -> Result {
    let phase = other.state()?.phase;
    if !phase.needs_supervisor() {
        return Ok(());
    }
    let error = CommandError::from(LandError::NotAtRest { id: other.id.clone(), phase });
    Err(error.hint("--keep-others leaves the other attempts as they are"))
}

fn tell(ui: &Ui, args: &Args, put_away: &[String], kept: &[String], is_whole: bool) -> Result {
    if let [first, ..] = put_away {
        let word = if args.how.dry_run { "Would put away" } else { "Put away" };
        ui.answer(&format!("{word} {}", put_away.join(", ")))?;
        if !args.how.dry_run {
            ui.hint(&format!("git agent restore {first}"));
        }
    }
    if !kept.is_empty() && !args.keep_others {
        let why = if is_whole { "" } else { ", since only some of the work lands" };
        ui.narrate(&format!("  left as they are{why}: {}", kept.join(", ")));
    }
    Ok(())
}
