//! `git agent resume`: a session that rests goes on from where it was.
//!
//! Invariant: a session has one supervisor; one that runs is left alone.

use super::context::Context;
use super::control::{self, SessionArgs, Woken};
use super::limits::LimitArgs;
use super::question;
use crate::error::{CommandError, Result};
use crate::event::{Limit, QuestionKind};
use crate::mend::worktree::{self, Mended};
use crate::policy::Policy;
use crate::session::allowed;
use crate::session::inbox::Kind;
use crate::session::state::{Phase, State};
use crate::session::store::Session;
use crate::ui::{Ui, card};

/// Let sessions go on that are paused, interrupted, failed or stopped
///
/// The journal is replayed against the repository first: a step that was cut short is told to the
/// agent as such, and nothing is run twice. A worktree or branch that was deleted is made again
/// from the session's ref; one that you moved or renamed by git's own means is followed; what you committed or edited there stays, and the agent is told of it.
/// Where as many run as may, it waits for its turn. A limit that is given holds from now on, for
/// all that the session has used and will use. With --all: every session that is paused or
/// interrupted.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    sessions: SessionArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Queues up each session that rests.
///
/// # Errors
/// Told: one that was named is not found, is over, or waits for an answer; or no process can be
/// started.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let nothing = "Nothing to resume: no session is paused or interrupted";
    control::each(&context, &args.sessions, nothing, |session| {
        resume(&context, session, &args.limits, args.sessions.all)
    })
}

fn resume(
    context: &Context<'_>,
    session: &Session,
    limits: &LimitArgs,
    is_one_of_all: bool,
) -> Result<bool> {
    let id = &session.id;
    let state = session.state()?;
    let phase = state.phase;
    if is_one_of_all && !matches!(phase, Phase::Paused | Phase::Interrupted) {
        return Ok(false);
    }
    check_limits(session, &state, limits)?;
    let woken = match phase {
        Phase::Done => {
            return Err(CommandError::no(format!("{id} is done"))
                .hint(format!("git agent say {id} \"…\" gives it more to do")));
        }
        // Where it is not the model that asks (a key was refused, say), it may be mended by now.
        Phase::NeedsInput if waits_for_an_answer(&state, limits) => {
            return Err(CommandError::no(format!("{id} waits for an answer"))
                .hint(question::how(id, state.question.as_ref())));
        }
        Phase::Landed | Phase::Archived => {
            return Err(CommandError::no(format!("{id} is {phase} and can't go on"))
                .hint("git agent start \"…\" begins another"));
        }
        // From now on it waits with the keys and settings of this shell.
        Phase::Queued if control::waits(session)? => control::queue_up(context, session, None)?,
        _ => {
            if !control::is_run(session)? {
                prepare(context, session)?;
            }
            set_limits(session, limits)?;
            control::wake(context, session)?
        }
    };
    match woken {
        Woken::Ran => {
            context.ui.narrate(&format!("Nothing to resume: {id} {}", control::standing(phase)));
            return Ok(false);
        }
        Woken::GoesOn => {
            context.ui.narrate(&format!("Resumed {id}, which was {phase}"));
            context.ui.hint(&format!("git agent attach {id}"));
        }
        Woken::Waits(place) => {
            let place = card::place(&place);
            context.ui.narrate(&match phase {
                Phase::Queued => format!("Queued {id} again: {place}"),
                _ => format!("Queued {id}, which was {phase}: {place}"),
            });
            context.ui.hint(&format!("git agent reprioritize high {id}"));
        }
    }
    Ok(true)
}

/// Makes sure that it can go on in its worktree, which is brought back where it was deleted.
fn prepare(context: &Context<'_>, session: &Session) -> Result {
    match worktree::bring_back(&context.repo, session)? {
        None => {}
        Some(Mended::Restored(restored)) => {
            let path = restored.path.display();
            context.ui.narrate(&format!("Restored the worktree of {} at {path}", session.id));
        }
        Some(Mended::Followed(said)) => control::tell_followed(context, session, &said),
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
    if let Some(policy) = Policy::of_machine()? {
        let mut wished = state.limits.unwrap_or(session.spec.limits);
        for (limit, to) in limits.given() {
            wished.set(limit, to);
        }
        policy.check_limits(allowed::caps(&wished))?;
    }
    limits.check(&session.spec, state)
}

/// Leaves the limits for who runs the session next.
fn set_limits(session: &Session, limits: &LimitArgs) -> Result {
    for (limit, to) in limits.given() {
        session.send(Kind::Limit { limit, to })?;
    }
    Ok(())
}
