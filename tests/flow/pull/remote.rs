//! x
//!
//! Invariant: x.
