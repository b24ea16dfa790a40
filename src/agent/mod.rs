//! The loop: ask the model, run its tools, commit the step, verify, go on.
//!
//! Invariant: it reaches git and the disk only through the traits it declares.
