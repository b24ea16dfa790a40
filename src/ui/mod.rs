//! Answers and events for people and for programs.
//!
//! Invariant: stdout is the answer, stderr the narration.
