//! A model that says again what a transcript holds: for the demo, for tests, for bug reports.
//!
//! Invariant: the answer given is the one that follows the answers already in the history, so a
//! resumed session goes on where it was.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use fs_err::File;

use super::ModelError;
use crate::event::{Delta, Event, Update};
use crate::message::Answer;

/// An open transcript: any JSON lines of events; its `agent_message` updates are the answers.
#[derive(Debug)]
pub(super) struct Transcript {
    path: PathBuf,
    lines: BufReader<File>,
    line: usize,
    /// Answers read from the file.
    read: usize,
    /// Answers in the history.
    pushed: usize,
    /// The last one read.
    current: Option<Answer>,
}

impl Transcript {
    /// Opens one.
    pub(super) fn open(path: &Path) -> Result<Self, ModelError> {
        let file = File::open(path).map_err(ModelError::Transcript)?;
        let lines = BufReader::new(file);
        Ok(Self { path: path.to_owned(), lines, line: 0, read: 0, pushed: 0, current: None })
    }

    /// Books an answer that is in the history.
    pub(super) fn pushed(&mut self) {
        self.pushed += 1;
    }

    /// The next answer.
    pub(super) fn answer(&mut self, on: &mut dyn FnMut(Delta<'_>)) -> Result<Answer, ModelError> {
        while self.read <= self.pushed {
            self.current = Some(self.read_answer()?);
            self.read += 1;
        }
        let answer = self.current.clone().ok_or_else(|| self.ended())?;
        if !answer.thought.is_empty() {
            on(Delta::Thought(&answer.thought));
        }
        if !answer.text.is_empty() {
            on(Delta::Text(&answer.text));
        }
        for call in &answer.calls {
            on(Delta::Call(&call.name));
        }
        Ok(answer)
    }

    fn read_answer(&mut self) -> Result<Answer, ModelError> {
        let mut text = String::new();
        loop {
            text.clear();
            if self.lines.read_line(&mut text).map_err(ModelError::Transcript)? == 0 {
                return Err(self.ended());
            }
            self.line += 1;
            if text.trim().is_empty() {
                continue;
            }
            match Event::parse(text.trim()) {
                Ok(Event { update: Update::AgentMessage(answer), .. }) => return Ok(answer),
                Ok(_) => {}
                // Torn by a crash of who wrote it: what is before it is whole.
                Err(_) if !text.ends_with('\n') => return Err(self.ended()),
                Err(source) => {
                    let (path, line) = (self.path.clone(), self.line);
                    return Err(ModelError::TranscriptLine { path, line, source });
                }
            }
        }
    }

    fn ended(&self) -> ModelError {
        ModelError::TranscriptEnded { path: self.path.clone(), answers: self.read }
    }
}
