//! A rewind that is cut off anywhere, and what happens at once with it.
//!
//! Invariant: whoever holds the session next finds it before or behind the rewind, never between;
//! what the rewind had left behind is never taken for a change.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::flow::play::{Play, until};
use crate::support::server::{Dialect, Script, Turn};

fn bash(command: &str) -> Turn {
    Turn::call("bash", json!({"command": command}))
}

fn done() -> Play {
    let script = Script::new([
        bash("echo one > one.txt; echo 1 >> all.txt"),
        bash("echo two > two.txt; echo 2 >> all.txt; rm README.md"),
        bash("mkdir three; mv one.txt three/; echo 3 >> all.txt"),
        Turn::text("Done."),
    ]);
    let play = Play::start(Dialect::Anthropic, script, &[]);
    play.rests("done");
    play
}

const WHOLE: &str = ".gitignore all.txt docs/guide.md run.sh src/lib.txt three/one.txt two.txt";
const FIRST: &str = ".gitignore README.md all.txt docs/guide.md one.txt run.sh src/lib.txt";

/// The files of the worktree, which are those of the branch.
fn settled(play: &Play) -> String {
    assert_eq!(play.git(&["status", "--porcelain"]), "");
    play.git(&["ls-files"]).replace('\n', " ")
}

/// How often the journal tells of a rewind.
fn told(play: &Play) -> usize {
    play.told("rewind").len()
}

fn copy(from: &Path, to: &Path, play: &Play) {
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    play.repo.home().cmd("cp").args(&["-a", from, to]).run().success();
}

/// How far a rewind had come when it was cut off.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    /// Nothing has moved yet.
    Intent,
    /// The refs have.
    Refs,
    /// And some of the files.
    Some,
    /// And all of the files.
    Files,
    /// And the journal says so.
    Journal,
    /// And the record and the state: all but the end of the intent.
    State,
}

/// Rewinds to step 1, then puts back what the rewind does after `cut`.
fn cut_off(play: &Play, cut: Cut) {
    let (folder, worktree) = (play.folder(), play.worktree());
    let aside = play.repo.home().root().join("aside");
    let index = play.repo.common_dir().join("worktrees/mend-the-shop/index");
    let name = format!("refs/agent/{}", play.id);
    fs::create_dir(&aside).unwrap();
    for path in [&worktree, &index, &folder.join("journal.jsonl"), &folder.join("state.toml")] {
        copy(path, &aside, play);
    }
    let tip = play.git(&["rev-parse", "HEAD"]);
    let long = fs::metadata(folder.join("journal.jsonl")).unwrap().len();
    play.run("rewind", &["1"]).success();
    let rewind = play.told("rewind").remove(0);
    let record = play.repo.git(&["rev-parse", &format!("{name}^")]);
    let place = |place: &Value| format!("head = {}\ntree = {}\n", place["head"], place["tree"]);
    let intent = format!(
        "format = 1\nrecord = \"{record}\"\njournal = {long}\n\n[rewind]\nway = \"back\"\nstep = 1\n\n\
         [rewind.from]\n{}\n[rewind.to]\n{}",
        place(&rewind["from"]),
        place(&rewind["to"]),
    );
    fs::write(folder.join("rewind.toml"), intent).unwrap();
    if cut == Cut::State {
        return;
    }
    copy(&aside.join("state.toml"), &folder, play);
    play.repo.git(&["update-ref", &name, &record]);
    if cut == Cut::Journal {
        return;
    }
    copy(&aside.join("journal.jsonl"), &folder, play);
    if cut == Cut::Files {
        return;
    }
    let readme = fs::read(worktree.join("README.md")).unwrap();
    fs::remove_dir_all(&worktree).unwrap();
    copy(&aside.join("mend-the-shop"), worktree.parent().unwrap(), play);
    copy(&aside.join("index"), index.parent().unwrap(), play);
    match cut {
        Cut::Some => {
            fs::write(worktree.join("README.md"), readme).unwrap();
            fs::remove_file(worktree.join("two.txt")).unwrap();
            // Git was killed while it wrote this one, and has left its lock.
            fs::write(worktree.join("all.txt"), "").unwrap();
            fs::write(index.with_extension("lock"), "").unwrap();
        }
        Cut::Intent => {
            play.repo.git(&["update-ref", &name, &format!("{record}^")]);
            play.repo.git(&["update-ref", "refs/heads/agent/mend-the-shop", &tip]);
        }
        _ => {}
    }
}

