//! The session as a ref: a chain of record commits on `refs/agent/<id>`.
//!
//! The tree of a record holds `spec.toml`, `state.toml` and the whole journal: in
//! `journal/0000/0007.jsonl` is what record 7 added to it, a hundred files a folder. So a record
//! costs its own part of the journal, the state, and three small trees, and no blob is ever
//! written twice. Its last parent is the session's code at that moment; the one before it, if
//! there is one, is the record before.
//!
//! Invariant: whoever holds the ref holds the session: what was asked, all that happened, and the
//! code. The parts of the journal, in their order, are its file byte for byte.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::format::FormatError;
use super::spec::Spec;
use super::state::State;
use super::store::{FindError, Session, Store};
use crate::git::{
    CommitInfo, Draft, Expected, Identity, Mode, ObjectError, ObjectId, RefError, RefUpdate, Repo,
};

/// Where the refs of sessions are.
pub const PREFIX: &str = "refs/agent/";
/// What a ref for messages from other machines ends in: it is no session.
const INBOX: &str = ".inbox";
/// What is no session either: [`super::archive`]. An id has a tail.
const ARCHIVE: &str = "archive";
/// Parts of the journal in one folder, so that no tree grows with the session.
const FOLDER_PARTS: u32 = 100;

/// A record that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// An object cannot be written or read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The ref cannot be read.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// A file in it cannot be understood.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The journal cannot be read.
    #[error("cannot read the journal")]
    Journal(#[source] io::Error),
    /// The journal has lost what the last record holds of it.
    #[error("the journal has {found} bytes, and {recorded} are on record")]
    JournalShort {
        /// Its length.
        found: u64,
        /// What it must have at least.
        recorded: u64,
    },
    /// The commit is no record.
    #[error("{commit} is not the record of a session: {why}")]
    NotARecord {
        /// The commit.
        commit: ObjectId,
        /// What it lacks.
        why: &'static str,
    },
}

/// Writes the records of one session, each on top of the last.
#[derive(Debug)]
pub struct Recorder {
    name: String,
    tip: Option<Tip>,
    /// What was asked, as it is on record.
    spec: Option<Spec>,
    /// Whether the records that a session rests with are signed.
    signs: bool,
}

#[derive(Clone, Copy, Debug)]
struct Tip {
    commit: ObjectId,
    tree: ObjectId,
    /// The number of the next part of the journal.
    next: u32,
    /// How much of the journal is on record.
    journal: u64,
}

/// A record that is written, and to which the ref does not point yet.
#[derive(Debug)]
pub struct Written {
    /// The move of the session's ref, for a transaction together with others.
    pub update: RefUpdate,
    tip: Tip,
    spec: Spec,
}

impl Written {
    /// Its commit.
    pub fn commit(&self) -> ObjectId {
        self.tip.commit
    }
}

impl Recorder {
    /// Begins behind the last record of the session, or before its first.
    ///
    /// # Errors
    /// The ref points to what is no record, or cannot be read.
    pub fn open(repo: &Repo, id: &str) -> Result<Self, RecordError> {
        let name = format!("{PREFIX}{id}");
        let signs = repo.config_bool("agent.audit.sign").unwrap_or(false);
        let Some(commit) = repo.ref_id(&name)? else {
            return Ok(Self { name, tip: None, spec: None, signs });
        };
        let Record { tree, state, spec, .. } = Record::read(repo, commit)?;
        let next = parts(repo, tree)?.last().map_or(0, |(number, _)| number + 1);
        let tip = Tip { commit, tree, next, journal: state.recorded };
        Ok(Self { name, tip: Some(tip), spec: Some(spec), signs })
    }

    /// The last record.
    pub fn tip(&self) -> Option<ObjectId> {
        self.tip.map(|tip| tip.commit)
    }

