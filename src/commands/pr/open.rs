//! A pull request, opened or brought up to date.
//!
//! Invariant: the session is held from before its work is taken until it knows its pull request;
//! the branch is pushed before the forge is asked, so that a refusal there costs nothing.

use std::result::Result as StdResult;

use super::ask::{self, Asked};
use super::way::Way;
use super::{HowArgs, Job};
use crate::commands::control;
use crate::commands::give::Conflicts;
use crate::error::Result;
use crate::event::PullRequest;
use crate::forge::Pull;
use crate::git::{ObjectId, Repo};
use crate::land::pull::{self, Body, Made, PullError, Ready, Rehearsed, Route, Stack};
use crate::plan::resolve::Resolution;
use crate::plan::{LandError, Plan, Wish, work};
use crate::session::lock::Lock;
use crate::session::state::State;
use crate::session::store::Session;

/// One pull request that is wished for.
#[derive(Clone, Copy)]
pub(super) struct One<'a> {
    pub(super) session: &'a Session,
    pub(super) route: &'a Route,
    /// What it is part of.
    pub(super) stack: &'a Stack,
    /// The title that a person wishes for.
    pub(super) title: Option<&'a str>,
}

/// What would be done.
#[derive(Debug)]
pub(super) struct Would {
    pub(super) session: Session,
    pub(super) route: Route,
    pub(super) plan: Plan,
    pub(super) title: String,
    pub(super) body: String,
    /// The one that would be updated.
    pub(super) known: Option<PullRequest>,
    /// What stands for the commit that would be pushed.
    pub(super) commit: ObjectId,
}

/// What was done.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) session: Session,
    pub(super) route: Route,
    pub(super) ready: Ready,
    pub(super) pull: PullRequest,
    pub(super) made: Made,
    pub(super) outcome: Outcome,
    /// The session when it was done.
    state: State,
    /// The pull request as the forge has it; none where that was not asked.
    there: Option<Pull>,
}

/// What came of it at the forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Opened,
    Updated,
    /// Nobody could ask the forge: why, and what a person can do about that.
    ByHand {
        why: String,
        hint: String,
    },
}

/// Says what would be done, from what is here of the remote; through [`Repo::in_memory`] nothing is
/// written.
///
/// # Errors
/// Every reason not to push.
pub(super) fn rehearse(
    job: &Job<'_>,
    view: &Repo,
    one: One<'_>,
) -> Result<StdResult<Would, PullError>> {
    let One { session, route, .. } = one;
    let state = session.state()?;
    let rehearsed = || -> StdResult<Rehearsed, PullError> {
        let tip = match route.at {
            Some(tip) => tip,
            None => {
                let repo = &job.context.repo;
                let tip = route.tips(repo)?.into;
                route.fetch(repo, tip)?;
                tip
            }
        };
        pull::rehearse(view, session, route, tip, &wish(job, None))
    };
    Ok(rehearsed().map(|Rehearsed { plan, message, commit }| {
        let body = body(job, one, &state, &plan, None);
        let title = one.title.unwrap_or(subject(&message)).to_owned();
        let (session, route) = (session.clone(), route.clone());
        Would { session, route, plan, title, body, known: state.pull_request, commit }
    }))
}

/// Pushes the branch, and opens or updates the pull request. Why nothing was pushed is for the
/// caller to judge.
///
/// # Errors
/// The forge refuses, or the session does not take its conflicts back.
pub(super) fn open(
    job: &Job<'_>,
    one: One<'_>,
    way: &Way<'_>,
) -> Result<StdResult<Done, PullError>> {
    match take(job, one)? {
        Ok(taken) => present(job, one, way, taken).map(Ok),
        Err(error) => Ok(Err(error)),
    }
}

/// Tells the forge of the whole stack, where that is known only now.
///
/// # Errors
/// The forge refuses.
pub(super) fn tell_of(job: &Job<'_>, stack: &Stack, way: &Way<'_>, done: &Done) -> Result {
    let (Way::Forge(forge), Some(there)) = (way, &done.there) else { return Ok(()) };
    let one = One { session: &done.session, route: &done.route, stack, title: None };
    let body = body(job, one, &done.state, &done.ready.plan, Some(&done.ready));
    Ok(control::block_on(ask::describe(forge, there, &body))??)
}

