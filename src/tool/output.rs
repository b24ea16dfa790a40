//! What a program printed, as a model can use it: clean text, short, both ends, the rest named.
//!
//! Invariant: the text is valid UTF-8 without control characters, keeps to its cap, and wherever
//! something is left out it says how much and where all of it is.

use std::fmt::Write as _;

use crate::process::capture::Snapshot;
use crate::redact;

/// How much of an output is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Bytes, at most.
    pub bytes: usize,
    /// Lines, at most.
    pub lines: usize,
}

/// The cap of a command that succeeded.
pub const CAP: Cap = Cap { bytes: 12 << 10, lines: 240 };
/// The cap of a command that failed: its messages matter more.
pub const CAP_FAILING: Cap = Cap { bytes: 16 << 10, lines: 240 };
/// The longest line shown whole, in characters.
const LINE: usize = 500;

/// An output ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shaped {
    /// The text.
    pub text: String,
    /// Whether anything was left out, so that the whole must be kept in a file.
    pub cut: bool,
}

/// Cleans an output and keeps to `cap`: a quarter from the beginning, the rest from the end.
/// `whole` names where everything can be read.
pub fn shape(snapshot: &Snapshot, cap: Cap, whole: &str) -> Shaped {
    let secrets = redact::secrets();
    let mut bytes = snapshot.head.clone();
    if snapshot.gap == 0 {
        bytes.extend_from_slice(&snapshot.tail);
    }
    // Before anything is cut: half a secret is known by nobody.
    let bytes = secrets.take_out_of_bytes(&bytes);
    if is_binary(&bytes) {
        let size = size(snapshot.gap + (snapshot.head.len() + snapshot.tail.len()) as u64);
        return Shaped { text: format!("(binary output, {size}, all in {whole})\n"), cut: true };
    }
    let (first, first_cut) = clean(&bytes);
    if snapshot.gap == 0 && first.len() <= cap.lines && weight(&first) <= cap.bytes {
        let mut text = first.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        if first_cut {
            _ = writeln!(text, "(long lines are cut; all in {whole})");
        }
        return Shaped { text, cut: first_cut };
    }
    // The line at each edge of the gap is a torn one; the last is kept where there is no other.
    let (last, total) = if snapshot.gap == 0 {
        (first.clone(), first.len() as u64)
    } else {
        let (mut last, _) = clean(&secrets.take_out_of_bytes(&snapshot.tail));
        let total = first.len() as u64 + snapshot.gap_lines + last.len() as u64;
        if last.len() > 1 {
            last.remove(0);
        }
        (last, total)
    };
    let quarter = Cap { bytes: cap.bytes / 4, lines: cap.lines / 4 };
    let rest = Cap { bytes: cap.bytes - quarter.bytes, lines: cap.lines - quarter.lines };
    let head = fitting(first.iter(), quarter);
    let tail = fitting(last.iter().rev(), rest);
    let (head, tail) = (&first[..head], &last[last.len() - tail..]);
    let all = snapshot.gap + (snapshot.head.len() + snapshot.tail.len()) as u64;
    let left_bytes = all.saturating_sub((weight(head) + weight(tail)) as u64);
    let left_lines = total.saturating_sub((head.len() + tail.len()) as u64);
    let mut text = String::new();
    for line in head {
        _ = writeln!(text, "{line}");
    }
    let (lines, size) = (grouped(left_lines), size(left_bytes));
    _ = writeln!(text, "… {lines} lines ({size}) left out, all in {whole} …");
    for line in tail {
        _ = writeln!(text, "{line}");
    }
    Shaped { text, cut: true }
}

