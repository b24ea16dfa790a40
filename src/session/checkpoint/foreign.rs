//! What somebody else has done to a session's branch and worktree, and how the session goes on.
//!
//! | found | what follows |
//! |---|---|
//! | commits made in the worktree, an amend, rebase or reset made there too | the branch is theirs; the next commit goes on top of it, with the files that are there |
//! | commits on top of ours, made elsewhere | they are merged into the worktree, and the session goes on on top of them |
//! | the same, and they conflict with what the session has done since | the session rests until a person has merged them in the worktree |
//! | a branch that lost commits of ours, moved elsewhere | the session rests, once; resumed, it goes on on top of what is there |
//! | a branch that is gone | the session rests; resumed, it is made again from the session's ref |
//! | files edited while the session rests | a commit of the user's, before the agent begins again |
//!
//! Whatever was on the branch before stays reachable from the session's ref. Where the strategy
//! holds the agent's work back, a person's edits are a commit without it; where they edited the
//! very lines that are held back, these are a commit of the agent's before theirs.
//!
//! All of it is told to the journal, and so to the model: until it is, it stands in
//! [`State::untold`], which the record holds that took it up.
//!
//! Invariant: no commit of a person's is ever moved back or written over, and none of their work is
//! called the agent's.

use std::path::Path;

use super::{CheckpointError, Checkpoints, Ends, Step, note_left_out};
use crate::config::CommitStrategy;
use crate::event::{self, ByPerson, Update};
use crate::file::Changed;
use crate::git::operation;
use crate::git::{
    self, Draft, Identity, Merge, MergeError, ObjectId, Repo, RevisionError, WorktreeError,
};
use crate::session::journal::Reader;
use crate::session::record::Record;
use crate::session::spec::Spec;
use crate::session::state::State;
use crate::session::subject::Words;

/// How a moved branch is gone on from.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// What was done is in the files already.
    OnTop,
    /// The files are to become this tree.
    Merge(ObjectId),
    /// It conflicts with the session's own work in these paths.
    Conflicts(Vec<String>),
    /// Commits of the session are no longer in it.
    Rewritten,
}

/// Why the session cannot go on on top of what somebody else did.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// The branch has lost commits of the session; resumed, it goes on from there.
    #[error("{branch} was moved to {found} by somebody else; resume goes on from there")]
    Rewritten {
        /// The branch.
        branch: String,
        /// Where it is now.
        found: ObjectId,
    },
    /// Their commits and the session's work do not merge.
    #[error("{branch} was moved by somebody else and conflicts with the session in {}; merge and commit that in the worktree, then resume", paths.join(", "))]
    Conflicts {
        /// The branch.
        branch: String,
        /// The paths.
        paths: Vec<String>,
    },
    /// A history cannot be read.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// The two histories cannot be merged.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// The files cannot follow.
    #[error("their commits cannot be brought into the worktree")]
    Files(#[from] WorktreeError),
}

impl Checkpoints {
    /// Takes what was changed in the worktree while nobody of ours was at work: into a commit of
    /// the user's, where the strategy has commits. What the journal is to say of it is then in
    /// [`State::untold`].
    ///
    /// # Errors
    /// See [`CheckpointError`]; the state has not changed then.
    pub fn take_edits(&mut self, state: &mut State, journal: &Path) -> Result<(), CheckpointError> {
        self.despite_gc(|it| it.take_edits_once(state, journal))
    }

    fn take_edits_once(
        &mut self,
        state: &mut State,
        journal: &Path,
    ) -> Result<(), CheckpointError> {
        self.check_worktree()?;
        // What is half merged is no edit, and has conflict marks in it.
        if let Some(operation) = operation::in_git_dir(self.repo.git_dir()) {
            return Err(CheckpointError::Busy { operation });
        }
        let own = self.own_tree(state);
        let taken = self.snapshot.take(&Changed::Anything)?;
        let mut next = state.clone();
        note_left_out(&mut next, &taken.left_out, &Changed::Anything);
        let followed = self.follow(own, ByPerson::Commit, &mut next, journal);
        state.moved_to.clone_from(&next.moved_to);
        let own = followed?.unwrap_or(own);
        let tree = self.snapshot.tree();
        let mut head = self.head;
        if tree != own {
            head = self.commit_edits(own, tree, &mut next)?;
        }
        if next.untold.len() == state.untold.len() {
            return Ok(());
        }
        next.changes = self.changes()?;
        next.settled = false;
        let code = self.code_for(head, tree, next.step)?;
        self.settle(Some(head).filter(|head| *head != self.head), code, &mut next, journal)?;
        *state = next;
        Ok(())
    }

