//! Worktrees as git sees them: made, listed, removed, and brought along.
//!
//! Invariant: after a refusal, everything is byte for byte as before.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::git::testing::{Fixture, environment};
use crate::git::{AddWorktree, Snapshot};

const BRANCH: &str = "refs/heads/agent/task";

fn add<'a>(fixture: &Fixture, path: &'a Path, branch: &'a str) -> AddWorktree<'a> {
    AddWorktree { path, branch, commit: fixture.id("HEAD"), create_branch: true }
}

/// All files, links and folders below, with modes and content; and all refs.
fn everything(fixture: &Fixture) -> Vec<(PathBuf, u32, Vec<u8>)> {
    fn walk(folder: &Path, into: &mut Vec<(PathBuf, u32, Vec<u8>)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let mode = meta.permissions().mode();
            if path.ends_with("worktree.lock") || path.ends_with(".git/agent") {
                continue;
            }
            if meta.is_dir() {
                into.push((path.clone(), mode, vec![]));
                walk(&path, into);
            } else if meta.is_symlink() {
                let to = fs::read_link(&path).unwrap();
                into.push((path, mode, to.as_os_str().as_bytes().to_vec()));
            } else {
                let content = fs::read(&path).unwrap();
                into.push((path, mode, content));
            }
        }
    }
    let mut all = Vec::new();
    walk(fixture.root.parent().unwrap(), &mut all);
    all.sort();
    all
}

fn rich(options: &[&str]) -> Fixture {
    let fixture = Fixture::with_commit(options);
    symlink("../a", fixture.root.join("dir/link")).unwrap();
    symlink("/nowhere", fixture.root.join("dangling")).unwrap();
    fixture.commit(&[("run.sh", "#!/bin/sh\n"), ("deep/er/file", "x\n"), (".gitignore", "*.o\n")]);
    let script = fixture.root.join("run.sh");
    fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    fixture.commit(&[]);
    fixture
}

/// What git says of the worktree: it must be as if git had made it.
fn assert_like_git(fixture: &Fixture, path: &Path) {
    assert_eq!(fixture.git_in(path, &["status", "--porcelain", "--branch"]), "## agent/task");
    assert_eq!(fixture.git_in(path, &["diff-index", "--cached", "HEAD"]), "");
    assert_eq!(fixture.git_in(path, &["write-tree"]), fixture.git(&["rev-parse", "HEAD^{tree}"]));
    fixture.fsck();
    let theirs = fixture.beside("theirs");
    fixture.git(&["worktree", "add", "-q", "--detach", theirs.to_str().unwrap()]);
    let diff =
        Cmd::new("diff").args(["-r", "--no-dereference", "-x", ".git"]).arg(path).arg(&theirs);
    assert_eq!(String::from_utf8_lossy(&diff.run().unwrap().stdout), "");
    let mode = |root: &Path| fs::metadata(root.join("run.sh")).unwrap().permissions().mode();
    assert_eq!(mode(path), mode(&theirs));
}

#[test]
fn a_worktree_is_as_git_makes_it_and_the_main_checkout_stays_as_it_was() {
    let fixture = rich(&[]);
    std::thread::sleep(std::time::Duration::from_millis(30));
    fixture.git(&["update-index", "--refresh"]);
    fs::write(fixture.root.join("a"), "changed here only\n").unwrap();
    fs::write(fixture.root.join("untracked"), "mine\n").unwrap();
    fixture.git(&["add", "a"]);
    let before = (fs::read(fixture.root.join(".git/index")).unwrap(), fixture.git(&["status"]));
    let path = fixture.beside("trees/one");
    let git_dir = fixture.repo().add_worktree(&add(&fixture, &path, BRANCH)).unwrap();
    assert_eq!(git_dir, fixture.root.join(".git/worktrees/one"));
    let after = (fs::read(fixture.root.join(".git/index")).unwrap(), fixture.git(&["status"]));
    assert_eq!(before, after);
    assert_like_git(&fixture, &path);
    assert_eq!(fixture.try_git(&path, &["config", "branch.agent/task.merge"]).exit, 1);
    let reflog = fixture.git_in(&path, &["reflog", "HEAD"]);
    assert!(reflog.contains("worktree add"), "{reflog}");
}

