//! The supervisor dies, as by `kill -9`: at each named point of a step, and at random moments.
//!
//! Invariant: after `resume` the tree is that of an undisturbed run, each event is told once, no
//! command has run twice, one whose end is not known is told as interrupted, and git finds nothing
//! wrong.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::Duration;

use git_agent::failpoint::POINTS;
use rustix::process::Signal;
use serde_json::json;

use crate::flow::play::{Play, until};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Turn};

/// So many turns; each leaves a mark that it ran, and makes all files up to its own that are not
/// there or are empty still, so that what a crash has kept from being made is made by the next.
fn script(turns: usize) -> Script {
    let turn = |number: usize| {
        let all = (1..=number).map(|it| it.to_string()).collect::<Vec<_>>().join(" ");
        let command = format!(
            "echo {number} >> ../marks; for n in {all}; do test -s $n.txt || echo $n > $n.txt; done"
        );
        Turn::call("bash", json!({"command": command}))
    };
    Script::new((1..=turns).map(turn).chain([Turn::text("Done.")]))
}

/// The tree that is there in the end.
fn tree(play: &Play) -> String {
    play.repo.git(&["rev-parse", "agent/mend-the-shop^{tree}"])
}

fn undisturbed(turns: usize) -> String {
    let play = Play::start(Dialect::Anthropic, script(turns), &[]);
    play.rests("done");
    let tree = tree(&play);
    play.close();
    tree
}

/// Everything that a crash must not change.
fn assert_as_undisturbed(play: &Play, turns: usize, wanted: &str, what: &str) {
    let files = || play.repo.git(&["ls-tree", "-l", "agent/mend-the-shop"]);
    assert_eq!(tree(play), wanted, "{what}:\n{}", files());
    assert_eq!(play.git(&["status", "--porcelain"]), "", "{what}");
    let mut events = HashSet::new();
    let mut interrupted = HashSet::new();
    let mut commands = HashMap::new();
    for update in play.updates() {
        let key = match (update.get("tool_call"), update.get("tool_call_update")) {
            (Some(call), _) => {
                commands.insert(call["id"].to_string(), call["arguments"].to_string());
                format!("begin {}", call["id"])
            }
            (_, Some(end)) => {
                let id = end["result"]["call_id"].to_string();
                if end["result"]["output"].as_str().unwrap().starts_with("Interrupted: ") {
                    interrupted.insert(commands[&id].clone());
                }
                format!("end {id}")
            }
            _ => continue,
        };
        assert!(events.insert(key.clone()), "{what}: twice: {key}");
    }
    let journal = fs::read_to_string(play.folder().join("journal.jsonl")).unwrap();
    let lines: HashSet<&str> = journal.lines().collect();
    assert_eq!(lines.len(), journal.lines().count(), "{what}: a line stands twice");
    let marks = fs::read_to_string(play.worktree().with_file_name("marks")).unwrap();
    for number in 1..=turns {
        let ran = marks.lines().filter(|mark| *mark == number.to_string()).count();
        let told = interrupted.iter().any(|it| it.contains(&format!("echo {number} >>")));
        assert!(ran == 1 || (ran == 0 && told), "{what}: {number} ran {ran} times, told {told}");
    }
    play.repo.git(&["fsck", "--strict", "--no-dangling", "--no-progress"]);
}

/// Killed at this point, when it comes there so often; resumed, and compared.
fn die_at(point: &str, times: u32, dialect: Dialect, wanted: &str) {
    let what = format!("{point}:{times}");
    let env = [("GIT_AGENT_FAIL_POINT", what.clone())];
    let play = Play::start_with(Repo::new(), dialect, script(4), &["--verify", "true"], &env);
    until(&format!("it dies at {what}"), || play.status()["state"] == "interrupted");
    play.run("resume", &[]).success();
    play.rests("done");
    assert_as_undisturbed(&play, 4, wanted, &what);
    if point == "one-ref" {
        assert_eq!(play.subjects().len(), 4, "{what}: each step is a commit of its own");
    }
    let log = play.run("log", &[]).success();
    assert!(log.contains(" → interrupted: ") || log.contains(" -> interrupted: "), "{what}: {log}");
    play.close();
}

