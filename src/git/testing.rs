//! Repositories for tests, made by git itself, far from this machine's configuration.
//!
//! Invariant: no setting, identity or hook of the developer is seen.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::git::{Environment, ObjectId, Repo};
use crate::process::{Cmd, Finished};

/// Whether the git of this machine can make a reftable repository.
pub(crate) fn knows_reftable() -> bool {
    static KNOWS: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *KNOWS.get_or_init(|| {
        let usage = Cmd::new("git").args(["init", "-h"]).run().unwrap();
        String::from_utf8_lossy(&usage.stdout).contains("ref-format")
    })
}

/// A repository in a temporary folder, removed with it.
pub(crate) struct Fixture {
    folder: tempfile::TempDir,
    /// Its checkout, in a path with a space and beyond ASCII.
    pub(crate) root: PathBuf,
}

impl Fixture {
    /// An empty repository on branch `main`, made with these further options of `git init`.
    pub(crate) fn new(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap().join("my dépôt");
        fs::create_dir(&root).unwrap();
        let fixture = Self { folder, root };
        // Reftable came with git 2.45. An older one cannot have such repositories, and is held to
        // the same behaviour in what it can have.
        let known = |option: &&&str| !option.starts_with("--ref-format") || knows_reftable();
        let options: Vec<_> = options.iter().filter(known).copied().collect();
        fixture.git(&[&["init", "-q", "-b", "main"], &options[..]].concat());
        fixture.git(&["config", "user.name", "Ada Person"]);
        fixture.git(&["config", "user.email", "ada@example.org"]);
        fixture
    }

    /// A repository with one commit: `a` holds `one\n`, `dir/b` holds `two\n`.
    pub(crate) fn with_commit(options: &[&str]) -> Self {
        let fixture = Self::new(options);
        fixture.commit(&[("a", "one\n"), ("dir/b", "two\n")]);
        fixture
    }

    /// Writes these files and commits everything.
    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> ObjectId {
        for (path, content) in files {
            let path = self.root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "a commit"]);
        self.id("HEAD")
    }

    /// A folder beside the repository.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.folder.path()).unwrap().join(name)
    }

    /// Runs git in the checkout and returns what it prints, without the last line end.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        self.git_in(&self.root, args)
    }

    /// As [`Fixture::git`], in another folder.
    pub(crate) fn git_in(&self, dir: &Path, args: &[&str]) -> String {
        let done = self.try_git(dir, args);
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.exit, 0, "git {args:?}: {said}");
        String::from_utf8(done.stdout).unwrap().trim_end_matches('\n').to_owned()
    }

    /// Runs git and lets it fail.
    pub(crate) fn try_git(&self, dir: &Path, args: &[impl AsRef<OsStr>]) -> Finished {
        let cmd = Cmd::new("git").args(args).dir(dir);
        isolation().iter().fold(cmd, |cmd, (key, value)| cmd.env(key, value)).run().unwrap()
    }

    /// Runs git in the checkout on this text.
    pub(crate) fn feed(&self, args: &[&str], text: &str) {
        let cmd = Cmd::new("git").args(args).dir(&self.root).stdin(text);
        let cmd = isolation().iter().fold(cmd, |cmd, (key, value)| cmd.env(key, value));
        let done = cmd.run().unwrap();
        assert_eq!(done.exit, 0, "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// The object a revision names, in git's words.
    pub(crate) fn id(&self, revision: &str) -> ObjectId {
        ObjectId::from_hex(self.git(&["rev-parse", "--verify", revision]).as_bytes()).unwrap()
    }

    /// The repository, found from its checkout.
    pub(crate) fn repo(&self) -> Repo {
        self.repo_at(&self.root, &[])
    }

    /// The repository found from `dir` with these variables set.
    pub(crate) fn repo_at(&self, dir: &Path, vars: &[(&str, &str)]) -> Repo {
        Repo::discover_in(dir, environment(vars)).unwrap()
    }

    /// git's own check of everything.
    pub(crate) fn fsck(&self) {
        self.git(&["fsck", "--strict", "--no-dangling"]);
    }
}

/// An environment without any configuration but these variables.
pub(crate) fn environment(vars: &[(&str, &str)]) -> Environment {
    let vars = vars.iter().map(|(key, value)| (key.into(), value.into()));
    Environment::new(isolation().iter().map(|(key, value)| (key.into(), value.into())).chain(vars))
}

fn isolation() -> [(&'static str, &'static str); 3] {
    [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1"), ("HOME", "/nonexistent")]
}
