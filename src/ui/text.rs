//! Text that others wrote, made fit for a terminal: harmless, and as wide as its column.
//!
//! Invariant: no byte sequence of an agent, a branch or a file can move the cursor, set a title,
//! reach the clipboard or turn the reading direction; and no character is ever cut in half.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

use super::{Look, width};

/// One line: control, bidirectional and invisible characters are shown as what they are.
pub fn neutral(text: &str) -> Cow<'_, str> {
    neutralise(text, |_| false)
}

/// As [`neutral`], but line ends and tabs stay.
pub fn neutral_lines(text: &str) -> Cow<'_, str> {
    neutralise(text, |c| matches!(c, '\n' | '\t'))
}

fn neutralise(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let harmless = |c: char, before: char| keep(c) || !is_harmful(c, before);
    let mut before = ' ';
    let all_harmless = text.chars().all(|c| harmless(c, std::mem::replace(&mut before, c)));
    if all_harmless {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    let mut before = ' ';
    for c in text.chars() {
        match c {
            _ if harmless(c, before) => safe.push(c),
            '\n' | '\t' => safe.push(' '),
            '\0'..='\x1f' => safe.extend(['^', char::from(b'@' + c as u8)]),
            '\x7f' => safe.push_str("^?"),
            // Writing to a String cannot fail.
            _ => drop(write!(safe, "<U+{:04X}>", u32::from(c))),
        }
        before = c;
    }
    Cow::Owned(safe)
}

/// Whether a character does something to a terminal or hides itself from a reader. A joiner is
/// only fair between the parts of an emoji.
fn is_harmful(c: char, before: char) -> bool {
    match c {
        '\u{200d}' => before < '\u{2190}',
        '\0'..='\x1f'
        | '\x7f'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

/// The text, its ornaments in ASCII: for a terminal that can show no other. Letters of any script
/// stay, since nothing else says the same.
pub fn ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '·' | '–' | '—' | '−' => plain.push('-'),
            '…' => plain.push_str("..."),
            '→' => plain.push_str("->"),
            '«' | '»' | '“' | '”' => plain.push('"'),
            '‘' | '’' => plain.push('\''),
            c => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

/// The text, cut to at most `room` columns; where it was cut it ends in `…`.
pub fn truncate<'a>(text: &'a str, room: usize, look: &Look) -> Cow<'a, str> {
    if width(text) <= room {
        return Cow::Borrowed(text);
    }
    let mark = look.glyph("…", "..");
    let Some(room) = room.checked_sub(width(mark)) else {
        return Cow::Borrowed("");
    };
    let end = fitting(text, room);
    Cow::Owned(format!("{}{mark}", text[..end].trim_end()))
}

/// The byte length of the longest beginning of `text` that takes at most `room` columns and does
/// not part a character from what belongs to it.
fn fitting(text: &str, room: usize) -> usize {
    let ends = text.char_indices().map(|(start, c)| (start + c.len_utf8(), c));
    let mut best = 0;
    for (end, c) in ends {
        if width(&text[..end]) > room {
            break;
        }
        let joined = c == '\u{200d}' || text[end..].chars().next().is_some_and(belongs_to_the_last);
        if !joined {
            best = end;
        }
    }
    best
}

/// Marks, variation selectors, joiners and skin tones belong to the character before them.
fn belongs_to_the_last(c: char) -> bool {
    matches!(c, '\u{1f3fb}'..='\u{1f3ff}') || unicode_width::UnicodeWidthChar::width(c) == Some(0)
}

/// The text, followed by as many blanks as its column has left.
pub fn pad(text: &str, columns: usize) -> String {
    let blanks = columns.saturating_sub(width(text));
    format!("{text}{:blanks$}", "")
}

/// A path as one would type it in the folder `here`, where that is shorter than the whole.
pub fn path_from(here: &Path, path: &Path) -> String {
    let whole = path.display().to_string();
    let shared = here.components().zip(path.components()).take_while(|(a, b)| a == b).count();
    let up = here.components().count() - shared;
    let steps = std::iter::repeat_n(Component::ParentDir, up);
    let typed: PathBuf = steps.chain(path.components().skip(shared)).collect();
    let typed = typed.display().to_string();
    match typed.as_str() {
        "" => ".".to_owned(),
        // From one root to another there is nothing to share.
        _ if shared > 1 && typed.len() < whole.len() => typed,
        _ => whole,
    }
}

/// The text in lines of at most `room` columns, broken between words where it can be.
pub fn wrap(text: &str, room: usize) -> Vec<String> {
    let room = room.max(1);
    text.lines().flat_map(|line| wrap_line(line.trim_end(), room)).collect()
}

fn wrap_line(line: &str, room: usize) -> Vec<String> {
    if width(line) <= room {
        return vec![line.to_owned()];
    }
    let indent: String = line.chars().take_while(|c| *c == ' ').take(room / 2).collect();
    let mut lines = Vec::new();
    let mut current = indent.clone();
    let mut is_empty = true;
    for word in line.split(' ').filter(|word| !word.is_empty()) {
        let gap = usize::from(!is_empty);
        if !is_empty && width(&current) + gap + width(word) > room {
            lines.push(std::mem::replace(&mut current, indent.clone()));
        } else if gap > 0 {
            current.push(' ');
        }
        current.push_str(word);
        is_empty = false;
        while width(&current) > room {
            let Some(end) = Some(fitting(&current, room)).filter(|end| *end > indent.len()) else {
                break;
            };
            let rest = format!("{indent}{}", &current[end..]);
            current.truncate(end);
            lines.push(std::mem::replace(&mut current, rest));
        }
    }
    lines.push(if is_empty { String::new() } else { current });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMINAL: Look = Look { terminal: true, colour: false, unicode: true, width: 80 };

    #[test]
    fn what_could_act_on_a_terminal_is_shown_instead() {
        assert_eq!(neutral("\x1b]52;c;aGk=\x07"), "^[]52;c;aGk=^G");
        assert_eq!(neutral("a\rb\nc\td"), "a^Mb c d");
        assert_eq!(neutral("user\u{202e}gnp.exe"), "user<U+202E>gnp.exe");
        assert_eq!(neutral("zero\u{200b}width\u{feff}"), "zero<U+200B>width<U+FEFF>");
        assert_eq!(neutral("tag\u{e0041}"), "tag<U+E0041>");
        assert_eq!(neutral("c1 \u{9b}31m"), "c1 <U+009B>31m");
        assert_eq!(neutral_lines("a\n\tb\x07"), "a\n\tb^G");
    }

    #[test]
    fn ornaments_have_plain_forms_and_letters_have_none() {
        assert_eq!(ascii("a · b – «c» → …"), "a - b - \"c\" -> ...");
        assert_eq!(ascii("naïve 日本"), "naïve 日本");
    }

    #[test]
    fn ordinary_text_of_any_script_stays_itself() {
        for text in ["naïve", "日本語", "👨‍👩‍👧 family", "1️⃣", "e\u{301}"] {
            assert!(matches!(neutral(text), Cow::Borrowed(same) if same == text), "{text}");
        }
        assert_eq!(neutral("a\u{200d}b"), "a<U+200D>b");
    }

    #[test]
    fn truncation_counts_columns_and_parts_no_character() {
        assert_eq!(truncate("short", 5, &TERMINAL), "short");
        assert_eq!(truncate("longer", 5, &TERMINAL), "long…");
        assert_eq!(truncate("日本語日本", 6, &TERMINAL), "日本…");
        assert_eq!(truncate("e\u{301}e\u{301}e\u{301}", 2, &TERMINAL), "e\u{301}…");
        assert_eq!(truncate("👨‍👩‍👧👨‍👩‍👧", 3, &TERMINAL), "👨‍👩‍👧…");
        assert_eq!(truncate("1️⃣2️⃣3️⃣", 4, &TERMINAL), "1️⃣…");
        assert_eq!(truncate("longer", 5, &Look { unicode: false, ..TERMINAL }), "lon..");
        assert_eq!(truncate("longer", 0, &TERMINAL), "");
    }

    #[test]
    fn a_path_is_said_as_it_is_typed() {
        let from = |here: &str, path: &str| path_from(Path::new(here), Path::new(path));
        assert_eq!(from("/home/ada/shop", "/home/ada/shop.worktrees/x"), "../shop.worktrees/x");
        assert_eq!(
            from("/home/ada/shop/src", "/home/ada/shop.worktrees/x"),
            "../../shop.worktrees/x"
        );
        assert_eq!(from("/home/ada/shop", "/home/ada/shop"), ".");
        assert_eq!(from("/home/ada/shop", "/home/ada/shop/a/b"), "a/b");
        assert_eq!(from("/a/b/c/d/e", "/a/x"), "/a/x");
        assert_eq!(from("/srv/shop", "/tmp/x"), "/tmp/x");
    }

    #[test]
    fn padding_counts_columns() {
        assert_eq!(pad("日本", 6), "日本  ");
        assert_eq!(pad("longer", 3), "longer");
    }

    #[test]
    fn wrapping_breaks_between_words_and_keeps_the_indent() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(
            wrap("a\n\n  - point of a list", 10),
            ["a", "", "  - point", "  of a", "  list"]
        );
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
    }
}
