//! A step as commits: the tree of the worktree, the commit on the branch, the record, in the order
//! that no crash can break.
//!
//! 1. The snapshot's tree and the commit on top of the branch are written: objects only.
//! 2. The record is written, with the commit as its last parent: objects only.
//! 3. The objects and the journal reach the disk, in one wait.
//! 4. The branch and the session's ref move in one transaction, each from where it was.
//!
//! Where the strategy holds a commit back, the tree is kept by a snapshot commit that only the
//! record points to; the branch gets it at the end of the turn, or of the session.
//!
//! What a person does to branch and worktree meanwhile is followed: the table of it is in
//! `checkpoint/foreign.rs`.
//!
//! Invariant: what a record says of the branch was true when the ref moved; a branch that somebody
//! else has moved is never moved back, and the step's work is kept by the record all the same.

mod commit;
mod error;
mod foreign;
mod hold;
mod mend;
mod place;
#[cfg(test)]
mod tests;

use std::path::Path;

use fs_err as fs;

pub use commit::trailers;
pub use error::CheckpointError;
pub use foreign::{ForeignError, untold};
pub use hold::{Gate, Unjudged};
pub use mend::{make_branch_again, move_branch_on};
pub use place::{Move, Place};

use super::record::{Record, Recorder};
use super::spec::Spec;
use super::state::{Changes, State};
use super::subject::Words;
use super::worktree;
use crate::event::{self, ByPerson, Finding};
use crate::failpoint;
use crate::file::Changed;
use crate::git::{
    self, Counted, DiffError, Expected, Head, Identity, LeftOut, ObjectId, RefError, RefUpdate,
    Repo, Snapshot,
};

/// Makes the checkpoints of one session, in its supervisor.
pub struct Checkpoints {
    repo: Repo,
    spec: Spec,
    who: Identity,
    snapshot: Snapshot,
    recorder: Recorder,
    base_tree: ObjectId,
    /// The lines of the session's changes so far, so that a step costs what it changes.
    counted: Counted,
    /// The branch's commit, as we left it.
    head: ObjectId,
    /// What holds the tree that was taken last: `head`, or a snapshot commit on top of it.
    code: ObjectId,
    /// The state in the record that this began behind.
    recorded: Option<State>,
    /// Commits of the session are no longer on its branch; a person wanted that, and the journal
    /// does not tell of it yet.
    is_rewritten: bool,
}

/// What has just ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ends {
    /// One answer of the model, with its calls.
    Step,
    /// A turn: the model waits for a person or is done.
    Turn,
    /// The session.
    Session,
}

/// What a checkpoint is made of.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// Its number, from 1.
    pub number: u32,
    /// What has ended with it.
    pub ends: Ends,
    /// What the commit is called after.
    pub words: Words<'a>,
    /// What its calls may have changed.
    pub changed: &'a Changed,
    /// The models whose answers led to it since the last commit, as people read them; may be empty.
    pub models: &'a [String],
}

/// What a checkpoint made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// The commit on the branch, if there is a new one.
    pub commit: Option<ObjectId>,
    /// The event for the journal; none if nothing has changed and nothing was committed. What a
    /// person had done to the branch before is in [`State::untold`], and goes before it.
    pub event: Option<event::Checkpoint>,
    /// What a person must look at first: nothing of the step was committed or recorded then.
    pub held: Vec<Finding>,
}

impl Checkpoints {
    /// Goes on where the session's last record and its branch are, or begins at its base. `repo`
    /// is the view of the session's worktree.
    ///
    /// # Errors
    /// The branch is gone, or something cannot be read.
    pub fn open(repo: Repo, spec: Spec, max_file_size: u64) -> Result<Self, CheckpointError> {
        let who = repo.identity().map_err(CheckpointError::Identity)?;
        let recorder = Recorder::open(&repo, &spec.id)?;
        let record = recorder.tip().map(|tip| Record::read(&repo, tip)).transpose()?;
        let (head, code, is_rewritten) = foreign::begin(&repo, &spec.branch, record.as_ref())?;
        let tree = repo.tree_of(code)?;
        let snapshot = Snapshot::open(&repo, tree, max_file_size)?;
        let base_tree = repo.tree_of(repo.resolve_commit(&spec.base.commit)?)?;
        let recorded = record.map(|record| record.state);
        let counted = Counted::default();
        Ok(Self {
            repo,
            spec,
            who,
            snapshot,
            recorder,
            base_tree,
            counted,
            head,
            code,
            recorded,
            is_rewritten,
        })
    }

