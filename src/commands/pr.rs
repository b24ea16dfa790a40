//! `git agent pr`: the work of a session as a pull request.
//!
//! Invariant: what is printed as opened or updated is so at the forge; where no forge can be asked,
//! the branch is pushed, and the answer is what a person does next.

mod answer;
mod background;
mod comments;
mod link;
mod open;
mod outside;
mod watch;

use clap::builder::NonEmptyStringValueParser;

pub(super) use link::link;

use super::context::{Context, SessionArg};
use crate::error::Result;
use crate::plan::Way;
use crate::policy::{Capability, Policy};
use crate::session::store::Session;
use crate::ui::Ui;

/// Open a pull request with the work of a session, or bring it up to date
///
/// The work is made one commit on top of what the remote has, as `git agent merge` makes it: with
/// your hooks, and verified on its very tree. git itself pushes it, to a branch named after the
/// session's id, so your credentials and your pre-push hook apply. A branch that somebody else has
/// pushed to is left alone.
///
/// GitHub, GitLab, Forgejo and Gitea are known by the remote's host, by agent.forge.HOST.type, or
/// by asking. The token is that of `GH_TOKEN`, `GITLAB_TOKEN` or `FORGEJO_TOKEN`, else of git credential,
/// else of gh or glab. Without one the branch is pushed, the answer is the page to open the
/// pull request by hand, and the exit code is 3.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  git agent pr add-rate
  git agent pr add-rate --draft --reviewer ada --reviewer acme/security
  git agent pr add-rate --dry-run
  git agent pr add-rate --watch --tries 2
  git agent pr add-rate --comments")]
pub struct Args {
    #[command(flatten)]
    session: SessionArg,
    #[command(flatten)]
    how: HowArgs,
    #[command(flatten)]
    watch: watch::WatchArgs,
    /// List what was said about it, and tell the session of what is new
    #[arg(long, conflicts_with = "watch")]
    comments: bool,
    /// Say what would be pushed and opened, and do neither; with --comments, tell nobody
    #[arg(short = 'n', long, conflicts_with = "watch")]
    dry_run: bool,
    /// Nobody looks: what goes wrong is noted in the session
    #[arg(long, hide = true)]
    in_background: bool,
    /// Print JSON: {"format":1,"pull":{…}}, with --watch "watched", with --comments "comments"
    #[arg(long)]
    json: bool,
}

/// What a pull request is to be.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct HowArgs {
    /// Open it as a draft
    #[arg(long)]
    draft: bool,
    /// Ask this person, or with a slash this group, to look at it; may be given several times
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    reviewer: Vec<String>,
    /// Branch of the remote that it is for (default: the one that the session started from)
    #[arg(long, value_name = "BRANCH", value_parser = NonEmptyStringValueParser::new())]
    into: Option<String>,
    /// Its title (default: the task's first line)
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    title: Option<String>,
    /// The remote (default: the one that the branch follows, else origin)
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    remote: Option<String>,
    /// The session's commits, each made again, instead of one with all of it
    #[arg(long)]
    rebase: bool,
    /// Push the session's record too, all that was said and done (see agent.pr.record)
    #[arg(long)]
    record: bool,
    /// Push it without a run of its verify commands on what is pushed
    #[arg(long)]
    no_verify: bool,
    /// Run none of your hooks for commits
    #[arg(long)]
    no_hooks: bool,
}

impl HowArgs {
    fn way(&self) -> Way {
        if self.rebase { Way::Rebase } else { Way::Squash }
    }
}

/// Opens or updates it, or says what would be done.
///
/// # Errors
/// Every reason not to push or to open it; exit code 3 where a person has to open it.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    if let Some(policy) = Policy::of_machine()? {
        policy.check_capability(Capability::Pr)?;
    }
    let session = context.session(&args.session.session)?;
    let done = run_for(&context, &session, args);
    if let (true, Err(error)) = (args.in_background, &done) {
        background::note(&context, &session, error)?;
    }
    done
}

fn run_for(context: &Context<'_>, session: &Session, args: &Args) -> Result {
    if args.comments {
        return comments::comments(context, session, args);
    }
    if args.watch.is_wished() {
        return watch::watch(context, session, args);
    }
    if args.dry_run {
        let would = open::rehearse(context, session, &args.how)?;
        return answer::would(context.ui, session, &would, args.json);
    }
    let done = open::open(context, session, &args.how)?;
    answer::tell(context.ui, session, &done, args.json)
}
