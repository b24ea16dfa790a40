//! A real repository in a home of its own, in each of the shapes that real ones have.
//!
//! Invariant: made with git alone, the same commits each time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;

use super::cmd::{Cmd, Out};
use super::home::Home;
use super::normal::normal;

/// What kind of repository it is, and where one stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An ordinary one.
    Plain,
    /// At a path with spaces and letters beyond ASCII.
    OddPath,
    /// HEAD is a commit.
    Detached,
    /// A bare clone.
    Bare,
    /// One stands in a linked worktree.
    Linked,
    /// One stands in a subfolder.
    Subfolder,
    /// Object ids are SHA-256.
    Sha256,
    /// Refs are in the reftable format.
    Reftable,
    /// A clone of depth 1.
    Shallow,
    /// Only one folder is checked out.
    Sparse,
    /// With a submodule at `vendor/dep`, checked out.
    Submodule,
    /// The checkout has a modified, a staged and an untracked file.
    Dirty,
}

impl Shape {
    /// All of them, for tests of what works everywhere.
    pub const ALL: [Self; 12] = [
        Self::Plain,
        Self::OddPath,
        Self::Detached,
        Self::Bare,
        Self::Linked,
        Self::Subfolder,
        Self::Sha256,
        Self::Reftable,
        Self::Shallow,
        Self::Sparse,
        Self::Submodule,
        Self::Dirty,
    ];
}

/// A repository. Its files are `README.md`, `run.sh` (executable), `docs/guide.md`, `src/lib.txt`
/// and a `.gitignore` for `*.tmp`; its branch is `main`, with two commits.
pub struct Repo {
    home: Arc<Home>,
    main: PathBuf,
    dir: PathBuf,
    status: Option<String>,
}

/// Whether git can make a reftable repository, as from version 2.45.
fn git_knows_reftable() -> bool {
    let usage = Home::new().cmd("git").args(&["init", "-h"]).run();
    usage.stdout.contains("ref-format") || usage.stderr.contains("ref-format")
}

impl Repo {
    /// An ordinary repository.
    pub fn new() -> Self {
        Self::with(Shape::Plain)
    }

    /// A repository of this shape.
    pub fn with(shape: Shape) -> Self {
        Self::in_home(Arc::new(Home::new()), shape)
    }

    /// A repository of this shape in a home that holds nothing else yet.
    pub fn in_home(home: Arc<Home>, shape: Shape) -> Self {
        let place = if shape == Shape::OddPath { "wörk päth 🦀/shop" } else { "shop" };
        let main = home.root().join(place);
        fs::create_dir_all(&main).expect("a new folder");
        let mut repo = Self { home, dir: main.clone(), main, status: None };
        repo.git(match shape {
            Shape::Sha256 => &["init", "-q", "--object-format=sha256"],
            // An older git cannot have such a repository: there it is one with files.
            Shape::Reftable if git_knows_reftable() => &["init", "-q", "--ref-format=reftable"],
            _ => &["init", "-q"],
        });
        repo.write("README.md", "# Shop\n");
        repo.write(".gitignore", "*.tmp\n");
        repo.write("docs/guide.md", "Buy things.\n");
        repo.write("run.sh", "#!/bin/sh\necho shop\n");
        repo.git(&["add", "-A"]);
        repo.git(&["update-index", "--chmod=+x", "run.sh"]);
        repo.git(&["commit", "-qm", "Begin"]);
        repo.git(&["checkout-index", "-f", "run.sh"]);
        repo.write("src/lib.txt", "one\ntwo\nthree\n");
        repo.commit("Add the library");
        repo.reshape(shape);
        repo.mark();
        repo
    }

    /// A repository that a test made itself: its main checkout, or the bare repository, and where
    /// one stands.
    pub fn made(home: Arc<Home>, main: &Path, dir: &Path) -> Self {
        let mut repo = Self { home, main: main.to_owned(), dir: dir.to_owned(), status: None };
        repo.mark();
        repo
    }

