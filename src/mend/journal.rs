//! A journal that has lost lines, or ends in the middle of one.
//!
//! Invariant: the journal of a session that runs is not looked at; whatever is replaced is kept.

use std::io;
use std::path::Path;

use super::{CureError, Ground, Problem, is_at_rest};
use crate::git::Repo;
use crate::session::journal::{Entry, Journal, Reader};
use crate::session::record::Record;
use crate::session::salvage;
use crate::session::store::Session;

pub(super) fn find<'a>(ground: &Ground<'a>, sessions: &[Session]) -> io::Result<Vec<Problem<'a>>> {
    let repo = ground.repo;
    let mut found = Vec::new();
    for session in sessions.iter().filter(|session| is_at_rest(session)) {
        let recorded = record(repo, session).map_or(0, |record| record.state.recorded);
        if let Some(wrong) = wrong(&session.journal_path(), recorded)? {
            let what = format!("the journal of {}: {wrong}", session.id);
            let session = session.clone();
            found.push(Problem::new("journal", what).cure(move || mend(repo, &session)));
        }
    }
    Ok(found)
}

/// What is wrong with a journal of which so many bytes are on record.
fn wrong(path: &Path, recorded: u64) -> io::Result<Option<String>> {
    let mut reader = match Reader::open(path, 0) {
        Ok(reader) => reader,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Some("the file is gone".to_owned()));
        }
        Err(error) => return Err(error),
    };
    let mut damaged = 0;
    for entry in &mut reader {
        damaged += u64::from(matches!(entry?, Entry::Damaged { .. }));
    }
    let len = fs_err::metadata(path)?.len();
    let mut wrong = Vec::new();
    if damaged > 0 {
        wrong.push(format!("{damaged} damaged lines"));
    }
    if len < recorded {
        wrong.push(format!("{len} bytes, and {recorded} are on record"));
    }
    if reader.offset() < len {
        wrong.push("its last line is torn".to_owned());
    }
    Ok((!wrong.is_empty()).then(|| wrong.join("; ")))
}

fn mend(repo: &Repo, session: &Session) -> Result<String, CureError> {
    let (_lock, _state) = session.lock()?;
    let path = session.journal_path();
    let (_, torn) = Journal::open(&path)?;
    let mut kept: Vec<_> = torn.into_iter().map(|torn| torn.kept_in).collect();
    if let Some(record) = record(repo, session) {
        kept.extend(salvage::restore(repo, &record, &path)?);
    }
    let recorded = record(repo, session).map_or(0, |record| record.state.recorded);
    if let Some(wrong) = wrong(&path, recorded)? {
        return Err(format!("not on record, and so not to be had again: {wrong}").into());
    }
    let kept: Vec<_> = kept.iter().map(|path| path.display().to_string()).collect();
    let kept = if kept.is_empty() { String::new() } else { format!(" ({} kept)", kept.join(", ")) };
    Ok(format!("the journal of {} is whole again{kept}", session.id))
}

fn record(repo: &Repo, session: &Session) -> Option<Record> {
    let commit = repo.ref_id(&session.ref_name()).ok()??;
    Record::read(repo, commit).ok()
}
