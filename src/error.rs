//! From what went wrong to what a person reads: one line, its hints, one exit code.
//!
//! Invariant: the only place that knows all error types; a command adds hints, never styles.

mod adopt;
mod cage;
mod check;
mod credit;
mod domain;
mod forge;
mod land;
mod mend;
mod time;

use std::error::Error;

use crate::redact;
use crate::ui::{Tone, Ui};

/// What a command ends with.
pub type Result<T = ()> = std::result::Result<T, CommandError>;

/// The exit codes, each with its one meaning.
pub mod exit {
    /// Done as asked.
    pub const DONE: u8 = 0;
    /// The answer is no, or the thing could not be done: a check failed, a conflict was found.
    pub const NO: u8 = 1;
    /// Wrong use: an unknown option, session, branch or setting.
    pub const USAGE: u8 = 2;
    /// It goes no further without a person.
    pub const NEEDS_PERSON: u8 = 3;
    /// A policy forbids it.
    pub const BLOCKED: u8 = 4;
    /// Ended by a signal: this plus its number, as a shell reports it.
    pub const SIGNAL: u8 = 128;
    /// Our fault.
    pub const BUG: u8 = 255;
}

/// What kind of failure it is: decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Exit code [`exit::NO`].
    No,
    /// Exit code [`exit::USAGE`].
    Usage,
    /// Exit code [`exit::NEEDS_PERSON`].
    NeedsPerson,
    /// Exit code [`exit::BLOCKED`].
    Blocked,
    /// Exit code [`exit::SIGNAL`] plus the number.
    Signal(u8),
    /// Why has been told already: this exit code, and no word more.
    Told(u8),
    /// Exit code [`exit::BUG`].
    Bug,
    /// The reader of our output has gone: no failure of ours, and nobody is left to tell.
    BrokenPipe,
}

impl Kind {
    /// The exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::No => exit::NO,
            Self::Usage => exit::USAGE,
            Self::NeedsPerson => exit::NEEDS_PERSON,
            Self::Blocked => exit::BLOCKED,
            Self::Signal(number) => exit::SIGNAL.saturating_add(number),
            Self::Told(code) => code,
            Self::Bug => exit::BUG,
            Self::BrokenPipe => exit::DONE,
        }
    }

    fn is_silent(self) -> bool {
        matches!(self, Self::BrokenPipe | Self::Told(_))
    }
}

/// Why a command failed, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError {
    /// Decides the exit code.
    pub kind: Kind,
    /// What went wrong, in one line.
    pub message: String,
    /// What caused it, the nearest cause first.
    pub causes: Vec<String>,
    /// What to do next: a command, or a full sentence.
    pub hints: Vec<String>,
}

impl CommandError {
    /// A failure of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hints: Vec::new() }
    }

    /// The answer is no.
    pub fn no(message: impl Into<String>) -> Self {
        Self::new(Kind::No, message)
    }

    /// Wrong use.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// A failure that an error of a lower layer explains; what caused that one goes with it.
    pub fn from_error(kind: Kind, error: &dyn Error) -> Self {
        Self::new(kind, error.to_string()).caused_by(error.source())
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds a cause, and its own causes.
    #[must_use]
    pub fn caused_by(mut self, cause: Option<&(dyn Error + 'static)>) -> Self {
        let mut next = cause;
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// Puts what was being done before the message: `cannot write man page: No space left`.
    #[must_use]
    pub fn while_doing(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Tells the person and returns the exit code.
    pub fn report(&self, ui: &Ui) -> u8 {
        if !self.kind.is_silent() {
            if ui.is_verbose() {
                ui.labelled("error", Tone::Bad, &self.message);
                for cause in &self.causes {
                    ui.narrate(&format!("  caused by: {}", redact::printed(cause)));
                }
            } else {
                ui.labelled("error", Tone::Bad, &self.line());
            }
            for hint in &self.hints {
                ui.hint(hint);
            }
        }
        self.kind.exit_code()
    }

    /// All of it in one line: the message, and each cause that says what is not said before it.
    pub fn line(&self) -> String {
        let mut line = without_number(&self.message);
        for cause in self.causes.iter().map(|cause| without_number(cause)) {
            if !line.contains(&cause) {
                line.push_str(": ");
                line.push_str(&cause);
            }
        }
        line
    }
}

/// The words without ` (os error 2)`: what the system calls an error is told in words already.
fn without_number(words: &str) -> String {
    let mut parts = words.split(" (os error ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.parse::<i32>().is_ok() => kept.push_str(rest),
            _ => kept.extend([" (os error ", part]),
        }
    }
    kept
}

/// Hints for what a call returned.
pub trait ResultExt<T> {
    /// Adds what to do next, should this have failed.
    ///
    /// # Errors
    /// The same failure, with the hint.
    fn hint(self, hint: impl Into<String>) -> Result<T>;

    /// Says what was being done, should this have failed.
    ///
    /// # Errors
    /// The same failure, with what was being done before its message.
    fn while_doing(self, what: &str) -> Result<T>;
}

impl<T, E: Into<CommandError>> ResultExt<T> for std::result::Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> Result<T> {
        self.map_err(|error| error.into().hint(hint))
    }

    fn while_doing(self, what: &str) -> Result<T> {
        self.map_err(|error| error.into().while_doing(what))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write man page")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_cause_is_told_only_when_it_says_more() {
        let error = Outer(io::Error::other("disk on fire"));
        let said = CommandError::from_error(Kind::No, &error);
        assert_eq!(said.line(), "cannot write man page: disk on fire");
        let said = CommandError { message: "cannot write: disk on fire".to_owned(), ..said };
        assert_eq!(said.line(), "cannot write: disk on fire");
    }

    #[test]
    fn numbers_of_the_system_are_not_told() {
        let words = "a (os error 2), b (os error 13): c (os error x) d (os error ";
        assert_eq!(without_number(words), "a, b: c (os error x) d (os error ");
    }

    #[test]
    fn each_kind_has_the_documented_exit_code() {
        let kinds = [
            Kind::No,
            Kind::Usage,
            Kind::NeedsPerson,
            Kind::Blocked,
            Kind::Signal(2),
            Kind::Told(7),
            Kind::Bug,
            Kind::BrokenPipe,
        ];
        assert_eq!(kinds.map(Kind::exit_code), [1, 2, 3, 4, 130, 7, 255, 0]);
    }

    #[test]
    fn a_closed_pipe_is_quiet() {
        let error = CommandError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(error.kind.is_silent());
    }
}
