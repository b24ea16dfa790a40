//! `git agent resume`: a session that rests goes on from where it was.
//!
//! Invariant: a session has one supervisor; one that runs is left alone.

use super::context::Context;
use super::limits::LimitArgs;
use super::{complete, control, question};
use crate::error::{CommandError, Result};
use crate::event::{Limit, QuestionKind};
use crate::session::inbox::Kind;
use crate::session::state::{Phase, State};
use crate::session::store::Session;
use crate::ui::Ui;

/// Let sessions go on that are paused, interrupted, failed or stopped
///
/// The journal is replayed against the repository first: a step that was cut short is told to the
/// agent as such, and nothing is run twice. A limit that is given holds from now on, for all that
/// the session has used and will use.
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
    /// Resume every session that is paused or interrupted
    #[arg(long, conflicts_with = "sessions")]
    all: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Starts a supervisor for each session that rests.
///
/// # Errors
/// One that was named is not found, is over, or waits for an answer; or no process can be started.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let mut woken = false;
    for session in control::chosen(&context, &args.sessions, args.all)? {
        let id = &session.id;
        let state = session.state()?;
        let phase = state.phase;
        let is_meant = matches!(phase, Phase::Paused | Phase::Interrupted);
        if is_meant || !args.all {
            check_limits(&session, &state, &args.limits)?;
        }
        match phase {
            _ if args.all && !is_meant => {}
            Phase::Done => {
                return Err(CommandError::no(format!("{id} is done"))
                    .hint(format!("git agent say {id} \"…\" gives it more to do")));
            }
            // Where it is not the model that asks (a key was refused, say), it may be mended by now.
            Phase::NeedsInput if waits_for_an_answer(&state, &args.limits) => {
                return Err(CommandError::no(format!("{id} waits for an answer"))
                    .hint(question::how(id, state.question.as_ref())));
            }
            Phase::Landed | Phase::Archived => {
                return Err(CommandError::no(format!("{id} is {phase} and can't go on"))
                    .hint("git agent start \"…\" begins another"));
            }
            _ if set_limits(&session, &args.limits)? && control::wake(&context, &session)? => {
                woken = true;
                ui.narrate(&format!("Resumed {id}, which was {phase}"));
                ui.hint(&format!("git agent attach {id}"));
            }
            _ => ui.narrate(&format!("Nothing to resume: {id} {}", control::standing(phase))),
        }
    }
    if args.all && !woken {
        ui.narrate("Nothing to resume: no session is paused or interrupted");
    }
    Ok(())
}

/// Whether somebody has to say something first. What asks for a key may go on once it is mended; a
/// limit that is set anew is no question any more.
fn waits_for_an_answer(state: &State, limits: &LimitArgs) -> bool {
    state.question.as_ref().is_some_and(|asked| match (asked.kind, asked.limit) {
        (QuestionKind::Key, _) => false,
        (QuestionKind::Limit, Some(limit)) => limits.of(limit).is_none(),
        _ => true,
    })
}

/// Refuses limits that cannot be set.
fn check_limits(session: &Session, state: &State, limits: &LimitArgs) -> Result {
    let id = &session.id;
    if limits.given().next().is_none() {
        return Ok(());
    }
    if state.phase.needs_supervisor() {
        return Err(CommandError::no(format!(
            "{id} is {}; limits are set while it rests",
            state.phase
        ))
        .hint(format!("git agent pause {id}")));
    }
    if let (Some(name), Some(_)) = (&session.spec.share_budget, limits.of(Limit::Budget)) {
        let message = format!("{id} shares the budget {name}, which cannot be set for it alone");
        return Err(
            CommandError::usage(message).hint("git agent approve raises it when it is spent")
        );
    }
    limits.check(id, state)
}

/// Leaves the limits for who runs the session next; true, so that it can go on.
fn set_limits(session: &Session, limits: &LimitArgs) -> Result<bool> {
    for (limit, to) in limits.given() {
        session.send(Kind::Limit { limit, to })?;
    }
    Ok(true)
}