#[test]
fn every_kind_of_repository_can_have_one() {
    for options in [&["--object-format=sha256"][..], &["--ref-format=reftable"], &[]] {
        let fixture = rich(options);
        let path = fixture.beside("wt");
        fixture.repo().add_worktree(&add(&fixture, &path, BRANCH)).unwrap();
        assert_like_git(&fixture, &path);
    }
    let fixture = rich(&[]);
    let bare = fixture.beside("bare.git");
    fixture.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    let repo = fixture.repo_at(&bare, &[]);
    let path = fixture.beside("of-bare");
    repo.add_worktree(&add(&fixture, &path, BRANCH)).unwrap();
    assert_eq!(fixture.git_in(&path, &["status", "--porcelain", "--branch"]), "## agent/task");
}

#[test]
fn a_sparse_parent_makes_a_sparse_worktree_and_snapshots_keep_the_rest() {
    let fixture = rich(&[]);
    fixture.git(&["sparse-checkout", "set", "deep"]);
    let path = fixture.beside("wt");
    let git_dir = fixture.repo().add_worktree(&add(&fixture, &path, BRANCH)).unwrap();
    assert!(!path.join("dir").exists() && path.join("deep/er/file").exists());
    let repo = fixture.repo_at(&path, &[]);
    assert_eq!(repo.git_dir(), git_dir);
    let tree = fixture.id("HEAD^{tree}");
    let mut snapshot = Snapshot::open(&repo, tree, 1 << 20).unwrap();
    let changed = crate::file::Changed::Anything;
    assert_eq!(snapshot.take(&changed).unwrap().tree, tree);
    fs::write(path.join("deep/er/file"), "y\n").unwrap();
    let taken = snapshot.take(&changed).unwrap();
    assert_eq!(taken.changes.len(), 1);
    snapshot.refresh_worktree_index().unwrap();
    assert_eq!(fixture.git_in(&path, &["write-tree"]), taken.tree.to_string());
    assert_eq!(fixture.git_in(&path, &["ls-files", "-t", "dir/b"]), "S dir/b");
}

#[test]
fn content_goes_through_filters_and_is_never_copied_past_them() {
    let fixture = Fixture::new(&[]);
    fixture.git(&["config", "filter.up.smudge", "tr a-z A-Z"]);
    fixture.git(&["config", "filter.up.clean", "tr A-Z a-z"]);
    fixture.commit(&[
        (".gitattributes", "*.up filter=up\n*.crlf eol=crlf\n*.id ident\n* text=auto\n"),
        ("a.up", "quiet\n"),
        ("b.crlf", "one\ntwo\n"),
        ("c.id", "$Id$\n"),
        ("d", "plain\n"),
        ("run.sh", "x\n"),
    ]);
    fixture.git(&["checkout", "-q", "-f", "HEAD", "--", "."]);
    let path = fixture.beside("wt");
    fixture.repo().add_worktree(&add(&fixture, &path, BRANCH)).unwrap();
    assert_eq!(fs::read(path.join("a.up")).unwrap(), b"QUIET\n");
    assert_eq!(fs::read(path.join("b.crlf")).unwrap(), b"one\r\ntwo\r\n");
    assert_like_git(&fixture, &path);
}

#[test]
fn whatever_fails_leaves_nothing_behind() {
    let fixture = rich(&[]);
    fixture.commit(&[(".gitattributes", "deep/er/* filter=must\n")]);
    fixture.git(&["config", "filter.must.required", "true"]);
    fixture.git(&["config", "filter.must.smudge", "false"]);
    let before = everything(&fixture);
    let path = fixture.beside("new/parents/wt");
    let error = fixture.repo().add_worktree(&add(&fixture, &path, BRANCH)).unwrap_err();
    assert!(matches!(error, WorktreeError::Filter { path, .. } if path == "deep/er/file"));
    assert_eq!(everything(&fixture), before);
    fixture.git(&["config", "filter.must.process", "false"]);
    let before = everything(&fixture);
    let error = fixture.repo().add_worktree(&add(&fixture, &path, BRANCH)).unwrap_err();
    assert!(matches!(error, WorktreeError::Git(_)), "{error}");
    let after: Vec<_> = everything(&fixture);
    assert_eq!(after, before);
}

