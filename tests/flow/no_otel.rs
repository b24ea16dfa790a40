//! A program that was built without traces, where somebody wants them.
//!
//! Invariant: it says so, and runs the session as ever.

use super::play::Play;
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Turn};

#[test]
fn otel_without_the_feature_is_said_and_does_nothing() {
    let repo = Repo::new();
    repo.git(&["config", "agent.otel.endpoint", "http://127.0.0.1:9"]);
    let why = "agent.otel.endpoint is set, and no traces are sent: this git-agent was built \
               without the feature otel";
    let dry = ["start", "x", "--dry-run", "--model", "ollama/x"];
    let out = repo.agent(&dry);
    assert_eq!(out.stderr.matches(why).count(), 1, "{out:#?}");
    let play = Play::start_in(repo, Dialect::Anthropic, Script::new([Turn::text("Done.")]), &[]);
    play.rests("done");
    let log = std::fs::read_to_string(play.folder().join("supervisor.log")).unwrap();
    assert_eq!(log.matches(why).count(), 1, "{log}");
    play.close();
}
