//! Landings from end to end, in real repositories.
//!
//! Invariant: each refusal is followed by a look at every ref and at the checkout.

use fs_err as fs;

use super::apply::{Landed, land, rehearse};
use crate::config::CommitStrategy;
use crate::git::ObjectId;
use crate::plan::pick::Pick;
use crate::plan::{LandError, Unverified, Way, Wish};
use crate::session::record::Record;
use crate::session::state::Phase;
use crate::session::store::Session;
use crate::session::testing::{Bench, write};

mod cut;
mod ways;

const SQUASH: Wish<'_> = Wish {
    into: None,
    way: Way::Squash,
    pick: Pick::All,
    unverified: false,
    no_hooks: false,
    forced: false,
    resolution: None,
    program: None,
    below: &[],
};

impl Bench {
    fn land(&self, session: &Session, wish: &Wish<'_>) -> Landed {
        land(&self.repo(), session, wish).unwrap()
    }

    /// Lands and is refused; nothing may have moved.
    fn refused(&self, session: &Session, wish: &Wish<'_>) -> LandError {
        let look = || (self.refs(), self.status(&self.git.root), self.state(session));
        let before = look();
        let rehearsed = rehearse(&self.repo(), session, wish).unwrap_err();
        let error = land(&self.repo(), session, wish).unwrap_err();
        assert_eq!(error.to_string(), rehearsed.to_string());
        assert_eq!(look(), before);
        assert!(!session.dir.join("landing.toml").exists());
        error
    }
}

#[test]
fn a_squash_is_one_commit_with_the_work_a_note_and_a_record() {
    for options in [&[][..], &["--object-format=sha256"], &["--ref-format=reftable"]] {
        let bench = Bench::with(options);
        let session = bench.session("add", |spec| spec.verify = vec!["true".to_owned()]);
        bench.step(&session, &[("a", "better\n"), ("new", "n\n")]);
        bench.step(&session, &[("dir/b", "")]);
        bench.done(&session, 0);
        let old = bench.tip("main");
        let landed = bench.land(&session, &SQUASH);
        let plan = landed.plan.unwrap();
        assert_eq!((landed.branch.as_str(), landed.commit), ("refs/heads/main", bench.tip("main")));
        assert_eq!((plan.commits, plan.verified, plan.unverified), (2, true, None));
        assert_eq!((plan.stat.files, plan.stat.insertions, plan.stat.deletions), (3, 2, 2));
        assert_eq!(bench.git.git(&["log", "-1", "--format=%P"]), old.to_string());
        assert_eq!(
            bench.git.git(&["log", "-1", "--format=%an <%ae>%n%B"]),
            "Ada Person <ada@example.org>\nDo add\n\nAll done.\n\n\
             Agent-Session: add-7f3k\nAssisted-by: git-agent:replay/x\n"
                .trim_end()
        );
        assert_eq!(bench.git.git(&["ls-files"]), "a\nnew");
        assert_eq!(fs::read_to_string(bench.git.root.join("a")).unwrap(), "better\n");
        let tree = bench.git.id("HEAD^{tree}");
        assert_eq!(
            bench.git.git(&["notes", "--ref=agent", "show"]),
            format!(
                "Work of add-7f3k\n\nAgent-Session: add-7f3k\nAgent: builtin\nModel: replay/x\n\
                 Tokens: 0 in (0 cached), 0 out\nCost: ?\nVerify: true\nVerify-Exit: 0\n\
                 Verify-Tree: {tree}"
            )
        );
        let state = bench.state(&session);
        let reason = format!("on main as {}", &landed.commit.to_string()[..7]);
        assert_eq!((state.phase, &state.reason), (Phase::Landed, &reason));
        // The steps are reachable through the session's ref alone.
        bench.git.git(&["worktree", "remove", "--force", session.spec.worktree.to_str().unwrap()]);
        bench.git.git(&["branch", "-q", "-D", "agent/add"]);
        let record = Record::last(&bench.repo(), "add-7f3k").unwrap().unwrap();
        assert_eq!(record.state, state);
        assert_eq!(
            bench.git.git(&["rev-list", "--count", &format!("{old}..{}", record.code)]),
            "2"
        );
    }
}

