//! What was asked: written once, never changed.
//!
//! Invariant: the first thing in the file is its format number.

/// x
#[derive(Debug)]
pub struct Spec;
