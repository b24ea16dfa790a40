//! What can go wrong around a session, and that it ends well all the same.
//!
//! Invariant: whatever was done to it, no work is lost and nothing is done twice in silence.

mod astray;
mod branch;
mod breakage;
mod crash;
mod disk;
mod doctor;
mod fallback;
mod gc;
mod kill;
mod long;
mod many;
mod model;
mod nonsense;
mod queue;
mod race;
mod settings;
mod steer;
mod time;
mod words;

use std::fs;

use serde_json::json;

use crate::flow::play::{Play, until};
use crate::support::server::Turn;

fn bash(command: &str) -> Turn {
    Turn::call("bash", json!({"command": command}))
}

/// A command that ends when there is a file `go` beside the worktree, and then does this.
fn held(then: &str) -> Turn {
    bash(&format!("echo begun >> ../begun; while [ ! -e ../go ]; do sleep 0.02; done; {then}"))
}

fn wait_until_held(play: &Play) {
    until("the command runs", || play.worktree().join("../begun").exists());
}

fn let_go(play: &Play) {
    fs::write(play.worktree().join("../go"), "").unwrap();
}

fn finish() -> Turn {
    Turn::call("finish", json!({"summary": "Done."}))
}