    fn reshape(&mut self, shape: Shape) {
        match shape {
            Shape::Plain | Shape::OddPath | Shape::Sha256 | Shape::Reftable => {}
            Shape::Detached => drop(self.git(&["checkout", "-q", "--detach"])),
            Shape::Bare => self.reclone("shop.git", &["--bare"]),
            Shape::Shallow => self.reclone("shallow", &["--depth=1"]),
            Shape::Linked => {
                self.git(&["worktree", "add", "-q", "-b", "side", "../side"]);
                self.dir = self.main.join("../side").canonicalize().expect("git made it");
            }
            Shape::Subfolder => self.dir = self.main.join("src"),
            Shape::Sparse => drop(self.git(&["sparse-checkout", "set", "src"])),
            Shape::Submodule => {
                let dep = self.home.root().join("dep");
                fs::create_dir(&dep).expect("a new folder");
                self.home.git(&dep, &["init", "-q"]);
                fs::write(dep.join("dep.txt"), "dep\n").expect("a new file");
                self.home.git(&dep, &["add", "-A"]);
                self.home.git(&dep, &["commit", "-qm", "Begin"]);
                let url = dep.to_str().expect("a path of ours");
                // Git refuses local submodules unless told otherwise, since 2.38.1.
                let allow = ["-c", "protocol.file.allow=always"];
                self.git(
                    &[&allow[..], &["submodule", "--quiet", "add", url, "vendor/dep"]].concat(),
                );
                self.git(&["commit", "-qm", "Add a submodule"]);
            }
            Shape::Dirty => {
                self.write("README.md", "# Shop, changed\n");
                self.write("staged.txt", "staged\n");
                self.git(&["add", "staged.txt"]);
                self.write("untracked.txt", "untracked\n");
            }
        }
    }

    fn reclone(&mut self, name: &str, how: &[&str]) {
        let to = self.home.root().join(name);
        // Without the scheme a clone of a local path ignores the depth.
        let from = format!("file://{}", self.main.display());
        let to_text = to.to_str().expect("a path of ours");
        let args = [&["clone", "-q"], how, &[&from, to_text]].concat();
        self.home.git(self.home.root(), &args);
        self.main.clone_from(&to);
        self.dir = to;
    }

    /// The home it is in.
    pub fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// The folder in which commands run.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The main checkout; the repository itself where it is bare.
    pub fn main(&self) -> &Path {
        &self.main
    }

    /// The git dir that all worktrees share.
    pub fn common_dir(&self) -> PathBuf {
        self.main.join(self.home.git(&self.main, &["rev-parse", "--git-common-dir"]))
    }

    /// What git prints in [`Repo::dir`], without the last line end.
    ///
    /// # Panics
    /// git fails.
    pub fn git(&self, args: &[&str]) -> String {
        self.home.git(&self.dir, args)
    }

    /// Writes a file of the main checkout, and the folders it needs.
    pub fn write(&self, path: &str, content: &str) {
        let path = self.main.join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }

    /// Commits all of the main checkout and returns the commit's id.
    pub fn commit(&self, subject: &str) -> String {
        self.home.git(&self.main, &["add", "-A"]);
        self.home.git(&self.main, &["commit", "-qm", subject]);
        self.home.git(&self.main, &["rev-parse", "HEAD"])
    }

    /// Takes the main checkout as it is now for what [`Repo::assert_whole`] compares with.
    pub fn mark(&mut self) {
        self.status = self.main_status();
    }

    /// Asserts that git finds no fault in the repository, that the main checkout's status is
    /// what it was at the last [`Repo::mark`], and that no lock file is left.
    pub fn assert_whole(&self) {
        let fsck = ["fsck", "--strict", "--no-dangling", "--no-progress"];
        let out = self.home.cmd("git").dir(&self.main).args(&fsck).run();
        assert_eq!(out, Out::ok(""), "git fsck --strict");
        assert_eq!(self.main_status(), self.status, "git status of the main checkout");
        let mut locks = Vec::new();
        find_locks(&self.common_dir(), &mut locks);
        // Ours stay: what counts is whether a process holds them.
        locks.retain(|path| !path.starts_with(self.common_dir().join("agent")));
        assert_eq!(locks, Vec::<PathBuf>::new(), "lock files are left");
    }

    /// `None` where there is no checkout.
    fn main_status(&self) -> Option<String> {
        let bare = self.home.git(&self.main, &["rev-parse", "--is-bare-repository"]);
        let status = ["--no-optional-locks", "status", "--porcelain", "--branch", "--show-stash"];
        (bare == "false").then(|| {
            let status = self.home.git(&self.main, &status);
            // The branch may move forward when work is landed on it; that it is the same may not.
            status.split(" [").next().unwrap_or_default().to_owned()
        })
    }

