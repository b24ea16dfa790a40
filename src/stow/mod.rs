//! What becomes of a session's worktree, and of the session, when nobody works there any more.
//!
//! [`remove`] and [`restore`] take a worktree away and bring it back with all it held, [`ignored`]
//! files too; [`retire`] takes a whole session out of sight, and [`gc`] what nobody needs any more.
//!
//! Invariant: nothing goes before all it held is kept, save what a person has given up.

pub mod gc;
pub mod ignored;
pub mod remove;
pub mod restore;
pub mod retire;
mod trash;

pub use trash::trash;
