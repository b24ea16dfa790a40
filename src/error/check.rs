//! What keeps commits from being judged, and hooks from being installed, for a person.
//!
//! Invariant: each says what to do next.

use super::{CommandError, Kind};
use crate::check::push::PushError;
use crate::hook::{HookError, Problem, Tool};

impl From<PushError> for CommandError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::NotARange(_) => {
                Self::from_error(Kind::Usage, &error).hint("git agent check main..HEAD")
            }
            PushError::Shallow(_) => {
                Self::from_error(Kind::No, &error).hint("git fetch --unshallow")
            }
            PushError::BadLine(_) => Self::from_error(Kind::Usage, &error),
            PushError::NoVerdict(_) | PushError::Changes(_) | PushError::Pattern(_) => {
                Self::from_error(Kind::No, &error)
            }
            PushError::Revision(error) => error.into(),
            PushError::Ref(error) => error.into(),
            PushError::Object(error) => error.into(),
            PushError::Notes(error) => Self::from_error(Kind::No, &error),
            PushError::Record(error) => error.into(),
            PushError::Broken(error) => error.into(),
            PushError::Format(error) => error.into(),
            PushError::Git(error) => error.into(),
            PushError::Io(error) => error.into(),
        }
    }
}

impl From<HookError> for CommandError {
    fn from(error: HookError) -> Self {
        let said = Self::from_error(Kind::No, &error);
        match error {
            HookError::Place(problem) => misplaced(said, &problem),
            HookError::TooOld(_) => said.hint("git agent hooks install puts them into files"),
            HookError::InTheWay(_) => said.hint("Move it away, then try again"),
            HookError::Git(error) => error.into(),
            HookError::Io(error) => error.into(),
        }
    }
}

fn misplaced(said: CommandError, problem: &Problem) -> CommandError {
    match problem {
        Problem::Vanished { dir, .. } => said
            .hint(format!("mkdir -p '{}'", dir.display()))
            .hint("git config --show-scope --show-origin --get-all core.hooksPath"),
        Problem::NoFolder { .. } => {
            said.hint("git config --show-scope --show-origin --get-all core.hooksPath")
        }
        Problem::Tracked { tool: Some(Tool::Husky), .. } => {
            said.hint("git agent hooks install --tracked writes them for husky, to be committed")
        }
        Problem::Tracked { .. } => {
            said.hint("git agent hooks install --tracked writes them all the same, to be committed")
        }
        Problem::Shared { .. } => {
            said.hint("git agent hooks install --shared puts them in for all of these")
        }
    }
}
