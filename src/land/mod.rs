//! From a session's commits to the branch they are for, and what becomes of its worktree.
//!
//! A landing is decided first, with nothing written but objects: [`work`] says what there is to
//! land and whether it was verified, [`target`] where to, [`plan`] what comes of the two. Then
//! [`apply`] makes it so: the branch, the files of its checkout, the session's state, a note;
//! [`undo`] takes it back. [`gates`] measures what work must measure up to.
//! [`remove`] and [`restore`] take a worktree away and bring it back with all it held; [`retire`]
//! takes a whole session out of sight, and [`gc`] what nobody needs any more. [`forecast`] says
//! beforehand what will collide, and [`pull`] takes the work to a branch of a remote instead.
//!
//! Invariant: the target moves by compare-and-swap from the very commit that was merged, or not at
//! all; a landing that was cut off is finished by the next one.

pub mod apply;
pub mod check;
pub mod checkout;
mod commit;
pub mod error;
pub mod forecast;
pub mod gates;
pub mod gc;
pub mod hooks;
pub mod ignored;
pub mod intent;
pub mod message;
pub mod occupied;
pub mod pick;
pub mod plan;
pub mod pull;
pub mod remove;
pub mod resolve;
pub mod restore;
pub mod retire;
mod same;
mod stand;
pub mod target;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod trash;
pub mod undo;
pub mod work;

pub use error::{LandError, Unverified};
pub use trash::trash;