#[test]
fn what_is_in_the_way_is_refused_and_kept() {
    let fixture = rich(&[]);
    let repo = fixture.repo();
    let taken = fixture.beside("taken");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("mine"), "x").unwrap();
    symlink(fixture.beside("elsewhere"), fixture.root.join("trees")).unwrap();
    fs::create_dir(fixture.beside("elsewhere")).unwrap();
    fixture.git(&["branch", "agent/there"]);
    let before = everything(&fixture);
    let refused =
        |path: &Path, branch| repo.add_worktree(&add(&fixture, path, branch)).unwrap_err();
    let free = fixture.beside("free");
    assert!(matches!(refused(&taken, BRANCH), WorktreeError::PathExists(path) if path == taken));
    let through = refused(&fixture.root.join("trees/wt"), BRANCH);
    let link = fixture.root.join("trees");
    assert!(matches!(through, WorktreeError::PathThroughLink(path) if path == link));
    assert!(matches!(refused(Path::new("rel"), BRANCH), WorktreeError::BadPath(_)));
    let there = refused(&free, "refs/heads/agent/there");
    assert!(matches!(there, WorktreeError::BranchExists(_)));
    let main = AddWorktree { create_branch: false, ..add(&fixture, &free, "refs/heads/main") };
    let main = repo.add_worktree(&main).unwrap_err();
    assert!(matches!(main, WorktreeError::BranchCheckedOut { at, .. } if at == fixture.root));
    let gone = AddWorktree { create_branch: false, ..add(&fixture, &free, BRANCH) };
    let gone = repo.add_worktree(&gone).unwrap_err();
    assert!(matches!(gone, WorktreeError::BranchMoved { .. }));
    assert_eq!(everything(&fixture), before);
}

#[test]
fn sixteen_at_once_all_succeed() {
    let fixture = rich(&[]);
    std::thread::scope(|scope| {
        for number in 0..16 {
            let fixture = &fixture;
            scope.spawn(move || {
                let path = fixture.beside(&format!("at-once/{number}"));
                let branch = format!("refs/heads/agent/{number}");
                fixture.repo().add_worktree(&add(fixture, &path, &branch)).unwrap();
            });
        }
    });
    let list = fixture.git(&["worktree", "list", "--porcelain"]);
    assert_eq!(list.matches("branch refs/heads/agent/").count(), 16);
    assert_eq!(list.matches("locked").count(), 0);
}

#[test]
fn the_list_tells_missing_locked_and_broken_ones() {
    let fixture = rich(&[]);
    let repo = fixture.repo();
    for name in ["well", "missing", "locked", "emptied", "swapped"] {
        let branch = format!("refs/heads/agent/{name}");
        repo.add_worktree(&add(&fixture, &fixture.beside(name), &branch)).unwrap();
    }
    fixture.git(&[
        "worktree",
        "lock",
        "--reason",
        "mine",
        fixture.beside("locked").to_str().unwrap(),
    ]);
    for name in ["missing", "emptied", "swapped"] {
        fs::remove_dir_all(fixture.beside(name)).unwrap();
    }
    fs::create_dir(fixture.beside("emptied")).unwrap();
    fixture.git(&["clone", "-q", ".", fixture.beside("swapped").to_str().unwrap()]);
    fs::create_dir(fixture.root.join(".git/worktrees/corrupt")).unwrap();
    let list = repo.worktrees().unwrap();
    let told: Vec<_> = list
        .iter()
        .map(|entry| (&*entry.id, entry.missing, entry.locked.as_deref(), entry.broken.is_some()))
        .collect();
    let expected = [
        ("", false, None, false),
        ("corrupt", false, None, true),
        ("emptied", false, None, true),
        ("locked", false, Some("mine"), false),
        ("missing", true, None, false),
        ("swapped", false, None, true),
        ("well", false, None, false),
    ];
    assert_eq!(told, expected);
    assert_eq!(list[6].branch.as_deref(), Some("refs/heads/agent/well"));
    assert_eq!((list[6].head, list[0].main), (Some(fixture.id("HEAD")), true));
}