/// One line of at most `max` characters, fit for a terminal: the first line of `text`, with
/// control and invisible characters made visible.
pub fn line(text: &str, max: usize) -> String {
    let text = text.trim();
    let first = text.lines().next().unwrap_or_default().trim_end();
    let is_whole = first.len() == text.len() && first.chars().nth(max).is_none();
    let room = if is_whole { max } else { max.saturating_sub(1) };
    let shown = first.chars().take(room).map(neutral);
    shown.chain((!is_whole).then_some('…')).collect()
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A size for people: `512 bytes`, `88 KB`, `3.4 MB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..=1023 => format!("{bytes} bytes"),
        1024..=1_048_575 => format!("{} KB", bytes / 1024),
        _ => format!("{}.{} MB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20),
    }
}

/// The character itself, or what stands for it where it would move the cursor, reorder the text
/// or not be seen.
pub fn neutral(letter: char) -> char {
    match letter {
        '\t' => letter,
        letter if letter.is_control() => char::REPLACEMENT_CHARACTER,
        // Direction marks and overrides, zero-width characters, tags; the joiner U+200D stays.
        '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}' => char::REPLACEMENT_CHARACTER,
        _ => letter,
    }
}

/// A line of at most `max` characters, the rest counted; none where it is short enough as it is.
/// Secrets are taken out before the cut, which might go through one.
pub fn cut_line(line: &str, max: usize) -> Option<String> {
    line.char_indices().nth(max)?;
    let line = redact::text(line);
    let Some((at, _)) = line.char_indices().nth(max) else { return Some(line.into_owned()) };
    let left = line[at..].chars().count() as u64;
    Some(format!("{}… (+{} characters)", &line[..at], grouped(left)))
}

/// The lines of an output, each clean and cut, and whether any was cut.
fn clean(bytes: &[u8]) -> (Vec<String>, bool) {
    let mut any_cut = false;
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    if text.is_empty() {
        return (Vec::new(), bytes.len() > 1);
    }
    let lines = text.split('\n').map(|line| {
        // A progress bar is drawn over itself: what was there last is what a person saw.
        let line = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
        let line: String = without_escapes(line).chars().map(neutral).collect();
        cut_line(line.trim_end(), LINE).map_or_else(
            || line.trim_end().to_owned(),
            |cut| {
                any_cut = true;
                cut
            },
        )
    });
    let lines = lines.collect();
    (lines, any_cut)
}

/// The text without terminal escape sequences (ECMA-48) and backspaces.
fn without_escapes(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\x08' => {
                clean.pop();
            }
            '\x07' => {}
            '\x1b' => match letters.next() {
                // CSI: parameters, then one final byte.
                Some('[') => {
                    letters.by_ref().find(|letter| ('@'..='~').contains(letter));
                }
                // OSC, DCS, PM, APC: up to BEL or ESC \.
                Some(']' | 'P' | '^' | '_' | 'X') => {
                    while let Some(letter) = letters.next() {
                        if letter == '\x07' {
                            break;
                        }
                        if letter == '\x1b' {
                            letters.next_if_eq(&'\\');
                            break;
                        }
                    }
                }
                // A character set: one more byte.
                Some('(' | ')' | '*' | '+' | '#' | '%') => {
                    letters.next();
                }
                _ => {}
            },
            _ => clean.push(letter),
        }
    }
    clean
}

/// Whether this is no text at all; a few odd bytes in a short output are.
fn is_binary(bytes: &[u8]) -> bool {
    let sample = &bytes[..bytes.len().min(8 << 10)];
    if sample.len() < 64 {
        return false;
    }
    let odd = sample.iter().filter(|byte| matches!(byte, 0..=6 | 14..=26)).count();
    odd * 20 > sample.len()
}

/// How many of these lines fit into `cap`.
fn fitting<'a>(lines: impl Iterator<Item = &'a String>, cap: Cap) -> usize {
    let mut bytes = 0;
    lines
        .take(cap.lines)
        .take_while(|line| {
            bytes += line.len() + 1;
            bytes <= cap.bytes
        })
        .count()
}

fn weight(lines: &[String]) -> usize {
    lines.iter().map(|line| line.len() + 1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Snapshot {
        Snapshot { head: bytes.to_vec(), end: bytes.len() as u64, ..Snapshot::default() }
    }

    fn shown(text: &str) -> String {
        shape(&of(text.as_bytes()), CAP, "1.log").text
    }

    #[test]
    fn terminal_talk_is_gone_and_text_stays() {
        assert_eq!(shown("\x1b[1;31merror\x1b[0m: x\n"), "error: x\n");
        assert_eq!(shown("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b\x1b(Bc\n"), "abc\n");
        assert_eq!(shown("10%\r50%\r100%\ndone\r\n"), "100%\ndone\n");
        assert_eq!(shown("a\x08b\u{202e}c\x00\n"), "b\u{fffd}c\u{fffd}\n");
        assert_eq!(shown("größe 👨‍👩‍👧\tx"), "größe 👨‍👩‍👧\tx\n");
        assert_eq!(shown(""), "");
        let lossy = shape(&of(b"a\xff\xed\xa0\x80b\n"), CAP, "1.log");
        assert_eq!(lossy.text, "a\u{fffd}\u{fffd}\u{fffd}\u{fffd}b\n");
        assert!(!lossy.cut);
    }

    #[test]
    fn a_binary_is_only_named() {
        let bytes: Vec<u8> = (0..=255).cycle().take(4096).collect();
        let shaped = shape(&of(&bytes), CAP, "1.log");
        assert_eq!(shaped.text, "(binary output, 4 KB, all in 1.log)\n");
        assert!(shaped.cut);
    }

    #[test]
    fn a_long_output_keeps_a_quarter_of_its_beginning_and_its_end() {
        let text: String = (1..=1000).map(|n| format!("line {n}\n")).collect();
        let shaped = shape(&of(text.as_bytes()), CAP, "1.log");
        let lines: Vec<_> = shaped.text.lines().collect();
        assert_eq!(lines.len(), 241);
        assert_eq!(lines[59], "line 60");
        assert_eq!(lines[60], "… 760 lines (6 KB) left out, all in 1.log …");
        assert_eq!(lines[61], "line 821");
        assert_eq!(lines[240], "line 1000");
        assert!(shaped.cut);
    }

    #[test]
    fn what_memory_lost_is_counted() {
        let snapshot = Snapshot {
            head: b"first\ntorn".to_vec(),
            gap: 2 << 20,
            gap_lines: 1234,
            tail: b"torn\nlast\n".to_vec(),
            end: 0,
        };
        assert_eq!(
            shape(&snapshot, CAP, "1.log").text,
            "first\ntorn\n… 1,235 lines (2.0 MB) left out, all in 1.log …\nlast\n"
        );
    }

    #[test]
    fn a_line_without_end_is_cut_and_stays_under_the_cap() {
        let text = "x".repeat(60_000);
        let shaped = shape(&of(text.as_bytes()), CAP, "1.log");
        assert!(shaped.text.starts_with(&"x".repeat(500)));
        assert!(
            shaped.text.ends_with("… (+59,500 characters)\n(long lines are cut; all in 1.log)\n")
        );
        assert!(shaped.cut);
    }

    #[test]
    fn a_title_is_one_visible_line() {
        assert_eq!(line("  cargo test \n more", 80), "cargo test…");
        assert_eq!(line("a\x1b[31mb\u{202e}", 80), "a\u{fffd}[31mb\u{fffd}");
        assert_eq!(line("0123456789", 5), "0123…");
        assert_eq!(line("01234", 5), "01234");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_stay_clean_and_under_the_cap(
            head in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40_000),
            gap in 0_u64..3,
            tail in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40_000),
        ) {
            let snapshot = Snapshot { head, gap: gap << 20, gap_lines: gap, tail, end: 0 };
            let text = shape(&snapshot, CAP, "1.log").text;
            assert!(text.len() <= CAP.bytes + 200, "{}", text.len());
            assert!(text.lines().count() <= CAP.lines + 2);
            assert!(text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
        }
    }
}