#[test]
fn a_rehearsal_says_the_same_and_writes_not_even_an_object() {
    let bench = Bench::new();
    let session = bench.finished("add", &[("a", "better\n")]);
    bench.git.commit(&[("dir/b", "other\n")]);
    let everything = || {
        let mut files = Vec::new();
        let mut folders = vec![bench.git.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push((fs::metadata(&path).unwrap().modified().unwrap(), path));
                }
            }
        }
        files.sort();
        files
    };
    let before = everything();
    let plan = rehearse(&bench.repo(), &session, &SQUASH).unwrap();
    assert_eq!(everything(), before);
    assert_eq!(bench.land(&session, &SQUASH).plan.unwrap(), plan);
}

#[test]
fn a_merge_has_two_parents_and_a_fast_forward_makes_no_commit() {
    let bench = Bench::new();
    let one = bench.finished("one", &[("a", "better\n")]);
    let two = bench.finished("two", &[("dir/b", "better\n")]);
    let wish = Wish { way: Way::FastForward, ..SQUASH };
    let landed = bench.land(&one, &wish);
    assert_eq!(landed.commit, bench.tip("agent/one"));
    assert!(matches!(bench.refused(&two, &wish), LandError::NotFastForward { .. }));
    let merged = bench.land(&two, &Wish { way: Way::Merge, ..SQUASH });
    let parents = bench.git.git(&["log", "-1", "--format=%P", &merged.commit.to_string()]);
    assert_eq!(parents, format!("{} {}", landed.commit, bench.tip("agent/two")));
    assert_eq!(bench.git.git(&["log", "-1", "--format=%s"]), "Do two");
    // The note of the step stays on the session's own commit.
    assert_eq!(bench.git.git(&["notes", "--ref=agent", "list"]).lines().count(), 2);
}

#[test]
fn conflicts_are_named_and_nothing_moves() {
    let bench = Bench::new();
    let session = bench.finished("add", &[("a", "theirs\n"), ("dir/b", "theirs\n"), ("c", "c\n")]);
    bench.git.commit(&[("a", "ours\n"), ("dir/b", "ours\n")]);
    let error = bench.refused(&session, &SQUASH);
    assert_eq!(error.to_string(), "main and add-7f3k conflict in a:1, dir/b:1");
}

#[test]
fn l01_a_file_in_the_way_refuses_and_others_keep_what_the_user_did() {
    for (what, path) in [
        ("dirty", "a"),
        ("staged", "a"),
        ("deleted", "a"),
        ("untracked", "new"),
        ("ignored", "new"),
        ("file for a folder", "deep"),
        ("--assume-unchanged", "a"),
        ("--skip-worktree", "a"),
    ] {
        let mut bench = Bench::new();
        let session =
            bench.finished("add", &[("a", "better\n"), ("new", "n\n"), ("deep/er/x", "x\n")]);
        let root = bench.git.root.clone();
        match what {
            "deleted" => fs::remove_file(root.join(path)).unwrap(),
            _ => fs::write(root.join(path), "mine\n").unwrap(),
        }
        match what {
            "staged" => drop(bench.git.git(&["add", path])),
            flag if flag.starts_with("--") => drop(bench.git.git(&["update-index", flag, path])),
            "ignored" => fs::write(root.join(".git/info/exclude"), "new\n").unwrap(),
            _ => {}
        }
        bench.dirt = bench.status(&root);
        match bench.refused(&session, &SQUASH) {
            LandError::InTheWay { path: checkout, paths } => {
                assert_eq!((checkout, paths), (root.clone(), vec![path.to_owned()]), "{what}");
            }
            other => panic!("{what}: {other}"),
        }
        if what != "deleted" {
            assert_eq!(fs::read_to_string(root.join(path)).unwrap(), "mine\n", "{what}");
        }
    }
    let mut bench = Bench::new();
    bench.git.commit(&[("c", "c\n"), ("touched", "t\n")]);
    let session = bench.finished("add", &[("a", "better\n"), ("touched", "better\n")]);
    let root = bench.git.root.clone();
    write(&root, &[("dir/b", "mine\n"), ("c", "staged\n"), ("untracked", "u\n")]);
    bench.git.git(&["add", "c"]);
    write(&root, &[("c", "and more\n")]);
    let touched = fs::OpenOptions::new().write(true).open(root.join("touched")).unwrap();
    touched.file().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    bench.land(&session, &SQUASH);
    bench.dirt = " M dir/b\nMM c\n?? untracked".to_owned();
    let mut dirt: Vec<_> = bench.dirt.lines().collect();
    dirt.sort_unstable();
    let status = bench.status(&root);
    let mut lines: Vec<_> = status.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, dirt);
    bench.dirt = bench.status(&root);
    assert_eq!(bench.git.git(&["show", ":c"]), "staged");
    assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "better\n");
}

