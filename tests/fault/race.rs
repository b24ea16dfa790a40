//! Two who want the same: one wins, and the other says so.
//!
//! Invariant: whatever the order, nothing is done twice and nothing half.

use std::fs;

use serde_json::json;

use crate::flow::play::{Play, until};
use crate::support::server::{Dialect, Script, Turn};

fn bash(command: &str) -> Turn {
    Turn::call("bash", json!({"command": command}))
}

#[test]
fn two_mergers_land_it_once() {
    let play = Play::start(
        Dialect::Chat,
        Script::new([bash("echo one > one.txt"), Turn::text("Done.")]),
        &[],
    );
    play.rests("done");
    let main = play.repo.git(&["rev-parse", "main"]);
    let outs = std::thread::scope(|scope| {
        let merge = || play.repo.agent(&["worktree", "merge", &play.id, "--squash"]);
        let mergers: Vec<_> = (0..4).map(|_| scope.spawn(merge)).collect();
        mergers.into_iter().map(|it| it.join().unwrap()).collect::<Vec<_>>()
    });
    let won = outs.iter().filter(|out| out.code == 0).count();
    assert_eq!(won, 1, "{outs:#?}");
    for out in outs.iter().filter(|out| out.code != 0) {
        assert!(out.code == 1 && out.stderr.starts_with("error: "), "{out:#?}");
        assert_eq!(out.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1);
    }
    assert_eq!(play.repo.git(&["rev-list", "--count", &format!("{main}..main")]), "1");
    assert_eq!(play.repo.git(&["status", "--porcelain"]), "");
    assert_eq!(play.status()["state"], "landed");
    play.server.finish();
}

#[test]
fn a_lock_that_is_deleted_lets_nobody_else_in() {
    let command = "echo one >> ../marks; while [ ! -e ../go ]; do sleep 0.02; done";
    let play =
        Play::start(Dialect::Anthropic, Script::new([bash(command), Turn::text("Done.")]), &[]);
    let marks = || fs::read_to_string(play.worktree().join("../marks")).unwrap_or_default();
    until("the command runs", || marks() == "one\n");
    fs::remove_file(play.folder().join("lock")).unwrap();
    assert_eq!(play.status()["state"], "running");
    let common_dir = play.repo.common_dir();
    let second = play.cmd(&["supervise", common_dir.to_str().unwrap(), &play.id]).run();
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.stderr.contains("it is run by another process"), "{second:?}");
    let resumed = play.run("resume", &[]);
    assert!(resumed.stderr.starts_with("Nothing to resume: "), "{resumed:?}");
    fs::write(play.worktree().join("../go"), "").unwrap();
    play.rests("done");
    assert_eq!(marks(), "one\n");
    play.close();
}
