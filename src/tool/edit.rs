//! The tool `edit`: one text of a file for another.
//!
//! Invariant: nothing is written unless the place is certain, and an error shows what is really
//! there, so that the next try can succeed.

use std::fmt::Write as _;
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};

use super::arguments::{Arguments, FILE_PATH, Key, Kind, Shape};
use super::matching::{Edit, NoEdit, find};
use super::output::{cut_line, grouped, line, size};
use super::path::{Place, Reach, in_words};
use super::write::{refuse_marks, replace};
use super::{Done, Files};
use crate::file::{Changed, open_plain};

pub(super) static SHAPE: Shape = Shape {
    name: "edit",
    about: "Replace old_string, which must occur once, by new_string.",
    keys: &[
        FILE_PATH,
        Key {
            name: "old_string",
            kind: Kind::Text,
            required: true,
            about: "",
            aliases: &["old_str", "old", "old_text", "search", "find", "original"],
        },
        Key {
            name: "new_string",
            kind: Kind::Text,
            required: true,
            about: "",
            aliases: &["new_str", "new", "new_text", "replace", "replacement", "updated"],
        },
        Key {
            name: "replace_all",
            kind: Kind::Flag,
            required: false,
            about: "",
            aliases: &["all", "expected_replacements_all"],
        },
    ],
};

/// The largest file edited.
const LIMIT: u64 = 16 << 20;
/// Lines of a file shown in an error, and around the closest ones.
const SHOWN: usize = 40;
const AROUND: usize = 2;
/// A file up to this many lines may as well be written whole.
const SMALL: usize = 300;

pub(super) fn call(
    arguments: &Arguments,
    reach: &Reach,
    files: &Mutex<Files>,
) -> Result<Done, String> {
    let place = reach.to_write(&arguments.text("file_path")?)?;
    let (old, new) = (arguments.text("old_string")?, arguments.text("new_string")?);
    let all = arguments.flag("replace_all")?;
    let file = read(&place)?;
    if old.is_empty() {
        return Err("old_string is empty; to create or fill a file use write.".to_owned());
    }
    if old == new {
        return Err("old_string and new_string are the same.".to_owned());
    }
    for text in [&old, &new] {
        refuse_marks(text, &file)?;
    }
    let found = find(&file, &old, &new, all);
    let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
    let edit = match found {
        Ok(edit) => edit,
        Err(why) => {
            let failures = files.failed_edits.entry(place.absolute.clone()).or_default();
            *failures += 1;
            let mut error = explain(&place.shown, &file, &old, &new, &why);
            if *failures > 1 && String::from_utf8_lossy(&file).lines().count() <= SMALL {
                error.push_str("Or write the whole file.\n");
            }
            return Err(error);
        }
    };
    let (bytes, regions) = apply(&file, &edit);
    replace(place.dir, &place.path, &bytes).map_err(|error| in_words(&place.shown, &error))?;
    files.failed_edits.remove(&place.absolute);
    files.has_seen(&place.absolute);
    let title = told(&place.shown, &bytes, &regions);
    let mut output = format!("edited {title}\n");
    if !edit.exact {
        hunks(&mut output, &file, &edit);
    }
    let changed = Changed::Paths(vec![place.path]);
    Ok(Done { output, title: format!("edit {title}"), changed, ..Done::default() })
}

fn read(place: &Place<'_>) -> Result<Vec<u8>, String> {
    let words = |error| in_words(&place.shown, &error);
    let metadata = place.dir.metadata(&place.path).map_err(words)?;
    if !metadata.is_file() {
        return Err(format!("{} is not a plain file.", place.shown));
    }
    if metadata.len() > LIMIT {
        let size = size(metadata.len());
        return Err(format!("{} is too large to edit here ({size}); use bash.", place.shown));
    }
    let mut bytes = Vec::new();
    let file = open_plain(place.dir, &place.path).map_err(words)?;
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(words)?;
    Ok(bytes)
}

