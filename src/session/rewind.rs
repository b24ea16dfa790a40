//! Code and conversation set to another moment of the session's past, and back.
//!
//! 1. The intent says that something is about to move.
//! 2. What the worktree holds and no commit does is put on record; the record there is written,
//!    objects only, and the intent names it.
//! 3. Branch and session ref move in one transaction, each from where it was.
//! 4. The files follow.
//! 5. The journal says so, and with it the state and the record; the intent is taken away.
//!
//! Invariant: nothing is lost, since each record has the one before it for a parent; cut off
//! anywhere, the next who holds the session's lock finishes it, or finds that it never began.

mod intent;

use std::time::Duration;

use jiff::Timestamp;

use super::checkpoint::{self, CheckpointError, Checkpoints, Place};
use super::format::FormatError;
use super::journal::{self, Journal, Reader};
use super::record::{Record, RecordError, Recorder};
use super::spec::Spec;
use super::state::{Changes, IllegalMove, Phase, State};
use super::store::Session;
use super::worktree;
use crate::config::ConfigError;
use crate::event::line::{self, Line};
use crate::event::{Event, Rewind, Update, Way};
use crate::git::{
    self, DiffError, Expected, GitError, ObjectError, ObjectId, OpenError, RefError, RefUpdate,
    Repo, RevisionError, Status, WorktreeError,
};
use intent::Intent;

/// How old a lock on the index must be before it is taken for one that a killed rewind left.
const DEAD_LOCK: Duration = Duration::from_secs(2);

/// Where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The end of this step; 0 is the start.
    Step(u32),
    /// Where it was before the last rewind.
    Undo,
    /// Where it was before the last undo.
    Redo,
}

/// What a rewind does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the journal says of it.
    pub rewind: Rewind,
    /// Steps that count no more.
    pub steps_left: u32,
    /// What people said and counts no more, in order.
    pub unsaid: Vec<String>,
    /// Files that change.
    pub files: Vec<Touched>,
    /// Files among them that no commit held.
    pub uncommitted: Vec<String>,
}

/// A file that a rewind changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Its path.
    pub path: String,
    /// `A` comes back, `D` goes away, `M` changes.
    pub how: char,
}