    /// Finishes what a crash cut between the move of the refs and the state's file: brings what
    /// the last record knows better up to it. Called once, behind [`Checkpoints::open`].
    pub fn catch_up(&self, state: &mut State) {
        let Some(recorded) = self.recorded.as_ref().filter(|it| it.recorded > state.recorded)
        else {
            return;
        };
        state.step = state.step.max(recorded.step);
        state.recorded = recorded.recorded;
        state.changes = recorded.changes;
        state.head.clone_from(&recorded.head);
        state.tree.clone_from(&recorded.tree);
        state.left_out.clone_from(&recorded.left_out);
        state.untold.clone_from(&recorded.untold);
    }

    /// The branch's commit.
    pub fn head(&self) -> ObjectId {
        self.head
    }

    /// The commit that holds the tree of the last checkpoint.
    pub fn code(&self) -> ObjectId {
        self.code
    }

    /// The tree that was taken last.
    pub fn tree(&self) -> ObjectId {
        self.snapshot.tree()
    }

    /// Who commits are made by.
    pub fn who(&self) -> &Identity {
        &self.who
    }

    /// The view of the session's worktree.
    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    /// Takes the worktree as it is, commits it if the strategy says so, and records the state with
    /// the journal up to its end. The state is brought up to date; the caller writes its file.
    /// Where the gate finds something, the step is left as it is.
    ///
    /// # Errors
    /// See [`CheckpointError`]; the state has not changed then.
    pub fn take(
        &mut self,
        step: &Step<'_>,
        gate: Gate<'_>,
        state: &mut State,
        journal: &Path,
    ) -> Result<Made, CheckpointError> {
        self.despite_gc(|it| it.take_once(step, gate, state, journal))
    }

    /// Does it again where a gc has taken away under it what was written, and is there again.
    fn despite_gc<T>(
        &mut self,
        mut act: impl FnMut(&mut Self) -> Result<T, CheckpointError>,
    ) -> Result<T, CheckpointError> {
        const TRIES: usize = 20;
        for _ in 0..TRIES {
            match act(self) {
                Err(_) if self.repo.restore_kept().map_err(RefError::Sync)? > 0 => {}
                done => return done,
            }
        }
        act(self)
    }

    fn take_once(
        &mut self,
        step: &Step<'_>,
        gate: Gate<'_>,
        state: &mut State,
        journal: &Path,
    ) -> Result<Made, CheckpointError> {
        self.check_worktree()?;
        // What was taken last may wait for a person still.
        let before = self.repo.tree_of(self.code)?;
        let taken = self.snapshot.take(step.changed)?;
        failpoint::reach("tree");
        let mut next = state.clone();
        next.step = step.number;
        note_left_out(&mut next, &taken.left_out, step.changed);
        let followed = self.follow(before, ByPerson::CommitInStep, &mut next, journal);
        state.moved_to.clone_from(&next.moved_to);
        let followed = followed?;
        let before = followed.unwrap_or(before);
        let (tree, on_branch) = (self.snapshot.tree(), self.repo.tree_of(self.head)?);
        let held = if tree == before { Vec::new() } else { gate(&self.repo, before, tree)? };
        if !held.is_empty() {
            if followed.is_some() {
                self.settle(None, self.code, &mut next, journal)?;
                *state = next;
            }
            return Ok(Made { held, ..Made::default() });
        }
        let commit = match tree != on_branch && self.commits_at(step.ends) {
            true => Some(self.commit(self.head, tree, step)?),
            false => None,
        };
        failpoint::reach("commit");
        let code = match commit {
            Some(commit) => commit,
            None => self.code_for(self.head, tree, step.number)?,
        };
        let event = match (commit, tree != before) {
            // With what was held back before.
            (Some(_), _) => Some(self.event(on_branch, tree, commit, step, &taken.left_out)?),
            (None, true) => Some(self.event(before, tree, None, step, &taken.left_out)?),
            (None, false) => None,
        };
        if event.is_some() || followed.is_some() {
            next.changes = self.changes()?;
        }
        self.settle(commit, code, &mut next, journal)?;
        *state = next;
        Ok(Made { commit, event, held })
    }

    /// What the tree taken last differs in from the base.
    fn changes(&mut self) -> Result<Changes, DiffError> {
        let tree = self.snapshot.tree();
        let stat = self.repo.diff_stat_again(self.base_tree, tree, &mut self.counted)?;
        let git::DiffStat { files, insertions, deletions, .. } = stat;
        Ok(Changes { files, insertions, deletions })
    }

    /// Records the state, with the journal up to its end, where no step has ended: the session
    /// rests, goes on, or was verified.
    ///
    /// # Errors
    /// The record cannot be written, or the session's ref was moved by somebody else.
    pub fn record(&mut self, state: &mut State, journal: &Path) -> Result<(), CheckpointError> {
        self.despite_gc(|it| it.settle(None, it.code, state, journal))
    }

