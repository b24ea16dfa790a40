//! `git agent merge`, also `git agent worktree merge`: the work of sessions, on the branch it is
//! for.
//!
//! Invariant: what is printed as landed is landed; a refusal names what is in the way and moves
//! nothing; of several, those before the one that is refused stay landed.

use clap::builder::NonEmptyStringValueParser;
use clap_complete::ArgValueCompleter;

use super::landing::{self, Outcome};
use crate::commands::complete;
use crate::commands::context::Context;
use crate::commands::{control, give};
use crate::error::{CommandError, Kind, Result, exit};
use crate::land::apply::{self, Landed, short_id};
use crate::land::forecast;
use crate::land::pick::Pick;
use crate::land::plan::{Way, Wish};
use crate::land::remove::{self, Removal};
use crate::land::resolve::Resolution;
use crate::land::undo::undo;
use crate::land::{LandError, hooks, target};
use crate::session::state::Phase;
use crate::session::store::Session;
use crate::ui::{Ui, units};

/// How often a session is given its conflicts back.
const RESOLVED_AT_MOST: usize = 2;

/// Land the work of sessions on the branch they started from
///
/// The work is merged without a checkout, and the branch moves only from the very commit that was
/// merged; where it has moved meanwhile, it is tried again on top. Where it is checked out, its
/// files follow; a file that you changed there refuses the landing before anything moves.
///
/// What lands was verified: where the merged tree is not the one that the session's verify commands
/// passed on, they run again, in a worktree for that moment. Your hooks for commits (pre-commit,
/// pre-merge-commit, prepare-commit-msg, commit-msg) run there too, and what they stage or write is
/// what lands. Your name, your signature (commit.gpgSign) and your reference-transaction hook apply.
///
/// Several sessions land one after the other, in the order that conflicts least; the first that is
/// refused stops it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  git agent merge add-rate
  git agent merge add-rate --dry-run
  git agent merge add-rate docs-for-api fix-flaky
  git agent merge add-rate --merge --into release-2
  git agent merge add-rate --pick 'src/**' --resolve
  git agent merge --undo add-rate")]
pub struct Args {
    /// Sessions, each by any unique beginning of its id or name
    #[arg(
        value_name = "SESSION",
        required = true,
        value_parser = NonEmptyStringValueParser::new(),
        add = ArgValueCompleter::new(complete::sessions),
    )]
    sessions: Vec<String>,
    /// One commit with all of it (the default)
    #[arg(long, group = "way")]
    squash: bool,
    /// A merge commit that keeps the session's own commits
    #[arg(long, group = "way")]
    merge: bool,
    /// The session's commits, each made again on top of the branch
    #[arg(long, group = "way")]
    rebase: bool,
    /// The session's own commits, if the branch has no others since
    #[arg(long, group = "way")]
    ff_only: bool,
    /// Only what it changed at these paths; may be given several times
    #[arg(long, value_name = "PATHSPEC", conflicts_with_all = ["merge", "rebase", "ff_only", "pick_commits"])]
    pick: Vec<String>,
    /// Only these of its commits, by id or place: 1,3-5; each made again, unless with --squash
    #[arg(long, value_name = "LIST", conflicts_with_all = ["merge", "ff_only"])]
    pick_commits: Option<String>,
    /// Branch to land on (default: the one it started from, else that of the main checkout)
    #[arg(long, value_name = "BRANCH", value_parser = NonEmptyStringValueParser::new())]
    into: Option<String>,
    /// Give conflicts back to the session, and land what it makes of them
    #[arg(long, conflicts_with = "dry_run")]
    resolve: bool,
    /// Land it without a run of its verify commands on what will be landed
    #[arg(long)]
    no_verify: bool,
    /// Run none of your hooks for commits
    #[arg(long)]
    no_hooks: bool,
    /// Say what would be done, and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Take the last landing of the session back, if the branch is where that left it
    #[arg(long, conflicts_with_all = ["way", "pick", "pick_commits", "into", "resolve", "no_verify", "no_hooks", "dry_run"])]
    undo: bool,
    /// Print JSON: {"format":1,"landing":{…}}; of several sessions {"format":1,"landings":[…]}
    #[arg(long)]
    json: bool,
}

/// Lands the work, says what would be done, or takes a landing back.
///
/// # Errors
/// Every reason not to land.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let mut sessions: Vec<Session> = Vec::new();
    for given in &args.sessions {
        let session = context.session(given)?;
        if sessions.iter().all(|known| known.id != session.id) {
            sessions.push(session);
        }
    }
    if let Some(folder) = hooks::missing_folder(&context.repo)
        && !args.no_hooks
    {
        ui.warning(&format!("no hook runs: core.hooksPath is not there: {}", folder.display()));
    }
    match sessions.as_slice() {
        [session] if args.undo => take_back(&context, args, session),
        _ if args.undo => Err(CommandError::usage("--undo takes one session")
            .hint("Undo them one by one, the last to land first")),
        [session] => one(&context, args, session),
        _ => train(&context, args, sessions),
    }
}

