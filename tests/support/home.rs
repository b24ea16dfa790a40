//! A home of its own for each test: an identity for git, and nothing else.
//!
//! Invariant: no process that was started in it outlives it; one that would have fails the test.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use rustix::process::{Pid, Signal, getpgid, getpgrp, kill_process, kill_process_group};
use tempfile::TempDir;

use super::cmd::Cmd;

/// How long what runs in the background may take to end after the test.
const PATIENCE: Duration = Duration::from_secs(10);

/// A temporary home. Its processes are known by the `HOME` they run with.
pub struct Home {
    // Held for its drop, which deletes the folder.
    _folder: TempDir,
    root: PathBuf,
    program: PathBuf,
}

impl Home {
    /// A new home for the built program.
    pub fn new() -> Self {
        Self::for_program(Path::new(env!("CARGO_BIN_EXE_git-agent")))
    }

    /// A new home for another program that plays `git-agent`.
    pub fn for_program(program: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("it exists");
        fs::create_dir(root.join("home")).expect("an empty folder");
        fs::create_dir(root.join("tmp")).expect("an empty folder");
        // Many tests see and steer their agent's commands by files beside its worktree.
        let config = format!(
            "[user]\n\tname = Ada\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n\
             [agent \"sandbox\"]\n\tleast = none\n\twritable = {}\n",
            root.display()
        );
        fs::write(root.join("home/.gitconfig"), config).expect("an empty folder");
        Self { _folder: folder, root, program: program.to_owned() }
    }

    /// The folder that holds all of the test: `home/`, `tmp/`, and its repositories.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The built program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A program in this home.
    pub fn cmd(&self, program: impl AsRef<std::ffi::OsStr>) -> Cmd {
        Cmd::new(self, program)
    }

    /// A new key of ssh in this file, its public half beside it; none, and a word on standard
    /// error, where this machine has no ssh.
    pub fn ssh_key(&self, name: &str) -> Option<PathBuf> {
        let key = self.root.join(name);
        if which::which("ssh-keygen").is_err() {
            // Said even where the output of a test that passes is not shown.
            drop(writeln!(std::io::stderr(), "SKIPPED: there is no ssh-keygen to make {name}"));
            return None;
        }
        let path = key.to_str().expect("a path of ours");
        let args = ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path];
        self.cmd("ssh-keygen").args(&args).run().success();
        Some(key)
    }

    /// What git prints, without the last line end.
    ///
    /// # Panics
    /// git fails.
    pub fn git(&self, dir: &Path, args: &[&str]) -> String {
        let dates = [
            ("GIT_AUTHOR_DATE", "2026-01-02T03:04:05+0000".to_owned()),
            ("GIT_COMMITTER_DATE", "2026-01-02T03:04:05+0000".to_owned()),
        ];
        let printed = self.cmd("git").dir(dir).args(args).envs(dates).run().success();
        printed.strip_suffix('\n').unwrap_or(&printed).to_owned()
    }

    pub(super) fn env(&self) -> Vec<(&'static str, OsString)> {
        let mut path = self.program.parent().expect("a file has a folder").as_os_str().to_owned();
        path.push(":");
        path.push(env::var_os("PATH").expect("a machine with git on its PATH"));
        vec![
            ("PATH", path),
            ("HOME", self.root.join("home").into()),
            ("TMPDIR", self.root.join("tmp").into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("GIT_CONFIG_GLOBAL", self.root.join("home/.gitconfig").into()),
            ("TZ", "UTC".into()),
            ("LC_ALL", "C".into()),
        ]
    }

    /// The processes that run in this home.
    pub fn processes(&self) -> Vec<Pid> {
        with_variable(&format!("HOME={}", self.root.join("home").display()))
    }

    fn kill(&self) {
        for pid in self.processes() {
            let group = getpgid(Some(pid)).ok().filter(|group| *group != getpgrp());
            // A process that is gone by now is what is wanted.
            let _ = match group {
                Some(group) => kill_process_group(group, Signal::KILL),
                None => kill_process(pid, Signal::KILL),
            };
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let until = Instant::now() + PATIENCE;
        while !thread::panicking() && Instant::now() < until && !self.processes().is_empty() {
            thread::sleep(Duration::from_millis(10));
        }
        let left = self.processes();
        self.kill();
        if !thread::panicking() {
            assert!(left.is_empty(), "still running {PATIENCE:?} after the test: {left:?}");
        }
    }
}

#[cfg(target_os = "linux")]
fn with_variable(variable: &str) -> Vec<Pid> {
    let is_in =
        |environ: &[u8]| environ.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes());
    let entries = fs::read_dir("/proc").expect("it is mounted").flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)?;
            // Processes of others cannot be read, nor those that have just ended.
            let environ = fs::read(entry.path().join("environ")).ok()?;
            is_in(&environ).then_some(pid)
        })
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn with_variable(variable: &str) -> Vec<Pid> {
    let table = git_agent::process::Cmd::new("ps").args(["-axEww", "-o", "pid=,command="]).run();
    let table = String::from_utf8_lossy(&table.expect("ps is there").stdout).into_owned();
    let lines = table.lines().filter(|line| line.split(' ').any(|word| word == variable));
    lines
        .filter_map(|line| line.split_whitespace().next()?.parse().ok().and_then(Pid::from_raw))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_child_sees_nothing_of_the_developer() {
        let home = Home::new();
        let names = home.cmd("env").run().success();
        let mut names: Vec<&str> =
            names.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        names.sort_unstable();
        let wanted =
            ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "HOME", "LC_ALL", "PATH", "TMPDIR", "TZ"];
        assert_eq!(names, wanted);
        assert_eq!(home.git(home.root(), &["config", "user.email"]), "ada@example.org");
    }

    #[test]
    fn what_is_left_running_is_killed_when_the_test_fails() {
        let home = Home::new();
        home.cmd("sh").args(&["-c", "sleep 600 >/dev/null 2>&1 &"]).run().success();
        let left = home.processes();
        assert_eq!(left.len(), 1);
        let failed = catch_unwind(AssertUnwindSafe(move || {
            let _home = home;
            panic!("the test fails");
        }));
        assert!(failed.is_err());
        let until = Instant::now() + PATIENCE;
        while rustix::process::test_kill_process(left[0]).is_ok() && !is_dead(left[0]) {
            assert!(Instant::now() < until, "{left:?} lives on");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// An ended child stays in the table until its parent has asked for it.
    fn is_dead(pid: Pid) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        stat.is_ok_and(|stat| stat.contains(") Z "))
    }

    #[test]
    fn a_program_that_does_not_end_fails_the_test() {
        let home = Home::new();
        let limit = Duration::from_millis(50);
        let run = || home.cmd("sleep").args(&["600"]).limit(limit).run();
        let failed = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        assert!(failed.downcast::<String>().unwrap().starts_with("still runs after 50ms"));
        home.kill();
    }
}
