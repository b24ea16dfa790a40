//! Why work does not land, a worktree stays, or one does not come back.
//!
//! Invariant: each refusal leaves every ref and every file as it was.

use std::io;
use std::path::PathBuf;

use super::forecast::Clashing;
use crate::config::ConfigError;
use crate::git::operation::Operation;
use crate::git::{
    DiffError, GitError, MergeError, NotesError, ObjectError, ObjectId, OpenError, RefError,
    RevisionError, SnapshotError, WorktreeError,
};
use crate::process::ProcessError;
use crate::process::occupied::Occupant;
use crate::session::cage::CageError;
use crate::session::create::CreateError;
use crate::session::format::FormatError;
use crate::session::record::RecordError;
use crate::session::rewind::RewindError;
use crate::session::state::{IllegalMove, Phase};
use crate::session::store::SessionError;

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum LandError {
    /// Somebody runs the session, or is about to.
    #[error("session {id} is {phase}")]
    NotAtRest {
        /// The session's id.
        id: String,
        /// Its phase.
        phase: Phase,
    },
    /// No branch was named, and none is known.
    #[error("no branch to land on is known")]
    NoTarget,
    /// The target is no local branch.
    #[error("'{0}' is not a local branch")]
    NotABranch(String),
    /// The target is the session's own branch.
    #[error("{0} is the session's own branch")]
    OwnBranch(String),
    /// The target cannot be moved just now.
    #[error("{} is in the middle of {operation}", path.display())]
    Busy {
        /// The checkout.
        path: PathBuf,
        /// What waits for its end there.
        operation: Operation,
    },
    /// The session has changed nothing.
    #[error("session {0} has changed nothing")]
    Nothing(String),
    /// All its changes are on the target already.
    #[error("the work of {id} is already on {branch}")]
    AlreadyLanded {
        /// The session's id.
        id: String,
        /// The target.
        branch: String,
        /// The commit that brought it, where it is known.
        commit: Option<ObjectId>,
    },
    /// What is to be landed was not verified.
    #[error("{id} is not verified: {why}")]
    Unverified {
        /// The session's id.
        id: String,
        /// Why.
        why: Unverified,
    },
    /// Changes in the session's worktree are in no commit.
    #[error("changes in {} are in no commit: {}", worktree.display(), few(paths))]
    Uncommitted {
        /// The worktree.
        worktree: PathBuf,
        /// The paths.
        paths: Vec<String>,
    },
    /// It does not merge.
    #[error("{branch} and {id} conflict in {}", few(&files.iter().map(ToString::to_string).collect::<Vec<_>>()))]
    Conflicts {
        /// The target.
        branch: String,
        /// The session's id.
        id: String,
        /// The files; the target's side first.
        files: Vec<Clashing>,
    },
    /// What is about to land did not pass.
    #[error("'{command}' failed with exit code {exit} on what would land of {id}")]
    Red {
        /// The session's id.
        id: String,
        /// The command.
        command: String,
        /// Its exit code.
        exit: i32,
        /// The end of what it printed.
        output: String,
    },
    /// The worktree for the checks could not be set up as the session's was.
    #[error("agent.setup failed with exit code {exit} where the checks were to run")]
    SetUp {
        /// Its exit code.
        exit: i32,
        /// The end of what it printed.
        output: String,
    },
    /// The session was to find something out.
    #[error("{0} is an experiment: its work is not for landing")]
    Experiment(String),
    /// A hook of the user's said no.
    #[error("the hook {name} refused{}{said}", if said.is_empty() { "" } else { ": " })]
    Hook {
        /// Which one.
        name: String,
        /// The end of what it said.
        said: String,
    },
    /// What was picked of the session's work is not there.
    #[error("nothing of {id} was picked: {said}")]
    BadPick {
        /// The session's id.
        id: String,
        /// Why.
        said: String,
    },
    /// No landing is known that could be undone.
    #[error("no landing of {0} is known")]
    NoBackup(String),
    /// The branch is not where the landing left it.
    #[error("{branch} has moved since {id} landed")]
    MovedSince {
        /// The branch.
        branch: String,
        /// The session's id.
        id: String,
        /// What `git revert` takes back of it.
        revert: String,
    },
    /// The branch is where it was before the landing, and everybody knows.
    #[error("the landing of {id} on {branch} was taken back already")]
    TakenBack {
        /// The branch.
        branch: String,
        /// The session's id.
        id: String,
    },
    /// A setting makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is nowhere to run the checks.
    #[error(transparent)]
    Cage(#[from] CageError),
    /// A fast-forward was asked for, and the target has commits that the session lacks.
    #[error("{branch} has commits that {id} does not have")]
    NotFastForward {
        /// The target.
        branch: String,
        /// The session's id.
        id: String,
    },
    /// A fast-forward was asked for, and the session's work is in no commit of its branch.
    #[error("the work of {0} is in no commit of its branch")]
    NoCommits(String),
    /// Files in the target's checkout are in the way.
    #[error("{} has changes of its own in {}", path.display(), few(paths))]
    InTheWay {
        /// The checkout.
        path: PathBuf,
        /// The files.
        paths: Vec<String>,
    },
    /// git does not know the user, whose name the commit would carry.
    #[error("the author of commits is not known")]
    Identity(#[source] GitError),
    /// git would not write the commit: it could not be signed, most likely.
    #[error("git wrote no commit: {said}")]
    Commit {
        /// What git said.
        said: String,
    },
    /// The target moved while the landing was decided.
    #[error("{branch} has moved meanwhile")]
    TargetMoved {
        /// The target.
        branch: String,
    },
    /// The target moved, its checkout could not follow, and the target was moved back.
    #[error("the files in {} could not be updated; {branch} is where it was", path.display())]
    RolledBack {
        /// The target.
        branch: String,
        /// Its checkout.
        path: PathBuf,
        /// What stood in the way.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The target moved, and neither could its checkout follow nor it be moved back.
    #[error("{branch} is at {}, and the files in {} could not follow", .commit.to_hex_with_len(7), path.display())]
    HalfWay {
        /// The target.
        branch: String,
        /// Its new commit.
        commit: ObjectId,
        /// Its checkout.
        path: PathBuf,
        /// What stood in the way.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Somebody else writes the index of a checkout just now, or has left the lock behind.
    #[error("the index of {} is locked: {} exists", path.display(), lock.display())]
    IndexLocked {
        /// The checkout.
        path: PathBuf,
        /// The file of the lock.
        lock: PathBuf,
    },
    /// The work is on the target; what tells so is not written yet.
    #[error("the work is on {branch} as {}, but the session could not be told so", .commit.to_hex_with_len(7))]
    Unsealed {
        /// The target.
        branch: String,
        /// Its new commit.
        commit: ObjectId,
        /// What stood in the way.
        #[source]
        source: Box<LandError>,
    },
    /// The session has no worktree here.
    #[error("session {0} has no worktree")]
    NoWorktree(String),
    /// The session's worktree is there already.
    #[error("session {id} has its worktree at {}", path.display())]
    WorktreeExists {
        /// The session's id.
        id: String,
        /// Where it is.
        path: PathBuf,
    },
    /// The session has no ref to bring anything back from.
    #[error("session {0} has no record")]
    NoRecord(String),
    /// The branch would go, and its work is on no other.
    #[error("the work of {0} has not landed")]
    NotLanded(String),
    /// The worktree is not on the session's branch, so what it holds is somebody else's.
    #[error("{} is on {found}", path.display())]
    Elsewhere {
        /// The worktree.
        path: PathBuf,
        /// What it is on.
        found: String,
    },
    /// Somebody is writing in the worktree.
    #[error("{} changes while it is looked at", .0.display())]
    Changing(PathBuf),
    /// Processes stand in the worktree.
    #[error("{} is in use by {}", path.display(), named(occupants))]
    Occupied {
        /// The worktree.
        path: PathBuf,
        /// The processes.
        occupants: Vec<Occupant>,
    },
    /// The worktree holds work that no snapshot can keep.
    #[error("{} holds what cannot be kept: {}", path.display(), few(what))]
    CannotKeep {
        /// The worktree.
        path: PathBuf,
        /// Each path with the reason.
        what: Vec<String>,
    },
    /// What a creation has left cannot be undone.
    #[error(transparent)]
    Create(Box<CreateError>),
    /// A rewind that was cut off cannot be finished.
    #[error(transparent)]
    Rewind(Box<RewindError>),
    /// The phase does not allow it.
    #[error(transparent)]
    Move(#[from] IllegalMove),
    /// The session cannot be taken over.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A file of the session cannot be read or written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The session's record cannot be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A ref cannot be read or moved.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// The two histories cannot be merged.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// A history cannot be read.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// An object cannot be read or written.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Two trees cannot be compared.
    #[error(transparent)]
    Diff(#[from] DiffError),
    /// A note cannot be written.
    #[error(transparent)]
    Notes(#[from] NotesError),
    /// The worktree cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The worktrees cannot be listed or changed.
    #[error(transparent)]
    Worktree(#[from] WorktreeError),
    /// A worktree's git dir cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// git said no.
    #[error(transparent)]
    Git(#[from] GitError),
    /// git did not run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<CreateError> for LandError {
    fn from(error: CreateError) -> Self {
        Self::Create(Box::new(error))
    }
}

impl From<RewindError> for LandError {
    fn from(error: RewindError) -> Self {
        Self::Rewind(Box::new(error))
    }
}

/// Why the verify record does not speak for what is to be landed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// A verify command was asked for, and none ran.
    #[error("'{0}' has not run")]
    NotRun(String),
    /// It failed.
    #[error("'{command}' failed with exit code {exit}")]
    Failed {
        /// The command.
        command: String,
        /// Its exit code.
        exit: i32,
    },
    /// The command that was to do the work did not come to its end.
    #[error("'{0}' did not do it")]
    HalfDone(String),
    /// The work has changed since.
    #[error("the work has changed since '{0}' passed")]
    Changed(String),
    /// The target has changed since: what would be landed is not what was verified.
    #[error("'{command}' passed without what is new on {branch}")]
    TargetMoved {
        /// The command.
        command: String,
        /// The target.
        branch: String,
    },
}

/// The first few, and how many more.
fn few(paths: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = paths.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match paths.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn named(occupants: &[Occupant]) -> String {
    few(&occupants.iter().map(ToString::to_string).collect::<Vec<_>>())
}
