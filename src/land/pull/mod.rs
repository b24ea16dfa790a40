//! The work of a session on a branch of a remote, for a pull request.
//!
//! | file | what |
//! |---|---|
//! | `route.rs` | which remote, which branches there, and where they are |
//! | `stack.rs` | the sessions that one stands on, and the way of each |
//! | `push.rs` | the commits, made as those that land, and git's push of them |
//! | `body.rs` | what a pull request says of the session |
//! | `batch.rs` | what it says of the others of its batch |
//!
//! Invariant: nothing here moves a branch of the user's; the branch at the remote moves only from
//! the very commit that was found there, and only if that is ours.

mod batch;
mod body;
mod error;
mod push;
mod route;
mod stack;

pub use batch::{Siblings, joined};
pub use body::{Body, Rung, Stack, renewed};
pub use error::PullError;
pub use push::{Made, Ready, Rehearsed, deliver, note, push_record, rehearse};
pub use route::Route;
pub use stack::{Floor, Member, chain};
