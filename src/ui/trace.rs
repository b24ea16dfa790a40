//! The trace: what the program does inside, for who asks, on stderr.
//!
//! Invariant: stdout never holds a line of it, and no line holds a secret.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;

use crate::redact;

/// The variable that says what to trace, such as `debug` or `git_agent::git=trace`.
pub const VARIABLE: &str = "GIT_AGENT_LOG";

/// Begins to trace at this level, unless the variable says otherwise. Only the first call counts.
pub fn start(level: &str) {
    let asked = std::env::var(VARIABLE).ok().filter(|asked| !asked.is_empty());
    let filter = asked.unwrap_or_else(|| format!("git_agent={level}"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(|| WithoutSecrets(io::stderr()))
        .with_ansi(false)
        // It would say so with a print that panics: a full disk would kill a supervisor by its log.
        .log_internal_errors(false)
        .finish();
    // Refused where a trace runs already, which is then the one that was asked for.
    drop(tracing::subscriber::set_global_default(subscriber));
}

/// A line comes in one piece.
struct WithoutSecrets<W>(W);

impl<W: Write> Write for WithoutSecrets<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(redact::printed(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c09_no_line_holds_a_password() {
        let mut trace = WithoutSecrets(Vec::new());
        trace.write_all(b"WARN cannot fetch https://ada:hunter22@example.org/x\n").unwrap();
        let want = "WARN cannot fetch https://[REDACTED:login]@example.org/x\n";
        assert_eq!(String::from_utf8(trace.0).unwrap(), want);
    }
}
