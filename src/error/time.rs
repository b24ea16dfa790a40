//! What keeps a session from another moment of its past, for a person.
//!
//! Invariant: each refusal says what to do next; none suggests what could lose work.

use super::{CommandError, Kind};
use crate::event::Way;
use crate::git::WorktreeError;
use crate::session::checkpoint::CheckpointError;
use crate::session::rewind::RewindError;

impl From<RewindError> for CommandError {
    fn from(error: RewindError) -> Self {
        let said = Self::from_error(Kind::No, &error);
        match error {
            RewindError::NoStep { id, way_back, .. } => {
                let said = Self { kind: Kind::Usage, ..said };
                match way_back {
                    Some(Way::Undo) => said.hint(format!("git agent rewind {id} --undo")),
                    Some(Way::Redo) => said.hint(format!("git agent rewind {id} --redo")),
                    Some(Way::Back) | None => said.hint(format!("git agent log {id}")),
                }
            }
            RewindError::Nothing { id, .. } => said.hint(format!("git agent log {id}")),
            RewindError::Over { id, .. } => {
                said.hint(format!("git agent fork {id} --at STEP begins another from there"))
            }
            RewindError::HalfWay { id, .. } => {
                said.hint(format!("git agent resume {id} finishes it"))
            }
            RewindError::Checkpoint(error) => error.into(),
            RewindError::Worktree(error) => error.into(),
            RewindError::Record(error) => error.into(),
            RewindError::Format(error) => error.into(),
            RewindError::Config(error) => error.into(),
            RewindError::Open(error) => error.into(),
            RewindError::Ref(error) => error.into(),
            RewindError::Object(error) => error.into(),
            RewindError::Revision(error) => error.into(),
            RewindError::Move(error) => error.into(),
            RewindError::Io(error) => error.into(),
            RewindError::Diff(_) | RewindError::Identity(_) => said,
        }
    }
}

impl From<CheckpointError> for CommandError {
    fn from(error: CheckpointError) -> Self {
        let said = Self::from_error(Kind::No, &error);
        match error {
            CheckpointError::Worktree(WorktreeError::Dirty { worktree, paths }) => {
                let paths: Vec<_> = paths.iter().map(ToString::to_string).collect();
                said.hint(format!("Move {} out of {}", paths.join(", "), worktree.display()))
            }
            CheckpointError::Worktree(error) => error.into(),
            CheckpointError::BranchMoved { .. } => said.hint("Try again"),
            CheckpointError::BranchGone { branch } => {
                let branch = branch.strip_prefix("refs/heads/").unwrap_or(&branch).to_owned();
                said.hint(format!("git branch {branch} makes one; git reflog shows where it was"))
            }
            CheckpointError::WorktreeGone { .. } => said.hint("git agent worktree restore SESSION"),
            CheckpointError::NotLinked { .. } => said.hint("git worktree repair"),
            CheckpointError::Tampered(error) => error.into(),
            CheckpointError::Elsewhere { branch, .. } => {
                let branch = branch.strip_prefix("refs/heads/").unwrap_or(&branch).to_owned();
                said.hint(format!("git switch {branch}, in the worktree"))
            }
            CheckpointError::Record(error) => error.into(),
            CheckpointError::Object(error) => error.into(),
            CheckpointError::Base(error) => error.into(),
            CheckpointError::Ref(error) => error.into(),
            CheckpointError::Busy { .. } => said.hint("git status, in the worktree"),
            CheckpointError::Snapshot(_)
            | CheckpointError::Foreign(_)
            | CheckpointError::Journal(_)
            | CheckpointError::Diff(_)
            | CheckpointError::Unjudged(_)
            | CheckpointError::Identity(_) => said,
        }
    }
}
