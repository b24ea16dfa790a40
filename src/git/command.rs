//! The git command: what gix lacks, and where the user's own set-up must apply.
//!
//! Invariant: a git child is told which repository it works on and never looks for one, so a
//! `.git` that an agent made or swapped is never read; and it never waits for a person.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::git::environment::Environment;
use crate::git::repo::Repo;
use crate::process::{Cmd, Finished, ProcessError};

/// A git child that was refused, or could not run at all.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// It ran and said no.
    #[error("{said}")]
    Refused {
        /// Its exit code.
        exit: i32,
        /// Its own words, without `fatal:` and the hints below it.
        said: String,
    },
    /// It could not run.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// Settings that take away what a repository's configuration could make git run, and what could
/// change the form of its answers; what is written is put on the disk. `-c` goes over every file.
pub const HARDENED: [&str; 11] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.fsync=committed,loose-object,reference",
    "core.pager=cat",
    "color.ui=false",
    "gc.auto=0",
    "log.showSignature=false",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
    "safe.bareRepository=explicit",
    "submodule.recurse=false",
];

/// The variable that holds `false` for settings which are named by others.
const OFF: &str = "GIT_AGENT_OFF";

impl Repo {
    /// git on this repository, for work of ours: no hooks, no file watcher, no pager, no prompt,
    /// no lock taken to refresh an index, messages in English.
    ///
    /// A diff made with it still needs `--no-ext-diff --no-textconv`, and a command that writes
    /// blobs from files runs the filters that the configuration names.
    pub fn git(&self) -> Cmd {
        self.aim(self.hardened())
    }

    /// The same in the main checkout; see [`Repo::user_git_in_main`].
    pub(super) fn git_in_main(&self) -> Cmd {
        aim(self.hardened(), self.common_dir(), self.main_work_dir().as_deref())
    }

    fn hardened(&self) -> Cmd {
        self.without_configured_hooks(git(self.environment()))
            .args(HARDENED.iter().flat_map(|setting| ["-c", setting]))
            .arg("--no-pager")
            .arg("--no-optional-locks")
            .env("LC_ALL", "C")
            .env_remove("GIT_EXTERNAL_DIFF")
    }

    /// Takes away the hooks that stand in the configuration, which `core.hooksPath` does not
    /// (git-hook(1), from 2.54). A name may hold any sign, so none is part of a `-c`.
    pub(super) fn without_configured_hooks(&self, cmd: Cmd) -> Cmd {
        let entries = self.config("hook");
        let name = |key: &str| {
            let (name, _) = key.strip_prefix("hook.")?.rsplit_once('.')?;
            Some(name.to_owned())
        };
        let names: BTreeSet<_> = entries.iter().filter_map(|entry| name(&entry.key)).collect();
        if names.is_empty() {
            return cmd;
        }
        let off =
            |cmd: Cmd, name: &String| cmd.arg(format!("--config-env=hook.{name}.enabled={OFF}"));
        names.iter().fold(cmd, off).env(OFF, "false")
    }

    /// git on this repository with the user's own set-up: hooks, filters, signing, credentials.
    /// It never prompts on a terminal.
    pub fn user_git(&self) -> Cmd {
        self.aim(git(self.environment()))
    }

    /// The same in the repository's main checkout, wherever this view is: a hook that is named by a
    /// relative path is the one there, never a file of an agent's worktree.
    pub fn user_git_in_main(&self) -> Cmd {
        aim(git(self.environment()), self.common_dir(), self.main_work_dir().as_deref())
    }

    /// The variables by which a program that opens this repository again sees it under the same
    /// settings, those of `git -c` included; what points at a repository is not among them.
    pub fn settings(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.environment().settings()
    }

    fn aim(&self, cmd: Cmd) -> Cmd {
        aim(cmd, self.git_dir(), self.work_dir())
    }
}

fn aim(cmd: Cmd, git_dir: &Path, work_dir: Option<&Path>) -> Cmd {
    let cmd = cmd.arg("--git-dir").arg(git_dir);
    match work_dir {
        Some(work_dir) => cmd.arg("--work-tree").arg(work_dir).dir(work_dir),
        None => cmd.dir(git_dir),
    }
}

/// git with the caller's settings, but not yet on any repository.
pub(super) fn git(environment: &Environment) -> Cmd {
    let cmd = Cmd::new("git").env_remove("GIT_NAMESPACE").env("GIT_TERMINAL_PROMPT", "0");
    environment.settings().fold(cmd, |cmd, (key, value)| cmd.env(key, value))
}

/// Asks git where the repository of `dir` is, in the very environment we were started with.
pub(super) fn asking_git(dir: &Path, environment: &Environment) -> Cmd {
    let cmd = git(environment).dir(dir).env("LC_ALL", "C");
    environment.pointers().fold(cmd, |cmd, (key, value)| cmd.env(key, value))
}

/// Runs to the end and takes any exit code but 0 for a refusal.
pub(super) fn succeed(cmd: &Cmd) -> Result<Vec<u8>, GitError> {
    let finished = cmd.run()?;
    if finished.exit == 0 { Ok(finished.stdout) } else { Err(refusal(&finished)) }
}

/// git's own words for why it stopped.
pub(super) fn refusal(finished: &Finished) -> GitError {
    let text = String::from_utf8_lossy(&finished.stderr);
    let verdict = |line: &&str| line.starts_with("fatal: ") || line.starts_with("error: ");
    let mut lines = text.lines().skip_while(|line| !verdict(line)).peekable();
    if lines.peek().is_none() {
        let said = text.lines().find(|line| !line.trim().is_empty()).map(str::to_owned);
        let said = said.unwrap_or_else(|| format!("git ended with exit code {}", finished.exit));
        return GitError::Refused { exit: finished.exit, said };
    }
    let mut said = lines.next().map(|line| line["fatal: ".len()..].to_owned()).unwrap_or_default();
    // What git lists stands indented below.
    for line in lines.take_while(|line| line.starts_with('\t')) {
        said.push(' ');
        said.push_str(line.trim());
    }
    GitError::Refused { exit: finished.exit, said }
}

/// A path as git prints it, with or without the line end.
pub(super) fn path(line: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(line.strip_suffix(b"\n").unwrap_or(line)))
}

#[cfg(test)]
mod tests {
    use crate::git::testing::Fixture;

    #[test]
    fn b11_hooks_of_the_configuration_are_off_for_work_of_ours_whatever_they_are_called() {
        let fixture = Fixture::with_commit(&[]);
        for name in ["git-agent-reference-transaction", "a=b.c", "two words"] {
            fixture.git(&["config", &format!("hook.{name}.event"), "reference-transaction"]);
            fixture.git(&["config", &format!("hook.{name}.command"), "false"]);
        }
        let repo = fixture.repo_at(&fixture.root, &[]);
        for name in ["git-agent-reference-transaction", "a=b.c", "two words"] {
            let asked = ["config", "--get", &format!("hook.{name}.enabled")];
            for git in [repo.git(), repo.without_configured_hooks(repo.user_git())] {
                assert_eq!(git.args(asked).run().unwrap().stdout, b"false\n", "{name}");
            }
            assert_eq!(repo.user_git().args(asked).run().unwrap().exit, 1, "{name}");
        }
    }
}
