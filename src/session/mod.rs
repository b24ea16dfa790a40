//! What a session is: on disk while it lives, in its ref for ever.
//!
//! [`spec`] is what was asked, [`state`] where it is, [`journal`] what happened, [`inbox`] what
//! people say to it, [`lock`] who runs it, [`ticket`] its place in the queue; [`store`] finds it.
//!
//! Invariant: one writer, the holder of the lock; everybody else reads, and writes to the inbox.

pub mod adopt;
pub mod allowed;
pub mod archive;
pub mod asked;
pub mod audit;
pub mod bill;
pub mod budget;
pub mod cage;
mod called;
pub mod carry;
pub mod checkpoint;
pub mod create;
mod death;
pub mod disk;
pub mod fork;
pub mod format;
pub mod handoff;
pub mod id;
pub mod inbox;
pub mod include;
pub mod journal;
pub mod lock;
mod moved;
pub mod note;
pub mod provenance;
pub mod pull;
pub mod record;
pub mod removed;
pub mod reserve;
pub mod rewind;
pub mod salvage;
pub mod size;
pub mod spec;
pub mod state;
pub mod store;
pub mod subject;
pub mod submodule;
pub mod tell;
#[cfg(test)]
pub(crate) mod testing;
pub mod ticket;
pub mod worktree;
