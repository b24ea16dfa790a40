//! A session of very many steps: its disk grows by what each step does, and its memory, its requests
//! and the time of a step do not grow at all.
//!
//! `cargo test --test main -- --ignored --nocapture long_e14` does 2,000 of them and
//! measures the time too.
//!
//! Invariant: what is compared are two stretches of one run, so the machine does not matter.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::flow::play::{Play, until};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Odd, Script, Turn};

/// What was seen when so many steps were done.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Bytes in the git dir.
    disk: u64,
    /// Memory of the supervisor, in KiB; 0 where the system does not tell.
    memory: u64,
}

/// How far the stretches reach: `marks` are numbers of steps, at which it is looked.
fn run(marks: &[usize], window: &str, limit: Duration) -> (Play, Vec<Seen>) {
    let steps = *marks.last().expect("there is one");
    let step = |number: usize| {
        // No file so often that it looks like going in circles.
        let path = format!("notes/{}/{}.txt", number % 20, number / 20 % 20);
        let turn = Turn::text(&format!("Note {number}, and some words on it.")).and_call(
            "write",
            json!({"file_path": path, "content": format!("{number}\n").repeat(20)}),
        );
        // The answer waits while it is looked.
        if marks.contains(&(number - 1)) { turn.delay(Duration::from_secs(1)) } else { turn }
    };
    let last = Turn::call("finish", json!({"summary": "Noted."})).delay(Duration::from_secs(1));
    let turns = (1..=steps).map(step).chain([last]);
    // No usage is told, so bytes count: the conversation is as full as it is.
    let script = Script::new(turns).odd(Odd::NoUsage);
    let script = script.aside("Write what you need to go on", Turn::text("Many notes were made."));
    let repo = Repo::new();
    repo.git(&["config", "agent.contextWindow", window]);
    repo.git(&["config", "gc.auto", "0"]);
    let play = Play::start_in(repo, Dialect::Chat, script, &["--max-steps", "9999"]);
    let deadline = std::time::Instant::now() + limit;
    let mut seen = Vec::new();
    for mark in marks {
        while !play.server.served().contains(mark) {
            assert!(std::time::Instant::now() < deadline, "step {mark} is not reached");
            std::thread::sleep(Duration::from_millis(5));
        }
        let pid = play.supervisor().expect("it runs").as_raw_nonzero().get();
        seen.push(Seen { disk: size(&play.repo.common_dir()), memory: memory(pid) });
    }
    until("it is done", || play.status()["state"] == "done");
    play.rests("done");
    (play, seen)
}

fn size(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let entries = entries.flatten().map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => size(&entry.path()),
        Ok(about) => about.len(),
        // A lock that is gone by now.
        Err(_) => 0,
    });
    entries.sum()
}

fn memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// What each step between two marks has added to the disk.
fn grown(seen: &[Seen], marks: &[usize], at: usize) -> f64 {
    let bytes = seen[at + 1].disk - seen[at].disk;
    bytes as f64 / (marks[at + 1] - marks[at]) as f64
}

/// The largest request so far when so many steps were done.
fn largest(play: &Play, steps: usize) -> usize {
    let bodies = play.server.bodies();
    bodies.iter().take(steps).map(Vec::len).max().expect("it was asked")
}

#[test]
fn e14_disk_is_linear_and_requests_are_bounded() {
    // A record's folder fills up within a hundred steps: they are compared at the same place of it.
    let marks = [5, 20, 105, 120];
    let (play, seen) = run(&marks, "2000", Duration::from_secs(400));
    assert!(play.told("compaction").len() >= 3, "it was made shorter again and again");
    let (first, last) = (grown(&seen, &marks, 0), grown(&seen, &marks, 2));
    assert!(last <= 1.2 * first, "{last} bytes a step at the end, {first} at the beginning");
    let (before, after) = (largest(&play, 40), largest(&play, 9999));
    assert!(after <= before + before / 5, "{after} bytes of a request after {before}");
    assert_eq!(play.status()["steps"], 121);
    play.close();
}

#[test]
#[ignore = "takes minutes: see above for how it is run"]
fn long_e14_two_thousand_steps() {
    let marks = [100, 200, 1900, 2000];
    let (play, seen) = run(&marks, "20000", Duration::from_secs(1800));
    let records = play.server.records();
    let gaps: Vec<(usize, Duration)> = records
        .windows(2)
        .filter_map(|pair| {
            let gap = pair[1].request.first_byte.saturating_duration_since(pair[0].last_byte);
            Some((pair[1].turn?, gap))
        })
        .collect();
    let median = |from: usize, to: usize| {
        let mut all: Vec<_> =
            gaps.iter().filter(|(turn, _)| (from..to).contains(turn)).map(|it| it.1).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let (early, late) = (median(100, 200), median(1900, 2000));
    let (first, last) = (grown(&seen, &marks, 0), grown(&seen, &marks, 2));
    let compactions = play.told("compaction").len();
    eprintln!(
        "step 100 to 200: {early:?}, {first:.0} bytes each; 1900 to 2000: {late:?}, {last:.0} \
         bytes each; {compactions} times shorter; {seen:#?}"
    );
    assert!(late.as_secs_f64() <= 1.2 * early.as_secs_f64(), "{late:?} after {early:?}");
    assert!(last <= 1.2 * first, "{last} bytes after {first}");
    let (before, after) = (seen[1].memory, seen[3].memory);
    assert!(after <= before + before / 5, "{after} KiB after {before}");
    assert!(largest(&play, 9999) <= largest(&play, 400) * 6 / 5);
    play.close();
}
