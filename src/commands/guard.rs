//! `git agent guard`: the companion that ends a session's tools when its supervisor was killed.
//!
//! Invariant: it does nothing until its standard input ends.

use std::path::PathBuf;

use crate::error::Result;
use crate::process::guard;
use crate::queue;
use crate::sandbox;

/// End the tools of a session whose supervisor has gone; for the program's own use
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Git dir of the session, whose slot is free then
    #[arg(value_name = "COMMON_DIR")]
    common_dir: PathBuf,
}

/// Runs until the supervisor has gone, and starts the next session in its place.
///
/// # Errors
/// Never: there is nobody left to tell.
pub fn run(args: &Args) -> Result {
    // It starts the next session, with the keys for that in its environment.
    if let Err(error) = sandbox::hide_process() {
        tracing::warn!(%error, "other processes of this user can read the keys");
    }
    guard::watch(std::io::stdin().lock());
    // There is nobody to tell of a setting that makes no sense.
    drop(queue::look(&args.common_dir));
    Ok(())
}