    /// Writes the next record, objects only: what the journal has beyond the last one, the state,
    /// and the code. [`State::recorded`] is brought up to the journal's end.
    ///
    /// # Errors
    /// The journal cannot be read, or the objects not written.
    pub fn write(
        &self,
        repo: &Repo,
        spec: &Spec,
        state: &mut State,
        journal: &Path,
        code: ObjectId,
        who: &Identity,
    ) -> Result<Written, RecordError> {
        let from = self.tip.map_or(0, |tip| tip.journal);
        let part = read_from(journal, from)?;
        state.recorded = from + part.len() as u64;
        let state_text = text(state.to_text(), State::FILE)?;
        let mut edits = vec![(State::FILE.to_owned(), file(repo, state_text.as_bytes())?)];
        let number = self.tip.map_or(0, |tip| tip.next);
        if self.spec.as_ref() != Some(spec) {
            let spec_text = text(spec.to_text(), Spec::FILE)?;
            edits.push((Spec::FILE.to_owned(), file(repo, spec_text.as_bytes())?));
        }
        if !part.is_empty() {
            edits.push((part_path(number), file(repo, &part)?));
        }
        let tree = repo.edit_tree(self.tip.map(|tip| tip.tree), &edits)?;
        let draft = Draft {
            tree,
            parents: self.tip().into_iter().chain([code]).collect(),
            author: who.clone(),
            committer: who.clone(),
            time: None,
            message: format!("{}: {}, step {}\n", spec.id, state.phase, state.step),
        };
        // One signature is for all that the chain holds, so it is made where the chain may end.
        let signed = (self.signs && !state.phase.needs_supervisor())
            .then(|| repo.write_signed_commit(&draft))
            .transpose()
            .inspect_err(|error| tracing::warn!(%error, "the record is not signed"));
        let commit = match signed {
            Ok(Some(commit)) => commit,
            _ => repo.write_commit(&draft)?,
        };
        let update = RefUpdate {
            name: self.name.clone(),
            old: self.tip().map_or(Expected::Absent, Expected::Is),
            new: Some(commit),
            reason: format!("agent: {}, step {}", state.phase, state.step),
        };
        let next = if part.is_empty() { number } else { number + 1 };
        let tip = Tip { commit, tree, next, journal: state.recorded };
        Ok(Written { update, tip, spec: spec.clone() })
    }

    /// Goes on behind a record, once the ref points to it.
    pub fn advance(&mut self, written: &Written) {
        self.tip = Some(written.tip);
        self.spec = Some(written.spec.clone());
    }
}

/// One record, read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its commit.
    pub commit: ObjectId,
    /// The record before it.
    pub before: Option<ObjectId>,
    /// The session's code at that moment: the branch's tip, or a snapshot of what was not
    /// committed on top of it.
    pub code: ObjectId,
    /// What was asked.
    pub spec: Spec,
    /// Where the session was.
    pub state: State,
    tree: ObjectId,
}

impl Record {
    /// Reads the record at a commit.
    ///
    /// # Errors
    /// The commit is no record, or too new to be understood, or cannot be read.
    pub fn read(repo: &Repo, commit: ObjectId) -> Result<Self, RecordError> {
        let not = |why| RecordError::NotARecord { commit, why };
        let CommitInfo { tree, parents, .. } = repo.read_commit(commit)?;
        let (before, code) = match parents[..] {
            [code] => (None, code),
            [before, code] => (Some(before), code),
            _ => return Err(not("it has neither one parent nor two")),
        };
        let file = |name: &str| -> Result<Option<(String, PathBuf)>, RecordError> {
            let bytes = repo.read_path(tree, name)?;
            let path = PathBuf::from(format!("{commit}:{name}"));
            Ok(bytes.map(|bytes| (String::from_utf8_lossy(&bytes).into_owned(), path)))
        };
        let (spec, path) = file(Spec::FILE)?.ok_or_else(|| not("it has no spec.toml"))?;
        let spec = Spec::parse(&spec, &path)?;
        let (state, path) = file(State::FILE)?.ok_or_else(|| not("it has no state.toml"))?;
        let state = State::parse(&state, &path)?;
        Ok(Self { commit, before, code, spec, state, tree })
    }

    /// The last record of the session with this id; none where it has no ref.
    ///
    /// # Errors
    /// The ref or the record cannot be read.
    pub fn last(repo: &Repo, id: &str) -> Result<Option<Self>, RecordError> {
        let tip = repo.ref_id(&format!("{PREFIX}{id}"))?;
        tip.map(|commit| Self::read(repo, commit)).transpose()
    }

