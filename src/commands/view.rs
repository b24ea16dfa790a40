//! From a session as it is stored to what the views show of it.
//!
//! Invariant: a number here was measured by the session; nothing is filled in for one that is not
//! known.

use crate::error::Result;
use crate::event::Waiting;
use crate::git::{ObjectId, Repo};
use crate::queue;
use crate::session::state::{Phase, State, VerifyStatus as Verified};
use crate::session::store::Session;
use crate::ui::card;
use crate::ui::view::{
    CommitView, Progress, QueueView, SessionCard, SessionView, UsageView, VerifyStatus, VerifyView,
};

/// A session as `list` shows it.
pub fn session(session: &Session, state: &State) -> SessionView {
    let spec = &session.spec;
    let worktree = spec.worktree.exists().then(|| spec.worktree.to_string_lossy().into_owned());
    SessionView {
        id: session.id.clone(),
        name: spec.name.clone(),
        task: spec.task.clone(),
        state: state.phase.to_string(),
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
        queue: None,
        note: note(state),
        model: spec.model_label(),
    }
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
        summary: state.summary.clone(),
        notices,
    })
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

/// What a person should know besides the state: why it rests, or what it waits for.
fn note(state: &State) -> Option<String> {
    let rests = !matches!(state.phase, Phase::Running | Phase::Verifying | Phase::NeedsInput);
    match &state.waiting {
        Some(Waiting { reason, attempt, .. }) => Some(format!("waits, try {attempt}: {reason}")),
        None => Some(state.reason.clone()).filter(|reason| rests && !reason.is_empty()),
    }
}
