//! `rewind`, `fork`, `remove`, `restore`, `gc`: what makes no sense is refused, and changes
//! nothing.

use std::fs;

use serde_json::json;

use super::{quick, ran, refused, said, transcript};
use crate::flow::play::until;
use crate::support::repo::Repo;

#[test]
fn steps_that_are_not_there() {
    let repo = Repo::new();
    ran(&repo, "say hi", &quick(&repo), &[]);
    let no_step =
        "error: say-hi-[id] has no step 3: it has 2 steps\nhint: git agent log say-hi-[id]\n";
    refused(&repo, &["rewind", "say-hi", "3"], 2, no_step);
    refused(&repo, &["rewind", "say-hi", "3", "--dry-run"], 2, no_step);
    refused(&repo, &["fork", "say-hi", "--at", "3"], 2, no_step);
    let nothing =
        "error: there is nothing to undo in say-hi-[id]\nhint: git agent log say-hi-[id]\n";
    refused(&repo, &["rewind", "say-hi", "--undo"], 1, nothing);
    let nothing =
        "error: there is nothing to redo in say-hi-[id]\nhint: git agent log say-hi-[id]\n";
    refused(&repo, &["rewind", "say-hi", "--redo"], 1, nothing);
    let here = "Nothing to rewind: say-hi-[id] is at the end of step 2\n";
    said(&repo, &["rewind", "say-hi", "2"], 0, "", here);
    // What never got so far says so.
    let none = ran(&repo, "say no", &transcript(&repo, "none.jsonl", &[]), &[]);
    let no_step =
        "error: say-no-[id] has no step 1: it has none yet\nhint: git agent log say-no-[id]\n";
    refused(&repo, &["rewind", &none, "1"], 2, no_step);
}

#[test]
fn what_is_typed_wrong() {
    let repo = Repo::new();
    let cases: &[(&[&str], &str)] = &[
        (
            &["rewind", "x"],
            "the following required arguments were not provided: <STEP>\nhint: git agent rewind -h",
        ),
        (
            &["rewind", "x", "-1"],
            "invalid value '-1' for '[STEP]': expected a step from 0, as git agent log counts them\nhint: git agent rewind -h",
        ),
        (
            &["rewind", "x", "two"],
            "invalid value 'two' for '[STEP]': expected a step from 0, as git agent log counts them\nhint: git agent rewind -h",
        ),
        (
            &["fork", "x", "--at", "-3"],
            "invalid value '-3' for '--at <STEP>': expected a step from 0, as git agent log counts them\nhint: git agent fork -h",
        ),
        (
            &["rewind", "x", "2", "--undo"],
            "the argument '[STEP]' cannot be used with '--undo'\nhint: git agent rewind -h",
        ),
        (
            &["remove"],
            "the following required arguments were not provided: <SESSION>...\nhint: git agent remove -h",
        ),
        (&["rewind", "x", "2"], "no session 'x'\nhint: git agent list"),
        (&["fork", "x"], "no session 'x'\nhint: git agent list"),
        (&["remove", "x"], "no session 'x'\nhint: git agent list"),
        (&["restore", "x"], "no session 'x'\nhint: git agent list"),
    ];
    for (args, message) in cases {
        refused(&repo, args, 2, &format!("error: {message}\n"));
    }
}

#[test]
fn what_has_landed_is_not_rewound_but_can_be_forked() {
    let repo = Repo::new();
    ran(&repo, "say hi", &quick(&repo), &[]);
    repo.agent(&["worktree", "merge", "say-hi"]).success();
    let over = "error: session say-hi-[id] is landed\n\
                hint: git agent fork say-hi-[id] --at STEP begins another from there\n";
    refused(&repo, &["rewind", "say-hi", "1"], 1, over);
    repo.agent(&["worktree", "remove", "say-hi"]).success();
    // They are deleted in the background.
    let trees = repo.home().root().join("shop.worktrees");
    until("its files are gone", || fs::read_dir(&trees).map_or(0, Iterator::count) == 0);
    until("nobody is at it", || repo.home().processes().is_empty());
    let gone = "error: the worktree of say-hi-[id] is gone: [ROOT]/shop.worktrees/say-hi\n\
                hint: git agent worktree restore say-hi-[id]\n";
    refused(&repo, &["rewind", "say-hi", "1"], 1, gone);
    said(
        &repo,
        &["fork", "say-hi", "--at", "1"],
        0,
        "Forked say-hi-[id] at step 1 as say-hi-[id]  (branch agent/say-hi-2, worktree \
         ../shop.worktrees/say-hi-2)\n",
        "hint: git agent say say-hi-[id] \"…\"    git agent resume say-hi-[id]\n",
    );
}

#[test]
fn what_was_removed_says_how_it_comes_back() {
    let repo = Repo::new();
    ran(&repo, "say hi", &quick(&repo), &[]);
    let unlanded = "error: the work of say-hi-[id] has not landed\n\
                    hint: git agent worktree merge say-hi-[id]\n\
                    hint: git agent remove --force say-hi-[id] keeps it in the session's ref alone\n";
    refused(&repo, &["remove", "say-hi"], 1, unlanded);
    // Whole, or not at all: the second is not there.
    refused(
        &repo,
        &["remove", "--force", "say-hi", "other"],
        2,
        "error: no session 'other'\nhint: git agent list\n",
    );
    let id = repo.session_ids().remove(0);
    let clean = |text: &str| text.replace(&id, "ID");
    let out = repo.agent(&["remove", "--force", "say-hi"]);
    assert_eq!(out.code, 0, "{out:#?}");
    for verb in ["rewind", "fork"] {
        let args = [verb, "say-hi", if verb == "rewind" { "1" } else { "again" }];
        let out = repo.agent(&args);
        let wanted = "error: session ID was removed\nhint: git agent restore ID\n";
        assert_eq!((out.code, clean(&out.stderr).as_str()), (1, wanted));
    }
    let out = repo.agent(&["restore", "say-hi"]);
    assert_eq!((out.code, out.stderr.as_str()), (0, ""), "{out:#?}");
    refused(
        &repo,
        &["restore", "say-hi"],
        1,
        "error: session say-hi-[id] has its worktree at [ROOT]/shop.worktrees/say-hi\n\
         hint: git agent worktree switch say-hi-[id]\n",
    );
}

#[test]
fn a_question_that_is_come_back_to_is_answered_otherwise() {
    let repo = Repo::new();
    let write = json!(["bash", {"command": "echo x > x.txt"}]);
    let ask = json!(["ask", {"question": "Which store?", "options": ["Redis", "memory"]}]);
    let model = transcript(&repo, "ask.jsonl", &[ask, write, json!("All is done.")]);
    ran(&repo, "ask me", &model, &[]);
    repo.agent(&["say", "ask-me", "Redis"]).success();
    repo.wait_state("ask-me", "done", super::PATIENCE);
    let out = repo.agent(&["rewind", "ask-me", "1"]);
    assert_eq!(out.code, 0, "{out:#?}");
    assert!(out.stderr.contains("  no longer said: Redis\n"), "{out:#?}");
    repo.agent(&["fork", "ask-me", "--at", "1", "memory"]).success();
    repo.wait_state("ask-me-2", "done", super::PATIENCE);
    let log = repo.agent(&["log", "ask-me-2"]).success();
    assert!(log.contains("  you      memory\n") && !log.contains("  you      Redis\n"), "{log}");
}