    /// Writes the journal up to this record, part by part.
    ///
    /// # Errors
    /// A part cannot be read, or `out` not written.
    pub fn write_journal(&self, repo: &Repo, out: &mut impl Write) -> Result<(), RecordError> {
        for (_, blob) in parts(repo, self.tree)? {
            out.write_all(&repo.read_blob(blob)?).map_err(RecordError::Journal)?;
        }
        Ok(())
    }

    /// Makes the folder of the session again, from this record.
    ///
    /// # Errors
    /// The session has a folder, or the record cannot be read, or the folder not written.
    pub fn restore(&self, repo: &Repo, store: &Store) -> Result<Session, RecordError> {
        let draft = store.begin(self.spec.clone())?;
        let mut journal = fs::OpenOptions::new()
            .append(true)
            .open(draft.journal_path())
            .map_err(RecordError::Journal)?;
        self.write_journal(repo, &mut journal)?;
        journal.sync_all().map_err(RecordError::Journal)?;
        Ok(draft.finish(&self.state)?)
    }
}

/// The sessions that have a ref, here or fetched from elsewhere: ids and last records, by id.
///
/// # Errors
/// The refs cannot be listed.
pub fn list(repo: &Repo) -> Result<Vec<(String, ObjectId)>, RefError> {
    let id = |name: &str| Some(name.strip_prefix(PREFIX)?.to_owned());
    let refs = repo.refs(PREFIX)?.into_iter();
    let sessions = refs.filter_map(|(name, commit)| Some((id(&name)?, commit)));
    let is_session = |id: &str| !id.contains('/') && !is_reserved(id);
    Ok(sessions.filter(|(id, _)| is_session(id)).collect())
}

/// Whether a ref of this name beside those of the sessions is none of one.
pub(super) fn is_reserved(id: &str) -> bool {
    id.ends_with(INBOX) || id == ARCHIVE
}

/// A session that is not found among the refs.
#[derive(Debug, thiserror::Error)]
pub enum FindRecordError {
    /// None or several are meant.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The refs cannot be listed.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// The record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The slug in an id, which is the name of most sessions.
pub(super) fn name_in(id: &str) -> &str {
    id.rsplit_once('-').map_or(id, |(slug, _)| slug)
}

/// The parts of the journal in a record's tree, in their order.
pub(super) fn parts(repo: &Repo, tree: ObjectId) -> Result<Vec<(u32, ObjectId)>, ObjectError> {
    let mut parts = Vec::new();
    if let Some(journal) = repo.entry(tree, "journal")?.filter(|entry| entry.mode == Mode::Tree) {
        for folder in repo.list_tree(journal.id)? {
            if folder.mode != Mode::Tree {
                continue;
            }
            for part in repo.list_tree(folder.id)? {
                let name = part.path.to_string();
                // What is no part is a newer program's.
                if let Some(Ok(number)) = name.strip_suffix(".jsonl").map(str::parse) {
                    parts.push((number, part.id));
                }
            }
        }
    }
    parts.sort_unstable();
    Ok(parts)
}

fn part_path(number: u32) -> String {
    format!("journal/{:04}/{number:04}.jsonl", number / FOLDER_PARTS)
}

fn read_from(journal: &Path, from: u64) -> Result<Vec<u8>, RecordError> {
    let read = || -> io::Result<(u64, Vec<u8>)> {
        let mut file = fs::File::open(journal)?;
        let found = file.metadata()?.len();
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut bytes)?;
        Ok((found, bytes))
    };
    let (found, bytes) = read().map_err(RecordError::Journal)?;
    if found < from {
        return Err(RecordError::JournalShort { found, recorded: from });
    }
    Ok(bytes)
}

fn file(repo: &Repo, bytes: &[u8]) -> Result<Option<(Mode, ObjectId)>, ObjectError> {
    Ok(Some((Mode::File, repo.write_blob(bytes)?)))
}

fn text(text: Result<String, toml::ser::Error>, name: &str) -> Result<String, FormatError> {
    text.map_err(|source| FormatError::Malformed { path: name.into(), source: source.into() })
}
