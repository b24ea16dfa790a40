//! What a wire format must say of itself, and the request that all of them grow.
//!
//! Invariant: a message is serialised once; a request is what the last one was, with more at its
//! end (and the cache marks of those dialects that have them moved along).

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::retry::Failure;
use crate::event::Delta;
use crate::message::{Answer, Message, RawContent, StopReason, ToolCall, ToolSpec};

/// What stands at the head of every request of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brief<'a> {
    pub(super) model: &'a str,
    pub(super) system: &'a str,
    pub(super) tools: &'a [ToolSpec],
    pub(super) cache_key: &'a str,
    /// Longest answer, in tokens; none leaves it to the server.
    pub(super) max_output: Option<u64>,
    /// How hard to think, in the vendor's own words; none leaves it to the server.
    pub(super) effort: Option<&'a str>,
    /// Whether the model decides itself how much to think, where that must be asked for.
    pub(super) adaptive_thinking: bool,
}

impl Brief<'_> {
    /// The tools, each in the shape of a dialect.
    pub(super) fn tools(&self, shape: impl Fn(&ToolSpec) -> Value) -> Vec<Value> {
        self.tools.iter().map(shape).collect()
    }
}

/// The text of an object, up to the first entry of a list of this name at its end.
pub(super) fn up_to_list(object: &Value, name: &str) -> String {
    let mut text = object.to_string();
    text.pop();
    text.push_str(",\"");
    text.push_str(name);
    text.push_str("\":[");
    text
}

/// One wire format.
pub(super) trait Dialect {
    /// What follows the endpoint's base address.
    fn path(&self) -> &'static str;
    /// What is sent besides key and content type.
    fn headers(&self) -> HeaderMap {
        HeaderMap::new()
    }
    /// The header that an API key goes in; a bearer token always goes in `authorization`.
    fn key_header(&self) -> KeyHeader {
        KeyHeader::Authorization
    }
    /// The request up to the first message: ends in `[`, or in a first message of its own.
    fn head(&self, brief: &Brief<'_>) -> String;
    /// The limit to ask for, given the model's own; none leaves it to the server.
    fn max_output(&self, _known: Option<u64>) -> Option<u64> {
        None
    }
    /// Adds a message. Its assistant content goes back raw where `model` itself made it.
    fn push(&self, history: &mut History, model: &str, message: &Message);
    /// What a message gets that the provider's cache shall reach up to.
    fn cache_mark(&self) -> &'static str {
        ""
    }
    /// How long a healthy server may be silent.
    fn silence(&self) -> Silence;
    /// Reads one answer. `calls` is the number of calls in the history, for ids of our own.
    fn decoder(&self, model: &str, calls: usize) -> Box<dyn Decoder>;
}

/// How long a server may say nothing, not even a ping, before it is held for lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Silence {
    /// Until it says the first of its answer.
    pub(super) first: Duration,
    /// From then on.
    pub(super) within: Duration,
}

/// No server is silent so long in the middle of what it says.
pub(super) const STALLED: Duration = Duration::from_secs(60);

/// Where an API key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyHeader {
    /// `x-api-key: K`
    XApiKey,
    /// `authorization: Bearer K`
    Authorization,
}

/// Reads the events of one answer.
pub(super) trait Decoder {
    /// Takes one event; true once the stream has said that it is complete.
    fn event(&mut self, data: &str, on: &mut dyn FnMut(Delta<'_>)) -> Result<bool, Failure>;
    /// The answer, at the end of the stream.
    fn finish(self: Box<Self>) -> Result<Answer, Failure>;
}

/// The conversation as it goes over the wire.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    text: String,
    /// Where a cache mark fits, one place a user-side message.
    marks: Vec<usize>,
    last: Option<Side>,
    calls: usize,
}

/// Whose message an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The person's, or the tools'.
    User,
    /// The model's.
    Assistant,
}

impl History {
    /// Whose the last entry is, if it may be added to.
    pub(super) fn last(&self) -> Option<Side> {
        self.last
    }

    /// Calls made so far.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// Books calls, whatever their bytes.
    pub(super) fn count_calls(&mut self, calls: usize) {
        self.calls += calls;
    }

    /// Adds an entry; `side` names it where a later one of the same side may be joined to it.
    pub(super) fn entry(&mut self, side: Option<Side>, text: &str) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(text);
        self.last = side;
    }

    /// Reopens the last entry: `closing` is taken off its end, `more` put there.
    pub(super) fn join(&mut self, closing: &str, more: &str) {
        debug_assert!(self.text.ends_with(closing));
        self.text.truncate(self.text.len() - closing.len());
        self.text.push_str(more);
    }

    /// Notes that a cache mark fits `from_end` bytes before the end. Two marks in one entry are
    /// one too many, so `moved` says that the last entry has been joined to.
    pub(super) fn mark(&mut self, from_end: usize, moved: bool) {
        if moved {
            self.marks.pop();
        }
        self.marks.push(self.text.len() - from_end);
    }

    /// The whole request: one copy, nothing serialised. The last two places get the mark.
    pub(super) fn body(&self, head: &str, mark: &str) -> Bytes {
        let mut body = String::with_capacity(head.len() + self.text.len() + 2 * mark.len() + 3);
        body.push_str(head);
        if !head.ends_with('[') && !self.text.is_empty() {
            body.push(',');
        }
        let mut from = 0;
        for &at in &self.marks[self.marks.len().saturating_sub(2)..] {
            body.push_str(&self.text[from..at]);
            body.push_str(mark);
            from = at;
        }
        body.push_str(&self.text[from..]);
        body.push_str("]}");
        Bytes::from(body)
    }
}

/// The provider's own content, if this dialect and model made it.
pub(super) fn own_content<'a>(answer: &'a Answer, dialect: &str, model: &str) -> Option<&'a str> {
    match &answer.raw {
        Some(RawContent { dialect: made_in, model: made_by, content })
            if made_in == dialect && made_by == model =>
        {
            Some(content.get().trim())
        }
        _ => None,
    }
}

/// What stands between the brackets of a JSON array.
pub(super) fn inside(array: &str) -> &str {
    array.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(array).trim()
}

/// The content as it is kept.
pub(super) fn keep(dialect: &str, model: &str, content: String) -> Result<RawContent, Failure> {
    let content = serde_json::value::RawValue::from_string(content)
        .map_err(|error| Failure::broken(format!("content is not JSON: {error}")))?;
    Ok(RawContent { dialect: dialect.to_owned(), model: model.to_owned(), content })
}

/// Whether arguments are one whole JSON object that any server can read back.
pub(super) fn is_object(arguments: &str) -> bool {
    // Parsed to the end rather than skimmed: only that finds lone surrogates, which servers refuse.
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(arguments).is_ok()
}

/// The arguments as they may go back: a malformed object would make the whole request invalid.
pub(super) fn sendable(arguments: &str) -> &str {
    if is_object(arguments) { arguments } else { "{}" }
}

/// The stop reason, whatever the server calls it: an answer with calls waits for their results.
pub(super) fn settle(stop: StopReason, calls: &[ToolCall]) -> StopReason {
    match stop {
        StopReason::EndTurn | StopReason::ToolUse if calls.is_empty() => StopReason::EndTurn,
        StopReason::EndTurn | StopReason::ToolUse => StopReason::ToolUse,
        other => other,
    }
}
