//! The files of a session that say what was asked and where it is, lost or damaged; and what lies
//! among the sessions and is none.
//!
//! Invariant: such a file comes from the session's own ref or not at all, and nothing is deleted:
//! what is damaged is kept beside it, and what does not belong there is moved to a folder beside.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use jiff::Timestamp;

use super::{CureError, Ground, Problem, is_at_rest};
use crate::file;
use crate::git::Repo;
use crate::session::format::FormatError;
use crate::session::record::Record;
use crate::session::spec::Spec;
use crate::session::state::{Phase, State};
use crate::session::store::Listing;

/// The folder of what did not belong among the sessions.
const STRAY: &str = "stray";

pub(super) fn find<'a>(ground: &Ground<'a>, listing: &Listing) -> io::Result<Vec<Problem<'a>>> {
    let Ground { repo, store, .. } = *ground;
    let mut found = Vec::new();
    for broken in listing.broken.iter().filter(|broken| is_lost(&broken.source)) {
        let dir = store.folder_of(&broken.id);
        found.push(match record(repo, &broken.id) {
            Some(record) => {
                torn(dir.join(Spec::FILE), &broken.id, move || Ok(record.spec.to_text()?))
            }
            None => stray(store.root(), &dir),
        });
    }
    for session in listing.sessions.iter().filter(|session| is_at_rest(session)) {
        if session.state().is_err_and(|error| is_lost(&error))
            && let Some(record) = record(repo, &session.id)
        {
            found.push(torn(session.state_path(), &session.id, move || {
                Ok(at_rest(record.state)?.to_text()?)
            }));
        }
    }
    found.extend(store.strays()?.iter().map(|path| stray(store.root(), path)));
    Ok(found)
}

/// Whether what the file said is not there any more: what a newer program wrote is for that to
/// read, and what may not be read is a person's to open.
fn is_lost(error: &FormatError) -> bool {
    match error {
        FormatError::Malformed { .. } => true,
        FormatError::Newer { .. } => false,
        FormatError::Io(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// A file that is mended by what is on record.
fn torn<'a>(
    path: PathBuf,
    id: &str,
    on_record: impl FnOnce() -> Result<String, CureError> + 'a,
) -> Problem<'a> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let how = if path.exists() { "damaged" } else { "gone" };
    let done = format!("{name} of {id} is back from its ref");
    Problem::new("session", format!("{name} of {id} is {how}")).cure(move || {
        let text = on_record()?;
        if path.exists() {
            fs::rename(&path, free(&path.with_file_name(format!("{name}.damaged")))?)?;
        }
        file::replace(&path, text.as_bytes())?;
        Ok(done)
    })
}

/// The state of a session that nobody runs: on record it may be at work.
fn at_rest(mut state: State) -> Result<State, CureError> {
    if state.phase.needs_supervisor() {
        state.move_to(Phase::Interrupted, "its state was lost", Timestamp::now())?;
    }
    Ok(state)
}

/// Something that is no session and has no ref.
fn stray<'a>(root: &Path, path: &Path) -> Problem<'a> {
    let (path, folder) = (path.to_owned(), root.join(STRAY));
    let what = format!("{} is no session", path.display());
    Problem::new("session", what).cure(move || {
        fs::create_dir_all(&folder)?;
        let place = free(&folder.join(path.file_name().unwrap_or_default()))?;
        fs::rename(&path, &place)?;
        Ok(format!("moved {} to {}", path.display(), place.display()))
    })
}

fn record(repo: &Repo, id: &str) -> Option<Record> {
    Record::last(repo, id).ok()?
}

/// This path, or one with a number where something is there.
pub(super) fn free(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let numbered = (2..).map(|number| path.with_file_name(format!("{name}-{number}")));
    let mut paths = std::iter::once(path.to_owned()).chain(numbered);
    let free = paths.find(|path| path.symlink_metadata().is_err());
    free.ok_or_else(|| io::Error::other("there is no free name"))
}
