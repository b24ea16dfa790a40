//! What people say to a session: one file a message, written by anybody, taken once by the one
//! who runs it.
//!
//! Invariant: a message is there whole or not at all, in the order it was sent; it goes away only
//! after the journal has its id.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::format::FORMAT;
use super::id;
use crate::event::{Limit, Verdict};
use crate::file;
use crate::redact;

/// The messages that wait for a session.
#[derive(Clone, Debug)]
pub struct Inbox {
    folder: PathBuf,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    /// Format number of the file.
    pub format: u32,
    /// Its id: ids sort in the order of sending.
    pub id: String,
    /// When it was sent.
    pub time: Timestamp,
    /// Who sent it, as git knew them: `Ada <ada@example.org>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What it says.
    pub kind: Kind,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Words for the model.
    Say {
        /// The words.
        text: String,
        /// When they are for.
        when: When,
    },
    /// The answer to its question.
    Answer {
        /// The answer.
        text: String,
        /// The number of the question; none for whichever is asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        question: Option<u32>,
    },
    /// Yes or no to what it asks.
    Decide {
        /// The number of the question.
        question: u32,
        /// What was decided.
        verdict: Verdict,
        /// Why; may be empty.
        #[serde(default)]
        reason: String,
    },
    /// A limit holds from now on.
    Limit {
        /// Which one.
        limit: Limit,
        /// How much there may be in all; none for no limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<f64>,
    },
    /// Rest after this step.
    Pause,
    /// End the session.
    Stop {
        /// Why, for the journal; may be empty.
        #[serde(default)]
        reason: String,
    },
}

/// When words are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// At once: what runs is cut short.
    Now,
    /// With the results of the step that runs.
    #[default]
    AfterStep,
    /// When the model has ended its turn.
    AfterTurn,
}

/// A message that cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The id needs random numbers.
    #[error(transparent)]
    Random(#[from] id::RandomError),
}

/// What waits.
#[derive(Debug, Default)]
pub struct Arrived {
    /// The messages, first sent first.
    pub letters: Vec<Letter>,
    /// Files that are no message this program understands, each with the reason; they stay.
    pub unreadable: Vec<(PathBuf, String)>,
}

impl Inbox {
    /// The folder of the inbox in a session's folder.
    pub const FOLDER: &str = "inbox";

    /// The inbox that this folder is; it need not exist yet.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Sends a message and gives its id. It is on disk when this returns.
    ///
    /// # Errors
    /// The file system says no, or there are no random numbers.
    pub fn send(&self, kind: Kind) -> Result<String, SendError> {
        self.send_from(None, kind)
    }

    /// As [`Inbox::send`], in the name of this person.
    ///
    /// # Errors
    /// As [`Inbox::send`].
    pub fn send_from(&self, by: Option<String>, kind: Kind) -> Result<String, SendError> {
        fs::create_dir_all(&self.folder)?;
        let time = Timestamp::now();
        let id = format!("{:020}-{}", time.as_nanosecond(), id::tail()?);
        let letter = Letter { format: FORMAT, id: id.clone(), time, by, kind };
        let mut file = tempfile::Builder::new()
            .prefix(".")
            .tempfile_in(&self.folder)
            .map_err(|error| file::unnamed(&error))?;
        let letter = serde_json::to_string(&letter).map_err(io::Error::from)?;
        file.as_file_mut().write_all(redact::json(&letter).as_bytes())?;
        file.as_file_mut().write_all(b"\n")?;
        file.as_file().sync_data()?;
        file.persist_noclobber(self.path(&id)).map_err(|error| error.error)?;
        Ok(id)
    }

    /// What waits; nothing is taken.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn peek(&self) -> io::Result<Arrived> {
        let Some(entries) = file::if_there(fs::read_dir(&self.folder))? else {
            return Ok(Arrived::default());
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut waiting = Arrived::default();
        for path in paths {
            match read(&path) {
                Ok(letter) => waiting.letters.push(letter),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => waiting.unreadable.push((path, error.to_string())),
            }
        }
        Ok(waiting)
    }

    /// Takes a message away, after the journal has its id. One that is gone already is no error.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn done(&self, id: &str) -> io::Result<()> {
        file::remove(&self.path(id))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

/// Reads one message. Its id is the file's name, whatever its content says, so that [`Inbox::done`]
/// can reach nothing else.
fn read(path: &Path) -> io::Result<Letter> {
    let mut letter: Letter = serde_json::from_slice(&fs::read(path)?)?;
    letter.id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_in_order_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let inbox = Inbox::at(folder.path().join("inbox"));
        assert!(inbox.peek().unwrap().letters.is_empty());
        let kinds: Vec<_> = (0..20)
            .map(|n| Kind::Say { text: format!("{n}"), when: When::AfterTurn })
            .chain([
                Kind::Pause,
                Kind::Answer { text: "15".into(), question: Some(1) },
                Kind::Decide { question: 2, verdict: Verdict::Denied, reason: "no".into() },
                Kind::Limit { limit: Limit::Budget, to: Some(2.5) },
                Kind::Stop { reason: String::new() },
            ])
            .collect();
        let ids: Vec<_> = kinds.iter().map(|kind| inbox.send(kind.clone()).unwrap()).collect();
        let got = inbox.peek().unwrap().letters;
        assert_eq!(
            got.iter().map(|letter| &letter.kind).collect::<Vec<_>>(),
            kinds.iter().collect::<Vec<_>>()
        );
        assert_eq!(
            got.iter().map(|letter| &letter.id).collect::<Vec<_>>(),
            ids.iter().collect::<Vec<_>>()
        );
        inbox.done(&ids[0]).unwrap();
        inbox.done(&ids[0]).unwrap();
        assert_eq!(inbox.peek().unwrap().letters.len(), kinds.len() - 1);
    }

    #[test]
    fn a_file_that_is_no_message_keeps_no_other_from_coming() {
        let folder = tempfile::tempdir().unwrap();
        let inbox = Inbox::at(folder.path());
        fs::write(folder.path().join("0.json"), "{").unwrap();
        fs::write(folder.path().join(".half"), "{").unwrap();
        let forged =
            r#"{"format":1,"id":"../../spec","time":"2026-11-05T10:00:00Z","kind":"pause"}"#;
        fs::write(folder.path().join("1.json"), forged).unwrap();
        let waiting = inbox.peek().unwrap();
        assert_eq!(waiting.letters.iter().map(|l| l.id.as_str()).collect::<Vec<_>>(), ["1"]);
        assert_eq!(waiting.unreadable.len(), 1);
        assert!(folder.path().join("0.json").exists());
    }
}
