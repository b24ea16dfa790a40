//! A setting that makes no sense, and settings that hold sessions back.
//!
//! Invariant: what is set wrong is said once, keeps nobody from looking, and nothing from being
//! kept; what holds a start back says so.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{held, let_go, wait_until_held};
use crate::commands::{go, patient, quick};
use crate::flow::play::{Play, SOON, until};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Turn};

/// A session that runs, and one that waits for its slot.
fn one_runs_and_one_waits() -> (Repo, String) {
    let repo = Repo::new();
    repo.git(&["config", "agent.maxRunning", "1"]);
    repo.agent(&["start", "first", "--model", &patient(&repo)]).success();
    repo.wait_state("first", "running", SOON);
    let out = repo.agent(&["start", "second", "--model", &quick(&repo)]).success();
    (repo, out.split_whitespace().nth(1).unwrap().to_owned())
}

#[test]
fn a_bad_setting_is_said_once_by_whoever_looks_and_refuses_who_would_start() {
    let (repo, id) = one_runs_and_one_waits();
    repo.git(&["config", "agent.maxLoad", "much"]);
    let bad = format!(
        "bad value 'much' for agent.maxLoad (file:{}/config): expected a number above 0, such as \
         1.5\nhint: git config --show-origin --get-all agent.maxLoad\n",
        repo.common_dir().display()
    );
    let warning = format!("warning: no session that waits is started: {bad}");
    for look in [&["list"][..], &["status"], &["status", &id], &["log", &id], &["ls", "--json"]] {
        let out = repo.agent(look);
        let said = out.stderr.matches("bad value").count();
        assert_eq!((out.code, said), (0, 1), "{look:?}: {}", out.stderr);
        assert!(out.stderr.starts_with(&warning), "{look:?}: {}", out.stderr);
    }
    let listed = repo.agent(&["list"]).success();
    assert!(listed.contains("a setting that makes sense (agent.maxLoad)"), "{listed}");
    // Who would start one is refused, once for all that were named.
    let refused = repo.agent(&["resume", &id, &id]);
    assert_eq!((refused.code, refused.stderr), (2, format!("error: {bad}")));
    for verb in ["pause", "stop"] {
        let out = repo.agent(&[verb, &id]);
        assert_eq!((out.code, out.stderr.contains("bad value")), (0, false), "{out:?}");
    }
    repo.git(&["config", "--unset", "agent.maxLoad"]);
    go(&repo);
    repo.wait_state("first", "done", SOON);
    assert_eq!(repo.agent(&["list"]).stderr, "");
}

#[test]
fn what_is_stopped_is_kept_whatever_is_set() {
    for kill in [true, false] {
        let play =
            Play::start(Dialect::Chat, Script::new([held("true"), Turn::text("Done.")]), &[]);
        wait_until_held(&play);
        fs::write(play.worktree().join("half.txt"), "half\n").unwrap();
        play.repo.git(&["config", "agent.maxFileSize", "huge"]);
        if kill {
            // As if the machine had lost it, and not as one that could still commit.
            play.signal(Signal::KILL);
        }
        let out = play.run("stop", if kill { &["--kill"] } else { &[] });
        assert_eq!(out.code, 0, "{out:?}");
        play.rests("stopped");
        assert_eq!(play.committed("half.txt"), "half");
        let_go(&play);
    }
}

/// Sets something, and expects the second session to wait for these words; then lets go of it.
fn holds_back(key: &str, value: &str, words: &str) {
    let repo = Repo::new();
    repo.git(&["config", key, value]);
    repo.agent(&["start", "first", "--model", &patient(&repo)]).success();
    // The only one is never held back.
    repo.wait_state("first", "running", SOON);
    let out = repo.agent(&["start", "second", "--model", &quick(&repo)]);
    assert_eq!(out.code, 0, "{out:?}");
    let second = out.stdout.split_whitespace().nth(1).unwrap().to_owned();
    let waits = |out: &str| out.contains(&format!("waits for {words}"));
    assert!(waits(&out.stdout) || waits(&out.stderr), "{out:?}");
    let status = repo.agent(&["status", &second, "--json"]).success();
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["state"], json!("queued"), "{status:#}");
    let reason = status["queue"]["waits_for"].as_str().unwrap_or_default();
    assert!(reason.starts_with(words), "{status:#}");
    // What has room starts it, without a word from anybody: the end of the other says enough.
    go(&repo);
    repo.wait_state("first", "done", SOON);
    repo.wait_state(&second, "done", SOON);
    repo.assert_whole();
}

