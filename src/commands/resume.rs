//! `git agent resume`: a session that rests goes on from where it was.
//!
//! Invariant: a session has one supervisor; one that runs is left alone.

use super::context::Context;
use super::{complete, control};
use crate::error::{CommandError, Result};
use crate::mend::worktree;
use crate::session::state::Phase;
use crate::session::store::Session;
use crate::ui::Ui;

/// Let sessions go on that are paused, interrupted, failed or stopped
///
/// The journal is replayed against the repository first: a step that was cut short is told to the
/// agent as such, and nothing is run twice. A worktree or branch that was deleted is made again
/// from the session's ref; what you committed or edited there stays, and the agent is told of it.
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
        match phase {
            _ if args.all && !is_meant => {}
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
            _ if wake(&context, &session)? => {
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

/// As [`control::wake`], with the worktree brought back where it was deleted.
fn wake(context: &Context<'_>, session: &Session) -> Result<bool> {
    if !control::is_run(session)?
        && let Some(restored) = worktree::bring_back(&context.repo, session)?
    {
        let path = restored.path.display();
        context.ui.narrate(&format!("Restored the worktree of {} at {path}", session.id));
    }
    control::wake(context, session)
}
