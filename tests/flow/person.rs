//! A person's hand in a session: `rewind` and `fork` know when it was there.
//!
//! Invariant: what a person did belongs to the moment at which they did it, and stays theirs.

use std::fs;

use super::play::{Play, until};
use super::time::{bash, forked, rewound, tip};
use crate::support::server::{Dialect, Script, Turn};

/// Paused after its second step: what a person does then comes before the third, which changes
/// nothing, and the fourth.
fn paused_between() -> Play {
    let go = "cd ..; touch begun; while [ ! -e go ]; do sleep 0.02; done; cd -; echo 2 > two.txt";
    let script = Script::new([
        bash("echo 1 > one.txt"),
        bash(go),
        bash("true"),
        bash("echo 4 > four.txt"),
        Turn::text("Done."),
    ]);
    let play = Play::start(Dialect::Anthropic, script, &[]);
    until("it runs", || play.worktree().with_file_name("begun").exists());
    play.run("pause", &[]).success();
    fs::write(play.worktree().with_file_name("go"), "").unwrap();
    play.rests("paused");
    play
}

fn names(play: &Play) -> String {
    let made = ["one.txt", "two.txt", "mine.txt", "four.txt"];
    made.into_iter()
        .filter(|name| play.worktree().join(name).exists())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn what_a_person_did_between_two_steps_is_of_the_step_behind_it() {
    for commits in [true, false] {
        let play = paused_between();
        fs::write(play.worktree().join("mine.txt"), "mine\n").unwrap();
        if commits {
            play.git(&["add", "mine.txt"]);
            play.git(&["commit", "-qm", "Mine"]);
        }
        play.run("resume", &[]).success();
        play.rests("done");
        let theirs = play.git(&["rev-parse", "HEAD~1"]);
        let whole = (names(&play), tip(&play));
        rewound(&play, &["3"]);
        assert_eq!((names(&play).as_str(), tip(&play)), ("one.txt two.txt mine.txt", theirs));
        let fork = forked(&play.run("fork", &["--at", "3", "--worktree", "fork"]).success());
        assert!(play.worktree().with_file_name("fork").join("mine.txt").exists());
        play.repo.agent(&["remove", "--force", &fork]).success();
        rewound(&play, &["2"]);
        assert_eq!(names(&play), "one.txt two.txt", "it came after that step");
        rewound(&play, &["--undo"]);
        assert_eq!(names(&play), "one.txt two.txt mine.txt");
        rewound(&play, &["--undo"]);
        assert_eq!((names(&play), tip(&play)), whole);
        play.close();
    }
}

#[test]
fn edits_that_an_undo_brings_back_stay_the_persons() {
    let play = paused_between();
    fs::write(play.worktree().join("mine.txt"), "mine\n").unwrap();
    rewound(&play, &["1"]);
    assert_eq!(names(&play), "one.txt");
    rewound(&play, &["--undo"]);
    assert_eq!(names(&play), "one.txt two.txt mine.txt");
    play.run("resume", &[]).success();
    play.rests("done");
    let whose = play.git(&["log", "--format=%s", "--", "mine.txt"]);
    assert_eq!(whose, "Edit by hand");
    play.close();
}

#[test]
fn a_commit_that_nobody_had_taken_up_before_a_rewind_comes_back_with_the_undo() {
    let play = paused_between();
    fs::write(play.worktree().join("mine.txt"), "mine\n").unwrap();
    play.git(&["add", "mine.txt"]);
    play.git(&["commit", "-qm", "Mine"]);
    let mine = tip(&play);
    rewound(&play, &["1"]);
    rewound(&play, &["--undo"]);
    assert_eq!((names(&play).as_str(), tip(&play)), ("one.txt two.txt mine.txt", mine.clone()));
    play.run("resume", &[]).success();
    play.rests("done");
    rewound(&play, &["3"]);
    assert_eq!((names(&play).as_str(), tip(&play)), ("one.txt two.txt mine.txt", mine));
    let theirs = play.told("checkpoint").into_iter().filter(|made| !made["by_person"].is_null());
    assert_eq!(theirs.map(|made| made["by_person"].clone()).collect::<Vec<_>>(), ["commit"]);
    play.close();
}
