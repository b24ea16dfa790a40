//! A snapshot's tree is the one `git add -A; git write-tree` makes of the same files.
//!
//! Invariant: git is asked with an index of its own, so the one under test is never touched.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use fs_err as fs;
use gix::bstr::ByteSlice;
use proptest::prelude::*;

use super::*;
use crate::git::testing::environment;
use crate::process::Cmd;

const LIMIT: u64 = 1 << 20;

struct Place {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap().join("a dépôt");
        fs::create_dir(&root).unwrap();
        let place = Self { _folder: folder, root };
        place.git(&["init", "-q", "-b", "main"]);
        place.git(&["config", "user.name", "Ada"]);
        place.git(&["config", "user.email", "ada@example.org"]);
        place
    }

    fn cmd(&self, args: &[&str]) -> Cmd {
        Cmd::new("git")
            .args(args)
            .dir(&self.root)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", "/nonexistent")
    }

    fn run(&self, cmd: &Cmd) -> String {
        let done = cmd.run().unwrap();
        assert_eq!(done.exit, 0, "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
    }

    fn git(&self, args: &[&str]) -> String {
        self.run(&self.cmd(args))
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "a commit"]);
    }

    fn id(&self, rev: &str) -> ObjectId {
        ObjectId::from_hex(self.git(&["rev-parse", rev]).as_bytes()).unwrap()
    }

    fn snapshot(&self) -> Snapshot {
        let repo = Repo::open_in(&self.root.join(".git"), None, environment(&[])).unwrap();
        Snapshot::open(&repo, self.id("HEAD^{tree}"), LIMIT).unwrap()
    }

    /// What git itself makes of the files, starting from `tree`.
    fn expected(&self, tree: ObjectId) -> ObjectId {
        let index = self.root.join(".git/expected-index");
        let git = |args: &[&str]| self.run(&self.cmd(args).env("GIT_INDEX_FILE", &index));
        git(&["read-tree", &tree.to_string()]);
        git(&["-c", "advice.addEmbeddedRepo=false", "add", "-A"]);
        let tree = git(&["write-tree"]);
        fs::remove_file(&index).unwrap();
        ObjectId::from_hex(tree.as_bytes()).unwrap()
    }
}

fn change(path: &str, kind: ChangeKind) -> Change {
    Change { path: path.into(), kind }
}

#[derive(Clone, Debug)]
enum Op {
    Write(String, u8),
    Remove(String),
    Exec(String, bool),
    Link(String, u8),
    Folder(String),
    Move(String, String),
    Ignore(String, u8),
    Take(bool),
    Known(String, u8),
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "a.x", "c-d", "keep"]), 1..4)
        .prop_map(|parts| parts.join("/"))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (path(), any::<u8>()).prop_map(|(path, content)| Op::Write(path, content)),
        2 => path().prop_map(Op::Remove),
        1 => (path(), any::<bool>()).prop_map(|(path, on)| Op::Exec(path, on)),
        1 => (path(), any::<u8>()).prop_map(|(path, to)| Op::Link(path, to)),
        1 => path().prop_map(Op::Folder),
        2 => (path(), path()).prop_map(|(from, to)| Op::Move(from, to)),
        2 => (path(), any::<u8>()).prop_map(|(path, rule)| Op::Ignore(path, rule)),
        3 => any::<bool>().prop_map(Op::Take),
        2 => (path(), any::<u8>()).prop_map(|(path, content)| Op::Known(path, content)),
    ]
}

fn remove_any(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
        fs::remove_dir_all(path).unwrap();
    } else if fs::symlink_metadata(path).is_ok() {
        fs::remove_file(path).unwrap();
    }
}

/// Makes room for `path`: whatever stands there or on the way as a file goes.
fn clear(root: &Path, path: &str) -> PathBuf {
    let full = root.join(path);
    let mut at = root.to_owned();
    for part in Path::new(path).parent().unwrap().components() {
        at.push(part);
        if !fs::symlink_metadata(&at).is_ok_and(|meta| meta.is_dir()) {
            remove_any(&at);
            fs::create_dir(&at).unwrap();
        }
    }
    remove_any(&full);
    full
}

