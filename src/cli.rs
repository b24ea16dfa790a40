//! The command line: global options and the verbs, in the order of a session's life.
//!
//! Invariant: each arm of the dispatch is one call.

use std::ffi::OsString;
use std::process::ExitCode;

/// Parses the arguments and runs the verb.
pub fn run(_args: impl IntoIterator<Item = OsString>) -> ExitCode {
    ExitCode::SUCCESS
}
