//! What has happened in a session, as one who takes it over needs it.
//!
//! Invariant: it comes from the journal alone, and only from the line of events that counts.

use std::io;
use std::path::Path;

use super::journal;
use crate::event::line::Line;
use crate::event::{Origin, Update, VerifyRecord};

/// What has happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// What people said after the task.
    pub said: Vec<Said>,
    /// What changed files, in order.
    pub steps: Vec<Changed>,
    /// The last run of each check.
    pub checks: Vec<VerifyRecord>,
}

/// What a person said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The step it was said after.
    pub step: u32,
    /// The words.
    pub text: String,
}

/// A step that changed files, or a person's own change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The step.
    pub step: u32,
    /// Its commit, in hex; none where that is held back.
    pub commit: Option<String>,
    /// The first line of its message.
    pub subject: String,
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// Whether a person did it.
    pub by_person: bool,
}

/// Reads a journal.
///
/// # Errors
/// Whatever the file system says.
pub fn told(journal: &Path) -> io::Result<Told> {
    let events = journal::events(journal)?;
    let mut told = Told::default();
    for event in Line::of(&events).events() {
        match &event.update {
            Update::UserMessage(message) if message.from == Origin::Person => {
                told.said.push(Said { step: event.step, text: message.text.clone() });
            }
            Update::Checkpoint(made) if !made.paths.is_empty() => told.steps.push(Changed {
                step: event.step,
                commit: made.commit.clone(),
                subject: made.subject.clone(),
                insertions: made.insertions,
                deletions: made.deletions,
                by_person: made.by_person.is_some(),
            }),
            Update::Verify(record) => {
                told.checks.retain(|known| known.command != record.command);
                told.checks.push(record.clone());
            }
            _ => {}
        }
    }
    Ok(told)
}
