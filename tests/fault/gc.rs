//! Somebody collects garbage, without mercy and without end, while a session works.
//!
//! Invariant: no object that a step needs is ever missing.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::flow::play::Play;
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
#[ignore = "long"]
fn long_garbage_is_collected_all_the_while() {
    let (rounds, restored) = collect_beside(100);
    println!("collected {rounds} times beside 100 steps; objects brought back {restored} times");
}
