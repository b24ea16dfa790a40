//! Where an edit applies: the stages by which the text a model sent is found in a file.
//!
//! Invariant: a stage counts only with exactly one match (or all, if all are asked for), an edit
//! touches only the bytes that matched, and no stage measures similarity. Better no edit than one
//! at the wrong place.
//!
//! The stages undo what happens to text on its way through a model: line ends become LF, line
//! numbers are copied along, trailing blanks get lost, typographic characters become plain, a
//! block comes back at another indentation. From the third on, only whole lines match: half a line
//! that was loosened could be found within another word.

use std::ops::Range;

use super::write::with_crlf;

/// Which bytes go, in ascending order, and what comes instead of each.
type Places = Vec<(Range<usize>, Vec<u8>)>;

/// One way to look for a text: the file, the text, what comes instead.
type Stage = fn(&[u8], &str, &str) -> Places;

/// What is to be done to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) places: Places,
    /// Whether the text was found as it was sent.
    pub(super) exact: bool,
}

/// Why there is no edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoEdit {
    /// No stage found the text.
    NotFound,
    /// A stage found it at more than one place; the offsets.
    Several(Vec<usize>),
}

/// Finds `old` in `file`, to be replaced by `new`: at its only place, or everywhere with `all`.
pub(super) fn find(file: &[u8], old: &str, new: &str, all: bool) -> Result<Edit, NoEdit> {
    let stages: [Stage; 6] =
        [exact, line_ends, line_numbers, trailing_blanks, typography, indentation];
    for (index, stage) in stages.iter().enumerate() {
        let mut places = stage(file, old, new);
        if places.len() > 1 && !all {
            return Err(NoEdit::Several(places.iter().map(|(range, _)| range.start).collect()));
        }
        if places.is_empty() {
            continue;
        }
        for (range, new) in &mut places {
            if ends_with_crlf_at(file, range.start) && !new.contains(&b'\r') {
                *new = with_crlf(new);
            }
        }
        return Ok(Edit { places, exact: index == 0 });
    }
    Err(NoEdit::NotFound)
}

/// How much text, blanks apart, tells a place from others whatever its indentation.
const TELLING: usize = 6;

fn exact(file: &[u8], old: &str, new: &str) -> Places {
    let found = memchr::memmem::find_iter(file, old.as_bytes());
    found.map(|at| (at..at + old.len(), new.as_bytes().to_vec())).collect()
}

/// LF for CRLF on either side, and no byte order mark.
fn line_ends(file: &[u8], old: &str, new: &str) -> Places {
    let (old, new) = (plain_ends(old), plain_ends(new));
    if old.is_empty() {
        return Vec::new();
    }
    // Where each byte of the plain text stands in the file, and one more for the end.
    let mut plain = Vec::with_capacity(file.len());
    let mut at = Vec::with_capacity(file.len() + 1);
    for (index, byte) in file.iter().enumerate() {
        if *byte != b'\r' || file.get(index + 1) != Some(&b'\n') {
            plain.push(*byte);
            at.push(index);
        }
    }
    at.push(file.len());
    let found = memchr::memmem::find_iter(&plain, old.as_bytes());
    let places = found.map(|start| {
        let end = start + old.len();
        // A match that begins with a line end takes its CR along; one that ends before a line
        // end leaves that whole.
        let from = at[start] - usize::from(plain[start] == b'\n' && is_crlf(file, at[start]));
        let to = at[end] - usize::from(plain.get(end) == Some(&b'\n') && is_crlf(file, at[end]));
        (from..to, new.clone().into_bytes())
    });
    places.collect()
}

/// Without the numbers that `read` puts before each line.
fn line_numbers(file: &[u8], old: &str, new: &str) -> Places {
    let old = plain_ends(old);
    let Some((first, old)) = without_numbers(&old) else { return Vec::new() };
    let new = plain_ends(new);
    let new = without_numbers(&new).map_or(new, |(_, text)| text);
    let wanted: Vec<&str> = old.lines().collect();
    let lines = Lines::of(file);
    let mut places = lines.find(&wanted, |line, wanted| line == wanted);
    // A single number may be the file's own content: then it must be the line's number too.
    if wanted.len() < 2 {
        places.retain(|start| start + 1 == first);
    }
    lines.edits(&places, &wanted, |_| Some(new.clone()), old.ends_with('\n'))
}

