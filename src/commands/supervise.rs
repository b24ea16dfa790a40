//! `git agent supervise`: hidden; what `start` and `resume` run in the background.
//!
//! Invariant: it is started by [`crate::supervise::spawn`] alone.

use crate::error::Result;
use crate::ui::Ui;

/// Run one session to its rest
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Session, by its whole id
    #[arg(value_name = "ID")]
    id: String,
}

/// Runs the session.
///
/// # Errors
/// It is run by somebody else, or cannot be run at all.
pub fn run(_ui: &Ui, args: &Args) -> Result {
    let here = std::env::current_dir()?;
    Ok(crate::supervise::run(&here, &args.id)?)
}
