//! The right to answer what a session asks.
//!
//! Invariant: one process at a time has it, and a question whose answer is on its way is not asked
//! any more; so of two answers one is given, and the other is refused.

use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

use super::inbox::{Kind, SendError};
use super::spec::Spec;
use super::state::Phase;
use super::store::{Session, SessionError};
use crate::event::{Question, Verdict};

/// How long another answer may take to be written down.
const PATIENCE: Duration = Duration::from_secs(10);

/// A question that nobody else answers as long as this lives.
#[derive(Debug)]
pub struct Asked<'s> {
    session: &'s Session,
    question: Question,
    // Its lock is the right to answer; it goes with the file.
    _spec: File,
}

impl<'s> Asked<'s> {
    /// What this session asks, and has no answer to yet.
    ///
    /// # Errors
    /// Somebody else holds on to the right to answer, or the session cannot be read.
    pub fn of(session: &'s Session) -> Result<Option<Self>, SessionError> {
        if session.state()?.phase != Phase::NeedsInput {
            return Ok(None);
        }
        let spec = lock(session).map_err(SendError::from)?;
        // In this order: a message is taken away only after the state says that the session runs.
        let waiting = session.inbox().peek().map_err(SendError::from)?.letters;
        let Some(question) = session.state()?.question else { return Ok(None) };
        let answers = |kind: &Kind| match kind {
            Kind::Answer { question: number, .. } => number.is_none_or(|it| it == question.number),
            Kind::Decide { question: number, .. } => *number == question.number,
            _ => false,
        };
        let is_answered = waiting.iter().any(|letter| answers(&letter.kind));
        Ok((!is_answered).then_some(Self { session, question, _spec: spec }))
    }

    /// What is asked.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// Answers in words.
    ///
    /// # Errors
    /// The session takes no message, or it cannot be written.
    pub fn answer(self, text: String) -> Result<(), SessionError> {
        let number = self.question.number;
        let question = (number > 0).then_some(number);
        self.session.send(Kind::Answer { text, question }).map(drop)
    }

    /// Answers by yes or no.
    ///
    /// # Errors
    /// The session takes no message, or it cannot be written.
    pub fn decide(self, verdict: Verdict, reason: String) -> Result<(), SessionError> {
        let question = self.question.number;
        self.session.send(Kind::Decide { question, verdict, reason }).map(drop)
    }
}

/// The session's spec, which is always there, locked.
pub(super) fn lock(session: &Session) -> io::Result<File> {
    // To write, as some file systems demand it for a lock.
    let spec = File::options().read(true).write(true).open(session.dir.join(Spec::FILE))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match spec.try_lock() {
            Ok(()) => return Ok(spec),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::other("somebody else is about to answer"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::session::spec::tests::sample;
    use crate::session::state::State;
    use crate::session::store::Store;

    #[test]
    fn e15_of_two_answers_one_is_given() {
        let root = tempfile::tempdir().unwrap();
        let session = Store::open(root.path()).create(sample("ask-me-7f3k")).unwrap();
        assert!(Asked::of(&session).unwrap().is_none(), "it is only queued");
        let question = Question { text: "which?".into(), number: 3, ..Question::default() };
        let state = State {
            phase: Phase::NeedsInput,
            question: Some(question),
            ..State::new(Timestamp::now())
        };
        state.write(&session.state_path()).unwrap();
        // An answer to an earlier question, which its session had no time to take away.
        session.send(Kind::Answer { text: "old".into(), question: Some(2) }).unwrap();
        let given = std::thread::scope(|scope| {
            let answers = ["a", "b", "c", "d"].map(|text| {
                let session = &session;
                scope.spawn(move || {
                    let asked = Asked::of(session).unwrap();
                    asked.map(|asked| asked.answer(text.to_owned()).unwrap()).is_some()
                })
            });
            answers.into_iter().filter_map(|it| it.join().unwrap().then_some(())).count()
        });
        assert_eq!(given, 1);
        assert_eq!(session.inbox().peek().unwrap().letters.len(), 2);
    }
}