/// Blanks at the ends of lines do not count.
fn trailing_blanks(file: &[u8], old: &str, new: &str) -> Places {
    by_lines(file, old, new, |line, wanted| line.trim_end() == wanted.trim_end())
}

/// Typographic quotes, dashes and spaces are their plain kin.
fn typography(file: &[u8], old: &str, new: &str) -> Places {
    by_lines(file, old, new, |line, wanted| {
        let mut letters = line.trim_end().chars().map(plain_letter);
        let mut wanted = wanted.trim_end().chars().map(plain_letter);
        loop {
            match (letters.next(), wanted.next()) {
                (None, None) => return true,
                (one, other) if one == other => {}
                _ => return false,
            }
        }
    })
}

/// The same lines, all shifted by the same indentation; the new ones are shifted alike.
fn indentation(file: &[u8], old: &str, new: &str) -> Places {
    let (old, new) = (plain_ends(old), plain_ends(new));
    let wanted: Vec<&str> = old.lines().collect();
    let Some(from) = common_indent(wanted.iter().copied()) else { return Vec::new() };
    // A lone bracket at another depth is another bracket.
    if wanted.iter().map(|line| line.trim().len()).sum::<usize>() < TELLING {
        return Vec::new();
    }
    let lines = Lines::of(file);
    let count = wanted.len();
    let places = lines.find(&wanted, |line, wanted| line.trim() == wanted.trim());
    let shifted = |start: &usize| {
        let block = &lines.lines[*start..*start + count];
        let to = common_indent(block.iter().map(|line| line.text))?;
        let alike = block.iter().zip(&wanted).all(|(line, wanted)| {
            let (line, wanted) = (line.text.trim_end(), wanted.trim_end());
            line.get(to.len()..).unwrap_or("") == wanted.get(from.len()..).unwrap_or("")
        });
        alike.then_some(to)
    };
    let mut edits = Vec::new();
    for start in &places {
        let Some(to) = shifted(start) else { continue };
        let text = |_| reindent(&new, from, to);
        edits.extend(lines.edits(&[*start], &wanted, text, old.ends_with('\n')));
    }
    edits
}

fn by_lines(file: &[u8], old: &str, new: &str, same: impl Fn(&str, &str) -> bool) -> Places {
    let (old, new) = (plain_ends(old), plain_ends(new));
    let wanted: Vec<&str> = old.lines().collect();
    let lines = Lines::of(file);
    let places = lines.find(&wanted, same);
    lines.edits(&places, &wanted, |_| Some(new.clone()), old.ends_with('\n'))
}

/// A file as lines; empty if it is not UTF-8, so that nothing is found there.
struct Lines<'a> {
    lines: Vec<Line<'a>>,
}

struct Line<'a> {
    /// The line without its end and without a byte order mark.
    text: &'a str,
    start: usize,
    /// Where its line end begins, and where the next line does.
    end: usize,
    next: usize,
}

impl<'a> Lines<'a> {
    fn of(file: &'a [u8]) -> Self {
        let Ok(text) = std::str::from_utf8(file) else { return Self { lines: Vec::new() } };
        let mut next = 0;
        let lines = text.split_inclusive('\n').map(|whole| {
            let line = whole.strip_suffix('\n').unwrap_or(whole);
            let line = line.strip_suffix('\r').unwrap_or(line);
            let mark = if next == 0 && line.starts_with('\u{feff}') { 3 } else { 0 };
            let start = next + mark;
            let end = next + line.len();
            next += whole.len();
            Line { text: &line[mark..], start, end, next }
        });
        Self { lines: lines.collect() }
    }

    /// At which lines a run of lines begins that are the `wanted` ones. Runs do not overlap, and
    /// nothing but blank lines is nowhere.
    fn find(&self, wanted: &[&str], same: impl Fn(&str, &str) -> bool) -> Vec<usize> {
        let mut found = Vec::new();
        if wanted.iter().all(|line| line.trim().is_empty()) {
            return found;
        }
        let mut start = 0;
        while start + wanted.len() <= self.lines.len() {
            let block = &self.lines[start..start + wanted.len()];
            if block.iter().zip(wanted).all(|(line, wanted)| same(line.text, wanted)) {
                found.push(start);
                start += wanted.len();
            } else {
                start += 1;
            }
        }
        found
    }

