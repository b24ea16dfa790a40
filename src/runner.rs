//! Puts the parts of one session together and runs its loop.
//!
//! Invariant: there is one runner for a session, the holder of its lock.
