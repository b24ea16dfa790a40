//! A file through a session: its versions, and who made each line of them.
//!
//! Invariant: pure but for the objects it reads; a line belongs to the state that it first stood in
//! and stayed since, as `git blame` would say if each state were a commit.

use super::CreditError;
use super::story::Story;
use crate::git::{self, BString, Mode, ObjectError, ObjectId, Repo, Status};

/// Who made a line of a session's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// It was there before the session, as this line of the file, from 0.
    Before(usize),
    /// The point with this number in [`Story::points`].
    Point(usize),
}

/// A version of a file: the point after which it came, none for the one from before the session; and
/// its content, none where the file was not there.
pub(super) type Version = (Option<usize>, Option<ObjectId>);

/// A file through a session.
pub(super) struct Trail {
    /// What it was called before the session, if it was there.
    pub(super) base: Option<BString>,
    /// Its versions, oldest first; the first one is from before the session.
    pub(super) versions: Vec<Version>,
}

/// Follows the file that is at `path` after the point `end`, by the names that it had.
///
/// # Errors
/// A tree cannot be read.
pub(super) fn trail(
    repo: &Repo,
    story: &Story,
    path: &BString,
    end: usize,
) -> Result<Trail, CreditError> {
    let base = repo.tree_of(story.base)?;
    let mut path = Some(path.clone());
    let mut versions = Vec::new();
    for (number, point) in story.points.iter().enumerate().take(end + 1).rev() {
        let Some(name) = &path else { break };
        let blob = file_at(repo, point.tree, name)?;
        versions.push((Some(number), blob));
        let before = if number == 0 { base } else { story.points[number - 1].tree };
        if blob.is_some() && before != point.tree && file_at(repo, before, name)?.is_none() {
            path = source(repo, before, point.tree, name)?;
        }
    }
    let blob = match &path {
        Some(name) => file_at(repo, base, name)?,
        None => None,
    };
    versions.push((None, blob));
    versions.reverse();
    versions.dedup_by(|next, before| next.1 == before.1);
    Ok(Trail { base: path.filter(|_| blob.is_some()), versions })
}

/// Who made each line of the last of these versions.
///
/// # Errors
/// One cannot be read.
pub(super) fn lines(repo: &Repo, versions: &[Version]) -> Result<Vec<By>, ObjectError> {
    let (mut text, mut lines) = (Vec::new(), Vec::new());
    for (point, blob) in versions {
        let new = content(repo, *blob)?;
        lines = follow(&text, &lines, &new, |line| point.map_or(By::Before(line), By::Point));
        text = new;
    }
    Ok(lines)
}

/// The version that a text is most like, by its number, and its content: the newest that is the same,
/// else the one that lacks the fewest of its lines. None where no version has a line.
///
/// # Errors
/// One cannot be read.
pub(super) fn likest(
    repo: &Repo,
    versions: &[Version],
    text: &[u8],
) -> Result<Option<(usize, Vec<u8>)>, ObjectError> {
    // A session that wrote a file anew more often than this is judged by how it left it.
    const MOST: usize = 64;
    let mut best: Option<(usize, usize, Vec<u8>)> = None;
    for (number, (_, blob)) in versions.iter().enumerate().rev().take(MOST) {
        let old = content(repo, *blob)?;
        if old.is_empty() {
            continue;
        }
        if old == text {
            return Ok(Some((number, old)));
        }
        let lacks = git::line_changes(&old, text).iter().map(|change| change.new.len()).sum();
        if best.as_ref().is_none_or(|(least, ..)| lacks < *least) {
            best = Some((lacks, number, old));
        }
    }
    Ok(best.map(|(_, number, old)| (number, old)))
}

/// Who made each line of `new`, which was made of `old`; `by` says who made a new one.
fn follow(old: &[u8], old_by: &[By], new: &[u8], by: impl Fn(usize) -> By) -> Vec<By> {
    let mut lines = Vec::new();
    let mut at = 0;
    for change in git::line_changes(old, new) {
        lines.extend_from_slice(&old_by[at..change.old.start]);
        lines.extend(change.new.map(&by));
        at = change.old.end;
    }
    lines.extend_from_slice(&old_by[at..]);
    lines
}

/// A text that has lines; what is binary has none.
pub(super) fn content(repo: &Repo, blob: Option<ObjectId>) -> Result<Vec<u8>, ObjectError> {
    let text = blob.map(|blob| repo.read_blob(blob)).transpose()?.unwrap_or_default();
    Ok(if git::is_binary(&text) { Vec::new() } else { text })
}

/// The blob of a file in a tree.
pub(super) fn file_at(
    repo: &Repo,
    tree: ObjectId,
    path: &BString,
) -> Result<Option<ObjectId>, ObjectError> {
    let entry = repo.entry(tree, path)?;
    let has_lines = |mode| matches!(mode, Mode::File | Mode::Executable | Mode::Link);
    Ok(entry.filter(|entry| has_lines(entry.mode)).map(|entry| entry.id))
}

