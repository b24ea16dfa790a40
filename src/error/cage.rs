//! What keeps a command of ours from running where a session's own run, for a person.
//!
//! Invariant: what a sandbox kept from it is said with the way to allow it.

use super::{CommandError, Kind};
use crate::session::cage::CageError;

impl From<CageError> for CommandError {
    fn from(error: CageError) -> Self {
        match error {
            CageError::Policy(error) => error.into(),
            CageError::Git(error) => error.into(),
            CageError::Host(_) => Self::from_error(Kind::Usage, &error)
                .hint("git config --show-origin --get-all agent.sandbox.allowHost"),
            CageError::Sandbox(_) => {
                Self::from_error(Kind::Blocked, &error).hint("git agent doctor")
            }
            CageError::Io(_) => Self::from_error(Kind::No, &error).hint("git agent doctor"),
        }
    }
}

/// Says of a set-up that failed what it said last, and what it may have missed.
pub(super) fn set_up(
    mut failed: CommandError,
    said: &str,
    blocked: &[String],
    is_held: bool,
) -> CommandError {
    failed.causes.extend(said.lines().last().map(str::to_owned));
    if !blocked.is_empty() {
        failed.causes.push(format!("the sandbox blocked {}", blocked.join(", ")));
        let hosts = blocked.join(" ");
        let hint =
            format!("git agent start … --allow-net {hosts} (always: agent.sandbox.allowHost)");
        return failed.hint(hint);
    }
    match is_held && meets_a_wall(said) {
        true => failed.hint("It runs in the session's sandbox: git agent sandbox explain CMD"),
        false => failed,
    }
}

/// Whether what a command said reads as if it missed something that a sandbox does not show.
fn meets_a_wall(said: &str) -> bool {
    const WORDS: [&str; 6] = [
        "no such file",
        "permission denied",
        "read-only file system",
        "not permitted",
        "resolve",
        "unreachable",
    ];
    let said = said.to_lowercase();
    WORDS.iter().any(|word| said.contains(word))
}
