//! What earlier runs of a session have left: its journal, whole again where it was damaged, and the
//! state that the journal tells of.
//!
//! Invariant: nothing that is on record is lost to the next run, what is mended is said, and a
//! damaged journal is set aside, never thrown away.

use std::path::Path;

use super::fault;
use crate::agent::{Conversation, Fault};
use crate::event::{self, Event, Update, line};
use crate::git::{self, ObjectId, Repo};
use crate::message::Usage;
use crate::session::journal::{Entry, Journal, Reader};
use crate::session::record::Record;
use crate::session::salvage;
use crate::session::spec::Limits;
use crate::session::state::{Phase, State};
use crate::session::store::Session;

/// What has happened in a session so far.
pub(super) struct Past {
    /// The journal, open behind its last event.
    pub(super) journal: Journal,
    /// All its events.
    pub(super) events: Vec<Event>,
    /// What a person should know of the journal, and the journal does not say yet.
    pub(super) unsaid: Vec<Update>,
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
        let (mut events, mut damaged) = read(&path)?;
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
            (events, damaged) = read(&path)?;
        }
        if damaged > 0 {
            let text = format!("{damaged} lines of the journal are damaged and were left out");
            unsaid.push(Update::Notice(text));
        }
        if let Some(record) = &record {
            unsaid.extend(unsaid_commit(repo, record, &events)?.map(Update::Checkpoint));
        }
        Ok(Self { journal, events, unsaid })
    }
}

/// The events of a journal, and how many of its lines are none.
fn read(path: &Path) -> Result<(Vec<Event>, usize), Fault> {
    let (mut events, mut damaged) = (Vec::new(), 0);
    for entry in Reader::open(path, 0).map_err(fault)? {
        match entry.map_err(fault)? {
            Entry::Event(event) => events.push(event),
            Entry::Damaged { line, why } => {
                tracing::warn!(line, why, "a damaged line of the journal");
                damaged += 1;
            }
        }
    }
    Ok((events, damaged))
}

/// The step's commit that branch and record have and the journal has not: its run died behind the
/// move of the refs. A commit that somebody else made says nothing of this session.
fn unsaid_commit(
    repo: &Repo,
    record: &Record,
    events: &[Event],
) -> Result<Option<event::Checkpoint>, Fault> {
    let Some(head) = record.state.head.as_deref() else { return Ok(None) };
    let is_said = |event: &Event| match &event.update {
        Update::Checkpoint(checkpoint) => checkpoint.commit.as_deref() == Some(head),
        _ => false,
    };
    if head == record.spec.base.commit || events.iter().rev().any(is_said) {
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
    }))
}

/// Whether the last run came to no rest of its own.
pub(super) fn has_died(events: &[Event]) -> bool {
    let last = events.iter().rev().find_map(|event| match &event.update {
        // Who goes on is queued up first.
        Update::State(change) if change.to != Phase::Queued.as_str() => Some(change.to.as_str()),
        _ => None,
    });
    let open = [Phase::Running, Phase::Verifying, Phase::Interrupted].map(Phase::as_str);
    last.is_some_and(|last| open.contains(&last))
}

/// The limits as the journal tells them.
pub(super) fn follow_limits(state: &mut State, given: Limits, events: &[Event]) {
    for event in line::own(events) {
        if let Update::Limit(change) = &event.update {
            state.limits.get_or_insert(given).set(change.limit, change.to);
        }
    }
}

/// The state as the journal tells it: a run that was killed may have left it behind.
pub(super) fn caught_up(
    mut state: State,
    conversation: &Conversation,
    events: &[Event],
    price: &dyn Fn(&Usage) -> Option<f64>,
) -> State {
    state.step = conversation.step();
    state.usage = conversation.usage();
    state.worked = conversation.worked();
    state.plan = conversation.plan().to_vec();
    let costs = line::own(events).iter().filter_map(|event| match &event.update {
        Update::AgentMessage(answer) => Some(price(&answer.usage)),
        Update::Unfinished(unfinished) => Some(price(&unfinished.usage)),
        _ => None,
    });
    let costs: Vec<_> = costs.collect();
    state.cost_usd = if costs.is_empty() { None } else { costs.into_iter().sum() };
    state
}
