//! The session's verify commands and gates, run on what is about to land.
//!
//! Invariant: they run where a session's own commands run, on the very files that land.

use std::path::Path;
use std::time::Duration;

use super::LandError;
use super::gates::{self, Baseline, Ground};
use super::stand::Stand;
use crate::event::VerifyRecord;
use crate::git::{ObjectId, Repo, Scratch};
use crate::measure::coverage::Watch;
use crate::session::spec::Spec;
use crate::tool::output::Cap;

/// How long one command may take.
pub(super) const LIMIT: Duration = Duration::from_secs(60 * 60);
/// How much of what it prints is kept.
pub(super) const CAP: Cap = Cap { bytes: 8 << 10, lines: 200 };

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
    let stand = Stand::open(repo, spec, scratch, program).await?;
    stand.set_up(repo).await?;
    let report = spec.gates.coverage_report.as_deref();
    let watch = spec.gates.min_coverage.map(|_| Watch::begin(scratch.path(), report));
    let mut last = None;
    for command in &spec.verify {
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
