//! Values that are secret because we were told so: keys, variables, what a `.env` holds.
//!
//! Invariant: a value that may be an ordinary word is never one: a text about `postgres` must not
//! lose it because a password is that.

use aho_corasick::{AhoCorasick, MatchKind};

use super::Finding;

/// How a variable that holds a secret is called, at the end of its name.
const NAMES: [&str; 12] = [
    "KEY",
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "CREDENTIALS",
    "COOKIE",
    "_PASS",
    "_PWD",
    "_PAT",
];
/// The shortest value that counts, in bytes.
const SHORTEST: usize = 8;
/// A value of this length is no word, whatever it is made of.
const LONG: usize = 16;
/// A line of a longer value that counts by itself.
const LONG_LINE: usize = 32;

/// The values, each with a name.
#[derive(Debug, Default)]
pub(super) struct Known {
    values: Vec<(String, String)>,
    search: Option<AhoCorasick>,
}

impl Known {
    /// These and the new ones; none where there is no new one.
    pub(super) fn with<'a>(
        &self,
        values: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Option<Self> {
        let mut all = self.values.clone();
        let mut add = |name: &str, value: &str| {
            if !all.iter().any(|(_, known)| known == value) {
                all.push((name.to_owned(), value.to_owned()));
            }
        };
        for (name, value) in values {
            let (name, value) = (plain(name), value.trim());
            if !is_telling(value) {
                continue;
            }
            add(&name, value);
            // Quoted, cut or indented, it is no longer the whole that is found.
            let lines = value.lines().map(str::trim).filter(|line| line.len() < value.len());
            lines
                .filter(|line| line.len() >= LONG_LINE && !line.contains(' '))
                .for_each(|line| add(&name, line));
            let escaped = percent_encoded(value);
            if escaped != value {
                add(&name, &escaped);
            }
        }
        if all.len() == self.values.len() {
            return None;
        }
        let patterns = all.iter().map(|(_, value)| value);
        // It could fail only by its size, in the gigabytes.
        let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns);
        let search = search
            .inspect_err(|error| tracing::error!(%error, "known secrets are not looked for"))
            .ok();
        Some(Self { values: all, search })
    }

    /// Whether a value is known by this name.
    pub(super) fn is_name(&self, name: &str) -> bool {
        self.values.iter().any(|(known, _)| known == name)
    }

    pub(super) fn find(&self, text: &[u8]) -> Vec<Finding> {
        let found = self.search.iter().flat_map(|search| search.find_iter(text));
        let finding = |it: aho_corasick::Match| Finding {
            rule: self.values[it.pattern().as_usize()].0.clone(),
            range: it.range(),
        };
        found.map(finding).collect()
    }
}

/// Whether a variable is called like one that holds a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let name = name.replace(['-', '.'], "_");
    NAMES.iter().any(|end| name.ends_with(end)) && !name.contains("PUBLIC")
}

/// The secrets that a file of assignments holds, each with the name it is assigned to: what is
/// called a secret or looks like one, and the passwords in addresses.
pub fn assignments(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=')?;
        let name = name.trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.:/@".contains(c);
        if name.is_empty() || !name.chars().all(is_name) {
            return None;
        }
        let value = value.trim().trim_matches(['"', '\'']);
        match password_in(value) {
            Some(password) => Some((name, password)),
            None if is_secret_name(name) || is_random(value) => Some((name, value)),
            None => None,
        }
    })
}

/// The password in `scheme://user:password@host`.
fn password_in(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let (user, _) = rest.split_once('@')?;
    let (_, password) = user.split_once(':')?;
    (!password.contains('/')).then_some(password)
}

/// Whether a text that has this value in it tells the secret.
fn is_telling(value: &str) -> bool {
    let is_path = value.starts_with(['/', '~', '.', '$']);
    let is_address = value.contains("://") && password_in(value).is_none();
    let mut letters: Vec<u8> = value.bytes().collect();
    letters.sort_unstable();
    letters.dedup();
    let has = |kind: fn(&u8) -> bool| letters.iter().any(kind);
    value.len() >= SHORTEST
        && letters.len() >= 5
        && !is_path
        && !is_address
        && (value.len() >= LONG
            || has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
            || has(u8::is_ascii_punctuation) && has(u8::is_ascii_uppercase))
}

/// Whether no person would think of this value.
fn is_random(value: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+/=_-.".contains(c);
    value.len() >= LONG
        && value.chars().all(is_plain)
        && value.chars().any(|c| c.is_ascii_digit())
        && value.chars().any(|c| c.is_ascii_alphabetic())
        && !value.starts_with(['/', '.'])
        && super::rules::entropy(value.as_bytes()) > 3.5
}

/// A name that a mark can hold.
fn plain(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '-' };
    name.chars().map(letter).collect()
}

/// The value as it stands in an address.
fn percent_encoded(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(byte.into());
            }
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
