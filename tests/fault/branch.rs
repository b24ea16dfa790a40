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

/// What the model was told, in its last request, of what a person did.
fn told_by_the_loop(play: &Play) -> Vec<String> {
    let body = String::from_utf8(play.server.bodies().pop().expect("a request")).unwrap();
    let told = body.split("A person has ").skip(1);
    told.map(|rest| rest.split('"').next().unwrap_or_default().replace("\\n", "\n")).collect()
}

/// What the journal has of what a person did: how, and in which files.
fn journalled(play: &Play) -> Vec<String> {
    let made = play.told("checkpoint").into_iter().filter(|made| !made["by_person"].is_null());
    made.map(|made| format!("{} {}", made["by_person"], made["paths"]).replace('"', "")).collect()
}

fn trailers(play: &Play, commit: &str) -> String {
    play.repo.git(&["log", "-1", "--format=%(trailers)", commit])
}

#[test]
fn b05_n08_a_users_commit_on_the_branch_is_kept_and_gone_on_from() {
    let play = held();
    fs::write(play.worktree().join("mine.txt"), "mine\n").unwrap();
    play.git(&["add", "mine.txt"]);
    play.git(&["commit", "-qm", "Mine", "--only", "mine.txt"]);
    let mine = play.git(&["rev-parse", "HEAD"]);
    let_go(&play);
    play.rests("done");
    let files = play.repo.git(&["diff", "--name-only", "main", "agent/mend-the-shop"]);
    assert_eq!(files, "mine.txt\none.txt\nthree.txt\ntwo.txt");
    play.git(&["merge-base", "--is-ancestor", &mine, "HEAD"]);
    assert_eq!(play.git(&["status", "--porcelain"]), "");
    let told = told_by_the_loop(&play);
    assert_eq!(
        told,
        [format!(
            "moved your branch: it is at {} now. Changed: mine.txt. Read them again before you \
             edit them.",
            &mine[..12]
        )]
    );
    assert_eq!(journalled(&play), ["commit_in_step [mine.txt]"]);
    assert_eq!(trailers(&play, &mine), "");
    play.close();
}

#[test]
fn b05_commits_made_elsewhere_come_into_the_worktree() {
    let play = held();
    let tip = play.repo.git(&["rev-parse", "agent/mend-the-shop"]);
    play.repo.git(&["worktree", "add", "-q", "--detach", "../other", &tip]);
    let other = play.repo.home().root().join("other");
    fs::write(other.join("theirs.txt"), "theirs\n").unwrap();
    let git = |args: &[&str]| play.repo.home().git(&other, args);
    git(&["add", "-A"]);
    git(&["commit", "-qm", "Theirs"]);
    let theirs = git(&["rev-parse", "HEAD"]);
    play.repo.git(&["worktree", "remove", "../other"]);
    play.repo.git(&["update-ref", "refs/heads/agent/mend-the-shop", &theirs]);
    let_go(&play);
    play.rests("done");
    assert_eq!(fs::read_to_string(play.worktree().join("theirs.txt")).unwrap(), "theirs\n");
    assert_eq!(
        (play.committed("theirs.txt"), play.committed("two.txt")),
        ("theirs".into(), "two".into())
    );
    play.git(&["merge-base", "--is-ancestor", &theirs, "HEAD"]);
    assert_eq!(play.git(&["status", "--porcelain"]), "");
    play.close();
}

#[test]
fn b05_a_branch_that_is_reset_elsewhere_waits_once() {
    let play = held();
    play.repo.git(&["update-ref", "refs/heads/agent/mend-the-shop", "main"]);
    let_go(&play);
    play.rests("paused");
    let line = play.line();
    assert!(line.contains("moved to"), "{line}");
    assert_eq!(play.subjects(), Vec::<String>::new(), "it is where they left it");
    assert_eq!(kept(&play), "one.txt\ntwo.txt", "and the session's work is kept");
    play.run("resume", &[]).success();
    play.rests("done");
    assert_eq!(kept(&play), "one.txt\nthree.txt\ntwo.txt");
    play.close();
}

#[test]
fn b07_a_branch_that_is_deleted_is_missed_and_made_again() {
    let play = held();
    play.repo.git(&["update-ref", "-d", "refs/heads/agent/mend-the-shop"]);
    let_go(&play);
    play.rests("paused");
    let line = play.line();
    assert!(line.contains("deleted"), "{line}");
    assert_eq!(kept(&play), "one.txt\ntwo.txt");
    play.run("resume", &[]).success();
    play.rests("done");
    let files = play.repo.git(&["diff", "--name-only", "main", "agent/mend-the-shop"]);
    assert_eq!(files, "one.txt\nthree.txt\ntwo.txt");
    play.close();
}

