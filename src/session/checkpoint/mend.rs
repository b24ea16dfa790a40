//! A branch that is not where its session left it because somebody deleted it, or because a kill
//! came between the files of two refs: the session's ref moves first, the branch after it.
//!
//! Invariant: a branch only ever moves on to what its session's ref says, from where nobody else has
//! moved it.

use super::CheckpointError;
use super::foreign::left;
use crate::git::{Expected, ObjectId, RefUpdate, Repo};
use crate::session::record::{self, Record};
use crate::session::spec::Spec;

/// Makes a session's branch again where it is gone, from the last record; says whether it did.
///
/// # Errors
/// The record cannot be read, or the ref not be written.
pub fn make_branch_again(repo: &Repo, spec: &Spec) -> Result<bool, CheckpointError> {
    if repo.ref_id(&spec.branch)?.is_some() {
        return Ok(false);
    }
    let Some(tip) = repo.ref_id(&format!("{}{}", record::PREFIX, spec.id))? else {
        return Ok(false);
    };
    let record = Record::read(repo, tip)?;
    let head = left(repo, &record).unwrap_or(record.code);
    repo.update_refs(&[RefUpdate {
        name: spec.branch.clone(),
        old: Expected::Absent,
        new: Some(head),
        reason: "agent: made again".to_owned(),
    }])?;
    Ok(true)
}

/// Moves a session's branch on to the commit that its last record says it is at, where it never
/// came there; says whether it did.
///
/// # Errors
/// The record cannot be read, or the ref not be written.
pub fn move_branch_on(repo: &Repo, spec: &Spec) -> Result<bool, CheckpointError> {
    let Some(record) = Record::last(repo, &spec.id)? else { return Ok(false) };
    let (Some(tip), Some(head)) = (repo.ref_id(&spec.branch)?, left(repo, &record)) else {
        return Ok(false);
    };
    if tip == head || !repo.is_ancestor(tip, head)? || was_there(repo, &spec.branch, head) {
        return Ok(false);
    }
    repo.update_refs(&[RefUpdate {
        name: spec.branch.clone(),
        old: Expected::Is(tip),
        new: Some(head),
        reason: format!("agent: step {}", record.state.step),
    }])?;
    Ok(true)
}

/// Whether a branch was ever at this commit: then a person has moved it away. Without a reflog
/// nobody knows, and nothing is moved.
fn was_there(repo: &Repo, branch: &str, commit: ObjectId) -> bool {
    let done = repo.git().args(["reflog", "show", "--format=%H", branch, "--"]).run();
    let said = done.map(|done| String::from_utf8_lossy(&done.stdout).into_owned());
    let said = said.unwrap_or_default();
    let commit = commit.to_string();
    said.is_empty() || said.lines().any(|line| line == commit)
}
