//! The words of a step as a commit message.
//!
//! Invariant: a subject is one line of visible characters, at most [`SUBJECT_CHARS`] unless the
//! prefix alone is nearly that long; no model signs anything off or claims another session's work.

/// The longest subject, prefix included, in characters: git's own custom for a line.
pub const SUBJECT_CHARS: usize = 72;
/// Characters left for words however long the prefix is.
const LEAST_WORDS: usize = 24;
/// The longest body, in characters.
const BODY_CHARS: usize = 4000;

/// What a commit of a step is made of.
#[derive(Clone, Debug, Default)]
pub struct Words<'a> {
    /// What the model said in the step; may be empty.
    pub text: &'a str,
    /// The titles of its calls, in order: what is said when the model says nothing.
    pub titles: &'a [String],
}

/// Subject and body of a commit, without trailers: the first sentence that the model said, or
/// what it called; in front `prefix`, once.
pub fn message(words: &Words<'_>, prefix: &str, step: u32) -> (String, String) {
    let text = visible(words.text);
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with("```"));
    let first = lines.by_ref().map(unmarked).find(|line| line.chars().any(char::is_alphanumeric));
    let (sentence, rest) = match first {
        Some(line) => first_sentence(line),
        None => ("", ""),
    };
    let said = match words.titles {
        _ if !sentence.is_empty() => sentence.to_owned(),
        [] => format!("step {step}"),
        [only] => one_line(only),
        [first, more @ ..] => format!("{} (+{} more)", one_line(first), more.len()),
    };
    let (subject, cut) = subject(&said, prefix);
    let mut body = String::new();
    if cut {
        body.push_str(&said);
        body.push('\n');
    }
    if !rest.is_empty() {
        body.push_str(rest);
        body.push('\n');
    }
    for line in text.lines().skip_while(|line| first != Some(unmarked(line))).skip(1) {
        if !claims(line) {
            body.push_str(line.trim_end());
            body.push('\n');
        }
    }
    (subject, body.trim().chars().take(BODY_CHARS).collect())
}

/// The subject, and whether words were cut off.
fn subject(said: &str, prefix: &str) -> (String, bool) {
    let prefix = one_line(prefix);
    let said = if prefix.is_empty() { said } else { without_prefix(said, &prefix) };
    let room = match prefix.chars().count() {
        0 => SUBJECT_CHARS,
        used => SUBJECT_CHARS.saturating_sub(used + 1).max(LEAST_WORDS),
    };
    let short = shorten(said, room);
    let subject = if prefix.is_empty() { short.to_owned() } else { format!("{prefix} {short}") };
    (subject, short.len() < said.len())
}

/// The words without the prefix that they begin with already; a prefix in the manner of
/// Conventional Commits takes the place of any other such.
fn without_prefix<'a>(said: &'a str, prefix: &str) -> &'a str {
    let bare = match said.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => &said[prefix.len()..],
        _ if conventional(prefix).is_some() => &said[conventional(said).unwrap_or(0)..],
        _ => said,
    };
    match bare.trim_start() {
        "" => said,
        bare => bare,
    }
}

/// The length of `type(scope)!:` at the start.
fn conventional(text: &str) -> Option<usize> {
    let (head, _) = text.split_once(':')?;
    let plain = head.strip_suffix('!').unwrap_or(head);
    let kind = match plain.split_once('(') {
        Some((kind, scope)) if scope.ends_with(')') && !scope.contains(' ') => kind,
        Some(_) => return None,
        None => plain,
    };
    let known = [
        "build", "chore", "ci", "docs", "feat", "fix", "perf", "refactor", "revert", "style",
        "test",
    ];
    known.contains(&kind.to_ascii_lowercase().as_str()).then_some(head.len() + 1)
}

/// At most `room` characters, ended after a word where there is one to end after.
fn shorten(text: &str, room: usize) -> &str {
    let Some((cut, _)) = text.char_indices().nth(room) else { return text };
    let head = &text[..cut];
    let whole_word = text[cut..].starts_with(' ');
    let end =
        if whole_word { cut } else { head.rfind(' ').filter(|at| *at > cut / 2).unwrap_or(cut) };
    head[..end].trim_end_matches([' ', ',', ';', ':', '-', '('])
}

/// The first sentence, without its full stop, and what follows it on the line.
fn first_sentence(line: &str) -> (&str, &str) {
    let end = line
        .char_indices()
        .find(|(at, c)| {
            let after = &line[at + c.len_utf8()..];
            matches!(c, '。' | '！' | '？')
                || (matches!(c, '.' | '!' | '?' | ':')
                    && after.starts_with(' ')
                    && !abbreviates(&line[..*at], *c))
        })
        .map_or(line.len(), |(at, c)| at + c.len_utf8());
    let sentence = line[..end].trim_end_matches(['.', ':', '。', ' ', '*', '_']);
    (sentence, line[end..].trim())
}

