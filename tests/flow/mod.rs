//! Whole sessions, from `start` to the end, in all that they leave behind.
//!
//! Invariant: after each, `git fsck --strict` finds nothing and the main checkout is as it was.

pub(crate) mod play;
mod session;
mod start;
mod strategy;
