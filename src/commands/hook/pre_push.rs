//! Before a push: agents' commits in it are judged.
//!
//! Invariant: a push without any is let through after one look at its new commits, whatever the
//! settings say; one with some is let through only by the judges.

use std::ffi::OsString;

use super::super::check::verdict;
use super::super::context;
use crate::check::push::range::{self, Destination, Pushed};
use crate::check::push::{Judge, Report};
use crate::config::Config;
use crate::error::{CommandError, Result, ResultExt};
use crate::git::Repo;
use crate::session::store::Store;
use crate::ui::{Ui, findings, units};

/// Judges what is pushed; `input` has a line for each ref.
///
/// # Errors
/// Something is wrong with an agent's commit, or the judges could not do their work.
pub(super) fn run(ui: &Ui, args: &[OsString], input: &str) -> Result {
    let pushed = Pushed::parse(input)?;
    if pushed.iter().all(|line| line.new.is_none()) {
        return Ok(());
    }
    let (name, url) = (super::argument(args, 0)?, super::argument(args, 1)?);
    let (name, url) = (name.to_string_lossy(), url.to_string_lossy());
    let to = Destination { name: &name, url: &url };
    let repo = super::repo()?;
    if !may_be_ours(&repo, &pushed, to)? {
        return Ok(());
    }
    let report = judge(&repo, &pushed, to).while_doing("agents' commits could not be checked")?;
    if report.findings.is_empty() {
        return Ok(());
    }
    let rows = verdict::rows(&report, &verdict::remote(&repo));
    let table = findings::findings(&rows, &ui.narration_look());
    ui.narrate_styled(table.trim_end());
    let count = units::counted(report.findings.len() as u64, "check");
    Err(CommandError::no(format!("{count} failed: nothing was pushed to {name}")))
}

/// Whether any of it may come from a session: by its name, its commits or their notes.
fn may_be_ours(repo: &Repo, pushed: &[Pushed], to: Destination<'_>) -> Result<bool> {
    let prefix = repo.config_value("agent.branchPrefix");
    let prefix = prefix.unwrap_or_else(|| Config::default().branch_prefix);
    // Where a branch is called as the prefix is, sessions get `agent-…`.
    let prefix = format!("refs/heads/{}", prefix.trim_end_matches('/'));
    let is_called = |name: &str| prefix != "refs/heads/" && name.starts_with(&prefix);
    if pushed.iter().any(|line| is_called(&line.local) || is_called(&line.remote)) {
        return Ok(true);
    }
    Ok(range::any_ours(repo, pushed, to, |commit| Judge::says_so(repo, commit))?)
}

fn judge(repo: &Repo, pushed: &[Pushed], to: Destination<'_>) -> Result<Report> {
    let (config, _unknown) = context::config_of(repo)?;
    let store = Store::open(repo.common_dir());
    let judge = Judge::new(repo, &store, &config)?;
    let mut report = Report::default();
    for range in range::of_push(repo, pushed, to)? {
        report.absorb(judge.judge(&range)?);
    }
    Ok(report)
}
