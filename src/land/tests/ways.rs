//! Other ways to land than a plain squash: picked, made again, checked, hooked, taken back.
//!
//! Invariant: each refusal leaves no worktree behind and every ref where it was.

use std::os::unix::fs::PermissionsExt;

use fs_err as fs;

use super::super::apply::{acknowledge, land, rehearse};
use super::super::undo::undo;
use super::SQUASH;
use crate::plan::forecast;
use crate::plan::pick::Pick;
use crate::plan::resolve::Resolution;
use crate::plan::{LandError, Way, Wish};
use crate::session::state::Phase;
use crate::session::store::Session;
use crate::session::testing::{Bench, write};

const REBASE: Wish<'_> = Wish { way: Way::Rebase, ..SQUASH };

impl Bench {
    fn hook(&self, name: &str, script: &str) {
        let folder = self.git.root.join(".git/hooks");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A refusal that a rehearsal does not foresee.
    fn stopped(&self, session: &Session, wish: &Wish<'_>) -> LandError {
        let look = || (self.heads(), self.status(&self.git.root), self.state(session));
        let before = look();
        let error = land(&self.repo(), session, wish).unwrap_err();
        assert_eq!(look(), before);
        self.tidy();
        error
    }

    fn heads(&self) -> String {
        self.git.git(&["for-each-ref", "refs/heads", "refs/agent"])
    }

    /// No worktree for a moment is left.
    fn tidy(&self) {
        let worktrees = self.git.git(&["worktree", "list"]);
        assert!(!worktrees.contains(".git-agent-"), "{worktrees}");
        let beside = fs::read_dir(self.git.beside("worktrees")).unwrap().flatten();
        let left = beside.filter(|it| it.file_name().to_string_lossy().starts_with(".git-agent-"));
        assert_eq!(left.count(), 0);
    }

    fn log(&self, format: &str, range: &str) -> String {
        self.git.git(&["log", "--reverse", &format!("--format={format}"), range])
    }
}

#[test]
fn a_rebase_makes_each_commit_again_with_its_words_author_and_note() {
    let bench = Bench::new();
    let session = bench.session("add", |_| {});
    bench.step(&session, &[("a", "better\n")]);
    bench.step(&session, &[("new", "n\n")]);
    bench.done(&session, 0);
    let notes: Vec<_> = ["agent/add~1", "agent/add"]
        .map(|commit| {
            let commit = bench.git.id(commit).to_string();
            bench.git.git(&["notes", "--ref=agent", "add", "-f", "-m", &commit, &commit]);
            commit
        })
        .into();
    bench.git.commit(&[("dir/b", "moved\n")]);
    let old = bench.tip("main");
    let landed = bench.land(&session, &REBASE);
    assert_eq!(landed.plan.unwrap().commits, 2);
    let range = format!("{old}..main");
    assert_eq!(bench.log("%s %an", &range), bench.log("%s %an", &format!("{old}..agent/add")));
    let commits = bench.log("%H", &range);
    let commits: Vec<_> = commits.lines().collect();
    assert_eq!(commits.len(), 2);
    for (commit, note) in commits.iter().zip(&notes) {
        assert_eq!(bench.git.git(&["notes", "--ref=agent", "show", commit]), *note);
    }
    assert_eq!(bench.git.git(&["ls-files"]), "a\ndir/b\nnew");
    assert_eq!(bench.state(&session).phase, Phase::Landed);
    // On a target without news they are the session's own.
    let own = bench.finished("own", &[("c", "c\n")]);
    assert_eq!(bench.land(&own, &REBASE).commit, bench.tip("agent/own"));
    // A conflict in the middle stops all of it.
    let late = bench.finished("late", &[("c", "late\n")]);
    bench.git.commit(&[("c", "main\n")]);
    assert_eq!(bench.refused(&late, &REBASE).to_string(), "main and late-7f3k conflict in c:1");
}

#[test]
fn a_rebase_of_what_was_moved_is_foreseen_without_an_object_written() {
    let bench = Bench::new();
    let session = bench.session("add", |_| {});
    let long: String = (1..=30).map(|n| format!("line {n}\n")).collect();
    bench.git.commit(&[("old/x", &long), ("old/y", &long.replace("line", "row"))]);
    bench.git.git_in(&session.spec.worktree, &["merge", "-q", "--ff-only", "main"]);
    bench.step(&session, &[("a", "better\n")]);
    bench.step(&session, &[("old/x", &long.replace("line 3\n", "third\n"))]);
    bench.done(&session, 0);
    // git alone can tell what becomes of a file that was moved.
    bench.git.git(&["mv", "old", "new"]);
    bench.git.git(&["commit", "-qm", "Move"]);
    let objects = || bench.git.git(&["count-objects", "-v"]);
    let before = objects();
    let foreseen = rehearse(&bench.repo(), &session, &REBASE).unwrap();
    assert_eq!(objects(), before);
    let landed = bench.land(&session, &REBASE).plan.unwrap();
    assert_eq!((foreseen.tree, foreseen.commits), (landed.tree, landed.commits));
    assert!(bench.git.git(&["show", "main:new/x"]).contains("third"));
}

#[test]
fn what_is_picked_lands_and_the_rest_is_still_to_land() {
    let bench = Bench::new();
    let session = bench.session("add", |_| {});
    bench.step(&session, &[("src/x", "x\n"), ("a", "better\n")]);
    bench.step(&session, &[("src/y", "y\n")]);
    bench.step(&session, &[("docs/z", "z\n")]);
    bench.done(&session, 0);
    // What conflicts elsewhere is in nobody's way.
    bench.git.commit(&[("a", "moved\n")]);
    let paths = ["src/".to_owned()];
    let wish = Wish { pick: Pick::Paths(&paths), ..SQUASH };
    let plan = bench.land(&session, &wish).plan.unwrap();
    assert!(!plan.is_all);
    assert_eq!(bench.git.git(&["show", "--format=", "--name-only"]), "src/x\nsrc/y");
    assert_eq!(bench.state(&session).phase, Phase::Done);
    let none = ["nowhere".to_owned()];
    let error = bench.refused(&session, &Wish { pick: Pick::Paths(&none), ..SQUASH });
    assert_eq!(error.to_string(), "nothing of add-7f3k was picked: it changed nothing at nowhere");
    for (list, error) in [
        ("4", "nothing of add-7f3k was picked: '4' is none of its 3 commits"),
        ("2-9", "nothing of add-7f3k was picked: '2-9' is none of its 3 commits"),
        ("main", "nothing of add-7f3k was picked: 'main' is none of its 3 commits"),
        (",", "nothing of add-7f3k was picked: no commit is named"),
    ] {
        let wish = Wish { pick: Pick::Commits(list), ..REBASE };
        assert_eq!(bench.refused(&session, &wish).to_string(), error);
    }
    let third = bench.tip("agent/add").to_string();
    let wish = Wish { pick: Pick::Commits(&third[..9]), ..REBASE };
    let plan = bench.land(&session, &wish).plan.unwrap();
    assert_eq!((plan.commits, plan.is_all), (1, false));
    assert_eq!(bench.git.git(&["show", "--format=", "--name-only"]), "docs/z");
    assert_eq!(bench.state(&session).phase, Phase::Done);
}

#[test]
fn l04_what_was_not_verified_as_it_lands_is_verified_first() {
    let bench = Bench::new();
    let session = bench.session("add", |spec| spec.verify = vec!["test ! -e bad".into()]);
    bench.step(&session, &[("a", "better\n")]);
    bench.done(&session, 0);
    bench.git.commit(&[("bad", "b\n")]);
    match bench.stopped(&session, &SQUASH) {
        LandError::Red { command, exit, .. } => {
            assert_eq!((command.as_str(), exit), ("test ! -e bad", 1));
        }
        other => panic!("{other}"),
    }
    bench.git.git(&["rm", "-q", "bad"]);
    bench.git.commit(&[("dir/b", "moved\n")]);
    let plan = bench.land(&session, &SQUASH).plan.unwrap();
    assert_eq!((plan.verified, plan.due), (true, None));
    let tree = bench.git.id("main^{tree}");
    let note = bench.git.git(&["notes", "--ref=agent", "show"]);
    assert!(note.ends_with(&format!("Verify-Exit: 0\nVerify-Tree: {tree}")), "{note}");
    bench.tidy();
}

#[test]
fn h08_the_hooks_of_the_user_are_run_and_followed() {
    let bench = Bench::new();
    bench.hook(
        "pre-commit",
        "test -e refuse && echo 'not so' && exit 1\n\
        test $(git diff --cached --name-only HEAD) = a || exit 2\n\
        echo formatted >a && git add a",
    );
    bench.hook("prepare-commit-msg", "echo \"Prepared: $2\" >>\"$1\"");
    bench.hook("commit-msg", "grep -q '^Do ' \"$1\" || exit 1\necho 'Change-Id: I7' >>\"$1\"");
    let session = bench.finished("add", &[("a", "better\n")]);
    let landed = bench.land(&session, &SQUASH);
    assert_eq!(bench.git.git(&["show", "main:a"]), "formatted");
    assert_eq!(fs::read_to_string(bench.git.root.join("a")).unwrap(), "formatted\n");
    let message = bench.git.git(&["log", "-1", "--format=%B"]);
    assert!(message.ends_with("Prepared: message\nChange-Id: I7"), "{message}");
    assert_eq!(landed.plan.unwrap().stat.files, 1);
    bench.tidy();

    let refused = bench.session("refused", |spec| spec.verify = vec!["grep -q done a".into()]);
    bench.step(&refused, &[("refuse", "r\n")]);
    bench.done(&refused, 0);
    assert_eq!(bench.stopped(&refused, &SQUASH).to_string(), "the hook pre-commit refused: not so");
    bench.hook("pre-commit", "git rm -q --cached refuse");
    let nothing = bench.stopped(&refused, &SQUASH).to_string();
    assert_eq!(nothing, "the hook pre-commit refused: it left nothing to commit");
    bench.land(&refused, &Wish { no_hooks: true, unverified: true, ..SQUASH });
    // What a hook changes is verified as it is then.
    bench.hook("pre-commit", "echo formatted >a && git add a");
    let checked = bench.session("checked", |spec| spec.verify = vec!["grep -q better a".into()]);
    bench.step(&checked, &[("a", "better\n"), ("more", "m\n")]);
    bench.done(&checked, 0);
    assert!(matches!(bench.stopped(&checked, &SQUASH), LandError::Red { exit: 1, .. }));
    // A fast-forward is no commit, and a rebase runs none, as with git.
    bench.hook("pre-commit", "exit 1");
    bench.land(&checked, &Wish { way: Way::FastForward, unverified: true, ..SQUASH });
}

#[test]
fn h02_hooks_are_those_of_the_users_checkout_and_not_what_a_session_made_of_them() {
    let bench = Bench::new();
    bench.git.commit(&[("hooks/commit-msg", "#!/bin/sh\necho 'By: the user' >>\"$1\"\n")]);
    let hook = bench.git.root.join("hooks/commit-msg");
    fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    bench.git.git(&["commit", "-qam", "executable"]);
    bench.git.git(&["config", "core.hooksPath", "hooks"]);
    let evil = "#!/bin/sh\necho 'By: an agent' >>\"$1\"\n";
    let session = bench.finished("add", &[("hooks/commit-msg", evil)]);
    bench.land(&session, &SQUASH);
    let message = bench.git.git(&["log", "-1", "--format=%B"]);
    assert!(message.ends_with("By: the user"), "{message}");
}

#[test]
fn a_target_that_moves_meanwhile_is_tried_again_on_top_three_times() {
    for (times, lands) in [(1, true), (3, true), (4, false)] {
        let bench = Bench::new();
        let moves = format!(
            "n=$(cat \"$GIT_DIR/../../moved\" 2>/dev/null || echo 0)\n\
             test $n -lt {times} || exit 0\n\
             echo $((n + 1)) >\"$GIT_DIR/../../moved\"\n\
             c=$(git commit-tree -p refs/heads/side -m more refs/heads/side^{{tree}})\n\
             git update-ref refs/heads/side $c"
        );
        bench.git.git(&["branch", "side"]);
        let session = bench.finished("add", &[("a", "better\n")]);
        bench.hook("pre-commit", &moves);
        let wish = Wish { into: Some("side"), ..SQUASH };
        let landed = land(&bench.repo(), &session, &wish);
        let subjects = bench.log("%s", "main..side");
        match landed {
            Ok(_) => assert_eq!(subjects, format!("{}Do add", "more\n".repeat(times))),
            Err(LandError::TargetMoved { .. }) => assert_eq!(subjects, "more\nmore\nmore\nmore"),
            Err(other) => panic!("{other}"),
        }
        assert_eq!(bench.state(&session).phase == Phase::Landed, lands);
        bench.tidy();
    }
}

#[test]
fn b04_a_landing_is_taken_back_only_from_where_it_left_the_branch() {
    let mut bench = Bench::new();
    let session = bench.finished("add", &[("a", "better\n"), ("new", "n\n")]);
    assert!(matches!(undo(&bench.repo(), &session).unwrap_err(), LandError::NoBackup(_)));
    let old = bench.tip("main");
    let landed = bench.land(&session, &SQUASH).commit;
    assert_eq!(bench.git.git(&["rev-parse", "refs/agent-backup/add-7f3k^"]), old.to_string());
    // A file that the user has changed since is in the way.
    let root = bench.git.root.clone();
    fs::write(root.join("a"), "mine\n").unwrap();
    assert!(matches!(undo(&bench.repo(), &session).unwrap_err(), LandError::InTheWay { .. }));
    assert_eq!(bench.tip("main"), landed);
    fs::write(root.join("a"), "better\n").unwrap();
    write(&root, &[("dir/b", "mine\n")]);
    let undone = undo(&bench.repo(), &session).unwrap();
    assert_eq!((undone.commit, undone.landed), (old, landed));
    assert_eq!((bench.tip("main"), root.join("new").exists()), (old, false));
    bench.dirt = " M dir/b".to_owned();
    assert_eq!(bench.git.git(&["status", "--porcelain"]), bench.dirt);
    bench.dirt = bench.status(&root);
    let state = bench.state(&session);
    assert_eq!(state.phase, Phase::Done);
    assert_eq!(state.reason, "its landing on main was undone");
    // Nothing is lost, and it may land again.
    bench.git.git(&["cat-file", "-e", &landed.to_string()]);
    bench.land(&session, &SQUASH);
    bench.git.git(&["commit", "-q", "--allow-empty", "-m", "more"]);
    let moved = undo(&bench.repo(), &session).unwrap_err();
    assert_eq!(moved.to_string(), "main has moved since add-7f3k landed");
    match moved {
        LandError::MovedSince { revert, .. } => {
            bench.git.git(&["revert", "--no-edit", &revert]);
            assert_eq!(bench.show("main:a"), "one");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn l03_what_a_session_resolves_lands_and_what_it_leaves_does_not() {
    let bench = Bench::new();
    let ten = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n";
    bench.git.commit(&[("ten", ten), ("other", "o\n")]);
    let session = bench.finished("add", &[("ten", &ten.replace('4', "four")), ("other", "mine\n")]);
    bench
        .git
        .commit(&[("ten", &ten.replace('4', "vier").replace("10", "zehn")), ("other", "o2\n")]);
    let files = |wish: &Wish<'_>| match land(&bench.repo(), &session, wish) {
        Err(LandError::Conflicts { files, .. }) => files,
        other => panic!("{other:?}"),
    };
    let found = files(&SQUASH);
    let mut resolution = Resolution::default();
    let tip = bench.repo().resolve_commit("main").unwrap();
    let words = resolution.tell(&bench.repo(), &session, ("main", tip), &found).unwrap();
    assert!(words.contains("main has:\n    vier\nyours has, from line 4:\n    four\n"), "{words}");
    // Untouched, and with markers in it, it still conflicts.
    let wish = Wish { resolution: Some(&resolution), ..SQUASH };
    assert_eq!(files(&wish).len(), 2);
    let marked = ten.replace('4', "<<<<<<< main\nvier\n=======\nfour\n>>>>>>> add");
    bench.step(&session, &[("ten", &marked), ("other", "o2 and mine\n")]);
    bench.done(&session, 0);
    assert_eq!(files(&wish).iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["ten"]);
    let both = ten.replace('4', "four, vier").replace("10", "zehn");
    bench.step(&session, &[("ten", &both)]);
    bench.done(&session, 0);
    bench.land(&session, &wish);
    assert_eq!(bench.show("main:ten"), both.trim_end());
    assert_eq!(bench.show("main:other"), "o2 and mine");
    assert_eq!(bench.git.git(&["log", "-1", "--format=%s"]), "Do add");
}

#[test]
fn l07_work_that_a_forge_has_squashed_has_landed() {
    let bench = Bench::new();
    let session = bench.finished("add", &[("a", "better\n")]);
    assert_eq!(acknowledge(&bench.repo(), &session).unwrap(), None);
    bench.git.git(&["merge", "-q", "--squash", "agent/add"]);
    bench.git.git(&["commit", "-qm", "Add it (#7)"]);
    let squash = bench.tip("main");
    bench.git.commit(&[("a", "best\n")]);
    let landed = acknowledge(&bench.repo(), &session).unwrap().unwrap();
    assert_eq!((landed.commit, landed.branch.as_str()), (squash, "refs/heads/main"));
    let state = bench.state(&session);
    assert_eq!(state.phase, Phase::Landed);
    assert_eq!(state.reason, format!("on main as {}", &squash.to_string()[..7]));
    assert_eq!(acknowledge(&bench.repo(), &session).unwrap(), None);
}

#[test]
fn what_has_landed_collides_with_nobody() {
    let bench = Bench::new();
    bench.git.commit(&[("a", "1\n2\n3\n")]);
    let one = bench.finished("one", &[("a", "1\ntwo\n3\n")]);
    let two = bench.finished("two", &[("a", "1\nzwei\n3\n")]);
    let look = |session: &Session| {
        forecast::look(&bench.repo(), &[(session.clone(), bench.state(session))]).unwrap()
    };
    let standing = || {
        let found = forecast::standing(&bench.repo(), &bench.store.list().unwrap().sessions);
        let mut found: Vec<_> = found.into_iter().map(|(id, it)| (id, it.collides)).collect();
        found.sort();
        found
    };
    look(&one);
    bench.land(&one, &SQUASH);
    assert_eq!(standing(), []);
    let forecast = look(&two);
    assert_eq!(forecast.targets.len(), 1);
    let (a, b) = ("two-7f3k".to_owned(), "main".to_owned());
    assert_eq!((&forecast.targets[0].a, &forecast.targets[0].b), (&a, &b));
    assert!(forecast.targets[0].conflict.is_some());
    assert_eq!(standing(), [(format!("refs/heads/{b}"), vec![a.clone()]), (a, vec![b])]);
}
