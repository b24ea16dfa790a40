//! From a session's commits to the branch they are for.
//!
//! What a landing would do was decided in [`crate::plan`]. [`apply`] makes it so: the branch, the
//! files of its checkout, the session's state, a note; [`undo`] takes it back. Between the two,
//! `commit` makes what lands, with the user's [`hooks`], and [`check`] runs the session's verify
//! commands on it, and its [`gates`]. [`pull`] takes the work to a branch of a remote instead.
//!
//! Invariant: the target moves by compare-and-swap from the very commit that was merged, or not at
//! all; a landing that was cut off is finished by the next one.

pub mod apply;
pub mod check;
mod commit;
pub mod gates;
pub mod hooks;
pub mod intent;
pub mod message;
pub mod pull;
mod stand;
#[cfg(test)]
mod tests;
pub mod undo;
