//! `git agent approve`: yes to what a session asks.
//!
//! Invariant: what was asked is what is approved, once; nothing else goes through by it.

use super::context::Context;
use super::control::{self, SessionArgs};
use super::question;
use crate::error::Result;
use crate::event::Verdict;
use crate::session::state::Phase;
use crate::ui::Ui;

/// Say yes to sessions that ask for it, so that they go on
///
/// Where a limit is reached, this allows as much again. A question that wants words is answered
/// with answer. With --all: every session that asks for yes or no.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    sessions: SessionArgs,
    /// Do not ask for the same again: a limit is lifted for the rest of the session; a host is
    /// added to agent.sandbox.allowHost, for all sessions to come
    #[arg(long)]
    always: bool,
}

/// Approves what each session asks.
///
/// # Errors
/// Told: one that was named is not found, or asks nothing that can be approved.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let verdict = if args.always { Verdict::Always } else { Verdict::Approved };
    let context = Context::open(ui)?;
    let nothing = "Nothing to approve: no session asks for yes or no";
    control::each(&context, &args.sessions, nothing, |session| {
        if args.sessions.all && !asks_to_decide(&session.state()?) {
            return Ok(false);
        }
        let id = &session.id;
        let woken = question::decide(&context, session, verdict, "")?;
        ui.narrate(&format!("Approved {id}, which {}", woken.words()));
        Ok(true)
    })
}

/// Whether a yes or a no is waited for.
pub(super) fn asks_to_decide(state: &crate::session::state::State) -> bool {
    state.phase == Phase::NeedsInput
        && state.question.as_ref().is_some_and(|asked| asked.kind.is_decision())
}