/// The new bytes, and which of them are new.
fn apply(file: &[u8], edit: &Edit) -> (Vec<u8>, Vec<std::ops::Range<usize>>) {
    let mut bytes = Vec::with_capacity(file.len());
    let mut regions = Vec::new();
    let mut from = 0;
    for (range, new) in &edit.places {
        bytes.extend_from_slice(&file[from..range.start]);
        regions.push(bytes.len()..bytes.len() + new.len());
        bytes.extend_from_slice(new);
        from = range.end;
    }
    bytes.extend_from_slice(&file[from..]);
    (bytes, regions)
}

/// `src/a.rs, now lines 40–58`
fn told(name: &str, bytes: &[u8], regions: &[std::ops::Range<usize>]) -> String {
    match regions {
        [region] => {
            let first = line_at(bytes, region.start);
            // A line end that closes the new text does not reach into the next line.
            let end = region.end - usize::from(bytes[region.clone()].ends_with(b"\n"));
            let last = line_at(bytes, end.max(region.start));
            match (region.is_empty(), first == last) {
                (true, _) => format!("{name}, text removed at line {first}"),
                (_, true) => format!("{name}, now line {first}"),
                _ => format!("{name}, now lines {first}–{last}"),
            }
        }
        regions => {
            let lines = regions.iter().map(|region| line_at(bytes, region.start));
            format!("{name}, {} places: lines {}", regions.len(), some(lines))
        }
    }
}

/// What was really replaced, where that is not what was sent.
fn hunks(output: &mut String, file: &[u8], edit: &Edit) {
    output.push_str("The text differed in blanks, quotes or line ends; this was replaced:\n");
    for (range, new) in edit.places.iter().take(3) {
        for (mark, side) in [('-', &file[range.clone()]), ('+', new.as_slice())] {
            for line in String::from_utf8_lossy(side).lines().take(SHOWN / 2) {
                let line = cut_line(line, 200).unwrap_or_else(|| line.to_owned());
                _ = writeln!(output, "{mark}{line}");
            }
        }
    }
}

fn explain(name: &str, file: &[u8], old: &str, new: &str, why: &NoEdit) -> String {
    if let NoEdit::Several(places) = why {
        let count = places.len();
        let lines = some(places.iter().map(|at| line_at(file, *at)));
        return format!("{count} matches: lines {lines}. Add lines around it, or replace_all.\n");
    }
    if new.trim().len() > 3
        && let Ok(there) = find(file, new, "", false)
        && let Some((range, _)) = there.places.first()
    {
        let (first, last) = (line_at(file, range.start), line_at(file, range.end));
        return format!(
            "new_string is already at lines {first}–{last} of {name}; this edit looks done.\n"
        );
    }
    let text = String::from_utf8_lossy(file);
    let lines: Vec<_> = text.lines().collect();
    let count = grouped(lines.len() as u64);
    let mut error = format!("old_string isn't in {name} ({count} lines).");
    let sent: Vec<_> = old.lines().collect();
    let Some(closest) = closest(&lines, &sent) else {
        error.push_str(" Nothing there resembles it; read the file.\n");
        return error;
    };
    let end = (closest.start + sent.len()).min(lines.len());
    _ = write!(error, " Closest: lines {}–{end}", closest.start + 1);
    if let Some((there, sent)) = closest.differs {
        _ = write!(
            error,
            "; line {} is «{}», you sent «{}»",
            there + 1,
            line(lines[there], 160),
            line(sent, 160)
        );
    }
    let from = closest.start.saturating_sub(AROUND);
    let to = (end + AROUND).min(from + SHOWN).min(lines.len());
    _ = writeln!(error, ". Lines {}–{to} follow; copy from them or send fewer lines.", from + 1);
    for (index, line) in lines[from..to].iter().enumerate() {
        let line = cut_line(line, 300).unwrap_or_else(|| (*line).to_owned());
        _ = writeln!(error, "{}\t{line}", from + index + 1);
    }
    error
}

struct Closest<'a> {
    /// The first line of the run that resembles the text most.
    start: usize,
    /// The first line of it that is another, and what was sent there.
    differs: Option<(usize, &'a str)>,
}

