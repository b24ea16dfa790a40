//! What keeps lines from being traced to who wrote them, for a person.
//!
//! Invariant: each says what to do next, where there is anything.

use super::{CommandError, Kind};
use crate::credit::CreditError;

impl From<CreditError> for CommandError {
    fn from(error: CreditError) -> Self {
        match error {
            CreditError::Object(error) => error.into(),
            CreditError::Record(error) => error.into(),
            CreditError::Git(error) => error.into(),
            CreditError::Diff(_) | CreditError::Notes(_) => Self::from_error(Kind::No, &error),
            CreditError::Journal(_) => {
                Self::from_error(Kind::No, &error).hint("git agent doctor --fix")
            }
        }
    }
}
