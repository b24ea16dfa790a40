//! `git agent attach`: a session live, until it rests.
//!
//! Invariant: Ctrl-C leaves the view, never the session.

use super::context::{Context, SessionArg};
use super::follow::{self, Form};
use crate::error::Result;
use crate::ui::Ui;

/// Follow a session live until it rests; Ctrl-C leaves only the view
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    session: SessionArg,
    /// Show only what happens from now on
    #[arg(long)]
    new: bool,
}

/// Shows the past, then the present, until the session rests.
///
/// # Errors
/// There is no such session, or it rests for another reason than that it is done.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    context.warn_of_setting();
    let session = context.session(&args.session.session)?;
    let mut form = Form::lines(ui);
    let from = if args.new {
        fs_err::metadata(session.journal_path())?.len()
    } else {
        follow::past(ui, &session, &mut form)?
    };
    let state = follow::until_it_rests(&context, &session, from, &mut form)?;
    follow::outcome(ui, &session, &state)
}
