//! A landing, taken back.
//!
//! Invariant: a branch goes back only from the very commit that the landing left it at; what was
//! landed stays reachable by the backup.

use jiff::Timestamp;

use super::apply::{advance, retell, short_id};
use crate::git::{Draft, Expected, ObjectId, RefUpdate, Repo};
use crate::plan::LandError;
use crate::plan::target::{self, Target};
use crate::plan::work;
use crate::session::state::Phase;
use crate::session::store::Session;

/// Where backups are: one ref a session, called after its id, which has no slash.
const PREFIX: &str = "refs/agent-backup/";
/// How the line of a backup begins that names the branch.
const BRANCH: &str = "Branch: ";

/// A landing that was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The branch, `refs/heads/main`.
    pub branch: String,
    /// The commit that was landed.
    pub landed: ObjectId,
    /// Where the branch is again.
    pub commit: ObjectId,
}

/// Takes the last landing of a session back.
///
/// # Errors
/// There is none, the branch has moved since, or files of its checkout are in the way.
pub fn undo(repo: &Repo, session: &Session) -> Result<Undone, LandError> {
    let (_lock, mut state) = work::hold(repo, session)?;
    let no_backup = || LandError::NoBackup(session.id.clone());
    let backup = repo.ref_id(&name(&session.id))?.ok_or_else(no_backup)?;
    let info = repo.read_commit(backup)?;
    let branch = info.message.lines().find_map(|line| line.strip_prefix(BRANCH));
    let (Some(branch), &[commit, landed]) = (branch, info.parents.as_slice()) else {
        return Err(no_backup());
    };
    let target = Target::find(repo, &session.spec, Some(branch))?;
    let (name, id) = (target.name().to_owned(), session.id.clone());
    // The session could not be told so without it, when the branch is back already.
    repo.identity().map_err(LandError::Identity)?;
    let (old_tree, tree) = (repo.tree_of(landed)?, repo.tree_of(commit)?);
    if target.tip == landed {
        for checkout in &target.checkouts {
            checkout.rehearse(repo, old_tree, tree)?;
        }
        let reason = format!("agent: undo the landing of {}", session.id);
        advance(repo, &target, commit, tree, &reason)?;
    } else if target.tip != commit {
        return Err(LandError::MovedSince {
            branch: name,
            id,
            revert: revert(repo, landed, commit)?,
        });
    } else if state.phase == Phase::Landed {
        // An undo that was cut off: what the checkouts still have of the landing goes too.
        for checkout in &target.checkouts {
            checkout.catch_up(repo, old_tree, tree)?;
        }
    } else {
        return Err(LandError::TakenBack { branch: name, id });
    }
    if state.phase == Phase::Landed {
        let reason = format!("its landing on {} was undone", target::short(branch));
        let work = work::Work::of(repo, session, &state)?;
        retell(repo, session, &mut state, Phase::Done, &reason, work.commit)?;
    }
    Ok(Undone { branch: branch.to_owned(), landed, commit })
}

/// What `git revert` is to be given to take back what moved a branch from `old` to `landed`.
fn revert(repo: &Repo, landed: ObjectId, old: ObjectId) -> Result<String, LandError> {
    Ok(match repo.read_commit(landed)?.parents.as_slice() {
        [_, _, ..] => format!("-m 1 {}", short_id(landed)),
        [parent] if *parent == old => short_id(landed),
        _ => format!("{}..{}", short_id(old), short_id(landed)),
    })
}

/// Writes down where a branch was before a landing.
///
/// # Errors
/// The ref cannot be written.
pub(super) fn back_up(
    repo: &Repo,
    id: &str,
    branch: &str,
    old: ObjectId,
    new: ObjectId,
) -> Result<(), LandError> {
    let who = repo.identity().map_err(LandError::Identity)?;
    let short = target::short(branch);
    let backup = repo.write_commit(&Draft {
        tree: repo.tree_of(old)?,
        parents: vec![old, new],
        author: who.clone(),
        committer: who,
        time: None,
        message: format!(
            "{short} before {id} landed\n\n{BRANCH}{branch}\nWas: {}\nTime: {}\n",
            short_id(old),
            Timestamp::now(),
        ),
    })?;
    Ok(repo.update_refs(&[RefUpdate {
        name: name(id),
        old: Expected::Any,
        new: Some(backup),
        reason: format!("agent: before {id} lands"),
    }])?)
}

/// Takes the backup of a session away: it is over.
///
/// # Errors
/// The ref cannot be deleted.
pub fn forget(repo: &Repo, id: &str) -> Result<(), LandError> {
    let name = name(id);
    let Some(backup) = repo.ref_id(&name)? else { return Ok(()) };
    let (old, reason) = (Expected::Is(backup), format!("agent: {id} is over"));
    Ok(repo.update_refs(&[RefUpdate { name, old, new: None, reason }])?)
}

fn name(id: &str) -> String {
    format!("{PREFIX}{id}")
}
