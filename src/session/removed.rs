//! Sessions that are removed: without a folder among the others, but with a ref, or in the archive.
//!
//! What a record does not hold (files that git ignores, outputs, messages nobody has read) is set
//! aside in `agent/removed/<id>` until it expires.
//!
//! Invariant: a session is brought back whole from its record alone; what was set aside is put to
//! it where it is still there.

use std::collections::BTreeMap;
use std::io;

use super::record::{self, FindRecordError, Record, RecordError};
use super::store::{FindError, Session, Store};
use super::{archive, store};
use crate::git::{ObjectId, Repo};

/// A session that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Its id.
    pub id: String,
    /// Its last record.
    pub record: ObjectId,
    /// It has no ref of its own any more.
    pub is_archived: bool,
}

/// All removed sessions, by id. One that was fetched from elsewhere and never was here counts too.
///
/// # Errors
/// Refs or folders cannot be listed.
pub fn list(repo: &Repo, store: &Store) -> Result<Vec<Removed>, RecordError> {
    let mut removed: BTreeMap<String, Removed> = BTreeMap::new();
    let archived = archive::list(repo)?.into_iter().map(|(id, record)| (id, record, true));
    let with_ref = record::list(repo)?.into_iter().map(|(id, record)| (id, record, false));
    for (id, record, is_archived) in archived.chain(with_ref) {
        removed.insert(id.clone(), Removed { id, record, is_archived });
    }
    for id in store.ids().map_err(RecordError::Journal)? {
        removed.remove(&id);
    }
    Ok(removed.into_values().collect())
}

/// The removed session that is meant: by its id, by its name, or by how only one of them begins.
///
/// # Errors
/// None or several are meant, or the refs cannot be listed.
pub fn find(repo: &Repo, store: &Store, given: &str) -> Result<Removed, FindRecordError> {
    let removed = list(repo, store)?;
    let named = removed.iter().map(|it| (it.id.as_str(), record::name_in(&it.id)));
    let id = match store::pick(given, named) {
        // Of two with one task, the second has a name that its id does not tell.
        Err(FindError::NotFound { .. }) => {
            let mut names = Vec::new();
            for it in &removed {
                names.push((it.id.as_str(), Record::read(repo, it.record)?.spec.name));
            }
            let named = names.iter().map(|(id, name)| (*id, name.as_str()));
            store::pick(given, named)?.to_owned()
        }
        id => id?.to_owned(),
    };
    let found = removed.into_iter().find(|it| it.id == id);
    let near = Vec::new();
    Ok(found.ok_or(FindError::NotFound { given: given.to_owned(), near })?)
}

/// Makes a removed session one of the others again.
///
/// # Errors
/// It is there, or its record cannot be read, or its folder not written.
pub fn bring_back(repo: &Repo, store: &Store, removed: &Removed) -> Result<Session, RecordError> {
    if removed.is_archived {
        archive::take_out(repo, &removed.id, removed.record)?;
    }
    match store.take_back(&removed.id) {
        Ok(session) => Ok(session),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Record::read(repo, removed.record)?.restore(repo, store)
        }
        Err(error) => Err(RecordError::Journal(error)),
    }
}
