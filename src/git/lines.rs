//! Two versions of a text, line by line, as git compares them.
//!
//! Invariant: lines are what git counts: a last one without its end is another line than one with.

use std::ops::Range;

use gix::diff::blob::{Algorithm, Diff, InternedInput};

/// Lines of the new version that stand where lines of the old one were; each counted from 0, and
/// either may be none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineChange {
    /// Lines that are gone.
    pub old: Range<usize>,
    /// Lines that are new.
    pub new: Range<usize>,
}

/// What `git diff` shows as changed between two texts, in order: its default algorithm, and its
/// choice where a change could stand in several places.
pub fn line_changes(old: &[u8], new: &[u8]) -> Vec<LineChange> {
    let input = InternedInput::new(old, new);
    let mut diff = Diff::compute(Algorithm::Myers, &input);
    diff.postprocess_lines(&input);
    let range = |range: Range<u32>| range.start as usize..range.end as usize;
    diff.hunks()
        .map(|hunk| LineChange { old: range(hunk.before), new: range(hunk.after) })
        .collect()
}

/// The lines of a text, each with its end.
pub fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// As git tells a binary file where no attribute does: a NUL among the first 8,000 bytes.
pub fn is_binary(text: &[u8]) -> bool {
    text.iter().take(8_000).any(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    /// The hunks of `git diff -U0`, counted from 0.
    fn by_git(old: &str, new: &str) -> Vec<LineChange> {
        let fixture = Fixture::new(&[]);
        fixture.commit(&[("f", old)]);
        fixture.commit(&[("f", new)]);
        let diff = fixture.git(&["diff", "--no-ext-diff", "-U0", "HEAD~1", "HEAD"]);
        let headers = diff.lines().filter_map(|line| line.strip_prefix("@@ "));
        let range = |text: &str| {
            let (start, count) = text[1..].split_once(',').unwrap_or((&text[1..], "1"));
            let (start, count): (usize, usize) = (start.parse().unwrap(), count.parse().unwrap());
            // Of none, git names the line before.
            let start = if count == 0 { start } else { start - 1 };
            start..start + count
        };
        headers
            .map(|line| {
                let mut words = line.split(' ');
                let (old, new) = (words.next().unwrap(), words.next().unwrap());
                LineChange { old: range(old), new: range(new) }
            })
            .collect()
    }

    #[test]
    fn changes_are_those_that_git_shows() {
        let function = |name: &str| format!("fn {name}() {{\n    let x = 1;\n\n    x\n}}\n\n");
        let all = |names: &[&str]| names.iter().map(|name| function(name)).collect::<String>();
        let pairs = [
            (all(&["a", "c"]), all(&["a", "b", "c"])),
            (all(&["a", "b", "c"]), all(&["b"])),
            (all(&["a"]), all(&["a", "a"])),
            ("1\n2\n3\n4\n".to_owned(), "0\n1\n3\n4 \n5".to_owned()),
            (String::new(), "x\n".to_owned()),
            ("x".to_owned(), "x\n".to_owned()),
        ];
        for (old, new) in pairs {
            let ours = line_changes(old.as_bytes(), new.as_bytes());
            assert_eq!(ours, by_git(&old, &new), "{old:?} {new:?}");
        }
    }
}
