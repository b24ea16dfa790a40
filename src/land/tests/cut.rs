//! Landings and undos that something stops half way: a lock, a full disk, a missing name, a kill.
//!
//! Invariant: nothing of the user's is lost, and the same command ends it once it can.

use fs_err as fs;

use super::super::apply::{land, rehearse};
use super::super::intent::Intent;
use super::super::undo::undo;
use super::SQUASH;
use crate::git::ObjectId;
use crate::plan::LandError;
use crate::session::state::Phase;
use crate::session::testing::{Bench, write};

#[test]
fn an_undo_without_a_name_moves_nothing_and_one_that_was_cut_off_is_finished() {
    let bench = Bench::new();
    let session = bench.finished("add", &[("a", "better\n"), ("deep/new", "n\n")]);
    let old = bench.tip("main");
    let landed = land(&bench.repo(), &session, &SQUASH).unwrap().commit;
    let root = bench.git.root.clone();
    bench.git.git(&["config", "--unset", "user.name"]);
    bench.git.git(&["config", "--unset", "user.email"]);
    bench.git.git(&["config", "user.useConfigOnly", "true"]);
    assert!(matches!(undo(&bench.repo(), &session).unwrap_err(), LandError::Identity(_)));
    assert_eq!((bench.tip("main"), bench.status(&root)), (landed, String::new()));
    bench.git.git(&["config", "user.name", "Ada Person"]);
    bench.git.git(&["config", "user.email", "ada@example.org"]);
    // Killed when the branch had moved, before its files did.
    bench.git.git(&["update-ref", "refs/heads/main", &old.to_string()]);
    let undone = undo(&bench.repo(), &session).unwrap();
    assert_eq!((undone.commit, undone.landed), (old, landed));
    assert_eq!((bench.tip("main"), bench.status(&root)), (old, String::new()));
    assert!(!root.join("deep").exists());
    assert_eq!(bench.state(&session).phase, Phase::Done);
    let again = undo(&bench.repo(), &session).unwrap_err();
    assert_eq!(again.to_string(), "the landing of add-7f3k on main was taken back already");
}

#[test]
fn what_moved_under_a_lock_on_its_backup_is_said_to_have_landed() {
    let bench = Bench::new();
    let session = bench.finished("add", &[("a", "better\n")]);
    let folder = bench.git.root.join(".git/refs/agent-backup");
    fs::create_dir_all(&folder).unwrap();
    let lock = folder.join("add-7f3k.lock");
    fs::write(&lock, "").unwrap();
    let error = land(&bench.repo(), &session, &SQUASH).unwrap_err();
    let commit = bench.tip("main");
    let short = &commit.to_string()[..7];
    assert_eq!(
        error.to_string(),
        format!("the work is on main as {short}, but the session could not be told so")
    );
    fs::remove_file(&lock).unwrap();
    let landed = land(&bench.repo(), &session, &SQUASH).unwrap();
    assert_eq!((landed.plan, landed.commit), (None, commit));
    assert_eq!(bench.state(&session).phase, Phase::Landed);
    undo(&bench.repo(), &session).unwrap();
}

#[test]
fn s07_a_locked_index_refuses_before_anything_moves() {
    let bench = Bench::new();
    let session = bench.finished("add", &[("a", "better\n"), ("new", "n\n")]);
    let lock = bench.git.root.join(".git/index.lock");
    fs::write(&lock, "").unwrap();
    let reflog = || bench.git.git(&["reflog", "show", "main"]);
    let before = reflog();
    for error in [
        rehearse(&bench.repo(), &session, &SQUASH).unwrap_err(),
        land(&bench.repo(), &session, &SQUASH).unwrap_err(),
    ] {
        assert!(matches!(error, LandError::IndexLocked { .. }), "{error}");
    }
    assert_eq!(reflog(), before);
    fs::remove_file(&lock).unwrap();
    land(&bench.repo(), &session, &SQUASH).unwrap();
}

#[test]
fn what_a_killed_landing_has_left_running_is_waited_for() {
    let bench = Bench::new();
    let session = bench.finished("add", &[("a", "better\n"), ("new", "n\n")]);
    let plan = rehearse(&bench.repo(), &session, &SQUASH).unwrap();
    let (old, root) = (bench.tip("main"), bench.git.root.clone());
    let tree = bench.git.git(&["rev-parse", "agent/add^{tree}"]);
    let commit = bench.git.git(&["commit-tree", "-p", "main", "-m", "landed", &tree]);
    let commit = ObjectId::from_hex(commit.as_bytes()).unwrap();
    Intent::new("refs/heads/main", old, commit, plan.work.commit).write(&session).unwrap();
    bench.git.git(&["update-ref", "refs/heads/main", &commit.to_string()]);
    // git has written the files, and the index is in its lock.
    write(&root, &[("a", "better\n"), ("new", "n\n")]);
    let (index, lock) = (root.join(".git/index"), root.join(".git/index.lock"));
    let other = root.join(".git/other");
    let git = bench.repo().git().env("GIT_INDEX_FILE", &other);
    assert_eq!(git.args(["read-tree", &commit.to_string()]).run().unwrap().exit, 0);
    fs::rename(&other, &lock).unwrap();
    let landed = std::thread::scope(|scope| {
        let landing = scope.spawn(|| land(&bench.repo(), &session, &SQUASH));
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "better\n");
        fs::rename(&lock, &index).unwrap();
        landing.join().unwrap().unwrap()
    });
    assert_eq!((landed.commit, landed.plan), (commit, None));
    assert_eq!(bench.status(&root), "");
}

#[test]
fn k06_a_file_that_a_full_disk_cut_off_is_put_back() {
    let bench = Bench::new();
    let session =
        bench.finished("add", &[("a", "much better\n"), ("deep/new", "all of it\n"), ("b", "b\n")]);
    let plan = rehearse(&bench.repo(), &session, &SQUASH).unwrap();
    let root = bench.git.root.clone();
    fs::create_dir(root.join("deep")).unwrap();
    write(&root, &[("a", "much be"), ("deep/new", "all o"), ("b", "mine\n")]);
    let (old, new) = (bench.git.id("main^{tree}"), bench.git.id("agent/add^{tree}"));
    for checkout in &plan.target.checkouts {
        checkout.put_back(&bench.repo(), old, new).unwrap();
    }
    // What somebody has written meanwhile stays.
    assert_eq!(bench.status(&root), "?? b");
    assert!(!root.join("deep").exists());
    fs::remove_file(root.join("b")).unwrap();
    land(&bench.repo(), &session, &SQUASH).unwrap();
}
