//! What earlier runs of a session have left: its journal, whole again where it was damaged, and the
//! state that the journal tells of.
//!
//! Invariant: nothing that is on record is lost to the next run, what is mended is said, and a
//! damaged journal is set aside, never thrown away.

use std::path::Path;

use super::fault;
use super::notes::Notes;
use crate::agent::{Conversation, Fault};
use crate::event::{self, Event, Update, line};
use crate::git::{self, ObjectId, Repo};
use crate::session::bill::Bill;
use crate::session::journal::{Entry, Journal, Reader};
use crate::session::record::Record;
use crate::session::salvage;
use crate::session::spec::{Limits, Spec};
use crate::session::state::{Phase, State};
use crate::session::store::Session;

/// What has happened in a session so far.
pub(super) struct Past {
    /// The journal, open behind its last event.
    pub(super) journal: Journal,
    /// What came of its events.
    pub(super) told: Told,
    /// What a person should know of the journal, and the journal does not say yet.
    pub(super) unsaid: Vec<Update>,
}

/// What the events of a journal come to, one after the other: none of them is kept.
pub(super) struct Told {
    pub(super) conversation: Conversation,
    pub(super) bill: Bill,
    pub(super) notes: Notes,
    /// The branch's last commit on record, and whether the journal tells of it.
    head: Option<String>,
    head_is_told: bool,
    /// What may be used up, where a person has changed that; and what was given at the start.
    limits: Option<Limits>,
    given: Limits,
    /// The phase that it was last said to have come to, and whether the record knows.
    phase: Option<String>,
    is_recorded: bool,
}

impl Told {
    fn new(spec: &Spec, head: Option<String>) -> Self {
        Self {
            conversation: Conversation::default(),
            bill: Bill::new(spec),
            notes: Notes::default(),
            head,
            head_is_told: false,
            limits: None,
            given: spec.limits,
            phase: None,
            is_recorded: true,
        }
    }

    /// An event that a rewind has left aside still counts, but leads nowhere.
    fn apply(&mut self, event: &Event, is_on_line: bool) {
        match is_on_line {
            true => self.conversation.apply(&event.update),
            false => self.conversation.count(&event.update),
        }
        self.bill.apply(&event.update);
        self.notes.replay(event, &self.bill);
        match &event.update {
            Update::Checkpoint(checkpoint) => {
                self.head_is_told |= checkpoint.commit.is_some() && checkpoint.commit == self.head;
            }
            Update::Limit(change) => {
                self.limits.get_or_insert(self.given).set(change.limit, change.to);
            }
            Update::Fork(_) => self.limits = None,
            // Who goes on is queued up first.
            Update::State(change) if change.to != Phase::Queued.as_str() => {
                self.phase = Some(change.to.clone());
            }
            _ => {}
        }
    }

    /// Whether the last run came to no rest of its own, or died on the way from there to its last
    /// record.
    pub(super) fn has_died(&self) -> bool {
        let open = [Phase::Running, Phase::Verifying, Phase::Interrupted].map(Phase::as_str);
        !self.is_recorded || self.phase.as_deref().is_some_and(|last| open.contains(&last))
    }
}

impl Past {
    /// Reads the journal, and mends it by the session's ref where it has lost what is on record.
    ///
    /// # Errors
    /// The journal or the record cannot be read or written.
    pub(super) fn open(repo: &Repo, session: &Session) -> Result<Self, Fault> {
        let path = session.journal_path();
        let record = repo.ref_id(&session.ref_name()).map_err(fault)?;
        let record = record.map(|commit| Record::read(repo, commit)).transpose().map_err(fault)?;
        let mut unsaid = Vec::new();
        let (mut journal, torn) = Journal::open(&path).map_err(fault)?;
        if let Some(torn) = torn {
            tracing::warn!(bytes = torn.bytes, kept_in = %torn.kept_in.display(), "a torn line");
        }
        let head = record.as_ref().and_then(|record| record.state.head.clone());
        let begin = || Told::new(&session.spec, head.clone());
        let (mut told, mut damaged) = read(&path, begin)?;
        if let Some(record) = &record
            && (damaged > 0 || journal.len() < record.state.recorded)
            && let Some(kept_in) = salvage::restore(repo, record, &path).map_err(fault)?
        {
            let text = format!(
                "the journal was damaged and was made again from {}; as it was it is kept in {}",
                session.ref_name(),
                kept_in.display()
            );
            unsaid.push(Update::Notice(text));
            journal = Journal::open(&path).map_err(fault)?.0;
            (told, damaged) = read(&path, begin)?;
        }
        if damaged > 0 {
            let text = format!("{damaged} lines of the journal are damaged and were left out");
            unsaid.push(Update::Notice(text));
        }
        if let Some(record) = &record {
            told.is_recorded = !moves_behind(&path, record.state.recorded)?;
            unsaid.extend(unsaid_commit(repo, record, &told)?.map(Update::Checkpoint));
        }
        Ok(Self { journal, told, unsaid })
    }
}