const RULES: [&str; 8] =
    ["a.x\n", "b/\n", "/c-d\n!keep\n", "*\n!.gitignore\n", "**/a\n", "", "!a.x\n!b\n", "a/b\n"];

fn apply(place: &Place, op: &Op) {
    let root = &place.root;
    match op {
        Op::Write(path, content) | Op::Known(path, content) => {
            fs::write(clear(root, path), format!("{}\n", content % 4)).unwrap();
        }
        Op::Remove(path) => remove_any(&root.join(path)),
        Op::Exec(path, on) => {
            let path = root.join(path);
            if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file()) {
                let mode = if *on { 0o755 } else { 0o644 };
                fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        Op::Link(path, to) => {
            symlink(["a", "..", "/etc", "nowhere"][usize::from(to % 4)], clear(root, path))
                .unwrap();
        }
        Op::Folder(path) => fs::create_dir(clear(root, path)).unwrap(),
        Op::Move(from, to) => {
            let there = fs::symlink_metadata(root.join(from)).is_ok();
            if there && !to.starts_with(from.as_str()) && !from.starts_with(to.as_str()) {
                let to = clear(root, to);
                if fs::symlink_metadata(root.join(from)).is_ok() {
                    fs::rename(root.join(from), to).unwrap();
                }
            }
        }
        Op::Ignore(path, rule) => {
            let path = Path::new(path).parent().unwrap().join(".gitignore");
            let rule = RULES[usize::from(*rule) % RULES.len()];
            fs::write(clear(root, path.to_str().unwrap()), rule).unwrap();
        }
        Op::Take(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_take_is_what_git_add_would_make(ops in prop::collection::vec(op(), 1..30)) {
        let place = Place::new();
        place.write("a/b", "0\n");
        place.write("b/a/a.x", "1\n");
        place.write("keep", "2\n");
        place.commit();
        let mut snapshot = place.snapshot();
        for op in ops.iter().chain([&Op::Take(false)]) {
            apply(&place, op);
            match op {
                Op::Take(at_rest) => {
                    if *at_rest {
                        // Past the clock tick within which folders and files are not trusted.
                        std::thread::sleep(std::time::Duration::from_millis(25));
                    }
                    let expected = place.expected(snapshot.tree());
                    let before = snapshot.tree();
                    let taken = snapshot.take(&Changed::Anything).unwrap();
                    prop_assert_eq!(taken.tree, expected);
                    prop_assert_eq!(taken.changes.is_empty(), before == taken.tree);
                }
                Op::Known(path, _) => {
                    // Only what is known to have changed is taken; the scan later adds the rest.
                    snapshot.take(&Changed::Paths(vec![path.into()])).unwrap();
                }
                _ => {}
            }
        }
    }
}

#[test]
fn known_paths_are_taken_and_nothing_else() {
    let place = Place::new();
    place.write("a", "1\n");
    place.write("folder/x", "1\n");
    place.write("folder/y", "1\n");
    place.write("other", "1\n");
    place.commit();
    let mut snapshot = place.snapshot();
    snapshot.take(&Changed::Anything).unwrap();
    place.write("a", "2\n");
    place.write("new/deep/file", "3\n");
    place.write("other", "unseen\n");
    fs::remove_dir_all(place.root.join("folder")).unwrap();
    place.write("folder", "now a file\n");
    let paths = ["./a", "new/deep", "folder", "../outside", "absent"].map(PathBuf::from);
    let taken = snapshot.take(&Changed::Paths(paths.to_vec())).unwrap();
    let expected = vec![
        change("a", ChangeKind::Modified),
        change("folder", ChangeKind::Added),
        change("folder/x", ChangeKind::Deleted),
        change("folder/y", ChangeKind::Deleted),
        change("new/deep/file", ChangeKind::Added),
    ];
    assert_eq!(taken, Taken { tree: taken.tree, changes: expected, left_out: vec![] });
    place.write("other", "1\n");
    assert_eq!(taken.tree, place.expected(taken.tree));
}

/// `git status` and the staged diff against `tree`, asked with the worktree's own index.
fn status(place: &Place, tree: ObjectId) -> String {
    let status = place.git(&["--no-optional-locks", "status", "--porcelain", "--no-ahead-behind"]);
    let staged = place.cmd(&["diff-index", "--cached", "--name-status", &tree.to_string()]);
    status + &place.run(&staged)
}

#[test]
fn after_a_refresh_git_sees_nothing_to_do() {
    let place = Place::new();
    place.write("a", "1\n");
    place.write("a-b", "1\n");
    place.write("a.d/x", "1\n");
    place.write(&format!("long/{}", "n".repeat(200)), "1\n");
    place.commit();
    fs::remove_file(place.root.join("a")).unwrap();
    place.write("a/b/c", "2\n");
    symlink("nowhere", place.root.join("link")).unwrap();
    let mut snapshot = place.snapshot();
    let tree = snapshot.take(&Changed::Anything).unwrap().tree;
    snapshot.refresh_worktree_index().unwrap();
    let commit = place.git(&["commit-tree", "-m", "step", &tree.to_string()]);
    place.git(&["update-ref", "HEAD", &commit]);
    assert_eq!(status(&place, tree), "");
    assert_eq!(place.git(&["write-tree"]), tree.to_string());
    place.git(&["fsck", "--strict"]);
    place.write("a/b/c", "3\n");
    assert_eq!(place.git(&["status", "--porcelain"]), " M a/b/c");
}

#[test]
fn a_locked_index_is_named_and_kept() {
    let place = Place::new();
    place.commit();
    let snapshot = place.snapshot();
    let lock = place.root.join(".git/index.lock");
    fs::write(&lock, "theirs").unwrap();
    let error = snapshot.refresh_worktree_index().unwrap_err();
    assert!(matches!(error, SnapshotError::IndexLocked(path) if path == lock));
    assert_eq!(fs::read(&lock).unwrap(), b"theirs");
}

#[test]
fn what_is_left_out_is_said_each_time_and_the_old_version_stays() {
    let place = Place::new();
    place.write("big", "small\n");
    place.write("kept/x", "1\n");
    place.commit();
    let before = place.id("HEAD^{tree}");
    let mut snapshot = place.snapshot();
    place.write("big", vec![b'x'; LIMIT as usize + 1]);
    place.write("new/large", vec![b'x'; LIMIT as usize + 2]);
    place.write("GIT~1/x", "1\n");
    place.git(&["init", "-q", "nested"]);
    place.write("nested/work", "1\n");
    let pipe = place.root.join("kept/pipe");
    assert_eq!(Cmd::new("mkfifo").arg(&pipe).run().unwrap().exit, 0);
    let left_out = vec![
        LeftOut { path: "GIT~1".into(), why: Why::Name },
        LeftOut { path: "big".into(), why: Why::TooLarge(LIMIT + 1) },
        LeftOut { path: "kept/pipe".into(), why: Why::Special },
        LeftOut { path: "nested".into(), why: Why::Repository },
        LeftOut { path: "new/large".into(), why: Why::TooLarge(LIMIT + 2) },
    ];
    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(25));
        let taken = snapshot.take(&Changed::Anything).unwrap();
        assert_eq!(taken, Taken { tree: before, changes: vec![], left_out: left_out.clone() });
    }
    let known = Changed::Paths(vec!["nested/work".into()]);
    assert_eq!(snapshot.take(&known).unwrap().left_out, left_out[3..4]);
}

#[test]
fn a_write_within_the_tick_of_the_last_look_is_found() {
    let place = Place::new();
    place.write("a", "0\n");
    place.commit();
    let mut snapshot = place.snapshot();
    for round in 0..50 {
        place.write("a", format!("{}\n", round % 10));
        let tree = snapshot.take(&Changed::Anything).unwrap().tree;
        assert_eq!(tree, place.expected(tree), "round {round}");
    }
}

#[test]
fn flags_in_the_index_do_not_hide_what_is_on_disk() {
    let place = Place::new();
    place.write("assumed", "1\n");
    place.write("skipped", "1\n");
    place.write("absent", "1\n");
    place.commit();
    place.git(&["update-index", "--assume-unchanged", "assumed"]);
    place.git(&["update-index", "--skip-worktree", "skipped", "absent"]);
    place.write("assumed", "2\n");
    place.write("skipped", "2\n");
    place.write("intended", "2\n");
    place.git(&["add", "-N", "intended"]);
    fs::remove_file(place.root.join("absent")).unwrap();
    let index = fs::read(place.root.join(".git/index")).unwrap();
    let mut snapshot = place.snapshot();
    let taken = snapshot.take(&Changed::Anything).unwrap();
    let expected = vec![
        change("assumed", ChangeKind::Modified),
        change("intended", ChangeKind::Added),
        change("skipped", ChangeKind::Modified),
    ];
    assert_eq!(taken.changes, expected);
    assert_eq!(fs::read(place.root.join(".git/index")).unwrap(), index);
    assert_eq!(place.git(&["rev-parse", &format!("{}:absent", taken.tree)]).len(), 40);
    snapshot.refresh_worktree_index().unwrap();
    assert_eq!(place.git(&["ls-files", "-t", "absent"]), "S absent");
}

#[test]
fn filters_are_applied_and_a_missing_one_stops_the_take() {
    let place = Place::new();
    place.git(&["config", "filter.up.clean", "tr a-z A-Z"]);
    place.git(&["config", "filter.broken.clean", "false"]);
    place.write(
        ".gitattributes",
        "*.up filter=up\n*.crlf text eol=crlf\n*.id ident\n*.w working-tree-encoding=UTF-16LE\n",
    );
    place.write("x.up", "shout\n");
    place.commit();
    let mut snapshot = place.snapshot();
    place.write("x.up", "louder\n");
    place.write("new.crlf", "one\r\ntwo\r\n");
    place.write("new.id", "$Id: 0123456789 $\n");
    place.write("new.w", "h\0i\0");
    let taken = snapshot.take(&Changed::Anything).unwrap();
    assert_eq!(taken.tree, place.expected(taken.tree));
    assert_eq!(place.git(&["show", &format!("{}:x.up", taken.tree)]), "LOUDER");
    place.write("sub/.gitattributes", "*.bin filter=lfs\n");
    place.write("sub/raw.bin", "raw\n");
    place.write("x.up", "louder\n");
    let error = snapshot.take(&Changed::Anything).unwrap_err();
    assert_eq!(error.to_string(), "sub/raw.bin needs the filter lfs, which is not configured");
    place.write("sub/.gitattributes", "*.bin filter=broken\n");
    let error = snapshot.take(&Changed::Paths(vec![])).unwrap_err();
    assert!(matches!(error, SnapshotError::Filter { path, .. } if path == "sub/raw.bin"));
    fs::remove_dir_all(place.root.join("sub")).unwrap();
    assert_eq!(snapshot.take(&Changed::Nothing).unwrap().tree, taken.tree);
}

#[test]
fn names_that_are_not_utf8_and_unreadable_files() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    place.commit();
    let mut snapshot = place.snapshot();
    let odd = place.root.join(std::ffi::OsStr::from_bytes(b"\xff\n\t\"x"));
    fs::write(&odd, "1\n").unwrap();
    let taken = snapshot.take(&Changed::Anything).unwrap();
    assert_eq!(taken.tree, place.expected(taken.tree));
    assert_eq!(taken.changes[0].path, b"\xff\n\t\"x".as_bstr());
    if rustix::process::geteuid().is_root() {
        return; // Everything is readable to root.
    }
    place.write("secret", "1\n");
    fs::set_permissions(place.root.join("secret"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let error = snapshot.take(&Changed::Anything).unwrap_err();
    assert!(matches!(error, SnapshotError::Unreadable { path, .. } if path == "secret"));
}

#[test]
fn a_submodule_keeps_its_commit_and_its_move_is_said() {
    let (outer, inner) = (Place::new(), Place::new());
    inner.write("a", "1\n");
    inner.commit();
    let source = inner.root.to_str().unwrap();
    let add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", source, "sub"];
    outer.git(&add);
    outer.commit();
    let mut snapshot = outer.snapshot();
    let before = snapshot.take(&Changed::Anything).unwrap();
    assert_eq!(before.left_out, vec![]);
    let who = ["-c", "user.name=x", "-c", "user.email=x"];
    outer.git(&[&["-C", "sub"][..], &who, &["commit", "-q", "--allow-empty", "-m", "x"]].concat());
    let moved = outer.git(&["-C", "sub", "rev-parse", "HEAD"]);
    let why = Why::Submodule(ObjectId::from_hex(moved.as_bytes()).unwrap());
    let left_out = vec![LeftOut { path: "sub".into(), why }];
    for changed in [Changed::Anything, Changed::Paths(vec!["sub/a".into()])] {
        let taken = snapshot.take(&changed).unwrap();
        assert_eq!((taken.tree, taken.changes), (before.tree, vec![]));
        assert_eq!(taken.left_out, left_out);
    }
}

#[test]
fn a_link_in_place_of_a_folder_is_a_link_and_not_followed() {
    let place = Place::new();
    place.write("in/x", "1\n");
    place.commit();
    let mut snapshot = place.snapshot();
    snapshot.take(&Changed::Anything).unwrap();
    let outside = place.root.parent().unwrap().join("outside");
    fs::rename(place.root.join("in"), &outside).unwrap();
    symlink(&outside, place.root.join("in")).unwrap();
    let taken = snapshot.take(&Changed::Paths(vec!["in/x".into()])).unwrap();
    let expected = vec![change("in", ChangeKind::Added), change("in/x", ChangeKind::Deleted)];
    assert_eq!((taken.changes, taken.tree), (expected, place.expected(taken.tree)));
}

#[test]
fn a_folder_left_empty_is_watched_for_what_comes_into_it() {
    let place = Place::new();
    for path in ["file", "folder/x", "deep/er/x", "other/x"] {
        place.write(path, "1\n");
    }
    place.commit();
    let mut snapshot = place.snapshot();
    let mut take = || {
        std::thread::sleep(std::time::Duration::from_millis(25));
        snapshot.take(&Changed::Anything).unwrap().tree
    };
    take();
    fs::remove_file(place.root.join("file")).unwrap();
    fs::create_dir(place.root.join("file")).unwrap();
    fs::create_dir_all(place.root.join("new/empty")).unwrap();
    fs::remove_file(place.root.join("folder/x")).unwrap();
    fs::remove_file(place.root.join("deep/er/x")).unwrap();
    for _ in 0..2 {
        let tree = take();
        assert_eq!(place.git(&["ls-tree", "--name-only", &tree.to_string()]), "other");
    }
    for path in ["file/y", "folder/y", "deep/er/y", "new/empty/y"] {
        place.write(path, "2\n");
    }
    let tree = take();
    assert_eq!(tree, place.expected(tree));
}

#[test]
fn a_pointer_that_no_filter_replaced_is_taken_as_it_is_until_it_changes() {
    let place = Place::new();
    place.write(".gitattributes", "*.bin filter=lfs\n");
    place.write("x.bin", "version https://git-lfs.github.com/spec/v1\n");
    place.commit();
    let mut snapshot = place.snapshot();
    place.write("x.bin", "version https://git-lfs.github.com/spec/v1\n");
    assert_eq!(snapshot.take(&Changed::Anything).unwrap().changes, vec![]);
    place.write("x.bin", "content\n");
    let error = snapshot.take(&Changed::Anything).unwrap_err();
    assert_eq!(error.to_string(), "x.bin needs the filter lfs, which is not configured");
}
