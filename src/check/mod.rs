//! What must not be committed before a person has looked at it: judges of what has changed between
//! two trees.
//!
//! Invariant: a judge is pure: it sees paths and blobs and nothing else, so a step, a range and a
//! push are judged alike. What it costs is what has changed.

pub mod later;
pub mod push;
pub mod scope;
pub mod secret;

use crate::event::Finding;
use crate::git::{DiffError, Difference, ObjectError, ObjectId, Repo};

/// What has changed between two trees.
#[derive(Debug)]
pub struct Changes<'r> {
    repo: &'r Repo,
    /// The older tree.
    pub before: ObjectId,
    /// The younger tree.
    pub after: ObjectId,
    /// Each path that differs.
    pub paths: Vec<Difference>,
}

/// What has changed cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A tree cannot be read.
    #[error(transparent)]
    Diff(#[from] DiffError),
    /// A blob cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

/// One that looks for something.
pub trait Judge {
    /// What a person must look at.
    ///
    /// # Errors
    /// Something that has changed cannot be read.
    fn judge(&self, changes: &Changes<'_>) -> Result<Vec<Finding>, CheckError>;
}

impl<'r> Changes<'r> {
    /// What has changed from one tree to another.
    ///
    /// # Errors
    /// A tree cannot be read.
    pub fn between(repo: &'r Repo, before: ObjectId, after: ObjectId) -> Result<Self, CheckError> {
        let paths = repo.differences(before, after)?;
        Ok(Self { repo, before, after, paths })
    }

    /// The repository that both trees are in.
    pub fn repo(&self) -> &Repo {
        self.repo
    }

    /// What all judges find, by path.
    ///
    /// # Errors
    /// Something that has changed cannot be read.
    pub fn judged_by(&self, judges: &[&dyn Judge]) -> Result<Vec<Finding>, CheckError> {
        let mut found = Vec::new();
        for judge in judges {
            found.extend(judge.judge(self)?);
        }
        found.sort_by(|one, other| (&one.path, &one.rule).cmp(&(&other.path, &other.rule)));
        Ok(found)
    }
}

/// A finding on what a path is now.
pub fn finding(rule: &str, change: &Difference, why: impl Into<String>) -> Finding {
    Finding {
        rule: rule.to_owned(),
        path: change.path.to_string(),
        why: why.into(),
        content: change.new.map(|(_, id)| id.to_string()),
    }
}
