//! Format numbers: what each stored thing begins with, and what follows from one that is newer.
//!
//! Invariant: a reader takes from a newer file what it understands; nothing is ever written over
//! one.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::file;
use crate::redact;

/// The newest format that this program writes, of every file of a session.
pub const FORMAT: u32 = 1;

/// A stored thing that cannot be read, or must not be written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A newer program wrote it: it is not ours to change, and maybe not to understand.
    #[error("{} is in format {found}; this git-agent knows format {known}", path.display())]
    Newer {
        /// The file, or what stands for one in a ref.
        path: PathBuf,
        /// Its format number.
        found: u32,
        /// The newest number known here.
        known: u32,
    },
    /// It is not what it should be.
    #[error("{} is damaged", path.display())]
    Malformed {
        /// The file, or what stands for one in a ref.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads a TOML file that begins with `format`.
///
/// # Errors
/// It cannot be read, is damaged, or too new to be understood.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, FormatError> {
    parse(&file::read_text(path)?, path)
}

/// As [`read`]; none where there is no such file.
///
/// # Errors
/// It cannot be read, is damaged, or too new to be understood.
pub fn read_if_there<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FormatError> {
    let text = file::if_there(file::read_text(path))?;
    text.map(|text| parse(&text, path)).transpose()
}

/// As [`read_if_there`], for what is acted on: not even understood is what a newer program wrote.
///
/// # Errors
/// It cannot be read, is damaged, or too new.
pub fn read_to_act<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FormatError> {
    let Some(text) = file::if_there(file::read_text(path))? else { return Ok(None) };
    let Frame { format } = parse(&text, path)?;
    writable(path, format)?;
    parse(&text, path).map(Some)
}

/// Replaces a TOML file.
///
/// # Errors
/// The file system says no.
pub fn write(path: &Path, thing: &impl Serialize) -> io::Result<()> {
    file::replace(path, toml::to_string(thing).map_err(io::Error::other)?.as_bytes())
}

/// Reads TOML text that begins with `format`; `path` names it in errors.
pub(super) fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, FormatError> {
    // What a newer program wrote is looked into only where it is not understood.
    toml::from_str(text).map_err(|error| match toml::from_str(text) {
        Ok(Frame { format }) if format > FORMAT => newer(path, format),
        _ => FormatError::Malformed {
            path: path.to_owned(),
            source: in_one_line(&error, text).into(),
        },
    })
}

/// What all of them begin with.
#[derive(Deserialize)]
struct Frame {
    format: u32,
}

/// The text of a stored thing, without secrets.
pub(super) fn text(thing: &impl Serialize) -> Result<String, toml::ser::Error> {
    Ok(redact::text(&toml::to_string(thing)?).into_owned())
}

/// `line 3: key with no value`: toml's own words draw a picture of the line.
fn in_one_line(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    format!("line {line}: {}", error.message())
}

/// Refuses to go on where a newer program wrote.
pub(super) fn writable(path: &Path, found: u32) -> Result<(), FormatError> {
    if found > FORMAT { Err(newer(path, found)) } else { Ok(()) }
}

fn newer(path: &Path, found: u32) -> FormatError {
    FormatError::Newer { path: path.to_owned(), found, known: FORMAT }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;
    use crate::config::CommitStrategy;
    use crate::event::{Event, Update};
    use crate::session::inbox::{Inbox, Kind, When};
    use crate::session::spec::Spec;
    use crate::session::state::{Phase, State};

    /// A session as format 1 has it, with every key: what was written once must open for ever.
    const SPEC: &str = r#"format = 1
id = "add-rate-7f3k"
name = "add-rate"
task = "Add rate limiting"
created = "2026-11-05T10:00:00Z"
branch = "refs/heads/agent/add-rate"
worktree = "/src/shop.worktrees/add-rate"
folder = "crates/api"
model = "anthropic/claude"
verify = ["cargo test"]
commit_prefix = "feat:"
commit_strategy = "incremental"
trailers = true
unattended = false
sandbox = "none"

[base]
commit = "7d1a5fcdd7a7ae5cd3ab8a1a7bd6a5b3ef0d9a51"
name = "main"

[limits]
max_steps = 50
timeout = 7200
budget = 5.0
"#;
    const STATE: &str = r#"format = 1
phase = "needs-input"
reason = "it asks"
step = 3
head = "7d1a5fcdd7a7ae5cd3ab8a1a7bd6a5b3ef0d9a51"
tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
recorded = 4096
activity = "waits"
summary = "Added it."
delivered = 1
cost_usd = 0.41
created = "2026-11-05T10:00:00Z"
started = "2026-11-05T10:00:01Z"
updated = "2026-11-05T10:12:00Z"
left_out = ["big.bin: 99 bytes are more than a snapshot takes"]
notices = ["a notice"]

[usage]
input = 1200
cached = 900
cache_write = 10
output = 34

[changes]
files = 4
insertions = 182
deletions = 3

[question]
text = "Which Postgres version?"
options = ["15", "16"]
call_id = "call_1"

[waiting]
reason = "overloaded"
attempt = 2
until = "2026-11-05T10:13:00Z"

[verify]
command = "cargo test"
exit = 0
millis = 3200
tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
output = "ok"

[[plan]]
text = "Find the endpoint"
status = "done"
"#;
    const LETTER: &str = r#"{"format":1,"id":"x","time":"2026-11-05T10:00:00Z","kind":{"say":{"text":"hi","when":"after_turn"}}}"#;
    const LINE: &str =
        r#"{"format":1,"time":"2026-11-05T10:00:00Z","step":3,"update":{"notice":"hi"}}"#;

    #[test]
    fn what_format_1_wrote_opens_and_is_written_the_same() {
        let spec = Spec::parse(SPEC, Path::new("spec.toml")).unwrap();
        assert_eq!(
            (spec.commit_strategy, spec.limits.max_steps),
            (CommitStrategy::Incremental, Some(50))
        );
        assert_eq!(spec.to_text().unwrap(), SPEC);
        let state = State::parse(STATE, Path::new("state.toml")).unwrap();
        assert_eq!((state.phase, state.changes.files), (Phase::NeedsInput, 4));
        assert!(state.unknown.is_empty());
        assert_eq!(state.to_text().unwrap(), STATE);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("1.json"), LETTER).unwrap();
        let arrived = Inbox::at(folder.path()).peek().unwrap();
        let say = Kind::Say { text: "hi".to_owned(), when: When::AfterTurn };
        assert_eq!(arrived.letters[0].kind, say);
        let event = Event::parse(LINE).unwrap();
        assert!(matches!(&event.update, Update::Notice(text) if text == "hi"));
        assert_eq!(event.to_line().unwrap(), LINE);
    }
}
