//! `say`, `pause`, `resume` and `stop`: on one session, on several, on all, and in any order.

use std::time::{Duration, Instant};

use super::{PATIENCE, curious, go, patient, quick, ran, said};
use crate::support::repo::Repo;

/// Three sessions: one that works until [`go`], one that asks, one that is done.
fn three(repo: &Repo) {
    ran(repo, "all done", &quick(repo), &[]);
    ran(repo, "ask me", &curious(repo), &[]);
    repo.agent(&["start", "wait here", "--model", &patient(repo)]).success();
    repo.wait_state("wait-here", "running", PATIENCE);
}

#[test]
fn a_question_is_answered() {
    let repo = Repo::new();
    let out = repo.agent(&["start", "ask me", "--model", &curious(&repo), "--wait"]);
    assert_eq!(
        repo.normal(&out).stderr,
        "  base main ([oid]) · model replay/curious.jsonl · sandbox [level]\n\
         \x20 budget $5.00, 2 h, 200 steps\n\
         \x20 no price is known for replay/curious.jsonl: tokens are counted, money is not\n\
         hint: git agent log -f ask-me-[id]    git agent status ask-me-[id]\n\
         ask-me-[id] needs input: Which store?\n\
         hint: git agent answer ask-me-[id] \"…\"\n"
    );
    assert_eq!(out.code, 3);
    said(&repo, &["say", "ask-me", "Redis"], 0, "", "Answered ask-me-[id], which goes on\n");
    repo.wait_state("ask-me", "done", PATIENCE);
    said(
        &repo,
        &["say", "ask", "one", "more"],
        0,
        "",
        "Told ask-me-[id], which was done and goes on\n",
    );
    // The transcript holds no answer to that.
    let status = repo.wait_state("ask-me", "paused", PATIENCE);
    assert_eq!(status["steps"], 2);
    repo.assert_whole();
}

#[test]
fn a_pause_keeps_the_place_and_words_wait_for_the_resume() {
    let repo = Repo::new();
    repo.agent(&["start", "wait here", "--model", &patient(&repo)]).success();
    repo.wait_state("wait-here", "running", PATIENCE);
    let told = "Told wait-here-[id], which reads it after this step\n";
    said(&repo, &["say", "wait-here", "be quick"], 0, "", told);
    let pausing = "Pausing wait-here-[id] after its step\nhint: git agent resume wait-here-[id]\n";
    said(&repo, &["pause", "wait-here"], 0, "", pausing);
    go(&repo);
    repo.wait_state("wait-here", "paused", PATIENCE);
    said(
        &repo,
        &["say", "wait-here", "go on"],
        0,
        "",
        "Told wait-here-[id], which is paused and reads it when resumed\n\
         hint: git agent resume wait-here-[id]\n",
    );
    said(
        &repo,
        &["resume", "wait-here"],
        0,
        "",
        "Resumed wait-here-[id], which was paused\nhint: git agent attach wait-here-[id]\n",
    );
    repo.wait_state("wait-here", "done", PATIENCE);
    let log = repo.agent(&["log", "wait-here"]).success();
    let heard: Vec<&str> =
        log.lines().filter_map(|line| line.split("  you      ").nth(1)).collect();
    assert_eq!(heard, ["be quick", "go on"]);
}

#[test]
fn a_stop_outranks_a_pause_that_was_asked_for_before() {
    let repo = Repo::new();
    repo.agent(&["start", "wait here", "--model", &patient(&repo)]).success();
    repo.wait_state("wait-here", "running", PATIENCE);
    repo.agent(&["pause", "wait-here"]).success();
    said(
        &repo,
        &["stop", "wait-here"],
        0,
        "",
        "Stopping wait-here-[id] with what it runs; its branch and worktree stay\n\
         hint: git agent stop --kill wait-here-[id]\n",
    );
    repo.wait_state("wait-here", "stopped", PATIENCE);
    repo.assert_whole();
}

#[test]
fn a_session_that_was_just_started_can_be_stopped() {
    for _ in 0..3 {
        let repo = Repo::new();
        repo.agent(&["start", "wait here", "--model", &patient(&repo)]).success();
        // Its supervisor is on its way: the wish must reach it, and must not end it by surprise.
        repo.agent(&["stop", "wait-here"]).success();
        repo.wait_state("wait-here", "stopped", PATIENCE);
    }
}

#[test]
fn several_and_all() {
    let repo = Repo::new();
    three(&repo);
    said(
        &repo,
        &["pause", "all-done", "ask-me"],
        0,
        "",
        "Nothing to pause: all-done-[id] is done\nNothing to pause: ask-me-[id] needs input\n",
    );
    let pausing = "Pausing wait-here-[id] after its step\nhint: git agent resume wait-here-[id]\n";
    said(&repo, &["pause", "--all"], 0, "", pausing);
    go(&repo);
    repo.wait_state("wait-here", "paused", PATIENCE);
    let resumed =
        "Resumed wait-here-[id], which was paused\nhint: git agent attach wait-here-[id]\n";
    said(&repo, &["resume", "--all"], 0, "", resumed);
    repo.wait_state("wait-here", "done", PATIENCE);
    let stopped = "Stopped ask-me-[id]; its branch and worktree stay\n";
    said(&repo, &["stop", "--all"], 0, "", stopped);
    said(&repo, &["stop", "--all"], 0, "", "Nothing to stop: every session has ended\n");
    repo.assert_whole();
}

#[test]
fn what_runs_is_killed() {
    let repo = Repo::new();
    three(&repo);
    let killed = "Killed wait-here-[id]; its branch and worktree stay\n";
    said(&repo, &["stop", "--kill", "wait-here"], 0, "", killed);
    // What was killed is gone when the kernel gets to it.
    let until = Instant::now() + PATIENCE;
    while !repo.home().processes().is_empty() {
        assert!(Instant::now() < until, "{:?}", repo.home().processes());
        std::thread::sleep(Duration::from_millis(10));
    }
    let status = repo.wait_state("wait-here", "stopped", PATIENCE);
    assert_eq!(status["branch"], "agent/wait-here");
    repo.assert_whole();
}