#[test]
fn removal_takes_this_one_and_no_other() {
    let fixture = rich(&[]);
    let repo = fixture.repo();
    let (one, two) = (fixture.beside("one"), fixture.beside("two"));
    repo.add_worktree(&add(&fixture, &one, BRANCH)).unwrap();
    repo.add_worktree(&add(&fixture, &two, "refs/heads/agent/two")).unwrap();
    fs::remove_dir_all(&two).unwrap();
    let outside = fixture.beside("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "x").unwrap();
    symlink(&outside, one.join("link")).unwrap();
    let remove =
        |path, id| repo.remove_worktree(&RemoveWorktree { path, id, with_submodules: false });
    let before = everything(&fixture);
    assert!(matches!(remove(&one, "two"), Err(WorktreeError::Mismatch { .. })));
    assert!(matches!(remove(&outside, "one"), Err(WorktreeError::Mismatch { .. })));
    assert!(matches!(remove(&fixture.root, "one"), Err(WorktreeError::Main(_))));
    assert!(matches!(remove(&one, "nobody"), Err(WorktreeError::NotRegistered(_))));
    assert_eq!(everything(&fixture), before);
    fixture.git(&["worktree", "lock", one.to_str().unwrap()]);
    assert!(matches!(remove(&one, "one"), Err(WorktreeError::Locked { .. })));
    fixture.git(&["worktree", "unlock", one.to_str().unwrap()]);
    let trash = remove(&one, "one").unwrap();
    let set_aside = trash.path().unwrap().to_owned();
    assert!(!one.exists() && set_aside.join("a").exists());
    trash.purge().unwrap();
    for _ in 0..200 {
        if !set_aside.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(!set_aside.exists() && outside.join("kept").exists());
    assert_eq!(fixture.git(&["rev-parse", BRANCH]), fixture.git(&["rev-parse", "HEAD"]));
    let ids: Vec<_> = repo.worktrees().unwrap().into_iter().map(|entry| entry.id).collect();
    assert_eq!(ids, ["", "two"]);
    assert!(remove(&two, "two").unwrap().path().is_none());
    let again = AddWorktree { create_branch: false, ..add(&fixture, &one, BRANCH) };
    repo.add_worktree(&again).unwrap();
    assert_like_git(&fixture, &one);
}

#[test]
fn a_checkout_follows_its_branch_and_keeps_what_is_not_concerned() {
    let fixture = rich(&[]);
    let old = fixture.id("HEAD^{tree}");
    fs::remove_file(fixture.root.join("dir/b")).unwrap();
    fixture.commit(&[("deep/er/file", "new\n"), ("fresh/x", "new\n"), ("dir/b/c", "now below\n")]);
    let (new, tip) = (fixture.id("HEAD^{tree}"), fixture.git(&["rev-parse", "HEAD"]));
    fixture.git(&["reset", "-q", "--hard", "HEAD~1"]);
    fs::write(fixture.root.join("a"), "staged\n").unwrap();
    fixture.git(&["add", "a"]);
    fs::write(fixture.root.join("a"), "and more\n").unwrap();
    fs::write(fixture.root.join("note"), "untracked\n").unwrap();
    let staged = fixture.git(&["diff", "--cached"]);
    let repo = fixture.repo();
    fs::write(fixture.root.join("deep/er/file"), "mine\n").unwrap();
    fs::create_dir(fixture.root.join("fresh")).unwrap();
    fs::write(fixture.root.join("fresh/x"), "mine too\n").unwrap();
    let status = fixture.git(&["status", "--porcelain"]);
    let before = everything(&fixture);
    let error = repo.update_checkout(old, new).unwrap_err();
    let WorktreeError::Dirty { paths, .. } = error else { panic!("{error}") };
    assert_eq!(paths, ["deep/er/file", "fresh/x"]);
    assert_eq!(fixture.git(&["status", "--porcelain"]), status);
    assert_eq!(everything(&fixture), before);
    fs::write(fixture.root.join("deep/er/file"), "x\n").unwrap();
    fs::remove_dir_all(fixture.root.join("fresh")).unwrap();
    repo.update_checkout(old, new).unwrap();
    fixture.git(&["update-ref", "HEAD", &tip]);
    assert_eq!(fixture.git(&["status", "--porcelain"]), "MM a\n?? note");
    assert_eq!(fixture.git(&["diff", "--cached"]), staged);
    assert_eq!(fs::read(fixture.root.join("dir/b/c")).unwrap(), b"now below\n");
    fixture.fsck();
}

#[test]
fn what_changes_in_a_new_worktree_within_a_tick_of_its_clock_is_found() {
    let fixture = rich(&[]);
    let path = fixture.beside("wt");
    let git_dir = fixture.repo().add_worktree(&add(&fixture, &path, BRANCH)).unwrap();
    let content = fs::read(path.join("a")).unwrap();
    fs::write(path.join("a"), content.to_ascii_uppercase()).unwrap();
    let repo = Repo::open_in(&git_dir, None, environment(&[])).unwrap();
    let mut snapshot = Snapshot::open(&repo, fixture.id("HEAD^{tree}"), 1 << 20).unwrap();
    let taken = snapshot.take(&crate::file::Changed::Anything).unwrap();
    assert_eq!(fixture.git_in(&path, &["diff-files", "--name-only"]), "a");
    fixture.git_in(&path, &["add", "-A"]);
    assert_eq!(taken.tree.to_string(), fixture.git_in(&path, &["write-tree"]));
    // Nobody reads what has been at rest for a tick.
    std::thread::sleep(std::time::Duration::from_millis(25));
    snapshot.take(&crate::file::Changed::Anything).unwrap();
    assert_eq!(snapshot.suspects().unwrap(), Vec::<BString>::new());
}
