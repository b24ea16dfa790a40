//! A session's worktree, taken away with nothing lost.
//!
//! What the branch does not hold becomes a snapshot commit that the session's ref points to; what
//! git ignores is copied beside the session's state. [`super::restore`] brings both back.
//!
//! Invariant: the worktree goes only after all it held is kept, and only if a last look finds
//! nothing new; what cannot be kept stops it, unless it is given up by force.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::ignored::{self, Kept};
use crate::file::Changed;
use crate::git::{
    Draft, Expected, Head, ObjectId, RefUpdate, RemoveWorktree, Repo, Snapshot, WorktreeEntry,
    WorktreeError,
};
use crate::plan::LandError;
use crate::plan::work::{self, Leftover, SNAPSHOT, head_of};
use crate::process::occupied;
use crate::session::record::{Record, Recorder};
use crate::session::state::{Phase, State};
use crate::session::store::Session;

/// How a worktree is to be removed.
#[derive(Clone, Copy, Debug)]
pub struct Removal {
    /// Give up what cannot be kept, and take no notice of processes that stand in it.
    pub force: bool,
    /// Delete the branch too; the session's ref keeps its commits.
    pub branch: bool,
    /// What is larger cannot be kept, in bytes: `agent.maxFileSize`.
    pub max_file_size: u64,
}

/// What was removed, and what was kept of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Where the worktree was.
    pub path: PathBuf,
    /// Files that no commit of the branch holds: kept by the session's ref.
    pub uncommitted: Vec<String>,
    /// What became of ignored files.
    pub ignored: Kept,
    /// What was given up by force, each with the reason.
    pub given_up: Vec<String>,
    /// The branch was deleted.
    pub branch_deleted: bool,
    /// The files could not be deleted and are here.
    pub trash: Option<PathBuf>,
}

/// Removes the worktree of a session.
///
/// # Errors
/// The session runs, somebody is in the worktree, it is locked, or it holds what cannot be kept.
/// It is then as it was.
pub fn remove(repo: &Repo, session: &Session, removal: &Removal) -> Result<Removed, LandError> {
    let (_lock, mut state) = work::hold(repo, session)?;
    remove_held(repo, session, &mut state, removal)
}

/// As [`remove`], by who holds the session.
pub(super) fn remove_held(
    repo: &Repo,
    session: &Session,
    state: &mut State,
    removal: &Removal,
) -> Result<Removed, LandError> {
    let path = &session.spec.worktree;
    let entry =
        work::entry(repo, path)?.ok_or_else(|| LandError::NoWorktree(session.id.clone()))?;
    if let Some(reason) = entry.locked {
        return Err(WorktreeError::Locked { path: path.clone(), reason }.into());
    }
    if removal.branch && state.phase != Phase::Landed && !removal.force {
        return Err(LandError::NotLanded(session.id.clone()));
    }
    let gone = entry.missing || fs::read_dir(path).is_ok_and(|mut files| files.next().is_none());
    let mut removed = Removed { path: path.clone(), ..Removed::default() };
    let mut with_submodules = removal.force || gone;
    if !gone {
        let keeper = Keeper { session, removal, view: repo.view_of(&entry.git_dir)? };
        with_submodules |= keeper.keep(state, &mut removed)?;
    }
    let taken = RemoveWorktree { path, id: &entry.id, with_submodules };
    let trash = repo.remove_worktree(&taken)?;
    let aside = trash.path().map(Path::to_owned);
    if let Err(error) = trash.purge() {
        tracing::warn!(%error, "the files of a worktree are left");
        removed.trash = aside;
    }
    if removal.branch {
        removed.branch_deleted = delete_branch(repo, session)?;
    }
    Ok(removed)
}

/// Keeps what a worktree holds.
struct Keeper<'a> {
    session: &'a Session,
    removal: &'a Removal,
    view: Repo,
}

