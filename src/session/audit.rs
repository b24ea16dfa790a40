//! Whether a session's record is what was written: nothing changed, nothing left out.
//!
//! Each record names the one before it by its hash, so whoever knows the last one knows them all.
//! What that cannot show is a chain that was made anew as a whole: compared with a copy elsewhere
//! ([`Asked::against`]), or signed by a key that its maker does not have, that shows too.
//!
//! Invariant: it only reads, and what it could not look at is not proven.

use std::collections::HashSet;
use std::path::Path;

use fs_err as fs;

use super::format;
use super::record::{Record, RecordError, parts};
use super::spec::Spec;
use super::state::{Phase, State};
use crate::event::{Event, Update};
use crate::git::{ObjectId, Repo, RevisionError};
use crate::process::ProcessError;

/// What is to be proven of a session.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its last record.
    pub tip: ObjectId,
    /// Its folder here, if it has one.
    pub folder: Option<&'a Path>,
    /// A record that is known to be true, which this one must go on from.
    pub against: Option<ObjectId>,
}

/// What holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// Records in the chain.
    pub records: u64,
    /// Of these, signed with a key that git trusts.
    pub signed: u64,
    /// Events on record.
    pub events: u64,
    /// Commits of steps that are where they are said to be.
    pub commits: u64,
    /// Events in the folder's journal that are not on record yet.
    pub unrecorded: u64,
    /// Whether the last record is signed.
    pub is_signed: bool,
}

/// The first thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The record it is found at; none where it is in the session's folder.
    pub record: Option<ObjectId>,
    /// What it is, in a line.
    pub what: String,
}

/// The record cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// An object cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The history of the code cannot be read.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// The session's folder cannot be read.
    #[error("cannot read the session's folder")]
    Io(#[from] std::io::Error),
    /// git cannot be asked about a signature.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl From<crate::git::ObjectError> for AuditError {
    fn from(error: crate::git::ObjectError) -> Self {
        Self::Record(error.into())
    }
}

/// Looks at every record of a session, from the first on.
///
/// # Errors
/// Something cannot be read; nothing is proven then.
pub fn verify(repo: &Repo, asked: &Asked<'_>) -> Result<Result<Proof, Divergence>, AuditError> {
    let mut chain = Vec::new();
    let mut next = Some(asked.tip);
    while let Some(commit) = next {
        let record = match Record::read(repo, commit) {
            Ok(record) => record,
            Err(RecordError::NotARecord { why, .. }) => return Ok(diverges(commit, why)),
            Err(RecordError::Format(error)) => return Ok(diverges(commit, &error.to_string())),
            Err(error) => return Err(error.into()),
        };
        next = record.before;
        chain.push(record);
    }
    chain.reverse();
    if let Some(known) = asked.against
        && !chain.iter().any(|record| record.commit == known)
    {
        return Ok(diverges(asked.tip, &format!("it does not go on from {known}")));
    }
    let mut walk = Walk { repo, id: asked.id, ..Walk::new(repo) };
    for record in &chain {
        if let Some(what) = walk.step(record)? {
            return Ok(diverges(record.commit, &what));
        }
    }
    if let Some(folder) = asked.folder
        && let Some(what) = walk.compare(folder)?
    {
        return Ok(Err(Divergence { record: None, what }));
    }
    Ok(Ok(walk.proof))
}

fn diverges(commit: ObjectId, what: &str) -> Result<Proof, Divergence> {
    Err(Divergence { record: Some(commit), what: what.to_owned() })
}

/// How far it has been looked at.
struct Walk<'r> {
    repo: &'r Repo,
    id: &'r str,
    proof: Proof,
    asked: Option<Spec>,
    parts: Vec<(u32, ObjectId)>,
    journal: Vec<u8>,
    /// The step of the last answer.
    step: u32,
    codes: HashSet<ObjectId>,
}

impl<'r> Walk<'r> {
    fn new(repo: &'r Repo) -> Self {
        Self {
            repo,
            id: "",
            proof: Proof::default(),
            asked: None,
            parts: Vec::new(),
            journal: Vec::new(),
            step: 0,
            codes: HashSet::new(),
        }
    }

    /// What does not hold of this record, which follows those before.
    fn step(&mut self, record: &Record) -> Result<Option<String>, AuditError> {
        let tree = self.repo.tree_of(record.commit)?;
        for entry in self.repo.list_tree(tree)? {
            let name = entry.path.to_string();
            if ![Spec::FILE, State::FILE, "journal"].contains(&name.as_str()) {
                return Ok(Some(format!("its tree holds {name}")));
            }
        }
        if self.asked.as_ref().is_some_and(|asked| !is_same(asked, &record.spec)) {
            return Ok(Some("what was asked is not what the record before has".to_owned()));
        }
        self.asked = Some(record.spec.clone());
        if record.spec.id != self.id {
            return Ok(Some(format!("it is of the session {}", record.spec.id)));
        }
        let parts = parts(self.repo, tree)?;
        let Some(new) = parts.strip_prefix(self.parts.as_slice()) else {
            return Ok(Some("the journal before it is not kept as it was".to_owned()));
        };
        let known = self.parts.len();
        for (at, (number, blob)) in new.iter().enumerate() {
            if *number as usize != known + at {
                return Ok(Some(format!("part {} of the journal is missing", known + at)));
            }
            let part = self.repo.read_blob(*blob)?;
            if let Some(what) = self.read(*number, &part, record)? {
                return Ok(Some(what));
            }
            self.journal.extend_from_slice(&part);
        }
        self.parts = parts;
        if record.state.recorded != self.journal.len() as u64 {
            let (said, found) = (record.state.recorded, self.journal.len());
            return Ok(Some(format!("it says the journal has {said} bytes, and it has {found}")));
        }
        self.codes.insert(record.code);
        if let Some(what) = self.code(record)? {
            return Ok(Some(what));
        }
        self.proof.records += 1;
        self.proof.is_signed = self.repo.is_signed(record.commit)?;
        if self.proof.is_signed {
            if let Err(why) = self.repo.verify_signature(record.commit)? {
                return Ok(Some(format!("its signature does not hold: {why}")));
            }
            self.proof.signed += 1;
        }
        Ok(None)
    }

