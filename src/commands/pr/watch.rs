//! A pull request, watched until its checks have settled, and its session told of what they say.
//!
//! Invariant: one process watches a session's; it merges only where that was asked for, and ends
//! after so many tries or so much money.

use std::slice;
use std::time::Duration;

use super::open::{Done, Outcome};
use super::{Args, Job, answer, outside, stack, way};
use crate::commands::context::Context;
use crate::commands::{control, give};
use crate::config::{Bound, LOOKS, Pr, amount};
use crate::error::{CommandError, Kind, Result, exit};
use crate::event::PullRequest;
use crate::forge::{Check, Comment, Forge, Pull, Standing, Verdict};
use crate::land::pull;
use crate::plan::work::{self, Work};
use crate::session::lock::{Lock, LockError};
use crate::session::state::Phase;
use crate::session::store::Session;
use crate::ui::{Ui, json, table, units};

/// Looks after which a commit without checks is taken to have none.
const NO_CHECKS: u32 = 3;
/// Looks after which a branch that is elsewhere is taken to be somebody else's.
const ELSEWHERE: u32 = 5;
/// The longest time between two looks.
const SLOWEST: Duration = Duration::from_secs(120);

/// How a pull request is watched.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct WatchArgs {
    /// Wait until all checks have settled; failures and new comments go back to the session, and
    /// what it makes of them is pushed
    #[arg(long)]
    watch: bool,
    /// How often the session is given something back (default: agent.pr.tries, which is 3)
    #[arg(long, value_name = "N", requires = "watch", allow_negative_numbers = true)]
    tries: Option<u32>,
    /// Give nothing back once that has cost so many US dollars more; the session's own limits hold
    /// too (default: agent.pr.budget)
    #[arg(long, value_name = "DOLLARS", requires = "watch", value_parser = amount::dollars, allow_hyphen_values = true)]
    budget: Option<Bound>,
    /// Seconds between two looks at the forge, at first (default: agent.pr.interval, which is 20)
    #[arg(long, value_name = "SECONDS", requires = "watch",
          value_parser = clap::value_parser!(u64).range(LOOKS), allow_negative_numbers = true, hide_short_help = true)]
    interval: Option<u64>,
    /// Merge it when all checks have passed and nothing new was said
    #[arg(long, requires = "watch")]
    auto: bool,
}

impl WatchArgs {
    /// Whether it is to be watched at all.
    pub(super) fn is_wished(&self) -> bool {
        self.watch
    }
}

/// How all of it stands once its checks have settled.
struct Settled {
    pull: Pull,
    checks: Vec<Check>,
    comments: Vec<Comment>,
    /// The end of each failed check's log, in their order.
    logs: Vec<Option<String>>,
}

/// Opens or updates it, and watches it to its end.
///
/// # Errors
/// As [`open::open`]; told: checks fail and nothing more is tried (1), a person is needed (3).
pub(super) fn watch(job: &Job<'_>, session: &Session, args: &Args) -> Result {
    let context = job.context;
    let ui = context.ui;
    let _watching = match Lock::acquire(&session.dir.join("pull.lock")) {
        Err(LockError::Held { .. }) => {
            ui.narrate(&format!("The pull request of {} is watched already", session.id));
            return Ok(());
        }
        lock => lock.map_err(|error| CommandError::from_error(Kind::No, &error))?,
    };
    let Pr { tries, budget, interval, .. } = job.config.pr;
    let tries = args.watch.tries.unwrap_or(tries);
    let budget = args.watch.budget.map_or(budget, |budget| budget.0);
    let interval = Duration::from_secs(args.watch.interval.unwrap_or(interval));
    let at_first = session.state()?.counted_usd;
    let mut tried = 0;
    loop {
        let brought = stack::bring(job, slice::from_ref(session));
        if brought.done.iter().any(|done| matches!(done.outcome, Outcome::ByHand { .. })) {
            return answer::tell(job, brought, args.json);
        }
        brought.done.iter().for_each(|done| ui.narrate(&answer::line(done)));
        let done = brought.top()?;
        let forge = way::forge(job, session)?;
        let settled = control::block_on(settle(context, &forge, &done.pull, interval))??;
        let Settled { pull, checks, comments, logs } = &settled;
        remember(context, session, |known| {
            pull.standing.as_str().clone_into(&mut known.state);
        })?;
        if pull.standing != Standing::Open {
            return over(ui, args, &settled);
        }
        let failed: Vec<_> = checks.iter().filter(|it| it.verdict == Verdict::Failed).collect();
        if failed.is_empty() && comments.is_empty() {
            return passed(job, &done, args, settled);
        }
        let spent = session.state()?.counted_usd - at_first;
        let is_spent = budget.is_some_and(|budget| spent >= budget);
        if tried >= tries || is_spent {
            let why = if is_spent { "its budget is spent" } else { "it was tried often enough" };
            tell(ui, args, &settled)?;
            ui.narrate(&format!("Nothing more is given back: {why}"));
            ui.hint(&format!("git agent say {} \"…\"    git agent pr {0} --watch", session.id));
            return Err(CommandError::new(Kind::Told(exit::NO), ""));
        }
        tried += 1;
        let words = outside::words(&done.pull, &failed, logs, comments);
        let phase = give::back(context, session, &words, &outside::about(&failed, comments))?;
        let heard: Vec<_> = comments.iter().map(|comment| comment.id.clone()).collect();
        remember(context, session, |known| known.heard.extend(heard))?;
        if phase != Phase::Done {
            let standing = control::standing(phase);
            let said = format!("{} {standing}: nothing was pushed", session.id);
            return Err(CommandError::new(Kind::NeedsPerson, said)
                .hint(format!("git agent status {}", session.id)));
        }
    }
}

