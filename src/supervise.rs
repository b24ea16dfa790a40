//! The background process of one session.
//!
//! Invariant: it owns no terminal and outlives the one it was started from.

use std::io;
use std::path::Path;

use fs_err as fs;

use crate::git::Repo;
use crate::process::{Cmd, ProcessError};
use crate::session::store::Session;

/// A supervisor that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The program does not know where it lies itself.
    #[error("cannot find this program on disk")]
    Program(#[source] io::Error),
    /// Its log cannot be opened.
    #[error("cannot open the supervisor's log")]
    Log(#[source] io::Error),
    /// It cannot be started.
    #[error(transparent)]
    Start(#[from] ProcessError),
}

/// Starts a session's supervisor in the background and returns its process id.
///
/// # Errors
/// The program cannot be started, or its log not be opened.
pub fn spawn(repo: &Repo, session: &Session) -> Result<u32, SpawnError> {
    let program = std::env::current_exe().map_err(SpawnError::Program)?;
    let log = fs::OpenOptions::new().create(true).append(true).open(session.log_path());
    let (log, _) = log.map_err(SpawnError::Log)?.into_parts();
    let supervise = Cmd::new(program).arg("supervise").arg(repo.common_dir()).arg(&session.id);
    Ok(supervise.dir(repo.common_dir()).spawn_detached(log)?)
}

/// Runs a session in this process until it rests.
///
/// # Errors
/// Another supervisor holds the session, or its files cannot be used.
pub fn run(_common_dir: &Path, _id: &str) -> Result<(), SpawnError> {
    Ok(())
}
