//! `git agent say`: words for the agent, also the answer to its question.
//!
//! Invariant: a message is on disk before this returns, and is delivered once.

use std::path::PathBuf;

use clap::ValueHint;

use super::context::Context;
use super::control::{self, Woken};
use super::several::Several;
use super::{message, question};
use crate::error::Result;
use crate::event::QuestionKind;
use crate::session::asked::Asked;
use crate::session::inbox::{Kind, When};
use crate::session::state::Phase;
use crate::session::store::{Session, SessionError};
use crate::ui::Ui;

/// What the editor shows.
const HELP: &str = "Write to the agent above. Lines that begin with # are left out;\n\
                    an empty message is not sent.";

/// Say something to agents, or answer a question
///
/// An agent reads it with the results of the step that runs. A session that waits for an answer in
/// words, or has ended, goes on with it; one that was paused or stopped reads it when it is
/// resumed. Without a text your editor opens. With --all: every session that works or has more to
/// do; no question is answered then, and none that has ended is woken.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  git agent say fix-flaky \"Postgres 15\"
  git agent say -s fix-flaky -s docs --now \"Use tabs\"
  git agent say --all --after-turn \"Then run the linter\"")]
pub struct Args {
    #[command(flatten)]
    several: Several,
    /// Text; - reads standard input
    #[arg(value_name = "TEXT", conflicts_with = "file")]
    text: Vec<String>,
    /// Read the text from this file; - is standard input
    #[arg(short = 'F', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Deliver at once: an answer that comes in is cut short and kept, a tool is not
    #[arg(long, group = "when")]
    now: bool,
    /// Deliver with the results of the step that runs (the default)
    #[arg(long, group = "when")]
    after_step: bool,
    /// Deliver when the agent has finished what it is about
    #[arg(long, group = "when")]
    after_turn: bool,
}

/// Sends the words, and wakes a session that rests because of its own question or end.
///
/// # Errors
/// There is no text; or, told, one of the sessions is not found or takes no words any more.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let (sessions, words) = args.several.split(&args.text);
    // Refused before an editor opens in vain.
    if let [given] = sessions.sessions.as_slice() {
        check(&context, &context.session(given)?)?;
    }
    let source = message::Source { words: &words, file: args.file.as_deref(), help: HELP };
    let text = message::read(&context, &source)?;
    let when = match (args.now, args.after_turn) {
        (true, _) => When::Now,
        (_, true) => When::AfterTurn,
        _ => When::AfterStep,
    };
    control::each(&context, &sessions, "Nobody to tell: every session has ended", |session| {
        if !sessions.all {
            check(&context, session)?;
            return say(&context, session, &text, when).map(|()| true);
        }
        let phase = session.state()?.phase;
        let has_more_to_do =
            phase.needs_supervisor() || matches!(phase, Phase::Paused | Phase::NeedsInput);
        if has_more_to_do {
            tell(&context, session, phase, &text, when)?;
        }
        Ok(has_more_to_do)
    })
}

/// Refuses where nobody would ever hear.
fn check(context: &Context<'_>, session: &Session) -> Result {
    let phase = session.state()?.phase;
    if phase.is_final() {
        return Err(SessionError::Over { id: session.id.clone(), phase }.into());
    }
    let rests = matches!(phase, Phase::Paused | Phase::Stopped);
    if !rests && session.holder()?.is_none() {
        control::check_worktree(context, session)?;
    }
    Ok(())
}

/// Says it, as the answer where one in words is waited for.
fn say(context: &Context<'_>, session: &Session, text: &str, when: When) -> Result {
    let phase = session.state()?.phase;
    let asked = Asked::of(session)?.filter(|asked| !asked.question().kind.is_decision());
    let Some(asked) = asked else { return tell(context, session, phase, text, when) };
    let id = &session.id;
    let is_key = asked.question().kind == QuestionKind::Key;
    asked.answer(text.to_owned())?;
    let woken = control::wake(context, session)?;
    let done = if is_key { "Told" } else { "Answered" };
    context.ui.narrate(&format!("{done} {id}, which {}", woken.words()));
    Ok(())
}

/// Says it, and no question is answered by it.
fn tell(context: &Context<'_>, session: &Session, phase: Phase, text: &str, when: When) -> Result {
    let (id, ui) = (&session.id, context.ui);
    control::send(session, Kind::Say { text: text.to_owned(), when })?;
    match phase {
        Phase::Paused | Phase::Stopped => {
            ui.narrate(&format!("Told {id}, which is {phase} and reads it when resumed"));
            ui.hint(&format!("git agent resume {id}"));
        }
        Phase::NeedsInput if session.state()?.phase == phase => {
            ui.narrate(&format!("Told {id}, which reads it once its question is answered"));
            ui.hint(&question::how(id, session.state()?.question.as_ref()));
        }
        Phase::Queued => ui.narrate(&format!("Told {id}, which is queued and reads it then")),
        phase => {
            let woken = control::wake(context, session)?;
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
