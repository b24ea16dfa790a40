//! What a model is given to know beside its task: files, lines of files, a transcript of another
//! tool.
//!
//! Invariant: what is given is bounded and without secrets; what comes from another tool is marked
//! as such, and is no instruction.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::ValueHint;
use fs_err as fs;

use super::message;
use super::view;
use crate::error::{CommandError, Kind, Result};
use crate::redact;
use crate::session::carry::Carry;
use crate::session::spec::Given;
use crate::transcript::{self, TranscriptError};
use crate::ui::{Ui, units};

/// The most that one file gives, in bytes, and all of them together.
const LIMIT: u64 = 64 << 10;
const LIMIT_OF_ALL: usize = 256 << 10;
/// The largest transcript that is read, and how much of it is given, in bytes.
const TRANSCRIPT: u64 = 64 << 20;
const TRANSCRIPT_GIVEN: usize = 48 << 10;

/// What is given beside the task.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct GivenArgs {
    /// Give the model this file to know; it may be outside the repository (may be repeated)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    context: Vec<PathBuf>,
    /// Give the model these lines of a file, as src/lib.rs:10-20 (may be repeated)
    #[arg(long = "file", value_name = "PATH:L1-L2", value_hint = ValueHint::FilePath, hide_short_help = true)]
    lines: Vec<String>,
    /// Give the model what was said in a session of Claude Code, Codex or Copilot CLI: the file of
    /// its transcript
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    from_session: Option<PathBuf>,
    /// Take along what is in no commit here, as the session's first commit, by you
    #[arg(long, value_enum, value_name = "WHAT")]
    pub carry: Option<Carry>,
}

impl GivenArgs {
    /// Reads all of it.
    ///
    /// # Errors
    /// A file cannot be read, is no text, or too long; a transcript is none that is known.
    pub fn read(&self, ui: &Ui) -> Result<Vec<Given>> {
        let mut given = Vec::new();
        for path in &self.context {
            given.push(Given { what: shown(path), untrusted: false, text: text_of(path)? });
        }
        for range in &self.lines {
            given.push(lines(range)?);
        }
        given.extend(self.from_session.as_deref().map(|path| said_in(ui, path)).transpose()?);
        for given in &mut given {
            given.text = message::without_secrets(ui, &given.text);
        }
        let all: usize = given.iter().map(|given| given.text.len()).sum();
        if all > LIMIT_OF_ALL {
            let (all, limit) = (units::bytes(all as u64), units::bytes(LIMIT_OF_ALL as u64));
            return Err(CommandError::usage(format!(
                "all that is given is {all}, more than {limit}"
            ))
            .hint("Name files in the task instead: the agent reads what it needs"));
        }
        Ok(given)
    }
}

/// A path as one would type it in the repository.
fn shown(path: &Path) -> String {
    std::path::absolute(path).map_or_else(|_| path.display().to_string(), |it| view::from_here(&it))
}

fn text_of(path: &Path) -> Result<String> {
    let bytes = bytes_of(path, LIMIT)?;
    String::from_utf8(bytes).map_err(|_| {
        CommandError::usage(format!("{} is no text in UTF-8", path.display()))
            .hint("Give a text, or name the file in the task")
    })
}

fn bytes_of(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let usage = |error: std::io::Error| CommandError::from_error(Kind::Usage, &error);
    let hint = "Give a file that is there, and that is a text";
    if fs::metadata(path).map_err(|error| usage(error).hint(hint))?.is_dir() {
        return Err(CommandError::usage(format!("{} is a folder", path.display())).hint(hint));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| usage(error).hint(hint))?;
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let (path, limit) = (path.display(), units::bytes(limit));
        return Err(CommandError::usage(format!("{path} is more than {limit}"))
            .hint("--file PATH:L1-L2 gives some lines; or name it in the task"));
    }
    Ok(bytes)
}

/// `src/lib.rs:10-20`, `src/lib.rs:10`: each line with its number.
fn lines(given: &str) -> Result<Given> {
    let wrong = |why: &str| {
        CommandError::usage(format!("--file {given}: {why}")).hint(
            "--file PATH:L1-L2 names lines, counted from 1; -F FILE reads the task from a file",
        )
    };
    let (path, range) = given.rsplit_once(':').ok_or_else(|| wrong("it names no lines"))?;
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number > 0);
    let (Some(first), Some(last)) = (number(first), number(last)) else {
        return Err(wrong("it names no lines"));
    };
    if last < first {
        return Err(wrong("it ends before it begins"));
    }
    let path = Path::new(path);
    // A long file may have short parts: it is read whole, and what is given of it is bounded.
    let bytes = bytes_of(path, TRANSCRIPT)?;
    let whole = String::from_utf8(bytes).map_err(|_| wrong("it is no text in UTF-8"))?;
    let count = whole.lines().count();
    if last > count {
        return Err(wrong(&format!("the file has {}", units::counted(count as u64, "line"))));
    }
    let mut text = String::new();
    for (at, line) in whole.lines().enumerate().take(last).skip(first - 1) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:>6}\t{line}", at + 1);
    }
    if text.len() as u64 > LIMIT {
        return Err(wrong(&format!("these lines are more than {}", units::bytes(LIMIT))));
    }
    let which =
        if first == last { format!("line {first}") } else { format!("lines {first} to {last}") };
    Ok(Given { what: format!("{}, {which}", shown(path)), untrusted: false, text })
}

fn said_in(ui: &Ui, path: &Path) -> Result<Given> {
    let bytes = bytes_of(path, TRANSCRIPT)?;
    let mut transcript = transcript::read(&bytes).map_err(|error| {
        let name = path.display();
        let hint = match error {
            TranscriptError::Unknown => {
                "Known are ~/.claude/projects/*/*.jsonl, ~/.codex/sessions/**/rollout-*.jsonl and \
                 ~/.copilot/session-state/*/events.jsonl"
            }
            TranscriptError::Empty(_) => "Give one in which something was said",
        };
        CommandError::usage(format!("{name}: {error}")).hint(hint)
    })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let what = format!("a session of {}, {name}", transcript.tool);
    // Before anything is cut short: half a secret is known to nobody.
    let mut had_secrets = false;
    for entry in &mut transcript.entries {
        entry.change(|text| {
            let clean = redact::text(text);
            had_secrets |= matches!(clean, Cow::Owned(_));
            clean.into_owned()
        });
    }
    let text = transcript.told(TRANSCRIPT_GIVEN);
    if had_secrets {
        message::tell_secrets(ui, &text);
    }
    Ok(Given { what, untrusted: true, text })
}
