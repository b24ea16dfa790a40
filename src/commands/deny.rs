//! `git agent deny`: no to what a session asks.
//!
//! Invariant: nothing that was asked for happens; the session keeps its place.

use super::approve::asks_to_decide;
use super::context::Context;
use super::several::Several;
use super::{control, question};
use crate::error::Result;
use crate::event::QuestionKind;
use crate::ui::Ui;

/// Say no to what a session asks
///
/// Where a limit is reached, the session pauses; resume asks again, and resume --budget and its kin
/// set another limit. With --all: every session that asks for yes or no.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    several: Several,
    /// Why, in words that the session's log keeps
    #[arg(value_name = "REASON")]
    reason: Vec<String>,
}

/// Denies what each session asks.
///
/// # Errors
/// Told: one that was named is not found, or asks nothing that can be denied.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let (sessions, reason) = args.several.split(&args.reason);
    let reason = reason.join(" ");
    let context = Context::open(ui)?;
    let nothing = "Nothing to deny: no session asks for yes or no";
    control::each(&context, &sessions, nothing, |session| {
        if sessions.all && !asks_to_decide(&session.state()?) {
            return Ok(false);
        }
        let id = &session.id;
        let kind = question::deny(&context, session, reason.trim())?;
        let becomes = match kind {
            QuestionKind::Limit => "pauses",
            QuestionKind::Network => "goes on without that host",
            QuestionKind::Changes => "puts them back and goes on",
            _ => "goes on without",
        };
        ui.narrate(&format!("Denied {id}, which {becomes}"));
        if kind == QuestionKind::Limit {
            ui.hint(&format!("git agent resume {id} asks again    git agent stop {id}"));
        }
        Ok(true)
    })
}
