//! `git agent remove`: a session goes out of sight, and can come back.
//!
//! Invariant: it tells what was removed and what was kept, not what was planned.

use clap::builder::NonEmptyStringValueParser;
use clap_complete::ArgValueCompleter;
use serde::Serialize;

use super::complete;
use super::context::Context;
use super::control;
use super::worktree::remove::tell_kept;
use crate::error::{CommandError, Result};
use crate::session::store::Session;
use crate::stow::remove::{Removal, Removed};
use crate::stow::retire;
use crate::ui::{Ui, json, text};

/// Remove sessions: worktree, branch and live state; restore brings them back
///
/// The session's ref stays, and holds all it did: record, commits, and changes in no commit. What
/// has not landed is refused without --force, and even then kept by the ref.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sessions, each by any unique beginning of its id or name
    #[arg(
        value_name = "SESSION",
        required = true,
        value_parser = NonEmptyStringValueParser::new(),
        add = ArgValueCompleter::new(complete::sessions),
    )]
    sessions: Vec<String>,
    /// Also what has not landed, while programs run in it, and give up what cannot be kept
    #[arg(short, long)]
    force: bool,
    /// Print JSON: {"format":1,"removed":[…]}
    #[arg(long)]
    json: bool,
}

/// A removal, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct View {
    session: String,
    path: String,
    branch: String,
    branch_deleted: bool,
    uncommitted: Vec<String>,
    given_up: Vec<String>,
}

/// Removes each session; the first that cannot be removed ends it.
///
/// # Errors
/// One that was named is not found, runs, has not landed, or holds what cannot be kept.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let max_file_size = context.config()?.max_file_size;
    let removal = Removal { force: args.force, branch: true, max_file_size };
    let named = args.sessions.iter().map(|given| context.session(given));
    let sessions = named.collect::<Result<Vec<_>>>()?;
    let mut views = Vec::new();
    for session in &sessions {
        let removed = retire::retire(&context.repo, &context.store, session, &removal);
        let removed = removed
            .map_err(|error| control::removed_meanwhile(session, CommandError::from(error)))?;
        if args.json {
            views.push(view(session, removed));
        } else {
            tell(ui, session, &removed)?;
        }
    }
    if args.json {
        ui.answer(&json::named("removed", &views)?)?;
    }
    Ok(())
}

fn tell(ui: &Ui, session: &Session, removed: &Removed) -> Result {
    let (id, branch) = (&session.id, session.spec.branch_name());
    let path = removed.path.to_string_lossy();
    let branch = match removed.branch_deleted {
        true => format!("branch {branch}"),
        false => format!("branch {branch} stays: a worktree or commits of yours need it"),
    };
    ui.answer(&format!("Removed {id}  (worktree {}, {branch})", text::neutral(&path)))?;
    tell_kept(ui, removed);
    ui.hint(&format!("git agent restore {id}"));
    Ok(())
}

fn view(session: &Session, removed: Removed) -> View {
    View {
        session: session.id.clone(),
        path: removed.path.to_string_lossy().into_owned(),
        branch: session.spec.branch_name().to_owned(),
        branch_deleted: removed.branch_deleted,
        uncommitted: removed.uncommitted,
        given_up: removed.given_up,
    }
}
