//! Submodules of a new worktree: initialised from the clones that the repository has already.
//!
//! Invariant: nothing is fetched from the network, and whether all can be had is known before
//! anything is made.

use std::path::PathBuf;

use crate::git::{Mode, ObjectError, ObjectId, OpenError, Repo};
use crate::process::{Cmd, ProcessError};

/// A submodule whose commit is in the repository's own clone of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submodule {
    /// Its name in `.gitmodules`.
    pub name: String,
    /// Its path in the worktree.
    pub path: String,
    /// The clone: `modules/<name>` in the common git dir.
    pub clone: PathBuf,
}

/// A submodule that cannot be initialised.
#[derive(Debug, thiserror::Error)]
pub enum SubmoduleError {
    /// It was never cloned here, or its clone lacks the commit.
    #[error("submodule '{path}' has no commit {commit} in this clone")]
    Absent {
        /// Its path.
        path: String,
        /// The commit that is recorded.
        commit: ObjectId,
    },
    /// git could not initialise it.
    #[error("cannot initialise submodule '{path}': {said}")]
    Git {
        /// Its path.
        path: String,
        /// What git said.
        said: String,
    },
    /// The tree cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// An initialised submodule cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// git could not run.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// The submodules of a commit, all of them to be had from the clones of this repository. One that
/// the user has switched off (`submodule.<name>.update = none`) is not among them.
///
/// # Errors
/// One is not to be had, or the commit cannot be read.
pub fn available(repo: &Repo, commit: ObjectId) -> Result<Vec<Submodule>, SubmoduleError> {
    let tree = repo.tree_of(commit)?;
    if repo.entry(tree, ".gitmodules")?.is_none() {
        return Ok(Vec::new());
    }
    let blob = format!("{commit}:.gitmodules");
    let paths = ["config", "--blob", &blob, "-z", "--get-regexp", r"^submodule\..*\.path$"];
    let listed = repo.git().args(paths).run()?;
    let mut submodules = Vec::new();
    for entry in String::from_utf8_lossy(&listed.stdout).split('\0') {
        let Some((key, path)) = entry.split_once('\n') else { continue };
        let Some(name) = key.strip_prefix("submodule.").and_then(|k| k.strip_suffix(".path"))
        else {
            continue;
        };
        let recorded = repo.entry(tree, path)?.filter(|entry| entry.mode == Mode::Commit);
        let Some(commit) = recorded.map(|entry| entry.id) else { continue };
        if repo.config_value(&format!("submodule.{name}.update")).as_deref() == Some("none") {
            continue;
        }
        // git refuses such a name too (submodule-config.c): it would leave `modules/`.
        let climbs = name.split(['/', '\\']).any(|part| part == "..");
        let clone = repo.common_dir().join("modules").join(name);
        if climbs || !has_commit(&clone, commit) {
            return Err(SubmoduleError::Absent { path: path.to_owned(), commit });
        }
        submodules.push(Submodule { name: name.to_owned(), path: path.to_owned(), clone });
    }
    Ok(submodules)
}

/// Initialises these submodules of a new worktree, with the submodules they have themselves, and
/// gives the paths of those at the top.
///
/// # Errors
/// One cannot be initialised, or has a submodule that is not to be had.
pub fn init(
    repo: &Repo,
    checkout: &Repo,
    submodules: &[Submodule],
) -> Result<Vec<String>, SubmoduleError> {
    for Submodule { name, path, clone } in submodules {
        let failed = |said: &[u8]| SubmoduleError::Git {
            path: path.clone(),
            said: String::from_utf8_lossy(said).trim().to_owned(),
        };
        let url = repo.config_value(&format!("submodule.{name}.url"));
        let updated = git_in(checkout)
            .args(["-c", "protocol.file.allow=always", "-c"])
            .arg(format!("submodule.{name}.url={}", clone.display()))
            .args(["submodule", "--quiet", "update", "--init", "--checkout", "--", path])
            .run()?;
        if updated.exit != 0 {
            return Err(failed(&updated.stderr));
        }
        // Where git has just made it: what stands in the checkout is not asked.
        let inner = Repo::open(&checkout.git_dir().join("modules").join(name))?;
        if let Some(url) = url {
            let named = inner.git().args(["config", "remote.origin.url", &url]).run()?;
            if named.exit != 0 {
                return Err(failed(&named.stderr));
            }
        }
        // What it has itself is among the clones of the user's own clone of it.
        let clones = Repo::open(clone)?;
        let head =
            inner.resolve_commit("HEAD").map_err(|error| failed(error.to_string().as_bytes()))?;
        let nested = available(&clones, head)?;
        init(&clones, &inner, &nested)?;
    }
    Ok(submodules.iter().map(|submodule| submodule.path.clone()).collect())
}

/// Whether the clone has this commit. Asked with its git dir alone: its checkout is not looked at.
fn has_commit(clone: &std::path::Path, commit: ObjectId) -> bool {
    Repo::open(clone).is_ok_and(|clone| clone.has_object(commit))
}

/// git in a checkout, found from there: `git submodule` takes no `--git-dir`.
fn git_in(checkout: &Repo) -> Cmd {
    Cmd::new("git")
        .dir(checkout.work_dir().unwrap_or(checkout.git_dir()))
        .args(crate::git::HARDENED.iter().flat_map(|setting| ["-c", setting]))
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
}
