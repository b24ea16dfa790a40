//! `git agent start`: a new session.
//!
//! Invariant: it ends with a whole session or with nothing.

use std::path::PathBuf;

/// Start a session on a task, in the background
///
/// Opens a branch, a linked worktree and a session, and returns; a supervisor works on in the
/// background until the task is done or a person is needed. Your own checkout is not touched.
#[derive(Debug, Default, clap::Args)]
#[command(after_long_help = "\
Examples:
  git agent start \"Add rate limiting to the login endpoint\" --verify \"cargo test\"
  git agent start -F task.md --base origin/main --branch feature/limits
  echo \"Fix the flaky test\" | git agent start - --wait && git agent worktree merge fix-the")]
pub struct Args {
    /// What is to be done; `-` reads it from standard input, nothing opens your editor
    #[arg(conflicts_with = "file")]
    pub task: Option<String>,
    /// Read the task from this file
    #[arg(short = 'F', long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The model, as provider/name (default: agent.model, else what keys and servers there are)
    #[arg(long, value_name = "PROVIDER/NAME")]
    pub model: Option<String>,
    /// Command that must exit 0 on the committed tree before the session is done (may be repeated)
    #[arg(long, value_name = "CMD")]
    pub verify: Vec<String>,
    /// Commit to start from
    #[arg(long, value_name = "REV", default_value = "HEAD", hide_default_value = false)]
    pub base: String,
    /// Branch to work on, made anew (default: agent/<name>)
    #[arg(long, value_name = "NAME")]
    pub branch: Option<String>,
    /// Name of the session's worktree folder (default: from the task)
    #[arg(long, value_name = "NAME")]
    pub worktree: Option<String>,
    /// Text that every commit's subject begins with, as in "feat(cart):"
    #[arg(long, value_name = "TEXT")]
    pub commit_prefix: Option<String>,
    /// When to commit on the branch
    #[arg(long, value_name = "WHEN")]
    pub commit_strategy: Option<String>,
    /// Give the model no way to ask; whatever needs a person pauses
    #[arg(long)]
    pub unattended: bool,
    /// Pause after this many steps
    #[arg(long, value_name = "N")]
    pub max_steps: Option<u32>,
    /// Wait for the end: exit 0 when done, 1 when failed, 3 when it needs a person
    #[arg(long, conflicts_with = "attach")]
    pub wait: bool,
    /// Follow the session's log until it rests; Ctrl-C leaves it running
    #[arg(long)]
    pub attach: bool,
    /// Say what would be started, and start nothing
    #[arg(long, conflicts_with_all = ["wait", "attach"])]
    pub dry_run: bool,
}

/// Starts a session.
///
/// # Errors
/// It cannot be started.
pub fn run(_ui: &crate::ui::Ui, _args: Args) -> crate::error::Result {
    Err(crate::error::CommandError::no("not here yet"))
}