impl Keeper<'_> {
    /// Keeps all of it, and looks again; says whether submodules may go as well.
    fn keep(&self, state: &mut State, removed: &mut Removed) -> Result<bool, LandError> {
        let Self { session, removal, view } = self;
        let path = &session.spec.worktree;
        let tip = self.tip()?;
        self.check_free()?;
        let mut snapshot = Snapshot::open(view, view.tree_of(tip)?, removal.max_file_size)?;
        let taken = snapshot.take(&Changed::Anything)?;
        let mut lost: Vec<_> =
            taken.left_out.iter().map(|out| format!("{} ({})", out.path, out.why)).collect();
        let unsaved = unsaved_submodules(view)?;
        lost.extend(unsaved);
        if !lost.is_empty() && !removal.force {
            return Err(LandError::CannotKeep { path: path.clone(), what: lost });
        }
        self.record(state, tip, taken.tree)?;
        let kept = ignored::keep(view, &ignored_folder(session), removal.max_file_size)?;
        // What has changed since would not be in any of it.
        self.check_free()?;
        if self.tip()? != tip || snapshot.take(&Changed::Anything)?.tree != taken.tree {
            return Err(LandError::Changing(path.clone()));
        }
        removed.uncommitted = taken.changes.iter().map(|change| change.path.to_string()).collect();
        removed.ignored = kept;
        removed.given_up = lost;
        Ok(true)
    }

    /// The commit the worktree is on, which must be on the session's branch.
    fn tip(&self) -> Result<ObjectId, LandError> {
        let Self { session, view, .. } = self;
        let path = session.spec.worktree.clone();
        let elsewhere = |found: String| LandError::Elsewhere { path, found };
        match view.head()? {
            Head::Branch { name, id } if name == session.spec.branch => Ok(id),
            Head::Branch { name, .. } => {
                Err(elsewhere(crate::plan::target::short(&name).to_owned()))
            }
            Head::Detached(id) => Err(elsewhere(id.to_string())),
            // The branch was deleted under it: the record says where it was.
            Head::Unborn(name) if name == session.spec.branch => {
                let record = view.ref_id(&session.ref_name())?;
                let record = record.ok_or_else(|| LandError::Nothing(session.id.clone()))?;
                let record = Record::read(view, record)?;
                head_of(view, &record)
            }
            Head::Unborn(name) => Err(elsewhere(name)),
        }
    }

    fn check_free(&self) -> Result<(), LandError> {
        let path = self.session.spec.worktree.clone();
        let mut occupants = occupied::occupants(&path);
        occupants.retain(|occupant| occupant.pid != std::process::id());
        if occupants.is_empty() || self.removal.force {
            return Ok(());
        }
        Err(LandError::Occupied { path, occupants })
    }

    /// Makes sure that the session's ref holds this tree, on top of this commit.
    fn record(&self, state: &mut State, tip: ObjectId, tree: ObjectId) -> Result<(), LandError> {
        let Self { session, view, .. } = self;
        let spec = &session.spec;
        let last = Record::last(view, &session.id)?.map(|last| last.code);
        let is_clean = tree == view.tree_of(tip)?;
        if let Some(code) = last {
            let on_top = || -> Result<bool, LandError> {
                let commit = view.read_commit(code)?;
                Ok(commit.tree == tree && commit.parents.first() == Some(&tip))
            };
            if if is_clean { code == tip } else { on_top()? } {
                return Ok(());
            }
        }
        let who = view.identity().map_err(LandError::Identity)?;
        let code = match is_clean {
            true => tip,
            false => view.write_commit(&Draft {
                tree,
                parents: vec![tip],
                author: who.clone(),
                committer: who.clone(),
                time: None,
                message: format!("{SNAPSHOT}{} before its worktree was removed\n", spec.name),
            })?,
        };
        let recorder = Recorder::open(view, &session.id)?;
        let journal = session.journal_path();
        let written = recorder.write(view, spec, state, &journal, code, &who)?;
        view.update_refs(&[written.update])?;
        Ok(state.write(&session.state_path())?)
    }
}

/// Where ignored files of a session are kept.
pub(super) fn ignored_folder(session: &Session) -> PathBuf {
    session.dir.join("ignored")
}

/// Submodules of this worktree that hold what the repository's own do not have: commits, and
/// changes in none.
fn unsaved_submodules(view: &Repo) -> Result<Vec<String>, LandError> {
    let mut unsaved = Vec::new();
    let root = view.git_dir().join("modules");
    let mut folders = vec![PathBuf::new()];
    while let Some(name) = folders.pop() {
        let folder = root.join(&name);
        if !folder.join("HEAD").is_file() {
            // A name with a slash in it is a folder more.
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(name.join(entry.file_name()));
                }
            }
            continue;
        }
        let theirs = view.view_of_foreign(&folder)?;
        let ours = view.view_of(&view.common_dir().join("modules").join(&name));
        let tips = theirs.refs("refs/heads/")?.into_iter().map(|(_, id)| id);
        let head = match theirs.head()? {
            Head::Branch { id, .. } | Head::Detached(id) => Some(id),
            Head::Unborn(_) => None,
        };
        let saved = |id: ObjectId| ours.as_ref().is_ok_and(|ours| ours.has_object(id));
        if !tips.chain(head).all(saved) {
            unsaved.push(format!("{} (commits of a submodule)", name.display()));
        }
        // Not by git, which would obey the settings that it has here, and run what they name.
        if let Some(checkout) = theirs.work_dir() {
            let is_inside = view.work_dir().is_some_and(|root| checkout.starts_with(root));
            let left = head.filter(|_| is_inside).map(|head| theirs.tree_of(head));
            let left = left.transpose()?.and_then(|tree| Leftover::of(&theirs, tree).ok());
            if left != Some(Leftover::default()) {
                unsaved.push(format!("{} (changes in a submodule)", name.display()));
            }
        }
        // Submodules of submodules.
        let below = name.join("modules");
        if root.join(&below).is_dir() {
            folders.push(below);
        }
    }
    Ok(unsaved)
}

/// Deletes the session's branch, unless a checkout is on it or it moves just now.
pub(super) fn delete_branch(repo: &Repo, session: &Session) -> Result<bool, LandError> {
    let branch = &session.spec.branch;
    let Some(tip) = repo.ref_id(branch)? else { return Ok(false) };
    let on_it = |entry: &WorktreeEntry| entry.branch.as_ref() == Some(branch);
    if repo.worktrees()?.iter().any(on_it) {
        return Ok(false);
    }
    // Commits that a person made there are in the record only if that was written since.
    let record = repo.ref_id(&session.ref_name())?;
    let held = match record {
        Some(commit) => repo.is_ancestor(tip, Record::read(repo, commit)?.code)?,
        None => false,
    };
    if held {
        repo.update_refs_as_user(&[RefUpdate {
            name: branch.clone(),
            old: Expected::Is(tip),
            new: None,
            reason: format!("agent: remove {}", session.id),
        }])?;
    }
    Ok(held)
}
