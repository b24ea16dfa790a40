//! The tool `read`: a part of a file, with line numbers; or a folder's names.
//!
//! Invariant: memory does not grow with the file, and a part never passes for the whole: the first
//! line says which part it is, the last how to go on.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Mutex, PoisonError};

use super::arguments::{Arguments, FILE_PATH, Key, Kind, Shape};
use super::output::{cut_line, grouped, neutral, size};
use super::path::{Place, Reach, in_words};
use super::{Done, Files};
use crate::file::open_plain;

pub(super) static SHAPE: Shape = Shape {
    name: "read",
    about: "Read a file with line numbers, or list a folder. Says when there is more.",
    keys: &[
        FILE_PATH,
        Key {
            name: "offset",
            kind: Kind::Whole,
            required: false,
            about: "first line, from 1",
            aliases: &["start", "start_line", "line", "from"],
        },
        Key {
            name: "limit",
            kind: Kind::Whole,
            required: false,
            about: "lines",
            aliases: &["lines", "num_lines", "max_lines", "count"],
        },
    ],
};

const LINES: u64 = 1000;
const BYTES: usize = 32 << 10;
/// The longest line shown whole, in characters.
const LINE: usize = 1000;
/// The longest line held in memory; more than any cut line needs.
const LINE_BYTES: usize = 64 << 10;
const NAMES: usize = 300;

pub(super) fn call(
    arguments: &Arguments,
    reach: &Reach,
    files: &Mutex<Files>,
) -> Result<Done, String> {
    let place = reach.to_read(&arguments.text("file_path")?)?;
    let metadata =
        place.dir.metadata(&place.path).map_err(|error| in_words(&place.shown, &error))?;
    if metadata.is_dir() {
        return folder(&place);
    }
    if !metadata.is_file() {
        return Err(format!("{} is neither a file nor a folder.", place.shown));
    }
    let first = arguments.whole("offset")?.unwrap_or(1).max(1);
    let limit = arguments.whole("limit")?.unwrap_or(LINES).clamp(1, LINES);
    let file =
        open_plain(place.dir, &place.path).map_err(|error| in_words(&place.shown, &error))?;
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let part = match binary_kind(&mut reader) {
        Ok(None) => part(reader, first, limit),
        Ok(Some(kind)) => {
            return Err(format!("{} is {kind}, {}.", place.shown, size(metadata.len())));
        }
        Err(error) => Err(error),
    };
    let part = part.map_err(|error| in_words(&place.shown, &error))?;
    if part.total > 0 && part.shown == 0 {
        let total = grouped(part.total);
        return Err(format!("{} has {total} lines; line {first} is beyond.", place.shown));
    }
    files.lock().unwrap_or_else(PoisonError::into_inner).has_seen(&place.absolute);
    Ok(Done {
        title: format!("read {}", part.header(&place.shown, first)),
        output: part.told(&place.shown, first),
        ..Done::default()
    })
}

/// Some lines of a file, numbered, and what is to be known of the others.
#[derive(Default)]
struct Part {
    text: String,
    shown: u64,
    total: u64,
    crlf: u64,
    not_utf8: bool,
}

impl Part {
    fn header(&self, name: &str, first: u64) -> String {
        let total = grouped(self.total);
        let mut header = match (self.total, self.shown) {
            (0, _) => format!("{name} is empty"),
            (1, _) => format!("{name}, 1 line"),
            (all, shown) if all == shown => format!("{name}, {total} lines"),
            (_, 1) => format!("{name} line {} of {total}", grouped(first)),
            (_, shown) => {
                let last = grouped(first + shown - 1);
                format!("{name} lines {}–{last} of {total}", grouped(first))
            }
        };
        if self.crlf > 0 {
            header.push_str(", lines end with CRLF");
        }
        if self.not_utf8 {
            header.push_str(", not all UTF-8");
        }
        header
    }

    fn told(&self, name: &str, first: u64) -> String {
        let mut told = format!("{}\n{}", self.header(name, first), self.text);
        let next = first + self.shown;
        if self.total >= next {
            let left = grouped(self.total + 1 - next);
            _ = writeln!(told, "({left} more lines; go on with offset {next})");
        }
        told
    }
}