#[test]
fn e13_r16_a_worktree_that_is_deleted_is_missed_and_brought_back() {
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
        // The command that was running has found the new folder.
        let _ = fs::remove_file(play.worktree().join("two.txt"));
        assert_eq!(kept(&play), "one.txt", "what had been done is kept");
        assert!(!play.worktree().join("one.txt").exists(), "nothing is made anew in silence");
        let resumed = play.run("resume", &[]);
        let said = format!(
            "Restored the worktree of {id} at {}\nResumed {id}, which was paused\n\
             hint: git agent attach {id}\n",
            play.worktree().display(),
            id = play.id
        );
        assert_eq!((resumed.code, resumed.stderr), (0, said));
        play.rests("done");
        assert_eq!(
            (play.committed("one.txt"), play.committed("three.txt")),
            ("one".into(), "three".into())
        );
        play.close();
    }
}

#[test]
fn r17_a_worktree_that_was_moved_is_not_made_a_second_time() {
    let play = held();
    play.run("pause", &[]).success();
    let_go(&play);
    play.rests("paused");
    let elsewhere = play.repo.home().root().join("elsewhere");
    fs::rename(play.worktree(), &elsewhere).unwrap();
    let refused = play.run("resume", &[]);
    let from = elsewhere.display();
    let said = format!(
        "error: the worktree of {} was moved to {from}\nhint: git worktree repair {from}\n",
        play.id
    );
    assert_eq!((refused.code, refused.stderr), (1, said));
    fs::rename(&elsewhere, play.worktree()).unwrap();
    play.run("resume", &[]).success();
    play.rests("done");
    play.close();
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
fn n08_what_a_user_edits_while_it_rests_is_a_commit_of_theirs() {
    let play = held();
    play.run("pause", &[]).success();
    let_go(&play);
    play.rests("paused");
    fs::write(play.worktree().join("one.txt"), "one, as I like it\n").unwrap();
    fs::write(play.worktree().join("mine.txt"), "mine\n").unwrap();
    play.run("resume", &[]).success();
    play.rests("done");
    assert_eq!(fs::read_to_string(play.worktree().join("mine.txt")).unwrap(), "mine\n");
    let hand = play.repo.git(&["rev-parse", "agent/mend-the-shop~1"]);
    let shown = play.repo.git(&["show", "--format=%s", "--name-only", &hand]);
    assert_eq!(shown, "Edit by hand\n\nmine.txt\none.txt");
    assert_eq!(trailers(&play, &hand), "");
    assert!(trailers(&play, "agent/mend-the-shop").contains("Agent-Session: "));
    let told = told_by_the_loop(&play);
    assert!(told[0].contains("edited files in your worktree meanwhile"), "{told:?}");
    assert!(told[0].contains("Changed: mine.txt, one.txt."), "{told:?}");
    assert_eq!(journalled(&play), ["edit [mine.txt,one.txt]"]);
    let log = play.run("log", &[]).success();
    assert!(log.contains(&format!("  you      {}  Edit by hand", &hand[..7])), "{log}");
    assert!(!play.repo.git(&["notes", "--ref=agent", "list"]).contains(&hand));
    play.close();
}

#[test]
fn a_merge_that_a_user_has_not_finished_is_no_edit() {
    let play = held();
    play.run("pause", &[]).success();
    let_go(&play);
    play.rests("paused");
    play.repo.git(&["branch", "side", "main"]);
    let worktree = play.worktree();
    play.git(&["checkout", "-q", "side"]);
    fs::write(worktree.join("one.txt"), "from the side\n").unwrap();
    play.git(&["add", "one.txt"]);
    play.git(&["commit", "-qm", "Side"]);
    play.git(&["checkout", "-q", "agent/mend-the-shop"]);
    let merge = play.repo.home().cmd("git").dir(&worktree).args(&["merge", "side"]).run();
    assert_eq!(merge.code, 1, "{merge:?}");
    let before = play.subjects();
    let refused = play.run("resume", &[]);
    let said = format!(
        "error: the worktree of {} is in the middle of a merge\n\
         hint: git -C {at} merge --continue    git -C {at} merge --abort\n",
        play.id,
        at = worktree.display()
    );
    assert_eq!((refused.code, refused.stderr), (1, said));
    play.rests("paused");
    assert_eq!(play.subjects(), before);
    fs::write(worktree.join("one.txt"), "both\n").unwrap();
    play.git(&["commit", "-qam", "Merged by hand"]);
    play.run("resume", &[]).success();
    play.rests("done");
    assert_eq!(fs::read_to_string(worktree.join("one.txt")).unwrap(), "both\n");
    assert!(play.subjects().contains(&"Merged by hand".to_owned()), "{:?}", play.subjects());
    play.close();
}

#[test]
fn n08_edits_that_could_not_be_taken_at_once_stay_the_users() {
    let play = held();
    play.run("pause", &[]).success();
    let_go(&play);
    play.rests("paused");
    fs::write(play.worktree().join("mine.txt"), "mine\n").unwrap();
    play.repo.git(&["update-ref", "refs/heads/agent/mend-the-shop", "main"]);
    play.run("resume", &[]).success();
    until("it rests again", || play.line().contains("moved to"));
    play.rests("paused");
    play.run("resume", &[]).success();
    play.rests("done");
    let whose = play.repo.git(&["log", "--format=%s", "agent/mend-the-shop", "--", "mine.txt"]);
    assert_eq!(whose, "Edit by hand");
    let told = told_by_the_loop(&play);
    assert!(told.iter().any(|text| text.contains("mine.txt")), "{told:?}");
    play.close();
}

#[test]
fn n08_edits_after_a_rewind_are_the_users() {
    let play = held();
    play.signal(rustix::process::Signal::KILL);
    let_go(&play);
    play.run("rewind", &["1"]).success();
    fs::write(play.worktree().join("mine.txt"), "mine\n").unwrap();
    play.run("resume", &[]).success();
    play.rests("done");
    let whose = play.repo.git(&["log", "--format=%s", "agent/mend-the-shop", "--", "mine.txt"]);
    assert_eq!(whose, "Edit by hand");
    play.close();
}

#[test]
fn n08_what_a_killed_tool_had_written_is_the_agents() {
    let play = held();
    fs::write(play.worktree().join("half.txt"), "half\n").unwrap();
    play.signal(rustix::process::Signal::KILL);
    let_go(&play);
    play.run("resume", &[]).success();
    play.rests("done");
    assert!(!play.subjects().contains(&"Edit by hand".to_owned()), "{:?}", play.subjects());
    assert_eq!(play.committed("half.txt"), "half");
    play.close();
}

#[test]
fn n08_edits_in_a_session_that_is_done_are_the_users_too() {
    // What a check has left cannot be told from what a person did: nothing is called theirs then.
    let by_hand = ["echo one > one.txt", "Edit by hand", "echo more > more.txt"];
    let cases = [("true", &by_hand[..]), ("touch left", &[by_hand[0], "Done", by_hand[2]][..])];
    for (verify, subjects) in cases {
        let script = Script::new([
            bash("echo one > one.txt"),
            Turn::text("Done."),
            bash("echo more > more.txt"),
            Turn::text("Done again."),
        ]);
        let play = Play::start(Dialect::Chat, script, &["--verify", verify]);
        play.rests("done");
        fs::write(play.worktree().join("one.txt"), "mine\n").unwrap();
        play.run("say", &["more"]).success();
        play.rests("done");
        assert_eq!(play.subjects(), subjects, "{verify}");
        assert_eq!(play.committed("one.txt"), "mine");
    }
}

#[test]
fn b05_a_branch_that_is_moved_before_the_only_commit_is_gone_on_from() {
    let play = Play::start(Dialect::Chat, script(), &["--commit-strategy", "single"]);
    until("the command runs", || play.worktree().with_file_name("begun").exists());
    let tree = play.repo.git(&["rev-parse", "main^{tree}"]);
    let theirs = play.repo.git(&["commit-tree", "-p", "main", "-m", "Theirs", &tree]);
    play.repo.git(&["update-ref", "refs/heads/agent/mend-the-shop", &theirs]);
    let_go(&play);
    play.rests("done");
    assert_eq!(kept(&play), "one.txt\nthree.txt\ntwo.txt");
    assert_eq!(play.repo.git(&["rev-parse", "agent/mend-the-shop~1"]), theirs);
    play.close();
}

#[test]
fn n08_edits_that_a_kill_kept_from_the_model_are_told_by_the_next_run() {
    for strategy in ["incremental", "single", "none"] {
        let play = Play::start(Dialect::Anthropic, script(), &["--commit-strategy", strategy]);
        until("the command runs", || play.worktree().with_file_name("begun").exists());
        play.run("pause", &[]).success();
        let_go(&play);
        play.rests("paused");
        fs::write(play.worktree().join("mine.txt"), "mine\n").unwrap();
        let env = [("GIT_AGENT_FAIL_POINT", "edits:1".to_owned())];
        play.cmd(&["resume", &play.id]).envs(env).run().success();
        until("it dies", || play.status()["state"] == "interrupted");
        assert_eq!(journalled(&play), [""; 0]);
        play.run("resume", &[]).success();
        play.rests("done");
        assert_eq!(journalled(&play), ["edit [mine.txt]"], "{strategy}");
        let told = told_by_the_loop(&play);
        assert!(told.len() == 1 && told[0].contains("Changed: mine.txt."), "{told:?}");
        let by_hand = play.subjects().iter().filter(|it| *it == "Edit by hand").count();
        assert_eq!(by_hand, usize::from(strategy != "none"), "{strategy}");
        play.close();
    }
}
