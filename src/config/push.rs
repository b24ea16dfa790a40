//! What is asked of agents' commits before they leave the machine: `agent.push.*`.
//!
//! Invariant: what is not set is as strict as an ordinary day allows.

use super::value::{boolean, size};
use super::{ConfigError, Entry};

/// What is asked of agents' commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// `agent.push.requireVerify`: the session's verify commands have passed on the very tree.
    pub require_verify: bool,
    /// `agent.push.requireSquash`: no commit of a single step.
    pub require_squash: bool,
    /// `agent.push.requireSignature`: a good signature on each.
    pub require_signature: bool,
    /// `agent.push.maxSize`: what they may add together, in bytes.
    pub max_size: u64,
}

impl Default for Push {
    fn default() -> Self {
        Self {
            require_verify: true,
            require_squash: false,
            require_signature: false,
            max_size: 50 << 20,
        }
    }
}

impl Push {
    /// Whether there is such a setting.
    pub(super) fn set(&mut self, entry: &Entry, name: &str) -> Result<bool, ConfigError> {
        match name {
            "requireverify" => self.require_verify = boolean(entry)?,
            "requiresquash" => self.require_squash = boolean(entry)?,
            "requiresignature" => self.require_signature = boolean(entry)?,
            "maxsize" => self.max_size = size(entry)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}