#[test]
fn a_rewind_that_was_cut_off_is_finished_or_never_was() {
    for cut in [Cut::Intent, Cut::Refs, Cut::Some, Cut::Files, Cut::Journal, Cut::State] {
        let play = done();
        cut_off(&play, cut);
        if cut == Cut::Intent {
            assert!(play.line().contains("a rewind was cut off"), "{}", play.line());
            play.run("resume", &[]).success();
            play.rests("done");
            assert_eq!((settled(&play), told(&play)), (WHOLE.to_owned(), 0));
            play.close();
            continue;
        }
        // Who finishes it says nothing of it; then there is nothing to do.
        let out = play.run("rewind", &["1"]);
        assert!(out.stderr.starts_with("Nothing to rewind: "), "{cut:?}: {out:#?}");
        assert_eq!((settled(&play).as_str(), told(&play)), (FIRST, 1), "{cut:?}");
        assert!(!play.folder().join("rewind.toml").exists());
        play.run("rewind", &["--undo"]).success();
        assert_eq!(settled(&play), WHOLE, "{cut:?}");
        play.close();
    }
}

#[test]
fn what_was_cut_off_is_no_change_to_who_resumes() {
    for cut in [Cut::Refs, Cut::Some, Cut::Files, Cut::Journal] {
        let play = done();
        cut_off(&play, cut);
        play.run("resume", &[]).success();
        play.rests("done");
        assert_eq!(settled(&play), WHOLE, "{cut:?}");
        assert_eq!(play.server.served(), [0, 1, 2, 3, 1, 2, 3], "{cut:?}");
        assert_eq!((play.subjects().len(), told(&play)), (3, 1), "{cut:?}");
        assert_eq!(play.committed("all.txt"), "1\n2\n3", "{cut:?}");
        play.close();
    }
}

#[test]
fn killed_at_any_moment_it_is_before_or_behind() {
    let play = done();
    for round in 0..8 {
        let root = play.repo.home().root().to_owned();
        let pid = root.join("pid");
        // The shell's process becomes the program's.
        let script = format!("echo $$ > {}; exec git-agent rewind {} 1", pid.display(), play.id);
        thread::scope(|scope| {
            scope.spawn(|| {
                play.repo.home().cmd("sh").dir(play.repo.main()).args(&["-c", &script]).run()
            });
            until("it has begun", || fs::read_to_string(&pid).is_ok_and(|pid| pid.ends_with('\n')));
            thread::sleep(Duration::from_millis(9 * round));
            let written = fs::read_to_string(&pid).unwrap();
            let pid = written.trim().parse().ok().and_then(Pid::from_raw).unwrap();
            // It may have come to its end.
            let _ended = kill_process(pid, Signal::KILL);
        });
        fs::remove_file(&pid).unwrap();
        let out = play.run("rewind", &["1"]);
        assert_eq!((out.code, settled(&play).as_str()), (0, FIRST), "{round}: {out:#?}");
        let out = play.run("rewind", &["--undo"]);
        assert_eq!((out.code, settled(&play).as_str()), (0, WHOLE), "{round}: {out:#?}");
    }
    play.close();
}

#[test]
fn two_rewinds_at_once_are_one_after_the_other() {
    let play = done();
    thread::scope(|scope| {
        for step in ["1", "1", "2", "2"] {
            let play = &play;
            scope.spawn(move || play.run("rewind", &[step]));
        }
    });
    let files = settled(&play);
    // Who comes after a rewind to step 1 finds no step 2 any more.
    assert!(files == FIRST || told(&play) == 1, "{files}");
    until("all is undone", || play.run("rewind", &["--undo"]).code == 1);
    assert_eq!(settled(&play), WHOLE);
    play.close();
}

#[test]
fn what_runs_is_neither_rewound_nor_removed() {
    let script = Script::new([
        bash("cd ..; touch begun; while [ ! -e go ]; do sleep 0.02; done; cd -; echo a > a.txt"),
        Turn::text("Done."),
    ]);
    let play = Play::start(Dialect::Chat, script, &[]);
    until("it runs", || play.worktree().with_file_name("begun").exists());
    let wanted = format!(
        "error: session {id} is running\nhint: git agent pause {id}    git agent status {id}\n",
        id = play.id
    );
    for (verb, args) in [
        ("rewind", &["0"][..]),
        ("rewind", &["0", "--dry-run"]),
        ("rewind", &["--undo"]),
        ("remove", &["--force"]),
        ("remove", &[]),
    ] {
        let out = play.run(verb, args);
        assert_eq!((out.code, out.stderr), (1, wanted.clone()), "{verb} {args:?}");
    }
    assert_eq!(play.repo.agent(&["gc"]).stderr, "Nothing to free\n");
    fs::write(play.worktree().with_file_name("go"), "").unwrap();
    play.rests("done");
    assert_eq!(play.committed("a.txt"), "a");
    play.close();
}