    /// What does not hold of a part of the journal.
    fn read(
        &mut self,
        number: u32,
        part: &[u8],
        record: &Record,
    ) -> Result<Option<String>, AuditError> {
        let text = std::str::from_utf8(part).ok().filter(|text| text.ends_with('\n'));
        let Some(text) = text else {
            return Ok(Some(format!("part {number} of the journal is cut")));
        };
        for (at, line) in text.lines().enumerate() {
            let at = format!("line {} of part {number} of the journal", at + 1);
            let Ok(event) = Event::parse(line) else {
                return Ok(Some(format!("{at} is no event")));
            };
            self.proof.events += 1;
            match &event.update {
                Update::AgentMessage(_) => {
                    if event.step != self.step + 1 {
                        let step = self.step + 1;
                        return Ok(Some(format!("{at} is step {}, not {step}", event.step)));
                    }
                    self.step = event.step;
                }
                Update::Rewind(rewind) => self.step = rewind.step,
                Update::Fork(fork) => self.step = fork.step,
                Update::Checkpoint(checkpoint) => {
                    let Some(commit) = &checkpoint.commit else { continue };
                    let Ok(commit) = ObjectId::from_hex(commit.as_bytes()) else {
                        return Ok(Some(format!("{at} names no commit")));
                    };
                    if !self.holds(commit, record.code)? {
                        return Ok(Some(format!("{at} names {commit}, which no record holds")));
                    }
                    let tree = ObjectId::from_hex(checkpoint.tree.as_bytes()).ok();
                    if tree != Some(self.repo.tree_of(commit)?) {
                        return Ok(Some(format!("{at} names another tree than its commit has")));
                    }
                    self.proof.commits += 1;
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Whether a commit is in the history of the code of a record so far.
    fn holds(&self, commit: ObjectId, code: ObjectId) -> Result<bool, AuditError> {
        if self.codes.contains(&commit) {
            return Ok(true);
        }
        Ok(self.repo.has_object(commit) && self.repo.is_ancestor(commit, code)?)
    }

    /// What does not hold of the code that a record names.
    fn code(&self, record: &Record) -> Result<Option<String>, AuditError> {
        let head = record.state.head.as_deref().map(|hex| ObjectId::from_hex(hex.as_bytes()));
        if let Some(head) = head {
            let is_held = match head {
                Ok(head) => head == record.code || self.holds(head, record.code)?,
                Err(_) => false,
            };
            if !is_held {
                return Ok(Some("the branch it names is not in the code it holds".to_owned()));
            }
        }
        let tree = self.repo.tree_of(record.code)?.to_string();
        let is_over = matches!(record.state.phase, Phase::Done | Phase::Landed);
        if is_over && record.state.tree.as_ref().is_some_and(|said| *said != tree) {
            return Ok(Some("the tree it names is not that of the code it holds".to_owned()));
        }
        Ok(None)
    }

    /// What in the session's folder is not as the last record has it.
    fn compare(&mut self, folder: &Path) -> Result<Option<String>, AuditError> {
        let journal = fs::read(folder.join(super::journal::Journal::FILE))?;
        let same = journal.iter().zip(&self.journal).take_while(|(here, there)| here == there);
        let same = same.count();
        if same < self.journal.len() {
            let line = memchr::memchr_iter(b'\n', &journal[..same]).count() + 1;
            return Ok(Some(format!("line {line} of journal.jsonl is not as it was recorded")));
        }
        self.proof.unrecorded = memchr::memchr_iter(b'\n', &journal[same..]).count() as u64;
        let here = format::read::<Spec>(&folder.join(Spec::FILE)).map_err(RecordError::from)?;
        if self.asked.as_ref().is_some_and(|asked| !is_same(asked, &here)) {
            return Ok(Some("spec.toml is not as it was recorded".to_owned()));
        }
        Ok(None)
    }
}

/// Whether the same was asked: branch and worktree may be moved, the rest stays.
fn is_same(one: &Spec, other: &Spec) -> bool {
    let asked = |spec: &Spec| {
        let Spec { id, task, created, base, verify, context, .. } = spec.clone();
        (id, task, created, base, verify, context)
    };
    asked(one) == asked(other)
}
