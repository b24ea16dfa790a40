//! `git agent guard`: the companion that ends a session's tools when its supervisor was killed.
//!
//! Invariant: it does nothing until its standard input ends.

use crate::error::Result;
use crate::process::guard;

/// End the tools of a session whose supervisor has gone; for the program's own use
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs until the supervisor has gone.
///
/// # Errors
/// Never: there is nobody left to tell.
pub fn run(_: &Args) -> Result {
    guard::watch(std::io::stdin().lock());
    Ok(())
}
