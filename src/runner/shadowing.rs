//! The git dir of a session's commands, kept behind the session's own commits.
//!
//! Invariant: it follows only when a command is about to run and the branch has moved, and never
//! while somebody merges or rebases there.

use crate::agent::Fault;
use crate::config::CommitStrategy;
use crate::sandbox::shadow::Shadow;
use crate::session::checkpoint::Checkpoints;

use super::fault;

/// A shadow git dir, and how far it has followed.
pub(super) struct Followed(Shadow);

impl Followed {
    pub(super) fn new(shadow: Shadow) -> Self {
        Self(shadow)
    }

    /// Brings branch and index there up to the branch of the session.
    pub(super) fn follow(
        &mut self,
        checkpoints: &Checkpoints,
        strategy: CommitStrategy,
    ) -> Result<(), Fault> {
        let Self(shadow) = self;
        let head = checkpoints.head();
        // What was committed there and changed nothing is in no commit of the session.
        let is_left = strategy == CommitStrategy::Incremental && !shadow.messages().is_empty();
        if (shadow.given() == Some(head) && !is_left) || shadow.is_busy() {
            return Ok(());
        }
        checkpoints.write_index(&shadow.git_dir()).map_err(fault)?;
        shadow.follow(head).map_err(fault)
    }

    /// What was committed there, as the words of a step.
    pub(super) fn message(&self) -> Option<String> {
        let messages = self.0.messages();
        (!messages.is_empty()).then(|| messages.join("\n\n"))
    }
}
