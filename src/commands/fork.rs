//! `git agent fork`: a new session that shares the past of another.
//!
//! Invariant: the other session is only read; the fork ends with a whole session or with nothing.

use std::path::PathBuf;

use clap::ValueHint;
use clap::builder::NonEmptyStringValueParser;

use super::context::{Context, SessionArg};
use super::control::{self, Woken};
use super::message;
use super::rewind;
use super::start::{layout, tell_included};
use super::view;
use crate::agent::Conversation;
use crate::error::Result;
use crate::session::create::{self, Created, Request};
use crate::session::fork::Past;
use crate::session::inbox::{Kind, When};
use crate::session::spec::Spec;
use crate::session::store::Session;
use crate::session::worktree::{Place, Wish};
use crate::ui::Ui;

/// Begin a new session that shares the past of another
///
/// It has a branch and a worktree of its own, remembers all that the other had said and done by
/// the end of that step, and pays for itself alone. With a message it goes on from there at once;
/// without one it waits, paused. The other session may run, rest or have landed.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  git agent fork fix-login --at 3 \"Try it with SQLite instead\"
  git agent fork fix-login")]
pub struct Args {
    #[command(flatten)]
    session: SessionArg,
    /// What it is told first; `-` reads it from standard input
    #[arg(value_name = "MESSAGE", conflicts_with = "file")]
    message: Vec<String>,
    /// Read the message from this file
    #[arg(short = 'F', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// The last step both share (default: the last that is finished)
    #[arg(long, value_name = "STEP", value_parser = rewind::step, allow_negative_numbers = true)]
    at: Option<u32>,
    /// Branch to work on, made anew (default: agent/NAME)
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    branch: Option<String>,
    /// Name of the worktree folder (default: from the other's name)
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    worktree: Option<String>,
}

/// Forks a session.
///
/// # Errors
/// There is no such session or step, or the new one cannot be made; nothing is left of it then.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let session = context.session(&args.session.session)?;
    let config = context.config()?;
    let said = match (args.message.as_slice(), &args.file) {
        ([], None) => None,
        (words, file) => {
            let source = message::Source { words, file: file.as_deref(), help: "" };
            Some(message::read(&context, &source)?)
        }
    };
    let past = Past::of(&context.repo, &session, args.at)?;
    let layout = layout(&config);
    let program = std::env::current_exe()?;
    let request = Request {
        wish: Wish {
            slug: &session.spec.name,
            name: args.worktree.as_deref(),
            branch: args.branch.as_deref(),
        },
        layout: &layout,
        base: past.head(),
        past: Some(&past),
        setup: create::setup(&config, &program),
        min_free_disk: config.min_free_disk,
    };
    let spec = |place: &Place| spec(&context, &session, &past, place);
    let created = create::create(&context.repo, &context.store, &request, spec)?;
    tell(ui, &session, &past, &created)?;
    let fork = &created.session;
    let Some(text) = said else {
        ui.hint(&format!("git agent say {id} \"…\"    git agent resume {id}", id = fork.id));
        return Ok(());
    };
    // The first words after a question are its answer.
    let conversation = Conversation::replay(&past.events);
    let kind = match conversation.asked().is_some_and(|asked| asked.kind.is_for_words()) {
        true => Kind::Answer { text, question: None },
        false => Kind::Say { text, when: When::AfterStep },
    };
    fork.send(kind)?;
    if let woken @ Woken::Waits(_) = control::wake(&context, fork)? {
        ui.narrate(&format!("  {}", woken.words()));
    }
    ui.hint(&format!("git agent log -f {id}    git agent status {id}", id = fork.id));
    Ok(())
}

/// As the other was asked, but for its place.
fn spec(context: &Context<'_>, session: &Session, past: &Past, place: &Place) -> Spec {
    Spec {
        id: place.id.clone(),
        name: place.name.clone(),
        created: context.now,
        branch: place.branch.clone(),
        worktree: place.path.clone(),
        forked_from: Some(past.origin.clone()),
        ..session.spec.clone()
    }
}

fn tell(ui: &Ui, session: &Session, past: &Past, created: &Created) -> Result {
    let Session { id, spec, .. } = &created.session;
    let (branch, worktree) = (spec.branch_name(), view::from_here(&spec.worktree));
    let at = match past.origin.step {
        0 => "its start".to_owned(),
        step => format!("step {step}"),
    };
    ui.answer(&format!(
        "Forked {} at {at} as {id}  (branch {branch}, worktree {worktree})",
        session.id
    ))?;
    tell_included(ui, created);
    Ok(())
}