    /// Whether the worktree holds just the tree taken last.
    ///
    /// # Errors
    /// The worktree cannot be read.
    pub fn is_clean(&self) -> Result<bool, CheckpointError> {
        let tree = self.snapshot.tree();
        let mut look = Snapshot::open(&self.repo.in_memory(), tree, self.snapshot.max_file_size())?;
        Ok(look.take(&Changed::Anything)?.tree == tree)
    }

    /// Brings the worktree's own index up to the tree taken last, so that `git status` there says
    /// what is true. For when the session rests.
    ///
    /// # Errors
    /// Another git process holds the index locked, or it cannot be written.
    pub fn rest(&self) -> Result<(), CheckpointError> {
        Ok(self.snapshot.refresh_worktree_index()?)
    }

    /// Writes an index of the tree taken last into another git dir, for who works there.
    ///
    /// # Errors
    /// It is locked, or cannot be written.
    pub fn write_index(&self, git_dir: &Path) -> Result<(), CheckpointError> {
        Ok(self.snapshot.write_index(git_dir)?)
    }

    /// Moves the refs: both or none. If it is the branch that stands in the way, the record alone
    /// moves, so that the work is kept.
    fn settle(
        &mut self,
        commit: Option<ObjectId>,
        code: ObjectId,
        state: &mut State,
        journal: &Path,
    ) -> Result<(), CheckpointError> {
        self.repo.sync_with_objects(journal);
        let head = commit.unwrap_or(self.head);
        state.head = Some(head.to_string());
        state.tree = Some(self.snapshot.tree().to_string());
        let written =
            self.recorder.write(&self.repo, &self.spec, state, journal, code, &self.who)?;
        failpoint::reach("record");
        let mut updates = vec![written.update.clone()];
        if let Some(commit) = commit {
            updates.push(RefUpdate {
                name: self.spec.branch.clone(),
                old: Expected::Is(self.head),
                new: Some(commit),
                reason: format!("agent: step {}", state.step),
            });
        }
        if updates.len() > 1 && failpoint::is_due("one-ref") {
            self.repo.update_refs(&updates[..1])?;
            failpoint::die("one-ref");
        }
        match self.repo.update_refs(&updates) {
            Ok(()) => {
                failpoint::reach("refs");
                self.recorder.advance(&written);
                (self.head, self.code) = (head, code);
                Ok(())
            }
            Err(RefError::Moved { name, found, .. }) if name == self.spec.branch => {
                self.keep_work(code, self.snapshot.tree(), state, journal)?;
                Err(CheckpointError::BranchMoved { branch: name, found, kept: code })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Moves the session's ref alone, so that the work is kept where the branch cannot have it.
    /// `own` is the tree without what a person has edited.
    fn keep_work(
        &mut self,
        code: ObjectId,
        own: ObjectId,
        state: &mut State,
        journal: &Path,
    ) -> Result<(), CheckpointError> {
        state.head = Some(self.head.to_string());
        state.tree = Some(own.to_string());
        let kept = self.recorder.write(&self.repo, &self.spec, state, journal, code, &self.who)?;
        self.repo.update_refs(std::slice::from_ref(&kept.update))?;
        self.recorder.advance(&kept);
        self.code = code;
        Ok(())
    }

    /// A worktree that was deleted, or that a person has switched away, holds other files than the
    /// session's.
    fn check_worktree(&self) -> Result<(), CheckpointError> {
        let path = self.repo.work_dir().unwrap_or(&self.spec.worktree);
        let is_empty = fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none());
        if is_empty {
            return Err(CheckpointError::WorktreeGone { path: path.to_owned() });
        }
        if worktree::git_dir(path).is_none_or(|found| found != self.repo.git_dir()) {
            return Err(CheckpointError::NotLinked { path: path.join(".git") });
        }
        self.repo.check_registration()?;
        let found = match self.repo.head()? {
            Head::Branch { name, .. } if name == self.spec.branch => return Ok(()),
            // The branch is gone: what moves it will say so, after the work is kept.
            Head::Unborn(name) if name == self.spec.branch => return Ok(()),
            Head::Branch { name, .. } | Head::Unborn(name) => name,
            Head::Detached(id) => id.to_string(),
        };
        Err(CheckpointError::Elsewhere { branch: self.spec.branch.clone(), found })
    }
}

fn note_left_out(state: &mut State, left_out: &[LeftOut], changed: &Changed) {
    if *changed == Changed::Anything {
        state.left_out.clear();
    }
    for line in left_out.iter().map(left_out_line) {
        if !state.left_out.contains(&line) {
            state.left_out.push(line);
        }
    }
}

fn left_out_line(left_out: &LeftOut) -> String {
    format!("{}: {}", left_out.path, left_out.why)
}
