//! The past of a session, shared with a new one.
//!
//! Invariant: the other session is only read, so it may run meanwhile; what is shared ends with a
//! step that is finished, code and conversation alike.

use std::collections::HashSet;
use std::path::Path;

use jiff::Timestamp;

use super::checkpoint::Place;
use super::journal::{self, Journal};
use super::record::Record;
use super::rewind::{self, RewindError};
use super::spec::{Origin, Spec};
use super::state::{Phase, State};
use super::store::Session;
use crate::event::line::{self, Line};
use crate::event::{Event, Fork, Question, Update};
use crate::file::Changed;
use crate::git::{Draft, ObjectId, Repo, Snapshot};

/// What a session has done up to the end of a step.
#[derive(Clone, Debug)]
pub struct Past {
    /// The line of its events.
    pub events: Vec<Event>,
    /// Whose past it is.
    pub origin: Origin,
    place: Place,
}

impl Past {
    /// The past of a session up to the end of step `at`, or of the last one that is finished.
    ///
    /// # Errors
    /// There is no such step, or it is not finished, or something cannot be read.
    pub fn of(repo: &Repo, session: &Session, at: Option<u32>) -> Result<Self, RewindError> {
        let before = session.holder()?;
        let events = journal::events(&session.journal_path())?;
        let runs = before.or(session.holder()?).is_some();
        let line = Line::of(&events);
        let mut steps = line.steps();
        // Of a step that runs, the journal may know what the commit does not hold yet; one that
        // was cut off has done what nobody knows.
        if runs || !is_finished(repo, session, &line)? {
            steps = steps.saturating_sub(1);
        }
        let step = at.unwrap_or(steps);
        if step > steps {
            let (id, way_back) = (session.id.clone(), line.way_back());
            return Err(RewindError::NoStep { id, step, steps, way_back });
        }
        let part = line.until(step);
        let place = rewind::place_at(repo, session, &line, step)?;
        let commit = place.head.to_string();
        // What a newer program wrote cannot be written again, and is not of the conversation.
        let known = part.iter().filter(|event| !matches!(event.update, Update::Unknown));
        let origin = Origin { session: session.id.clone(), step: line::steps(part), commit };
        Ok(Self { events: known.map(|event| (*event).clone()).collect(), origin, place })
    }

    /// The commit that the new session's branch begins at.
    pub fn head(&self) -> ObjectId {
        self.place.head
    }

    /// Gives it to a session that is being made: files, journal and state. Returns what holds the
    /// code.
    ///
    /// # Errors
    /// Something cannot be read or written.
    pub(super) fn hand_over(
        &self,
        view: &Repo,
        spec: &Spec,
        path: &Path,
        state: &mut State,
    ) -> Result<ObjectId, RewindError> {
        let Place { head, tree } = self.place;
        let begins_with = view.tree_of(head)?;
        let mut code = head;
        if begins_with != tree {
            view.update_checkout(begins_with, tree)?;
            let who = view.identity().map_err(RewindError::Identity)?;
            code = view.write_commit(&Draft {
                tree,
                parents: vec![head],
                author: who.clone(),
                committer: who,
                time: None,
                message: "Snapshot\n".to_owned(),
            })?;
        }
        let Origin { session, step, .. } = self.origin.clone();
        let reason = format!("forked from {session} at step {step}");
        rewind::follow(&Line::of(&self.events), state);
        state.head = Some(head.to_string());
        state.tree = Some(tree.to_string());
        state.changes = rewind::changes(view, spec, tree)?;
        state.settled = true;
        let change = state.move_to(Phase::Paused, &reason, Timestamp::now())?;
        let mut events = self.events.clone();
        let moves = [Update::Fork(Fork { session, step }), Update::State(change)];
        let who = view.who();
        events.extend(moves.map(|update| Event::now(step, update).by(who.clone())));
        Journal::open(path)?.0.append(&events)?;
        Ok(code)
    }
}

/// Whether a new worktree holds just what it was given: what a set-up made besides is nobody's edit.
pub(super) fn is_as_left(view: &Repo, state: &State) -> bool {
    let look = || -> Option<bool> {
        let tree = ObjectId::from_hex(state.tree.as_ref()?.as_bytes()).ok()?;
        let max_file_size = view.agent_config().ok()?.0.max_file_size;
        let mut look = Snapshot::open(&view.in_memory(), tree, max_file_size).ok()?;
        Some(look.take(&Changed::Anything).ok()?.tree == tree)
    };
    look().unwrap_or(false)
}

/// Whether the last step of a session that nobody runs came to its end: each call that had begun
/// has, save one that waits for a person, and what they changed is on record.
fn is_finished(repo: &Repo, session: &Session, line: &Line<'_>) -> Result<bool, RewindError> {
    let mut open = HashSet::new();
    for event in line.events() {
        match &event.update {
            Update::ToolCall(call) => _ = open.insert(call.id.as_str()),
            Update::ToolCallUpdate(end) => _ = open.remove(end.result.call_id.as_str()),
            Update::Question(Question { call_id: Some(id), .. }) => _ = open.remove(id.as_str()),
            Update::AgentMessage(_) => open.clear(),
            _ => {}
        }
    }
    let recorded = Record::last(repo, &session.id)?.map_or(0, |record| record.state.step);
    Ok(open.is_empty() && recorded >= line.steps())
}
