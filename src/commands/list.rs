//! `git agent list`: every session at a glance.
//!
//! Invariant: it writes nothing, and one broken session hides no other.

use std::collections::HashMap;

use clap::builder::PossibleValuesParser;

use super::context::Context;
use super::view;
use crate::error::{CommandError, Result};
use crate::parallel;
use crate::plan::forecast::{self, Standing};
use crate::session::format::FormatError;
use crate::session::record::Record;
use crate::session::state::Phase;
use crate::session::store::Session;
use crate::session::{removed, size};
use crate::ui::view::{AttemptView, SessionView, sort_by_attention};
use crate::ui::{Ui, json, table};

/// Show all sessions
///
/// What needs a person comes first, then what is finished, then what waits. On a terminal the
/// table fits its width; piped, it is whole and stable.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON: {"format":1,"sessions":[…]}
    #[arg(long)]
    json: bool,
    /// Show archived sessions too
    #[arg(short, long)]
    all: bool,
    /// Show what each takes on the disk: worktree, state and logs
    #[arg(long)]
    size: bool,
    /// Show sessions that were removed or have expired; restore brings them back
    #[arg(long, conflicts_with_all = ["size", "state"])]
    removed: bool,
    /// Show only sessions in this state; may be given several times
    #[arg(long, value_name = "STATE", value_parser = PossibleValuesParser::new(Phase::ALL.map(Phase::as_str)))]
    state: Vec<String>,
}

impl Args {
    /// For `status` where no session is meant.
    pub(super) fn for_status(json: bool) -> Self {
        Self { json, all: false, size: false, removed: false, state: Vec::new() }
    }
}

/// Prints the table, or JSON.
///
/// # Errors
/// It is no repository, or the sessions cannot be listed.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    context.warn_of_setting();
    let mut shown = match args.removed {
        true => removed(&context)?,
        false => sessions(&context, args.size)?,
    };
    shown.retain(|view| match args.state.as_slice() {
        [] => args.all || args.removed || view.state != Phase::Archived.as_str(),
        states => states.contains(&view.state),
    });
    sort_by_attention(&mut shown);
    if args.json {
        ui.answer(&json::sessions(&shown)?)?;
    } else if shown.is_empty() {
        match args.removed {
            true => ui.narrate("No session was removed."),
            false => {
                ui.narrate("No sessions.");
                ui.hint("git agent start \"…\"");
            }
        }
    } else {
        ui.answer(&table::sessions(&shown, context.now, &ui.look()))?;
    }
    Ok(())
}

/// The sessions that restore can bring back; a warning for each whose record cannot be read.
fn removed(context: &Context<'_>) -> Result<Vec<SessionView>> {
    let Context { repo, store, ui, .. } = context;
    let mut views = Vec::new();
    for it in removed::list(repo, store)? {
        match Record::read(repo, it.record) {
            Ok(Record { spec, state, .. }) => {
                let session = Session { dir: store.aside(&it.id), id: it.id, spec };
                views.push(view::session(&session, &state));
            }
            Err(error) => ui.warning(&format!("{}: {error}", it.id)),
        }
    }
    Ok(views)
}

/// All sessions that can be read; a warning for each that cannot.
fn sessions(context: &Context<'_>, with_size: bool) -> Result<Vec<SessionView>> {
    let listing = context.store.list()?;
    let warn = |error: CommandError| {
        context.ui.warning(&error.line());
        error.hints.iter().for_each(|hint| context.ui.hint(hint));
    };
    listing.broken.into_iter().map(CommandError::from).for_each(warn);
    let look = |session: &Session| -> std::result::Result<_, FormatError> {
        Ok(view::session(session, &session.state()?))
    };
    let looks = parallel::map(&listing.sessions, look);
    let mut views = Vec::with_capacity(looks.len());
    for look in looks {
        match look {
            Ok(view) => views.push(view),
            Err(error) => warn(error.into()),
        }
    }
    view::add_places(&context.repo, &mut views)?;
    let mut colliding = forecast::standing(&context.repo, &listing.sessions);
    for shown in &mut views {
        let Standing { collides, on } = colliding.remove(&shown.id).unwrap_or_default();
        shown.conflicts_with = collides;
        let on = on.map(|branch| format!("its work is on {branch} already"));
        let attempt = shown.attempt.as_ref().map(|AttemptView { number, of, approach, .. }| {
            let approach =
                if approach.is_empty() { String::new() } else { format!(": {approach}") };
            format!("attempt {number} of {of}{approach}")
        });
        let said = [shown.note.take(), on, attempt].into_iter().flatten().collect::<Vec<_>>();
        shown.note = (!said.is_empty()).then(|| said.join("; "));
    }
    if with_size {
        let sizes = size::of_all(&listing.sessions);
        let sizes = listing.sessions.iter().map(|session| session.id.as_str()).zip(sizes);
        let sizes: HashMap<_, _> = sizes.collect();
        for shown in &mut views {
            shown.size = sizes.get(shown.id.as_str()).copied().map(view::size);
        }
    }
    Ok(views)
}
