//! A session whose worktree is not where it should be: deleted by hand, moved, cut off from git, or
//! on another branch.
//!
//! Invariant: one that lives on elsewhere is never made a second time, and what stands at its place
//! is never written over; a worktree that is nobody's session is left alone.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::file::free;
use super::standing::{Place, Standing, short, standing};
use super::{CureError, Ground, Problem, is_at_rest, record};
use crate::git::operation::Operation;
use crate::git::{RemoveWorktree, Repo, WorktreeEntry};
use crate::plan::LandError;
use crate::session::state::Phase;
use crate::session::store::{Session, SessionError};
use crate::stow::restore::{self, Restored};

/// A worktree in which its session cannot go on. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// It was deleted.
    #[error("the worktree of {id} is gone: {}", path.display())]
    Gone {
        /// The session.
        id: String,
        /// Where it should be.
        path: PathBuf,
    },
    /// It was moved, and git does not know.
    #[error("the worktree of {id} was moved to {}", found.display())]
    Moved {
        /// The session.
        id: String,
        /// Where it is.
        found: PathBuf,
    },
    /// It was deleted, and its branch is checked out elsewhere.
    #[error("the worktree of {id} is gone, and its branch is checked out at {}", at.display())]
    Taken {
        /// The session.
        id: String,
        /// That worktree.
        at: PathBuf,
    },
    /// It, or what is there in its place, does not belong to the repository.
    #[error("the worktree of {id} is cut off from git: {} {how}", path.display())]
    CutOff {
        /// The session.
        id: String,
        /// Where it should be.
        path: PathBuf,
        /// In which way.
        how: Cut,
    },
    /// git is in the middle of something there.
    #[error("the worktree of {id} is in the middle of {operation}")]
    Busy {
        /// The session.
        id: String,
        /// Where it is.
        path: PathBuf,
        /// Of what.
        operation: Operation,
    },
    /// It is on another branch.
    #[error("the worktree of {id} is on {found}, not on {branch}")]
    Elsewhere {
        /// The session.
        id: String,
        /// Where it is.
        path: PathBuf,
        /// The session's branch, as people say it.
        branch: String,
        /// Where that ended, if it is gone.
        lost: Option<String>,
        /// The other branch, or a commit.
        found: String,
    },
    /// It cannot be made.
    #[error(transparent)]
    Land(#[from] LandError),
    /// Where it is now cannot be written down.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The session's ref cannot be made again first.
    #[error("its record cannot be made again: {0}")]
    Record(String),
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How what is at a worktree's place is cut off from the repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// Its link leads nowhere, or to another repository.
    #[error("is not linked to the repository")]
    Unlinked,
    /// The registration that its link leads to is gone.
    #[error("is registered no more")]
    Unregistered(PathBuf),
    /// It is no folder.
    #[error("is {0}")]
    InTheWay(&'static str),
}

impl NotReady {
    /// What a person may do about it; none where the error itself has it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Gone { id, .. } => format!("git agent worktree restore {id}"),
            Self::Moved { found, .. } => format!("git worktree repair {}", found.display()),
            Self::Taken { at, .. } => {
                format!("git -C {} switch --detach sets the branch free", at.display())
            }
            Self::CutOff { .. } => "git agent doctor --fix".to_owned(),
            Self::Busy { path, operation, .. } => {
                let git = format!("git -C {} {}", path.display(), operation.command());
                match operation {
                    Operation::Bisect => format!("{git} reset"),
                    Operation::Unmerged => git,
                    _ => format!("{git} --continue    {git} --abort"),
                }
            }
            Self::Elsewhere { path, branch, lost, .. } => {
                let switch = format!("git -C {} switch", path.display());
                match lost {
                    None => format!("{switch} {branch}"),
                    Some(commit) => format!("{switch} -c {branch} {commit}"),
                }
            }
            Self::Record(_) => "git agent doctor".to_owned(),
            Self::Land(_) | Self::Session(_) | Self::Io(_) => return None,
        })
    }
}

/// What was put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mended {
    /// The worktree was made again.
    Restored(Restored),
    /// A person had moved it, or renamed its branch: in words.
    Followed(String),
}

