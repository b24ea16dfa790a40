//! Pull requests: `agent.pr.*`, and forges by host, `agent.forge.<host>.*`.
//!
//! Invariant: nothing here holds a secret.

use super::value::{boolean, one_of, text};
use super::{ConfigError, Entry};

/// A kind of forge, by the interface that it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ForgeKind {
    /// GitHub, and GitHub Enterprise
    #[value(name = "github")]
    GitHub,
    /// GitLab
    #[value(name = "gitlab")]
    GitLab,
    /// Forgejo and Gitea
    #[value(name = "forgejo", alias = "gitea")]
    Forgejo,
}

/// What is set for one host: `agent.forge.<host>.*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForgeHost {
    /// `type`: what it is.
    pub kind: Option<ForgeKind>,
    /// `api`: where its interface is.
    pub api: Option<String>,
}

/// What pull requests tell: `agent.pr.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pr {
    /// `agent.pr.cost`: what the session has cost.
    pub cost: bool,
    /// `agent.pr.record`: the session's record is pushed too.
    pub record: bool,
}

impl Default for Pr {
    fn default() -> Self {
        Self { cost: true, record: false }
    }
}

impl ForgeHost {
    /// Whether there is such a setting.
    pub(super) fn set(&mut self, entry: &Entry, name: &str) -> Result<bool, ConfigError> {
        match name {
            "type" => self.kind = Some(one_of(entry)?),
            "api" => self.api = Some(text(entry)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Pr {
    /// Whether there is such a setting.
    pub(super) fn set(&mut self, entry: &Entry, name: &str) -> Result<bool, ConfigError> {
        match name {
            "cost" => self.cost = boolean(entry)?,
            "record" => self.record = boolean(entry)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}
