//! The sessions that a session stands on, and the way of each one's pull request.
//!
//! Invariant: no name alone makes a stack: a session stands on another only where it began, later,
//! at a commit that is of the other's own making.

use super::PullError;
use super::route::{self, Route};
use crate::config::Config;
use crate::event::PullRequest;
use crate::git::{ObjectId, Repo};
use crate::land::commit;
use crate::plan::LandError;
use crate::plan::work::{self, Work};
use crate::session::record::Record;
use crate::session::removed;
use crate::session::spec::Spec;
use crate::session::state::State;
use crate::session::store::{Session, Store};

/// A session of a stack.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it was asked.
    pub spec: Spec,
    /// Where it is.
    pub state: State,
    /// The session; none where it was removed.
    pub session: Option<Session>,
    /// The commit that holds its work.
    pub work: ObjectId,
}

impl Member {
    /// One that is here.
    ///
    /// # Errors
    /// Its work cannot be read.
    pub fn of(repo: &Repo, session: &Session) -> Result<Self, PullError> {
        let state = session.state()?;
        let work = Work::of(repo, session, &state)?.commit;
        Ok(Self { spec: session.spec.clone(), state, session: Some(session.clone()), work })
    }

    /// One that was removed, from its record.
    fn removed(repo: &Repo, commit: ObjectId) -> Result<Self, PullError> {
        let record = Record::read(repo, commit).map_err(LandError::from)?;
        let work = work::head_of(repo, &record)?;
        Ok(Self { spec: record.spec, state: record.state, session: None, work })
    }

    /// What is known of its pull request; none before one was opened.
    pub fn pull(&self) -> Option<&PullRequest> {
        self.state.pull_request.as_ref().filter(|pull| pull.number.is_some())
    }

    /// The commit of its own whose work is in its pull request.
    pub fn pushed(&self) -> ObjectId {
        let work = self.state.pull_request.as_ref().map(|pull| pull.work.as_bytes());
        work.and_then(|hex| ObjectId::from_hex(hex).ok()).unwrap_or(self.work)
    }

    /// The first line of its commit's message.
    pub fn subject(&self) -> String {
        let message = commit::words(&self.spec, &self.state);
        message.lines().next().unwrap_or_default().to_owned()
    }
}

/// The sessions that this one stands on, the lowest first, and itself.
///
/// # Errors
/// It stands on none, or one cannot be read.
pub fn chain(repo: &Repo, store: &Store, top: &Session) -> Result<Vec<Member>, PullError> {
    let sessions = store.list().map_err(LandError::from)?.sessions;
    let mut chain = vec![Member::of(repo, top)?];
    while let Some(upper) = chain.last()
        && let Some(below) = below(repo, store, &sessions, &upper.spec)?
    {
        chain.push(below);
    }
    if chain.len() == 1 {
        return Err(PullError::NoStack { id: top.id.clone() });
    }
    chain.reverse();
    Ok(chain)
}

/// The session that another stands on. Each one is older than what stands on it, so this ends.
fn below(
    repo: &Repo,
    store: &Store,
    sessions: &[Session],
    upper: &Spec,
) -> Result<Option<Member>, PullError> {
    let ground = Ground { repo, upper, start: resolve(repo, upper.first_commit())? };
    // A fork's base is that of the other: whom it was forked from tells more.
    let ways = [Ground::is_forked_from, Ground::is_based_on];
    for is_it in ways {
        if let Some(lower) = sessions.iter().find(|it| is_it(&ground, &it.spec)) {
            return Member::of(repo, lower).map(Some);
        }
    }
    if upper.forked_from.is_none() && route::is_local(repo, &upper.base.name) {
        return Ok(None);
    }
    if let Some(lower) = sessions.iter().find(|it| ground.is_held_by(&it.spec)) {
        return Member::of(repo, lower).map(Some);
    }
    let gone = removed::list(repo, store).map_err(LandError::from)?;
    let gone = gone.iter().map(|gone| Member::removed(repo, gone.record));
    let gone = gone.collect::<Result<Vec<_>, _>>()?;
    let mut found = ways.iter().filter_map(|is_it| gone.iter().find(|it| is_it(&ground, &it.spec)));
    Ok(found.next().cloned())
}

/// Where a session began.
struct Ground<'a> {
    repo: &'a Repo,
    upper: &'a Spec,
    start: ObjectId,
}