    /// The edits that put new text for the runs of lines beginning at `places`. With `whole`, the
    /// last line's end belongs to the run.
    fn edits(
        &self,
        places: &[usize],
        wanted: &[&str],
        new: impl Fn(usize) -> Option<String>,
        whole: bool,
    ) -> Places {
        let edits = places.iter().filter_map(|start| {
            let last = &self.lines[start + wanted.len() - 1];
            let mut new = new(*start)?;
            let end = if whole { last.next } else { last.end };
            if whole && last.next == last.end && new.ends_with('\n') {
                // The file does not end with a line end, and so it stays.
                new.pop();
            }
            Some((self.lines[*start].start..end, new.into_bytes()))
        });
        edits.collect()
    }
}

fn plain_ends(text: &str) -> String {
    text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n")
}

fn is_crlf(file: &[u8], line_feed: usize) -> bool {
    line_feed > 0 && file.get(line_feed) == Some(&b'\n') && file[line_feed - 1] == b'\r'
}

/// Whether the line at `at` ends with CRLF; the line before it, where it is the last.
fn ends_with_crlf_at(file: &[u8], at: usize) -> bool {
    let end = memchr::memchr(b'\n', &file[at..]).map(|offset| at + offset);
    let end = end.or_else(|| memchr::memrchr(b'\n', &file[..at]));
    end.is_some_and(|end| is_crlf(file, end))
}

/// The text without the number and tab before each line, and the first number. Every line must
/// have one, each one more than the one before.
fn without_numbers(text: &str) -> Option<(usize, String)> {
    let mut first = None;
    let mut plain = String::with_capacity(text.len());
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let (number, rest) = line.split_once('\t')?;
        let number: usize = number.trim_start().parse().ok()?;
        if number != *first.get_or_insert(number) + index {
            return None;
        }
        plain.push_str(rest);
    }
    first.map(|first| (first, plain))
}

/// The indentation that all lines share but the blank ones; none where all are blank.
fn common_indent<'a>(lines: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut common: Option<&str> = None;
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let indent = &line[..line.len() - line.trim_start().len()];
        let shared = common.map_or(indent.len(), |common| {
            common.bytes().zip(indent.bytes()).take_while(|(one, other)| one == other).count()
        });
        common = Some(indent.get(..shared).unwrap_or(""));
    }
    common
}

/// The text with `to` instead of `from` before each line; none where a line has no `from`.
fn reindent(text: &str, from: &str, to: &str) -> Option<String> {
    let mut shifted = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if line.trim().is_empty() {
            shifted.push_str(line);
        } else {
            shifted.push_str(to);
            shifted.push_str(line.strip_prefix(from)?);
        }
    }
    Some(shifted)
}

