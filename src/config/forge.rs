//! Pull requests: `agent.pr.*`, and forges by host, `agent.forge.<host>.*`.
//!
//! Invariant: nothing here holds a secret.

use super::value::{bad, boolean, one_of, text};
use super::{ConfigError, Entry, amount};

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

/// What pull requests tell, and how they are watched: `agent.pr.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pr {
    /// `agent.pr.cost`: what the session has cost.
    pub cost: bool,
    /// `agent.pr.record`: the session's record is pushed too.
    pub record: bool,
    /// `agent.pr.tries`: how often what is found goes back to the session.
    pub tries: u32,
    /// `agent.pr.budget`: US dollars that this may cost; none has no limit.
    pub budget: Option<f64>,
    /// `agent.pr.interval`: seconds between two looks, at first.
    pub interval: u64,
}

/// How many seconds there may be between two looks.
pub const LOOKS: std::ops::RangeInclusive<u64> = 1..=3600;

impl Default for Pr {
    fn default() -> Self {
        Self { cost: true, record: false, tries: 3, budget: None, interval: 20 }
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
            "tries" => {
                let tries = entry.value.trim().parse();
                self.tries = tries.map_err(|_| bad(entry, "a number of times, from 0"))?;
            }
            "budget" => self.budget = amount::setting(entry, amount::dollars)?.0,
            "interval" => {
                let seconds = entry.value.trim().parse().ok();
                let seconds = seconds.filter(|it| LOOKS.contains(it));
                self.interval = seconds.ok_or_else(|| bad(entry, "seconds, from 1 to 3600"))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}
