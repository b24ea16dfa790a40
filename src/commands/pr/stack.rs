//! Pull requests on top of each other, from the lowest upwards; one alone is the lowest of none.
//!
//! Invariant: what was opened stays open and is told of, though one above it is refused; the forge
//! says whether one below is open, merged or closed, not what was known here.

use std::result::Result as StdResult;

use super::Job;
use super::open::{self, Done, One, Would};
use super::watch;
use super::way::{self, Way};
use crate::commands::control;
use crate::error::{CommandError, Result};
use crate::event::PullRequest;
use crate::forge::Standing;
use crate::git::ObjectId;
use crate::land::pull::{self, Floor, Member, PullError, Rung, Stack};
use crate::plan::LandError;
use crate::session::store::Session;

/// What was done of all that was wished for.
pub(super) struct Brought {
    pub(super) done: Vec<Done>,
    /// Why it went no further.
    pub(super) refused: Option<CommandError>,
}

impl Brought {
    /// The highest.
    ///
    /// # Errors
    /// It was refused, or one below it was.
    pub(super) fn top(mut self) -> Result<Done> {
        let none = || CommandError::no("nothing was opened");
        self.refused.map_or_else(|| self.done.pop().ok_or_else(none), Err)
    }
}

/// Opens or updates the pull requests of these sessions, and of those that they stand on.
pub(super) fn bring(job: &Job<'_>, sessions: &[Session]) -> Brought {
    let mut done = Vec::new();
    let refused = try_to_bring(job, sessions, &mut done).err();
    Brought { done, refused }
}

/// Says what [`bring`] would do, from what is here of the remote.
///
/// # Errors
/// Every reason not to push.
pub(super) fn rehearse(job: &Job<'_>, sessions: &[Session]) -> Result<Vec<Would>> {
    let view = job.context.repo.in_memory();
    let Some(members) = chain(job, sessions)? else {
        let session = &sessions[0];
        let (route, stack) = (job.route(session)?, Stack::default());
        let one = One { session, route: &route, stack: &stack, title: job.how.title.as_deref() };
        let would = open::rehearse(job, &view, one)?;
        return Ok(vec![would.map_err(|error| off_the_ground(job, session, error))?]);
    };
    let mut all = Vec::new();
    let (floor, way) = ground(job, &members)?;
    climb(job, &members, floor, &way, |one| {
        let would = match open::rehearse(job, &view, one)? {
            Ok(would) => would,
            Err(error) => return Ok(Err(error)),
        };
        let branch = one.route.branch.clone();
        let known = PullRequest { branch, ..would.known.clone().unwrap_or_default() };
        let built = Built { commit: would.commit, work: would.plan.work.commit, known };
        all.push(would);
        Ok(Ok(built))
    })?;
    Ok(all)
}

fn try_to_bring(job: &Job<'_>, sessions: &[Session], done: &mut Vec<Done>) -> Result {
    let Some(members) = chain(job, sessions)? else {
        let session = &sessions[0];
        let (route, stack) = (job.route(session)?, Stack::default());
        let way = way::way_to(job.context, &job.config, &route)?;
        let one = One { session, route: &route, stack: &stack, title: job.how.title.as_deref() };
        let opened = open::open(job, one, &way)?;
        done.push(opened.map_err(|error| off_the_ground(job, session, error))?);
        return Ok(());
    };
    let (floor, way) = ground(job, &members)?;
    let stack = climb(job, &members, floor, &way, |one| {
        Ok(open::open(job, one, &way)?.map(|opened| {
            let (commit, work) = (opened.ready.commit, opened.ready.plan.work.commit);
            let built = Built { commit, work, known: opened.pull.clone() };
            done.push(opened);
            built
        }))
    })?;
    // The numbers of those above are known only now.
    done.iter().try_for_each(|done| open::tell_of(job, &stack, &way, done))
}

