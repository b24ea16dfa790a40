//! Somebody else works on what is the session's: its branch, its worktree.
//!
//! Invariant: what a person did is never undone, and the session's own work is kept by its ref.

use std::fs;

use serde_json::json;

use crate::flow::play::{Play, until};
use crate::support::server::{Dialect, Script, Turn};

fn bash(command: &str) -> Turn {
    Turn::call("bash", json!({"command": command}))
}

fn script() -> Script {
    Script::new([
        bash("echo one > one.txt"),
        bash(
            "cd ..; touch begun; while [ ! -e go ]; do sleep 0.02; done; cd -; echo two > two.txt",
        ),
        bash("echo three > three.txt"),
        Turn::text("Done."),
    ])
}

/// A session in the middle of its second step.
fn held() -> Play {
    let play = Play::start(Dialect::Anthropic, script(), &[]);
    until("the command runs", || play.worktree().with_file_name("begun").exists());
    play
}

fn let_go(play: &Play) {
    fs::write(play.worktree().with_file_name("go"), "").unwrap();
}

/// What the session's ref holds of the code.
fn kept(play: &Play) -> String {
    let code = format!("refs/agent/{}^2", play.id);
    play.repo.git(&["diff", "--name-only", "main", &code])
}

#[test]
fn a_users_commit_on_the_branch_is_kept_and_gone_on_from() {
    let play = held();
    fs::write(play.worktree().join("mine.txt"), "mine\n").unwrap();
    play.git(&["add", "mine.txt"]);
    play.git(&["commit", "-qm", "Mine", "--only", "mine.txt"]);
    let mine = play.git(&["rev-parse", "HEAD"]);
    let_go(&play);
    play.rests("paused");
    let line = play.line();
    assert!(line.contains("agent/mend-the-shop") && line.contains("moved"), "{line}");
    assert_eq!(play.git(&["rev-parse", "HEAD"]), mine, "their commit is the tip");
    assert_eq!(kept(&play), "mine.txt\none.txt\ntwo.txt", "and the session's work is kept");
    play.run("resume", &[]).success();
    play.rests("done");
    let files = play.repo.git(&["diff", "--name-only", "main", "agent/mend-the-shop"]);
    assert_eq!(files, "mine.txt\none.txt\nthree.txt\ntwo.txt");
    play.git(&["merge-base", "--is-ancestor", &mine, "HEAD"]);
    assert_eq!(play.git(&["status", "--porcelain"]), "");
    play.close();
}

#[test]
fn a_branch_that_is_deleted_is_missed_and_its_work_is_not_lost() {
    let play = held();
    play.repo.git(&["update-ref", "-d", "refs/heads/agent/mend-the-shop"]);
    let_go(&play);
    play.rests("paused");
    let line = play.line();
    assert!(line.contains("deleted"), "{line}");
    assert_eq!(kept(&play), "one.txt\ntwo.txt");
    // The branch comes back by hand from what the ref holds; then it goes on.
    let code = format!("refs/agent/{}^2", play.id);
    play.repo.git(&["update-ref", "refs/heads/agent/mend-the-shop", &code]);
    play.run("resume", &[]).success();
    play.rests("done");
    assert_eq!(kept(&play), "one.txt\nthree.txt\ntwo.txt");
    play.close();
}

#[test]
fn a_worktree_that_is_removed_is_missed_and_its_work_is_not_lost() {
    let ways: [&dyn Fn(&Play); 3] = [
        &|play| fs::remove_dir_all(play.worktree()).unwrap(),
        &|play| {
            fs::remove_dir_all(play.worktree()).unwrap();
            fs::create_dir(play.worktree()).unwrap();
        },
        &|play| {
            let worktree = play.worktree();
            play.repo.git(&["worktree", "remove", "--force", worktree.to_str().unwrap()]);
        },
    ];
    for remove in ways {
        let play = held();
        remove(&play);
        let_go(&play);
        play.rests("paused");
        assert!(play.line().contains("gone"), "{}", play.line());
        assert_eq!(kept(&play), "one.txt", "what had been done is kept");
        assert!(!play.worktree().join("one.txt").exists(), "and nothing is made anew in silence");
        let refused = play.run("resume", &[]);
        if !play.worktree().exists() {
            let wanted = format!(
                "error: the worktree of {id} is gone: {}\nhint: git agent worktree restore {id}\n",
                play.worktree().display(),
                id = play.id
            );
            assert_eq!((refused.code, refused.stderr), (1, wanted));
        }
        play.rests("paused");
        assert_eq!(play.subjects(), ["echo one > one.txt"]);
        play.close();
    }
}

#[test]
fn a_worktree_on_another_branch_is_left_alone() {
    let play = held();
    play.git(&["checkout", "-q", "-b", "elsewhere"]);
    let_go(&play);
    play.rests("paused");
    assert!(play.line().contains("elsewhere"), "{}", play.line());
    assert_eq!(play.git(&["log", "-1", "--format=%s", "elsewhere"]), "echo one > one.txt");
    play.git(&["checkout", "-q", "agent/mend-the-shop"]);
    play.run("resume", &[]).success();
    play.rests("done");
    assert_eq!(kept(&play), "one.txt\nthree.txt\ntwo.txt");
    play.close();
}

#[test]
fn what_a_user_edits_in_the_worktree_survives() {
    let play = held();
    play.run("pause", &[]).success();
    let_go(&play);
    play.rests("paused");
    fs::write(play.worktree().join("one.txt"), "one, as I like it\n").unwrap();
    fs::write(play.worktree().join("mine.txt"), "mine\n").unwrap();
    play.run("resume", &[]).success();
    play.rests("done");
    assert_eq!(fs::read_to_string(play.worktree().join("mine.txt")).unwrap(), "mine\n");
    assert_eq!(play.committed("one.txt"), "one, as I like it");
    assert_eq!(play.committed("mine.txt"), "mine");
    play.close();
}

#[test]
fn a_branch_that_is_moved_before_the_only_commit_pauses_too() {
    let play = Play::start(Dialect::Chat, script(), &["--commit-strategy", "single"]);
    until("the command runs", || play.worktree().with_file_name("begun").exists());
    let tree = play.repo.git(&["rev-parse", "main^{tree}"]);
    let theirs = play.repo.git(&["commit-tree", "-p", "main", "-m", "Theirs", &tree]);
    play.repo.git(&["update-ref", "refs/heads/agent/mend-the-shop", &theirs]);
    let_go(&play);
    play.rests("paused");
    assert!(play.line().contains("moved"), "{}", play.line());
    assert_eq!(kept(&play), "one.txt\nthree.txt\ntwo.txt");
    assert_eq!(play.repo.git(&["rev-parse", "agent/mend-the-shop"]), theirs);
    play.close();
}
