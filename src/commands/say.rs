//! `git agent say`: words for the agent, also the answer to its question.
//!
//! Invariant: a message is on disk before this returns, and is delivered once.

use std::path::PathBuf;

use clap::ValueHint;

use super::context::{Context, SessionArg};
use super::control::{self, Woken};
use super::message;
use crate::error::Result;
use crate::session::inbox::{Kind, When};
use crate::session::state::Phase;
use crate::session::store::SessionError;
use crate::ui::Ui;

/// What the editor shows.
const HELP: &str = "Write to the agent above. Lines that begin with # are left out;\n\
                    an empty message is not sent.";

/// Say something to the agent, or answer its question
///
/// The agent reads it with the results of the step that runs. A session that waits for an answer,
/// or has ended, goes on with it; one that was paused or stopped reads it when it is resumed.
/// Without a text your editor opens.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    session: SessionArg,
    /// Text; - reads standard input
    #[arg(value_name = "TEXT", conflicts_with = "file")]
    text: Vec<String>,
    /// Read the text from this file; - is standard input
    #[arg(short = 'F', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Deliver at once, cutting short what runs
    #[arg(long, conflicts_with = "after_turn")]
    now: bool,
    /// Deliver when the agent has finished what it is about
    #[arg(long)]
    after_turn: bool,
}

/// Sends the words, and wakes the session if it rests because of its own question or end.
///
/// # Errors
/// There is no such session or no text, or the session takes none any more.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let session = context.session(&args.session.session)?;
    let phase = session.state()?.phase;
    let source = message::Source { words: &args.text, file: args.file.as_deref(), help: HELP };
    // Refused before an editor opens in vain.
    if phase.is_final() {
        return Err(SessionError::Over { id: session.id, phase }.into());
    }
    let rests = matches!(phase, Phase::Paused | Phase::Stopped);
    if !rests && session.holder()?.is_none() {
        control::check_worktree(&session)?;
    }
    let text = message::read(&context.repo, &source)?;
    let when = match (args.now, args.after_turn) {
        (true, _) => When::Now,
        (_, true) => When::AfterTurn,
        _ => When::AfterStep,
    };
    let kind = match phase {
        Phase::NeedsInput => Kind::Answer { text },
        _ => Kind::Say { text, when },
    };
    control::send(&session, kind)?;
    let id = &session.id;
    match phase {
        Phase::Paused | Phase::Stopped => {
            ui.narrate(&format!("Told {id}, which is {phase} and reads it when resumed"));
            ui.hint(&format!("git agent resume {id}"));
        }
        Phase::Queued => ui.narrate(&format!("Told {id}, which is queued and reads it then")),
        Phase::NeedsInput => {
            let woken = control::wake(&context, &session)?;
            ui.narrate(&format!("Answered {id}, which {}", woken.words()));
        }
        phase => {
            let woken = control::wake(&context, &session)?;
            // Where it was not woken, the supervisor that was on its way out has heard it.
            if woken != Woken::Ran || !phase.needs_supervisor() {
                ui.narrate(&format!("Told {id}, which was {phase} and {}", woken.words()));
                return Ok(());
            }
            let at = match when {
                When::Now => "now",
                When::AfterStep => "after this step",
                When::AfterTurn => "after this turn",
            };
            ui.narrate(&format!("Told {id}, which reads it {at}"));
        }
    }
    Ok(())
}
