//! `git agent`: coding agents that work on a git repository, each in a session of its own.
//!
//! # The way of a session
//!
//! 1. [`commands::start`] turns what was typed into a [`session::spec::Spec`], makes the worktree,
//!    the branch and the session's ref, and starts a supervisor.
//! 2. [`queue`] says who runs next, where not all can; [`supervise`] is that supervisor: one
//!    process, one lock, no terminal.
//! 3. [`runner`] puts the session's parts together: model, tools, journal, checkpoints.
//! 4. [`agent`] is the loop: ask the model, run its tools, commit the step, verify, go on.
//! 5. [`model`] and [`tool`] are what the loop calls; [`sandbox`] is where tools run.
//! 6. [`session`] is what a session is on disk and in refs; [`git`] is git, one noun a file.
//! 7. [`notify`] tells people of what happens meanwhile.
//! 8. [`check`] judges what is about to be committed, or pushed.
//! 9. [`plan`] says what would land, where, and what collides; [`land`] brings it to the branch it
//!    is for, or, by way of a [`forge`], to a pull request.
//! 10. [`stow`] takes worktrees away and brings them back, with all they held.
//! 11. [`credit`] says who wrote which line of what has landed.
//! 12. [`mend`] finds what a crash or a person has left in disorder, and puts it right.
//!
//! # Layers
//!
//! A module imports from lower layers only; modules of one layer do not know each other, save
//! through the `mod.rs` of their own room. `tests/guard/layers.rs` reads this very table.
//!
//! ```text
//! 7 cli commands error
//! 6 ui
//! 5 runner supervise queue
//! 4 agent check credit mend stow land plan telemetry
//! 3 session
//! 2 model tool sandbox notify hook trust measure forge
//! 1 git
//! 0 message event config process cancel file http parallel failpoint pattern redact policy transcript
//! ```
//!
//! Within layer 7, `cli` knows `commands`, which know `error`; in layer 5, `supervise` knows
//! `runner` and `queue`; in layer 4, `mend` knows `stow`, which knows `land`, which knows `plan`;
//! in layer 2, `tool` knows `sandbox`; in layer 0, `event` knows `message` and `redact`; `config`
//! and `policy` know `pattern`; `process` knows `redact`.

pub mod agent;
pub mod cancel;
pub mod check;
pub mod cli;
pub mod commands;
pub mod config;
pub mod credit;
pub mod error;
pub mod event;
pub mod failpoint;
pub mod file;
pub mod forge;
pub mod git;
pub mod hook;
pub mod http;
pub mod land;
pub mod measure;
pub mod mend;
pub mod message;
pub mod model;
pub mod notify;
pub mod parallel;
pub mod pattern;
pub mod plan;
pub mod policy;
pub mod process;
pub mod queue;
pub mod redact;
pub mod runner;
pub mod sandbox;
pub mod session;
pub mod stow;
pub mod supervise;
#[cfg(feature = "otel")]
pub mod telemetry;
pub mod tool;
pub mod transcript;
pub mod trust;
pub mod ui;

use std::process::ExitCode;

/// Runs the program with these arguments, the program's own name first.
pub fn run(args: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    cli::run(args)
}
