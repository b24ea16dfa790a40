//! One short session from `start` to landing and back, to be tried in many places.
//!
//! Invariant: it does the same work everywhere, and compares all that belongs to the user.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::cmd::{Cmd, Out};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Server, Turn};

/// How the program is started with these arguments.
pub(super) type Launch<'a> = &'a dyn Fn(&Repo, &[&str]) -> Cmd;

/// A place to try it in.
pub(super) struct Journey<'a> {
    /// The repository.
    pub(super) repo: Repo,
    /// How the program is started.
    pub(super) launch: Launch<'a>,
    /// What becomes of its landing.
    pub(super) landing: Landing,
    /// Where the worktree has to be, seen from the folder of the test.
    pub(super) worktree: &'static str,
}

/// What becomes of a landing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landing {
    /// On the branch that the session started from.
    Lands(&'static str),
    /// On another branch, which has to be named.
    Into(&'static str),
    /// This file of the user's is in the way.
    Refused(&'static str),
}

/// The name of the session.
const NAME: &str = "open-a-shop";

/// What one file, folder or link is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// Content, and whether it can be executed.
    File(Vec<u8>, bool),
    /// Where it points.
    Link(PathBuf),
    /// Neither a file nor a link nor a folder.
    Special,
}

/// All that belongs to the user: nothing of it may a session touch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Untouched {
    files: BTreeMap<PathBuf, Node>,
    status: Option<String>,
    state: Vec<(PathBuf, Option<Vec<u8>>)>,
    refs: Vec<String>,
}

impl Untouched {
    /// How it is now.
    pub(super) fn of(repo: &Repo) -> Self {
        let bare = repo.home().git(repo.main(), &["rev-parse", "--is-bare-repository"]) == "true";
        let git_dir = PathBuf::from(repo.git(&["rev-parse", "--absolute-git-dir"]));
        let common = repo.common_dir();
        let mut state = Vec::new();
        for file in ["index", "HEAD", "ORIG_HEAD", "logs/HEAD", "config.worktree", "MERGE_MSG"] {
            state.push(git_dir.join(file));
            state.push(common.join(file));
        }
        state.extend(["config", "refs/stash", "logs/refs/stash"].map(|file| common.join(file)));
        let read = |path: PathBuf| (path.clone(), fs::read(path).ok());
        let refs = repo.git(&["for-each-ref", "--format=%(refname) %(objectname)"]);
        let ours = ["refs/agent/", "refs/heads/agent/", "refs/notes/agent"];
        let theirs = |line: &&str| !ours.iter().any(|prefix| line.starts_with(prefix));
        Self {
            files: if bare { BTreeMap::new() } else { files(&checkout(repo)) },
            status: (!bare).then(|| status(repo, repo.main())),
            state: state.into_iter().map(read).collect(),
            refs: refs.lines().filter(theirs).map(str::to_owned).collect(),
        }
    }
}

/// The main checkout, which may stand far from its git dir.
fn checkout(repo: &Repo) -> PathBuf {
    repo.home().git(repo.main(), &["rev-parse", "--show-toplevel"]).into()
}

/// All files below a folder, but for git's own.
pub(super) fn files(root: &Path) -> BTreeMap<PathBuf, Node> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it can be read").flatten() {
            let path = entry.path();
            let kind = entry.file_type().expect("it can be read");
            if entry.file_name().as_bytes() == b".git" {
                continue;
            }
            let node = if kind.is_dir() {
                folders.push(path);
                continue;
            } else if kind.is_symlink() {
                Node::Link(fs::read_link(&path).expect("it is a link"))
            } else if kind.is_file() {
                let mode = entry.metadata().expect("it can be read").mode();
                Node::File(fs::read(&path).unwrap_or_default(), mode & 0o111 != 0)
            } else {
                Node::Special
            };
            found.insert(path.strip_prefix(root).expect("it is below").to_owned(), node);
        }
    }
    found
}

/// What `git status` says in a checkout, writing nothing.
pub(super) fn status(repo: &Repo, dir: &Path) -> String {
    let args = ["--no-optional-locks", "-c", "status.showUntrackedFiles=all", "status"];
    repo.home().git(dir, &[&args[..], &["--porcelain=v2", "--untracked-files=all"]].concat())
}

/// A session that edits, runs a command, and finishes.
pub(super) fn script() -> Script {
    let command = "mkdir -p src/deep && printf 'hi\\n' > src/deep/file.txt && \
                   printf 'four\\n' >> src/lib.txt && rm run.sh";
    let edit = json!({
        "file_path": "README.md", "old_string": "# Shop", "new_string": "# The shop",
    });
    Script::new([
        Turn::call("edit", edit).and_text("Name the shop"),
        Turn::call("bash", json!({ "command": command })).and_text("Fill the shelves"),
        Turn::call("finish", json!({ "summary": "The shop is open." })),
    ])
}

