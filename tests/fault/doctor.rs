//! `doctor` finds what is broken, and `doctor --fix` mends it.
//!
//! Invariant: without `--fix` nothing changes, and after it nothing is left to be found.

use std::fs;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::flow::play::{Play, until};
use crate::support::server::{Dialect, Script, Turn};

fn bash(command: &str) -> Turn {
    Turn::call("bash", json!({"command": command}))
}

/// A session that is paused behind its first step; two more are to come.
pub(super) fn paused() -> Play {
    let script = Script::new([
        bash("echo one > one.txt; touch ../begun; while [ ! -e ../go ]; do sleep 0.02; done"),
        bash("echo two > two.txt"),
        Turn::text("Done."),
    ]);
    let play = Play::start(Dialect::Anthropic, script, &[]);
    until("the command runs", || play.worktree().with_file_name("begun").exists());
    play.run("pause", &[]).success();
    fs::write(play.worktree().with_file_name("go"), "").unwrap();
    play.rests("paused");
    play
}

/// What `doctor` says with these verdicts, a line each: `area: what`.
pub(super) fn said(play: &Play, args: &[&str], verdict: &str) -> Vec<String> {
    let out = play.cmd(&[&["doctor", "--json"], args].concat()).run();
    let told: Value = serde_json::from_str(&out.stdout).expect("it is JSON");
    let checks = told["checks"].as_array().unwrap().iter();
    let found: Vec<_> = checks
        .filter(|check| check["verdict"] == verdict)
        .map(|check| {
            let word = |key: &str| check[key].as_str().unwrap().to_owned();
            format!("{}: {}", word("area"), word("found")).replace(&play.id, "ID")
        })
        .collect();
    if verdict == "problem" {
        assert_eq!(out.code, i32::from(!found.is_empty()), "{out:#?}");
    }
    found
}

/// Asserts what is said of what is broken, before and after it is mended; then the session goes on
/// to its end.
fn mends(play: Play, problem: &str, mended: &str) {
    is_mended(&play, problem, mended);
    play.run("resume", &[]).success();
    play.rests("done");
    assert_eq!(
        (play.committed("one.txt"), play.committed("two.txt")),
        ("one".into(), "two".into())
    );
    play.close();
}

/// Asserts what is said of what is broken, before and after it is mended.
pub(super) fn is_mended(play: &Play, problem: &str, mended: &str) {
    let root = play.repo.home().root().to_str().unwrap().to_owned();
    let plain =
        |lines: Vec<String>| lines.iter().map(|it| it.replace(&root, "ROOT")).collect::<Vec<_>>();
    let before = plain(said(play, &[], "problem"));
    assert_eq!(before, [problem]);
    assert_eq!(plain(said(play, &[], "problem")), before, "nothing changes without --fix");
    assert_eq!(plain(said(play, &["--fix"], "mended")), [mended]);
    assert_eq!(said(play, &[], "problem"), Vec::<String>::new());
}

#[test]
fn nothing_is_wrong_with_a_session_at_rest() {
    let play = paused();
    assert_eq!(said(&play, &[], "problem"), Vec::<String>::new());
    play.run("resume", &[]).success();
    play.rests("done");
    play.close();
}

#[test]
fn a_worktree_that_was_deleted() {
    let play = paused();
    fs::remove_dir_all(play.worktree()).unwrap();
    mends(
        play,
        "worktree: the worktree of ID is gone: ROOT/shop.worktrees/mend-the-shop",
        "worktree: ROOT/shop.worktrees/mend-the-shop is back as it was",
    );
}

#[test]
fn a_worktree_that_lost_its_link() {
    let play = paused();
    fs::remove_file(play.worktree().join(".git")).unwrap();
    mends(
        play,
        "worktree: the worktree of ID is cut off from git: ROOT/shop.worktrees/mend-the-shop is not \
         linked to the repository",
        "worktree: git worktree repair has linked ROOT/shop.worktrees/mend-the-shop again",
    );
}

#[test]
fn a_ref_that_is_gone() {
    let play = paused();
    play.repo.git(&["update-ref", "-d", &format!("refs/agent/{}", play.id)]);
    mends(
        play,
        "record: ID has no record: refs/agent/ID is gone",
        "record: refs/agent/ID is made again from the session's folder and its branch",
    );
}

#[test]
fn a_ref_that_is_gone_is_made_again_by_a_resume_too() {
    let play = paused();
    play.repo.git(&["update-ref", "-d", &format!("refs/agent/{}", play.id)]);
    play.run("resume", &[]).success();
    play.rests("done");
    let on_record =
        play.repo.git(&["ls-tree", "-r", "--name-only", &format!("refs/agent/{}", play.id)]);
    assert!(on_record.contains("journal/0000/0000.jsonl"), "{on_record}");
    play.close();
}

