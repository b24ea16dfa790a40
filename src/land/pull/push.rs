//! The commits of a pull request, and the push of them.
//!
//! Invariant: they are made as those that land: on top of what the remote has, with the user's
//! hooks, verified on their very tree; and git itself pushes them, so that its credentials and the
//! `pre-push` hook apply.

use jiff::Timestamp;

use super::PullError;
use super::route::{Route, Tips};
use crate::event::{Event, PullRequest, Update, VerifyRecord};
use crate::git::{ObjectId, Repo};
use crate::land::apply;
use crate::land::{check, commit};
use crate::plan::target::Target;
use crate::plan::{LandError, Plan, Wish, pick};
use crate::redact;
use crate::session::journal::Journal;
use crate::session::record;
use crate::session::state::State;
use crate::session::store::Session;

/// Commits that are ready to be pushed.
#[derive(Clone, Debug)]
pub struct Ready {
    /// What was decided.
    pub plan: Plan,
    /// The last of them.
    pub commit: ObjectId,
    /// What their message says, the subject first; of the session's own commits that of all.
    pub message: String,
    /// What the checks said of the tree, where they were run now.
    pub verify: Option<VerifyRecord>,
    /// What the branch must be at for the push.
    expected: Option<ObjectId>,
    /// Whether the remote has them already.
    is_there: bool,
}

/// What would be pushed.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// What was decided.
    pub plan: Plan,
    /// What its message would say.
    pub message: String,
    /// What stands for the commit: others may be put on it.
    pub commit: ObjectId,
}

/// What came of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// The branch is new.
    Created,
    /// The branch has moved.
    Moved,
    /// It was there already.
    Nothing,
}

/// Says what would be pushed, and moves nothing; the branch it is for is taken to be at `tip`. With
/// [`Repo::in_memory`] nothing is written.
///
/// # Errors
/// Every reason not to push.
pub fn rehearse(
    repo: &Repo,
    session: &Session,
    route: &Route,
    tip: ObjectId,
    wish: &Wish<'_>,
) -> Result<Rehearsed, PullError> {
    let state = session.state()?;
    let plan = decide(repo, session, &state, route, tip, wish)?;
    let commit = pick::like(repo, tip, plan.tree, &[tip])?;
    Ok(Rehearsed { plan, message: commit::words(&session.spec, &state), commit })
}

/// Makes the commits and pushes them; again, where the branch that it is for has moved while the
/// checks ran. The caller holds the session.
///
/// # Errors
/// Every reason not to land there; somebody else has been on the branch; git, a hook or the remote
/// refuses.
pub fn deliver(
    repo: &Repo,
    session: &Session,
    state: &State,
    route: &Route,
    wish: &Wish<'_>,
) -> Result<(Ready, Made), PullError> {
    // From before the first object is written until the remote has the last.
    repo.keep_written(&session.kept_dir())?;
    let ready = on_top(repo, session, state, route, wish);
    let pushed = ready.and_then(|ready| push(repo, route, &ready).map(|made| (ready, made)));
    if let Err(error) = repo.let_go() {
        tracing::warn!(%error, "what was written is kept on");
    }
    pushed
}

/// Makes the commits on top of what the remote has when they are made.
fn on_top(
    repo: &Repo,
    session: &Session,
    state: &State,
    route: &Route,
    wish: &Wish<'_>,
) -> Result<Ready, PullError> {
    const AGAIN: usize = 3;
    let mut tips = route.tips(repo)?;
    for _ in 0..AGAIN {
        route.fetch(repo, tips.into)?;
        let ready = prepare(repo, session, state, route, tips, wish)?;
        // Nothing else takes so long that it is asked again.
        if ready.verify.is_none() {
            return Ok(ready);
        }
        let now = route.tips(repo)?;
        if now.into == tips.into {
            return Ok(ready);
        }
        tips = now;
    }
    route.fetch(repo, tips.into)?;
    prepare(repo, session, state, route, tips, wish)
}

/// Makes the commits.
fn prepare(
    repo: &Repo,
    session: &Session,
    state: &State,
    route: &Route,
    tips: Tips,
    wish: &Wish<'_>,
) -> Result<Ready, PullError> {
    let mut plan = decide(repo, session, state, route, tips.into, wish)?;
    let ours = known(state, route);
    if let Some(found) = tips.branch.filter(|found| ours.is_none_or(|ours| ours != *found)) {
        return Err(route.foreign(&route.branch, found));
    }
    let message = commit::words(&session.spec, state);
    if let (Some(ours), Some(_)) = (ours, tips.branch)
        && repo.has_object(ours)
        && repo.tree_of(ours)? == plan.tree
        && repo.is_ancestor(tips.into, ours).map_err(LandError::from)?
    {
        // What was pushed was verified then.
        plan.verified |= plan.due.is_some();
        plan.due = None;
        let (expected, verify) = (tips.branch, None);
        return Ok(Ready { plan, commit: ours, message, verify, expected, is_there: true });
    }
    let made = commit::make(repo, session, state, &mut plan, wish)?;
    // The hook that judges a push reads them.
    apply::write_notes(repo, session, state, &made)?;
    Ok(Ready {
        plan,
        commit: made.commit,
        message,
        verify: made.verify,
        expected: tips.branch,
        is_there: false,
    })
}

