//! The background process of one session.
//!
//! Invariant: it owns no terminal and outlives the one it was started from.