/// Whether the dot or colon behind `before` ends no sentence: `e.g.`, `1.`, `feat:`.
fn abbreviates(before: &str, mark: char) -> bool {
    let word = before.rsplit(' ').next().unwrap_or_default();
    match mark {
        '.' => {
            word.chars().all(|c| c.is_ascii_digit())
                || word.contains('.')
                || matches!(word, "vs" | "etc" | "cf" | "No" | "Mr" | "Dr")
        }
        ':' => !before.contains(' '),
        _ => false,
    }
}

/// A line without the marks of Markdown in front and around it.
fn unmarked(line: &str) -> &str {
    let line = line.trim().trim_start_matches(['#', '>', '-', '*', '+', ' ']);
    line.trim_matches(['*', '_', ' '])
}

/// Whether a line claims what only the program or a person may say.
fn claims(line: &str) -> bool {
    let keys = ["signed-off-by:", "agent-session:", "assisted-by:", "co-authored-by:"];
    let line = line.trim_start().to_ascii_lowercase();
    keys.iter().any(|key| line.starts_with(key))
}

fn one_line(text: &str) -> String {
    visible(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text without control characters and characters that hide or turn what is around them.
fn visible(text: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().filter(|c| !hidden(*c)).map(|c| if c == '\t' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, titles: &[&str], prefix: &str) -> (String, String) {
        let titles: Vec<_> = titles.iter().map(|&title| title.to_owned()).collect();
        message(&Words { text, titles: &titles }, prefix, 3)
    }

    #[test]
    fn the_subject_is_the_first_sentence_and_the_rest_is_the_body() {
        let cases = [
            (
                "Add a token bucket. It refills each second.\n\nNext: tests.",
                "Add a token bucket",
                "It refills each second.\n\nNext: tests.",
            ),
            (
                "## **Now fix the parser:**\n```rust\nfn x()\n```",
                "Now fix the parser",
                "```rust\nfn x()\n```",
            ),
            ("Use e.g. v1.2 of it", "Use e.g. v1.2 of it", ""),
            ("- feat: add x", "feat: add x", ""),
            ("1. Run it. 2. Fix it.", "1. Run it", "2. Fix it."),
            ("Let me look: the test fails", "Let me look", "the test fails"),
            ("修复解析器。然后测试", "修复解析器", "然后测试"),
            ("Fix\u{1b}[31m it\u{202e}\nSigned-off-by: A <a@b>\nmore", "Fix[31m it", "more"),
        ];
        for (text, subject, body) in cases {
            assert_eq!(of(text, &[], ""), (subject.to_owned(), body.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn without_words_the_calls_speak() {
        assert_eq!(of(" \n", &["edit src/a.rs"], "").0, "edit src/a.rs");
        assert_eq!(of("```", &["edit a\nb", "bash", "read"], "").0, "edit a b (+2 more)");
        assert_eq!(of("", &[], "").0, "step 3");
    }

    #[test]
    fn the_prefix_is_there_once_and_the_line_is_short() {
        for text in
            ["add x", "feat(cart): add x", "FEAT(CART): add x", "fix: add x", "feat!: add x"]
        {
            assert_eq!(of(text, &[], "feat(cart):").0, "feat(cart): add x", "{text}");
        }
        assert_eq!(of("note: add x", &[], "feat:").0, "feat: note: add x");
        assert_eq!(of("[x] fix y", &[], "[x]").0, "[x] fix y");
        assert_eq!(of("feat(cart):", &[], "feat(cart):").0, "feat(cart): feat(cart)");
        let long = "word ".repeat(40);
        let (subject, body) = of(&long, &[], "feat(cart):");
        assert_eq!(subject, format!("feat(cart): {}", "word ".repeat(12).trim_end()));
        assert_eq!(body, long.trim_end());
        assert_eq!(of(&"x".repeat(200), &[], "").0, "x".repeat(72));
    }

    proptest::proptest! {
        #[test]
        fn any_words_make_one_short_line(text in "(\\PC|\n|\\*|#|: |\\. ){0,200}", prefix in "[a-z(): ]{0,12}") {
            let (subject, _) = of(&text, &["edit x"], &prefix);
            proptest::prop_assert!(!subject.trim().is_empty());
            proptest::prop_assert!(!subject.contains('\n'));
            proptest::prop_assert!(subject.chars().count() <= SUBJECT_CHARS);
            proptest::prop_assert!(subject.starts_with(prefix.split_whitespace().collect::<Vec<_>>().join(" ").as_str()));
        }
    }
}