impl Ground<'_> {
    /// Whether it was forked from this session at commits of that one's own.
    fn is_forked_from(&self, lower: &Spec) -> bool {
        let origin = self.upper.forked_from.as_ref();
        origin.is_some_and(|origin| origin.session == lower.id) && self.is_beyond_first_of(lower)
    }

    /// Whether it was started from this session's branch, with commits of that one's own.
    fn is_based_on(&self, lower: &Spec) -> bool {
        let names = [lower.branch.as_str(), lower.branch_name()];
        names.contains(&self.upper.base.name.as_str()) && self.is_beyond_first_of(lower)
    }

    /// Whether there was more than the first commit of this session; what there was may be of
    /// another shape by now.
    fn is_beyond_first_of(&self, lower: &Spec) -> bool {
        let is_before = |first| self.repo.is_ancestor(self.start, first).unwrap_or(true);
        self.first_of(lower).is_some_and(|first| !is_before(first))
    }

    /// Whether it began at one of this session's own commits, however that was named.
    fn is_held_by(&self, lower: &Spec) -> bool {
        let tip = self.repo.ref_id(&lower.branch).ok().flatten();
        let Some((first, tip)) = self.first_of(lower).zip(tip) else { return false };
        let own = self.repo.commits_between(first, tip);
        own.is_ok_and(|own| own.contains(&self.start))
    }

    /// The commit that a session began at; none for one that is younger, or of which that is not
    /// here any more.
    fn first_of(&self, lower: &Spec) -> Option<ObjectId> {
        let is_older = lower.id != self.upper.id && lower.created < self.upper.created;
        self.repo.resolve_commit(lower.first_commit()).ok().filter(|_| is_older)
    }
}

/// The floors of a stack, from the branch that all of it is for upwards.
#[derive(Clone, Debug)]
pub struct Floor {
    route: Route,
    /// The branches of the stack's own pull requests.
    branches: Vec<String>,
}

impl Floor {
    /// On the ground, by the route of the lowest.
    ///
    /// # Errors
    /// The pull requests would be in another project than the branches they stand on.
    pub fn ground(route: Route) -> Result<Self, PullError> {
        if route.is_from_fork() {
            let Route { remote, push_remote, .. } = route;
            return Err(PullError::StackOfFork { remote, push_remote });
        }
        Ok(Self { route, branches: Vec::new() })
    }

    /// The branch that what stands here is for.
    pub fn target(&self) -> &str {
        &self.route.into
    }

    /// The way of a session's pull request from here.
    ///
    /// # Errors
    /// A history cannot be read.
    pub fn route(&self, repo: &Repo, config: &Config, member: &Member) -> Result<Route, PullError> {
        let mut route = self.route.clone();
        route.branch = route::branch_of(config, &member.spec.id);
        // Where the one below was made anew since, what this one began at is in another shape there
        // too. What is but ahead of all that was pushed is nowhere yet: it comes along.
        let start = resolve(repo, member.spec.first_commit())?;
        let related = |other: &ObjectId| -> Result<bool, PullError> {
            let is_below = repo.is_ancestor(start, *other).map_err(LandError::from)?;
            Ok(is_below || repo.is_ancestor(*other, start).map_err(LandError::from)?)
        };
        if let Some(below) = route.below.last()
            && !related(below)?
        {
            route.below.push(start);
        }
        Ok(route)
    }

    /// One floor up: on the branch of this session's pull request.
    pub fn raise(&mut self, member: &Member, branch: &str, commit: ObjectId, work: ObjectId) {
        branch.clone_into(&mut self.route.into);
        self.route.at = Some(commit);
        self.route.stands_on = Some(member.spec.id.clone());
        self.route.below.push(work);
        self.branches.push(branch.to_owned());
    }

    /// This work of a session is in: what stands on it is for the branch that it went to, if that is
    /// none of the stack's own.
    pub fn pass(&mut self, member: &Member, work: ObjectId, into: Option<&str>) {
        self.route.stands_on = Some(member.spec.id.clone());
        self.route.below.push(work);
        if let Some(into) = into.filter(|into| !self.branches.iter().any(|it| it == into)) {
            into.clone_into(&mut self.route.into);
            self.route.at = None;
        }
        self.branches.extend(member.state.pull_request.iter().map(|pull| pull.branch.clone()));
    }
}

fn resolve(repo: &Repo, commit: &str) -> Result<ObjectId, PullError> {
    Ok(repo.resolve_commit(commit).map_err(LandError::from)?)
}