fn plain_letter(letter: char) -> char {
    match letter {
        '\u{2018}'..='\u{201b}' | '\u{2032}' => '\'',
        '\u{201c}'..='\u{201f}' | '\u{2033}' => '"',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{a0}' | '\u{2002}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        _ => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(file: &str, old: &str, new: &str) -> Result<String, NoEdit> {
        applied(file.as_bytes(), find(file.as_bytes(), old, new, false)?)
    }

    fn applied(file: &[u8], edit: Edit) -> Result<String, NoEdit> {
        let mut bytes = file.to_vec();
        for (range, new) in edit.places.into_iter().rev() {
            bytes.splice(range, new);
        }
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn each_stage_finds_what_it_is_for_and_keeps_all_else() {
        for (file, old, new, expected) in [
            ("a b c", "b", "x", "a x c"),
            // Line ends and mark.
            ("a\r\nb\r\nc\r\n", "a\nb\n", "x\ny\n", "x\r\ny\r\nc\r\n"),
            ("a\r\nb\r\nc", "b\nc", "x\ny", "a\r\nx\r\ny"),
            ("a\r\nb\r\nc\r\n", "b", "x\ny", "a\r\nx\r\ny\r\nc\r\n"),
            ("a\r\nb\r\nc\r\n", "\nb\n", "\n", "a\r\nc\r\n"),
            ("a\nb\n", "a\r\nb", "x\r\ny", "x\ny\n"),
            ("\u{feff}a\nb\n", "\u{feff}a\r\nb\r\n", "c\n", "\u{feff}c\n"),
            // Line numbers.
            ("a\nb\nc\nd\n", "2\tb\n3\tc", "2\tx\n3\ty", "a\nx\ny\nd\n"),
            ("a\nb\nc\n", "2\tb", "x", "a\nx\nc\n"),
            ("a\n  b\nc\n", "  7\t  b\n  8\tc\n", "  z\n", "a\n  z\n"),
            // Trailing blanks.
            ("a  \nb\t\nc\n", "a\nb\n", "x\n", "x\nc\n"),
            ("a\nb\nc\n", "a \nb", "x", "x\nc\n"),
            // Typographic characters.
            ("say “hi” – now\nb\n", "say \"hi\" - now", "x", "x\nb\n"),
            ("it's\n", "it’s", "x", "x\n"),
            // Indentation.
            (
                "    if a {\n        b\n    }\n",
                "if a {\n    b\n}",
                "if a {\n    c\n}",
                "    if a {\n        c\n    }\n",
            ),
            ("\tone\n\n\t\ttwo\n", "  one\n\n  \ttwo\n", "  c\n", "\tc\n"),
            ("one\ntwo\n", "    one\n    two\n", "    a\n      c\n    b\n", "a\n  c\nb\n"),
            // The end of the file.
            ("a\nb", "a \nb\n", "x\ny\n", "x\ny"),
        ] {
            assert_eq!(edited(file, old, new), Ok(expected.to_owned()), "{file:?} {old:?}");
        }
    }

    #[test]
    fn what_is_not_certain_is_not_done() {
        for (file, old, new) in [
            ("abc\n", "abd", "x"),
            // Half a line that was loosened is not found within another word.
            ("foobar\n", "foo ", "x"),
            ("  foobar\n", "foo\n", "x"),
            // A table whose first column is a number.
            ("5\tapple\npear\n", "7\tpear", "x"),
            ("a\nb\nc\n", "1\ta\n3\tb", "x"),
            // Lines shifted by different amounts, and new lines that cannot be shifted alike.
            ("  one\n    two\n", "one\ntwo\n", "x\n"),
            ("one\n  two\n", "    one\n      two\n", "    a\n  x\n"),
            // A lone bracket at another depth.
            ("if a {\n}\n", "    }\n", "    x\n"),
            // Nothing but blanks.
            ("a\n\t\nb\n", "   \n", "x"),
            ("", "a", "b"),
        ] {
            assert_eq!(edited(file, old, new), Err(NoEdit::NotFound), "{file:?} {old:?}");
        }
        assert_eq!(edited("a\nb\na\n", "a", "x"), Err(NoEdit::Several(vec![0, 4])));
        assert_eq!(edited(" a\nb\n  a\n", "\ta\n", "x"), Err(NoEdit::NotFound));
        assert_eq!(
            edited(" alpha();\nb\n  alpha();\n", "\talpha();\n", "\tx\n"),
            Err(NoEdit::Several(vec![0, 12]))
        );
        let all = find(b"a\nb\na\n", "a", "x", true).unwrap();
        assert_eq!(applied(b"a\nb\na\n", all), Ok("x\nb\nx\n".to_owned()));
        let latin = find(b"gr\xfcn\nrot\n", "rot", "blau", false).unwrap();
        assert_eq!(latin.places, [(5..8, b"blau".to_vec())]);
    }

    /// A way in which text changes on its way through a model: the file and what was sent, made
    /// from a block of lines, and whether the block should still be found.
    type Mutation = (&'static str, fn(&[&str], usize) -> (Vec<String>, Vec<String>), bool);

    const MUTATIONS: [Mutation; 10] = [
        ("sent as it is", |lines, _| (owned(lines), owned(lines)), true),
        (
            "file with trailing blanks",
            |lines, _| (each(lines, |l| format!("{l}  ")), owned(lines)),
            true,
        ),
        (
            "sent with trailing blanks",
            |lines, _| (owned(lines), each(lines, |l| format!("{l} "))),
            true,
        ),
        ("sent with CRLF", |lines, _| (owned(lines), each(lines, |l| format!("{l}\r"))), true),
        ("file with CRLF", |lines, _| (each(lines, |l| format!("{l}\r")), owned(lines)), true),
        ("sent with numbers", |lines, at| (owned(lines), numbered(lines, at)), true),
        ("sent with indentation", |lines, _| (owned(lines), each(lines, indented)), true),
        ("typographic file", |lines, _| (each(lines, typographic), owned(lines)), true),
        ("a stale line", |lines, _| (owned(lines), changed(lines)), false),
        ("a line left out", |lines, _| (owned(lines), left_out(lines)), false),
    ];

    fn owned(lines: &[&str]) -> Vec<String> {
        each(lines, str::to_owned)
    }

    fn each(lines: &[&str], change: impl Fn(&str) -> String) -> Vec<String> {
        lines.iter().map(|line| change(line)).collect()
    }

    fn numbered(lines: &[&str], at: usize) -> Vec<String> {
        lines
            .iter()
            .enumerate()
            .map(|(index, line)| format!("{}\t{line}", at + index + 1))
            .collect()
    }

    fn indented(line: &str) -> String {
        if line.is_empty() { String::new() } else { format!("    {line}") }
    }

    fn typographic(line: &str) -> String {
        line.replace('"', "”").replace('\'', "’").replace(" - ", " – ")
    }

    fn changed(lines: &[&str]) -> Vec<String> {
        let mut lines = owned(lines);
        let middle = lines.len() / 2;
        lines[middle] = format!("{} // was changed meanwhile", lines[middle]);
        lines
    }

    fn left_out(lines: &[&str]) -> Vec<String> {
        let mut lines = owned(lines);
        lines.remove(lines.len() / 2);
        lines
    }

    #[test]
    fn no_mutation_of_a_real_file_is_edited_at_a_wrong_place() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        let files: Vec<_> = ["process.rs", "event.rs", "tool/output.rs", "tool/matching.rs"]
            .iter()
            .map(|name| fs_err::read_to_string(format!("{source}/{name}")).unwrap())
            .collect();
        for (name, mutate, recoverable) in MUTATIONS {
            let (mut tried, mut done) = (0, 0);
            for text in &files {
                let lines: Vec<&str> = text.lines().collect();
                let starts = (0..lines.len() - 9).step_by(3);
                for (at, length) in starts.zip([3, 4, 5, 6, 7].into_iter().cycle()) {
                    let block = &lines[at..at + length];
                    let (there, sent) = mutate(block, at);
                    let (old, whole) = (sent.join("\n"), block.join("\n"));
                    // A text that also stands elsewhere, word for word, says nothing.
                    if text.matches(&whole).count() != 1 || (old != whole && text.contains(&old)) {
                        continue;
                    }
                    tried += 1;
                    let before: String = lines[..at].iter().map(|l| format!("{l}\n")).collect();
                    let after: String =
                        lines[at + length..].iter().map(|l| format!("\n{l}")).collect();
                    let file = format!("{before}{}{after}", there.join("\n"));
                    // The new text is indented as the one that was sent, and like no other.
                    let first = sent.iter().find(|line| !line.trim().is_empty()).unwrap();
                    let indent = &first[..first.len() - first.trim_start().len()];
                    match edited(&file, &old, &format!("{indent}\u{2}")) {
                        Err(_) => continue,
                        Ok(result) => assert!(
                            recoverable && is_right(&result, &before, &after),
                            "{name}: line {at} was edited, by\n{old}"
                        ),
                    }
                    done += 1;
                }
            }
            println!("{name}: {done} of {tried}");
            assert!(tried > 100, "{name}: only {tried} tried");
            assert!(!recoverable || done * 100 >= tried * 95, "{name}: only {done} of {tried}");
        }
    }

    /// Whether the new text stands in its place and all around it is as it was; its own
    /// indentation may stand before, trailing blanks or a CR after it.
    fn is_right(result: &str, before: &str, after: &str) -> bool {
        let Some((first, second)) = result.split_once('\u{2}') else { return false };
        let indent = first.strip_prefix(before);
        let rest = second.strip_suffix(after);
        indent.is_some_and(|indent| indent.trim().is_empty())
            && rest.is_some_and(|rest| rest.trim().is_empty() && !rest.contains('\n'))
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_edited_within_its_match(
            file in "[ab \t\r\n“\"]{0,40}", old in "[ab \t\r\n“\"]{1,12}", new in "[x\n ]{0,5}",
        ) {
            if let Ok(edit) = find(file.as_bytes(), &old, &new, true) {
                let mut end = 0;
                for (range, _) in &edit.places {
                    assert!(range.start >= end && range.end >= range.start);
                    end = range.end;
                }
                assert!(end <= file.len());
                assert!(std::str::from_utf8(file.as_bytes()).is_ok());
            }
        }
    }
}
