//! Secrets in the strings of a JSON text, also in JSON that a string holds.
//!
//! Invariant: what comes out is JSON again where it was before, and whatever is no string with a
//! secret in it stays as it is, byte for byte.

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use serde::de::IgnoredAny;

use super::Secrets;

/// A shorter string holds no secret, in bytes.
const SHORTEST: usize = 8;

pub(super) fn take_out<'t>(secrets: &Secrets, text: &'t str) -> Cow<'t, str> {
    let mut clean = String::new();
    let (mut from, mut at) = (0, 0);
    while let Some(start) = memchr(b'"', &text.as_bytes()[at..]).map(|found| at + found) {
        let Some(end) = end_of_string(text.as_bytes(), start + 1) else { break };
        let literal = &text[start..=end];
        if literal.len() > SHORTEST + 1
            && let Some(without) = of_literal(secrets, literal)
        {
            clean.push_str(&text[from..start]);
            clean.push_str(&without);
            from = end + 1;
        }
        at = end + 1;
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    clean.push_str(&text[from..]);
    Cow::Owned(clean)
}

/// Where the quotation mark is that ends a string whose content begins here.
fn end_of_string(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// The literal without secrets; none where there is none in it.
fn of_literal(secrets: &Secrets, literal: &str) -> Option<String> {
    let inner = &literal[1..literal.len() - 1];
    let value = match inner.contains('\\') {
        false => Cow::Borrowed(inner),
        // What is no string of JSON is looked at as it is.
        true => serde_json::from_str(literal).map_or(Cow::Borrowed(inner), Cow::<str>::Owned),
    };
    let is_json =
        value.starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(&value).is_ok();
    let without = match is_json {
        true => take_out(secrets, &value),
        false => secrets.take_out(&value),
    };
    match without {
        Cow::Owned(without) => Some(serde_json::Value::String(without).to_string()),
        Cow::Borrowed(_) => None,
    }
}