fn part(mut reader: impl BufRead, first: u64, limit: u64) -> std::io::Result<Part> {
    let mut part = Part { total: pass(&mut reader, first - 1)?, ..Part::default() };
    let mut line = Vec::new();
    while part.total + 1 >= first && part.shown < limit {
        line.clear();
        if read_line(&mut reader, &mut line)? == 0 {
            break;
        }
        part.total += 1;
        if line.ends_with(b"\n") {
            line.pop();
            if line.ends_with(b"\r") {
                line.pop();
                part.crlf += 1;
            }
        }
        let text = String::from_utf8_lossy(&line);
        part.not_utf8 |= matches!(text, Cow::Owned(_));
        let text: String = text.chars().map(neutral).collect();
        let text = cut_line(&text, LINE).unwrap_or(text);
        let numbered = format!("{}\t{text}\n", part.total);
        if part.shown > 0 && part.text.len() + numbered.len() > BYTES {
            break;
        }
        part.text.push_str(&numbered);
        part.shown += 1;
    }
    part.total += pass(&mut reader, u64::MAX)?;
    Ok(part)
}

/// Reads one line with its end, of which at most [`LINE_BYTES`] are kept; its true length.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    let mut length = 0;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(length);
        }
        let end = memchr::memchr(b'\n', buffer);
        let taken = end.map_or(buffer.len(), |at| at + 1);
        let room = LINE_BYTES.saturating_sub(line.len()).min(taken);
        line.extend_from_slice(&buffer[..room]);
        reader.consume(taken);
        length += taken;
        if end.is_some() {
            return Ok(length);
        }
    }
}

/// Passes over at most `most` lines; how many there were.
fn pass(reader: &mut impl BufRead, most: u64) -> std::io::Result<u64> {
    let mut lines = 0;
    let mut torn = false;
    while lines < most {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(lines + u64::from(torn));
        }
        torn = !buffer.ends_with(b"\n");
        let mut taken = buffer.len();
        for at in memchr::memchr_iter(b'\n', buffer) {
            lines += 1;
            if lines == most {
                taken = at + 1;
                break;
            }
        }
        reader.consume(taken);
    }
    Ok(lines)
}

/// What a file is if it is not text.
fn binary_kind(reader: &mut BufReader<impl Read>) -> std::io::Result<Option<&'static str>> {
    let start = reader.fill_buf()?;
    let start = &start[..start.len().min(8 << 10)];
    let known: [(&[u8], &str); 9] = [
        (b"\x89PNG\r\n", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"GIF8", "a GIF image"),
        (b"%PDF-", "a PDF document"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x1f\x8b", "a gzip file"),
        (b"\x7fELF", "an ELF binary"),
        (b"\xff\xfe", "UTF-16 text (iconv -f UTF-16 -t UTF-8 shows it)"),
        (b"\xfe\xff", "UTF-16 text (iconv -f UTF-16 -t UTF-8 shows it)"),
    ];
    let kind = known.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, kind)| *kind);
    let is_binary = memchr::memchr(0, start).is_some();
    Ok(kind.or(is_binary.then_some("a binary file")))
}

