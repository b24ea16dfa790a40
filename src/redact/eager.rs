//! What might be a secret: keys by their beginning, what is assigned to the name of one, passwords
//! in addresses.
//!
//! Invariant: better one mark too many than one secret; for texts that nobody works with.

use super::known::is_secret_name;
use super::{MARK, mark};

/// How keys of known kinds begin, and how many characters come behind at least: also those that
/// are cut off or not quite as they should be.
const KEYS: [(&str, usize); 24] = [
    ("sk-", 16),
    ("sk_live_", 16),
    ("rk_live_", 16),
    ("ghp_", 30),
    ("gho_", 30),
    ("ghu_", 30),
    ("ghs_", 30),
    ("ghr_", 30),
    ("github_pat_", 30),
    ("glpat-", 16),
    ("AKIA", 16),
    ("ASIA", 16),
    ("xoxb-", 16),
    ("xoxp-", 16),
    ("xoxa-", 16),
    ("xapp-", 16),
    ("AIza", 30),
    ("eyJ", 40),
    ("hf_", 30),
    ("npm_", 30),
    ("pypi-", 30),
    ("dop_v1_", 30),
    ("SG.", 30),
    ("gsk_", 30),
];

/// The text without them, line by line.
pub(super) fn take_out(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut in_key = false;
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let is_border = line.contains("PRIVATE KEY-----");
        if is_border && line.contains("-----BEGIN ") {
            in_key = !line.contains("-----END ");
            clean.push_str(&mark("private-key"));
            clean.push_str(end);
        } else if is_border {
            in_key = false;
        } else if !in_key {
            plain(line, &mut clean);
            clean.push_str(end);
        }
    }
    clean
}

/// The text without the users and passwords of addresses.
pub(super) fn without_logins(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, address)) = rest.split_once("://") {
        clean.push_str(before);
        clean.push_str("://");
        rest = address;
        if let Some(end) = password_end(address).filter(|end| address[..*end].contains(':')) {
            clean.push_str(&mark("login"));
            rest = &address[end..];
        }
    }
    clean.push_str(rest);
    clean
}

/// One line without keys, passwords in addresses, and values of what is called a secret.
fn plain(line: &str, out: &mut String) {
    let mut rest = line;
    // The word before, which says what this one is.
    let mut before = "";
    while !rest.is_empty() {
        if rest.starts_with(MARK)
            && let Some(end) = rest.find(']')
        {
            out.push_str(&rest[..=end]);
            rest = &rest[end + 1..];
            continue;
        }
        let end = rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let is_named = is_secret_name(before) && out.ends_with([':', '=', ' ', '"', '\'']);
        let is_bearer =
            before.eq_ignore_ascii_case("bearer") || before.eq_ignore_ascii_case("basic");
        if is_key(word) {
            out.push_str(&mark("key"));
        } else if (is_named || is_bearer) && looks_random(word) {
            out.push_str(&mark(if is_bearer { "authorization" } else { before }));
        } else {
            out.push_str(word);
        }
        if !word.is_empty() {
            before = word;
        }
        if let Some(end) = after.strip_prefix("://").and_then(password_end) {
            out.push_str("://");
            out.push_str(&mark("login"));
            rest = &after["://".len() + end..];
            continue;
        }
        let between = after.find(|c| is_of_word(c) || c == '[').unwrap_or(after.len());
        // A bracket that begins no mark is one like any other.
        let between = match after[between..].starts_with('[') && !after[between..].starts_with(MARK)
        {
            true => between + 1,
            false => between,
        };
        out.push_str(&after[..between]);
        rest = &after[between..];
    }
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.+".contains(c)
}

fn is_key(word: &str) -> bool {
    KEYS.iter().any(|(start, len)| word.strip_prefix(start).is_some_and(|it| it.len() >= *len))
}

/// Letters and digits, and long enough to be no word.
fn looks_random(word: &str) -> bool {
    word.len() >= 8
        && word.chars().any(|c| c.is_ascii_digit())
        && word.chars().any(|c| c.is_ascii_alphabetic())
}

/// Where the user and the password of an address end, if it has any: at the `@` before its path.
fn password_end(address: &str) -> Option<usize> {
    let host_end = address.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(address.len());
    address[..host_end].rfind('@')
}
