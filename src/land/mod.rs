//! From a session's commits to the branch they are for.
//!
//! Invariant: the target moves by compare-and-swap or not at all.
