//! `git agent answer`: the answer to what the agent asks.
//!
//! Invariant: a question is answered once, and by words that were meant for it.

use std::path::PathBuf;

use clap::ValueHint;

use super::context::{Context, SessionArg};
use super::{control, message, question};
use crate::error::{CommandError, Result};
use crate::event::QuestionKind;
use crate::ui::Ui;

/// What the editor shows above the question.
const HELP: &str = "Write the answer above. Lines that begin with # are left out;\n\
                    an empty answer is not sent. The question is:\n\n";

/// Answer the question of an agent
///
/// Only for a session that waits for an answer in words; say is for everything else. Without a
/// text your editor opens.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    session: SessionArg,
    /// Answer; - reads standard input
    #[arg(value_name = "TEXT", conflicts_with = "file")]
    text: Vec<String>,
    /// Read the answer from this file; - is standard input
    #[arg(short = 'F', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
}

/// Sends the answer, and lets the session go on.
///
/// # Errors
/// There is no such session or no text, or it asks nothing, or for yes or no.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let session = context.session(&args.session.session)?;
    let id = &session.id;
    // Refused before an editor opens in vain; while it is open others may answer.
    let seen = question::take(&session, QuestionKind::is_for_words)?.question().clone();
    control::check_worktree(&session)?;
    let help = format!("{HELP}{}", seen.text);
    let source = message::Source { words: &args.text, file: args.file.as_deref(), help: &help };
    let text = message::read(&context, &source)?;
    let asked = question::take(&session, QuestionKind::is_for_words)?;
    if asked.question().number != seen.number {
        return Err(CommandError::no(format!("{id} asks something else by now"))
            .hint(format!("git agent status {id}")));
    }
    asked.answer(text)?;
    let woken = control::wake(&context, &session)?;
    ui.narrate(&format!("Answered {id}, which {}", woken.words()));
    Ok(())
}
