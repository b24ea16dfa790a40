//! A program run in a test's home, and all that it said.
//!
//! Invariant: the child sees no variable but those set here, and never runs longer than its limit.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use std::{io::Write, thread};

use super::home::Home;

/// A program to run.
pub struct Cmd {
    command: Command,
    stdin: Vec<u8>,
    limit: Duration,
}

/// What a program said, and its exit code; 128 + n for signal n.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Out {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit code.
    pub code: i32,
}

impl Out {
    /// A quiet success that printed this.
    pub fn ok(stdout: &str) -> Self {
        Self { stdout: stdout.to_owned(), stderr: String::new(), code: 0 }
    }

    /// Asserts that the exit code is 0, and gives what was printed.
    pub fn success(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.stdout
    }
}

impl Cmd {
    #[expect(clippy::disallowed_methods, reason = "tests start the program as a user does")]
    pub(super) fn new(home: &Home, program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.env_clear().envs(home.env());
        Self { command, stdin: Vec::new(), limit: Duration::from_secs(60) }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// Runs in this folder.
    #[must_use]
    pub fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Sets variables.
    #[must_use]
    pub fn envs(mut self, all: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        self.command.envs(all);
        self
    }

    /// Feeds it this; it else gets nothing.
    #[must_use]
    pub fn stdin(mut self, text: &str) -> Self {
        self.stdin = text.into();
        self
    }

    /// Allows it this long, instead of a minute.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to the end.
    ///
    /// # Panics
    /// It cannot be started, prints what is not UTF-8, or runs longer than its limit. That limit
    /// is also met when something it left in the background holds on to its outputs.
    pub fn run(mut self) -> Out {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let shown = format!("{:?}", self.command.get_args());
        let mut child = self.command.spawn().expect("the program can be started");
        let mut feed = child.stdin.take().expect("it is piped");
        let stdin = self.stdin;
        // A child may end without reading what it is fed.
        let feeder = thread::spawn(move || drop(feed.write_all(&stdin)));
        let (ended, end) = channel::<()>();
        let waiter = thread::spawn(move || {
            let output = child.wait_with_output();
            drop(ended);
            output
        });
        let timely = end.recv_timeout(self.limit) == Err(RecvTimeoutError::Disconnected);
        // The child and what holds its outputs belong to the home, which ends them.
        assert!(timely, "still runs after {:?}: {shown}", self.limit);
        feeder.join().expect("it does not panic");
        let output = waiter.join().expect("it does not panic").expect("a child can be waited for");
        Out {
            stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
            code: git_agent::process::exit_code(output.status),
        }
    }
}
