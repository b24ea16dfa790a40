//! `git agent worktree remove`: a worktree goes, its work stays.
//!
//! Invariant: it tells what was removed and what was kept, not what was planned.

use serde::Serialize;

use crate::commands::context::{Context, SessionArg};
use crate::error::Result;
use crate::session::store::Session;
use crate::stow::remove::{self, Removal, Removed};
use crate::ui::{Ui, json, units};

/// Remove a session's worktree; everything in it can be restored
///
/// Changes in no commit are kept by the session's ref; files that git ignores are kept beside the
/// session's state, as far as they are not larger than agent.maxFileSize. The branch stays.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    session: SessionArg,
    /// Also while programs run in it, and give up what cannot be kept
    #[arg(short, long)]
    force: bool,
    /// Delete the branch too, if its work has landed; the session's ref keeps its commits
    #[arg(long)]
    branch: bool,
    /// Print JSON: {"format":1,"removed":{…}}
    #[arg(long)]
    json: bool,
}

/// A removal, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct View<'a> {
    session: &'a str,
    path: String,
    branch: &'a str,
    branch_deleted: bool,
    uncommitted: &'a [String],
    ignored_files: usize,
    ignored_left_out: Vec<String>,
    given_up: &'a [String],
}

/// Removes the worktree.
///
/// # Errors
/// The session runs, or the worktree is in use, locked, or holds what cannot be kept.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let session = context.session(&args.session.session)?;
    let max_file_size = context.config()?.max_file_size;
    let removal = Removal { force: args.force, branch: args.branch, max_file_size };
    let removed = remove::remove(&context.repo, &session, &removal)?;
    if args.json { print(ui, &session, &removed) } else { tell(ui, args, &session, &removed) }
}

fn tell(ui: &Ui, args: &Args, session: &Session, removed: &Removed) -> Result {
    let branch = session.spec.branch_name();
    let end = match (removed.branch_deleted, args.branch) {
        (true, _) => format!("with branch {branch}"),
        (false, true) => format!("branch {branch} stays: a worktree or commits of yours need it"),
        (false, false) => format!("branch {branch} stays"),
    };
    let path = removed.path.to_string_lossy();
    let path = crate::ui::text::neutral(&path);
    ui.answer(&format!("Removed the worktree of {} at {path}; {end}", session.id))?;
    tell_kept(ui, removed);
    ui.hint(&format!("git agent worktree restore {}", session.id));
    Ok(())
}

/// What became of what no commit of the branch holds.
pub(in crate::commands) fn tell_kept(ui: &Ui, removed: &Removed) {
    let Removed { uncommitted, ignored, given_up, trash, .. } = removed;
    if !uncommitted.is_empty() {
        let files = units::counted(uncommitted.len() as u64, "file");
        ui.narrate(&format!("  kept {files} in no commit: {}", uncommitted.join(", ")));
    }
    if ignored.files > 0 {
        ui.narrate(&format!("  kept {}", units::counted(ignored.files as u64, "ignored file")));
    }
    for (path, why) in &ignored.left_out {
        ui.narrate(&format!("  not kept: {} is ignored, and {why}", path.display()));
    }
    for what in given_up {
        ui.warning(&format!("given up: {what}"));
    }
    if let Some(trash) = trash {
        ui.warning(&format!("its files could not be deleted: {}", trash.display()));
    }
}

fn print(ui: &Ui, session: &Session, removed: &Removed) -> Result {
    let left_out = removed.ignored.left_out.iter();
    let view = View {
        session: &session.id,
        path: removed.path.to_string_lossy().into_owned(),
        branch: session.spec.branch_name(),
        branch_deleted: removed.branch_deleted,
        uncommitted: &removed.uncommitted,
        ignored_files: removed.ignored.files,
        ignored_left_out: left_out.map(|(path, _)| path.to_string_lossy().into_owned()).collect(),
        given_up: &removed.given_up,
    };
    Ok(ui.answer(&json::named("removed", &view)?)?)
}
