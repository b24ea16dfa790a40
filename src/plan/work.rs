//! What a session has to land, and whether it was verified.
//!
//! Invariant: only what a commit or a record holds is landed, never what merely lies in the
//! worktree.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{LandError, Unverified};
use crate::file::Changed;
use crate::git::{CommitInfo, Draft, ObjectId, Repo, Snapshot, WorktreeEntry};
use crate::session::lock::{Lock, LockError};
use crate::session::record::Record;
use crate::session::rewind;
use crate::session::spec::Spec;
use crate::session::state::{Phase, State};
use crate::session::store::{Session, SessionError};

/// How the message of a snapshot of what no commit held begins.
pub const SNAPSHOT: &str = "Snapshot of ";

/// The work of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The commit that holds it.
    pub commit: ObjectId,
    /// Its tree.
    pub tree: ObjectId,
    /// Whether the commit is the tip of the session's branch; else the work is in no commit of it,
    /// by the session's commit strategy, or the branch is gone.
    pub on_branch: bool,
}

impl Work {
    /// What the session has to land: its branch, with the commits that a person made there; or,
    /// where its steps are held back from the branch or the branch is gone, the code of its record.
    ///
    /// # Errors
    /// The session has neither a branch nor a record, or an object cannot be read.
    pub fn of(repo: &Repo, session: &Session, state: &State) -> Result<Self, LandError> {
        let spec = &session.spec;
        let branch = repo.ref_id(&spec.branch)?;
        let record = match repo.ref_id(&session.ref_name())? {
            Some(commit) => Some(Record::read(repo, commit)?),
            None => None,
        };
        let tip = match (branch, &record) {
            (Some(tip), _) => tip,
            (None, Some(record)) => head_of(repo, record)?,
            (None, None) => return Err(LandError::Nothing(session.id.clone())),
        };
        let head = state.head.as_deref().unwrap_or(&spec.base.commit);
        let taken = state.tree.as_deref().and_then(|hex| ObjectId::from_hex(hex.as_bytes()).ok());
        let tree = repo.tree_of(tip)?;
        // A branch that somebody else moved is taken as it is.
        let held_back =
            taken.filter(|taken| tip == *head && *taken != tree && repo.has_object(*taken));
        let Some(taken) = held_back else {
            return Ok(Self { commit: tip, tree, on_branch: branch.is_some() });
        };
        let commit = match record {
            Some(record) if repo.tree_of(record.code)? == taken => record.code,
            _ => Self::commit(repo, spec, tip, taken)?,
        };
        Ok(Self { commit, tree: taken, on_branch: false })
    }

    /// A commit of what the session took and no commit holds, on top of its branch.
    fn commit(
        repo: &Repo,
        spec: &Spec,
        parent: ObjectId,
        tree: ObjectId,
    ) -> Result<ObjectId, LandError> {
        let who = repo.identity().map_err(LandError::Identity)?;
        Ok(repo.write_commit(&Draft {
            tree,
            parents: vec![parent],
            author: who.clone(),
            committer: who,
            time: None,
            message: format!("{}\n", spec.name),
        })?)
    }

    /// Whether the last verify run speaks for this work; not asked for is `false` without a reason.
    ///
    /// # Errors
    /// The session has a verify command, and it did not pass on this very tree.
    pub fn verified(&self, spec: &Spec, state: &State) -> Result<bool, Unverified> {
        let record = match (&state.verify, spec.last_check()) {
            (Some(record), _) => record,
            (None, Some(command)) => return Err(Unverified::NotRun(command)),
            (None, None) => return Ok(false),
        };
        let command = record.command.clone();
        match record.exit {
            0 if self.tree == record.tree => Ok(true),
            0 => Err(Unverified::Changed(command)),
            exit => Err(Unverified::Failed { command, exit }),
        }
    }

    /// Whether this tree, which is to land of it, was verified; and where it must be first, why.
    ///
    /// # Errors
    /// The checks have failed on this very work, or nobody knows them any more.
    pub fn standing(
        &self,
        spec: &Spec,
        state: &State,
        tree: ObjectId,
        branch: &str,
    ) -> Result<(bool, Option<Unverified>), Unverified> {
        // Half of what a command does is no work, even where nothing else was asked of it.
        if let (Phase::Failed, None, Some(command)) = (state.phase, &state.verify, spec.command()) {
            return Err(Unverified::HalfDone(command));
        }
        let was_this = state.verify.as_ref().is_some_and(|record| self.tree == record.tree);
        match self.verified(spec, state) {
            Ok(verified) if !verified || tree == self.tree => Ok((verified, None)),
            Ok(_) => {
                let command = state.verify.as_ref().map(|record| record.command.clone());
                let (command, branch) = (command.unwrap_or_default(), branch.to_owned());
                Ok((false, Some(Unverified::TargetMoved { command, branch })))
            }
            Err(why @ Unverified::Failed { .. }) if was_this => Err(why),
            Err(why) if spec.last_check().is_none() => Err(why),
            Err(why) => Ok((false, Some(why))),
        }
    }
}

