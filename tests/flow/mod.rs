//! Whole sessions, from `start` to landing, through the built program.
//!
//! Invariant: what is asserted is what a person sees: output, refs, files.

mod journey;
mod places;
mod real_project;
pub(crate) mod play;
mod session;
mod snapshot;
mod start;
mod strategy;
mod worktree;
