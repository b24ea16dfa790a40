//! A child that stays beside this process and ends with it.
//!
//! Invariant: it is told to end by the end of its input, which comes however this process dies;
//! and it is waited for, so that no zombie is left.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use super::{Cmd, ProcessError};

/// The child, with what it says. Dropping it ends it.
#[derive(Debug)]
pub struct Companion {
    child: Child,
    /// `None` only while it is dropped.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Cmd {
    /// Starts it as a companion, in a process group of its own.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn accompany(&self) -> Result<Companion, ProcessError> {
        use std::os::unix::process::CommandExt;
        let mut command = self.command();
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| self.error(source))?;
        let input = child.stdin.take();
        let missing = || self.error(io::Error::other("it has no output"));
        let output = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        Ok(Companion { child, input, output })
    }
}

impl Companion {
    /// The next line that it says.
    ///
    /// # Errors
    /// It ended without; the error is its complaint.
    pub fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? > 0 {
            return Ok(line.trim_end().to_owned());
        }
        let mut complaint = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut complaint)?;
        }
        let complaint = complaint.trim().lines().next_back().unwrap_or("it ended");
        Err(io::Error::other(complaint.to_owned()))
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        drop(self.input.take());
        if let Err(error) = self.child.wait() {
            tracing::warn!(%error, "a companion was not waited for");
        }
    }
}