/// What was taken of a session and pushed; nobody else works on it meanwhile.
struct Taken {
    _lock: Lock,
    state: State,
    ready: Ready,
    made: Made,
    known: PullRequest,
}

/// Takes and pushes the work; gives its conflicts back to the session where that is wished.
fn take(job: &Job<'_>, one: One<'_>) -> Result<StdResult<Taken, PullError>> {
    let One { session, route, .. } = one;
    let mut conflicts = Conflicts::default();
    loop {
        let taken = try_to(job, session, route, conflicts.resolution());
        let Err(PullError::Land(LandError::Conflicts { files, .. })) = &taken else {
            return Ok(taken);
        };
        if !job.how.resolve || !conflicts.may_be_told() {
            return Ok(taken);
        }
        let repo = &job.context.repo;
        let tip = route.tips(repo)?.into;
        route.fetch(repo, tip)?;
        conflicts.tell(job.context, session, (&route.base(), tip), files, "pushed")?;
    }
}

fn try_to(
    job: &Job<'_>,
    session: &Session,
    route: &Route,
    resolution: Option<&Resolution>,
) -> StdResult<Taken, PullError> {
    let repo = &job.context.repo;
    let (lock, mut state) = work::hold(repo, session)?;
    let (ready, made) = pull::deliver(repo, session, &state, route, &wish(job, resolution))?;
    let mut known = PullRequest {
        remote: route.push_remote.clone(),
        branch: route.branch.clone(),
        into: route.into.clone(),
        commit: ready.commit.to_string(),
        work: ready.plan.work.commit.to_string(),
        stands_on: route.stands_on.clone(),
        ..state.pull_request.clone().unwrap_or_default()
    };
    if known.number.is_none() {
        "pushed".clone_into(&mut known.state);
    }
    // Whatever the forge says: this is on the branch now.
    pull::note(repo, session, &mut state, &known, ready.plan.work.commit)?;
    Ok(Taken { _lock: lock, state, ready, made, known })
}

/// Brings what was pushed before the forge.
fn present(job: &Job<'_>, one: One<'_>, way: &Way<'_>, taken: Taken) -> Result<Done> {
    let One { session, route, .. } = one;
    let Taken { _lock, mut state, ready, made, mut known } = taken;
    let (outcome, there) = match way {
        Way::Forge(forge) => {
            let body = body(job, one, &state, &ready.plan, Some(&ready));
            let subject = subject(&ready.message);
            let asked = Asked { route, how: job.how, title: one.title, subject, body: &body };
            let (found, outcome) = control::block_on(ask::ask(forge, &asked, &known))??;
            known = ask::with_number(&known, forge.place(), &found);
            (outcome, Some(found))
        }
        Way::ByHand { place, why, hint } => {
            if let Some(place) = place {
                place.kind.as_str().clone_into(&mut known.forge);
                if known.number.is_none() {
                    known.url = place.compare_url(&route.into, &route.branch);
                }
            }
            (Outcome::ByHand { why: why.clone(), hint: hint.clone() }, None)
        }
    };
    let repo = &job.context.repo;
    pull::note(repo, session, &mut state, &known, ready.plan.work.commit)?;
    if job.is_recorded() {
        pull::push_record(repo, route, &session.id)?;
    }
    let (session, route) = (session.clone(), route.clone());
    Ok(Done { session, route, ready, pull: known, made, outcome, state, there })
}

fn wish<'a>(job: &'a Job<'_>, resolution: Option<&'a Resolution>) -> Wish<'a> {
    let HowArgs { no_verify, no_hooks, force, .. } = *job.how;
    Wish {
        way: job.how.way(),
        unverified: no_verify,
        no_hooks,
        forced: force,
        resolution,
        program: Some(&job.program),
        ..Wish::default()
    }
}

fn subject(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}

fn body(job: &Job<'_>, one: One<'_>, state: &State, plan: &Plan, ready: Option<&Ready>) -> String {
    let One { session, route, stack, .. } = one;
    Body {
        spec: &session.spec,
        state,
        plan,
        verify: ready.and_then(|ready| ready.verify.as_ref()),
        cost: job.config.pr.cost,
        record_at: job.is_recorded().then_some(route.url.as_str()),
        stack,
    }
    .text()
}