/// Runs a session to its end on this script; `start` is given the address of the model.
pub(super) fn run(repo: &Repo, launch: Launch<'_>, script: Script, args: &[&str]) -> Out {
    let (server, dialect) = (Server::start(script), Dialect::Anthropic);
    let all = [&["start", "--model", dialect.model(), "--wait"], args].concat();
    let out = launch(repo, &all).envs(server.env(dialect)).run();
    server.finish();
    out
}

/// Runs the built program as a shell does.
pub(super) fn plainly(repo: &Repo, args: &[&str]) -> Cmd {
    repo.cmd(args)
}

/// What `status --json` says of a session.
pub(super) fn told(repo: &Repo, session: &str) -> Value {
    let said = repo.agent(&["status", session, "--json"]).success();
    serde_json::from_str(&said).expect("it is JSON")
}

impl Journey<'_> {
    /// The whole way.
    pub(super) fn go(&self) {
        let repo = &self.repo;
        let base = repo.git(&["rev-parse", "HEAD"]);
        let before = Untouched::of(repo);
        let verify = ["--verify", "test -f src/deep/file.txt"];
        let out = run(repo, self.launch, script(), &[&["Open a shop"], &verify[..]].concat());
        assert_eq!(out.code, 0, "{out:#?}");
        assert_eq!(Untouched::of(repo), before);
        let worktree = self.done(&base);
        self.land(&before);
        self.remove_and_restore(&worktree);
        repo.assert_whole();
    }

    /// Asserts that the session is done, and gives its worktree.
    fn done(&self, base: &str) -> PathBuf {
        let repo = &self.repo;
        let said = (self.launch)(repo, &["status", NAME, "--json"]).run().success();
        let told: Value = serde_json::from_str(&said).expect("it is JSON");
        let worktree = repo.home().root().join(self.worktree);
        let shown = json!([
            told["state"],
            told["steps"],
            told["files"],
            told["insertions"],
            told["deletions"],
            told["verify"]["status"],
            told["base"],
            told["branch"],
            told["worktree"],
        ]);
        let branch = format!("agent/{NAME}");
        assert_eq!(shown, json!(["done", 3, 4, 3, 3, "passed", base, branch, worktree]), "{told}");
        let subjects = repo.git(&["log", "--format=%s", &format!("{base}..{branch}")]);
        assert_eq!(subjects, "Fill the shelves\nName the shop");
        let changes = repo.git(&["diff-tree", "-r", "--name-status", base, &branch]);
        assert_eq!(changes, "M\tREADME.md\nD\trun.sh\nA\tsrc/deep/file.txt\nM\tsrc/lib.txt");
        assert_eq!(repo.git(&["show", &format!("{branch}:src/lib.txt")]), "one\ntwo\nthree\nfour");
        assert_eq!(status(repo, &worktree), "");
        let diff = ["diff", NAME, "--uncommitted", "--name-only"];
        let diff = (self.launch)(repo, &diff).run().success();
        assert_eq!(diff, "README.md\nrun.sh\nsrc/deep/file.txt\nsrc/lib.txt\n");
        let listed = repo.git(&["worktree", "list", "--porcelain"]);
        assert!(listed.contains(&format!("worktree {}\n", worktree.display())), "{listed}");
        worktree
    }

    fn land(&self, before: &Untouched) {
        let repo = &self.repo;
        let merge = ["worktree", "merge", NAME, "--squash"];
        let subject = |branch: &str| repo.git(&["log", "-1", "--format=%s", branch]);
        let branch = match self.landing {
            Landing::Lands(branch) => {
                (self.launch)(repo, &merge).run().success();
                branch
            }
            Landing::Into(branch) => {
                let out = (self.launch)(repo, &merge).run();
                assert_eq!(out.code, 2, "{out:#?}");
                let into = [&merge[..], &["--into", branch]].concat();
                (self.launch)(repo, &into).run().success();
                branch
            }
            Landing::Refused(file) => {
                let out = (self.launch)(repo, &merge).run();
                assert_eq!((out.code, out.stderr.contains(file)), (1, true), "{out:#?}");
                assert_eq!(&Untouched::of(repo), before);
                return;
            }
        };
        assert_eq!(subject(branch), "Open a shop");
        let same = ["diff", "--quiet", branch, &format!("agent/{NAME}"), "--"];
        repo.git(&same);
    }

    /// What is in no commit, and what git ignores, has to come back too.
    fn remove_and_restore(&self, worktree: &Path) {
        let repo = &self.repo;
        fs::write(worktree.join("later.txt"), "later\n").expect("a new file");
        fs::write(worktree.join("kept.tmp"), [0, 255, 1]).expect("a new file");
        fs::set_permissions(worktree.join("kept.tmp"), fs::Permissions::from_mode(0o700))
            .expect("a file of ours");
        let there = (files(worktree), status(repo, worktree));
        (self.launch)(repo, &["worktree", "remove", NAME]).run().success();
        assert!(!worktree.exists());
        let listed = repo.git(&["worktree", "list", "--porcelain"]);
        assert!(!listed.contains(&format!("worktree {}\n", worktree.display())), "{listed}");
        (self.launch)(repo, &["worktree", "restore", NAME]).run().success();
        assert_eq!((files(worktree), status(repo, worktree)), there);
    }
}