/// A session whose open pull request stands on that of this one.
///
/// # Errors
/// The sessions cannot be listed.
pub(super) fn above(job: &Job<'_>, id: &str) -> Result<Option<String>> {
    let stands = |session: &Session| {
        // One that cannot be read is told of where it is looked at.
        let pull = session.state().ok().and_then(|state| state.pull_request);
        let open = pull.filter(|pull| pull.state == Standing::Open.as_str());
        open.is_some_and(|pull| pull.stands_on.as_deref() == Some(id))
    };
    let sessions = job.context.store.list()?.sessions;
    Ok(sessions.into_iter().find(stands).map(|session| session.id))
}

/// The sessions of the stack that is meant, the lowest first; none where it is one alone.
fn chain(job: &Job<'_>, sessions: &[Session]) -> Result<Option<Vec<Member>>> {
    let (repo, store) = (&job.context.repo, &job.context.store);
    if !job.how.stack {
        let known = sessions[0].state()?.pull_request;
        // One that was put on another stays there, unless a person says where it is to go.
        if job.how.into.is_some() || known.is_none_or(|known| known.stands_on.is_none()) {
            return Ok(None);
        }
    }
    let mut longest: Vec<Member> = Vec::new();
    for session in sessions {
        match pull::chain(repo, store, session) {
            Ok(chain) if chain.len() > longest.len() => longest = chain,
            // The lowest that is named may stand on none.
            Err(PullError::NoStack { .. }) if sessions.len() > 1 => {}
            chain => drop(chain?),
        }
    }
    let top = longest.last().map_or(&sessions[0].id, |top| &top.spec.id);
    let is_in = |session: &&Session| {
        session.id == *top || longest.iter().any(|member| member.spec.id == session.id)
    };
    match sessions.iter().find(|session| !is_in(session)) {
        Some(apart) => Err(PullError::Apart { one: apart.id.clone(), other: top.clone() }.into()),
        None => Ok(Some(longest)),
    }
}

/// What all of a stack is for, and the forge that it is at.
fn ground<'a>(job: &Job<'a>, members: &[Member]) -> Result<(Floor, Way<'a>)> {
    let lowest = members.first().map(|lowest| job.route_of(&lowest.spec));
    let Some(route) = lowest.transpose()? else {
        return Err(CommandError::no("there is no session to begin with"));
    };
    let way = way::way_to(job.context, &job.config, &route)?;
    Ok((Floor::ground(route)?, way))
}

/// A pull request that others may stand on.
struct Built {
    /// The commit that its branch is at.
    commit: ObjectId,
    /// The session's own, whose work that holds.
    work: ObjectId,
    known: PullRequest,
}

