//! Somebody collects garbage, without mercy and without end, while a session works.
//!
//! Invariant: no object that a step needs is ever missing.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::flow::play::{Play, SOON};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Turn};

/// A session of so many steps beside a loop of `git gc --prune=now` and `git prune`; how often
/// garbage was collected, and how many objects had to be brought back.
fn collect_beside(steps: usize) -> (u32, usize) {
    let step = |n: usize| {
        let command =
            format!("mkdir -p d{n}; for i in 1 2 3 4 5 6 7 8; do echo {n} $i > d{n}/$i; done");
        Turn::call("bash", json!({"command": command}))
    };
    let script = Script::new((0..steps).map(step).chain([Turn::text("Done.")]));
    let play = Play::start_in(Repo::new(), Dialect::Anthropic, script, &[]);
    let (is_over, rounds) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                // One that finds a ref locked, or another gc at work, has had its try.
                let home = play.repo.home();
                home.cmd("git").dir(play.repo.dir()).args(&["prune", "--expire=now"]).run();
                let round = rounds.fetch_add(1, Ordering::Relaxed);
                if round % 5 == 4 {
                    home.cmd("git").dir(play.repo.dir()).args(&["gc", "-q", "--prune=now"]).run();
                }
            }
        });
        let deadline = Instant::now() + Duration::from_secs(2 * steps as u64);
        while play.supervisor().is_some() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        let rests = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play.rests("done")));
        is_over.store(true, Ordering::Relaxed);
        collector.join().expect("git runs");
        rests.expect("it is done");
    });
    let count = play.repo.git(&["rev-list", "--count", "main..agent/mend-the-shop"]);
    assert_eq!(count, steps.to_string());
    let files = play.repo.git(&["ls-tree", "-r", "--name-only", "agent/mend-the-shop"]);
    assert_eq!(
        files.lines().filter(|it| it.starts_with('d') && !it.starts_with("docs")).count(),
        steps * 8
    );
    let log = std::fs::read_to_string(play.folder().join("supervisor.log")).unwrap_or_default();
    let restored = log.lines().filter(|line| line.contains("taken away by a gc")).count();
    assert!(!play.folder().join("kept").exists(), "what was kept is let go");
    play.close();
    (rounds.into_inner(), restored)
}

#[test]
fn b08_garbage_is_collected_all_the_while() {
    let (rounds, _) = collect_beside(12);
    assert!(rounds > 2, "{rounds}");
}

#[test]
fn b08_garbage_is_collected_between_a_landings_commit_and_the_move_of_its_branch() {
    for args in [&["--squash"][..], &[]] {
        let write = Turn::call("bash", json!({"command": "echo one > one.txt"}));
        let play = Play::start(Dialect::Chat, Script::new([write, Turn::text("Done.")]), &[]);
        play.rests("done");
        // The target has gone on, so that a tree must be made too.
        std::fs::write(play.repo.dir().join("mine.txt"), "mine\n").unwrap();
        play.repo.git(&["add", "-A"]);
        play.repo.git(&["commit", "-qm", "Mine"]);
        // git runs it once it has locked the ref, and has seen that the commit is there.
        let hook = play.repo.common_dir().join("hooks/reference-transaction");
        std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
        let script = "#!/bin/sh\ntest \"$1\" != prepared || git prune --expire=now\n";
        std::fs::write(&hook, script).unwrap();
        std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let out = play.cmd(&[&["worktree", "merge", &play.id], args].concat()).run();
        assert_eq!(out.code, 0, "{out:#?}");
        std::fs::remove_file(hook).unwrap();
        let files = play.repo.git(&["ls-tree", "--name-only", "main"]);
        let has = |file: &str| files.lines().any(|it| it == file);
        assert!(has("one.txt") && has("mine.txt"), "{files}");
        assert_eq!(play.repo.git(&["status", "--porcelain"]), "");
        assert!(!play.folder().join("kept").exists(), "what was kept is let go");
        play.repo.git(&["fsck", "--strict", "--no-dangling"]);
    }
}

#[test]
fn b08_what_a_gc_took_of_a_session_that_waits_is_back_when_it_runs() {
    let repo = Repo::new();
    repo.git(&["config", "agent.maxRunning", "1"]);
    repo.agent(&["start", "first", "--model", &crate::commands::patient(&repo)]).success();
    repo.wait_state("first", "running", SOON);
    let quick = crate::commands::quick(&repo);
    let said = repo.agent(&["start", "second", "--model", &quick]).success();
    let id = said.split_whitespace().nth(1).unwrap();
    // As a gc deletes it that looked at the refs before it was led to.
    let record = repo.git(&["rev-parse", &format!("refs/agent/{id}")]);
    let (folder, name) = record.split_at(2);
    std::fs::remove_file(repo.common_dir().join("objects").join(folder).join(name)).unwrap();
    crate::commands::go(&repo);
    repo.wait_state(id, "done", SOON);
    repo.wait_state("first", "done", SOON);
    repo.git(&["fsck", "--strict", "--no-dangling"]);
}

#[test]
#[ignore = "long"]
fn long_garbage_is_collected_all_the_while() {
    let (rounds, restored) = collect_beside(100);
    println!("collected {rounds} times beside 100 steps; objects brought back {restored} times");
}
