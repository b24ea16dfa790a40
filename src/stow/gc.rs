//! What nobody needs any more, taken away: worktrees of sessions that have landed, sessions that
//! ended long ago, what crashes have left.
//!
//! | a session that | at once | unchanged for `agent.keepDays` | and as long again |
//! |---|---|---|---|
//! | has landed | its worktree goes | it moves to the archive | |
//! | is done, has failed or was stopped | | it is removed, and its branch stays | it moves to the archive |
//! | was removed | | it moves to the archive | |
//! | runs, waits, asks or rests | | | |
//!
//! What commands added to caches goes when no session has used it for `agent.keepDays`.
//!
//! Invariant: no record goes: a session that expires keeps its record in the archive, with all its
//! code, and can be restored from there; what no record can hold stops it. What is listed beforehand
//! is what is done.

use std::path::PathBuf;

use fs_err as fs;
use jiff::Timestamp;

use super::remove::{Removal, remove};
use super::retire::retire_ended;
use super::trash::trash;
use crate::file::remove_tree;
use crate::git::{ObjectId, Repo};
use crate::land::{apply, undo};
use crate::plan::LandError;
use crate::sandbox::kept;
use crate::session::record::{PREFIX, Record};
use crate::session::state::{Phase, State};
use crate::session::store::{Session, Store};
use crate::session::{archive, create, removed, size};

/// What the user wants kept.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// Days after its last activity that a session which is over is kept: `agent.keepDays`.
    pub keep_days: u32,
    /// What is larger cannot be kept, in bytes: `agent.maxFileSize`.
    pub max_file_size: u64,
    /// The time that days are counted to.
    pub now: Timestamp,
}

/// Something that can be taken away.
#[derive(Clone, Debug)]
pub struct Item {
    /// What it is.
    pub what: What,
    /// The session it belongs to; none for what belongs to none.
    pub session: Option<String>,
    /// Where it is.
    pub path: PathBuf,
    /// What it takes on the disk.
    pub bytes: u64,
}

/// What can be taken away.
#[derive(Clone, Debug)]
pub enum What {
    /// The worktree of a session that has landed.
    Worktree(Box<Session>),
    /// What was too long for the model, of a session that has landed.
    Outputs,
    /// A session that landed long ago: worktree, branch and folder, its record to the archive.
    Expired(Box<Session>),
    /// A session that ended long ago and has not landed: worktree and folder, as by `remove`.
    Ended(Box<Session>),
    /// A session that was removed long ago: what was set aside, its record to the archive.
    Archived {
        /// Its last record.
        record: ObjectId,
    },
    /// What a creation that died has left.
    Leftover,
    /// What a removal that died has left.
    Trash,
    /// What commands added to caches, and nobody has used for long.
    Cache,
}

impl What {
    /// Its name.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Worktree(_) => "worktree",
            Self::Outputs => "outputs",
            Self::Expired(_) => "expired",
            Self::Ended(_) => "ended",
            Self::Archived { .. } => "archived",
            Self::Leftover => "leftover",
            Self::Trash => "trash",
            Self::Cache => "cache",
        }
    }
}

/// All that can be taken away; nothing is written.
///
/// # Errors
/// Sessions or refs cannot be listed.
pub fn plan(repo: &Repo, store: &Store, wishes: &Wishes) -> Result<Vec<Item>, LandError> {
    let (mut items, mut worktrees) = (Vec::new(), Vec::new());
    for session in store.list()?.sessions {
        worktrees.push(session.spec.worktree.clone());
        // One that cannot be read is for doctor, not for here.
        let Ok(state) = session.state() else { continue };
        if session.holder()?.is_some() {
            continue;
        }
        match state.phase {
            Phase::Landed | Phase::Archived => items.extend(of_landed(session, &state, wishes)),
            // Somebody else has brought it where it was to go.
            Phase::Done | Phase::Failed | Phase::Stopped
                if apply::is_brought(repo, &session, &state) =>
            {
                items.extend(of_landed(session, &state, wishes));
            }
            Phase::Done | Phase::Failed | Phase::Stopped if is_old(&state, wishes) => {
                items.push(whole(session, What::Ended));
            }
            _ => {}
        }
    }
    for removed in removed::list(repo, store)? {
        let path = store.aside(&removed.id);
        let Record { spec, state, .. } = Record::read(repo, removed.record)?;
        worktrees.push(spec.worktree);
        let is_done = removed.is_archived && !path.exists();
        if !is_done && is_old(&state, wishes) {
            items.push(Item {
                what: What::Archived { record: removed.record },
                bytes: size::below(&path),
                session: Some(removed.id),
                path,
            });
        }
    }
    for path in store.leftovers()? {
        let bytes = size::below(&path);
        items.push(Item { what: What::Leftover, session: None, path, bytes });
    }
    for path in trash(store, worktrees.iter().map(PathBuf::as_path))? {
        let bytes = size::below(&path);
        items.push(Item { what: What::Trash, session: None, path, bytes });
    }
    for kept::Unused { folder: path, since } in kept::unused(repo.common_dir()) {
        let since = Timestamp::try_from(since).unwrap_or(wishes.now);
        if is_past(since, wishes) {
            let bytes = size::below(&path);
            items.push(Item { what: What::Cache, session: None, path, bytes });
        }
    }
    Ok(items)
}

