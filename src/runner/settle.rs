//! The end, or the pause, of a session that nobody runs: one that waits, rests, or has died.
//!
//! Invariant: what a run that has died left in the worktree is committed before the session is
//! settled, or it is said why not; and whoever runs the session just now is never overruled.

use jiff::Timestamp;

use super::gate::Gate;
use super::past::{self, Past};
use super::{break_dead_locks, fault, open_worktree};
use crate::agent::{Fault, why_denied};
use crate::event::{Decision, Event, Question, Update, Verdict};
use crate::file::Changed;
use crate::git::Repo;
use crate::session::checkpoint::{self, Checkpoints, Ends, Step};
use crate::session::format::FormatError;
use crate::session::journal::Journal;
use crate::session::lock::LockError;
use crate::session::rewind::{self, RewindError};
use crate::session::state::{Phase, State};
use crate::session::store::{Session, SessionError};
use crate::session::subject::Words;
use crate::trust::team;

/// What the commit of what a dead run has left is called.
const LEFT: &str = "Keep what there was when it was stopped";

/// A session that cannot be settled; it is as before.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// A newer program wrote it, or it cannot be used.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A rewind of it was cut off and cannot be finished.
    #[error(transparent)]
    Rewind(#[from] RewindError),
    /// Its state cannot be written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Its journal or its ticket cannot be written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Moves a session to this phase, if nobody runs it; says whether nobody does. One that may not
/// move there by now stays where it is.
///
/// # Errors
/// See [`SettleError`].
pub fn settle(
    repo: &Repo,
    session: &Session,
    to: Phase,
    reason: &str,
) -> Result<bool, SettleError> {
    let (_lock, mut state) = match session.lock() {
        Err(SessionError::Lock { error: LockError::Held { .. }, .. }) => return Ok(false),
        held => held?,
    };
    rewind::finish(repo, session, &mut state)?;
    let death = session.death(&state)?;
    let mut checkpoints = None;
    let has_left = match state.phase {
        Phase::Interrupted => true,
        // It has died, was to go on, and has not yet.
        Phase::Queued => state.started.is_some() && !state.settled,
        _ => false,
    };
    if has_left && state.phase.may_become(to) {
        match keep(repo, session, &mut state) {
            Ok(kept) => checkpoints = Some(kept),
            Err(Fault(reason)) => {
                state.notice(format!("what was in the worktree is not committed: {reason}"));
            }
        }
    }
    let Ok(change) = state.move_to(to, reason, Timestamp::now()) else { return Ok(true) };
    let path = session.journal_path();
    let (mut journal, _) = Journal::open(&path)?;
    let change = Event::now(state.step, Update::State(change)).by(repo.who());
    journal.append(&death.into_iter().chain([change]).collect::<Vec<_>>())?;
    if let Some(mut checkpoints) = checkpoints
        && let Err(error) = checkpoints.record(&mut state, &path)
    {
        state.notice(fault(error).0);
    }
    state.write(&session.state_path())?;
    session.leave_queue()?;
    Ok(true)
}

/// Pauses a session whose question about a limit is denied, where nobody runs it; says whether
/// nobody does. The caller has the right to answer.
///
/// # Errors
/// See [`SettleError`].
pub fn deny(
    repo: &Repo,
    session: &Session,
    question: &Question,
    reason: &str,
) -> Result<bool, SettleError> {
    let (_lock, mut state) = match session.lock() {
        Err(SessionError::Lock { error: LockError::Held { .. }, .. }) => return Ok(false),
        held => held?,
    };
    rewind::finish(repo, session, &mut state)?;
    let decision = Decision {
        question: question.number,
        verdict: Verdict::Denied,
        reason: reason.to_owned(),
        inbox_id: None,
    };
    let is_asked = state.question.as_ref() == Some(question);
    let Some(why) = why_denied(question, &decision).filter(|_| is_asked) else { return Ok(false) };
    let Ok(change) = state.move_to(Phase::Paused, &why, Timestamp::now()) else {
        return Ok(false);
    };
    let (mut journal, _) = Journal::open(&session.journal_path())?;
    let updates = [Update::Decision(decision), Update::State(change)];
    let who = repo.who();
    journal.append(&updates.map(|update| Event::now(state.step, update).by(who.clone())))?;
    state.write(&session.state_path())?;
    Ok(true)
}

/// Commits what lies in the worktree of a session that has died.
fn keep(repo: &Repo, session: &Session, state: &mut State) -> Result<Checkpoints, Fault> {
    let spec = &session.spec;
    let worktree = open_worktree(repo, &spec.worktree)?;
    let base = repo.resolve_commit(&spec.base.commit).map_err(fault)?;
    // What is set wrong keeps nobody from keeping what there is.
    let config = team::settings(&worktree, base)
        .map_or_else(|_| worktree.usable_config().0, |settings| settings.config);
    checkpoint::move_branch_on(&worktree, spec).map_err(fault)?;
    let Past { mut journal, told, mut unsaid } = Past::open(&worktree, session)?;
    let path = session.journal_path();
    let untold = checkpoint::untold(&worktree, spec, state, &path).map_err(fault)?;
    unsaid.splice(0..0, untold.into_iter().map(Update::Checkpoint));
    if told.has_died() {
        break_dead_locks(&worktree, session)?;
    }
    let mut checkpoints =
        Checkpoints::open(worktree, spec.clone(), config.max_file_size).map_err(fault)?;
    *state = past::caught_up(state.clone(), &told);
    checkpoints.catch_up(state);
    let mut tell = |updates: Vec<Update>, step| {
        let events: Vec<_> = updates.into_iter().map(|update| Event::now(step, update)).collect();
        journal.append(&events).map_err(fault)
    };
    if !unsaid.is_empty() {
        tell(unsaid, state.step)?;
    }
    state.untold.clear();
    // Nothing was done before the first answer.
    if told.conversation.step() > 0 {
        let words = Words { text: LEFT, titles: &[] };
        let (number, models) = (state.step, told.bill.since_commit());
        let changed = &Changed::Anything;
        let step = Step { number, ends: Ends::Step, words, changed, models };
        let rules = Gate::new(spec, &config, repo.tree_of(base).map_err(fault)?).map_err(fault)?;
        let gate: checkpoint::Gate<'_> = &|repo, before, after| rules.findings(repo, before, after);
        let made = checkpoints.take(&step, gate, state, &path).map_err(fault)?;
        let told = state.untold.iter().cloned().chain(made.event).map(Update::Checkpoint);
        let told: Vec<_> = told.collect();
        if !told.is_empty() {
            tell(told, state.step)?;
        }
        state.untold.clear();
        if let Some(found) = made.held.first() {
            return Err(Fault(format!("{} {}", found.path, found.why)));
        }
        checkpoints.rest().map_err(fault)?;
    }
    Ok(checkpoints)
}
