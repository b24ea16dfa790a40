//! The supervisor is killed: at any point the session is resumed and ends as if it had not been.
//!
//! Invariant: a command leaves a mark outside the tree each time it runs, so that what ran twice
//! is seen.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::flow::play::{Play, in_each_dialect, until};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Turn};

fn bash(command: &str) -> Turn {
    Turn::call("bash", json!({"command": command}))
}

/// A command that says it has begun, and does not end by itself before there is a file `go`.
fn held(name: &str) -> String {
    format!(
        "echo {name} >> ../marks; while [ ! -e ../go ]; do sleep 0.02; done; echo {name} > {name}.txt"
    )
}

fn marks(play: &Play) -> String {
    fs::read_to_string(play.worktree().join("../marks")).unwrap_or_default()
}

fn go(play: &Play) -> PathBuf {
    play.worktree().join("../go")
}

/// Everything that a crash must not change.
fn assert_well(play: &Play, tree: &[&str]) {
    let files = play.repo.git(&["diff", "--name-only", "main", "agent/mend-the-shop"]);
    assert_eq!(files.lines().collect::<Vec<_>>(), tree);
    assert_eq!(play.git(&["status", "--porcelain"]), "");
    assert_each_once(play);
}

/// Each call begins once and ends once, and each event is told once.
fn assert_each_once(play: &Play) {
    let mut seen = HashSet::new();
    for update in play.updates() {
        let id = match (update.get("tool_call"), update.get("tool_call_update")) {
            (Some(call), _) => format!("begin {}", call["id"]),
            (_, Some(end)) => format!("end {}", end["result"]["call_id"]),
            _ => continue,
        };
        assert!(seen.insert(id.clone()), "twice: {id}");
    }
    let journal = fs::read_to_string(play.folder().join("journal.jsonl")).unwrap();
    let lines: HashSet<&str> = journal.lines().collect();
    assert_eq!(lines.len(), journal.lines().count(), "a line stands twice in the journal");
}

fn assert_interrupted(play: &Play) {
    let line = play.line();
    assert!(line.contains("interrupted") && line.contains("supervisor"), "{line}");
    let list: Value =
        serde_json::from_str(&play.repo.agent(&["list", "--json"]).success()).unwrap();
    assert_eq!(list["sessions"][0]["state"], "interrupted");
}

/// No process but the test's own is left of what the session had started.
fn assert_nothing_runs(play: &Play) {
    until("the tools of the killed supervisor are gone", || {
        play.repo.home().processes().is_empty()
    });
}

#[test]
fn killed_while_the_model_answers() {
    in_each_dialect(|dialect| {
        let script = Script::new([
            bash("echo one >> ../marks; echo one > one.txt"),
            // The second time it is asked for, `delay` passes again: so not too long.
            bash("echo two >> ../marks; echo two > two.txt").delay(Duration::from_secs(2)),
            Turn::text("Done."),
        ]);
        let play = Play::start(dialect, script, &[]);
        play.wait_for_request(2);
        play.signal(Signal::KILL);
        assert_interrupted(&play);
        assert_nothing_runs(&play);
        play.run("resume", &[]).success();
        play.rests("done");
        assert_eq!(play.server.served(), [0, 1, 1, 2]);
        assert_eq!(marks(&play), "one\ntwo\n");
        assert_well(&play, &["one.txt", "two.txt"]);
        play.close();
    });
}

#[test]
fn killed_while_a_tool_runs() {
    in_each_dialect(|dialect| {
        let grandchild = "(setsid sleep 300 &) ; ";
        let script = Script::new([
            bash("echo one > one.txt"),
            // Two calls: the first is cut short, the second has not begun.
            bash(&format!("{grandchild}{}", held("two")))
                .and_call("write", json!({"file_path": "three.txt", "content": "three\n"})),
            bash("echo again >> ../marks; echo two > two.txt"),
            Turn::text("Done."),
        ]);
        let play = Play::start(dialect, script, &[]);
        until("the command runs", || marks(&play) == "two\n");
        play.signal(Signal::KILL);
        assert_interrupted(&play);
        assert_nothing_runs(&play);
        fs::write(go(&play), "").unwrap();
        play.run("resume", &[]).success();
        play.rests("done");
        // It was not run again, and the model was told.
        assert_eq!(marks(&play), "two\nagain\n");
        let outputs = play.told("tool_call_update");
        let outputs: Vec<&str> =
            outputs.iter().map(|end| end["result"]["output"].as_str().unwrap()).collect();
        assert!(outputs[1].starts_with("Interrupted: "), "{outputs:?}");
        assert_well(&play, &["one.txt", "three.txt", "two.txt"]);
        play.close();
    });
}

