//! What is to be merged: the work of a session, or the tip of a branch.
//!
//! Invariant: the stamp names every id that the work follows from, and is read without it.

use super::LandError;
use crate::git::{ObjectId, Repo};
use crate::plan::target;
use crate::plan::work::Work;
use crate::session::state::State;
use crate::session::store::Session;

/// One of two that are to come together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Side {
    /// The session's id, or the full name of a branch.
    pub(super) id: String,
    /// What it is now, in object ids.
    pub(super) stamp: String,
    /// The commit that holds it.
    pub(super) commit: ObjectId,
}

impl Side {
    /// What a session has to land.
    ///
    /// # Errors
    /// It has nothing, or that cannot be read.
    pub(super) fn of(repo: &Repo, session: &Session, state: &State) -> Result<Self, LandError> {
        let commit = Work::of(repo, session, state)?.commit;
        Ok(Self { id: session.id.clone(), stamp: stamp(repo, session, state)?, commit })
    }

    /// The branch that a session is for; none where none is known.
    ///
    /// # Errors
    /// The branch cannot be read.
    pub(super) fn target(repo: &Repo, session: &Session) -> Result<Option<Self>, LandError> {
        let (id, commit) = match target::meant(repo, &session.spec, None) {
            Err(LandError::NoTarget | LandError::NotABranch(_) | LandError::OwnBranch(_)) => {
                return Ok(None);
            }
            found => found?,
        };
        Ok(Some(Self { id, stamp: commit.to_string(), commit }))
    }
}

/// What [`Work::of`] follows from: the tip of the branch, and what of the state is beyond it.
///
/// # Errors
/// The branch cannot be read.
pub(super) fn stamp(repo: &Repo, session: &Session, state: &State) -> Result<String, LandError> {
    let tip = repo.ref_id(&session.spec.branch)?.map(|tip| tip.to_string());
    let ids = [tip.as_deref(), state.head.as_deref(), state.tree.as_deref()];
    Ok(ids.map(|id| id.unwrap_or("-")).join(" "))
}
