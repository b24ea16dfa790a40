//! Whole sessions, from `start` to landing, through the built program.
//!
//! Invariant: what is asserted is what a person sees: output, refs, files.

mod attempts;
mod audit;
mod batch;
mod batch_pulls;
mod credit;
mod forecast;
mod gate;
mod gc;
mod given;
mod handover;
mod journey;
mod landing;
mod limits;
#[cfg(not(feature = "otel"))]
mod no_otel;
#[cfg(feature = "otel")]
mod otel;
mod person;
mod places;
pub(crate) mod play;
mod pull;
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