/// The run of lines that has most lines in common with `sent`; where none has any, the line most
/// like the longest one sent.
fn closest<'a>(lines: &[&str], sent: &[&'a str]) -> Option<Closest<'a>> {
    let same = |one: &str, other: &str| one.trim() == other.trim();
    let weight = |line: &str| line.trim().len().min(40);
    let score = |start: usize| -> usize {
        let run = lines[start..].iter().zip(sent);
        run.filter(|(line, sent)| same(line, sent)).map(|(line, _)| weight(line)).sum()
    };
    let total: usize = sent.iter().map(|line| weight(line)).sum();
    // The earliest of equals: `max_by_key` would take the last.
    let best = (0..lines.len()).rev().max_by_key(|start| score(*start))?;
    let start = if score(best) * 4 >= total.max(1) && score(best) > 0 {
        best
    } else {
        let (offset, longest) = sent.iter().enumerate().max_by_key(|(_, line)| weight(line))?;
        let (like, at) = (0..lines.len())
            .map(|at| (likeness(lines[at], longest), at))
            .max_by_key(|(like, at)| (*like, usize::MAX - at))?;
        if like < 50 {
            return None;
        }
        at.saturating_sub(offset)
    };
    let mut run = lines[start..].iter().zip(sent).enumerate();
    // Where only blanks differ, that is the difference; else the first line of other words.
    let differs = run.clone().find(|(_, (line, sent))| !same(line, sent));
    let differs = differs.or_else(|| run.find(|(_, (line, sent))| line != sent));
    Some(Closest { start, differs: differs.map(|(index, (_, sent))| (start + index, *sent)) })
}

/// How alike two lines are, in percent: the share of pairs of letters that both have.
fn likeness(one: &str, other: &str) -> usize {
    let pairs = |text: &str| -> Vec<[u8; 2]> {
        let bytes = text.trim().as_bytes();
        let mut pairs: Vec<_> = bytes.windows(2).take(400).map(|pair| [pair[0], pair[1]]).collect();
        pairs.sort_unstable();
        pairs
    };
    let (one, other) = (pairs(one), pairs(other));
    if one.is_empty() || other.is_empty() {
        return 0;
    }
    let (mut left, mut right, mut shared) = (0, 0, 0);
    while left < one.len() && right < other.len() {
        match one[left].cmp(&other[right]) {
            std::cmp::Ordering::Less => left += 1,
            std::cmp::Ordering::Greater => right += 1,
            std::cmp::Ordering::Equal => {
                shared += 1;
                left += 1;
                right += 1;
            }
        }
    }
    200 * shared / (one.len() + other.len())
}

fn line_at(bytes: &[u8], at: usize) -> usize {
    memchr::memchr_iter(b'\n', &bytes[..at]).count() + 1
}