/// Takes one of them away.
///
/// # Errors
/// It is in use, or holds what cannot be kept; it is then as it was.
pub fn take(repo: &Repo, store: &Store, item: &Item, wishes: &Wishes) -> Result<(), LandError> {
    let removal = Removal { force: false, branch: false, max_file_size: wishes.max_file_size };
    match (&item.what, &item.session) {
        (What::Worktree(session), _) => {
            apply::acknowledge(repo, session)?;
            remove(repo, session, &removal).map(drop)
        }
        (What::Outputs | What::Trash, _) => Ok(remove_tree(&item.path)?),
        (What::Cache, _) => Ok(kept::remove(&item.path)?),
        (What::Expired(session), _) => {
            match retire_ended(repo, store, session, &removal, |it| is_old(it, wishes))? {
                true => fold(repo, store, &session.id, None),
                false => Ok(()),
            }
        }
        (What::Ended(session), _) => {
            retire_ended(repo, store, session, &removal, |it| is_old(it, wishes)).map(drop)
        }
        // Somebody has brought it back since.
        (What::Archived { .. }, Some(id)) if store.session(id).is_ok() => Ok(()),
        (What::Archived { record }, Some(id)) => fold(repo, store, id, Some(*record)),
        (What::Archived { .. } | What::Leftover, _) => Ok(create::tidy(repo, store)?),
    }
}

/// Puts a removed session into the archive, and what was set aside of it away.
fn fold(repo: &Repo, store: &Store, id: &str, record: Option<ObjectId>) -> Result<(), LandError> {
    let name = format!("{PREFIX}{id}");
    if let Some(tip) = repo.ref_id(&name)? {
        archive::fold(repo, &[(id.to_owned(), record.unwrap_or(tip))])?;
    }
    undo::forget(repo, id)?;
    Ok(remove_tree(&store.aside(id))?)
}

fn of_landed(session: Session, state: &State, wishes: &Wishes) -> Vec<Item> {
    if is_old(state, wishes) {
        return vec![whole(session, What::Expired)];
    }
    let id = Some(session.id.clone());
    let worktree = session.spec.worktree.clone();
    let mut items = Vec::new();
    let path = session.out_dir();
    if fs::read_dir(&path).is_ok_and(|mut outputs| outputs.next().is_some()) {
        let bytes = size::below(&path);
        items.push(Item { what: What::Outputs, session: id.clone(), path, bytes });
    }
    if worktree.exists() {
        let what = What::Worktree(Box::new(session));
        let bytes = size::below(&worktree);
        items.push(Item { what, session: id, path: worktree, bytes });
    }
    items
}

/// A session with all that it has on the disk.
fn whole(session: Session, what: impl FnOnce(Box<Session>) -> What) -> Item {
    let (id, path) = (session.id.clone(), session.dir.clone());
    let bytes = size::below(&session.spec.worktree) + size::below(&path);
    Item { what: what(Box::new(session)), session: Some(id), path, bytes }
}

/// Whether nothing has happened in it for as long as the user wants it kept.
fn is_old(state: &State, wishes: &Wishes) -> bool {
    is_past(state.updated, wishes)
}

fn is_past(time: Timestamp, wishes: &Wishes) -> bool {
    const DAY: i64 = 86_400;
    let age = wishes.now.as_second() - time.as_second();
    age >= i64::from(wishes.keep_days) * DAY
}
