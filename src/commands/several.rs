//! Several sessions as an argument of a verb that takes words.
//!
//! Invariant: one session is the first word; where sessions are named by options, all words are
//! text.

use clap::builder::NonEmptyStringValueParser;
use clap_complete::ArgValueCompleter;

use super::complete;
use super::control::SessionArgs;

/// One session as the first word, or several by options.
#[derive(Clone, Debug, clap::Args)]
pub struct Several {
    /// Session, by any unique beginning of its id or name
    #[arg(
        value_name = "SESSION",
        required_unless_present_any = ["sessions", "all"],
        value_parser = NonEmptyStringValueParser::new(),
        add = ArgValueCompleter::new(complete::sessions),
    )]
    session: Option<String>,
    /// This session; may be given several times, and all words are then text
    #[arg(
        short = 's',
        long = "session",
        value_name = "SESSION",
        value_parser = NonEmptyStringValueParser::new(),
        add = ArgValueCompleter::new(complete::sessions),
    )]
    sessions: Vec<String>,
    /// Every session that this can be done to; all words are then text
    #[arg(long, conflicts_with = "sessions")]
    all: bool,
}

impl Several {
    /// The sessions that are meant, and the words for them.
    pub fn split(&self, words: &[String]) -> (SessionArgs, Vec<String>) {
        let Self { session, sessions, all } = self.clone();
        if all || !sessions.is_empty() {
            let words = session.into_iter().chain(words.iter().cloned()).collect();
            return (SessionArgs { sessions, all }, words);
        }
        (SessionArgs { sessions: session.into_iter().collect(), all }, words.to_vec())
    }
}