#[test]
fn a_lock_that_a_kill_left_at_the_last_record_is_taken_away() {
    let env = [("GIT_AGENT_FAIL_POINT", "rest:1".to_owned())];
    let play = Play::start_with(Repo::new(), Dialect::Chat, script(1), &[], &env);
    until("it dies", || play.status()["state"] == "interrupted");
    // As the record that never came has left it.
    let lock = play.repo.common_dir().join(format!("refs/agent/{}.lock", play.id));
    fs::write(&lock, "").unwrap();
    play.run("resume", &[]).success();
    play.rests("done");
    assert!(!lock.exists());
    play.close();
}

/// Points that a session comes to once.
const ONCE: [&str; 5] = ["task", "verified", "notes", "rest", "last-record"];

/// Points that a session without a person's hand never comes to: `branch.rs` dies there.
const APART: [&str; 1] = ["edits"];

fn die_at_each(times: u32, dialect: Dialect) -> usize {
    let wanted = undisturbed(4);
    let comes = |point: &&str| !APART.contains(point) && (times == 1 || !ONCE.contains(point));
    let points: Vec<_> = POINTS.into_iter().filter(comes).collect();
    for some in points.chunks(3) {
        std::thread::scope(|scope| {
            for point in some {
                scope.spawn(|| die_at(point, times, dialect, &wanted));
            }
        });
    }
    points.len()
}

#[test]
fn e01_killed_at_every_point_of_a_step() {
    die_at_each(1, Dialect::Anthropic);
}

#[test]
#[ignore = "long"]
fn long_killed_at_every_point_of_every_step() {
    let mut kills = 0;
    for dialect in Dialect::ALL {
        kills += (1..=3).map(|times| die_at_each(times, dialect)).sum::<usize>();
    }
    println!("killed at points: {kills}");
}

/// Killed so often, at moments that the seed decides; how often it was.
fn storm(kills: u32, seed: u64) -> u32 {
    const TURNS: usize = 60;
    /// The last ones are left in peace: they make what a killed one did not.
    const CALM: u64 = 55;
    let wanted = undisturbed(TURNS);
    let play = Play::start(Dialect::Responses, script(TURNS), &[]);
    let (mut random, mut killed) = (seed, 0);
    while killed < kills {
        until("it runs", || {
            let state = play.status()["state"].clone();
            // Killed before it had begun, it is taken for one that is on its way at first.
            if state == "interrupted" {
                play.run("resume", &[]);
            }
            play.supervisor().is_some() || state == "done"
        });
        // xorshift, so that a seed tells the moments.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_micros(random % 180_000));
        if play.status()["steps"].as_u64().unwrap() >= CALM {
            break;
        }
        let Some(pid) = play.supervisor() else { continue };
        if rustix::process::kill_process(pid, Signal::KILL).is_ok() {
            killed += 1;
        }
        until("nobody runs it", || play.supervisor().is_none());
        play.run("resume", &[]).success();
    }
    until("it is left in peace", || {
        let state = play.status()["state"].clone();
        if state == "interrupted" {
            play.run("resume", &[]);
        }
        state == "done"
    });
    play.rests("done");
    assert_as_undisturbed(&play, TURNS, &wanted, &format!("seed {seed}"));
    play.close();
    killed
}

#[test]
fn e01_killed_at_random_moments() {
    let killed = storm(20, 0x5eed_0001);
    assert!(killed >= 10, "killed {killed} times");
}

#[test]
#[ignore = "long"]
fn long_killed_at_two_hundred_random_moments() {
    let (mut killed, mut seed) = (0, 0x5eed_1000);
    while killed < 200 {
        seed += 1;
        killed += storm(20, seed);
    }
    println!("killed at random moments: {killed}");
}
