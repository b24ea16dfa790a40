//! The verbs, one a file: what was typed, then a thin run.
//!
//! Invariant: only this layer knows hints.

pub mod start;
