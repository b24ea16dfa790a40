//! The tools a model may call, one a file.
//!
//! Invariant: a tool never takes the loop down: what goes wrong goes back to the model in words.