#[test]
fn l05_a_target_in_another_worktree_or_in_none_is_landed_on() {
    let bench = Bench::new();
    let other = bench.git.beside("other");
    bench.git.git(&["worktree", "add", "-q", "-b", "topic", other.to_str().unwrap()]);
    bench.git.git(&["branch", "nowhere"]);
    let session = bench.finished("add", &[("a", "better\n")]);
    let landed = bench.land(&session, &Wish { into: Some("topic"), ..SQUASH });
    assert_eq!((landed.commit, bench.status(&other)), (bench.tip("topic"), String::new()));
    assert_eq!(fs::read_to_string(other.join("a")).unwrap(), "better\n");
    // What has landed may land elsewhere too.
    let again = bench.land(&session, &Wish { into: Some("refs/heads/nowhere"), ..SQUASH });
    assert_eq!(again.commit, bench.tip("nowhere"));
    assert_eq!(fs::read_to_string(bench.git.root.join("a")).unwrap(), "one\n");
}

#[test]
fn l02_a_target_that_an_operation_holds_is_refused_by_name() {
    let mut bench = Bench::new();
    bench.git.git(&["branch", "side", "HEAD"]);
    let session = bench.finished("add", &[("new", "n\n")]);
    bench.git.commit(&[("a", "main\n")]);
    bench.git.git(&["checkout", "-q", "side"]);
    bench.git.commit(&[("a", "side\n")]);
    bench.git.git(&["checkout", "-q", "main"]);
    let root = bench.git.root.clone();
    let expected = |operation: &str| format!("{} is in the middle of {operation}", root.display());
    bench.git.try_git(&root, &["rebase", "side"]);
    assert_eq!(bench.refused(&session, &SQUASH).to_string(), expected("a rebase"));
    bench.git.git(&["rebase", "--abort"]);
    bench.git.try_git(&root, &["merge", "side"]);
    assert_eq!(bench.refused(&session, &SQUASH).to_string(), expected("a merge"));
    fs::remove_file(root.join(".git/MERGE_HEAD")).unwrap();
    assert_eq!(bench.refused(&session, &SQUASH).to_string(), expected("unmerged paths"));
    bench.dirt = bench.status(&root);
}

#[test]
fn l04_what_is_landed_was_verified_unless_the_user_says_otherwise() {
    let bench = Bench::new();
    let session = |name: &str| bench.session(name, |spec| spec.verify = vec!["make test".into()]);
    let due = |session: &Session| {
        // Another test that forks just now holds every lock for a moment.
        let plan = loop {
            match rehearse(&bench.repo(), session, &SQUASH) {
                Err(LandError::NotAtRest { .. }) => std::thread::yield_now(),
                plan => break plan.unwrap(),
            }
        };
        assert!(!plan.verified);
        plan.due
    };
    let command = || "make test".to_owned();
    let failed = session("failed");
    bench.step(&failed, &[("f", "f\n")]);
    // A session that was left in the middle may be landed as well, once it is verified.
    assert_eq!(due(&failed), Some(Unverified::NotRun(command())));
    bench.done(&failed, 2);
    match bench.refused(&failed, &SQUASH) {
        LandError::Unverified { why, .. } => {
            assert_eq!(why, Unverified::Failed { command: command(), exit: 2 });
        }
        other => panic!("{other}"),
    }
    let passed = session("passed");
    bench.step(&passed, &[("p", "p\n")]);
    bench.done(&passed, 0);
    write(&passed.spec.worktree, &[("p", "by hand\n")]);
    bench.git.git_in(&passed.spec.worktree, &["add", "-A"]);
    bench.git.git_in(&passed.spec.worktree, &["commit", "-qm", "by hand"]);
    assert_eq!(due(&passed), Some(Unverified::Changed(command())));
    bench.git.git_in(&passed.spec.worktree, &["reset", "-q", "--hard", "HEAD~1"]);
    bench.git.commit(&[("a", "moved\n")]);
    let moved = Unverified::TargetMoved { command: command(), branch: "main".to_owned() };
    assert_eq!(due(&passed), Some(moved.clone()));
    let plan = bench.land(&passed, &Wish { unverified: true, ..SQUASH }).plan.unwrap();
    assert_eq!((plan.verified, plan.unverified), (false, Some(moved)));
}

