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
    match lines.iter().rposition(|line| Some(*line) == last) {
        Some(at) => whole.extend(lines[at + 1..].concat()),
        // That line itself is damaged: what stands behind its place.
        None => whole.extend(behind(&found, whole.len())),
    }
    let kept_in = path.with_extension(format!("jsonl.damaged-{}", Timestamp::now().as_second()));
    fs::copy(path, &kept_in).map_err(RecordError::Journal)?;
    file::replace(path, &whole).map_err(RecordError::Journal)?;
    Ok(Some(kept_in))
}

/// The whole lines behind so many bytes.
fn behind(found: &[u8], length: usize) -> &[u8] {
    let Some(rest) = length.checked_sub(1).and_then(|end| found.get(end..)) else { return &[] };
    let start = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
    &rest[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_a_damaged_line_is_found_by_its_place() {
        let behind = |length| std::str::from_utf8(behind(b"one\ntXo\nthree\n", length)).unwrap();
        assert_eq!([behind(8), behind(6), behind(14), behind(99)], ["three\n", "three\n", "", ""]);
        assert_eq!(behind(0), "");
    }
}
