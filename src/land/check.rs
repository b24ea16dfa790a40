//! The session's verify commands, and what the policy asks for by now, run on what is about to land.
//!
//! Invariant: they run where a session's own commands run, on the very files that land.

use std::path::Path;

use super::plan::{Plan, Wish};
use super::{LandError, Unverified};
use crate::event::{Update, VerifyRecord};
use crate::git::{ObjectId, Repo, Scratch};
use crate::policy::Policy;
use crate::session::cage::{Cage, CageError};
use crate::session::spec::Spec;
use crate::session::state::State;
use crate::session::store::Session;
use crate::session::{allowed, journal};

/// Decides a landing, and holds it to what the policy of the machine asks of every session by now.
///
/// # Errors
/// As [`Plan::decide`]; or the checks that are required are to be passed over.
pub(super) fn decide(
    repo: &Repo,
    session: &Session,
    state: &State,
    wish: &Wish<'_>,
) -> Result<Plan, LandError> {
    let mut plan = Plan::decide(repo, session, state, wish)?;
    let Some(policy) = Policy::of_machine().map_err(CageError::from)? else { return Ok(plan) };
    let Some(command) = unproved(&plan, session, state, &policy)? else { return Ok(plan) };
    if wish.unverified {
        return Err(CageError::from(policy.requires(command)).into());
    }
    if plan.due.is_none() {
        plan.due = Some(Unverified::NotRun(command.to_owned()));
        plan.verified = false;
    }
    Ok(plan)
}

/// The first check that is required and did not pass on what is to land.
fn unproved<'a>(
    plan: &Plan,
    session: &Session,
    state: &State,
    policy: &'a Policy,
) -> Result<Option<&'a str>, LandError> {
    let required = policy.required_checks();
    let Some(record) = state.verify.as_ref().filter(|_| plan.verified) else {
        return Ok(required.first().map(String::as_str));
    };
    // The state knows the last command alone.
    let mut passed: Vec<_> = required.iter().filter(|it| **it == record.command).collect();
    if passed.len() < required.len() {
        for event in journal::events(&session.journal_path())? {
            if let Update::Verify(ran) = event.update
                && (ran.exit, &ran.tree) == (0, &record.tree)
            {
                passed.extend(required.iter().filter(|it| **it == ran.command));
            }
        }
    }
    Ok(required.iter().find(|it| !passed.contains(it)).map(String::as_str))
}

/// Runs the commands one after the other, until one fails; gives the last record. `program` is this
/// program, which ends what they started should this process be killed.
///
/// # Errors
/// [`LandError::Red`] if one fails; or they cannot be run.
pub(super) fn verify(
    repo: &Repo,
    spec: &Spec,
    scratch: &Scratch,
    tree: ObjectId,
    program: Option<&Path>,
) -> Result<Option<VerifyRecord>, LandError> {
    let (config, _unknown) = repo.agent_config()?;
    let cage = Cage::open(scratch.view(), spec, &config, program, &[])?;
    let policy = Policy::of_machine().map_err(CageError::from)?;
    let mut last = None;
    for command in &allowed::checks(&spec.verify, policy.as_ref()) {
        let ran = cage.run(command)?;
        if ran.exit != 0 {
            let (command, exit, output) = (command.clone(), ran.exit, ran.output);
            return Err(LandError::Red { id: spec.id.clone(), command, exit, output });
        }
        last = Some(VerifyRecord {
            command: command.clone(),
            exit: ran.exit,
            millis: ran.millis,
            tree: tree.to_string(),
            output: ran.output,
        });
    }
    Ok(last)
}
