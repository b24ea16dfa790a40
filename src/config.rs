//! Configuration: git config `agent.*`, typed.
//!
//! Invariant: a default stands in one place, here; a bad value is refused, never replaced.