    /// The built program with these arguments, to be run as a user's shell does.
    pub fn cmd(&self, args: &[&str]) -> Cmd {
        self.home.cmd(self.home.program()).dir(&self.dir).args(args)
    }

    /// Runs the built program.
    pub fn agent(&self, args: &[&str]) -> Out {
        self.cmd(args).run()
    }

    /// Runs the built program through git, as `git agent …`.
    pub fn git_agent(&self, args: &[&str]) -> Out {
        self.home.cmd("git").dir(&self.dir).args(&["agent"]).args(args).run()
    }

    /// What was said, without what differs from run to run: `[ROOT]` for the test's folder,
    /// `[id]` for the tail of a session's id, `[level]` of its sandbox, `[oid]`, `[time]`, `[port]`.
    pub fn normal(&self, out: &Out) -> Out {
        let root = self.home.root().to_str().expect("a path of ours");
        let ids = self.session_ids();
        let clean = |text: &str| {
            let mut text = text.replace(root, "[ROOT]");
            for id in &ids {
                if let Some((slug, _)) = id.rsplit_once('-') {
                    text = text.replace(id, &format!("{slug}-[id]"));
                }
            }
            // What a machine can do is not what most tests are about.
            for level in ["full", "reduced", "none"] {
                for (before, after) in [("sandbox ", "\n"), ("sandbox  ", "\n")] {
                    let level = format!("{before}{level}{after}");
                    text = text.replace(&level, &format!("{before}[level]{after}"));
                }
            }
            normal(&text)
        };
        Out { stdout: clean(&out.stdout), stderr: clean(&out.stderr), code: out.code }
    }

    /// The ids of all sessions, in order.
    pub fn session_ids(&self) -> Vec<String> {
        let folder = self.common_dir().join("agent/sessions");
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let mut ids: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.sort();
        ids
    }