#[test]
fn e02_a_journal_that_lost_lines() {
    let play = paused();
    let journal = play.folder().join("journal.jsonl");
    let whole = fs::read_to_string(&journal).unwrap();
    let half = whole.len() / 2;
    fs::write(&journal, &whole[..half]).unwrap();
    let before = said(&play, &[], "problem");
    assert!(before[0].starts_with("journal: the journal of ID: "), "{before:?}");
    assert!(before[0].contains("are on record; its last line is torn"), "{before:?}");
    let mended = said(&play, &["--fix"], "mended");
    assert!(mended[0].starts_with("journal: the journal of ID is whole again ("), "{mended:?}");
    assert_eq!(fs::read_to_string(&journal).unwrap(), whole);
    play.run("resume", &[]).success();
    play.rests("done");
    play.close();
}

#[test]
fn s08_a_repository_that_calls_itself_bare() {
    let play = paused();
    play.repo.git(&["config", "core.bare", "true"]);
    mends(
        play,
        "config: core.bare is set in ROOT/shop/.git/config, which has a checkout",
        "config: core.bare is false again in ROOT/shop/.git/config",
    );
}

#[test]
fn s07_stale_locks_are_named_and_only_the_sessions_own_go() {
    let play = paused();
    let common = play.repo.common_dir();
    let ours = common.join(format!("refs/agent/{}.lock", play.id));
    let (branch, foreign) =
        (common.join("refs/heads/agent/mend-the-shop.lock"), common.join("index.lock"));
    let hour_ago = SystemTime::now() - Duration::from_secs(3600 * 3 + 60);
    for lock in [&ours, &branch, &foreign] {
        fs::File::create(lock).unwrap().set_modified(hour_ago).unwrap();
    }
    let found = said(&play, &[], "problem");
    assert_eq!(found.len(), 3, "{found:?}");
    let user = play.repo.home().cmd("id").args(&["-un"]).run().success();
    let old = format!("is 3 h old, made by {}", user.trim());
    assert_eq!(found[0], format!("lock: {} {old}", foreign.display()));
    assert_eq!(said(&play, &["--fix"], "mended").len(), 2);
    assert_eq!((ours.exists(), branch.exists(), foreign.exists()), (false, false, true));
    let shown = play.cmd(&["doctor"]).run();
    assert!(shown.stdout.contains(&format!("If no git runs there: rm {}", foreign.display())));
    fs::remove_file(foreign).unwrap();
    play.run("resume", &[]).success();
    play.rests("done");
    play.close();
}

#[test]
fn e16_an_interrupted_session_says_why() {
    let script = Script::new([
        bash("touch ../begun; while [ ! -e ../go ]; do sleep 0.02; done"),
        Turn::text("Done."),
    ]);
    let play = Play::start(Dialect::Chat, script, &[]);
    until("the command runs", || play.worktree().with_file_name("begun").exists());
    play.signal(Signal::KILL);
    let lock = play.folder().join("lock");
    let left = fs::read_to_string(&lock).unwrap();
    assert!(play.line().contains("its supervisor ended without a word"), "{}", play.line());
    if cfg!(target_os = "linux") {
        let boot = left.lines().nth(1).unwrap();
        fs::write(&lock, left.replace(boot, "boot another")).unwrap();
        assert!(play.line().contains("the machine was restarted while it ran"), "{}", play.line());
        let kills = left.lines().nth(2).unwrap();
        let more = left.replace(kills, "oom-kills 0");
        let has_killed = kills != "oom-kills 0";
        fs::write(&lock, more).unwrap();
        assert_eq!(play.line().contains("memory ran out"), has_killed, "{}", play.line());
        fs::write(&lock, left.replace(boot, "boot another")).unwrap();
        let found = said(&play, &["--fix"], "problem");
        assert_eq!(found, ["session: ID is interrupted: the machine was restarted while it ran"]);
    }
    fs::write(play.worktree().with_file_name("go"), "").unwrap();
    play.run("resume", &[]).success();
    play.rests("done");
    play.close();
}

#[test]
fn w20_a_start_that_was_cut_off() {
    let play = paused();
    let sessions = play.repo.common_dir().join("agent/sessions");
    let draft = sessions.join(".new-x1y2z3");
    fs::create_dir(&draft).unwrap();
    let spec = fs::read_to_string(play.folder().join("spec.toml")).unwrap();
    let other = spec.replace("mend-the-shop", "never-made");
    fs::write(draft.join("spec.toml"), other).unwrap();
    let id = play.id.replace("mend-the-shop", "never-made");
    mends(
        play,
        &format!("start: the start of {id} was cut off half-way"),
        &format!("start: what had been made for {id} is gone"),
    );
    assert!(!draft.exists());
}
