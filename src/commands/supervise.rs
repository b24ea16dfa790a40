//! `git agent supervise`: hidden; what `start` and `resume` run in the background.
//!
//! Invariant: it is started by [`crate::queue`] alone, in slots of its own.

use std::path::PathBuf;

use crate::error::Result;
use crate::git::Repo;
use crate::ui::trace;

/// Run one session until it rests
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Git dir that all worktrees share
    #[arg(value_name = "COMMON_DIR")]
    common_dir: PathBuf,
    /// Session, by its whole id
    #[arg(value_name = "ID")]
    id: String,
}

/// Runs the session.
///
/// # Errors
/// It is run by somebody else, or cannot be run at all.
pub fn run(args: &Args) -> Result {
    // Its stderr is the session's own log. A bad setting was refused by `start`, and what is set
    // since must not keep a session from going on.
    let config = Repo::open(&args.common_dir).map(|repo| repo.usable_config().0);
    let level = config.unwrap_or_default().log_level;
    trace::start(level.name());
    Ok(crate::supervise::run(&args.common_dir, &args.id)?)
}
