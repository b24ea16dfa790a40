//! What gix said, as an error like any other.
//!
//! Invariant: the one place where an error of gix is turned into one of ours.

/// The reason beneath one of our errors, in the words of the library that met it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Cause(gix::Error);

impl<E: Into<gix::Error>> From<E> for Cause {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}
