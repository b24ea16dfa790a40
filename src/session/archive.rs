//! The sessions that are over and out of sight, under one ref: so many refs need not be read by
//! every git command.
//!
//! The tree of `refs/agent/archive` names them, each with its last record, as a tree names
//! submodules: `git ls-tree refs/agent/archive` lists them. The records are parents of its commits,
//! so all they hold stays reachable, and goes along where the one ref is pushed.
//!
//! Invariant: a session's own ref goes only in the transaction that puts it here.

use super::record::{PREFIX, RecordError};
use crate::git::{CommitInfo, Draft, Expected, Identity, Mode, ObjectId, RefUpdate, Repo};

/// The ref.
pub const REF: &str = "refs/agent/archive";

/// Parents of one commit: git takes more, some who read history don't.
const AT_ONCE: usize = 64;

/// The archived sessions and their last records, by id.
///
/// # Errors
/// The ref or its tree cannot be read.
pub fn list(repo: &Repo) -> Result<Vec<(String, ObjectId)>, RecordError> {
    let Some(tip) = repo.ref_id(REF)? else { return Ok(Vec::new()) };
    let entries = repo.list_tree(repo.tree_of(tip)?)?.into_iter();
    let sessions = entries.filter(|entry| entry.mode == Mode::Commit);
    Ok(sessions.map(|entry| (entry.path.to_string(), entry.id)).collect())
}

/// Puts these sessions, ids and last records, into the archive, and takes their refs away: all of
/// them or none.
///
/// # Errors
/// One of the refs, or the archive, has moved meanwhile; or the objects cannot be written.
pub fn fold(repo: &Repo, sessions: &[(String, ObjectId)]) -> Result<(), RecordError> {
    if sessions.is_empty() {
        return Ok(());
    }
    let before = repo.ref_id(REF)?;
    let mut tip = before;
    for some in sessions.chunks(AT_ONCE) {
        tip = Some(add(repo, tip, some)?);
    }
    let mut updates = vec![RefUpdate {
        name: REF.to_owned(),
        old: before.map_or(Expected::Absent, Expected::Is),
        new: tip,
        reason: format!("agent: archive {} sessions", sessions.len()),
    }];
    updates.extend(sessions.iter().map(|(id, record)| RefUpdate {
        name: format!("{PREFIX}{id}"),
        old: Expected::Is(*record),
        new: None,
        reason: "agent: archived".to_owned(),
    }));
    Ok(repo.update_refs(&updates)?)
}

/// Gives an archived session its ref again.
///
/// # Errors
/// It has one, or it cannot be written.
pub fn take_out(repo: &Repo, id: &str, record: ObjectId) -> Result<(), RecordError> {
    Ok(repo.update_refs(&[RefUpdate {
        name: format!("{PREFIX}{id}"),
        old: Expected::Absent,
        new: Some(record),
        reason: "agent: restored from the archive".to_owned(),
    }])?)
}

/// The same sessions on the same archive make the same commit, whoever folds them: its time and
/// author are those of the newest record.
fn add(
    repo: &Repo,
    before: Option<ObjectId>,
    sessions: &[(String, ObjectId)],
) -> Result<ObjectId, RecordError> {
    let edits: Vec<_> =
        sessions.iter().map(|(id, record)| (id.as_str(), Some((Mode::Commit, *record)))).collect();
    let base = before.map(|commit| repo.tree_of(commit)).transpose()?;
    let tree = repo.edit_tree(base, &edits)?;
    let mut newest: Option<CommitInfo> = None;
    for (_, record) in sessions {
        let commit = repo.read_commit(*record)?;
        if newest.as_ref().is_none_or(|newest| newest.time.seconds < commit.time.seconds) {
            newest = Some(commit);
        }
    }
    let (who, time) = match newest {
        Some(commit) => (commit.committer, Some(commit.time)),
        None => (Identity { name: String::new(), email: String::new() }, None),
    };
    let ids: Vec<_> = sessions.iter().map(|(id, _)| format!("{id}\n")).collect();
    Ok(repo.write_commit(&Draft {
        tree,
        parents: before.into_iter().chain(sessions.iter().map(|(_, record)| *record)).collect(),
        author: who.clone(),
        committer: who,
        time,
        message: format!("Archive {} sessions\n\n{}", sessions.len(), ids.concat()),
    })?)
}
