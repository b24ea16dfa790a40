//! Secrets: found in a text, and taken out before it is stored or shown.
//!
//! Two kinds are known: the exact values that this process was told of or has in its environment,
//! and whatever has the form of a key of a known kind (`redact/gitleaks.toml`, `redact/own.toml`).
//! Each leaves a mark, `[REDACTED:<rule>]`, in its place.
//!
//! Invariant: what is taken out of once is never changed again, and a text without a secret is
//! given back as it was, byte for byte.

mod eager;
mod json;
mod known;
mod rules;
mod stream;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

pub use known::{assignments, is_secret_name};
pub use stream::Stream;

use known::Known;

/// What is secret.
#[derive(Debug, Default)]
pub struct Secrets {
    known: Known,
}

/// A secret in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule that it fits, or the name that its value is known by.
    pub rule: String,
    /// Where it is, in bytes.
    pub range: Range<usize>,
}

/// How a mark begins.
const MARK: &str = "[REDACTED:";

static PROCESS: LazyLock<RwLock<Arc<Secrets>>> = LazyLock::new(|| {
    let env = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    RwLock::new(Arc::new(Secrets::of_env(env)))
});

/// What this process knows to be secret just now.
pub fn secrets() -> Arc<Secrets> {
    Arc::clone(&PROCESS.read().unwrap_or_else(PoisonError::into_inner))
}

/// Lets this process know of a secret value; one that may be an ordinary word is none.
pub fn learn<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let mut process = PROCESS.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = process.known.with(values) {
        *process = Arc::new(Secrets { known });
    }
}

/// The text without secrets.
pub fn text(text: &str) -> Cow<'_, str> {
    secrets().take_out(text)
}

/// A JSON text without secrets in its strings, all else byte for byte.
pub fn json(text: &str) -> Cow<'_, str> {
    secrets().take_out_of_json(text)
}

/// The text without secrets and without the logins in addresses, for a terminal or a log.
pub fn printed(text: &str) -> String {
    eager::without_logins(&secrets().take_out(text))
}

/// The text without whatever might be a secret, for what is given away or logged: better one mark
/// too many than one secret.
pub fn eagerly(text: &str) -> String {
    eager::take_out(&secrets().take_out(text))
}

/// Whether a name is that of a rule, and not of a known value.
pub fn is_rule(name: &str) -> bool {
    rules::is_rule(name)
}

/// The marks in a text, of rules and values that are known.
pub fn marks(text: &str) -> impl Iterator<Item = &str> {
    let secrets = secrets();
    text.match_indices(MARK).filter_map(move |(at, _)| {
        let mark = &text[at..];
        let rule = mark.get(MARK.len()..mark.find(']')?)?;
        let is_ours = rules::is_rule(rule) || secrets.known.is_name(rule);
        is_ours.then(|| &mark[..MARK.len() + rule.len() + 1])
    })
}

impl Secrets {
    /// The values of variables that are called like secrets.
    pub fn of_env(env: impl IntoIterator<Item = (String, String)>) -> Self {
        let env: Vec<_> = env.into_iter().filter(|(name, _)| is_secret_name(name)).collect();
        let values = env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Self { known: Known::default().with(values).unwrap_or_default() }
    }

    /// The secrets in a text, in their order; none overlaps another.
    pub fn find(&self, text: &[u8]) -> Vec<Finding> {
        let mut found = self.known.find(text);
        rules::find(text, &mut found);
        if found.len() < 2 {
            return found;
        }
        found.sort_by_key(|it| (it.range.start, std::cmp::Reverse(it.range.end)));
        let mut apart: Vec<Finding> = Vec::with_capacity(found.len());
        for next in found {
            match apart.last_mut() {
                Some(last) if next.range.start < last.range.end => {
                    last.range.end = last.range.end.max(next.range.end);
                }
                _ => apart.push(next),
            }
        }
        apart
    }

    /// The text without them.
    pub fn take_out<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let found = self.find(text.as_bytes());
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        // Rules and values match at the borders of characters, but a rule may end within one.
        let mut clean = String::with_capacity(text.len());
        let mut from = 0;
        for Finding { rule, range } in &found {
            let (start, end) =
                (text.floor_char_boundary(range.start), text.ceil_char_boundary(range.end));
            clean.push_str(&text[from..start]);
            clean.push_str(&mark(rule));
            from = end;
        }
        clean.push_str(&text[from..]);
        Cow::Owned(clean)
    }

    /// The bytes without them.
    pub fn take_out_of_bytes<'t>(&self, bytes: &'t [u8]) -> Cow<'t, [u8]> {
        let found = self.find(bytes);
        if found.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut clean = Vec::with_capacity(bytes.len());
        let mut from = 0;
        for Finding { rule, range } in &found {
            clean.extend_from_slice(&bytes[from..range.start]);
            clean.extend_from_slice(mark(rule).as_bytes());
            from = range.end;
        }
        clean.extend_from_slice(&bytes[from..]);
        Cow::Owned(clean)
    }

    /// A JSON text without them in its strings, all else byte for byte.
    pub fn take_out_of_json<'t>(&self, text: &'t str) -> Cow<'t, str> {
        json::take_out(self, text)
    }
}

fn mark(rule: &str) -> String {
    format!("{MARK}{rule}]")
}

#[cfg(test)]
mod tests;
