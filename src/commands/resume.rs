//! `git agent resume`: a session that rests goes on from where it was.
//!
//! Invariant: a session has one supervisor; one that runs is left alone.

use super::context::Context;
use super::control::{self, SessionArgs, Woken};
use crate::error::{CommandError, Result};
use crate::mend::worktree;
use crate::session::state::Phase;
use crate::session::store::Session;
use crate::ui::{Ui, card};

/// Let sessions go on that are paused, interrupted, failed or stopped
///
/// The journal is replayed against the repository first: a step that was cut short is told to the
/// agent as such, and nothing is run twice. A worktree or branch that was deleted is made again
/// from the session's ref; what you committed or edited there stays, and the agent is told of it.
/// Where as many run as may, it waits for its turn. With --all: every session that is paused or
/// interrupted.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    sessions: SessionArgs,
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
        resume(&context, session, args.sessions.all)
    })
}

fn resume(context: &Context<'_>, session: &Session, is_one_of_all: bool) -> Result<bool> {
    let id = &session.id;
    let state = session.state()?;
    let phase = state.phase;
    if is_one_of_all && !matches!(phase, Phase::Paused | Phase::Interrupted) {
        return Ok(false);
    }
    let woken = match phase {
        Phase::Done => {
            return Err(CommandError::no(format!("{id} is done"))
                .hint(format!("git agent say {id} \"…\" gives it more to do")));
        }
        // Where it is not the model that asks (a key was refused, say), it may be mended by now.
        Phase::NeedsInput if state.question.is_some_and(|it| it.call_id.is_some()) => {
            return Err(CommandError::no(format!("{id} waits for an answer"))
                .hint(format!("git agent say {id} \"…\"")));
        }
        Phase::Landed | Phase::Archived => {
            return Err(CommandError::no(format!("{id} is {phase} and can't go on"))
                .hint("git agent start \"…\" begins another"));
        }
        // From now on it waits with the keys and settings of this shell.
        Phase::Queued if control::waits(session)? => control::queue_up(context, session, None)?,
        _ => wake(context, session)?,
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
            context.ui.narrate(&format!("Queued {id}, which was {phase}: {place}"));
            context.ui.hint(&format!("git agent reprioritize high {id}"));
        }
    }
    Ok(true)
}

/// As [`control::wake`], with the worktree brought back where it was deleted.
fn wake(context: &Context<'_>, session: &Session) -> Result<Woken> {
    if !control::is_run(session)?
        && let Some(restored) = worktree::bring_back(&context.repo, session)?
    {
        let path = restored.path.display();
        context.ui.narrate(&format!("Restored the worktree of {} at {path}", session.id));
    }
    control::wake(context, session)
}
