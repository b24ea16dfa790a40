//! From a session as it is stored to what the views show of it.
//!
//! Invariant: a number here was measured by the session; nothing is filled in for one that is not
//! known.

use std::path::Path;

use crate::error::Result;
use crate::event::{GateKind, Limit, PullRequest};
use crate::git::{ObjectId, Repo};
use crate::queue;
use crate::session::size::Size;
use crate::session::state::{Phase, State, VerifyStatus as Verified};
use crate::session::store::{Session, Store};
use crate::ui::view::{
    AttemptView, CommitView, LimitView, LimitsView, Progress, PullView, QueueView, SessionCard,
    SessionView, SizeView, UsageView, VerifyStatus, VerifyView,
};
use crate::ui::{card, text};

/// A session as `list` shows it.
pub fn session(session: &Session, state: &State) -> SessionView {
    let spec = &session.spec;
    let worktree = spec.worktree.exists().then(|| spec.worktree.to_string_lossy().into_owned());
    let limits = state.limits.unwrap_or(spec.limits);
    SessionView {
        id: session.id.clone(),
        name: spec.name.clone(),
        task: spec.task.clone(),
        state: state.phase.to_string(),
        reason: Some(state.reason.clone()).filter(|reason| !reason.is_empty()),
        branch: spec.branch_name().to_owned(),
        worktree,
        base: spec.base.commit.clone(),
        head: state.head.clone().unwrap_or_else(|| spec.base.commit.clone()),
        steps: state.step,
        progress: Progress::of(&state.plan),
        files: state.changes.files,
        insertions: state.changes.insertions,
        deletions: state.changes.deletions,
        verify: verify(state),
        usage: UsageView {
            input: state.usage.input,
            cached: state.usage.cached,
            output: state.usage.output,
            cost_usd: state.cost_usd,
        },
        sandbox: spec.sandbox.clone(),
        created: state.created,
        updated: state.updated,
        question: state.question.as_ref().map(|question| question.text.clone()),
        waiting: state.waiting.clone().filter(|_| state.phase.needs_supervisor()),
        queue: None,
        question_kind: state.question.as_ref().map(|question| question.kind),
        limits: LimitsView {
            budget_usd: limits.budget,
            shared_budget: spec.share_budget.clone(),
            tokens: limits.max_tokens,
            steps: limits.max_steps,
            timeout_s: limits.timeout,
        },
        worked_s: state.worked / 1_000,
        conflicts_with: Vec::new(),
        attempt: spec.attempt.as_ref().map(|it| AttemptView {
            group: it.group.clone(),
            number: it.number,
            of: it.of,
            approach: it.approach.clone(),
        }),
        gates: [GateKind::Coverage, GateKind::Bench]
            .into_iter()
            .filter_map(|it| state.gate(it))
            .collect(),
        experiment: spec.experiment,
        pull_request: state.pull_request.as_ref().map(pull),
        note: note(state),
        model: spec.model_label(),
        size: None,
    }
}

/// A pull request as `list` shows it.
pub fn pull(pull: &PullRequest) -> PullView {
    PullView {
        number: pull.number,
        url: pull.url.clone(),
        state: pull.state.clone(),
        branch: pull.branch.clone(),
        label: pull.label(),
    }
}

/// What a session takes on the disk, as `list --size` shows it.
pub fn size(size: Size) -> SizeView {
    let Size { worktree, state, logs } = size;
    SizeView { worktree, state, logs, total: size.total() }
}

/// Adds where those stand that wait to be run. Nothing is read where nobody does.
///
/// # Errors
/// The queue cannot be read, or a setting is wrong.
pub fn add_places(repo: &Repo, views: &mut [SessionView]) -> Result {
    if views.iter().all(|view| view.state != Phase::Queued.as_str()) {
        return Ok(());
    }
    let places = queue::places(repo)?;
    for view in views {
        let Some(place) = places.get(&view.id) else { continue };
        view.note = Some(card::place(place));
        view.queue = Some(QueueView {
            position: place.position,
            of: place.of,
            priority: place.priority.as_str().to_owned(),
            waits_for: place.waits_for.clone(),
        });
    }
    Ok(())
}

