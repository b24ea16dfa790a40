//! A journal that was damaged or cut, made whole again from the session's ref.
//!
//! Invariant: what is on record comes back line by line, what happened since stays behind it, and
//! the file as it was is kept.

use std::path::{Path, PathBuf};

use fs_err as fs;
use jiff::Timestamp;

use super::record::{Record, RecordError};
use crate::file;
use crate::git::Repo;

/// Puts what is on record in place of the journal's beginning, and says where the damaged one is
/// kept; none where the journal is as it is on record.
///
/// # Errors
/// The record cannot be read, or the journal not be read or replaced.
pub fn restore(repo: &Repo, record: &Record, path: &Path) -> Result<Option<PathBuf>, RecordError> {
    let mut whole = Vec::new();
    record.write_journal(repo, &mut whole)?;
    let found = fs::read(path).map_err(RecordError::Journal)?;
    if found.starts_with(&whole) {
        return Ok(None);
    }
    // What comes behind the last line on record has happened since.
    let last = whole.split_inclusive(|byte| *byte == b'\n').next_back();
    let lines: Vec<&[u8]> = found.split_inclusive(|byte| *byte == b'\n').collect();
    if let Some(at) = lines.iter().rposition(|line| Some(*line) == last) {
        whole.extend(lines[at + 1..].concat());
    }
    let kept_in = path.with_extension(format!("jsonl.damaged-{}", Timestamp::now().as_second()));
    fs::copy(path, &kept_in).map_err(RecordError::Journal)?;
    file::replace(path, &whole).map_err(RecordError::Journal)?;
    Ok(Some(kept_in))
}