#[cfg(target_os = "linux")]
#[test]
fn little_memory_holds_back_a_start() {
    // No machine has as much.
    holds_back("agent.minFreeMemory", "8000t", "memory (");
}

#[cfg(target_os = "linux")]
#[test]
fn a_load_holds_back_a_start() {
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    let load: f64 = load.split_whitespace().next().unwrap().parse().unwrap();
    // A machine that does nothing at all has no load to hold anything back.
    if load > 0.0 {
        holds_back("agent.maxLoad", "0.000001", "less load (");
    }
}

#[test]
fn a_session_whose_state_is_torn_leaves_the_queue_without_a_word() {
    let (repo, id) = one_runs_and_one_waits();
    let queue = repo.common_dir().join("agent/queue");
    let state = repo.common_dir().join("agent/sessions").join(&id).join("state.toml");
    fs::write(state, "phase = ").unwrap();
    go(&repo);
    repo.wait_state("first", "done", SOON);
    let is_empty = || fs::read_dir(&queue).unwrap().next().is_none();
    until("its ticket is gone", || {
        let out = repo.agent(&["log", "first"]);
        assert_eq!((out.code, out.stderr.as_str()), (0, ""));
        is_empty()
    });
    repo.agent(&["doctor", "--fix"]);
    repo.agent(&["resume", &id]).success();
    repo.wait_state(&id, "done", SOON);
    repo.assert_whole();
}

#[test]
fn a_pause_lasts_over_a_reboot() {
    let play = super::doctor::paused();
    // What a machine leaves that is switched off: nobody runs, and the numbers are of another boot.
    fs::write(play.folder().join("lock"), "1\nboot another\noom-kills 0\nlistens\n").unwrap();
    fs::remove_dir_all(play.repo.common_dir().join("agent/slots")).unwrap();
    for look in ["list", "status", "log"] {
        play.cmd(&[look]).run();
    }
    play.rests("paused");
    assert!(play.supervisor().is_none_or(|pid| pid.as_raw_nonzero().get() == 1));
    assert!(play.line().contains("paused"), "{}", play.line());
    play.run("resume", &[]).success();
    play.rests("done");
    assert_eq!(play.committed("two.txt"), "two");
    play.close();
}

/// The shortest time that the program takes for a list, of several tries.
fn list_takes(repo: &Repo) -> std::time::Duration {
    let takes = |_| {
        let begun = std::time::Instant::now();
        repo.agent(&["list"]).success();
        begun.elapsed()
    };
    (0..7).map(takes).min().unwrap()
}

#[test]
fn a_list_of_many_sessions_grows_with_their_number_alone() {
    let (some, many) = (with_sessions(250), with_sessions(1_000));
    let alone = with_sessions(0);
    // Four times as many, and some for a machine that is busy: what looks at each for each takes
    // sixteen times as long, however often it is tried.
    let mut tried = Vec::new();
    let grows = (0..5).any(|_| {
        let [alone, some, many] = [&alone, &some, &many].map(list_takes);
        tried.push([alone, some, many]);
        many.saturating_sub(alone) < some.saturating_sub(alone) * 8
    });
    assert!(grows, "one, 250 more, 1,000 more: {tried:?}");
}

/// A repository with a session, and so many copies of it.
fn with_sessions(copies: usize) -> Repo {
    let repo = Repo::new();
    repo.agent(&["start", "say hi", "--model", &quick(&repo), "--wait"]).success();
    let id = repo.session_ids().remove(0);
    let sessions = repo.common_dir().join("agent/sessions");
    for number in 0..copies {
        let copy = format!("copy-{number:04}");
        fs::create_dir(sessions.join(&copy)).unwrap();
        for file in ["spec.toml", "state.toml"] {
            let text = fs::read_to_string(sessions.join(&id).join(file)).unwrap();
            fs::write(sessions.join(&copy).join(file), text.replace(&id, &copy)).unwrap();
        }
    }
    repo
}
