//! A session whose own files, or whose worktree's link to git, were damaged by somebody.
//!
//! Invariant: what is on record comes back, the damaged thing is kept, and a person is told.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::flow::play::{Play, until};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Turn};

fn bash(command: &str) -> Turn {
    Turn::call("bash", json!({"command": command}))
}

/// A session in the middle of its second step.
fn held() -> Play {
    let script = Script::new([
        bash("echo one > one.txt"),
        bash("touch ../begun; while [ ! -e ../go ]; do sleep 0.02; done; echo two > two.txt"),
        bash("echo three > three.txt"),
        Turn::text("Done."),
    ]);
    let play = Play::start(Dialect::Anthropic, script, &[]);
    until("the command runs", || play.worktree().with_file_name("begun").exists());
    play
}

fn let_go(play: &Play) {
    fs::write(play.worktree().with_file_name("go"), "").unwrap();
}

fn journal(play: &Play) -> PathBuf {
    play.folder().join("journal.jsonl")
}

/// The journal's copies that were set aside.
fn set_aside(play: &Play) -> Vec<String> {
    let names = fs::read_dir(play.folder()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("journal.jsonl.damaged-")).collect()
}

fn commits(play: &Play) -> Vec<String> {
    let told = play.told("checkpoint").into_iter();
    told.filter_map(|it| it["commit"].as_str().map(str::to_owned)).collect()
}

fn on_branch(play: &Play) -> Vec<String> {
    let log = play.repo.git(&["rev-list", "--reverse", "main..agent/mend-the-shop"]);
    log.lines().map(str::to_owned).collect()
}

#[test]
fn a_journal_that_was_cut_comes_back_from_the_record() {
    let play = held();
    let first_line = fs::read_to_string(journal(&play)).unwrap().lines().next().unwrap().to_owned();
    fs::write(journal(&play), format!("{first_line}\n")).unwrap();
    let_go(&play);
    play.rests("paused");
    assert!(play.line().contains("on record"), "{}", play.line());
    let on_record =
        play.repo.git(&["show", &format!("refs/agent/{}:journal/0000/0000.jsonl", play.id)]);
    play.run("resume", &[]).success();
    play.rests("done");
    let said = play.told("notice");
    assert!(said[0].as_str().unwrap().starts_with("the journal was damaged"), "{said:?}");
    assert!(fs::read_to_string(journal(&play)).unwrap().contains(&on_record));
    assert_eq!(set_aside(&play).len(), 1, "as it was it is kept");
    let tree = play.git(&["ls-tree", "--name-only", "HEAD"]);
    assert!(["one.txt", "two.txt", "three.txt"].iter().all(|name| tree.contains(name)), "{tree}");
    play.repo.assert_whole();
}

#[test]
fn a_line_that_was_damaged_comes_back_from_the_record() {
    let play = held();
    play.signal(Signal::KILL);
    let whole = fs::read_to_string(journal(&play)).unwrap();
    let answer = whole.lines().position(|line| line.contains("agent_message")).unwrap();
    let damage = |(number, line): (usize, &str)| {
        let line = if number == answer { "what is this" } else { line };
        format!("{line}\n")
    };
    fs::write(journal(&play), whole.lines().enumerate().map(damage).collect::<String>()).unwrap();
    let_go(&play);
    play.run("resume", &[]).success();
    play.rests("done");
    assert!(fs::read_to_string(journal(&play)).unwrap().starts_with(&whole), "line by line");
    assert_eq!(set_aside(&play).len(), 1);
    assert_eq!(commits(&play), on_branch(&play));
    play.close();
}

#[test]
fn a_commit_whose_run_died_before_it_could_say_so_is_said_and_noted() {
    let play = held();
    play.signal(Signal::KILL);
    // As if it had died between the move of the refs and the event that tells of it.
    let whole = fs::read_to_string(journal(&play)).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let said = lines.iter().position(|line| line.contains("\"checkpoint\"")).unwrap();
    fs::write(journal(&play), lines[..said].join("\n") + "\n").unwrap();
    let_go(&play);
    play.run("resume", &[]).success();
    play.rests("done");
    assert_eq!(commits(&play), on_branch(&play));
    let notes = play.repo.git(&["notes", "--ref=agent", "list"]);
    assert_eq!(notes.lines().count(), on_branch(&play).len());
    play.repo.assert_whole();
}

#[test]
fn a_worktree_whose_link_was_changed_waits_for_its_repair() {
    let ways: [&dyn Fn(PathBuf); 3] = [
        &|link| fs::remove_file(link).unwrap(),
        &|link| fs::write(link, "gitdir: ../../shop/.git\n").unwrap(),
        &|link| fs::write(link, "gitdir: /nowhere\n").unwrap(),
    ];
    for change in ways {
        let play = held();
        let head = play.repo.git(&["rev-parse", "agent/mend-the-shop"]);
        change(play.worktree().join(".git"));
        let_go(&play);
        let rests = play.rests("paused");
        assert!(play.line().contains("git worktree repair mends it"), "{}", play.line());
        assert_eq!(rests["head"], Value::from(head));
        play.repo.git(&["worktree", "repair"]);
        play.run("resume", &[]).success();
        play.rests("done");
        assert_eq!(play.committed("two.txt"), "two");
        play.close();
    }
}

#[test]
fn a_trace_that_cannot_be_written_stops_nothing() {
    let repo = Repo::new();
    let list = "git-agent list --json 2>/dev/full";
    let out = repo.home().cmd("sh").dir(repo.dir()).args(&["-c", list]);
    let said = out.env("GIT_AGENT_LOG", "trace").run().success();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["sessions"], json!([]));
}