/// Waits until no check is pending, twice in a row, or the pull request is over.
async fn settle(
    context: &Context<'_>,
    forge: &Forge<'_>,
    known: &PullRequest,
    interval: Duration,
) -> Result<Settled> {
    let number = known.number.unwrap_or_default();
    let (mut last, mut looks, mut elsewhere, mut pause) = (None, 0, 0, interval);
    loop {
        let pull = forge.pull(number).await?;
        let checks = forge.checks(&known.commit).await?;
        looks += 1;
        elsewhere = if pull.head == known.commit { 0 } else { elsewhere + 1 };
        if elsewhere >= ELSEWHERE && pull.standing == Standing::Open {
            let found = pull.head.get(..7).unwrap_or(&pull.head).to_owned();
            let (remote, branch) = (known.remote.clone(), known.branch.clone());
            return Err(pull::PullError::Foreign { remote, branch, found }.into());
        }
        let pending = checks.iter().filter(|it| it.verdict == Verdict::Pending).count();
        let counts = (checks.len(), pending);
        if last != Some(counts) {
            let all = units::counted(checks.len() as u64, "check");
            context.ui.narrate(&format!("  {all}, {pending} pending"));
            pause = interval;
        }
        let is_settled = pending == 0 && elsewhere == 0;
        let is_quiet = if checks.is_empty() { looks >= NO_CHECKS } else { last == Some(counts) };
        if pull.standing != Standing::Open || (is_settled && is_quiet) {
            let mut comments = forge.comments(number).await?;
            comments.retain(|comment| !known.heard.contains(&comment.id));
            let mut logs = Vec::new();
            for check in checks.iter().filter(|it| it.verdict == Verdict::Failed) {
                logs.push(forge.log(check).await?);
            }
            return Ok(Settled { pull, checks, comments, logs });
        }
        last = Some(counts);
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(SLOWEST.max(interval));
    }
}

/// Changes what the session knows of its pull request.
pub(super) fn remember(
    context: &Context<'_>,
    session: &Session,
    change: impl FnOnce(&mut PullRequest),
) -> Result {
    let (_lock, mut state) = work::hold(&context.repo, session)?;
    let Some(mut known) = state.pull_request.clone() else { return Ok(()) };
    change(&mut known);
    let work = Work::of(&context.repo, session, &state)?.commit;
    Ok(pull::note(&context.repo, session, &mut state, &known, work)?)
}

fn passed(job: &Job<'_>, done: &Done, args: &Args, mut settled: Settled) -> Result {
    let (context, session) = (job.context, &done.session);
    if args.watch.auto {
        // Into the branch of another pull request it would be merged before its time.
        if let (Some(_), Some(below)) = (done.route.at, &done.route.stands_on) {
            tell(context.ui, args, &settled)?;
            context.ui.narrate(&format!("Not merged: it stands on that of {below}"));
            context.ui.hint(&format!("git agent pr {below} --watch --auto"));
            return Err(CommandError::new(Kind::Told(exit::NO), ""));
        }
        let Pull { number, head, .. } = &settled.pull;
        let forge = way::forge(job, session)?;
        control::block_on(forge.merge(*number, head))??;
        settled.pull.standing = Standing::Merged;
        remember(context, session, |known| {
            Standing::Merged.as_str().clone_into(&mut known.state);
        })?;
        return over(context.ui, args, &settled);
    }
    tell(context.ui, args, &settled)
}

/// It was merged or put away.
fn over(ui: &Ui, args: &Args, settled: &Settled) -> Result {
    tell(ui, args, settled)?;
    match settled.pull.standing {
        Standing::Closed => Err(CommandError::new(Kind::Told(exit::NO), "")),
        Standing::Open | Standing::Merged => Ok(()),
    }
}

/// Says how it stands: each check that failed, or that none did.
fn tell(ui: &Ui, args: &Args, settled: &Settled) -> Result {
    let Settled { pull, checks, comments, .. } = settled;
    let failed = checks.iter().filter(|it| it.verdict == Verdict::Failed);
    let rows: Vec<_> =
        failed.map(|it| vec![it.name.clone(), "failed".to_owned(), it.url.clone()]).collect();
    if args.json {
        let checks: Vec<_> = checks
            .iter()
            .map(|it| {
                let verdict = match it.verdict {
                    Verdict::Passed => "passed",
                    Verdict::Failed => "failed",
                    Verdict::Pending => "pending",
                };
                serde_json::json!({"name": it.name, "verdict": verdict, "url": it.url})
            })
            .collect();
        let view = serde_json::json!({
            "number": pull.number,
            "url": pull.url,
            "state": pull.standing.as_str(),
            "commit": pull.head,
            "checks": checks,
            "new_comments": comments.len(),
        });
        return Ok(ui.answer(&json::named("watched", &view)?)?);
    }
    let all = units::counted(checks.len() as u64, "check");
    let said = match (pull.standing, rows.len(), comments.len()) {
        (Standing::Merged, _, _) => format!("{} is merged", pull.url),
        (Standing::Closed, _, _) => format!("{} was closed", pull.url),
        (Standing::Open, 0, 0) if checks.is_empty() => format!("{} has no checks", pull.url),
        (Standing::Open, 0, 0) => format!("{} has passed {all}", pull.url),
        (Standing::Open, failed, new) => {
            let new = units::counted(new as u64, "new comment");
            format!("{} has failed {failed} of {all}, and has {new}", pull.url)
        }
    };
    ui.answer(&said)?;
    if !rows.is_empty() {
        ui.answer(&table::plain(&["CHECK", "VERDICT", "PAGE"], &rows, &ui.look()))?;
    }
    Ok(())
}
