//! Where tools run.
//!
//! Invariant: what the level says is what the machine does.