#[test]
fn a_removal_and_a_resume_at_once_have_one_winner() {
    for _ in 0..3 {
        let script = Script::new([
            bash("echo a > a.txt"),
            bash("cd ..; while [ ! -e go ]; do sleep 0.02; done"),
            Turn::text("Done."),
        ]);
        let play = Play::start(Dialect::Chat, script, &[]);
        play.run("pause", &[]).success();
        until("it rests or runs its second step", || {
            play.status()["state"] == "paused" || play.status()["steps"] == 2
        });
        let paused = play.status()["state"] == "paused";
        let (removed, resumed) = thread::scope(|scope| {
            let removed = scope.spawn(|| play.run("remove", &["--force"]));
            let resumed = scope.spawn(|| play.run("resume", &[]));
            (removed.join().unwrap(), resumed.join().unwrap())
        });
        fs::write(play.worktree().with_file_name("go"), "").unwrap();
        if removed.code == 0 {
            let removed = format!("session {} was removed", play.id);
            let said_so = resumed.code == 1 && resumed.stderr.contains(&removed);
            assert!(paused && said_so, "{resumed:#?}");
            assert!(!play.worktree().exists() && !play.folder().exists());
            play.run("restore", &[]).success();
            play.run("resume", &[]).success();
        }
        play.rests("done");
        assert_eq!(play.committed("a.txt"), "a");
        play.close();
    }
}

#[test]
fn e17_a_fork_of_what_died_ends_with_the_last_step_that_was_finished() {
    let held = "echo 2 > two.txt; cd ..; touch begun; while [ ! -e go ]; do sleep 0.02; done";
    let script = Script::new([bash("echo 1 > one.txt"), bash(held), Turn::text("Done.")]);
    let play = Play::start(Dialect::Anthropic, script, &[]);
    until("it runs", || play.worktree().with_file_name("begun").exists());
    play.signal(Signal::KILL);
    fs::write(play.worktree().with_file_name("go"), "").unwrap();
    let out = play.run("fork", &["--at", "2"]);
    assert_eq!(out.code, 2, "{out:#?}");
    assert!(out.stderr.contains(" has no step 2: it has 1 step\n"), "{out:#?}");
    let said = play.run("fork", &["--worktree", "fork"]).success();
    assert!(said.contains(" at step 1 as "), "{said}");
    let fork = play.worktree().with_file_name("fork");
    assert!(fork.join("one.txt").exists() && !fork.join("two.txt").exists());
    play.cmd(&["resume", "fork"]).run().success();
    play.repo.wait_state("fork", "done", crate::flow::play::SOON);
    assert_eq!(fs::read_to_string(fork.join("two.txt")).unwrap(), "2\n", "done anew, by itself");
    play.run("resume", &[]).success();
    play.rests("done");
    play.close();
}

#[test]
fn what_a_set_up_made_in_a_fork_is_nobodys_edit() {
    let play = done();
    let set_up = "test -e one.txt && echo made > made.txt; true";
    play.repo.git(&["config", "agent.setup", set_up]);
    play.run("fork", &["--at", "1", "--worktree", "fork"]).success();
    let fork = play.worktree().with_file_name("fork");
    assert!(fork.join("made.txt").exists());
    play.cmd(&["resume", "fork"]).run().success();
    play.repo.wait_state("fork", "done", crate::flow::play::SOON);
    let log = play.repo.git(&["log", "--format=%s", "agent/fork", "--", "made.txt"]);
    assert!(!log.is_empty() && !log.contains("by hand"), "{log}");
    // Without one, what is edited before it first runs is.
    play.repo.git(&["config", "--unset", "agent.setup"]);
    play.run("fork", &["--at", "1", "--worktree", "edited"]).success();
    fs::write(fork.with_file_name("edited").join("mine.txt"), "mine\n").unwrap();
    play.cmd(&["resume", "edited"]).run().success();
    play.repo.wait_state("edited", "done", crate::flow::play::SOON);
    let log = play.repo.git(&["log", "--format=%s", "agent/edited", "--", "mine.txt"]);
    assert_eq!(log, "Edit by hand");
    play.close();
}
