//! A pull request of a session, as its state, its record and its journal tell of it.
//!
//! Invariant: `commit` is what this program pushed last; whoever finds another one on the branch
//! knows that somebody else was there.

use serde::{Deserialize, Serialize};

/// A pull request; at GitLab a merge request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// What the forge is: `github`, `gitlab`, `forgejo`; empty where that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub forge: String,
    /// Its number; none while there is but a branch that a person may open one for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Its page, or the page to open one; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// What became of it: `open`, `merged`, `closed`, or `pushed` while there is but the branch.
    pub state: String,
    /// The remote that it was pushed to.
    pub remote: String,
    /// The branch there.
    pub branch: String,
    /// The branch that it is for.
    pub into: String,
    /// The commit that was pushed last, in hex.
    pub commit: String,
    /// The session's own commit whose work that holds, in hex; empty where an older program pushed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub work: String,
    /// The session below it, where it is part of a stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_on: Option<String>,
    /// The comments that the session was told of, by their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heard: Vec<String>,
}

impl PullRequest {
    /// `#7 open`, `branch agent/x pushed`.
    pub fn label(&self) -> String {
        match self.number {
            Some(number) => format!("{}{number} {}", self.mark(), self.state),
            None => format!("{} {}", self.branch, self.state),
        }
    }

    /// What it is called at its forge, `#7`; its branch where it has no number yet.
    pub fn name(&self) -> String {
        match self.number {
            Some(number) => format!("{}{number}", self.mark()),
            None => self.branch.clone(),
        }
    }

    fn mark(&self) -> char {
        if self.forge == "gitlab" { '!' } else { '#' }
    }
}
