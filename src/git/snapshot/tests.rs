//! A snapshot's tree is the one `git add -A; git write-tree` makes of the same files.
//!
//! Invariant: git is asked with an index of its own, so the one under test is never touched.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use fs_err as fs;
use proptest::prelude::*;

use super::*;
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
        let repo = Repo::open(&self.root.join(".git")).unwrap();
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
    Take,
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
        3 => Just(Op::Take),
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
        Op::Take => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_take_is_what_git_add_would_make(ops in prop::collection::vec(op(), 1..30)) {
        let place = Place::new();
        place.write("a/b", "0\n");
        place.write("b/a/a.x", "1\n");
        place.write("keep", "2\n");
        place.commit();
        let mut snapshot = place.snapshot();
        for op in ops.iter().chain([&Op::Take]) {
            apply(&place, op);
            match op {
                Op::Take => {
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