    /// The tree of all that the session itself did: a rewind that is undone brings back what a
    /// person had edited, too, and the last record holds both.
    fn own_tree(&self, state: &State) -> ObjectId {
        let own = state.tree.as_ref().and_then(|hex| ObjectId::from_hex(hex.as_bytes()).ok());
        own.filter(|tree| self.repo.has_object(*tree)).unwrap_or_else(|| self.snapshot.tree())
    }

    /// Commits what a person has made of the session's `own` tree; the branch's commit after that.
    fn commit_edits(
        &self,
        own: ObjectId,
        tree: ObjectId,
        state: &mut State,
    ) -> Result<ObjectId, CheckpointError> {
        let on_branch = self.repo.tree_of(self.head)?;
        if self.spec.commit_strategy == CommitStrategy::None {
            state.untold.push(self.event_of_edits(own, tree, None)?);
            return Ok(self.head);
        }
        let alone = put_together(&self.repo, &self.who, own, on_branch, tree)?;
        let (parent, committed) = match alone {
            Some(alone) => (self.head, alone),
            // They edited what the agent wrote and nobody has committed: that goes first.
            None => {
                let words = Words { text: self.spec.task.trim(), titles: &[] };
                let (number, changed) = (state.step, &Changed::Nothing);
                let step = Step { number, ends: Ends::Step, words, changed, models: &[] };
                let commit = self.commit(self.head, own, &step)?;
                state.untold.push(self.event(on_branch, own, Some(commit), &step, &[])?);
                (commit, tree)
            }
        };
        let head = match committed == self.repo.tree_of(parent)? {
            true => parent,
            false => self.commit_of_the_user(parent, committed)?,
        };
        let commit = Some(head).filter(|head| *head != parent);
        state.untold.push(self.event_of_edits(own, tree, commit)?);
        Ok(head)
    }

    /// Goes on from where somebody else has moved the branch, if somebody has: the files then hold
    /// what is theirs, and the session's own tree, `own` before, is given. The state is for the
    /// record of a session that cannot.
    pub(super) fn follow(
        &mut self,
        own: ObjectId,
        by: ByPerson,
        state: &mut State,
        journal: &Path,
    ) -> Result<Option<ObjectId>, CheckpointError> {
        let branch = self.spec.branch.clone();
        let tip = self.repo.ref_id(&branch)?;
        let Some(theirs) = tip.filter(|tip| *tip != self.head) else {
            state.moved_to = None;
            if std::mem::take(&mut self.is_rewritten) {
                let told = self.event_of_move(self.head, own, by)?;
                state.untold.push(told);
            }
            return Ok(None);
        };
        // What they committed in the worktree is nothing that a call has changed.
        self.snapshot.take(&Changed::Anything)?;
        let tree = self.snapshot.tree();
        let code = self.code_for(self.head, tree, state.step)?;
        let kept = if by == ByPerson::CommitInStep { tree } else { own };
        match way(&self.repo, &branch, self.head, code, theirs).map_err(Box::new)? {
            Way::OnTop => {}
            Way::Merge(tree) => self.bring_in(tree)?,
            Way::Conflicts(paths) => {
                self.keep_work(code, kept, state, journal)?;
                return Err(Box::new(ForeignError::Conflicts { branch, paths }).into());
            }
            Way::Rewritten => {
                state.moved_to = Some(theirs.to_string());
                self.keep_work(code, kept, state, journal)?;
                return Err(Box::new(ForeignError::Rewritten { branch, found: theirs }).into());
            }
        }
        let own = self.carried(own, theirs)?.unwrap_or_else(|| self.snapshot.tree());
        if !self.is_ours(theirs)? {
            state.untold.push(self.event_of_move(theirs, own, by)?);
        }
        (self.head, self.code) = (theirs, theirs);
        state.moved_to = None;
        Ok(Some(own))
    }

