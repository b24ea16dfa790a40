//! A batch whose list was lost, found again in its sessions: each says which batch it is of.
//!
//! Invariant: what a list has is not changed by what is found; a session is in it once.

use std::path::{Path, PathBuf};

use super::list::{Batch, Member, Pulls};
use crate::error::Result;
use crate::git::Repo;
use crate::session::pull::PullWish;
use crate::session::spec::Spec;
use crate::session::store::{Session, Store};

/// Adds to these batches what the sessions of the repositories say, and gives the ids of those that
/// it was news for.
///
/// # Errors
/// A folder is in no repository, or its sessions cannot be listed.
pub(super) fn find(batches: &mut Vec<Batch>, folders: &[PathBuf]) -> Result<Vec<String>> {
    let mut news = Vec::new();
    for folder in folders {
        let repo = Repo::discover(folder)?;
        for session in Store::open(repo.common_dir()).list()?.sessions {
            if let Some(id) = &session.spec.batch
                && add(batches, id, folder, &session)?
            {
                news.push(id.clone());
            }
        }
    }
    news.dedup();
    batches.sort_by_key(|batch| batch.created);
    Ok(news)
}

fn add(batches: &mut Vec<Batch>, id: &str, folder: &Path, session: &Session) -> Result<bool> {
    let at = match batches.iter().position(|batch| batch.id == id) {
        Some(at) => at,
        None => {
            batches.push(begun(id, session)?);
            batches.len() - 1
        }
    };
    let batch = &mut batches[at];
    if batch.members.iter().any(|member| member.session.as_ref() == Some(&session.id)) {
        return Ok(false);
    }
    batch.created = batch.created.min(session.spec.created);
    let path = folder.to_owned();
    batch.members.push(Member { path, session: Some(session.id.clone()), error: None });
    Ok(true)
}

/// What one of its sessions says of a batch.
fn begun(id: &str, session: &Session) -> Result<Batch> {
    let Spec { task, created, limits, share_budget, .. } = &session.spec;
    let wish = PullWish::read(session)?;
    let options = wish.map(|wish| {
        let of_each = wish.options.into_iter().filter(|it| it != "--in-background");
        Pulls::new(of_each.filter(|it| it != super::pull::WATCH).collect(), false)
    });
    Ok(Batch {
        id: id.to_owned(),
        created: *created,
        budget: limits.budget.filter(|_| share_budget.is_some()),
        exec: session.spec.command(),
        pulls: options,
        ..Batch::new(task, &[])?
    })
}