fn one(context: &Context<'_>, args: &Args, session: &Session) -> Result {
    let outcome = land(context, args, session)?;
    match args.json {
        true => landing::print(context.ui, session, &outcome),
        false => landing::tell(context.ui, session, &outcome),
    }
}

/// Several, in the order that conflicts least, until one is refused.
fn train(context: &Context<'_>, args: &Args, sessions: Vec<Session>) -> Result {
    let with_states = sessions.into_iter().map(|session| {
        let state = session.state()?;
        Ok((session, state))
    });
    let with_states = with_states.collect::<Result<Vec<_>>>()?;
    let order = forecast::look(&context.repo, &with_states)?.order;
    let mut sessions: Vec<_> = with_states.into_iter().map(|(session, _)| session).collect();
    // What cannot be looked at is refused last, in its own words.
    sessions.sort_by_key(|it| order.iter().position(|id| *id == it.id).unwrap_or(usize::MAX));
    let mut done: Vec<(&Session, Option<Outcome>)> = Vec::new();
    let mut refused = None;
    for session in &sessions {
        let outcome = match refused {
            Some(_) => None,
            None => match land(context, args, session) {
                Ok(outcome) => Some(outcome),
                Err(error) => {
                    refused = Some((session.id.clone(), error));
                    None
                }
            },
        };
        done.push((session, outcome));
    }
    let why = refused.as_ref().map(|(id, error)| (id.as_str(), error.line()));
    landing::table(context.ui, &done, why.as_ref(), args.json)?;
    match refused {
        Some((_, error)) => {
            let code = error.report(context.ui).max(exit::NO);
            Err(CommandError::new(Kind::Told(code), ""))
        }
        None => Ok(()),
    }
}

/// Lands one, and gives its conflicts back to it where that is wished.
fn land(context: &Context<'_>, args: &Args, session: &Session) -> Result<Outcome> {
    let mut resolution = Resolution::default();
    let mut told = 0;
    loop {
        let landed = try_to(context, args, session, Some(&resolution).filter(|_| told > 0));
        let files = match landed {
            Err(LandError::Conflicts { files, .. }) if args.resolve && told < RESOLVED_AT_MOST => {
                files
            }
            Err(error @ LandError::AlreadyLanded { .. })
                if args.into.is_none() && !args.dry_run =>
            {
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
        let words = resolution.tell(&context.repo, session, args.into.as_deref(), &files)?;
        let count = units::counted(files.len() as u64, "file");
        let phase = give::back(context, session, &words, &format!("{count} that conflict"))?;
        if phase != Phase::Done {
            let (id, standing) = (&session.id, control::standing(phase));
            return Err(CommandError::no(format!("{id} {standing}: nothing was landed"))
                .hint(format!("git agent status {id}")));
        }
        told += 1;
    }
}

fn try_to(
    context: &Context<'_>,
    args: &Args,
    session: &Session,
    resolution: Option<&Resolution>,
) -> std::result::Result<Outcome, LandError> {
    let way = match args {
        Args { merge: true, .. } => Way::Merge,
        Args { rebase: true, .. } => Way::Rebase,
        Args { ff_only: true, .. } => Way::FastForward,
        Args { pick_commits: Some(_), squash: false, .. } => Way::Rebase,
        _ => Way::Squash,
    };
    let pick = match &args.pick_commits {
        Some(list) => Pick::Commits(list),
        None if args.pick.is_empty() => Pick::All,
        None => Pick::Paths(&args.pick),
    };
    let program = std::env::current_exe()?;
    let wish = Wish {
        into: args.into.as_deref(),
        way,
        pick,
        unverified: args.no_verify,
        no_hooks: args.no_hooks,
        resolution,
        program: Some(&program),
    };
    let Context { repo, .. } = context;
    Ok(match args.dry_run {
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

fn take_back(context: &Context<'_>, args: &Args, session: &Session) -> Result {
    let undone = undo(&context.repo, session)?;
    let (branch, id) = (target::short(&undone.branch), &session.id);
    if args.json {
        let view = serde_json::json!({
            "session": id,
            "branch": branch,
            "commit": undone.commit.to_string(),
            "undone": undone.landed.to_string(),
        });
        return Ok(context.ui.answer(&crate::ui::json::named("undone", &view)?)?);
    }
    let (commit, landed) = (short_id(undone.commit), short_id(undone.landed));
    context.ui.answer(&format!("Took {id} back from {branch}, which is at {commit} again"))?;
    context.ui.hint(&format!("git show {landed} shows what had landed"));
    Ok(())
}