/// Whether a journal tells behind this byte of a move to another phase.
fn moves_behind(path: &Path, recorded: u64) -> Result<bool, Fault> {
    for event in Reader::open(path, recorded).map_err(fault)?.events() {
        if let Update::State(change) = event.map_err(fault)?.update
            && change.to != Phase::Queued.as_str()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the events of a journal come to, and how many of its lines are none.
///
/// Read as a stream, once; where there was a rewind, twice more: for which events count, and for
/// what these come to.
fn read(path: &Path, begin: impl Fn() -> Told) -> Result<(Told, usize), Fault> {
    let (mut told, mut was_rewound) = (begin(), false);
    let damaged = each(path, |event| {
        was_rewound |= matches!(event.update, Update::Rewind(_));
        told.apply(event, true);
    })?;
    if was_rewound {
        let mut bare = Vec::new();
        each(path, |event| bare.push(line::bare(event)))?;
        let mut is_on_line = line::mask(&bare).into_iter();
        told = begin();
        each(path, |event| told.apply(event, is_on_line.next().unwrap_or(true)))?;
    }
    Ok((told, damaged))
}

/// Looks at each event; how many lines are none.
fn each(path: &Path, mut look: impl FnMut(&Event)) -> Result<usize, Fault> {
    let mut damaged = 0;
    for entry in Reader::open(path, 0).map_err(fault)? {
        match entry.map_err(fault)? {
            Entry::Event(event) => look(&event),
            Entry::Damaged { line, why } => {
                tracing::warn!(line, why, "a damaged line of the journal");
                damaged += 1;
            }
        }
    }
    Ok(damaged)
}

/// The step's commit that branch and record have and the journal has not: its run died behind the
/// move of the refs. A commit that somebody else made says nothing of this session.
fn unsaid_commit(
    repo: &Repo,
    record: &Record,
    told: &Told,
) -> Result<Option<event::Checkpoint>, Fault> {
    let Some(head) = record.state.head.as_deref() else { return Ok(None) };
    if head == record.spec.base.commit || told.head_is_told {
        return Ok(None);
    }
    let id = ObjectId::from_hex(head.as_bytes()).map_err(fault)?;
    let commit = repo.read_commit(id).map_err(fault)?;
    let trailer = ("Agent-Session".to_owned(), record.spec.id.clone());
    let Some(parent) =
        commit.parents.first().filter(|_| git::parse(&commit.message).contains(&trailer))
    else {
        return Ok(None);
    };
    let before = repo.tree_of(*parent).map_err(fault)?;
    let stat = repo.diff_stat(before, commit.tree).map_err(fault)?;
    Ok(Some(event::Checkpoint {
        commit: Some(head.to_owned()),
        tree: commit.tree.to_string(),
        subject: commit.message.lines().next().unwrap_or_default().to_owned(),
        paths: stat.paths.iter().map(|change| change.path.to_string()).collect(),
        insertions: stat.insertions,
        deletions: stat.deletions,
        left_out: Vec::new(),
        by_person: None,
    }))
}

/// The state as the journal tells it: a run that was killed may have left it behind.
pub(super) fn caught_up(mut state: State, told: &Told) -> State {
    state.step = told.conversation.step();
    state.worked = told.conversation.worked();
    state.plan = told.conversation.plan().to_vec();
    state.usage = told.bill.usage();
    state.cost_usd = told.bill.cost_usd();
    state.counted_usd = told.bill.counted_usd();
    state.models = told.bill.models().to_vec();
    state.limits = told.limits.or(state.limits);
    state
}
