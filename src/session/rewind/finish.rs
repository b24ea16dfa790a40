//! The end of a rewind, by who began it or by the next who holds the session.
//!
//! Invariant: what is done already is not done twice; while it is not at its end, the intent is
//! there.

use std::time::Duration;

use jiff::Timestamp;

use super::intent::Intent;
use super::{RewindError, damaged, open, place_said};
use crate::event::line::Line;
use crate::event::{Event, Question, Rewind, Update, Way};
use crate::git::{self, Expected, ObjectId, RefUpdate, Repo};
use crate::session::checkpoint::Place;
use crate::session::journal::{self, Journal, Reader};
use crate::session::record::{Record, Recorder};
use crate::session::spec::Spec;
use crate::session::state::{Changes, Phase, State};
use crate::session::store::Session;
use crate::session::worktree;

/// How old a lock on the index must be before it is taken for one that a killed rewind left.
const DEAD_LOCK: Duration = Duration::from_secs(2);

/// Finishes a rewind of this session that was cut off; says whether there was one. The caller
/// holds the session's lock.
///
/// # Errors
/// It cannot be finished; it is then still to be finished.
pub fn finish(repo: &Repo, session: &Session, state: &mut State) -> Result<bool, RewindError> {
    let Some(intent) = Intent::read(session)? else { return Ok(false) };
    unlock_index(repo, session)?;
    if !move_on(repo, session, &intent)? {
        Intent::clear(session)?;
        return Ok(false);
    }
    let to = Place::parse(&intent.rewind.to).ok_or_else(|| damaged(session))?;
    // Without a worktree there are no files to follow; who restores it makes them right. And what
    // a person has committed since is gone on from, as ever.
    let is_there = repo.ref_id(&session.spec.branch)? == Some(to.head);
    if is_there && !is_said(session, &intent)? && session.spec.worktree.exists() {
        let mut checkpoints = open(worktree::open(repo, &session.spec.worktree)?, &session.spec)?;
        // Some are there already, and somebody may have worked in it since.
        checkpoints.here()?;
        checkpoints.keep(state, &session.journal_path())?;
        checkpoints.check_out(to.tree)?;
    }
    complete(repo, session, state, &intent)?;
    Ok(true)
}

/// Moves on what a crash has left behind of branch and session ref: a transaction is safe from
/// others, but not from a kill between its files. Says whether one of them had moved.
fn move_on(repo: &Repo, session: &Session, intent: &Intent) -> Result<bool, RewindError> {
    let parse = |place| Place::parse(place).ok_or_else(|| damaged(session));
    let (from, to) = (parse(&intent.rewind.from)?, parse(&intent.rewind.to)?);
    let Some(record) = intent.record() else { return Ok(false) };
    let (name, branch) = (session.ref_name(), &session.spec.branch);
    for name in [&name, branch] {
        repo.break_dead_lock(name, DEAD_LOCK)?;
    }
    let last = Record::last(repo, &session.id)?.ok_or_else(|| damaged(session))?;
    let head = repo.ref_id(branch)?;
    let is_recorded = repo.has_object(record) && repo.is_ancestor(record, last.commit)?;
    let has_branch_moved = from.head != to.head && head == Some(to.head);
    let update = |name: &str, old, new| RefUpdate {
        name: name.to_owned(),
        old: Expected::Is(old),
        new: Some(new),
        reason: format!("agent: {}", reason(&intent.rewind)),
    };
    match (is_recorded, has_branch_moved) {
        (false, false) => return Ok(false),
        (false, true) => repo.update_refs(&[update(&name, last.commit, record)])?,
        (true, false) if head == Some(from.head) && from.head != to.head => {
            repo.update_refs(&[update(branch, from.head, to.head)])?;
        }
        (true, _) => {}
    }
    Ok(true)
}

/// Takes away the lock that a killed rewind, or its git, has left on the worktree's index, which is
/// no ref, but is locked as one.
fn unlock_index(repo: &Repo, session: &Session) -> Result<(), RewindError> {
    let Some(git_dir) = worktree::git_dir(&session.spec.worktree) else { return Ok(()) };
    if let Ok(index) = git_dir.join("index").strip_prefix(repo.common_dir()) {
        repo.break_dead_lock(&index.to_string_lossy(), DEAD_LOCK)?;
    }
    Ok(())
}

