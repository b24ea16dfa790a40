//! The commits of a session: which there are, what they are called, and what the journal says of
//! them.
//!
//! Invariant: objects only are written here, and no ref moves; a commit of a person's has their name
//! alone, and no trailer that calls it the agent's.

use super::{Checkpoints, Ends, Step, left_out_line};
use crate::config::CommitStrategy;
use crate::event::{self, ByPerson};
use crate::git::{self, DiffError, Draft, LeftOut, ObjectError, ObjectId};
use crate::session::spec::Spec;
use crate::session::subject;

/// What a commit of a person's edits is called.
const BY_HAND: &str = "Edit by hand";

impl Checkpoints {
    pub(super) fn commits_at(&self, ends: Ends) -> bool {
        match self.spec.commit_strategy {
            CommitStrategy::Incremental => true,
            CommitStrategy::Turn => ends >= Ends::Turn,
            CommitStrategy::Single => ends >= Ends::Session,
            CommitStrategy::None => false,
        }
    }

    /// A commit of the agent's.
    pub(super) fn commit(
        &self,
        parent: ObjectId,
        tree: ObjectId,
        step: &Step<'_>,
    ) -> Result<ObjectId, ObjectError> {
        let (subject, body) = subject::message(&step.words, &self.spec.commit_prefix, step.number);
        let message = match body.is_empty() {
            true => format!("{subject}\n"),
            false => format!("{subject}\n\n{body}\n"),
        };
        self.write(&[parent], tree, &message, step.models)
    }

    /// A commit of what a person has edited.
    pub(super) fn commit_of_the_user(
        &self,
        parent: ObjectId,
        tree: ObjectId,
    ) -> Result<ObjectId, ObjectError> {
        self.repo.write_commit(&Draft {
            tree,
            parents: vec![parent],
            author: self.who.clone(),
            committer: self.who.clone(),
            time: None,
            message: format!("{BY_HAND}\n"),
        })
    }

    /// The commit that holds a tree which the branch, at `head`, does not get yet: one that is
    /// there, or a snapshot commit.
    pub(super) fn code_for(
        &self,
        head: ObjectId,
        tree: ObjectId,
        number: u32,
    ) -> Result<ObjectId, ObjectError> {
        if self.repo.tree_of(head)? == tree {
            return Ok(head);
        }
        if head == self.head && self.repo.tree_of(self.code)? == tree {
            return Ok(self.code);
        }
        self.snapshot_on(&[head], tree, &format!("Snapshot after step {number}\n"))
    }

    /// Keeps a tree that the branch does not get.
    pub(super) fn snapshot_on(
        &self,
        parents: &[ObjectId],
        tree: ObjectId,
        message: &str,
    ) -> Result<ObjectId, ObjectError> {
        self.write(parents, tree, message, &[])
    }

    fn write(
        &self,
        parents: &[ObjectId],
        tree: ObjectId,
        message: &str,
        models: &[String],
    ) -> Result<ObjectId, ObjectError> {
        let message = match self.spec.trailers {
            true => git::append(message, &trailers(&self.spec, models)),
            false => message.to_owned(),
        };
        self.repo.write_commit(&Draft {
            tree,
            parents: parents.to_vec(),
            author: self.who.clone(),
            committer: self.who.clone(),
            time: None,
            message,
        })
    }

    /// What the journal says of a step that led from one tree to another.
    pub(super) fn event(
        &self,
        before: ObjectId,
        tree: ObjectId,
        commit: Option<ObjectId>,
        step: &Step<'_>,
        left_out: &[LeftOut],
    ) -> Result<event::Checkpoint, DiffError> {
        let (subject, _) = subject::message(&step.words, &self.spec.commit_prefix, step.number);
        let left_out = left_out.iter().map(left_out_line).collect();
        let told = self.told(before, tree, commit, subject)?;
        Ok(event::Checkpoint { left_out, ..told })
    }

    /// What the journal says of a person's edits.
    pub(super) fn event_of_edits(
        &self,
        before: ObjectId,
        tree: ObjectId,
        commit: Option<ObjectId>,
    ) -> Result<event::Checkpoint, DiffError> {
        let told = self.told(before, tree, commit, BY_HAND.to_owned())?;
        Ok(event::Checkpoint { by_person: Some(ByPerson::Edit), ..told })
    }

    /// What the journal says of a branch that a person has moved to `theirs`, where the session
    /// goes on with the files of `tree`.
    pub(super) fn event_of_move(
        &self,
        theirs: ObjectId,
        tree: ObjectId,
        by: ByPerson,
    ) -> Result<event::Checkpoint, super::CheckpointError> {
        let commit = self.repo.read_commit(theirs)?;
        let before = self.repo.tree_of(self.head)?;
        let subject = commit.message.lines().next().unwrap_or_default().to_owned();
        let told = self.told(before, commit.tree, Some(theirs), subject)?;
        Ok(event::Checkpoint { tree: tree.to_string(), by_person: Some(by), ..told })
    }

    fn told(
        &self,
        before: ObjectId,
        tree: ObjectId,
        commit: Option<ObjectId>,
        subject: String,
    ) -> Result<event::Checkpoint, DiffError> {
        let stat = self.repo.diff_stat(before, tree)?;
        Ok(event::Checkpoint {
            commit: commit.map(|id| id.to_string()),
            tree: tree.to_string(),
            subject,
            paths: stat.paths.iter().map(|change| change.path.to_string()).collect(),
            insertions: stat.insertions,
            deletions: stat.deletions,
            left_out: Vec::new(),
            by_person: None,
        })
    }
}

/// The trailers of a commit of this session: what tells it apart, and the form that the kernel's
/// `Documentation/process/coding-assistants.rst` asks for, one for each model whose answers are in
/// it; where none is known, the session's own.
pub fn trailers(spec: &Spec, models: &[String]) -> Vec<(&'static str, String)> {
    let own = [spec.model_label()];
    let models = if models.is_empty() { &own } else { models };
    let assisted = models.iter().map(|model| ("Assisted-by", format!("git-agent:{model}")));
    [("Agent-Session", spec.id.clone())].into_iter().chain(assisted).collect()
}
