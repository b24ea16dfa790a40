//! `start`: many at once, and what `--wait` tells its caller.
//!
//! Invariant: sessions that are started together share nothing but the repository.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};

use super::play::SOON;
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Server, Turn};

const MANY: usize = 16;

#[test]
fn sixteen_sessions_start_at_once_and_each_does_its_own_work() {
    let repo = Repo::new();
    let script = |n: usize| {
        let path = format!("file-{n}.txt");
        Script::new([
            Turn::call("write", json!({"file_path": path, "content": "x\n"})),
            Turn::text("Done."),
        ])
        .for_task(&format!("Task number {n:02}"))
    };
    let server = Server::start_many((0..MANY).map(script).collect());
    thread::scope(|scope| {
        for n in 0..MANY {
            let (repo, server) = (&repo, &server);
            scope.spawn(move || {
                let dialect = Dialect::ALL[n % 3];
                let task = format!("Task number {n:02}");
                let start = ["start", &task, "--model", dialect.model()];
                repo.cmd(&start).envs(server.env(dialect)).run().success();
            });
        }
    });
    for n in 0..MANY {
        let status = repo.wait_state(&format!("task-number-{n:02}"), "done", SOON);
        let branch = format!("agent/task-number-{n:02}");
        assert_eq!(status["branch"], Value::from(branch.as_str()));
        let files = repo.git(&["diff", "--name-only", "main", &branch]);
        assert_eq!(files, format!("file-{n}.txt"));
    }
    let worktrees = repo.git(&["worktree", "list", "--porcelain"]);
    let worktrees: BTreeSet<&str> =
        worktrees.lines().filter(|line| line.starts_with("worktree ")).collect();
    assert_eq!(worktrees.len(), MANY + 1);
    let notes = repo.git(&["notes", "--ref=agent", "list"]);
    assert_eq!(notes.lines().count(), MANY, "no note is lost where many are written at once");
    repo.assert_whole();
    server.finish();
}

fn waited(turns: impl IntoIterator<Item = Turn>, args: &[&str]) -> (i32, String) {
    let repo = Repo::new();
    let server = Server::start(Script::new(turns));
    let dialect = Dialect::Responses;
    let start = ["start", "Mend the shop", "--wait", "--model", dialect.model()];
    let out = repo.cmd(&[&start, args].concat()).envs(server.env(dialect)).run();
    let said = repo.normal(&out);
    repo.assert_whole();
    server.finish();
    let end = said.stderr.lines().find(|line| line.starts_with("mend-the-shop-[id] "));
    (out.code, end.unwrap_or_default().replace("mend-the-shop-[id] ", ""))
}

#[test]
fn wait_tells_how_it_ended() {
    let done = || Turn::text("Done.");
    assert_eq!(waited([done()], &[]), (0, "is done".to_owned()));
    let failed = waited([done(), done(), done(), done()], &["--verify", "exit 7"]);
    let reason = "is failed: verify still fails: exit 7 (exit 7)";
    assert_eq!(failed, (1, reason.to_owned()));
    let asked = waited([Turn::call("ask", json!({"question": "Which one?"}))], &[]);
    assert_eq!(asked, (3, "needs input: Which one?".to_owned()));
    let read = || Turn::call("read", json!({"file_path": "README.md"}));
    let limited = waited([read(), read()], &["--max-steps", "2"]);
    let reason = "needs input: the limit of 2 steps is reached; approve adds another 2 steps";
    assert_eq!(limited, (3, reason.to_owned()));
}
