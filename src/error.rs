//! From what went wrong to what a person reads: one line, one hint, one exit code.
//!
//! Invariant: the only place that knows all error types.