    /// Waits until a session is in this state, and returns what `status --json` says then.
    ///
    /// # Panics
    /// It is not within this time; what its supervisor logged is then shown.
    pub fn wait_state(&self, session: &str, state: &str, patience: Duration) -> Value {
        let until = Instant::now() + patience;
        loop {
            let out = self.agent(&["status", session, "--json"]);
            let status: Value = serde_json::from_str(&out.stdout).unwrap_or_default();
            if status["state"] == state {
                return status;
            }
            if Instant::now() > until {
                let logs: String = self.session_ids().iter().map(|id| self.log_of(id)).collect();
                panic!("{session} is not {state} after {patience:?}: {out:#?}\n{logs}");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn log_of(&self, id: &str) -> String {
        let path = self.common_dir().join("agent/sessions").join(id).join("supervisor.log");
        let log = fs::read_to_string(path).unwrap_or_default();
        format!("supervisor.log of {id}:\n{log}\n")
    }
}

fn find_locks(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("it can be read").flatten() {
        let path = entry.path();
        if entry.file_type().expect("it can be read").is_dir() {
            find_locks(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "lock") {
            found.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn every_shape_is_whole_and_what_it_says() {
        for shape in Shape::ALL {
            let repo = Repo::with(shape);
            repo.assert_whole();
            let log = repo.git(&["log", "--format=%s", "HEAD"]);
            let wanted = match shape {
                Shape::Shallow => "Add the library",
                Shape::Submodule => "Add a submodule\nAdd the library\nBegin",
                _ => "Add the library\nBegin",
            };
            assert_eq!(log, wanted, "{shape:?}");
            let told = |args: &[&str]| repo.git(args);
            match shape {
                Shape::Bare => assert_eq!(told(&["rev-parse", "--is-bare-repository"]), "true"),
                Shape::Detached => assert_eq!(told(&["branch", "--show-current"]), ""),
                Shape::Linked => assert_eq!(told(&["branch", "--show-current"]), "side"),
                Shape::Subfolder => assert_eq!(told(&["rev-parse", "--show-prefix"]), "src/"),
                Shape::Sha256 => assert_eq!(told(&["rev-parse", "HEAD"]).len(), 64),
                Shape::Reftable => {
                    assert_eq!(repo.common_dir().join("reftable").is_dir(), git_knows_reftable());
                }
                Shape::Shallow => {
                    assert_eq!(told(&["rev-parse", "--is-shallow-repository"]), "true");
                }
                Shape::Sparse => assert!(!repo.main().join("docs").exists()),
                Shape::Submodule => assert!(repo.main().join("vendor/dep/dep.txt").is_file()),
                Shape::Dirty => assert_eq!(told(&["status", "--porcelain"]).lines().count(), 3),
                Shape::OddPath => assert!(repo.dir().to_str().unwrap().contains('🦀')),
                Shape::Plain => {
                    let mode = fs::metadata(repo.main().join("run.sh")).unwrap().permissions();
                    assert_eq!(mode.mode() & 0o111, 0o111);
                }
            }
        }
    }

    #[test]
    fn a_repository_that_is_not_whole_is_noticed() {
        let mut repo = Repo::new();
        let is_whole = |repo: &Repo| catch_unwind(AssertUnwindSafe(|| repo.assert_whole())).is_ok();
        assert!(is_whole(&repo));
        repo.write("new.txt", "new\n");
        assert!(!is_whole(&repo));
        repo.mark();
        assert!(is_whole(&repo));
        let lock = repo.common_dir().join("refs/heads/x.lock");
        fs::write(&lock, "").unwrap();
        assert!(!is_whole(&repo));
        fs::remove_file(lock).unwrap();
        repo.git(&["checkout", "-q", "-b", "other"]);
        assert!(!is_whole(&repo));
        repo.mark();
        let broken = repo.git(&["rev-parse", "HEAD:README.md"]);
        let object = repo.common_dir().join("objects").join(&broken[..2]).join(&broken[2..]);
        fs::remove_file(object).unwrap();
        assert!(!is_whole(&repo));
    }

    /// A program that plays ours: `status` says `running` twice, then `done`.
    const FAKE: &str = "#!/bin/sh\n\
        case $1 in\n\
        status) echo x >>\"$HOME/asked\"\n\
        if [ $(wc -l <\"$HOME/asked\") -gt 2 ]; then s=done; else s=running; fi\n\
        echo \"{\\\"state\\\":\\\"$s\\\"}\";;\n\
        *) echo \"at $PWD: $* $(cat)\"; echo \"id fix-it-7f3k, $EXTRA\" >&2; exit 3;;\n\
        esac\n";

    #[test]
    fn a_program_is_run_both_ways_its_words_are_compared_and_its_states_awaited() {
        let bin = tempfile::tempdir().unwrap();
        let program = bin.path().join("git-agent");
        fs::write(&program, FAKE).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let repo = Repo::in_home(Arc::new(Home::for_program(&program)), Shape::Plain);
        fs::create_dir_all(repo.common_dir().join("agent/sessions/fix-it-7f3k")).unwrap();
        let out = |said: &str, extra: &str| Out {
            stdout: format!("at [ROOT]/shop: list -a {said}\n"),
            stderr: format!("id fix-it-[id], {extra}\n"),
            code: 3,
        };
        assert_eq!(repo.normal(&repo.agent(&["list", "-a"])), out("", ""));
        assert_eq!(repo.normal(&repo.git_agent(&["list", "-a"])), out("", ""));
        let fed = repo.cmd(&["list", "-a"]).stdin("fed").env("EXTRA", "more").run();
        assert_eq!(repo.normal(&fed), out("fed", "more"));
        let done = repo.wait_state("fix", "done", Duration::from_secs(10));
        assert_eq!(done, serde_json::json!({"state": "done"}));
        let never = || repo.wait_state("fix", "paused", Duration::ZERO);
        let failed = catch_unwind(AssertUnwindSafe(never)).unwrap_err();
        let message = failed.downcast::<String>().unwrap();
        assert!(message.contains("supervisor.log of fix-it-7f3k"), "{message}");
        assert!(repo.home().processes().is_empty());
    }

    #[test]
    fn a_server_is_found_by_the_vendors_own_variables() {
        use super::super::server::{Dialect, Script, Server};
        let server = Server::start(Script::new([]));
        let home = Home::new();
        for dialect in Dialect::ALL {
            let said = home.cmd("env").envs(server.env(dialect)).run().success();
            let vendor = if dialect == Dialect::Anthropic { "ANTHROPIC" } else { "OPENAI" };
            assert!(said.contains(&format!("{vendor}_BASE_URL={}", server.url())), "{said}");
            assert!(said.contains(&format!("{vendor}_API_KEY={}", dialect.key())), "{said}");
            assert_eq!(dialect.model().split('/').count(), 2);
        }
    }
}