/// The first of some line numbers, and that there are more.
fn some(lines: impl ExactSizeIterator<Item = usize>) -> String {
    let count = lines.len();
    let shown: Vec<_> = lines.take(10).map(|line| line.to_string()).collect();
    let more = if count > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use fs_err as fs;
    use serde_json::json;

    use super::super::tests::fixture;
    use super::*;

    #[tokio::test]
    async fn an_edit_changes_its_place_and_nothing_else() {
        let fixture = fixture();
        fixture.put("src/a.rs", "fn a() {\r\n    one();\r\n}\r\n");
        fs::set_permissions(fixture.path("src/a.rs"), std::fs::Permissions::from_mode(0o750))
            .unwrap();
        let edit =
            json!({"path": "src/a.rs", "old": "    one();", "new": "    two();\n    three();"});
        let called = fixture.call("edit", edit).await;
        assert_eq!(called.output, "edited src/a.rs, now lines 2–3\n");
        assert_eq!(called.title, "edit src/a.rs, now lines 2–3");
        assert_eq!(called.changed, Changed::Paths(vec!["src/a.rs".into()]));
        assert_eq!(fixture.content("src/a.rs"), "fn a() {\r\n    two();\r\n    three();\r\n}\r\n");
        let mode = fs::metadata(fixture.path("src/a.rs")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o750);
    }

    #[tokio::test]
    async fn an_edit_that_was_not_exact_shows_what_it_replaced() {
        let fixture = fixture();
        fixture.put("a", "    if x {\n        y\n    }\n");
        let edit = json!({"path": "a", "old": "if x {\n    y\n}", "new": "if z {\n    y\n}"});
        assert_eq!(
            fixture.good("edit", edit).await,
            "edited a, now lines 1–3\n\
             The text differed in blanks, quotes or line ends; this was replaced:\n\
             -    if x {\n-        y\n-    }\n+    if z {\n+        y\n+    }\n"
        );
    }

    #[tokio::test]
    async fn all_places_or_one() {
        let fixture = fixture();
        fixture.put("a", "x\ny\nx\nz\nx\n");
        assert_eq!(
            fixture.bad("edit", json!({"path": "a", "old": "x", "new": "w"})).await,
            "3 matches: lines 1, 3, 5. Add lines around it, or replace_all.\n"
        );
        let edit = json!({"path": "a", "old": "x", "new": "w", "replace_all": "true"});
        assert_eq!(fixture.good("edit", edit).await, "edited a, 3 places: lines 1, 3, 5\n");
        assert_eq!(fixture.content("a"), "w\ny\nw\nz\nw\n");
        let edit = json!({"path": "a", "old": "y\n", "new": ""});
        assert_eq!(fixture.good("edit", edit).await, "edited a, text removed at line 2\n");
    }

    #[tokio::test]
    async fn an_error_says_what_is_there_and_the_way_out() {
        let fixture = fixture();
        let file: String = (1..=9).map(|n| format!("let value_{n} = compute({n});\n")).collect();
        fixture.put("a.rs", &file);
        let bad = |edit| fixture.bad("edit", edit);
        let stale = json!({
            "path": "a.rs",
            "old": "let value_4 = compute(4);\nlet value_5 = compute(55);\nlet value_6 = compute(6);",
            "new": "nothing",
        });
        let error = "old_string isn't in a.rs (9 lines). Closest: lines 4–6; line 5 is «let \
                     value_5 = compute(5);», you sent «let value_5 = compute(55);». Lines 2–8 \
                     follow; copy from them or send fewer lines.\n\
                     2\tlet value_2 = compute(2);\n3\tlet value_3 = compute(3);\n\
                     4\tlet value_4 = compute(4);\n5\tlet value_5 = compute(5);\n\
                     6\tlet value_6 = compute(6);\n7\tlet value_7 = compute(7);\n\
                     8\tlet value_8 = compute(8);\n";
        assert_eq!(bad(stale.clone()).await, error);
        assert_eq!(bad(stale).await, format!("{error}Or write the whole file.\n"));
        assert_eq!(
            bad(json!({"path": "a.rs", "old": "lost();", "new": "let value_7 = compute(7);"}))
                .await,
            "new_string is already at lines 7–7 of a.rs; this edit looks done.\n\
             Or write the whole file.\n"
        );
        assert_eq!(
            bad(json!({"path": "a.rs", "old": "a", "new": "a"})).await,
            "old_string and new_string are the same.\n"
        );
        assert!(bad(json!({"path": "a.rs", "old": "", "new": "a"})).await.contains("use write"));
        assert_eq!(bad(json!({"path": "b", "old": "a", "new": "b"})).await, "b does not exist.\n");
        let unlike = bad(json!({"path": "a.rs", "old": "zzzzzzzz", "new": "q"})).await;
        assert!(unlike.contains("Nothing there resembles it"), "{unlike}");
        assert_eq!(fixture.content("a.rs"), file);
    }

    #[tokio::test]
    async fn a_file_changed_since_it_was_read_is_edited_where_the_text_is_now() {
        let fixture = fixture();
        fixture.put("a", "one\ntwo\n");
        fixture.good("read", json!({"path": "a"})).await;
        fixture.put("a", "zero\none\ntwo\nthree\n");
        fixture.good("edit", json!({"path": "a", "old": "two", "new": "2"})).await;
        assert_eq!(fixture.content("a"), "zero\none\n2\nthree\n");
    }
}