/// The session as it is found, with nothing written: where a person has moved its worktree, or
/// renamed its branch, by git's own means, it is there.
///
/// # Errors
/// It cannot go on in its worktree.
pub fn found(repo: &Repo, session: &Session) -> Result<Session, NotReady> {
    let session = session.clone();
    Ok(match look(repo, &session)? {
        None => session,
        Some(place) => Session { spec: session.spec.at(&place.path, &place.branch), ..session },
    })
}

/// Makes sure that a session can go on in its worktree. Where a person has moved it, or renamed its
/// branch, by git's own means, the session follows.
///
/// # Errors
/// It cannot; nothing was changed.
pub fn ready(repo: &Repo, session: &Session) -> Result<Option<Mended>, NotReady> {
    let session = &session.again()?;
    let Some(place) = look(repo, session)? else { return Ok(None) };
    let said = words(session, &place);
    session.follow(&place.path, &place.branch, &said)?;
    Ok(Some(Mended::Followed(said)))
}

/// As [`ready`]; a worktree that was deleted by hand is brought back.
///
/// # Errors
/// The session cannot go on there; nothing was changed.
pub fn bring_back(repo: &Repo, session: &Session) -> Result<Option<Mended>, NotReady> {
    let path = match ready(repo, session) {
        Err(NotReady::Gone { path, .. }) => path,
        ready => return ready,
    };
    if path.exists() {
        fs::remove_dir(path)?;
    }
    if repo.ref_id(&session.ref_name()).map_err(LandError::from)?.is_none() {
        record::rebuild(repo, session).map_err(|it| NotReady::Record(it.to_string()))?;
    }
    Ok(Some(Mended::Restored(restore::restore(repo, session)?)))
}

/// Where it is to be followed to; none where all is as it should be.
fn look(repo: &Repo, session: &Session) -> Result<Option<Place>, NotReady> {
    let spec = &session.spec;
    let (id, path) = (session.id.clone(), spec.worktree.clone());
    Err(match standing(repo, session)? {
        Standing::Good => return Ok(None),
        Standing::Followed(place) => return Ok(Some(place)),
        Standing::Gone => NotReady::Gone { id, path },
        Standing::MovedTo(found) => NotReady::Moved { id, found },
        Standing::Taken(at) => NotReady::Taken { id, at },
        Standing::Unlinked => NotReady::CutOff { id, path, how: Cut::Unlinked },
        Standing::Unregistered(at) => NotReady::CutOff { id, path, how: Cut::Unregistered(at) },
        Standing::InTheWay(what) => NotReady::CutOff { id, path, how: Cut::InTheWay(what) },
        Standing::Busy(operation) => NotReady::Busy { id, path, operation },
        Standing::Elsewhere(found) => {
            let is_lost = repo.ref_id(&spec.branch).map_err(LandError::from)?.is_none();
            let head = session.state().map_err(SessionError::from)?.head;
            let last = || head.unwrap_or_else(|| spec.first_commit().to_owned());
            let (branch, lost) = (spec.branch_name().to_owned(), is_lost.then(last));
            NotReady::Elsewhere { id, path, branch, lost, found }
        }
    })
}

/// Where a session is now, against where it was.
fn words(session: &Session, place: &Place) -> String {
    let (path, branch) = (place.path.display(), short(&place.branch));
    match (place.path == session.spec.worktree, place.branch == session.spec.branch) {
        (true, _) => format!("its branch is {branch} now"),
        (false, true) => format!("its worktree is {path} now"),
        (false, false) => format!("its worktree is {path} now, its branch {branch}"),
    }
}

pub(super) fn find<'a>(
    ground: &Ground<'a>,
    sessions: &[Session],
) -> Result<Vec<Problem<'a>>, NotReady> {
    let mut found = Vec::new();
    for session in sessions.iter().filter(|session| is_at_rest(session)) {
        // One that cannot be read is told of by whoever lists the sessions.
        let Ok(state) = session.state() else { continue };
        found.extend(problem(ground.repo, session, state.phase)?);
    }
    Ok(found)
}