fn folder(place: &Place<'_>) -> Result<Done, String> {
    let entries =
        place.dir.read_dir(&place.path).map_err(|error| in_words(&place.shown, &error))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| in_words(&place.shown, &error))?;
        let name: String = entry.file_name().to_string_lossy().chars().map(neutral).collect();
        let kind = entry.file_type().map_err(|error| in_words(&place.shown, &error))?;
        names.push(match (kind.is_dir(), kind.is_symlink()) {
            (true, _) => format!("{name}/"),
            (_, true) => format!("{name}@"),
            _ => name,
        });
    }
    names.sort();
    let total = names.len();
    let mut output = format!("{}, {total} entries\n", place.shown);
    for name in names.iter().take(NAMES) {
        _ = writeln!(output, "{name}");
    }
    if total > NAMES {
        _ = writeln!(output, "({} more; search with mode names finds files)", total - NAMES);
    }
    let title = format!("read {} · {total} entries", place.shown);
    Ok(Done { output, title, ..Done::default() })
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use serde_json::json;

    use super::super::tests::fixture;

    #[tokio::test]
    async fn a_file_is_numbered_and_says_which_part_it_is() {
        let fixture = fixture();
        fixture.put("a.rs", "one\ntwo\nthree");
        let read = |arguments| fixture.good("read", arguments);
        assert_eq!(
            read(json!({"file_path": "a.rs"})).await,
            "a.rs, 3 lines\n1\tone\n2\ttwo\n3\tthree\n"
        );
        assert_eq!(
            read(json!({"file_path": "a.rs", "offset": 2, "limit": 1})).await,
            "a.rs line 2 of 3\n2\ttwo\n(1 more lines; go on with offset 3)\n"
        );
        assert_eq!(
            read(json!({"file_path": "a.rs", "offset": "2"})).await,
            "a.rs lines 2–3 of 3\n2\ttwo\n3\tthree\n"
        );
        assert_eq!(
            fixture.bad("read", json!({"file_path": "a.rs", "offset": 4})).await,
            "a.rs has 3 lines; line 4 is beyond.\n"
        );
        fixture.put("one", "x\r\n");
        assert_eq!(
            read(json!({"file_path": "one"})).await,
            "one, 1 line, lines end with CRLF\n1\tx\n"
        );
        fixture.put("none", "");
        assert_eq!(read(json!({"file_path": "none"})).await, "none is empty\n");
        fixture.put("latin", b"gr\xfc\xdfe\x1b[2J\n");
        assert_eq!(
            read(json!({"file_path": "latin"})).await,
            "latin, 1 line, not all UTF-8\n1\tgr\u{fffd}\u{fffd}e\u{fffd}[2J\n"
        );
    }

    #[tokio::test]
    async fn a_long_file_is_read_in_parts_that_join() {
        let fixture = fixture();
        let text: String = (1..=2500).map(|line| format!("line {line}\n")).collect();
        fixture.put("long", &text);
        let (mut joined, mut offset) = (String::new(), 1);
        loop {
            let part = fixture.good("read", json!({"file_path": "long", "offset": offset})).await;
            let lines = part.lines().filter_map(|line| line.split_once('\t'));
            lines.for_each(|(_, line)| joined.push_str(&format!("{line}\n")));
            let Some((_, next)) = part.trim_end().rsplit_once("go on with offset ") else { break };
            offset = next.trim_end_matches(')').parse().unwrap();
        }
        assert_eq!(joined, text);
        assert_eq!(offset, 2001);
        fixture.put("wide", format!("{}\n", "x".repeat(900)).repeat(100));
        let part = fixture.good("read", json!({"file_path": "wide"})).await;
        assert!(part.len() < 33 << 10 && part.starts_with("wide lines 1–36 of 100\n"));
        fixture.put("line", "y".repeat(3_000_000));
        let part = fixture.good("read", json!({"file_path": "line"})).await;
        assert!(part.len() < 1200 && part.starts_with("line, 1 line\n1\tyyy"));
    }

    #[tokio::test]
    async fn what_is_no_text_is_named() {
        let fixture = fixture();
        fixture.put("a.png", b"\x89PNG\r\n\x1a\n");
        fixture.put("b", vec![0; 5000]);
        let bad = |name| fixture.bad("read", json!({"file_path": name}));
        assert_eq!(bad("a.png").await, "a.png is a PNG image, 8 bytes.\n");
        assert_eq!(bad("b").await, "b is a binary file, 4 KB.\n");
        assert_eq!(bad("nothing").await, "nothing does not exist.\n");
        let made = crate::process::Cmd::new("mkfifo").arg(fixture.path("pipe")).run().unwrap();
        assert_eq!(made.exit, 0);
        assert_eq!(bad("pipe").await, "pipe is neither a file nor a folder.\n");
    }

    #[tokio::test]
    async fn a_folder_is_listed() {
        let fixture = fixture();
        fixture.put("b.rs", "");
        fs::create_dir(fixture.path("a")).unwrap();
        std::os::unix::fs::symlink("b.rs", fixture.path("c")).unwrap();
        let listed = fixture.good("read", json!({"path": "."})).await;
        assert_eq!(listed, "., 4 entries\na/\nb.rs\nc@\nsrc/\n");
    }
}
