//! How work is brought to its branch: the flags of every verb that lands, and the landing of one.
//!
//! Invariant: a refusal names what is in the way and moves nothing.

use clap::builder::NonEmptyStringValueParser;

use super::landing::{self, Outcome};
use crate::commands::context::Context;
use crate::commands::give::Conflicts;
use crate::error::Result;
use crate::land::apply::{self, Landed};
use crate::plan::pick::Pick;
use crate::plan::resolve::Resolution;
use crate::plan::{LandError, Way, Wish, target};
use crate::session::store::Session;
use crate::stow::remove::{self, Removal};

/// Headings of the page of help.
const WHAT: &str = "What lands, and how";
const CHECKS: &str = "Conflicts, checks and hooks";

/// How work is brought to its branch.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct HowArgs {
    /// One commit with all of it (the default)
    #[arg(long, group = "way", help_heading = WHAT)]
    squash: bool,
    /// A merge commit that keeps the session's own commits
    #[arg(long, group = "way", help_heading = WHAT)]
    merge: bool,
    /// The session's commits, each made again on top of the branch
    #[arg(long, group = "way", help_heading = WHAT)]
    rebase: bool,
    /// The session's own commits, if the branch has no others since
    #[arg(long, group = "way", help_heading = WHAT)]
    ff_only: bool,
    /// Only what it changed at these paths; may be given several times
    #[arg(long, value_name = "PATHSPEC", conflicts_with_all = ["merge", "rebase", "ff_only", "pick_commits"], help_heading = WHAT)]
    pick: Vec<String>,
    /// Only these of its commits, by id or place: 1,3-5; each made again, unless with --squash
    #[arg(long, value_name = "LIST", conflicts_with_all = ["merge", "ff_only"], help_heading = WHAT, hide_short_help = true)]
    pick_commits: Option<String>,
    /// Branch to land on (default: the one it started from, else that of the main checkout)
    #[arg(long, value_name = "BRANCH", value_parser = NonEmptyStringValueParser::new(), help_heading = WHAT)]
    into: Option<String>,
    /// Give conflicts back to the session, and land what it makes of them
    #[arg(long, conflicts_with = "dry_run", help_heading = CHECKS)]
    resolve: bool,
    /// Land it without a run of its verify commands on what will be landed
    #[arg(long, help_heading = CHECKS)]
    no_verify: bool,
    /// Run none of your hooks for commits
    #[arg(long, help_heading = CHECKS, hide_short_help = true)]
    pub(super) no_hooks: bool,
    /// Land the work of an experiment too
    #[arg(short, long, help_heading = CHECKS)]
    force: bool,
    /// Say what would be done, and write nothing
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
}

/// Lands one, and gives its conflicts back to it where that is wished.
///
/// # Errors
/// Every reason not to land.
pub(super) fn land(context: &Context<'_>, how: &HowArgs, session: &Session) -> Result<Outcome> {
    let mut conflicts = Conflicts::default();
    loop {
        let landed = try_to(context, how, session, conflicts.resolution());
        let files = match landed {
            Err(LandError::Conflicts { files, .. }) if how.resolve && conflicts.may_be_told() => {
                files
            }
            Err(error @ LandError::AlreadyLanded { .. }) if how.into.is_none() && !how.dry_run => {
                return match apply::acknowledge(&context.repo, session)? {
                    Some(landed) => Ok(Outcome::Found(landed)),
                    None => Err(error.into()),
                };
            }
            landed => {
                let outcome = landed.map_err(|error| landing::refusal(context.ui, error))?;
                tidy(context, session, &outcome)?;
                return Ok(outcome);
            }
        };
        let (branch, tip) = target::meant(&context.repo, &session.spec, how.into.as_deref())?;
        conflicts.tell(context, session, (target::short(&branch), tip), &files, "landed")?;
    }
}

fn try_to(
    context: &Context<'_>,
    how: &HowArgs,
    session: &Session,
    resolution: Option<&Resolution>,
) -> std::result::Result<Outcome, LandError> {
    let way = match how {
        HowArgs { merge: true, .. } => Way::Merge,
        HowArgs { rebase: true, .. } => Way::Rebase,
        HowArgs { ff_only: true, .. } => Way::FastForward,
        HowArgs { pick_commits: Some(_), squash: false, .. } => Way::Rebase,
        _ => Way::Squash,
    };
    let pick = match &how.pick_commits {
        Some(list) => Pick::Commits(list),
        None if how.pick.is_empty() => Pick::All,
        None => Pick::Paths(&how.pick),
    };
    let program = std::env::current_exe()?;
    let wish = Wish {
        into: how.into.as_deref(),
        way,
        pick,
        unverified: how.no_verify,
        no_hooks: how.no_hooks,
        forced: how.force,
        resolution,
        program: Some(&program),
        below: &[],
    };
    let Context { repo, .. } = context;
    Ok(match how.dry_run {
        true => Outcome::Would(Box::new(apply::rehearse(repo, session, &wish)?)),
        false => Outcome::Landed(apply::land(repo, session, &wish)?),
    })
}

/// Takes the worktree away, where the user wants none that has landed.
fn tidy(context: &Context<'_>, session: &Session, outcome: &Outcome) -> Result {
    let config = context.config()?;
    let Outcome::Landed(Landed { plan, .. }) = outcome else { return Ok(()) };
    let has_all = plan.as_ref().is_none_or(|plan| plan.is_all);
    if config.keep_worktree || !has_all || !session.spec.worktree.is_dir() {
        return Ok(());
    }
    let max_file_size = config.max_file_size;
    let removal = Removal { force: false, branch: false, max_file_size };
    if let Err(error) = remove::remove(&context.repo, session, &removal) {
        context.ui.warning(&format!("the worktree stays: {error}"));
    }
    Ok(())
}
