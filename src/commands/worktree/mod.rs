//! `git agent worktree`: the worktrees of sessions, by the sessions' names.
//!
//! Invariant: they are ordinary worktrees; git shows and knows them too.

mod how;
mod landing;
pub mod list;
pub mod merge;
mod pathspec;
pub mod pick;
pub mod remove;
pub mod restore;
pub mod switch;

use clap::Subcommand;

use super::compare;
use crate::error::Result;
use crate::ui::Ui;

/// Work with the worktrees of sessions
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(visible_alias = "ls")]
    List(list::Args),
    Switch(switch::Args),
    Compare(compare::Args),
    Merge(merge::Args),
    #[command(visible_alias = "rm")]
    Remove(remove::Args),
    Restore(restore::Args),
}

/// Runs the verb.
///
/// # Errors
/// As the verb's own.
pub fn run(ui: &Ui, args: &Args) -> Result {
    match &args.verb {
        Verb::List(args) => list::run(ui, args),
        Verb::Switch(args) => switch::run(ui, args),
        Verb::Compare(args) => compare::run(ui, args),
        Verb::Merge(args) => merge::run(ui, args),
        Verb::Remove(args) => remove::run(ui, args),
        Verb::Restore(args) => restore::run(ui, args),
    }
}