#[test]
fn killed_while_the_checks_run() {
    let verify = "echo check >> ../marks; while [ ! -e ../go ]; do sleep 0.02; done";
    let script = Script::new([bash("echo one > one.txt"), Turn::text("Done.")]);
    let play = Play::start(Dialect::Responses, script, &["--verify", verify]);
    until("the check runs", || marks(&play) == "check\n");
    play.signal(Signal::KILL);
    assert_interrupted(&play);
    assert_nothing_runs(&play);
    fs::write(go(&play), "").unwrap();
    play.run("resume", &[]).success();
    let status = play.rests("done");
    assert_eq!(status["verify"]["status"], "passed");
    // A check says nothing of itself, so it is run again; the model is not asked again.
    assert_eq!(marks(&play), "check\ncheck\n");
    assert_eq!(play.server.served(), [0, 1]);
    assert_well(&play, &["one.txt"]);
    play.close();
}

#[test]
fn killed_again_and_again() {
    let steps = 12;
    let step = |n: usize| bash(&format!("echo {n} >> ../marks; echo {n} >> steps.txt; sleep 0.05"));
    let script = Script::new((0..steps).map(step).chain([Turn::text("Done.")]));
    let play = Play::start(Dialect::Anthropic, script, &[]);
    for round in 0..8 {
        until("it runs", || play.supervisor().is_some() || play.status()["state"] == "done");
        std::thread::sleep(Duration::from_millis(20 + 37 * round % 150));
        let Some(pid) = play.supervisor() else { break };
        // It may have ended by itself by now.
        if rustix::process::kill_process(pid, Signal::KILL).is_err() {
            break;
        }
        until("nobody runs it", || play.supervisor().is_none());
        // Where it had just got to its end there is nothing to resume.
        play.run("resume", &[]);
    }
    play.rests("done");
    // A call that was cut short is told as such, never run again: each number at most once.
    let marks = marks(&play);
    let told: HashSet<&str> = marks.lines().collect();
    assert_eq!(told.len(), marks.lines().count(), "{marks}");
    let interrupted = play
        .told("tool_call_update")
        .into_iter()
        .filter(|end| end["result"]["output"].as_str().unwrap().starts_with("Interrupted: "));
    assert!(told.len() + interrupted.count() >= steps, "{marks}");
    assert_each_once(&play);
    assert_eq!(play.git(&["status", "--porcelain"]), "");
    play.close();
}

#[test]
fn the_system_shuts_down() {
    for signal in [Signal::TERM, Signal::INT] {
        let script =
            Script::new([bash(&held("one")), bash("echo two > two.txt"), Turn::text("Done.")]);
        let play = Play::start(Dialect::Chat, script, &[]);
        until("the command runs", || marks(&play) == "one\n");
        play.signal(signal);
        assert_nothing_runs(&play);
        assert_eq!(play.status()["state"], "interrupted");
        assert!(play.line().contains("the system ended it"), "{}", play.line());
        fs::write(go(&play), "").unwrap();
        play.run("resume", &[]).success();
        play.rests("done");
        assert_eq!(marks(&play), "one\n");
        assert_well(&play, &["two.txt"]);
        play.close();
    }
}

#[test]
fn the_terminal_is_closed() {
    let script = Script::new([bash(&held("one")), Turn::text("All is done now.")]);
    let play = Play::start(Dialect::Anthropic, script, &[]);
    until("the command runs", || marks(&play) == "one\n");
    let pid = play.supervisor().unwrap();
    assert_eq!(rustix::process::getsid(Some(pid)), Ok(pid), "it has a session of its own");
    rustix::process::kill_process(pid, Signal::HUP).unwrap();
    let log = std::thread::scope(|scope| {
        let follower = scope.spawn(|| play.run("log", &["-f"]));
        fs::write(go(&play), "").unwrap();
        follower.join().unwrap()
    });
    assert!(log.clone().success().contains("All is done now."), "{log:?}");
    play.rests("done");
    assert_well(&play, &["one.txt"]);
    play.close();
}

#[test]
fn one_session_has_one_supervisor() {
    let script = Script::new([bash(&held("one")), Turn::text("Done.")]);
    let play = Play::start(Dialect::Anthropic, script, &[]);
    until("the command runs", || marks(&play) == "one\n");
    let common_dir = play.repo.common_dir();
    let second = play.cmd(&["supervise", common_dir.to_str().unwrap(), &play.id]).run();
    assert_eq!(second.code, 1, "{second:?}");
    let pid = play.supervisor().unwrap().as_raw_nonzero();
    assert!(second.stderr.contains(&format!("is run by process {pid}")), "{second:?}");
    fs::write(go(&play), "").unwrap();
    play.rests("done");
    assert_eq!(marks(&play), "one\n");
    assert_well(&play, &["one.txt"]);
    play.close();
}

#[test]
fn two_resumes_at_once_make_one_run() {
    let script = Script::new([
        bash("echo one >> ../marks"),
        bash("echo two >> ../marks").delay(Duration::from_millis(300)),
        Turn::text("Done."),
    ]);
    let repo = Repo::new();
    let play = Play::start_in(repo, Dialect::Chat, script, &[]);
    play.wait_for_request(2);
    play.signal(Signal::KILL);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| play.run("resume", &[]).success());
        }
    });
    play.rests("done");
    assert_eq!(marks(&play), "one\ntwo\n");
    assert_each_once(&play);
    play.close();
}
