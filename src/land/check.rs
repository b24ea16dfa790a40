//! The session's verify commands and gates, and what the policy asks for by now, run on what is
//! about to land.
//!
//! Invariant: they run where a session's own commands run, on the very files that land.

use std::path::{Path, PathBuf};

use super::gates::{self, Baseline, Ground};
use super::stand::Stand;
use crate::event::{Update, VerifyRecord};
use crate::git::{ObjectId, Repo, Scratch};
use crate::measure::coverage::Watch;
use crate::plan::{LandError, Plan, Unverified, Wish};
use crate::policy::Policy;
use crate::session::cage::CageError;
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
    held_to_policy(Plan::decide(repo, session, state, wish)?, session, state, wish)
}

/// A plan, held to what the policy of the machine asks of every session by now.
///
/// # Errors
/// The checks that are required are to be passed over.
pub(super) fn held_to_policy(
    mut plan: Plan,
    session: &Session,
    state: &State,
    wish: &Wish<'_>,
) -> Result<Plan, LandError> {
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

/// Runs a session's commands on a commit that is not, or no longer, the one that it verified, as
/// before a landing.
///
/// # Errors
/// [`LandError::Red`] if one fails; or they cannot be run.
pub fn again(
    repo: &Repo,
    spec: &Spec,
    commit: ObjectId,
    program: &Path,
) -> Result<Option<VerifyRecord>, LandError> {
    let tree = repo.tree_of(commit)?;
    let scratch = repo.scratch(&scratch_folder(spec), commit, tree)?;
    scratch.put(tree)?;
    let tip = repo.resolve_commit(&spec.base.commit)?;
    verify(repo, &Candidate { spec, scratch: &scratch, tree, tip, program: Some(program) })
}

/// Where the files to look at are put: beside the session's worktree, on the same disk.
pub(super) fn scratch_folder(spec: &Spec) -> PathBuf {
    let beside = spec.worktree.parent().filter(|folder| folder.is_dir());
    beside.map_or_else(std::env::temp_dir, Path::to_owned)
}

/// What is to be checked.
pub(super) struct Candidate<'a> {
    /// What the session was asked.
    pub(super) spec: &'a Spec,
    /// Its files.
    pub(super) scratch: &'a Scratch,
    /// They are this tree.
    pub(super) tree: ObjectId,
    /// The commit that it is compared with.
    pub(super) tip: ObjectId,
    /// This program, which ends what was started should this process be killed.
    pub(super) program: Option<&'a Path>,
}

/// Runs the commands one after the other, until one fails, then the gates; gives the last record.
///
/// # Errors
/// [`LandError::Red`] if one fails; or they cannot be run.
pub(super) fn verify(
    repo: &Repo,
    candidate: &Candidate<'_>,
) -> Result<Option<VerifyRecord>, LandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(verified(repo, candidate))
}

async fn verified(
    repo: &Repo,
    candidate: &Candidate<'_>,
) -> Result<Option<VerifyRecord>, LandError> {
    let Candidate { spec, scratch, tree, tip, program } = *candidate;
    let policy = Policy::of_machine().map_err(CageError::from)?;
    let stand = Stand::open(repo, spec, scratch, program).await?;
    stand.set_up(repo).await?;
    let report = spec.gates.coverage_report.as_deref();
    let watch = spec.gates.min_coverage.map(|_| Watch::begin(scratch.path(), report));
    let mut last = None;
    for command in &allowed::checks(&spec.verify, policy.as_ref()) {
        let ran = stand.run(command).await?;
        let record = VerifyRecord {
            command: command.clone(),
            exit: ran.exit,
            millis: ran.millis,
            tree: tree.to_string(),
            output: ran.output,
            gate: None,
        };
        last = Some(green(spec, record)?);
    }
    let tree = tree.to_string();
    let ground = Ground { tools: stand.tools(), watch: watch.as_ref(), tree: &tree };
    let folder = scratch.path().ancestors().nth(2).unwrap_or(scratch.path());
    let baseline = Baseline { repo, spec, commit: tip, program, folder };
    for record in gates::measure(&ground, &baseline, None).await? {
        last = Some(green(spec, record)?);
    }
    Ok(last)
}

fn green(spec: &Spec, record: VerifyRecord) -> Result<VerifyRecord, LandError> {
    match record {
        VerifyRecord { exit: 0, .. } => Ok(record),
        VerifyRecord { command, exit, output, .. } => {
            Err(LandError::Red { id: spec.id.clone(), command, exit, output })
        }
    }
}