/// Pushes them.
fn push(repo: &Repo, route: &Route, ready: &Ready) -> Result<Made, PullError> {
    if ready.is_there {
        return Ok(Made::Nothing);
    }
    let branch = route.full_branch();
    let expected = ready.expected.map(|id| id.to_string()).unwrap_or_default();
    let lease = format!("--force-with-lease={branch}:{expected}");
    let refspec = format!("{}:{branch}", ready.commit);
    push_refs(repo, &route.push_remote, &[&lease], &[&refspec])?;
    Ok(if ready.expected.is_some() { Made::Moved } else { Made::Created })
}

/// Pushes the session's record beside the branch.
///
/// # Errors
/// git, a hook or the remote refuses.
pub fn push_record(repo: &Repo, route: &Route, id: &str) -> Result<(), PullError> {
    let name = format!("{}{id}", record::PREFIX);
    push_refs(repo, &route.push_remote, &[], &[&format!("+{name}:{name}")])
}

/// Tells the session, its journal and its record of its pull request. The caller holds it.
///
/// # Errors
/// Its files or refs cannot be written.
pub fn note(
    repo: &Repo,
    session: &Session,
    state: &mut State,
    pull: &PullRequest,
    work: ObjectId,
) -> Result<(), PullError> {
    if state.pull_request.as_ref() == Some(pull) {
        return Ok(());
    }
    let (mut journal, _torn) = Journal::open(&session.journal_path()).map_err(LandError::from)?;
    let event = Event::now(state.step, Update::PullRequest(pull.clone()));
    journal.append(&[event]).map_err(LandError::from)?;
    state.pull_request = Some(pull.clone());
    state.updated = Timestamp::now();
    Ok(apply::put_on_record(repo, session, state, work)?)
}

fn decide(
    repo: &Repo,
    session: &Session,
    state: &State,
    route: &Route,
    tip: ObjectId,
    wish: &Wish<'_>,
) -> Result<Plan, PullError> {
    Plan::check_rests(session, state)?;
    let start = repo.resolve_commit(&route.start).map_err(LandError::from)?;
    // A branch of the stack's own was held to that when it was pushed.
    let missing = match route.at {
        Some(_) => 0,
        None => repo.commits_beyond(start, &[tip]).map_err(LandError::from)?.len(),
    };
    if missing > 0 {
        let commits =
            if missing == 1 { "1 commit".to_owned() } else { format!("{missing} commits") };
        let (id, base) = (session.id.clone(), route.base());
        return Err(PullError::NotPushed { id, base, commits });
    }
    let branch = format!("refs/remotes/{}", route.base());
    let target = Target { branch, tip, checkouts: Vec::new() };
    let wish = &Wish { below: &route.below, ..*wish };
    let plan = Plan::decide_for(repo, session, state, target, wish)?;
    Ok(check::held_to_policy(plan, session, state, wish)?)
}

/// What we know to have pushed to this branch.
fn known(state: &State, route: &Route) -> Option<ObjectId> {
    let pull = state.pull_request.as_ref()?;
    let is_it = pull.branch == route.branch && pull.remote == route.push_remote;
    ObjectId::from_hex(pull.commit.as_bytes()).ok().filter(|_| is_it)
}

fn push_refs(repo: &Repo, remote: &str, how: &[&str], refspecs: &[&str]) -> Result<(), PullError> {
    let git = repo.user_git_in_main().args(["push", "--no-follow-tags", "--porcelain"]).args(how);
    let done = git.args(["--", remote]).args(refspecs).run()?;
    if done.exit == 0 {
        return Ok(());
    }
    let text = [done.stdout, done.stderr].concat();
    Err(PullError::Push { remote: remote.to_owned(), said: verdict(&text) })
}

/// git's own words for what went wrong: why a ref was refused, else what it, the remote or a hook
/// said last.
pub(super) fn verdict(said: &[u8]) -> String {
    let text = redact::printed(&String::from_utf8_lossy(said));
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    // `!\t<from>:<to>\t[remote rejected] (protected branch hook declined)`
    let refused = lines.iter().find_map(|line| line.strip_prefix('!')?.rsplit('\t').next());
    let told = |prefix: &'static str| {
        let lines = lines.iter().filter_map(move |line| line.strip_prefix(prefix));
        lines.map(|line| line.trim().trim_start_matches("error: ").to_owned())
    };
    let remote = told("remote:").find(|line| !line.is_empty());
    match (refused, remote) {
        (Some(refused), Some(remote)) => format!("{refused}: {remote}"),
        (Some(refused), None) => refused.to_owned(),
        (None, _) => {
            let own = told("error:").chain(told("fatal:")).next();
            own.or_else(|| lines.last().map(|line| (*line).to_owned())).unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn what_git_says_is_told_in_one_line() {
        let said = |text: &str| verdict(text.as_bytes());
        let protected = "To x\n!\taa:refs/heads/x\t[remote rejected] (pre-receive hook declined)\n\
                         Done\nremote: error: GH006: Protected branch update failed for x.        \n\
                         error: failed to push some refs to 'x'\n";
        assert_eq!(
            said(protected),
            "[remote rejected] (pre-receive hook declined): GH006: Protected branch update failed \
             for x."
        );
        assert_eq!(said("!\ta:b\t[rejected] (stale info)\n"), "[rejected] (stale info)");
        assert_eq!(said("fatal: unable to access 'x': no\n"), "unable to access 'x': no");
        let hook = "error: 1 check failed: nothing was pushed to origin\nerror: failed to push";
        assert_eq!(said(hook), "1 check failed: nothing was pushed to origin");
        assert_eq!(said(""), "");
    }
}
