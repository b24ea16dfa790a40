//! `git agent worktree switch`: the folder of a session's worktree.
//!
//! Invariant: stdout is the path and nothing else, for `cd "$(…)"` and the shell function.

use std::os::unix::ffi::OsStrExt;

use crate::commands::context::{Context, SessionArg};
use crate::error::{CommandError, Result};
use crate::ui::Ui;

/// Print the folder of a session's worktree
///
/// A program cannot change the folder of your shell: the function that `git agent setup --shell`
/// prints does it with this.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    session: SessionArg,
}

/// Prints the path.
///
/// # Errors
/// There is no such session, or its worktree is gone.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let session = context.session(&args.session.session)?;
    let path = &session.spec.worktree;
    if !path.is_dir() {
        let message = format!("the worktree of {} is gone: {}", session.id, path.display());
        return Err(
            CommandError::no(message).hint(format!("git agent worktree restore {}", session.id))
        );
    }
    let mut line = path.as_os_str().as_bytes().to_vec();
    line.push(b'\n');
    Ok(ui.answer_bytes(&line)?)
}
