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

mod finish;
mod intent;

use super::checkpoint::{self, CheckpointError, Checkpoints, Place};
use super::format::FormatError;
use super::journal::{self, Journal};
use super::record::{Record, RecordError};
use super::spec::Spec;
use super::state::{IllegalMove, Phase, State};
use super::store::Session;
use super::worktree;
use crate::config::ConfigError;
use crate::event::line::{self, Line};
use crate::event::{Event, Rewind, Update, Way};
use crate::git::{
    DiffError, GitError, ObjectError, ObjectId, OpenError, RefError, Repo, RevisionError, Status,
    WorktreeError,
};
pub use finish::finish;
pub(in crate::session) use finish::{changes, follow};
use finish::{complete, reason};
use intent::Intent;

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
        /// The way back to steps that were left aside, if some were.
        way_back: Option<Way>,
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
    let plan = decide(&checkpoints, session, &session.state()?, from, target)?;
    if let Some(plan) = &plan {
        let to = Place::parse(&plan.rewind.to).ok_or_else(|| damaged(session))?;
        let is_free = checkpoints.repo().check_free(from.tree, to.tree);
        is_free.map_err(CheckpointError::from)?;
    }
    Ok(plan)
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
    checkpoint::move_branch_on(repo, &session.spec)?;
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
            let (id, steps, way_back) = (id.clone(), line.steps(), line.way_back());
            return Err(RewindError::NoStep { id, step, steps, way_back });
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

fn damaged(session: &Session) -> RewindError {
    std::io::Error::other(format!("the journal of {} names no such commit", session.id)).into()
}