#[test]
fn l07_what_is_there_already_is_recognised_by_content() {
    let bench = Bench::new();
    let nothing = bench.finished("nothing", &[]);
    assert!(matches!(bench.refused(&nothing, &SQUASH), LandError::Nothing(_)));
    let landed_as = |error: LandError| match error {
        LandError::AlreadyLanded { commit, .. } => commit,
        other => panic!("{other}"),
    };
    // Squashed by somebody else, under other words.
    let squashed = bench.finished("squashed", &[("a", "better\n")]);
    bench.git.git(&["merge", "-q", "--squash", "agent/squashed"]);
    bench.git.git(&["commit", "-qm", "squashed on the forge"]);
    let squash = bench.tip("main");
    assert_eq!(landed_as(bench.refused(&squashed, &SQUASH)), Some(squash));
    // And changed since, so that it would conflict.
    bench.git.commit(&[("a", "best\n")]);
    assert_eq!(landed_as(bench.refused(&squashed, &SQUASH)), Some(squash));
    let merged = bench.finished("merged", &[("dir/b", "better\n")]);
    bench.git.git(&["merge", "-q", "--no-ff", "-m", "m", "agent/merged"]);
    assert_eq!(landed_as(bench.refused(&merged, &SQUASH)), Some(bench.tip("agent/merged")));
    // What was deleted has only moved there: the deletion is still to come.
    bench.git.commit(&[("long", "1\n2\n3\n4\n5\n6\n7\n8\n")]);
    let deletes = bench.finished("deletes", &[("long", "")]);
    bench.git.git(&["mv", "long", "moved"]);
    bench.git.commit(&[("moved", "1\n2\n3\n4\n5\n6\n7\n8\n9\n")]);
    let error = bench.refused(&deletes, &SQUASH);
    assert_eq!(error.to_string(), "main and deletes-7f3k conflict in moved");
    let error = bench.refused(&deletes, &Wish { way: Way::Rebase, ..SQUASH });
    assert_eq!(error.to_string(), "main and deletes-7f3k conflict in moved");
    // Twice by us.
    let ours = bench.finished("ours", &[("c", "c\n")]);
    let commit = bench.land(&ours, &SQUASH).commit;
    assert_eq!(landed_as(bench.refused(&ours, &SQUASH)), Some(commit));
}

#[test]
fn the_target_is_where_the_session_started_and_never_its_own_branch() {
    let bench = Bench::new();
    bench.git.git(&["branch", "release"]);
    let session = bench.session("add", |spec| spec.base.name = "release".to_owned());
    bench.step(&session, &[("a", "better\n")]);
    bench.done(&session, 0);
    let into = |branch| bench.refused(&session, &Wish { into: Some(branch), ..SQUASH }).to_string();
    assert_eq!(into("agent/add"), "agent/add is the session's own branch");
    for bad in ["HEAD", "no such", "-x", "refs/tags/v1", "gone"] {
        assert_eq!(into(bad), format!("'{bad}' is not a local branch"));
    }
    assert_eq!(bench.land(&session, &SQUASH).branch, "refs/heads/release");
    let by_head = bench.session("by-head", |spec| spec.base.name = "HEAD".to_owned());
    bench.step(&by_head, &[("c", "c\n")]);
    bench.done(&by_head, 0);
    bench.git.git(&["checkout", "-q", "--detach"]);
    assert!(matches!(bench.refused(&by_head, &SQUASH), LandError::NoTarget));
    bench.git.git(&["checkout", "-q", "main"]);
    assert_eq!(bench.land(&by_head, &SQUASH).branch, "refs/heads/main");
}

