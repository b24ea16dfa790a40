//! A word for the person of a session that nobody runs.
//!
//! Invariant: it stands in the journal and in the state; the next run puts it on record.

use jiff::Timestamp;

use super::format::FormatError;
use super::journal::Journal;
use super::state::State;
use super::store::Session;
use crate::event::{Event, Update};

/// Tells it. The caller holds the session, and `state` is what it holds.
///
/// # Errors
/// The session's files cannot be written.
pub fn notice(session: &Session, state: &mut State, text: String) -> Result<(), FormatError> {
    let (mut journal, _torn) = Journal::open(&session.journal_path())?;
    journal.append(&[Event::now(state.step, Update::Notice(text.clone()))])?;
    state.notice(text);
    state.updated = Timestamp::now();
    state.write(&session.state_path())
}
