//! A session, taken out of sight: worktree, branch and live state go, and its ref holds it all.
//!
//! Invariant: nothing goes before the ref holds the journal to its end and the code to its tip;
//! what no ref may hold is set aside until it expires.

use fs_err as fs;
use jiff::Timestamp;

use super::remove::{Removal, Removed, delete_branch, remove_held};
use crate::git::Repo;
use crate::plan::LandError;
use crate::plan::work::{self, Leftover, Work};
use crate::session::record::{Record, Recorder};
use crate::session::state::{Phase, State};
use crate::session::store::{Session, Store};

/// Removes a session. [`super::restore`] brings it back.
///
/// # Errors
/// It runs; its work is on no other branch, and it is not forced; or what it holds cannot be kept.
/// It is then as it was, but for its worktree, which may have been removed, and can be restored.
pub fn retire(
    repo: &Repo,
    store: &Store,
    session: &Session,
    removal: &Removal,
) -> Result<Removed, LandError> {
    let (_lock, mut state) = work::hold(repo, session)?;
    if !removal.force && has_unlanded(repo, session, &state)? {
        return Err(LandError::NotLanded(session.id.clone()));
    }
    let mut removed = take_out(repo, session, &mut state, removal)?;
    removed.branch_deleted = delete_branch(repo, session)?;
    store.set_aside(session)?;
    Ok(removed)
}

/// Removes a session whose work is not wanted: it may be on no other branch, and its ref holds it.
///
/// # Errors
/// It runs, or what it holds cannot be kept. It is then as it was, but for its worktree, which may
/// have been removed, and can be restored.
pub fn put_away(
    repo: &Repo,
    store: &Store,
    session: &Session,
    max_file_size: u64,
) -> Result<Removed, LandError> {
    let (_lock, mut state) = work::hold(repo, session)?;
    let removal = Removal { force: false, branch: false, max_file_size };
    let mut removed = take_out(repo, session, &mut state, &removal)?;
    removed.branch_deleted = delete_branch(repo, session)?;
    store.set_aside(session)?;
    Ok(removed)
}

/// Removes a session that has ended, if that is still due by its state; says whether it was. The
/// branch stays where it has work that is on no other.
///
/// # Errors
/// As [`retire`].
pub(super) fn retire_ended(
    repo: &Repo,
    store: &Store,
    session: &Session,
    removal: &Removal,
    is_due: impl FnOnce(&State) -> bool,
) -> Result<bool, LandError> {
    let (_lock, mut state) = work::hold(repo, session)?;
    // Somebody may have been there since it was listed.
    if !is_due(&state) {
        return Ok(false);
    }
    let is_landed = !has_unlanded(repo, session, &state)?;
    take_out(repo, session, &mut state, removal)?;
    if is_landed {
        delete_branch(repo, session)?;
    }
    store.set_aside(session)?;
    Ok(true)
}

/// Takes the worktree away, and puts all of the session on record.
fn take_out(
    repo: &Repo,
    session: &Session,
    state: &mut State,
    removal: &Removal,
) -> Result<Removed, LandError> {
    let worktree_only = Removal { branch: false, ..*removal };
    let removed = match remove_held(repo, session, state, &worktree_only) {
        Err(LandError::NoWorktree(_)) => {
            let path = session.spec.worktree.clone();
            Removed { path, ..Removed::default() }
        }
        removed => removed?,
    };
    seal(repo, session, state)?;
    Ok(removed)
}

/// Whether the session has work that is on no branch but its own.
///
/// # Errors
/// Its branch, record or worktree cannot be read.
pub fn has_unlanded(repo: &Repo, session: &Session, state: &State) -> Result<bool, LandError> {
    if state.phase == Phase::Landed {
        return Ok(false);
    }
    let base = repo.tree_of(repo.resolve_commit(&session.spec.base.commit)?)?;
    let work = match Work::of(repo, session, state) {
        Err(LandError::Nothing(_)) => return Ok(false),
        work => work?,
    };
    if work.tree != base {
        return Ok(true);
    }
    let is_there = fs::symlink_metadata(&session.spec.worktree).is_ok();
    match work::worktree(repo, session)?.filter(|_| is_there) {
        Some(view) => Ok(Leftover::of(&view, base)? != Leftover::default()),
        None => Ok(false),
    }
}

/// Makes sure that the session's ref holds the journal to its end, and the tip of the branch.
fn seal(repo: &Repo, session: &Session, state: &mut State) -> Result<(), LandError> {
    let last = Record::last(repo, &session.id)?;
    let code = match (last.map(|last| last.code), repo.ref_id(&session.spec.branch)?) {
        (Some(code), Some(tip)) if repo.is_ancestor(tip, code)? => code,
        (_, Some(tip)) => tip,
        (Some(code), None) => code,
        (None, None) => return Err(LandError::Nothing(session.id.clone())),
    };
    let journal = session.journal_path();
    // Days are counted from here.
    state.updated = Timestamp::now();
    let who = repo.identity().map_err(LandError::Identity)?;
    let recorder = Recorder::open(repo, &session.id)?;
    let written = recorder.write(repo, &session.spec, state, &journal, code, &who)?;
    repo.update_refs(&[written.update])?;
    Ok(state.write(&session.state_path())?)
}
