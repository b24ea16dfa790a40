//! `git agent log`: what a session has done, event by event.
//!
//! Invariant: the journal is only read.

use std::path::PathBuf;

use clap::ValueHint;

use super::context::{Context, SessionArg};
use super::follow::{self, Form};
use crate::error::{CommandError, Result, ResultExt};
use crate::event::Update;
use crate::event::line::Line;
use crate::file;
use crate::session::journal;
use crate::session::store::Session;
use crate::ui::{Ui, units};

/// Show what a session has done, event by event
///
/// With -v also the model's reasoning and the whole outputs.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    session: SessionArg,
    /// Go on until the session rests
    #[arg(short, long)]
    follow: bool,
    /// Print the events as JSON, one a line
    #[arg(long)]
    json: bool,
    /// Write a transcript that --model replay/FILE plays again, and print nothing
    ///
    /// It holds what the model answered and none of what your repository gave it: no results of
    /// tools. Read it through before you give it away: answers quote code too.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["follow", "json"])]
    record: Option<PathBuf>,
}

/// Prints the journal.
///
/// # Errors
/// There is no such session, or its journal cannot be read.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    context.warn_of_setting();
    let session = context.session(&args.session.session)?;
    if let Some(path) = &args.record {
        return record(ui, &session, path);
    }
    let mut form = if args.json { Form::Json } else { Form::lines(ui) };
    let read = follow::past(ui, &session, &mut form)?;
    if args.follow {
        follow::until_it_rests(&context, &session, read, &mut form)?;
    }
    Ok(())
}

/// The model's answers that count, in order: all that the replay model needs.
fn record(ui: &Ui, session: &Session, path: &std::path::Path) -> Result {
    let mut transcript = String::new();
    let mut answers = 0;
    let events = journal::events(&session.journal_path())?;
    for event in Line::of(&events).events() {
        if let Update::AgentMessage(_) = event.update {
            transcript.push_str(&event.to_line()?);
            transcript.push('\n');
            answers += 1;
        }
    }
    if answers == 0 {
        let message =
            format!("{} has no answer of a model yet, so there is nothing to record", session.id);
        return Err(CommandError::no(message));
    }
    file::replace(path, transcript.as_bytes())
        .while_doing(&format!("cannot write {}", path.display()))
        .hint("--record takes a file in a folder that is there, and that you may write to")?;
    ui.narrate(&format!("Wrote {} to {}", units::counted(answers, "answer"), path.display()));
    ui.hint(&format!("git agent start --model replay/{} \"…\"", path.display()));
    Ok(())
}
