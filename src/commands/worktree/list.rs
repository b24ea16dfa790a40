//! `git agent worktree list`: where each session's files are.
//!
//! Invariant: it writes nothing; a folder that is gone is shown as such, never as removed.

use std::path::Path;

use serde::Serialize;

use crate::commands::context::Context;
use crate::commands::view;
use crate::error::Result;
use crate::ui::{Ui, json, table};

/// Show the worktree of each session
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON: {"format":1,"worktrees":[…]}
    #[arg(long)]
    json: bool,
}

/// One worktree, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct Row {
    session: String,
    branch: String,
    path: String,
    state: String,
    missing: bool,
}

/// Prints the table, or JSON.
///
/// # Errors
/// It is no repository, or the sessions cannot be listed.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let mut rows = Vec::new();
    for session in context.store.list()?.sessions {
        rows.push(Row {
            state: session.state()?.phase.to_string(),
            branch: session.spec.branch_name().to_owned(),
            path: session.spec.worktree.to_string_lossy().into_owned(),
            missing: !session.spec.worktree.is_dir(),
            session: session.id,
        });
    }
    if args.json {
        return Ok(ui.answer(&json::named("worktrees", &rows)?)?);
    }
    if rows.is_empty() {
        ui.narrate("No sessions, so no worktrees.");
        ui.hint("git agent start \"…\"");
        return Ok(());
    }
    let look = ui.look();
    let cells = rows.into_iter().map(|row| {
        // Piped it is for programs: the whole path, the state as JSON has it.
        let (path, state) = match look.terminal {
            true => (view::from_here(Path::new(&row.path)), row.state.replace('-', " ")),
            false => (row.path, row.state),
        };
        let path = if row.missing { format!("{path} (gone)") } else { path };
        vec![row.session, state, row.branch, path]
    });
    let header = ["SESSION", "STATE", "BRANCH", "WORKTREE"];
    Ok(ui.answer(&table::plain(&header, &cells.collect::<Vec<_>>(), &look))?)
}