/// What a file that is new in a tree was called before, if it was moved there.
pub(super) fn source(
    repo: &Repo,
    old: ObjectId,
    new: ObjectId,
    path: &BString,
) -> Result<Option<BString>, CreditError> {
    let changes = repo.diff_stat(old, new)?.paths;
    let change = changes.into_iter().find(|change| change.path == *path);
    Ok(change.and_then(|change| match change.status {
        Status::Renamed(from) => Some(from),
        _ => None,
    }))
}

/// For each line of `new`, the line of `old` that it is, if it is one: the same, or the same but for
/// blanks.
pub(super) fn lines_in(old: &[u8], new: &[u8]) -> Vec<Option<usize>> {
    let mut found = unchanged(old, new);
    let is_taken: std::collections::HashSet<_> = found.iter().flatten().copied().collect();
    let [old, new] = [old, new].map(without_blanks);
    for (line, source) in unchanged(&old, &new).into_iter().enumerate() {
        if found[line].is_none() {
            found[line] = source.filter(|source| !is_taken.contains(source));
        }
    }
    found
}

/// For each line of `new`, the line of `old` that stayed there.
fn unchanged(old: &[u8], new: &[u8]) -> Vec<Option<usize>> {
    let mut lines = Vec::new();
    let mut at = 0;
    for change in git::line_changes(old, new) {
        lines.extend((at..change.old.start).map(Some));
        lines.extend(change.new.map(|_| None));
        at = change.old.end;
    }
    lines.extend((at..git::lines_of(old).count()).map(Some));
    lines
}

/// The text with nothing between its lines but what is no blank; each line stays one.
fn without_blanks(text: &[u8]) -> Vec<u8> {
    let mut bare = Vec::with_capacity(text.len());
    for line in git::lines_of(text) {
        bare.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
        bare.push(b'\n');
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: By = By::Point(0);
    const B: By = By::Point(1);

    fn old(line: usize) -> By {
        By::Before(line)
    }

    #[test]
    fn a_line_is_of_who_wrote_it_first_and_kept_it() {
        let by = follow(b"", &[], b"1\n2\n3\n", old);
        let by = follow(b"1\n2\n3\n", &by, b"1\na\n3\nb\n", |_| A);
        assert_eq!(by, [old(0), A, old(2), A]);
        let by = follow(b"1\na\n3\nb\n", &by, b"0\n1\na\nb\n", |_| B);
        assert_eq!(by, [B, old(0), A, A]);
        assert_eq!(follow(b"", &[], b"x", |_| A), [A]);
        assert_eq!(follow(b"x", &[A], b"", |_| B), []);
        // A line that gets an end is another line, as it is to git.
        assert_eq!(follow(b"x", &[A], b"x\n", |_| B), [B]);
    }

    #[test]
    fn a_line_is_found_again_though_its_blanks_have_changed() {
        let old = b"fn a() {\n  one();\n\n  two();\n}\n";
        let new = b"// new\r\nfn a() {\r\n\tone();\r\n\r\n\ttwo( );\r\n  three();\r\n}\r\n";
        let found = lines_in(old, new);
        assert_eq!(found, [None, Some(0), Some(1), Some(2), Some(3), None, Some(4)]);
        assert_eq!(lines_in(old, old), (0..5).map(Some).collect::<Vec<_>>());
        assert_eq!(lines_in(b"", b"x\n"), [None]);
        assert_eq!(lines_in(b"x\n", b""), []);
        assert_eq!(lines_in(b"x", b"x\n"), [Some(0)]);
    }

    proptest::proptest! {
        /// Few words make many lines that are alike, and so many ways to compare.
        #[test]
        fn each_line_has_one_maker_and_is_found_at_most_once(
            old in proptest::collection::vec("(a|b| a|\\}|)\r?", 0..12),
            new in proptest::collection::vec("(a|b| a|\\}|)", 0..12),
        ) {
            let [old, new] = [old, new].map(|lines| lines.join("\n").into_bytes());
            let before = follow(b"", &[], &old, By::Before);
            let made = follow(&old, &before, &new, |_| A);
            proptest::prop_assert_eq!(made.len(), git::lines_of(&new).count());
            proptest::prop_assert_eq!(follow(&new, &made, &new, |_| B), made);
            let found = lines_in(&old, &new);
            proptest::prop_assert_eq!(found.len(), git::lines_of(&new).count());
            let [old, new] = [&old, &new].map(|text| git::lines_of(text).collect::<Vec<_>>());
            let mut sources = std::collections::HashSet::new();
            for (line, source) in found.into_iter().enumerate() {
                let Some(source) = source else { continue };
                let bare = |line: &[u8]| without_blanks(line);
                proptest::prop_assert_eq!(bare(old[source]), bare(new[line]));
                proptest::prop_assert!(sources.insert(source));
            }
        }
    }
}