/// Whether the journal tells of this rewind.
fn is_said(session: &Session, intent: &Intent) -> Result<bool, RewindError> {
    let mut events = Reader::open(&session.journal_path(), intent.journal)?.events();
    Ok(events.any(|event| event.is_ok_and(|event| matches!(event.update, Update::Rewind(_)))))
}

/// Says that it has happened: in the journal, on record, in the state.
pub(super) fn complete(
    repo: &Repo,
    session: &Session,
    state: &mut State,
    intent: &Intent,
) -> Result<(), RewindError> {
    let path = session.journal_path();
    let rewind = &intent.rewind;
    let mut events = journal::events(&path)?;
    let before = events.len();
    let is_said = is_said(session, intent)?;
    if !is_said {
        let moved = intent.moved.clone().map(|made| (state.step, Update::Checkpoint(made)));
        let said = moved.into_iter().chain([(rewind.step, Update::Rewind(rewind.clone()))]);
        let who = repo.who();
        events.extend(said.map(|(step, update)| Event::now(step, update).by(who.clone())));
    }
    let news = events[before..].to_vec();
    let line = Line::of(&events);
    // Who let it go on meanwhile is not asked again.
    let is_queued = state.phase == Phase::Queued;
    let asked = asked(&line).filter(|_| !is_queued);
    let to = if asked.is_some() { Phase::NeedsInput } else { Phase::Paused };
    let change = match is_queued || state.phase == to {
        true => None,
        false => Some(state.move_to(to, "", Timestamp::now())?),
    };
    if !is_said {
        let change = change.map(|change| Event::now(rewind.step, Update::State(change)));
        Journal::open(&path)?.0.append(&news.into_iter().chain(change).collect::<Vec<_>>())?;
    }
    follow(&line, state);
    if !is_queued {
        state.reason = if asked.is_some() { String::new() } else { reason(rewind) };
    }
    state.question = asked;
    state.updated = Timestamp::now();
    state.head = Some(rewind.to.head.clone());
    // Not what is in no commit besides: that is no step's.
    state.tree = Some(place_said(repo, session, line.events())?.tree.to_string());
    let place = Place::parse(&rewind.to).ok_or_else(|| damaged(session))?;
    state.changes = changes(repo, &session.spec, place.tree)?;
    state.settled = true;
    let last = Record::last(repo, &session.id)?.ok_or_else(|| damaged(session))?;
    let who = repo.identity().map_err(RewindError::Identity)?;
    let recorder = Recorder::open(repo, &session.id)?;
    let written = recorder.write(repo, &session.spec, state, &path, last.code, &who)?;
    repo.update_refs(&[written.update])?;
    state.write(&session.state_path())?;
    Ok(Intent::clear(session)?)
}

/// What a person was asked when the line was left, if it rested because of that.
fn asked(line: &Line<'_>) -> Option<Question> {
    let mut newest_first = line.events().iter().rev();
    let rest = newest_first.find_map(|event| match &event.update {
        Update::State(change) => Some(change.to.as_str()),
        _ => None,
    });
    rest.filter(|to| *to == Phase::NeedsInput.as_str())?;
    newest_first.find_map(|event| match &event.update {
        Update::Question(question) => Some(question.clone()),
        _ => None,
    })
}

/// What the state shows of a line.
pub(in crate::session) fn follow(line: &Line<'_>, state: &mut State) {
    state.step = line.steps();
    (state.plan, state.verify) = (Vec::new(), None);
    (state.question, state.waiting) = (None, None);
    state.summary.clear();
    state.activity.clear();
    state.left_out.clear();
    for event in line.events() {
        match &event.update {
            Update::Plan(plan) => state.plan.clone_from(plan),
            Update::Verify(record) => state.verify = Some(record.clone()),
            _ => {}
        }
    }
}

/// What a tree changes of a session's base.
pub(in crate::session) fn changes(
    repo: &Repo,
    spec: &Spec,
    tree: ObjectId,
) -> Result<Changes, RewindError> {
    let base = repo.tree_of(repo.resolve_commit(&spec.base.commit)?)?;
    let git::DiffStat { files, insertions, deletions, .. } = repo.diff_stat(base, tree)?;
    Ok(Changes { files, insertions, deletions })
}

pub(super) fn reason(rewind: &Rewind) -> String {
    match (rewind.way, rewind.step) {
        (Way::Back, 0) => "rewound to the start".to_owned(),
        (Way::Back, step) => format!("rewound to step {step}"),
        (Way::Undo, step) => format!("a rewind is undone: at step {step}"),
        (Way::Redo, step) => format!("a rewind is made again: at step {step}"),
    }
}
