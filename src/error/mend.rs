//! What keeps a session's things from being put right, for a person.
//!
//! Invariant: no hint loses work.

use super::{CommandError, Kind};
use crate::mend::worktree::NotReady;

impl From<NotReady> for CommandError {
    fn from(error: NotReady) -> Self {
        let hint = error.hint();
        let said = match error {
            NotReady::Land(error) => error.into(),
            NotReady::Session(error) => error.into(),
            NotReady::Io(error) => error.into(),
            error => Self::from_error(Kind::No, &error),
        };
        hint.into_iter().fold(said, Self::hint)
    }
}
