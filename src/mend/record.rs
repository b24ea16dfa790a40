//! A session whose ref is gone, or leads to nothing that can be read.
//!
//! Invariant: what the folder and the branch still hold goes on record again; a record of a newer
//! program is left alone.

use super::{CureError, Ground, Problem, is_at_rest};
use crate::git::{Expected, RefError, RefUpdate, Repo};
use crate::session::format::FormatError;
use crate::session::journal::Journal;
use crate::session::record::{self, Record, RecordError, Recorder};
use crate::session::store::Session;

pub(super) fn find<'a>(
    ground: &Ground<'a>,
    sessions: &[Session],
) -> Result<Vec<Problem<'a>>, RefError> {
    let repo = ground.repo;
    let mut found = Vec::new();
    for session in sessions.iter().filter(|session| is_at_rest(session)) {
        let name = session.ref_name();
        let what = match repo.ref_id(&name)?.map(|commit| Record::read(repo, commit)) {
            None => format!("{} has no record: {name} is gone", session.id),
            Some(Err(error)) if !is_newer(&error) => {
                format!("the record of {} cannot be read: {error}", session.id)
            }
            Some(_) => continue,
        };
        let session = session.clone();
        found.push(Problem::new("record", what).cure(move || {
            rebuild(repo, &session)?;
            Ok(format!("{name} is made again from the session's folder and its branch"))
        }));
    }
    for (id, commit) in record::list(repo)? {
        if sessions.iter().any(|session| session.id == id) {
            continue;
        }
        if let Err(error) = Record::read(repo, commit)
            && !is_newer(&error)
        {
            let what = format!("{}{id} cannot be read: {error}", record::PREFIX);
            found.push(Problem::new("record", what).hint("git fsck"));
        }
    }
    Ok(found)
}

/// Begins the session's ref anew.
pub(super) fn rebuild(repo: &Repo, session: &Session) -> Result<(), CureError> {
    let (_lock, mut state) = session.lock()?;
    let spec = &session.spec;
    let who = repo.identity()?;
    let code = match repo.ref_id(&spec.branch)? {
        Some(tip) => tip,
        None => repo.resolve_commit(&spec.base.commit)?,
    };
    if let Some(bad) = repo.ref_id(&session.ref_name())? {
        let reason = "agent: it could not be read".to_owned();
        let old = Expected::Is(bad);
        repo.update_refs(&[RefUpdate { name: session.ref_name(), old, new: None, reason }])?;
    }
    // What a crash has cut off does not go on record.
    Journal::open(&session.journal_path())?;
    let recorder = Recorder::open(repo, &session.id)?;
    let journal = session.journal_path();
    let written = recorder.write(repo, spec, &mut state, &journal, code, &who)?;
    repo.update_refs(&[written.update])?;
    Ok(state.write(&session.state_path())?)
}

fn is_newer(error: &RecordError) -> bool {
    matches!(error, RecordError::Format(FormatError::Newer { .. }))
}
