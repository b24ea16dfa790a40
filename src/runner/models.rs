//! The models of one session: its own, and the one that goes on where that is not to be had.
//!
//! Invariant: address and key are asked for each time a model is opened, so what a person has
//! mended holds; which model goes on is what the journal says.

use super::fault;
use crate::agent::{self, Fault, prompt};
use crate::config::Config;
use crate::git::Repo;
use crate::message::ToolSpec;
use crate::model::{Choice, Endpoint, Model, Pace, Setup, Surroundings};
use crate::policy::Policy;
use crate::session::spec::Spec;

/// What it takes to open a model for a session.
pub(super) struct Models<'a> {
    pub(super) repo: &'a Repo,
    pub(super) spec: &'a Spec,
    pub(super) tools: Vec<ToolSpec>,
    pub(super) config: &'a Config,
    pub(super) policy: Option<&'a Policy>,
}

impl Models<'_> {
    /// Opens a model, `provider/model`.
    ///
    /// # Errors
    /// There is no such model, or no key for it.
    pub(super) fn open(&self, name: &str) -> Result<Model, Fault> {
        let choice: Choice = name.parse().map_err(fault)?;
        let endpoint = self.endpoint(&choice)?;
        let provider = self.config.providers.get(choice.provider());
        let model = Model::open(Setup {
            window: provider.and_then(|it| it.context_window).or(self.config.context_window),
            choice,
            endpoint,
            system: prompt::SYSTEM.to_owned(),
            tools: self.tools.clone(),
            cache_key: self.spec.id.clone(),
            max_output: None,
            effort: None,
            patience: self.config.patience,
            pace: Pace { silence: self.config.stall_timeout, ..Pace::default() },
        });
        model.map_err(fault)
    }

    fn endpoint(&self, choice: &Choice) -> Result<Endpoint, Fault> {
        let around = Surroundings {
            env: &|key| std::env::var(key).ok(),
            config: &|key| self.repo.config_value(key),
            cwd: self.repo.common_dir(),
        };
        let endpoint = Endpoint::resolve(choice, &around).map_err(fault)?;
        if let (Some(policy), Some(host)) = (self.policy, endpoint.host()) {
            policy.check_host(host).map_err(fault)?;
        }
        Ok(endpoint)
    }
}

impl agent::Models for Models<'_> {
    fn renew(&mut self, model: &mut Model) -> Result<bool, Fault> {
        let choice: Choice = model.name().parse().map_err(fault)?;
        model.reconnect(self.endpoint(&choice)?).map_err(fault)
    }

    fn instead_of(&mut self, model: &Model) -> Result<Option<Model>, Fault> {
        let other = self.spec.fallback_model.as_ref().filter(|other| **other != model.name());
        other.map(|other| self.open(other)).transpose()
    }
}
