//! `git agent merge`, also `git agent worktree merge`: the work of sessions, on the branch it is
//! for.
//!
//! Invariant: what is printed as landed is landed; a refusal names what is in the way and moves
//! nothing; of several, those before the one that is refused stay landed.

use clap::builder::NonEmptyStringValueParser;
use clap_complete::ArgValueCompleter;

use super::how::{self, HowArgs};
use super::landing::{self, Outcome};
use crate::commands::complete;
use crate::commands::context::Context;
use crate::error::{CommandError, Kind, Result, exit};
use crate::land::apply::short_id;
use crate::land::hooks;
use crate::land::undo::undo;
use crate::plan::forecast::{self, Forecast};
use crate::plan::target;
use crate::session::store::Session;
use crate::ui::Ui;

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
    #[command(flatten)]
    how: HowArgs,
    /// Take the last landing of the session back, if the branch is where that left it
    #[arg(long, conflicts_with_all = ["way", "pick", "pick_commits", "into", "resolve", "no_verify", "no_hooks", "force", "dry_run"])]
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
        && !args.how.no_hooks
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
    let outcome = how::land(context, &args.how, session)?;
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
    let found = forecast::look(&context.repo, &with_states)?;
    let order = &found.order;
    let mut sessions: Vec<_> = with_states.into_iter().map(|(session, _)| session).collect();
    // What cannot be looked at is refused last, in its own words.
    sessions.sort_by_key(|it| order.iter().position(|id| *id == it.id).unwrap_or(usize::MAX));
    let mut done: Vec<(&Session, Option<Outcome>)> = Vec::new();
    let mut refused = None;
    for session in &sessions {
        let outcome = match refused {
            Some(_) => None,
            None => match how::land(context, &args.how, session)
                .and_then(|outcome| unless_met(&found, &done, session, outcome))
            {
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

/// What would be done, unless one that would land before is in the way.
fn unless_met(
    found: &Forecast,
    before: &[(&Session, Option<Outcome>)],
    session: &Session,
    outcome: Outcome,
) -> Result<Outcome> {
    if !matches!(outcome, Outcome::Would(_)) {
        return Ok(outcome);
    }
    let id = &session.id;
    let met = found.pairs.iter().find_map(|pair| {
        let files = pair.conflict.as_ref()?;
        let other = match (&pair.a, &pair.b) {
            (other, own) | (own, other) if own == id => other,
            _ => return None,
        };
        before.iter().any(|(it, _)| it.id == *other).then_some((other, files))
    });
    match met {
        Some((other, files)) => {
            let files = files.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Err(CommandError::no(format!("{other} and {id} conflict in {files}"))
                .hint(format!("git agent conflicts {id}")))
        }
        None => Ok(outcome),
    }
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
