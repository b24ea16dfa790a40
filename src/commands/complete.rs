//! Completion: the shells ask this very program, so what they offer is what it understands.
//!
//! Invariant: it reads no session, only their names; whatever goes wrong, the shell gets nothing
//! and sees no error.

use std::ffi::{OsStr, OsString};

use clap_complete::{CompleteEnv, CompletionCandidate};

use crate::error::{CommandError, Kind, Result};
use crate::git::Repo;
use crate::session::store::Store;

/// The variable by which a shell asks for completions; its value is the shell's name.
pub const VARIABLE: &str = "GIT_AGENT_COMPLETE";

/// Answers a shell that asks for completions; says whether one did.
///
/// # Errors
/// The shell is not known, or the answer cannot be written.
pub fn answer(args: &[OsString], tree: fn() -> clap::Command) -> Result<bool> {
    if std::env::var_os(VARIABLE).is_none() {
        return Ok(false);
    }
    let here = std::env::current_dir().ok();
    CompleteEnv::with_factory(tree)
        .var(VARIABLE)
        .bin("git-agent")
        .try_complete(args.iter().cloned(), here.as_deref())
        .map_err(|error| CommandError::from_error(Kind::Usage, &error))
}

/// The ids of sessions that begin with what is typed.
pub fn sessions(typed: &OsStr) -> Vec<CompletionCandidate> {
    let (Some(typed), Ok(here)) = (typed.to_str(), std::env::current_dir()) else {
        return Vec::new();
    };
    let Ok(repo) = Repo::discover(&here) else { return Vec::new() };
    let ids = Store::open(repo.common_dir()).ids().unwrap_or_default();
    let meant = ids.into_iter().filter(|id| id.starts_with(typed));
    meant.map(CompletionCandidate::new).collect()
}
