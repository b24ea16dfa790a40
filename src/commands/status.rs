//! `git agent status`: one session in full.
//!
//! Invariant: it writes nothing.

use super::context::Context;
use super::{complete, list, question, view};
use crate::error::Result;
use crate::session::state::{Phase, State};
use crate::session::store::Session;
use crate::session::ticket::Priority;
use crate::ui::{Ui, card, json};

/// Show one session in full: plan, changes, verify, cost, commits
///
/// Without a session it shows the one whose worktree this is; elsewhere it lists all of them.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Session, by any unique beginning of its id or name
    #[arg(
        value_name = "SESSION",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        add = clap_complete::ArgValueCompleter::new(complete::sessions),
    )]
    session: Option<String>,
    /// Print JSON: the session as in list, with its plan and commits
    #[arg(long)]
    json: bool,
}

/// Prints the card, or JSON.
///
/// # Errors
/// It is no repository, or there is no such session.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let session = match &args.session {
        Some(given) => Some(context.session(given)?),
        None => context.session_here()?,
    };
    let Some(session) = session else { return list::run(ui, &list::Args::for_status(args.json)) };
    context.warn_of_setting();
    let state = session.state()?;
    let card = view::card(&context.repo, &session, &state)?;
    if args.json {
        ui.answer(&json::session(&card)?)?;
    } else {
        ui.answer(&card::session(&card, context.now, &ui.look()))?;
        if let Some(hint) = next(&session, &state) {
            ui.hint(&hint);
        }
    }
    Ok(())
}

/// What a person would most likely do next.
fn next(session: &Session, state: &State) -> Option<String> {
    let (id, phase) = (&session.id, state.phase);
    let goes_on = matches!(phase, Phase::Paused | Phase::Interrupted | Phase::Failed);
    if goes_on && !session.spec.worktree.exists() {
        return Some(format!("git agent worktree restore {id}"));
    }
    match phase {
        Phase::NeedsInput => Some(question::how(id, state.question.as_ref())),
        Phase::Paused | Phase::Interrupted | Phase::Failed => {
            Some(format!("git agent resume {id}"))
        }
        Phase::Done => {
            Some(format!("git agent diff {id}    git agent worktree merge {id} --squash"))
        }
        Phase::Running | Phase::Verifying => Some(format!("git agent attach {id}")),
        Phase::Queued if state.priority > Priority::High => {
            Some(format!("git agent reprioritize high {id}"))
        }
        Phase::Queued | Phase::Stopped | Phase::Landed | Phase::Archived => None,
    }
}
