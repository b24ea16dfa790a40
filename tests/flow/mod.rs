//! Whole sessions, from `start` to landing, through the built program.
//!
//! Invariant: what is asserted is what a person sees: output, refs, files.

mod audit;
mod batch;
mod forecast;
mod gate;
mod gc;
mod given;
mod handover;
mod journey;
mod landing;
mod limits;
mod person;
mod places;
pub(crate) mod play;
mod push;
mod real_package;
mod real_project;
mod secret;
mod session;
mod snapshot;
mod start;
mod strategy;
mod time;
pub(crate) mod worktree;