/// Goes up the sessions and builds for each what it is to have; gives the stack that came of it.
fn climb(
    job: &Job<'_>,
    members: &[Member],
    mut floor: Floor,
    way: &Way<'_>,
    mut build: impl FnMut(One<'_>) -> Result<StdResult<Built, PullError>>,
) -> Result<Stack> {
    let mut stack = Stack::default();
    for (at, member) in members.iter().enumerate() {
        let above = &members[at + 1..];
        let told = |said: &str| job.context.ui.narrate(&format!("  {said}"));
        let id = &member.spec.id;
        if let (Some(upper), Some(known)) = (above.first(), member.pull()) {
            match standing(way, known)? {
                (Standing::Open, _) => {}
                (Standing::Merged, into) => {
                    told(&format!("{} of {id} is merged", known.name()));
                    note_merged(job, member, known)?;
                    let into = Some(into.as_str()).filter(|_| job.how.into.is_none());
                    floor.pass(member, member.pushed(), into);
                    continue;
                }
                (Standing::Closed, _) => {
                    let (id, below) = (upper.spec.id.clone(), id.clone());
                    return Err(PullError::Closed { id, below, pull: known.name() }.into());
                }
            }
        }
        if stack.rungs.is_empty() {
            floor.target().clone_into(&mut stack.into);
        }
        let mut rung = Rung { id: id.clone(), name: String::new(), title: member.subject() };
        let built = match &member.session {
            Some(session) => {
                let route = floor.route(&job.context.repo, &job.config, member)?;
                let mut seen = stack.clone();
                seen.rungs.insert(0, rung.clone());
                for upper in above {
                    let known = upper.pull().filter(|pull| pull.state == Standing::Open.as_str());
                    seen.rungs.splice(..0, known.map(|known| Rung::of(upper, known)));
                }
                let title = job.how.title.as_deref().filter(|_| above.is_empty());
                build(One { session, route: &route, stack: &seen, title })?
            }
            None => Err(PullError::Removed { id: id.clone() }),
        };
        let built = match (built, member.pull()) {
            (Err(PullError::Land(LandError::AlreadyLanded { branch, .. })), _)
                if !above.is_empty() =>
            {
                told(&format!("{id} is on {branch} already"));
                floor.pass(member, member.work, None);
                continue;
            }
            (Err(PullError::Land(LandError::NotAtRest { phase, .. })), Some(known))
                if !above.is_empty() =>
            {
                told(&format!("{id} is {phase}: {} stays as it is", known.name()));
                Built::as_it_is(member, known)?
            }
            (Err(PullError::Removed { .. }), Some(known)) => {
                told(&format!("{id} was removed: {} stays as it is", known.name()));
                Built::as_it_is(member, known)?
            }
            (built, _) => built?,
        };
        rung.name = built.known.name();
        stack.rungs.insert(0, rung);
        floor.raise(member, &built.known.branch, built.commit, built.work);
    }
    Ok(stack)
}

impl Built {
    /// What is there of one that nobody may bring up to date now.
    fn as_it_is(member: &Member, known: &PullRequest) -> Result<Self> {
        let commit = ObjectId::from_hex(known.commit.as_bytes());
        let commit = commit.map_err(|error| CommandError::no(error.to_string()))?;
        Ok(Self { commit, work: member.pushed(), known: known.clone() })
    }
}

/// What became of a pull request, and the branch that it is for.
fn standing(way: &Way<'_>, known: &PullRequest) -> Result<(Standing, String)> {
    match (way, known.number) {
        (Way::Forge(forge), Some(number)) => {
            let there = control::block_on(forge.pull(number))??;
            Ok((there.standing, there.into))
        }
        _ => {
            let all = [Standing::Merged, Standing::Closed];
            let standing = all.into_iter().find(|it| it.as_str() == known.state);
            Ok((standing.unwrap_or(Standing::Open), known.into.clone()))
        }
    }
}

/// Takes note of a pull request that was merged, unless its session is at work.
fn note_merged(job: &Job<'_>, member: &Member, known: &PullRequest) -> Result {
    let merged = Standing::Merged.as_str();
    let rests = member.session.as_ref().filter(|_| !member.state.phase.needs_supervisor());
    match rests.filter(|_| !job.is_rehearsal && known.state != merged) {
        Some(session) => {
            watch::remember(job.context, session, |known| merged.clone_into(&mut known.state))
        }
        None => Ok(()),
    }
}

/// Where the branch that a session is for is another session's own: that is what is in the way.
fn off_the_ground(job: &Job<'_>, session: &Session, error: PullError) -> PullError {
    let (repo, store) = (&job.context.repo, &job.context.store);
    match error {
        PullError::NoBase { remote, branch } if job.how.into.is_none() => {
            // Where that cannot be told, what went wrong first is said.
            let chain = pull::chain(repo, store, session).unwrap_or_default();
            match chain.as_slice() {
                [.., below, _] => {
                    let (id, below) = (session.id.clone(), below.spec.id.clone());
                    PullError::Stands { id, below, branch, remote }
                }
                _ => PullError::NoBase { remote, branch },
            }
        }
        error => error,
    }
}
