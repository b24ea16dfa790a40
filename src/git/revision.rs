//! From what a person types to a commit, and how commits lie to each other.
//!
//! Invariant: what is typed is never taken for an option.

use gix::bstr::ByteSlice;

use crate::git::ObjectId;
use crate::git::cause::Cause;
use crate::git::command::{self, GitError};
use crate::git::repo::Repo;

/// Why a revision was not found, or a history not walked.
#[derive(Debug, thiserror::Error)]
pub enum RevisionError {
    /// It names no commit.
    #[error("'{0}' is not a commit")]
    NotACommit(String),
    /// The two share no commit that is here.
    #[error("{0} and {1} have no commit in common")]
    Unrelated(ObjectId, ObjectId),
    /// git could not be asked.
    #[error(transparent)]
    Git(GitError),
    /// The history could not be read; in a shallow clone it may end too early.
    #[error("cannot read the history of {tip}")]
    History {
        /// Where the walk began.
        tip: ObjectId,
        /// What stood in the way.
        #[source]
        source: Cause,
    },
}

impl Repo {
    /// The commit that a revision names, in any form of gitrevisions(7), tags peeled.
    ///
    /// # Errors
    /// [`RevisionError::NotACommit`] if it names none, or more than one.
    pub fn resolve_commit(&self, revision: &str) -> Result<ObjectId, RevisionError> {
        // git itself, since its forms are many (`@{-1}`, `:/text`, `@{yesterday}`) and this is for
        // what a person types: once a command.
        let spec = format!("{revision}^{{commit}}");
        let cmd = self.git().args(["rev-parse", "--verify", "--quiet", "--end-of-options", &spec]);
        let not_a_commit = || RevisionError::NotACommit(revision.to_owned());
        match command::succeed(&cmd) {
            Ok(line) => ObjectId::from_hex(line.trim_end()).map_err(|_| not_a_commit()),
            Err(GitError::Refused { .. }) => Err(not_a_commit()),
            Err(error) => Err(RevisionError::Git(error)),
        }
    }

    /// The commits from `base`, exclusive, to `tip`, oldest first, along first parents.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn commits_between(
        &self,
        base: ObjectId,
        tip: ObjectId,
    ) -> Result<Vec<ObjectId>, RevisionError> {
        let failed = |source: gix::Error| RevisionError::History { tip, source: source.into() };
        let walk = self.gix().rev_walk([tip]).with_hidden([base]).first_parent_only();
        let mut commits = Vec::new();
        for info in walk.all().map_err(failed)? {
            commits.push(info.map_err(|error| failed(error.into()))?.id);
        }
        commits.reverse();
        Ok(commits)
    }

    /// Whether `ancestor` is `descendant` itself or in its history.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn is_ancestor(
        &self,
        ancestor: ObjectId,
        descendant: ObjectId,
    ) -> Result<bool, RevisionError> {
        Ok(ancestor == descendant || self.merge_base(ancestor, descendant)? == Some(ancestor))
    }

    /// The best common ancestor; none if the two share no history that is here.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn merge_base(
        &self,
        one: ObjectId,
        other: ObjectId,
    ) -> Result<Option<ObjectId>, RevisionError> {
        match self.gix().merge_base(one, other) {
            Ok(id) => Ok(id.map(gix::Id::detach)),
            Err(source) => Err(RevisionError::History { tip: other, source: source.into() }),
        }
    }
}