    /// What becomes of the session's own tree where its branch moves to `theirs`: what is theirs,
    /// and what it held back. None where the two do not go together.
    fn carried(
        &self,
        own: ObjectId,
        theirs: ObjectId,
    ) -> Result<Option<ObjectId>, CheckpointError> {
        let [before, now] = [self.repo.tree_of(self.head)?, self.repo.tree_of(theirs)?];
        put_together(&self.repo, &self.who, before, now, own)
    }

    /// Takes the branch as it is, wherever somebody else has moved it: for who is about to move it
    /// by a person's own wish. What is left stays reachable from the session's ref. Gives what the
    /// journal is to say of it; `own` is the session's own tree.
    ///
    /// # Errors
    /// An object cannot be read or written.
    pub fn take_branch(
        &mut self,
        own: ObjectId,
    ) -> Result<Option<event::Checkpoint>, CheckpointError> {
        let tip = self.repo.ref_id(&self.spec.branch)?;
        let Some(theirs) = tip.filter(|tip| *tip != self.head) else { return Ok(None) };
        let told = match self.is_ours(theirs)? {
            true => None,
            false => {
                let own = match self.carried(own, theirs)? {
                    Some(own) => own,
                    None => self.repo.tree_of(theirs)?,
                };
                Some(self.event_of_move(theirs, own, ByPerson::Commit)?)
            }
        };
        (self.head, self.code) = (theirs, theirs);
        Ok(told)
    }

    /// A commit that the session made itself, by a run that died before it could know.
    fn is_ours(&self, commit: ObjectId) -> Result<bool, CheckpointError> {
        let commit = self.repo.read_commit(commit)?;
        let trailer = ("Agent-Session".to_owned(), self.spec.id.clone());
        let is_next = commit.parents.first() == Some(&self.head);
        Ok(is_next && git::parse(&commit.message).contains(&trailer))
    }

    /// Makes the worktree's files those of a tree.
    fn bring_in(&mut self, tree: ObjectId) -> Result<(), CheckpointError> {
        let now = self.snapshot.tree();
        if tree == now {
            return Ok(());
        }
        self.snapshot.refresh_worktree_index()?;
        let checked = self.repo.check_filters(&self.spec.worktree);
        let files = checked.and_then(|()| self.repo.update_checkout(now, tree));
        files.map_err(|it| Box::new(ForeignError::Files(it)))?;
        self.snapshot.take(&Changed::Anything)?;
        Ok(())
    }
}

/// The tree that has both what `ours` and what `theirs` made of `base`; none where they changed the
/// same lines.
fn put_together(
    repo: &Repo,
    who: &Identity,
    base: ObjectId,
    ours: ObjectId,
    theirs: ObjectId,
) -> Result<Option<ObjectId>, CheckpointError> {
    if base == ours || ours == theirs {
        return Ok(Some(theirs));
    }
    if base == theirs {
        return Ok(Some(ours));
    }
    let commit = |tree, parents| {
        let (author, committer) = (who.clone(), who.clone());
        let message = "Side of a merge\n".to_owned();
        repo.write_commit(&Draft { tree, parents, author, committer, time: None, message })
    };
    let base = commit(base, Vec::new())?;
    let (ours, theirs) = (commit(ours, vec![base])?, commit(theirs, vec![base])?);
    // Equal sides would be one commit, and each an ancestor of the other; they are not equal.
    match repo.merge_commits(ours, theirs).map_err(|it| Box::new(ForeignError::Merge(it)))? {
        Merge::Clean(tree) => Ok(Some(tree)),
        Merge::Conflicts(_) => Ok(None),
    }
}