#[test]
fn uncommitted_changes_refuse_and_new_files_are_left_behind() {
    let bench = Bench::new();
    let session = bench.finished("add", &[("a", "better\n")]);
    let root = session.spec.worktree.clone();
    write(&root, &[("a", "by hand\n"), ("built", "b\n")]);
    match bench.refused(&session, &SQUASH) {
        LandError::Uncommitted { worktree, paths } => {
            assert_eq!((worktree, paths), (root.clone(), vec!["a".to_owned()]));
        }
        other => panic!("{other}"),
    }
    write(&root, &[("a", "better\n")]);
    assert_eq!(bench.land(&session, &SQUASH).plan.unwrap().left_behind, ["built"]);
    assert_eq!(bench.git.git(&["show", "--format=", "--name-only"]), "a");
}

#[test]
fn work_that_no_commit_of_the_branch_holds_is_landed_from_the_record() {
    let bench = Bench::new();
    let session = bench.session("add", |spec| spec.commit_strategy = CommitStrategy::None);
    bench.step(&session, &[("a", "better\n")]);
    bench.step(&session, &[("c", "c\n")]);
    bench.done(&session, 0);
    assert_eq!(bench.tip("agent/add"), bench.tip("main"));
    let wish = Wish { way: Way::FastForward, ..SQUASH };
    assert!(matches!(bench.refused(&session, &wish), LandError::NoCommits(_)));
    bench.land(&session, &SQUASH);
    assert_eq!(bench.git.git(&["show", "--format=", "--name-only"]), "a\nc");
}

#[test]
fn b07_a_branch_that_is_gone_is_landed_from_the_record() {
    let bench = Bench::new();
    let session = bench.finished("add", &[("a", "better\n")]);
    bench.git.git(&["worktree", "remove", "--force", session.spec.worktree.to_str().unwrap()]);
    bench.git.git(&["branch", "-q", "-D", "agent/add"]);
    bench.land(&session, &SQUASH);
    assert_eq!(fs::read_to_string(bench.git.root.join("a")).unwrap(), "better\n");
}

#[test]
fn a_running_session_is_refused() {
    let bench = Bench::new();
    let session = bench.finished("add", &[("a", "better\n")]);
    // Held a moment longer than it says to be at work, as by a supervisor that ends.
    let (lock, mut state) = session.lock().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(500));
            drop(lock);
        });
        drop(crate::plan::work::hold(&bench.repo(), &session).unwrap());
    });
    let (lock, _) = session.lock().unwrap();
    state.phase = Phase::Running;
    state.write(&session.state_path()).unwrap();
    let error = land(&bench.repo(), &session, &SQUASH).unwrap_err();
    assert_eq!(error.to_string(), "session add-7f3k is running");
    drop(lock);
    let fresh = bench.session("fresh", |_| {});
    assert_eq!(bench.refused(&fresh, &SQUASH).to_string(), "session fresh-7f3k is queued");
}

#[test]
fn the_target_moves_back_if_its_files_cannot_follow() {
    let bench = Bench::new();
    let root = bench.git.root.clone();
    // A filter that fails on the second file, when the first one is there.
    bench.git.commit(&[(".gitattributes", "*.z filter=broken\n")]);
    bench.git.git(&["config", "filter.broken.clean", "cat"]);
    bench.git.git(&["config", "filter.broken.required", "true"]);
    let filtered =
        bench.finished("filtered", &[("c", "c\n"), ("dir/b", "better\n"), ("x.z", "z\n")]);
    bench.git.git(&["config", "filter.broken.smudge", "false"]);
    let before = bench.refs();
    let error = land(&bench.repo(), &filtered, &SQUASH).unwrap_err();
    let expected =
        format!("the files in {} could not be updated; main is where it was", root.display());
    assert_eq!(error.to_string(), expected);
    assert_eq!((bench.refs(), bench.status(&root)), (before, String::new()));
    assert_eq!(bench.state(&filtered).phase, Phase::Done);
}

#[test]
fn b11_a_hook_of_the_user_may_refuse_the_move() {
    use std::os::unix::fs::PermissionsExt;

    let bench = Bench::new();
    let session = bench.finished("add", &[("a", "better\n")]);
    let hook = bench.git.root.join(".git/hooks/reference-transaction");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    let script = "#!/bin/sh\ntest \"$1\" = prepared || exit 0\nwhile read old new ref; do\n\
                  case $ref in refs/heads/main) echo 'main is frozen' >&2; exit 1;; esac; done\n";
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let before = bench.refs();
    let error = land(&bench.repo(), &session, &SQUASH).unwrap_err();
    assert!(error.to_string().contains("frozen") || error.to_string().contains("hook"), "{error}");
    assert_eq!((bench.refs(), bench.status(&bench.git.root)), (before, String::new()));
}

