//! The trace: what the program does inside, for who asks, on stderr.
//!
//! Invariant: stdout never holds a line of it.

use std::io;

use tracing_subscriber::EnvFilter;

/// The variable that says what to trace, such as `debug` or `git_agent::git=trace`.
pub const VARIABLE: &str = "GIT_AGENT_LOG";

/// Begins to trace at this level, unless the variable says otherwise. Only the first call counts.
pub fn start(level: &str) {
    let asked = std::env::var(VARIABLE).ok().filter(|asked| !asked.is_empty());
    let filter = asked.unwrap_or_else(|| format!("git_agent={level}"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(io::stderr)
        .with_ansi(false)
        // It would say so with a print that panics: a full disk would kill a supervisor by its log.
        .log_internal_errors(false)
        .finish();
    // Refused where a trace runs already, which is then the one that was asked for.
    drop(tracing::subscriber::set_global_default(subscriber));
}
