//! `git agent pause`: a session rests after its step and keeps its place.
//!
//! Invariant: what runs is finished and committed first; what waits is out of the queue when this
//! returns.

use super::context::Context;
use super::control::{self, SessionArgs};
use crate::error::Result;
use crate::event::BY_HAND;
use crate::runner::settle;
use crate::session::inbox::Kind;
use crate::session::state::Phase;
use crate::ui::Ui;

/// Let sessions rest after the step that runs; resume goes on from there
///
/// What they have done is committed, and the next in the queue takes their place. A pause lasts
/// until resume, over a restart of the machine too. With --all: every session that runs or waits.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    sessions: SessionArgs,
}

/// Asks each session to rest.
///
/// # Errors
/// Told: one that was named is not found, or cannot be reached.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    control::each(&context, &args.sessions, "Nothing to pause: no session runs", |session| {
        let phase = session.state()?.phase;
        let id = &session.id;
        if !phase.needs_supervisor() {
            if !args.sessions.all {
                ui.narrate(&format!("Nothing to pause: {id} {}", control::standing(phase)));
            }
            return Ok(false);
        }
        if control::waits(session)?
            && settle::settle(&context.repo, session, Phase::Paused, BY_HAND)?
        {
            ui.narrate(&format!("Paused {id}, which was queued"));
        } else {
            control::send(session, Kind::Pause)?;
            ui.narrate(&format!("Pausing {id} after its step"));
        }
        ui.hint(&format!("git agent resume {id}"));
        Ok(true)
    })
}
