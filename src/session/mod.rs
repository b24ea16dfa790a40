//! What a session is: on disk while it lives, in its ref for ever.
//!
//! Invariant: one writer, the holder of the lock.

pub mod spec;