/// A session as `status` shows it.
///
/// # Errors
/// Its commits cannot be read.
pub fn card(repo: &Repo, session: &Session, state: &State) -> Result<SessionCard> {
    let mut notices = state.notices.clone();
    notices.extend(state.left_out.iter().map(|file| format!("left out of the commits: {file}")));
    let mut view = self::session(session, state);
    add_places(repo, std::slice::from_mut(&mut view))?;
    Ok(SessionCard {
        session: view,
        plan: state.plan.clone(),
        commits: commits(repo, session, state)?,
        options: state.question.as_ref().map_or_else(Vec::new, |asked| asked.options.clone()),
        // What a process was about that is no more tells nothing.
        activity: if state.phase.needs_supervisor() {
            state.activity.clone()
        } else {
            String::new()
        },
        place: from_here(&session.spec.worktree),
        summary: state.summary.clone(),
        notices,
        limits: limits(repo, session, state)?,
    })
}

/// A path as one would type it here, where that is shorter.
pub fn from_here(path: &Path) -> String {
    match std::env::current_dir() {
        Ok(here) => text::path_from(&here, path),
        Err(_) => path.display().to_string(),
    }
}

/// How far each limit is used up; of a shared budget by all that share it.
fn limits(repo: &Repo, session: &Session, state: &State) -> Result<Vec<LimitView>> {
    let allowed = state.limits.unwrap_or(session.spec.limits);
    let mut views = Vec::new();
    for limit in [Limit::Budget, Limit::Timeout, Limit::Steps, Limit::Tokens] {
        let shared = session.spec.share_budget.as_deref().filter(|_| limit == Limit::Budget);
        if let Some(name) = shared {
            let balance = Store::open(repo.common_dir()).budget(name).balance()?;
            // Nothing booked for what has no price is not nothing spent.
            let is_unknown = state.step > 0 && state.cost_usd.is_none() && balance.spent == 0.0;
            let spent = (!is_unknown).then_some(balance.spent);
            let shared = Some(name.to_owned());
            views.push(LimitView { limit, spent, to: balance.to, shared });
        } else if let Some(to) = allowed.of(limit) {
            // What was not begun has cost nothing; what has no price cannot be counted.
            let spent = state.spent(&session.spec, limit);
            let spent = spent.or_else(|| (state.step == 0).then_some(0.0));
            views.push(LimitView { limit, spent, to, shared: None });
        }
    }
    Ok(views)
}

/// The commits since the base, oldest first. A tip that is gone has none: the card still shows.
fn commits(repo: &Repo, session: &Session, state: &State) -> Result<Vec<CommitView>> {
    let tip = state.head.as_deref().and_then(|head| ObjectId::from_hex(head.as_bytes()).ok());
    let base = ObjectId::from_hex(session.spec.base.commit.as_bytes()).ok();
    let (Some(base), Some(tip)) = (base, tip) else { return Ok(Vec::new()) };
    if !repo.has_object(tip) || !repo.has_object(base) {
        return Ok(Vec::new());
    }
    let mut commits = Vec::new();
    for id in repo.commits_between(base, tip)? {
        let commit = repo.read_commit(id)?;
        let subject = commit.message.lines().next().unwrap_or_default().to_owned();
        let time = jiff::Timestamp::from_second(commit.time.seconds).unwrap_or_default();
        commits.push(CommitView { id: id.to_string(), subject, time });
    }
    Ok(commits)
}

fn verify(state: &State) -> VerifyView {
    let record = state.verify.as_ref();
    VerifyView {
        status: match state.verify_status() {
            Verified::Passed => VerifyStatus::Passed,
            Verified::Failed => VerifyStatus::Failed,
            Verified::None => VerifyStatus::None,
        },
        command: record.map(|record| record.command.clone()),
        exit: record.map(|record| record.exit),
        tree: record.map(|record| record.tree.clone()),
    }
}

/// What a person should know besides the state: why it rests.
fn note(state: &State) -> Option<String> {
    let rests = !matches!(state.phase, Phase::Running | Phase::Verifying | Phase::NeedsInput);
    Some(state.reason.clone()).filter(|reason| rests && !reason.is_empty())
}
