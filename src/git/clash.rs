//! A file that does not merge, and the lines of it that both sides changed.
//!
//! Invariant: lines are counted in each side's own version, which is what a person sees there.

use std::ops::Range;

use gix::diff::blob::{Algorithm, Diff, InternedInput};

use crate::git::ObjectId;
use crate::git::lines::is_binary;
use crate::git::object::{Mode, ObjectError};
use crate::git::repo::Repo;

/// A path that needs a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The path; lossy where it is not UTF-8.
    pub path: String,
    /// What is there in the base, on our and on their side.
    pub stages: [Option<(Mode, ObjectId)>; 3],
}

/// Lines that both sides changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk {
    /// Lines of our version, counted from 0.
    pub ours: Range<u32>,
    /// Lines of theirs.
    pub theirs: Range<u32>,
}

/// Why a path does not merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClashKind {
    /// Both changed the same lines.
    Lines,
    /// Both changed a file that has no lines.
    Binary,
    /// Both added it.
    BothAdded,
    /// One changed or moved it, the other deleted or moved it.
    OneGone,
    /// A submodule that both moved.
    Submodule,
    /// A file, a link or a folder meets something of another kind.
    Kinds,
}

impl ClashKind {
    /// The word for programs, and with spaces for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Binary => "binary",
            Self::BothAdded => "both-added",
            Self::OneGone => "one-gone",
            Self::Submodule => "submodule",
            Self::Kinds => "kinds",
        }
    }
}

impl Clash {
    /// Why it does not merge, and the lines that both changed, where it is about lines.
    ///
    /// # Errors
    /// An object cannot be read.
    pub fn look(&self, repo: &Repo) -> Result<(ClashKind, Vec<Hunk>), ObjectError> {
        let [base, Some(ours), Some(theirs)] = self.stages else {
            return Ok((ClashKind::OneGone, Vec::new()));
        };
        if ours.0 == Mode::Commit && theirs.0 == Mode::Commit {
            return Ok((ClashKind::Submodule, Vec::new()));
        }
        if !ours.0.is_file() || !theirs.0.is_file() {
            return Ok((ClashKind::Kinds, Vec::new()));
        }
        // The merge of several merge bases is in no object store.
        let base = base.filter(|base| base.0.is_file() && repo.has_object(base.1));
        let before = base.map(|base| repo.read_blob(base.1)).transpose()?;
        let before = before.unwrap_or_default();
        let (ours, theirs) = (repo.read_blob(ours.1)?, repo.read_blob(theirs.1)?);
        if [&before, &ours, &theirs].iter().any(|text| is_binary(text)) {
            return Ok((ClashKind::Binary, Vec::new()));
        }
        let kind = if base.is_some() { ClashKind::Lines } else { ClashKind::BothAdded };
        Ok((kind, meeting(&before, &ours, &theirs)))
    }
}

/// The changes of both sides that touch each other, and are not the same.
fn meeting(base: &[u8], ours: &[u8], theirs: &[u8]) -> Vec<Hunk> {
    let [our_hunks, their_hunks] = [ours, theirs].map(|side| {
        let input = InternedInput::new(base, side);
        let hunks = Diff::compute(Algorithm::Histogram, &input).hunks().collect::<Vec<_>>();
        hunks.into_iter().map(|hunk| (hunk.before, hunk.after)).collect::<Vec<_>>()
    });
    let lines = |text: &[u8], range: &Range<u32>| -> Vec<Vec<u8>> {
        let lines = text.split_inclusive(|byte| *byte == b'\n').skip(range.start as usize);
        lines.take(range.len()).map(<[u8]>::to_vec).collect()
    };
    let mut found: Vec<Hunk> = Vec::new();
    for (our_base, our_lines) in &our_hunks {
        for (their_base, their_lines) in &their_hunks {
            let touch = our_base.start <= their_base.end && their_base.start <= our_base.end;
            let same =
                our_base == their_base && lines(ours, our_lines) == lines(theirs, their_lines);
            if !touch || same {
                continue;
            }
            match found.last_mut() {
                // The next of theirs that the same change of ours touches, or the other way round.
                Some(last)
                    if last.ours.end >= our_lines.start && last.theirs.end >= their_lines.start =>
                {
                    last.ours.end = last.ours.end.max(our_lines.end);
                    last.theirs.end = last.theirs.end.max(their_lines.end);
                }
                _ => found.push(Hunk { ours: our_lines.clone(), theirs: their_lines.clone() }),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(edits: &[(usize, &str)]) -> Vec<u8> {
        let mut lines: Vec<_> = (1..=20).map(|n| n.to_string()).collect();
        for (line, text) in edits {
            (*text).clone_into(&mut lines[line - 1]);
        }
        (lines.join("\n") + "\n").into_bytes()
    }

    #[test]
    fn lines_that_both_changed_are_counted_in_each_version() {
        let base = lines(&[]);
        let ours = lines(&[(1, "0\n1"), (5, "five"), (9, "same"), (15, "ours")]);
        let theirs = lines(&[(5, "fünf\n5½"), (9, "same"), (20, "theirs")]);
        assert_eq!(meeting(&base, &ours, &theirs), [Hunk { ours: 5..6, theirs: 4..6 }]);
        assert_eq!(meeting(&base, &base, &theirs), []);
        assert_eq!(meeting(b"", b"a\nb\n", b"c\n"), [Hunk { ours: 0..2, theirs: 0..1 }]);
    }
}