fn problem<'a>(
    repo: &'a Repo,
    session: &Session,
    phase: Phase,
) -> Result<Option<Problem<'a>>, NotReady> {
    let path = session.spec.worktree.clone();
    let is_over = phase.is_final();
    let waits = matches!(phase, Phase::Paused | Phase::NeedsInput | Phase::Interrupted);
    let entry = || -> io::Result<Option<WorktreeEntry>> {
        Ok(repo.worktrees()?.into_iter().find(|entry| !entry.main && entry.path == path))
    };
    let problem = |error: NotReady| Problem::new("worktree", error.to_string());
    let owned = session.clone();
    let back = move || mended(&owned, bring_back(repo, &owned)?);
    Ok(Some(match look(repo, session) {
        Ok(None) => return Ok(None),
        Err(NotReady::Gone { .. }) if is_over => {
            let Some(entry) = entry()? else { return Ok(None) };
            let (id, shown) = (&session.id, path.display());
            let what = format!("{id} has landed, and its worktree {shown} is registered still");
            Problem::new("worktree", what).cure(move || forget(repo, &entry))
        }
        // What has landed needs none.
        _ if is_over => return Ok(None),
        // One that was removed on purpose has no registration.
        Err(NotReady::Gone { .. }) if phase != Phase::Interrupted && entry()?.is_none() => {
            return Ok(None);
        }
        Ok(Some(place)) => {
            let what = format!("{} was moved by hand: {}", session.id, words(session, &place));
            Problem::new("worktree", what).cure(back)
        }
        Err(error @ NotReady::Gone { .. }) => problem(error).cure(back),
        Err(NotReady::Moved { id, found }) => {
            let at = found.clone();
            problem(NotReady::Moved { id, found }).cure(move || {
                repair(repo, &at)?;
                back()
            })
        }
        Err(NotReady::CutOff { id, path, how }) => {
            let (at, branch) = (path.clone(), session.spec.branch.clone());
            let cut = how.clone();
            problem(NotReady::CutOff { id, path, how }).cure(move || match cut {
                Cut::Unlinked => repair(repo, &at),
                Cut::Unregistered(git_dir) => {
                    repo.register_again(&at, &git_dir, &branch)?;
                    Ok(format!("{} is registered again", at.display()))
                }
                Cut::InTheWay(_) => {
                    let kept = set_aside(&at)?;
                    Ok(format!("{} (what was there is {} now)", back()?, kept.display()))
                }
            })
        }
        Err(NotReady::Busy { .. } | NotReady::Elsewhere { .. }) if !waits => return Ok(None),
        Err(
            error @ (NotReady::Busy { .. } | NotReady::Elsewhere { .. } | NotReady::Taken { .. }),
        ) => {
            let hint = error.hint().unwrap_or_default();
            problem(error).hint(hint)
        }
        Err(error) => return Err(error),
    }))
}

/// What was done, in words.
fn mended(session: &Session, mended: Option<Mended>) -> Result<String, CureError> {
    Ok(match mended {
        Some(Mended::Restored(it)) => format!("{} is back as it was", it.path.display()),
        Some(Mended::Followed(said)) => format!("{}: {said}", session.id),
        None => format!("the worktree of {} is there again", session.id),
    })
}

/// Takes away the registration of a worktree whose folder is gone.
fn forget(repo: &Repo, entry: &WorktreeEntry) -> Result<String, CureError> {
    let gone = RemoveWorktree { path: &entry.path, id: &entry.id, with_submodules: true };
    repo.remove_worktree(&gone)?.purge()?;
    Ok(format!("{} is registered no more", entry.path.display()))
}

/// Lets git link a worktree and its registration again.
fn repair(repo: &Repo, path: &Path) -> Result<String, CureError> {
    let done = repo.git().args(["worktree", "repair"]).arg(path).run()?;
    let entries = repo.worktrees()?;
    match entries.iter().any(|entry| entry.path == path && entry.broken.is_none()) {
        true => Ok(format!("git worktree repair has linked {} again", path.display())),
        false => {
            let said = String::from_utf8_lossy(&done.stderr);
            Err(format!("git worktree repair does not link it: {}", said.trim()).into())
        }
    }
}

/// Gives what stands in a worktree's place another name beside it, and says which.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let free = free(&path.with_file_name(format!("{name}.aside")))?;
    fs::rename(path, &free)?;
    Ok(free)
}
