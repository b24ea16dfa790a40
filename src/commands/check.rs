//! `git agent check`: what is asked of agents' commits, for CI and for people.
//!
//! Invariant: the same judges as before a push; exit code 0 says that each of them had what it must
//! know and found nothing.

mod again;
mod ci;
pub(super) mod verdict;

use clap::builder::NonEmptyStringValueParser;

use super::context::Context;
use crate::check::push::{Judge, range};
use crate::error::{CommandError, Kind, Result, exit};
use crate::ui::{Ui, findings, units};

/// Check commits of agents: verified on the very tree, at rest, and whatever agent.push.* asks
///
/// Looks at each commit of the range that comes from a session, by its trailers and its note in
/// refs/notes/agent, and says what is wrong with it and what mends that. Commits of people are not
/// looked at. This is what the pre-push hook does, for CI, where --no-verify is no way round. Exit
/// code 1 says that something is wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Commits, as A..B; what HEAD has and no remote, if not given
    #[arg(value_name = "RANGE", value_parser = NonEmptyStringValueParser::new())]
    range: Option<String>,
    /// Print JSON: {"format":1,"check":{…}}
    #[arg(long)]
    json: bool,
    /// Where a session's verify commands have not passed on the tree, such as after a rebase by
    /// hand, run them there, behind its sandbox, and note what came of it
    #[arg(long)]
    verify: bool,
    /// Write the workflow that does this on a forge, and check nothing
    #[arg(long, value_enum, value_name = "FORGE", conflicts_with_all = ["range", "json", "verify"])]
    install_ci: Option<ci::Forge>,
}

/// Judges the range and prints what was found.
///
/// # Errors
/// [`Kind::Told`] with exit code 1 if something is wrong; else what kept it from being judged.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    if let Some(forge) = args.install_ci {
        return ci::install(ui, &context.repo, forge);
    }
    let config = context.config()?;
    let range = match &args.range {
        Some(words) => range::of_words(&context.repo, words)?,
        None => range::of_head(&context.repo)?,
    };
    let judge = Judge::new(&context.repo, &context.store, &config)?;
    let mut report = judge.judge(&range)?;
    if args.verify && again::run(&context, &report)? {
        report = judge.judge(&range)?;
    }
    let remote = verdict::remote(&context.repo);
    if args.json {
        ui.answer(&verdict::json(&report, &remote)?)?;
    } else if report.findings.is_empty() {
        ui.answer(&verdict::passed(&report))?;
    } else {
        ui.answer(&findings::findings(&verdict::rows(&report, &remote), &ui.look()))?;
        let count = units::counted(report.findings.len() as u64, "check");
        ui.narrate(&format!("{count} failed"));
    }
    match report.findings.as_slice() {
        [] => Ok(()),
        _ => Err(CommandError::new(Kind::Told(exit::NO), "")),
    }
}
