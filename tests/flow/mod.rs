//! Whole sessions, from `start` to landing, through the built program.
//!
//! Invariant: what is asserted is what a person sees: output, refs, files.

mod journey;
mod places;
mod snapshot;
mod worktree;
