//! `git agent start`: a new session.
//!
//! Invariant: it ends with a whole session or with nothing.
