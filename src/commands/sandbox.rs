//! The sandbox as commands meet it: what this machine can do, and what was asked for.
//!
//! Invariant: less than was asked for is taken only where the settings allow it.

use std::path::Path;
use std::thread::JoinHandle;

use crate::config;
use crate::error::{CommandError, Kind, Result};
use crate::git::Repo;
use crate::sandbox::{self, Found, Level, Request, SandboxError};

/// How to get a full sandbox.
pub(super) const HINT: &str =
    "Install bubblewrap (the program bwrap), or let unprivileged users make user namespaces";

/// A look at what this machine can do, while something else is done.
pub(super) struct Probing(JoinHandle<std::result::Result<Found, SandboxError>>);

impl Probing {
    /// Begins to look, for sessions of this repository.
    pub(super) fn begin(repo: &Repo) -> Result<Self> {
        Self::begin_in(Some(repo))
    }

    /// Begins to look, maybe where there is no repository.
    pub(super) fn begin_in(repo: Option<&Repo>) -> Result<Self> {
        let nowhere = Path::new("/nonexistent");
        let request = Request {
            level: Level::Full,
            program: std::env::current_exe()?,
            root: nowhere.to_owned(),
            common_dir: repo.map_or(nowhere, Repo::common_dir).to_owned(),
            shadow: None,
            readable: Vec::new(),
            writable: Vec::new(),
            caller: std::env::vars_os().collect(),
        };
        Ok(Self(std::thread::spawn(move || sandbox::probe(&request))))
    }

    /// What was found.
    pub(super) fn done(self) -> Result<Found> {
        match self.0.join() {
            Ok(found) => {
                found.map_err(|error| CommandError::from_error(Kind::No, &error).hint(SHELL))
            }
            Err(_) => Err(CommandError::new(Kind::Bug, "the look for a sandbox did not end")),
        }
    }
}

const SHELL: &str = "The agent's commands run in bash, and need a folder for temporary files";

/// The level of a new session.
pub(super) fn level(
    asked: Option<Level>,
    set: &config::Sandbox,
    probing: Probing,
) -> Result<Level> {
    let asked = asked.unwrap_or(set.level);
    if asked == Level::None {
        return Ok(asked);
    }
    let found = probing.done()?;
    if found.level >= asked {
        return Ok(asked);
    }
    let least = set.least.unwrap_or(asked);
    if found.level >= least {
        return Ok(found.level);
    }
    let mut error = CommandError::new(
        Kind::Blocked,
        format!("this machine cannot do a {asked} sandbox, at most {}", found.level),
    );
    error.causes = found.reasons;
    let less = format!("git agent start … --sandbox {} asks for less", found.level);
    let always = format!("git config agent.sandbox.least {} allows less", found.level);
    Err(error.hint(HINT).hint(less).hint(always))
}