/// What a person has done, is on record, and the journal has not been told: the run that took it
/// up died before. For who goes on with the session; the state is as it was found.
///
/// # Errors
/// The record or the journal cannot be read.
pub fn untold(
    repo: &Repo,
    spec: &Spec,
    state: &State,
    journal: &Path,
) -> Result<Vec<event::Checkpoint>, CheckpointError> {
    let record = Record::last(repo, &spec.id)?.map(|record| record.state);
    let states = || record.iter().chain([state]);
    let mut untold = Vec::new();
    for made in states().flat_map(|state| &state.untold) {
        if !untold.contains(made) {
            untold.push(made.clone());
        }
    }
    if untold.is_empty() {
        return Ok(untold);
    }
    let from = states().map(|state| state.recorded).min().unwrap_or_default();
    let told = Reader::open(journal, from).map_err(CheckpointError::Journal)?;
    for event in told.events() {
        if let Update::Checkpoint(told) = event.map_err(CheckpointError::Journal)?.update {
            untold.retain(|untold| *untold != told);
        }
    }
    Ok(untold)
}

/// Where a session begins behind its last record: the branch's commit as it left it, the commit
/// that holds its code, and whether commits of its own are no longer in the branch by a person's
/// wish.
pub(super) fn begin(
    repo: &Repo,
    branch: &str,
    record: Option<&Record>,
) -> Result<(ObjectId, ObjectId, bool), CheckpointError> {
    let tip = repo.ref_id(branch)?;
    let gone = || CheckpointError::BranchGone { branch: branch.to_owned() };
    let Some(record) = record else {
        return tip.map(|tip| (tip, tip, false)).ok_or_else(gone);
    };
    let on_top_of = |head: ObjectId| -> Result<bool, CheckpointError> {
        let code = record.code;
        Ok(code == head || repo.read_commit(code)?.parents.first() == Some(&head))
    };
    match (tip, left(repo, record)) {
        (Some(tip), _) if on_top_of(tip)? => Ok((tip, record.code, false)),
        // A person has moved it: the first checkpoint finds out how to go on.
        (Some(tip), Some(left))
            if record.state.moved_to.as_deref() != Some(tip.to_string().as_str()) =>
        {
            Ok((left, if on_top_of(left)? { record.code } else { left }, false))
        }
        // They were told, or nothing is left of how it was.
        (Some(tip), _) => Ok((tip, tip, true)),
        (None, _) => Err(gone()),
    }
}

/// Where the session left its branch, if that commit is still there.
pub(super) fn left(repo: &Repo, record: &Record) -> Option<ObjectId> {
    let hex = record.state.head.as_deref().unwrap_or(&record.spec.base.commit);
    ObjectId::from_hex(hex.as_bytes()).ok().filter(|id| repo.has_object(*id))
}

/// How to go on from a branch that was at `head` and is at `theirs`, with `code` the commit on top
/// of `head` that holds the files as they are.
fn way(
    repo: &Repo,
    branch: &str,
    head: ObjectId,
    code: ObjectId,
    theirs: ObjectId,
) -> Result<Way, ForeignError> {
    if was_made_here(repo, branch, theirs) {
        return Ok(Way::OnTop);
    }
    if !repo.is_ancestor(head, theirs)? {
        return Ok(Way::Rewritten);
    }
    Ok(match repo.merge_commits(code, theirs)? {
        Merge::Clean(tree) => Way::Merge(tree),
        Merge::Conflicts(files) => Way::Conflicts(files.into_iter().map(|it| it.path).collect()),
    })
}

/// Whether the last thing that git did to `HEAD` in this worktree led to this commit: then its
/// files are what whoever did it has left there.
///
/// git tells `HEAD` of a worktree and its branch the same, where it moves both from there, save at
/// the end of a rebase. Without a reflog nobody knows, and it counts as made elsewhere.
fn was_made_here(repo: &Repo, branch: &str, commit: ObjectId) -> bool {
    let last = |name: &str| {
        let log = ["reflog", "-1", "--date=raw", "--format=%H %gs %gd", name, "--"];
        let done = repo.git().args(log).run().ok()?;
        let line = String::from_utf8_lossy(&done.stdout).into_owned();
        let (said, date) = line.rsplit_once('@')?;
        let said = said.rsplit_once(' ').map_or(said, |(said, _name)| said);
        Some((said.to_owned(), date.to_owned()))
    };
    let Some(here) = last("HEAD") else { return false };
    let commit = commit.to_string();
    let led_there = here.0.split(' ').next() == Some(commit.as_str());
    let is_rebase = here.0.strip_prefix(&commit).is_some_and(|it| it.starts_with(" rebase"));
    led_there && (is_rebase || last(branch) == Some(here))
}
