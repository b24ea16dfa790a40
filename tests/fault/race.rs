//! Two who want the same: one wins, and the other says so.
//!
//! Invariant: whatever the order, nothing is done twice and nothing half.

use std::fs;

use serde_json::json;

use crate::commands::{go, patient, quick};
use crate::flow::play::{Play, SOON, until};
use crate::support::repo::Repo;
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
    assert!(second.stderr.contains("is run by another process"), "{second:?}");
    let resumed = play.run("resume", &[]);
    assert!(resumed.stderr.starts_with("Nothing to resume: "), "{resumed:?}");
    fs::write(play.worktree().join("../go"), "").unwrap();
    play.rests("done");
    assert_eq!(marks(), "one\n");
    play.close();
}

#[test]
fn a_removal_beside_a_kill_has_one_word_for_each() {
    for _ in 0..3 {
        let command =
            "echo one > one.txt; touch ../begun; while [ ! -e ../go ]; do sleep 0.02; done";
        let script = Script::new([bash("echo a > a.txt"), bash(command), Turn::text("Done.")]);
        let play = Play::start(Dialect::Chat, script, &[]);
        until("the command runs", || play.worktree().join("../begun").exists());
        let (killed, removed) = std::thread::scope(|scope| {
            let killed = scope.spawn(|| play.run("stop", &["--kill"]));
            let removed = || loop {
                let out = play.run("remove", &["--force"]);
                // As long as it runs it is not removed, and says so.
                let runs = out.stderr.starts_with(&format!("error: {} is ", play.id));
                if out.code == 0 || !runs || killed.is_finished() {
                    return out;
                }
            };
            let removed = removed();
            (killed.join().unwrap(), removed)
        });
        for out in [&killed, &removed] {
            let lines = out.stderr.lines().filter(|line| line.starts_with("error: ")).count();
            assert_eq!(lines, usize::from(out.code != 0), "{out:#?}");
            for raw in ["os error", "No such file", "cannot use the lock", "cannot be run"] {
                assert!(!out.stderr.contains(raw), "{out:#?}");
            }
        }
        // Whoever won: what was done is on record.
        let code = format!("refs/agent/{}^2", play.id);
        assert_eq!(play.repo.git(&["show", &format!("{code}:a.txt")]), "a");
        assert_eq!(play.repo.git(&["show", &format!("{code}:one.txt")]), "one");
        fs::write(play.worktree().with_file_name("go"), "").unwrap();
    }
}

#[test]
fn who_is_moved_in_the_queue_while_it_is_called_runs_once() {
    let repo = Repo::new();
    repo.git(&["config", "agent.maxRunning", "1"]);
    repo.agent(&["start", "first", "--model", &patient(&repo)]).success();
    repo.wait_state("first", "running", SOON);
    repo.agent(&["start", "second", "--model", &quick(&repo)]).success();
    std::thread::scope(|scope| {
        for priority in ["high", "low"] {
            let repo = &repo;
            scope.spawn(move || {
                for _ in 0..8 {
                    let out = repo.agent(&["reprioritize", priority, "second"]);
                    let said = ["Moved ", "Nothing to reprioritize: ", "error: session second-"];
                    let is_clear = said.iter().any(|said| out.stderr.starts_with(said));
                    assert!(is_clear && !out.stderr.contains("os error"), "{out:#?}");
                }
            });
        }
        go(&repo);
    });
    repo.wait_state("second", "done", SOON);
    let log = repo.agent(&["log", "second", "--json"]).success();
    assert_eq!(log.matches("\"tool_call\":").count(), 1, "{log}");
    repo.assert_whole();
}
