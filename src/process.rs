//! Children: the one place where a program is started.
//!
//! Invariant: no child inherits the variables by which git finds a repository, so a command run
//! from a hook or a `!` alias can never reach the outer index or git dir; and every child is in
//! the trace.

pub mod capture;
pub mod companion;
pub mod guard;
pub mod occupied;
mod running;
pub mod tree;

pub use running::{Running, Watch};

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

/// What git calls its local environment: the output of `git rev-parse --local-env-vars`, git 2.47.
const GIT_LOCAL_ENV: [&str; 15] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// A program to start, with its arguments and surroundings.
#[derive(Clone, Debug)]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    dir: Option<PathBuf>,
    env: Vec<(OsString, Option<OsString>)>,
    env_clear: bool,
    stdin: Vec<u8>,
    tells_end: bool,
}

/// A child that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Exit code; 128 + n for signal n, as a shell reports it.
    pub exit: i32,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained.
    pub stderr: Vec<u8>,
}

/// A child that could not be started or waited for.
#[derive(Debug, thiserror::Error)]
#[error("cannot run {program}")]
pub struct ProcessError {
    /// The program's name.
    pub program: String,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl Cmd {
    /// A program found on `PATH`, or named by its path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            dir: None,
            env: Vec::new(),
            env_clear: false,
            stdin: Vec::new(),
            tells_end: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Adds another program with its arguments, for this one to become it: folder, environment and
    /// input are those of that one.
    #[must_use]
    pub fn before(self, cmd: Self) -> Self {
        let args = [self.args, vec![cmd.program], cmd.args].concat();
        let tells_end = self.tells_end || cmd.tells_end;
        Self { program: self.program, args, tells_end, ..cmd }
    }

    /// Runs in this folder.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Takes a variable away.
    #[must_use]
    pub fn env_remove(mut self, key: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), None));
        self
    }

    /// Starts from an empty environment; what [`Cmd::env`] sets is then all there is.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.env_clear = true;
        self
    }

    /// Feeds these bytes to the child's standard input, which is otherwise empty.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// It says how it ended as soon as nothing of it runs any more, and takes its time to go: see
    /// [`Cmd::start`].
    #[must_use]
    pub fn tells_end(mut self) -> Self {
        self.tells_end = true;
        self
    }

    /// Runs to the end and collects what it prints. An exit code other than 0 is no error here.
    ///
    /// # Errors
    /// The program cannot be started or waited for.
    pub fn run(&self) -> Result<Finished, ProcessError> {
        let started = Instant::now();
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if self.stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
        let mut child = command.spawn().map_err(|source| self.error(source))?;
        // Fed from a thread of its own: a child that prints before it has read all would else
        // block on its full pipe while we block on ours.
        let feeder = child.stdin.take().map(|mut pipe| {
            let bytes = self.stdin.clone();
            std::thread::spawn(move || pipe.write_all(&bytes))
        });
        let output = child.wait_with_output().map_err(|source| self.error(source))?;
        if let Some(feeder) = feeder {
            // A child may rightly end without reading its input; its exit code tells.
            drop(feeder.join());
        }
        let exit = exit_code(output.status);
        tracing::debug!(program = ?self.program, args = ?self.args, exit, elapsed = ?started.elapsed(), "child");
        Ok(Finished { exit, stdout: output.stdout, stderr: output.stderr })
    }

    /// Runs to the end with this as its standard input, and collects what it prints.
    ///
    /// # Errors
    /// As [`Cmd::run`].
    pub fn run_on(&self, input: std::os::fd::OwnedFd) -> Result<Finished, ProcessError> {
        let mut command = self.command();
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|source| self.error(source))?;
        // Which still holds the input.
        drop(command);
        let output = child.wait_with_output().map_err(|source| self.error(source))?;
        let exit = exit_code(output.status);
        tracing::debug!(program = ?self.program, args = ?self.args, exit, "child");
        Ok(Finished { exit, stdout: output.stdout, stderr: output.stderr })
    }

    /// Runs on the caller's own terminal and returns the exit code.
    ///
    /// # Errors
    /// The program cannot be started or waited for.
    pub fn run_attached(&self) -> Result<i32, ProcessError> {
        let status = self.command().status().map_err(|source| self.error(source))?;
        tracing::debug!(program = ?self.program, args = ?self.args, ?status, "child");
        Ok(exit_code(status))
    }

    /// Becomes the program: it takes this process's place, terminal and signals. Returns only if
    /// that fails.
    pub fn exec(&self) -> ProcessError {
        tracing::debug!(program = ?self.program, args = ?self.args, "exec");
        self.error(std::os::unix::process::CommandExt::exec(&mut self.command()))
    }

    /// Starts it and returns at once; both outputs go to `log`. The child is not waited for.
    ///
    /// # Errors
    /// The program cannot be started, or `log` not shared.
    pub fn spawn_detached(&self, log: std::fs::File) -> Result<u32, ProcessError> {
        self.spawn_holding(log, [None, None])
    }

    /// As [`Cmd::spawn_detached`], with these files open in it as long as it lives, in place of its
    /// standard input and output: their locks are the child's then, from its first moment on.
    ///
    /// # Errors
    /// As [`Cmd::spawn_detached`].
    pub fn spawn_holding(
        &self,
        log: std::fs::File,
        held: [Option<std::fs::File>; 2],
    ) -> Result<u32, ProcessError> {
        let mut command = self.command();
        let [input, output] = held;
        command.stdin(input.map_or_else(Stdio::null, Stdio::from));
        match output {
            Some(output) => command.stdout(output),
            None => command.stdout(log.try_clone().map_err(|source| self.error(source))?),
        };
        command.stderr(log);
        let child = command.spawn().map_err(|source| self.error(source))?;
        tracing::debug!(program = ?self.program, args = ?self.args, pid = child.id(), "detached");
        Ok(child.id())
    }

    #[expect(clippy::disallowed_methods, reason = "the one place where a child is made")]
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        if self.env_clear {
            command.env_clear();
        }
        // A relative folder in it is one of the child's own: an agent's worktree, maybe.
        let sets_path = self.env_clear || self.env.iter().any(|(key, _)| key == "PATH");
        if let Some(path) = absolute_path().filter(|_| self.dir.is_some() && !sets_path) {
            command.env("PATH", path);
        }
        for key in GIT_LOCAL_ENV {
            command.env_remove(key);
        }
        for (key, value) in &self.env {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command
    }

    fn error(&self, source: io::Error) -> ProcessError {
        ProcessError { program: self.program.to_string_lossy().into_owned(), source }
    }
}

/// Our `PATH` without what is relative in it; none where there is nothing to leave out.
fn absolute_path() -> Option<&'static OsStr> {
    static PATH: OnceLock<Option<OsString>> = OnceLock::new();
    let path = PATH.get_or_init(|| {
        let path = std::env::var_os("PATH")?;
        let (absolute, relative): (Vec<_>, Vec<_>) =
            std::env::split_paths(&path).partition(|folder| folder.is_absolute());
        // They come from a list that was split where these are joined.
        (!relative.is_empty()).then(|| std::env::join_paths(absolute).ok()).flatten()
    });
    path.as_deref()
}

/// A shell's view of how a child ended: its exit code, or 128 + n for signal n.
pub fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
