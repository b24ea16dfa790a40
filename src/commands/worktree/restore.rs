//! `git agent worktree restore`: a worktree comes back with all it held.
//!
//! Invariant: the session's ref is enough; nothing that exists is written over.

use serde::Serialize;

use crate::commands::context::{Context, SessionArg};
use crate::commands::import::Terms;
use crate::commands::start::layout;
use crate::error::Result;
use crate::land::apply::short_id;
use crate::session::adopt;
use crate::session::record::{FindRecordError, Record};
use crate::session::removed::{self, Removed};
use crate::session::store::{FindError, Session};
use crate::stow::restore::{self, Restored};
use crate::ui::{Ui, json, text, units};

/// Bring a session's worktree back: branch, files, and changes in no commit
///
/// Works from the session's ref alone, also where its state was deleted or the ref was fetched from
/// another machine.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    session: SessionArg,
    /// Print JSON: {"format":1,"restored":{…}}
    #[arg(long)]
    json: bool,
}

/// A restored worktree, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct View<'a> {
    session: &'a str,
    path: String,
    branch: &'a str,
    branch_created: bool,
    uncommitted: &'a [String],
    set_apart: Option<String>,
    ignored_files: usize,
}

/// Brings the worktree back.
///
/// # Errors
/// It is there, or something is in its place.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let session = find(&context, &args.session.session)?;
    let restored = restore::restore(&context.repo, &session)?;
    if args.json {
        return print(ui, &session, &restored);
    }
    let path = restored.path.to_string_lossy();
    let branch = session.spec.branch_name();
    let again = if restored.branch_created { ", made again" } else { "" };
    let path = text::neutral(&path);
    ui.answer(&format!("Restored {} at {path}  (branch {branch}{again})", session.id))?;
    if !restored.uncommitted.is_empty() {
        let files = units::counted(restored.uncommitted.len() as u64, "file");
        ui.narrate(&format!("  {files} in no commit: {}", restored.uncommitted.join(", ")));
    }
    if restored.ignored.files > 0 {
        let files = units::counted(restored.ignored.files as u64, "ignored file");
        ui.narrate(&format!("  {files} put back"));
    }
    for (path, why) in &restored.ignored.left_out {
        ui.warning(&format!("{} was not put back: {why}", path.display()));
    }
    if let Some(why) = restored.without_submodules {
        ui.warning(&format!("its submodules are not initialised: {why}"));
        ui.hint(&format!("git -C {path} submodule update --init --recursive"));
    }
    if let Some(commit) = restored.set_apart {
        let commit = short_id(commit);
        ui.warning(&format!("{branch} has moved since: changes in no commit are in {commit}"));
        ui.hint(&format!("git show {commit}"));
    }
    Ok(())
}

/// Makes a removed session one of the others again; one that never was in this clone is taken in
/// as an import is.
fn bring_back(context: &Context<'_>, removed: &Removed) -> Result<Session> {
    let Context { repo, store, .. } = context;
    let record = Record::read(repo, removed.record)?;
    let layout = layout(&context.read_config()?.0);
    if removed.is_archived
        || store.aside(&removed.id).exists()
        || !adopt::is_from_elsewhere(repo, &record, &layout)
    {
        return Ok(removed::bring_back(repo, store, removed)?);
    }
    let terms = Terms::of(context)?;
    Ok(adopt::from_ref(repo, store, &removed.id, &terms.house())?.session)
}

/// The session on this machine, or one that was removed and is brought back.
fn find(context: &Context<'_>, given: &str) -> Result<Session> {
    let Context { repo, store, .. } = context;
    match store.find(given) {
        // Where nothing is missing, one of this name that was removed is meant, if there is one.
        Ok(session) if session.id != given && session.spec.worktree.exists() => {
            match removed::find(repo, store, given) {
                Ok(removed) => bring_back(context, &removed),
                Err(FindRecordError::Find(FindError::NotFound { .. })) => Ok(session),
                Err(error) => Err(error.into()),
            }
        }
        Err(FindError::NotFound { near, .. }) => match removed::find(repo, store, given) {
            Ok(removed) => bring_back(context, &removed),
            Err(FindRecordError::Find(FindError::NotFound { given, .. })) => {
                Err(FindError::NotFound { given, near }.into())
            }
            Err(error) => Err(error.into()),
        },
        found => Ok(found?),
    }
}

fn print(ui: &Ui, session: &Session, restored: &Restored) -> Result {
    let view = View {
        session: &session.id,
        path: restored.path.to_string_lossy().into_owned(),
        branch: session.spec.branch_name(),
        branch_created: restored.branch_created,
        uncommitted: &restored.uncommitted,
        set_apart: restored.set_apart.map(|commit| commit.to_string()),
        ignored_files: restored.ignored.files,
    };
    Ok(ui.answer(&json::named("restored", &view)?)?)
}
