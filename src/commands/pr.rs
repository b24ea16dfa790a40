//! `git agent pr`: the work of a session as a pull request.
//!
//! Invariant: what is printed as opened or updated is so at the forge; where no forge can be asked,
//! the branch is pushed, and the answer is what a person does next.

mod answer;
mod ask;
mod background;
mod comments;
mod link;
mod open;
mod outside;
mod stack;
mod watch;
mod way;

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap_complete::ArgValueCompleter;

pub(super) use link::link;

use super::complete;
use super::context::Context;
use crate::config::Config;
use crate::error::{CommandError, Result};
use crate::land::pull::Route;
use crate::plan::Way;
use crate::policy::{Capability, Policy};
use crate::session::spec::Spec;
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
///
/// A session that was forked from another, or started from its branch, has a pull request on top of
/// the other's with --stack: each of those below is opened or brought up to date first. Once one of
/// them is merged, the next --stack puts what stood on it on the branch that it went to.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  git agent pr add-rate
  git agent pr add-rate --draft --reviewer ada --reviewer acme/security
  git agent pr add-rate --dry-run
  git agent pr limits-per-user --stack
  git agent pr add-rate --watch --tries 2
  git agent pr add-rate --comments")]
pub struct Args {
    /// Session, by any unique beginning of its id or name; several only with --stack
    #[arg(
        value_name = "SESSION",
        required = true,
        value_parser = NonEmptyStringValueParser::new(),
        add = ArgValueCompleter::new(complete::sessions),
    )]
    sessions: Vec<String>,
    /// List what was said about it, and tell the session of what is new
    #[arg(long, conflicts_with_all = ["watch", "stack"])]
    comments: bool,
    /// Say what would be pushed and opened, and do neither; with --comments, tell nobody
    #[arg(short = 'n', long, conflicts_with = "watch")]
    dry_run: bool,
    /// Nobody looks: what goes wrong is noted in the session
    #[arg(long, hide = true)]
    in_background: bool,
    /// Print JSON: {"format":1,"pull":{…}}, with --stack "stack":[…], with --watch "watched", with
    /// --comments "comments"
    #[arg(long)]
    json: bool,
    #[command(flatten, next_help_heading = "What is opened")]
    how: HowArgs,
    #[command(flatten, next_help_heading = "Watching")]
    watch: watch::WatchArgs,
}

/// Heading of the page of help.
const CHECKS: &str = "Conflicts, checks and hooks";

/// What a pull request is to be.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct HowArgs {
    /// Open it as a draft
    #[arg(long)]
    draft: bool,
    /// Ask this person, or with a slash this group, to look at it; may be given several times
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    reviewer: Vec<String>,
    /// Open it on top of that of the session that this one began at, and those below it first
    #[arg(long)]
    stack: bool,
    /// Branch of the remote that it is for (default: the one that the session started from)
    #[arg(long, value_name = "BRANCH", value_parser = NonEmptyStringValueParser::new())]
    into: Option<String>,
    /// Its title (default: the task's first line)
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    title: Option<String>,
    /// The remote (default: the one that the branch follows, else origin)
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), hide_short_help = true)]
    remote: Option<String>,
    /// The session's commits, each made again, instead of one with all of it
    #[arg(long)]
    rebase: bool,
    /// Push the session's record too, all that was said and done (see agent.pr.record)
    #[arg(long, hide_short_help = true)]
    record: bool,
    /// Give conflicts with that branch back to the session, and push what it makes of them
    #[arg(long, conflicts_with = "dry_run", help_heading = CHECKS)]
    resolve: bool,
    /// Push it without a run of its verify commands on what is pushed
    #[arg(long, help_heading = CHECKS)]
    no_verify: bool,
    /// Run none of your hooks for commits
    #[arg(long, help_heading = CHECKS, hide_short_help = true)]
    no_hooks: bool,
    /// Open one for the work of an experiment too
    #[arg(short, long, help_heading = CHECKS)]
    force: bool,
}

impl HowArgs {
    fn way(&self) -> Way {
        if self.rebase { Way::Rebase } else { Way::Squash }
    }
}

/// What all pull requests of one command share.
struct Job<'a> {
    context: &'a Context<'a>,
    how: &'a HowArgs,
    config: Config,
    /// This program.
    program: PathBuf,
    /// Whether nothing is to be done.
    is_rehearsal: bool,
}

impl<'a> Job<'a> {
    /// With the settings of the repository.
    fn new(context: &'a Context<'a>, how: &'a HowArgs) -> Result<Self> {
        let (config, program) = (context.config()?, std::env::current_exe()?);
        Ok(Self { context, how, config, program, is_rehearsal: false })
    }

    /// The way of a session's own, to the branch that it started from.
    fn route(&self, session: &Session) -> Result<Route> {
        self.route_of(&session.spec)
    }

    /// As [`Job::route`], of a session that may have been removed.
    fn route_of(&self, spec: &Spec) -> Result<Route> {
        let HowArgs { remote, into, .. } = self.how;
        let (remote, into) = (remote.as_deref(), into.as_deref());
        Ok(Route::find(&self.context.repo, &self.config, spec, remote, into)?)
    }

    /// Whether the session's record is pushed too.
    fn is_recorded(&self) -> bool {
        self.how.record || self.config.pr.record
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
    let sessions = args.sessions.iter().map(|given| context.session(given));
    let sessions = sessions.collect::<Result<Vec<_>>>()?;
    let Some(first) = sessions.first() else { return Ok(()) };
    if sessions.len() > 1 && (!args.how.stack || args.watch.is_wished()) {
        return Err(CommandError::usage(
            "several sessions have pull requests on top of each other",
        )
        .hint("With --stack that is done, and --watch takes one"));
    }
    let done = run_for(&context, &sessions, first, args);
    if let (true, Err(error)) = (args.in_background, &done) {
        background::note(&context, first, error)?;
    }
    done
}

fn run_for(context: &Context<'_>, all: &[Session], first: &Session, args: &Args) -> Result {
    let job = Job { is_rehearsal: args.dry_run, ..Job::new(context, &args.how)? };
    if args.comments {
        return comments::comments(&job, first, args);
    }
    if args.watch.is_wished() {
        return watch::watch(&job, first, args);
    }
    if args.dry_run {
        return answer::would(&job, &stack::rehearse(&job, all)?, args.json);
    }
    answer::tell(&job, stack::bring(&job, all), args.json)
}