/// Why a session is not set to another moment, or not forked there.
#[derive(Debug, thiserror::Error)]
pub enum RewindError {
    /// There is no such step.
    #[error("{id} has no step {step}: it has {}", match steps { 0 => "none yet".to_owned(), 1 => "1 step".to_owned(), steps => format!("{steps} steps") })]
    NoStep {
        /// The session.
        id: String,
        /// The step.
        step: u32,
        /// How many there are.
        steps: u32,
    },
    /// No rewind is there to undo, or no undo to redo.
    #[error("there is nothing to {what} in {id}")]
    Nothing {
        /// The session.
        id: String,
        /// `undo` or `redo`.
        what: &'static str,
    },
    /// The session is over.
    #[error("session {id} is {phase}")]
    Over {
        /// The session.
        id: String,
        /// What it is.
        phase: Phase,
    },
    /// The files went half the way, and not back. Who runs the session next finishes it.
    #[error("{id} is rewound, but its files could not follow")]
    HalfWay {
        /// The session.
        id: String,
        /// What stood in the way.
        #[source]
        source: Box<CheckpointError>,
    },
    /// The code cannot be read or moved.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The files cannot be brought there.
    #[error(transparent)]
    Worktree(#[from] WorktreeError),
    /// The record cannot be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A file of the session cannot be read or written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A setting makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The worktree cannot be opened.
    #[error("the worktree cannot be used")]
    Open(#[from] OpenError),
    /// A ref cannot be read.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// An object cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The base is not there.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// Trees cannot be compared.
    #[error(transparent)]
    Diff(#[from] DiffError),
    /// The phase does not allow it.
    #[error(transparent)]
    Move(#[from] IllegalMove),
    /// git does not know the user.
    #[error("the author of records is not known")]
    Identity(#[source] GitError),
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Says what [`rewind`] would do, and writes nothing. None where there is nothing to do.
///
/// # Errors
/// Every reason not to rewind.
pub fn rehearse(
    repo: &Repo,
    session: &Session,
    target: Target,
) -> Result<Option<Plan>, RewindError> {
    let view = worktree::open(repo, &session.spec.worktree)?.in_memory();
    let mut checkpoints = open(view, &session.spec)?;
    let from = checkpoints.here()?;
    decide(&checkpoints, session, &session.state()?, from, target)
}

/// Sets code and conversation to another moment. The caller holds the session's lock and has
/// finished what was cut off; the session is paused then. None where there is nothing to do.
///
/// # Errors
/// See [`RewindError`]; but for [`RewindError::HalfWay`], all is as it was.
pub fn rewind(
    repo: &Repo,
    session: &Session,
    state: &mut State,
    target: Target,
) -> Result<Option<Plan>, RewindError> {
    let path = session.journal_path();
    // A torn end is set aside before anything is recorded.
    let (mut journal, _torn) = Journal::open(&path)?;
    let untold = checkpoint::untold(repo, &session.spec, state, &path)?.into_iter();
    let untold: Vec<_> =
        untold.map(|made| Event::now(state.step, Update::Checkpoint(made))).collect();
    journal.append(&untold)?;
    drop(journal);
    state.untold.clear();
    let mut checkpoints = open(worktree::open(repo, &session.spec.worktree)?, &session.spec)?;
    let own = own_place(repo, session)?.tree;
    let moved = checkpoints.take_branch(own)?;
    let from = checkpoints.here()?;
    let Some(plan) = decide(&checkpoints, session, state, from, target)? else { return Ok(None) };
    let to = Place::parse(&plan.rewind.to).ok_or_else(|| damaged(session))?;
    // From here on a lock on the worktree's index may be one of ours.
    let mut intent = Intent::new(plan.rewind.clone(), moved);
    intent.write(session)?;
    if let Err(error) = set_out(&mut checkpoints, session, state, &mut intent, to) {
        Intent::clear(session)?;
        return Err(error);
    }
    if let Err(source) = checkpoints.check_out(to.tree) {
        return Err(match turn_back(&mut checkpoints, session, state, from) {
            Ok(()) => source.into(),
            Err(error) => {
                tracing::error!(%error, "a rewind is left half way");
                RewindError::HalfWay { id: session.id.clone(), source: Box::new(source) }
            }
        });
    }
    complete(repo, session, state, &intent)?;
    Ok(Some(plan))
}

/// Puts what is left on record, and moves the refs.
fn set_out(
    checkpoints: &mut Checkpoints,
    session: &Session,
    state: &mut State,
    intent: &mut Intent,
    to: Place,
) -> Result<(), RewindError> {
    let path = session.journal_path();
    checkpoints.check_way(to.tree)?;
    checkpoints.keep(state, &path)?;
    let mut there = State { step: intent.rewind.step, ..state.clone() };
    let set_out = checkpoints.prepare(to, &mut there, &path)?;
    intent.set_out(set_out.record(), there.recorded);
    intent.write(session)?;
    Ok(checkpoints.go(&set_out, &format!("agent: {}", reason(&intent.rewind)))?)
}

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

/// Where the code is as the whole journal says it: without what nobody has taken up yet.
fn own_place(repo: &Repo, session: &Session) -> Result<Place, RewindError> {
    let events = journal::events(&session.journal_path())?;
    place_said(repo, session, Line::of(&events).events())
}

/// Where the code was at the end of a step: what the checkpoints of the line say, else where the
/// session began.
pub(super) fn place_at(
    repo: &Repo,
    session: &Session,
    line: &Line<'_>,
    step: u32,
) -> Result<Place, RewindError> {
    match unsaid(repo, session, line, step)? {
        Some(place) => Ok(place),
        None => place_said(repo, session, line.until(step)),
    }
}

/// Where the code was as the checkpoints of this part of a line say it.
fn place_said(repo: &Repo, session: &Session, part: &[&Event]) -> Result<Place, RewindError> {
    let checkpoints = || {
        part.iter().rev().filter_map(|event| match &event.update {
            Update::Checkpoint(checkpoint) => Some(checkpoint),
            _ => None,
        })
    };
    let parse = |hex: &str| ObjectId::from_hex(hex.as_bytes()).map_err(|_| damaged(session));
    let head = match checkpoints().find_map(|checkpoint| checkpoint.commit.as_deref()) {
        Some(head) => parse(head)?,
        None => repo.resolve_commit(&session.spec.base.commit)?,
    };
    let tree = match checkpoints().next() {
        Some(checkpoint) => parse(&checkpoint.tree)?,
        None => repo.tree_of(head)?,
    };
    Ok(Place { head, tree })
}

fn open(view: Repo, spec: &Spec) -> Result<Checkpoints, RewindError> {
    let max_file_size = view.agent_config()?.0.max_file_size;
    Ok(Checkpoints::open(view, spec.clone(), max_file_size)?)
}

fn decide(
    checkpoints: &Checkpoints,
    session: &Session,
    state: &State,
    from: Place,
    target: Target,
) -> Result<Option<Plan>, RewindError> {
    let (repo, id) = (checkpoints.repo(), &session.id);
    if state.phase.is_final() {
        return Err(RewindError::Over { id: id.clone(), phase: state.phase });
    }
    let events = journal::events(&session.journal_path())?;
    let line = Line::of(&events);
    let returned = |way, what| {
        let (part, place) = line.to(way).ok_or(RewindError::Nothing { id: id.clone(), what })?;
        Ok::<_, RewindError>((way, part, Place::parse(place)))
    };
    let (way, part, to) = match target {
        Target::Step(step) if step > line.steps() => {
            return Err(RewindError::NoStep { id: id.clone(), step, steps: line.steps() });
        }
        Target::Step(step) => {
            (Way::Back, line.until(step), Some(place_at(repo, session, &line, step)?))
        }
        Target::Undo => returned(Way::Undo, "undo")?,
        Target::Redo => returned(Way::Redo, "redo")?,
    };
    let to = to.ok_or_else(|| damaged(session))?;
    // One line begins as the other does.
    let shared = part.iter().zip(line.events()).take_while(|(a, b)| std::ptr::eq(**a, **b)).count();
    let left = &line.events()[shared..];
    let counts =
        |event: &&&Event| matches!(event.update, Update::AgentMessage(_) | Update::UserMessage(_));
    if way == Way::Back && from == to && !left.iter().any(|event| counts(&event)) {
        return Ok(None);
    }
    let answers = left.iter().filter(|event| matches!(event.update, Update::AgentMessage(_)));
    let step = line::steps(part);
    let rewind = Rewind { way, step, from: from.to_event(), to: to.to_event() };
    Ok(Some(Plan {
        rewind,
        steps_left: u32::try_from(answers.count()).unwrap_or(u32::MAX),
        unsaid: left.iter().filter_map(|event| said(event)).collect(),
        files: touched(repo, from.tree, to.tree)?,
        uncommitted: uncommitted(checkpoints, from)?,
    }))
}

/// The end of the last step as the record has it, where the run died before the journal had it.
fn unsaid(
    repo: &Repo,
    session: &Session,
    line: &Line<'_>,
    step: u32,
) -> Result<Option<Place>, RewindError> {
    let is_said =
        |event: &&Event| event.step == step && matches!(event.update, Update::Checkpoint(_));
    if step == 0 || step != line.steps() || line.events().iter().any(is_said) {
        return Ok(None);
    }
    let Some(Record { state, .. }) = Record::last(repo, &session.id)? else { return Ok(None) };
    let id = |hex: Option<&str>| ObjectId::from_hex(hex?.as_bytes()).ok();
    let place = id(state.head.as_deref()).zip(id(state.tree.as_deref()));
    Ok(place.filter(|_| state.step == step).map(|(head, tree)| Place { head, tree }))
}

fn touched(repo: &Repo, from: ObjectId, to: ObjectId) -> Result<Vec<Touched>, DiffError> {
    let mut files = Vec::new();
    for file in repo.diff_stat(from, to)?.paths {
        let how = match &file.status {
            Status::Added => 'A',
            Status::Deleted => 'D',
            Status::Modified => 'M',
            Status::Renamed(old) => {
                files.push(Touched { path: old.to_string(), how: 'D' });
                'A'
            }
        };
        files.push(Touched { path: file.path.to_string(), how });
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

/// Files that the session's last checkpoint does not hold as they are.
fn uncommitted(checkpoints: &Checkpoints, from: Place) -> Result<Vec<String>, RewindError> {
    let repo = checkpoints.repo();
    let last = repo.tree_of(checkpoints.code())?;
    let files = touched(repo, last, from.tree)?;
    Ok(files.into_iter().map(|file| file.path).collect())
}

fn said(event: &Event) -> Option<String> {
    match &event.update {
        Update::UserMessage(message) if message.from == crate::event::Origin::Person => {
            Some(message.text.clone())
        }
        _ => None,
    }
}

/// Puts files and refs back, after the files could not follow.
fn turn_back(
    checkpoints: &mut Checkpoints,
    session: &Session,
    state: &mut State,
    from: Place,
) -> Result<(), RewindError> {
    let path = session.journal_path();
    checkpoints.here()?;
    checkpoints.check_out(from.tree)?;
    let mut here = state.clone();
    let back = checkpoints.prepare(from, &mut here, &path)?;
    checkpoints.go(&back, "agent: rewind undone")?;
    state.recorded = here.recorded;
    state.write(&session.state_path())?;
    Ok(Intent::clear(session)?)
}

/// Says that it has happened: in the journal, on record, in the state.
fn complete(
    repo: &Repo,
    session: &Session,
    state: &mut State,
    intent: &Intent,
) -> Result<(), RewindError> {
    let path = session.journal_path();
    let (mut journal, _torn) = Journal::open(&path)?;
    let rewind = &intent.rewind;
    if !is_said(session, intent)? {
        let moved = intent.moved.clone().map(Update::Checkpoint);
        let moved = moved.into_iter().map(|moved| Event::now(state.step, moved));
        let mut news: Vec<_> = moved.collect();
        news.push(Event::now(rewind.step, Update::Rewind(rewind.clone())));
        if !matches!(state.phase, Phase::Paused | Phase::Queued) {
            let change = state.move_to(Phase::Paused, "", Timestamp::now())?;
            news.push(Event::now(rewind.step, Update::State(change)));
        }
        journal.append(&news)?;
    }
    let events = journal::events(&session.journal_path())?;
    let line = Line::of(&events);
    follow(&line, state);
    // One that somebody lets go on goes on from there.
    if state.phase != Phase::Queued {
        state.phase = Phase::Paused;
        state.reason = reason(rewind);
    }
    state.updated = Timestamp::now();
    state.head = Some(rewind.to.head.clone());
    // Not what is in no commit besides: that is no step's.
    state.tree = Some(place_said(repo, session, line.events())?.tree.to_string());
    let to = Place::parse(&rewind.to).ok_or_else(|| damaged(session))?;
    state.changes = changes(repo, &session.spec, to.tree)?;
    state.settled = true;
    let last = Record::last(repo, &session.id)?.ok_or_else(|| damaged(session))?;
    let who = repo.identity().map_err(RewindError::Identity)?;
    let recorder = Recorder::open(repo, &session.id)?;
    let written = recorder.write(repo, &session.spec, state, &path, last.code, &who)?;
    repo.update_refs(&[written.update])?;
    state.write(&session.state_path())?;
    Ok(Intent::clear(session)?)
}

/// What the state shows of a line.
pub(super) fn follow(line: &Line<'_>, state: &mut State) {
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
pub(super) fn changes(repo: &Repo, spec: &Spec, tree: ObjectId) -> Result<Changes, RewindError> {
    let base = repo.tree_of(repo.resolve_commit(&spec.base.commit)?)?;
    let git::DiffStat { files, insertions, deletions, .. } = repo.diff_stat(base, tree)?;
    Ok(Changes { files, insertions, deletions })
}

fn reason(rewind: &Rewind) -> String {
    match (rewind.way, rewind.step) {
        (Way::Back, 0) => "rewound to the start".to_owned(),
        (Way::Back, step) => format!("rewound to step {step}"),
        (Way::Undo, step) => format!("a rewind is undone: at step {step}"),
        (Way::Redo, step) => format!("a rewind is made again: at step {step}"),
    }
}

fn damaged(session: &Session) -> RewindError {
    std::io::Error::other(format!("the journal of {} names no such commit", session.id)).into()
}
