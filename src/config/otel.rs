//! Where traces of sessions go: `agent.otel.*`.
//!
//! Invariant: no word of a person or a model leaves the machine unless that is set.

use super::value::{boolean, optional};
use super::{ConfigError, Entry};

/// Where traces of sessions go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Otel {
    /// `agent.otel.endpoint`: the address of an OpenTelemetry collector.
    pub endpoint: Option<String>,
    /// `agent.otel.content`: whether what is said and done goes there too.
    pub content: bool,
}

impl Otel {
    /// Why nothing goes to the address that is set, if that is so.
    pub fn unheeded(&self) -> Option<&'static str> {
        let is_unheeded = self.endpoint.is_some() && !cfg!(feature = "otel");
        is_unheeded.then_some(
            "agent.otel.endpoint is set, and no traces are sent: this git-agent was built without \
             the feature otel",
        )
    }

    /// Whether there is such a setting.
    pub(super) fn set(&mut self, entry: &Entry, name: &str) -> Result<bool, ConfigError> {
        match name {
            "endpoint" => self.endpoint = optional(entry),
            "content" => self.content = boolean(entry)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}
