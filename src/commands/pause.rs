//! `git agent pause`: a session rests after its step and keeps its place.
//!
//! Invariant: what runs is finished and committed first.

use super::context::Context;
use super::{complete, control};
use crate::error::Result;
use crate::session::inbox::Kind;
use crate::ui::Ui;

/// Let sessions rest after the step that runs; resume goes on from there
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sessions, each by any unique beginning of its id or name
    #[arg(
        value_name = "SESSION",
        required_unless_present = "all",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        add = clap_complete::ArgValueCompleter::new(complete::sessions),
    )]
    sessions: Vec<String>,
    /// Pause every session that runs
    #[arg(long, conflicts_with = "sessions")]
    all: bool,
}

/// Asks each session to rest.
///
/// # Errors
/// One that was named is not found, or cannot be reached.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let mut asked = false;
    for session in control::chosen(&context, &args.sessions, args.all)? {
        let phase = session.state()?.phase;
        let id = &session.id;
        if phase.needs_supervisor() {
            asked = true;
            control::send(&session, Kind::Pause)?;
            ui.narrate(&format!("Pausing {id} after its step"));
            ui.hint(&format!("git agent resume {id}"));
        } else if !args.all {
            ui.narrate(&format!("Nothing to pause: {id} {}", control::standing(phase)));
        }
    }
    if args.all && !asked {
        ui.narrate("Nothing to pause: no session runs");
    }
    Ok(())
}