#[test]
fn a_landing_that_was_cut_off_is_finished_by_the_next() {
    use super::intent::Intent;

    // Cut off before the target moved, after it, and after its files had followed.
    for cut in 0..4 {
        let bench = Bench::new();
        let session = bench.finished("add", &[("a", "better\n"), ("new", "n\n"), ("dir/b", "")]);
        let plan = rehearse(&bench.repo(), &session, &SQUASH).unwrap();
        let old = bench.tip("main");
        let tree = bench.git.git(&["rev-parse", "agent/add^{tree}"]);
        let commit = bench.git.git(&["commit-tree", "-p", "main", "-m", "landed", &tree]);
        let commit = ObjectId::from_hex(commit.as_bytes()).unwrap();
        Intent::new("refs/heads/main", old, commit, plan.work.commit).write(&session).unwrap();
        if cut > 0 {
            bench.git.git(&["update-ref", "refs/heads/main", &commit.to_string()]);
        }
        let root = bench.git.root.clone();
        match cut {
            2 => drop(bench.git.git(&["reset", "-q", "--hard"])),
            3 => {
                fs::write(root.join("a"), "better\n").unwrap();
                fs::write(root.join("new"), "n\n").unwrap();
            }
            _ => {}
        }
        let landed = bench.land(&session, &SQUASH);
        assert_eq!(landed.plan.is_none(), cut > 0);
        assert_eq!((landed.commit == commit, landed.commit), (cut > 0, bench.tip("main")));
        assert_eq!(bench.status(&root), "", "cut {cut}");
        assert_eq!(bench.state(&session).phase, Phase::Landed);
        assert_eq!(Intent::read(&session).unwrap(), None);
    }
}

#[test]
fn l10_nobody_lands_without_a_name() {
    let bench = Bench::new();
    let session = bench.finished("add", &[("a", "better\n")]);
    bench.git.git(&["config", "--unset", "user.name"]);
    bench.git.git(&["config", "--unset", "user.email"]);
    bench.git.git(&["config", "user.useConfigOnly", "true"]);
    assert!(matches!(bench.refused(&session, &SQUASH), LandError::Identity(_)));
}

#[test]
fn w12_a_bare_repository_is_landed_on() {
    let bench = Bench::new();
    let session = bench.finished("add", &[("a", "better\n")]);
    // As a bare clone with worktrees: the files of the main checkout are no checkout any more.
    bench.git.git(&["config", "core.bare", "true"]);
    let repo = crate::git::Repo::open(&bench.git.root.join(".git")).unwrap();
    let landed = land(&repo, &session, &Wish { into: None, ..SQUASH }).unwrap();
    assert_eq!(landed.plan.unwrap().target.checkouts, []);
    assert_eq!(landed.commit, bench.tip("main"));
    bench.git.git(&["config", "core.bare", "false"]);
    bench.git.git(&["reset", "-q", "--hard"]);
}

#[test]
fn l10_a_landed_commit_is_signed_where_the_user_signs_commits() {
    let bench = Bench::new();
    let key = bench.git.beside("key");
    let keygen = crate::process::Cmd::new("ssh-keygen");
    let made = keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).run();
    // Signing needs a program that not every machine has.
    if !made.is_ok_and(|made| made.exit == 0) {
        return;
    }
    bench.git.git(&["config", "gpg.format", "ssh"]);
    bench.git.git(&["config", "user.signingKey", key.to_str().unwrap()]);
    bench.git.git(&["config", "commit.gpgSign", "true"]);
    let signed = bench.finished("signed", &[("a", "better\n")]);
    bench.land(&signed, &SQUASH);
    assert!(bench.git.git(&["cat-file", "commit", "main"]).contains("\ngpgsig"));
    let unsigned = bench.finished("unsigned", &[("c", "c\n")]);
    bench.git.git(&["config", "user.signingKey", "/nowhere"]);
    assert!(matches!(bench.refused_to_commit(&unsigned), LandError::Commit { .. }));
}

impl Bench {
    fn refused_to_commit(&self, session: &Session) -> LandError {
        let before = self.refs();
        let error = land(&self.repo(), session, &SQUASH).unwrap_err();
        assert_eq!(self.refs(), before);
        error
    }
}
