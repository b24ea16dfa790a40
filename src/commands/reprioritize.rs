//! `git agent reprioritize`: who goes first of those that wait.
//!
//! Invariant: what runs goes on undisturbed; the priority stays with the session until it is changed
//! again.

use super::context::Context;
use super::control::{self, SessionArgs};
use crate::error::Result;
use crate::queue;
use crate::session::ticket::Priority;
use crate::ui::{Ui, card};

/// Change which sessions go first where not all can run
///
/// What waits is started by priority, and the oldest first within one. A session that rests keeps
/// its new priority for when it goes on. With --all: every session that waits.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  git agent reprioritize high fix-flaky
  git agent reprioritize low --all")]
pub struct Args {
    /// The new priority
    #[arg(value_enum, value_name = "PRIORITY")]
    priority: Priority,
    #[command(flatten)]
    sessions: SessionArgs,
}

/// Changes the priority of each session.
///
/// # Errors
/// Told: one that was named is not found, or cannot be written.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let nothing = "Nothing to reprioritize: no session waits";
    control::each(&context, &args.sessions, nothing, |session| {
        let id = &session.id;
        let waits = control::waits(session)?;
        if args.sessions.all && !waits {
            return Ok(false);
        }
        let phase = session.state()?.phase;
        if phase.is_final() || !waits && control::is_run(session)? {
            let standing = control::standing(phase);
            ui.narrate(&format!("Nothing to reprioritize: {id} {standing}"));
            return Ok(false);
        }
        let (before, now) =
            (queue::reprioritize(&context.store, session, args.priority)?, args.priority);
        let change = format!("{id} from {} to {} priority", before.as_str(), now.as_str());
        let place = queue::places(&context.repo)?.remove(id);
        let place = place.map(|place| format!("; {}", card::place(&place))).unwrap_or_default();
        ui.narrate(&format!("Moved {change}{place}"));
        Ok(true)
    })
}
