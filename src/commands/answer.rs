//! `git agent answer`: the answer to what agents ask.
//!
//! Invariant: a question is answered once, and by words that were meant for it.

use std::path::PathBuf;

use clap::ValueHint;

use super::context::Context;
use super::several::Several;
use super::{control, message, question};
use crate::error::{CommandError, Result};
use crate::event::{Question, QuestionKind};
use crate::session::state::{Phase, State};
use crate::session::store::Session;
use crate::ui::Ui;

/// What the editor shows above the questions.
const HELP: &str = "Write the answer above. Lines that begin with # are left out;\n\
                    an empty answer is not sent. What is asked:\n";

/// Answer the questions of agents
///
/// Only for sessions that wait for an answer in words; say is for everything else. Without a text
/// your editor opens. With --all: every session that asks for words.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  git agent answer fix-flaky \"Postgres 15\"
  git agent answer -s fix-flaky -s docs \"Do as you think best\"
  git agent answer --all -F rules.txt")]
pub struct Args {
    #[command(flatten)]
    several: Several,
    /// Answer; - reads standard input
    #[arg(value_name = "TEXT", conflicts_with = "file")]
    text: Vec<String>,
    /// Read the answer from this file; - is standard input
    #[arg(short = 'F', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
}

/// Sends the answer, and lets the sessions go on.
///
/// # Errors
/// There is no text; or, told, one of the sessions is not found, asks nothing, or for yes or no.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let (sessions, words) = args.several.split(&args.text);
    // Refused before an editor opens in vain; while it is open others may answer.
    let mut seen: Vec<(Session, Question)> = Vec::new();
    let nothing = "Nothing to answer: no session asks for words";
    let refused = control::each(&context, &sessions, nothing, |session| {
        if sessions.all && !asks_for_words(&session.state()?) {
            return Ok(false);
        }
        let asked = question::take(session, QuestionKind::is_for_words)?.question().clone();
        control::check_worktree(&context, session)?;
        seen.push((session.clone(), asked));
        Ok(true)
    });
    if seen.is_empty() {
        return refused;
    }
    let asked = seen.iter().map(|(session, asked)| format!("\n{}: {}", session.id, asked.text));
    let help = HELP.to_owned() + &asked.collect::<String>();
    let source = message::Source { words: &words, file: args.file.as_deref(), help: &help };
    let text = message::read(&context, &source)?;
    let answered = seen.iter().map(|(session, asked)| answer(&context, session, asked, &text));
    control::told(ui, answered.chain([refused]))
}

/// Answers what was seen to be asked.
fn answer(context: &Context<'_>, session: &Session, seen: &Question, text: &str) -> Result {
    let id = &session.id;
    let asked = question::take(session, QuestionKind::is_for_words)?;
    if asked.question().number != seen.number {
        return Err(CommandError::no(format!("{id} asks something else by now"))
            .hint(format!("git agent status {id}")));
    }
    asked.answer(text.to_owned())?;
    let woken = control::wake(context, session)?;
    context.ui.narrate(&format!("Answered {id}, which {}", woken.words()));
    Ok(())
}

fn asks_for_words(state: &State) -> bool {
    state.phase == Phase::NeedsInput
        && state.question.as_ref().is_some_and(|asked| asked.kind.is_for_words())
}
