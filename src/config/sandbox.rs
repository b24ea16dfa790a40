//! `agent.sandbox` and its kin: what the commands of sessions are kept from.
//!
//! Invariant: of two levels the greater keeps more.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::value::{bad, one_of, optional};
use super::{ConfigError, Entry};

/// How much of the machine is kept from a tool.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum SandboxLevel {
    /// Nothing but the environment: commands have the rights of the user
    None,
    /// Writes outside the worktree, secrets and the network are refused; the worktree's link to its
    /// git dir is not hidden, so it is looked at after each command
    Reduced,
    /// Only the worktree can be changed, and of the rest only the system and toolchains are seen
    #[default]
    Full,
}

impl SandboxLevel {
    /// Its name, as configured.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Reduced => "reduced",
            Self::Full => "full",
        }
    }

    /// The level of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::None, Self::Reduced, Self::Full].into_iter().find(|level| level.name() == name)
    }
}

impl fmt::Display for SandboxLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is set for the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// `agent.sandbox`: the level that is asked for.
    pub level: SandboxLevel,
    /// `agent.sandbox.least`: what will do where the machine cannot do that.
    pub least: Option<SandboxLevel>,
    /// `agent.sandbox.readable`: paths that commands may read besides.
    pub readable: Vec<PathBuf>,
    /// `agent.sandbox.writable`: paths that they may change besides.
    pub writable: Vec<PathBuf>,
    /// `agent.sandbox.allowHost`: hosts that they may reach.
    pub allow_host: Vec<String>,
}

impl Sandbox {
    /// Whether there is such a setting, by its name behind `agent.sandbox.`.
    pub(super) fn set(&mut self, entry: &Entry, name: &str) -> Result<bool, ConfigError> {
        match name {
            "least" => self.least = Some(one_of(entry)?),
            "readable" => add(&mut self.readable, entry)?,
            "writable" => add(&mut self.writable, entry)?,
            name if name.eq_ignore_ascii_case("allowHost") => match optional(entry) {
                Some(host) => self.allow_host.push(host),
                None => self.allow_host.clear(),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// An empty value forgets those before it.
fn add(paths: &mut Vec<PathBuf>, entry: &Entry) -> Result<(), ConfigError> {
    let Some(value) = optional(entry) else {
        paths.clear();
        return Ok(());
    };
    let home = std::env::home_dir();
    let path = match (value.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(&value),
    };
    if !path.is_absolute() || path.parent().is_none() {
        return Err(bad(entry, "an absolute path below the root, such as ~/data"));
    }
    paths.push(path);
    Ok(())
}
