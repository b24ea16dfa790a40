//! Whether the policy of this machine allows a session: when it starts, goes on, or is run.
//!
//! Invariant: what is asked of the policy is what the session will do, limits that were raised
//! included; so a policy that was tightened meanwhile holds for what rests too.

use std::path::PathBuf;

use super::spec::{Limits, Spec};
use super::state::State;
use crate::git::Repo;
use crate::policy::{Caps, Policy, PolicyError, Wish};

/// Refuses a session that the policy does not allow; gives the policy, if there is one.
///
/// # Errors
/// A rule forbids it, or the policy cannot be read.
pub fn check(repo: &Repo, spec: &Spec, state: &State) -> Result<Option<Policy>, PolicyError> {
    let Some(policy) = Policy::of_machine()? else { return Ok(None) };
    let limits = state.limits.unwrap_or(spec.limits);
    policy.check(&Wish {
        folder: &folder(repo),
        models: spec.fallback_model.iter().chain([&spec.model]).map(String::as_str).collect(),
        sandbox: &spec.sandbox,
        limits: caps(&limits),
    })?;
    Ok(Some(policy))
}

/// The folder that a policy knows a repository by: its main checkout, or its git dir.
pub fn folder(repo: &Repo) -> PathBuf {
    let folder = repo.main_work_dir().unwrap_or_else(|| repo.common_dir().to_owned());
    fs_err::canonicalize(&folder).unwrap_or(folder)
}

/// Limits as a policy caps them.
pub fn caps(limits: &Limits) -> Caps {
    let Limits { budget, max_steps, max_tokens, timeout } = *limits;
    Caps { budget, max_steps, max_tokens, timeout }
}

/// The checks of a session, with those that the policy requires.
pub fn checks(own: &[String], policy: Option<&Policy>) -> Vec<String> {
    let required = policy.map_or(&[][..], Policy::required_checks);
    let missing = required.iter().filter(|check| !own.contains(check));
    own.iter().chain(missing).cloned().collect()
}
