//! What keeps a session's things from being put right, for a person.
//!
//! Invariant: no hint loses work.

use super::{CommandError, Kind};
use crate::mend::worktree::{BringBackError, moved_hint};

impl From<BringBackError> for CommandError {
    fn from(error: BringBackError) -> Self {
        match error {
            BringBackError::Moved { ref found, ref path, .. } => {
                let hint = moved_hint(&found.display(), &path.display());
                Self::from_error(Kind::No, &error).hint(hint)
            }
            BringBackError::Land(error) => error.into(),
            BringBackError::Io(error) => error.into(),
            BringBackError::Record(_) => {
                Self::from_error(Kind::No, &error).hint("git agent doctor")
            }
        }
    }
}
