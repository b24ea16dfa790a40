//! What a crash, or a person, has left in disorder: found, explained, and put right.
//!
//! One kind of problem a file. Each finds its own and gives, where it knows how, the way to mend
//! it; nothing is written before [`Problem::mend`] is called.
//!
//! Invariant: nothing that may be somebody else's is taken away, no worktree that is merely away is
//! forgotten, and what is replaced is kept beside it.

mod bare;
mod draft;
mod file;
mod interrupted;
mod journal;
mod lock;
mod login;
mod record;
pub mod standing;
mod trash;
pub mod worktree;

use std::error::Error;
use std::path::Path;

use crate::git::Repo;
use crate::session::store::{Session, Store};

/// Where problems are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// The repository.
    pub repo: &'a Repo,
    /// Its sessions.
    pub store: &'a Store,
    /// The root of the file system that the system's own settings are in: `/`.
    pub system: &'a Path,
}

/// Something that is not as it should be.
pub struct Problem<'a> {
    /// What kind it is: `lock`, `worktree`, `journal` …
    pub kind: &'static str,
    /// What is wrong with what, in one line.
    pub what: String,
    /// The command that a person may give; none where [`Problem::mend`] does it.
    pub hint: Option<String>,
    /// The way to mend it.
    cure: Option<Cure<'a>>,
}

/// Mends a problem, and says in one line what was done.
type Cure<'a> = Box<dyn FnOnce() -> Result<String, CureError> + 'a>;

/// Why a problem is still there.
type CureError = Box<dyn Error>;

impl<'a> Problem<'a> {
    fn new(kind: &'static str, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), hint: None, cure: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    fn cure(self, cure: impl FnOnce() -> Result<String, CureError> + 'a) -> Self {
        Self { cure: Some(Box::new(cure)), ..self }
    }

    /// Whether [`Problem::mend`] can do anything about it.
    pub fn is_curable(&self) -> bool {
        self.cure.is_some()
    }

    /// Mends it, and says in one line what was done; none where only a person can.
    ///
    /// # Errors
    /// It could not be mended.
    pub fn mend(&mut self) -> Option<Result<String, CureError>> {
        self.cure.take().map(|cure| cure())
    }
}

/// All problems, in the order in which they are best mended.
///
/// # Errors
/// The sessions, the refs or the worktrees cannot be listed.
pub fn look<'a>(ground: &Ground<'a>) -> Result<Vec<Problem<'a>>, Box<dyn Error>> {
    let listing = ground.store.list()?;
    let mut found = Vec::new();
    found.extend(file::find(ground, &listing)?);
    let sessions = listing.sessions;
    found.extend(bare::find(ground));
    found.extend(draft::find(ground)?);
    found.extend(lock::find(ground, &sessions)?);
    found.extend(record::find(ground, &sessions)?);
    found.extend(journal::find(ground, &sessions)?);
    found.extend(worktree::find(ground, &sessions)?);
    found.extend(trash::find(ground, &sessions)?);
    found.extend(interrupted::find(&sessions));
    found.extend(login::find(ground.system));
    Ok(found)
}

/// Whether nobody runs the session, so that its files may be looked at as they are.
fn is_at_rest(session: &Session) -> bool {
    session.holder().is_ok_and(|holder| holder.is_none())
}
