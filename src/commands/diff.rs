//! `git agent diff`: what a session has changed, shown by the user's own `git diff`.
//!
//! Invariant: pager, colours and diff settings are the user's; nothing is written.

use super::context::{Context, SessionArg};
use crate::error::Result;
use crate::mend;
use crate::session::worktree;
use crate::ui::Ui;

/// Show what a session has changed since its base
///
/// This is `git diff` with your own pager, colours and settings.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    session: SessionArg,
    /// Compare the worktree as it is now, changes without a commit included; without your external
    /// diff and textconv programs
    #[arg(short, long)]
    uncommitted: bool,
    /// Show a summary: files and counts of lines
    #[arg(long)]
    stat: bool,
    /// Show the names of changed files only
    #[arg(long)]
    name_only: bool,
    /// Further options and paths for git diff
    #[arg(last = true, value_name = "GIT_DIFF_ARGS")]
    rest: Vec<String>,
}

/// `git diff` among files of the agent's: it enters no repository below, and runs no program that a
/// relative path could make one of those files. What it learns of the files it does not write into
/// the index: that runs a hook, and needs a lock that the supervisor may need.
const IN_WORKTREE: [&str; 12] = [
    "--no-optional-locks",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "submodule.recurse=false",
    "diff",
    "--no-ext-diff",
    "--no-textconv",
    "--submodule=short",
    "--ignore-submodules=dirty",
];

/// Hands over to `git diff`.
///
/// # Errors
/// There is no such session, its commits or its worktree are gone, or git fails.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let session = context.session(&args.session.session)?;
    let spec = &session.spec;
    let flags = [(args.stat, "--stat"), (args.name_only, "--name-only")];
    let flags = flags.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag);
    let (git, range) = if args.uncommitted {
        let path = match spec.worktree.exists() {
            true => spec.worktree.clone(),
            false => mend::worktree::found(&context.repo, &session)?.spec.worktree,
        };
        let worktree = worktree::open(&context.repo, &path)?;
        worktree.check_filters(&path)?;
        (worktree.user_git().args(IN_WORKTREE), vec![spec.base.commit.clone()])
    } else {
        let head = session.state()?.head.unwrap_or_else(|| spec.base.commit.clone());
        (context.repo.user_git_in_main().arg("diff"), vec![spec.base.commit.clone(), head])
    };
    let cmd = git.args(flags).args(range).args(&args.rest);
    // Replaced by git, so that a Ctrl-C in the pager is the pager's alone.
    Err(cmd.exec().into())
}