/// What lies in the worktree and is not in a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftover {
    /// Tracked files that differ or are gone.
    pub changed: Vec<String>,
    /// New files that git does not ignore.
    pub untracked: Vec<String>,
}

impl Leftover {
    /// What differs on disk from `tree` in the checkout of `worktree`, without what git ignores.
    ///
    /// # Errors
    /// The worktree cannot be read.
    pub fn of(worktree: &Repo, tree: ObjectId) -> Result<Self, LandError> {
        use crate::git::ChangeKind::{Added, Deleted, Modified};

        // A look holds no more of a file than this in memory, where its object stays.
        const LARGEST: u64 = 64 << 20;
        let mut snapshot = Snapshot::open(&worktree.in_memory(), tree, LARGEST)?;
        let taken = snapshot.take(&Changed::Anything)?;
        let too_large = taken.left_out.iter().map(|out| out.path.to_string());
        let mut leftover = Self { changed: Vec::new(), untracked: too_large.collect() };
        for change in taken.changes {
            let path = change.path.to_string();
            match change.kind {
                Added => leftover.untracked.push(path),
                Modified | Deleted => leftover.changed.push(path),
            }
        }
        Ok(leftover)
    }
}

/// Makes sure that nobody else works on the session, as long as the lock lives. A supervisor that
/// has just come to rest is waited for: it says so a moment before it ends. A rewind that was cut
/// off is finished.
///
/// # Errors
/// Somebody is at work on it, or a newer program wrote it.
pub fn hold(repo: &Repo, session: &Session) -> Result<(Lock, State), LandError> {
    const PATIENCE: Duration = Duration::from_secs(3);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match session.lock() {
            Err(SessionError::Lock { error: LockError::Held { .. }, .. }) => {
                let phase = session.state()?.phase;
                if phase.needs_supervisor() || Instant::now() > deadline {
                    return Err(LandError::NotAtRest { id: session.id.clone(), phase });
                }
            }
            held => {
                let (lock, mut state) = held?;
                // It is nobody's yet, but may be somebody's at any moment.
                if state.phase == Phase::Queued
                    && session.ticket().map_err(SessionError::from)?.is_some()
                {
                    let (id, phase) = (session.id.clone(), state.phase);
                    return Err(LandError::NotAtRest { id, phase });
                }
                rewind::finish(repo, session, &mut state)?;
                return Ok((lock, state));
            }
        }
    }
}

/// The session's worktree as a repository, if it is there.
///
/// # Errors
/// The worktrees cannot be listed, or it cannot be opened.
pub fn worktree(repo: &Repo, session: &Session) -> Result<Option<Repo>, LandError> {
    match entry(repo, &session.spec.worktree)? {
        Some(entry) if !entry.missing && entry.broken.is_none() => {
            Ok(Some(repo.view_of(&entry.git_dir)?))
        }
        _ => Ok(None),
    }
}

/// The linked worktree that is registered at this path.
///
/// # Errors
/// The worktrees cannot be listed.
pub fn entry(repo: &Repo, path: &Path) -> Result<Option<WorktreeEntry>, LandError> {
    let resolved = fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let at = |entry: &WorktreeEntry| entry.path == path || entry.path == resolved;
    Ok(repo.worktrees()?.into_iter().find(|entry| !entry.main && at(entry)))
}

/// The commit that the branch of a record was on.
///
/// # Errors
/// Its commit cannot be read.
pub fn head_of(repo: &Repo, record: &Record) -> Result<ObjectId, LandError> {
    let head = record.state.head.as_deref().unwrap_or(&record.spec.base.commit);
    let CommitInfo { parents, message, .. } = repo.read_commit(record.code)?;
    let is_head = |id: &ObjectId| *id == *head;
    if is_head(&record.code) {
        return Ok(record.code);
    }
    // A snapshot lies on top of its head, or of where a person has moved the branch.
    let snapshot = message.starts_with(SNAPSHOT);
    match parents.first() {
        Some(parent) if snapshot || is_head(parent) => Ok(*parent),
        _ => Ok(record.code),
    }
}
