//! Where a session's work goes: a local branch, and the checkouts that follow it.
//!
//! Invariant: a branch that git itself would not move, because an unfinished rebase or bisect comes
//! back to it, is no target.

use super::LandError;
use super::checkout::Checkout;
use crate::git::operation::{self, Operation};
use crate::git::{Head, ObjectId, RefError, Repo};
use crate::session::spec::Spec;

/// A branch to land on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its full name, `refs/heads/main`.
    pub branch: String,
    /// Where it is.
    pub tip: ObjectId,
    /// The checkouts that are on it.
    pub checkouts: Vec<Checkout>,
}

impl Target {
    /// The branch that is meant: `into`, else the one that the session started from, else the one
    /// that is checked out in the main checkout, or that `HEAD` of a bare repository names.
    ///
    /// # Errors
    /// There is none, it is the session's own, or git is in the middle of something with it.
    pub fn find(repo: &Repo, spec: &Spec, into: Option<&str>) -> Result<Self, LandError> {
        let (branch, tip) = meant(repo, spec, into)?;
        let mut checkouts = checkouts(repo, &branch)?;
        if spec.base.carried_on.is_some() {
            let carried = repo.resolve_commit(&spec.base.commit)?;
            let carried = repo.tree_of(carried)?;
            checkouts.iter_mut().for_each(|checkout| checkout.carried = Some(carried));
        }
        Ok(Self { branch, tip, checkouts })
    }

    /// Its name as people say it.
    pub fn name(&self) -> &str {
        short(&self.branch)
    }
}

/// The branch that is meant, and where it is; nobody is asked whether it may move.
///
/// # Errors
/// There is none, or it is the session's own.
pub fn meant(
    repo: &Repo,
    spec: &Spec,
    into: Option<&str>,
) -> Result<(String, ObjectId), LandError> {
    let branch = match into {
        Some(given) => full_name(given),
        None => match started_from(repo, spec)? {
            Some(branch) => branch,
            None => main_branch(repo)?,
        },
    };
    if branch == spec.branch {
        return Err(LandError::OwnBranch(short(&branch).to_owned()));
    }
    let not_a_branch = || LandError::NotABranch(into.unwrap_or(short(&branch)).to_owned());
    let tip = match repo.ref_id(&branch) {
        Ok(tip) => tip.ok_or_else(not_a_branch)?,
        Err(RefError::BadName(_)) => return Err(not_a_branch()),
        Err(error) => return Err(error.into()),
    };
    Ok((branch, tip))
}

/// A branch's full name as people say it; one of a remote with the remote's name.
pub fn short(branch: &str) -> &str {
    let prefixes = ["refs/heads/", "refs/remotes/"];
    prefixes.iter().find_map(|prefix| branch.strip_prefix(prefix)).unwrap_or(branch)
}

/// `main` is never looked for among tags and remotes.
fn full_name(given: &str) -> String {
    if given.starts_with("refs/") { given.to_owned() } else { format!("refs/heads/{given}") }
}

/// The local branch that the session started from, if it is there still.
fn started_from(repo: &Repo, spec: &Spec) -> Result<Option<String>, LandError> {
    if spec.base.name == "HEAD" {
        return Ok(None);
    }
    let branch = full_name(&spec.base.name);
    match repo.ref_id(&branch) {
        Ok(Some(_)) if branch.starts_with("refs/heads/") => Ok(Some(branch)),
        // A tag, a commit, an expression.
        Ok(_) | Err(RefError::BadName(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn main_branch(repo: &Repo) -> Result<String, LandError> {
    match repo.view_of(repo.common_dir())?.head()? {
        Head::Branch { name, .. } => Ok(name),
        Head::Unborn(_) | Head::Detached(_) => Err(LandError::NoTarget),
    }
}

/// The checkouts on this branch, each of them free to follow it.
fn checkouts(repo: &Repo, branch: &str) -> Result<Vec<Checkout>, LandError> {
    let mut checkouts = Vec::new();
    for entry in repo.worktrees()? {
        let on_it = entry.branch.as_deref() == Some(branch);
        let held = operation::held_branches(&entry.git_dir).iter().any(|held| held == branch);
        if !on_it && !held {
            continue;
        }
        if let Some(operation) = operation::in_git_dir(&entry.git_dir) {
            return Err(LandError::Busy { path: entry.path, operation });
        }
        // One whose folder is away has no files to update; it is behind when it comes back, which
        // git shows there.
        if on_it && !entry.missing {
            checkouts.push(Checkout { path: entry.path, git_dir: entry.git_dir, carried: None });
        }
    }
    // A bare repository has a `HEAD` and no files.
    let mut with_files = Vec::new();
    for checkout in checkouts {
        let view = repo.view_of(&checkout.git_dir)?;
        if view.work_dir().is_none() {
            continue;
        }
        let unmerged = view.git().args(["ls-files", "--unmerged"]).run()?;
        if !unmerged.stdout.is_empty() {
            return Err(LandError::Busy { path: checkout.path, operation: Operation::Unmerged });
        }
        with_files.push(checkout);
    }
    Ok(with_files)
}
