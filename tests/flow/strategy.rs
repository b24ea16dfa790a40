//! When work becomes commits, and what they are called.
//!
//! Invariant: whatever the strategy, the session's ref holds the last tree.

use serde_json::json;

use super::play::Play;
use crate::support::server::{Dialect, Script, Turn};

fn script() -> Script {
    let write = |path: &str| Turn::call("write", json!({"file_path": path, "content": "x\n"}));
    Script::new([
        write("one.txt").and_text("Add one."),
        write("two.txt").and_text("fix: add two."),
        // The check fails: the first turn ends here.
        Turn::call("finish", json!({"summary": "Almost."})),
        write("three.txt").and_text("Add three."),
        Turn::call("finish", json!({"summary": "Added three files."})),
    ])
}

fn played(args: &[&str]) -> Play {
    let args = [&["--verify", "test -e three.txt"], args].concat();
    let play = Play::start(Dialect::Anthropic, script(), &args);
    let status = play.rests("done");
    assert_eq!(status["files"], 3, "{args:?}");
    let code = format!("refs/agent/{}^2", play.id);
    let files = play.repo.git(&["diff", "--name-only", "main", &code]);
    assert_eq!(files, "one.txt\nthree.txt\ntwo.txt", "{args:?}");
    assert_eq!(status["verify"]["status"], "passed", "{args:?}");
    play
}

#[test]
fn work_becomes_commits_when_the_strategy_says() {
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--commit-strategy", "incremental"], &["Add one", "fix: add two", "Add three"]),
        (&["--commit-strategy", "turn"], &["finish Almost.", "finish Added three files."]),
        (&["--commit-strategy", "single"], &["Mend the shop"]),
        (&["--commit-strategy", "none"], &[]),
        (
            &["--commit-prefix", "feat(cart):"],
            &["feat(cart): Add one", "feat(cart): add two", "feat(cart): Add three"],
        ),
    ];
    for (args, wanted) in cases {
        let play = played(args);
        assert_eq!(play.subjects(), wanted, "{args:?}");
        let status = play.git(&["status", "--porcelain"]);
        let log = play.run("log", &[]).success();
        assert!(!log.contains(" 0 files"), "{args:?}: {log}");
        let plan = play.repo.agent(&["worktree", "merge", "--dry-run", &play.id]).success();
        let of = match wanted.len() {
            0 => "squash, 3 files".to_owned(),
            1 => "squash of 1 commit, 3 files".to_owned(),
            commits => format!("squash of {commits} commits, 3 files"),
        };
        assert!(plan.contains(&of), "{args:?}: {plan}");
        // What no commit holds yet is there to be seen.
        assert_eq!(status.lines().count(), if wanted.is_empty() { 3 } else { 0 }, "{status}");
        play.close();
    }
}

#[test]
fn a_single_commit_says_what_was_done_in_all() {
    let play = played(&["--commit-strategy", "single", "--commit-prefix", "shop:"]);
    let message = play.repo.git(&["log", "-1", "--format=%B", "agent/mend-the-shop"]);
    let wanted = format!(
        "shop: Mend the shop\n\nAdded three files.\n\nAgent-Session: {}\n\
         Assisted-by: git-agent:anthropic/claude-test\n",
        play.id
    );
    assert_eq!(message, wanted);
    play.close();
}

#[test]
fn without_trailers_the_words_stand_alone() {
    let repo = crate::support::repo::Repo::new();
    repo.git(&["config", "agent.trailers", "false"]);
    let args = ["--verify", "test -e three.txt"];
    let play = Play::start_in(repo, Dialect::Chat, script(), &args);
    play.rests("done");
    let message = play.repo.git(&["log", "-1", "--format=%B", "agent/mend-the-shop"]);
    assert_eq!(message, "Add three\n");
    play.close();
}
