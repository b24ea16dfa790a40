//! The three wire formats behind one name.
//!
//! Invariant: which one is spoken follows from the path of the request alone.

use serde_json::Value;

use super::check::{Checked, Place};
use super::http::Request;
use super::script::{Script, Turn};
use super::stream::{Event, Events};
use super::{anthropic, chat, responses};

/// A wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Responses.
    Responses,
    /// OpenAI Chat Completions.
    Chat,
}

impl Dialect {
    /// All of them, for tests that run one script in each.
    pub const ALL: [Self; 3] = [Self::Anthropic, Self::Responses, Self::Chat];

    /// What `--model` takes to speak it.
    pub fn model(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic/claude-test",
            Self::Responses => "openai/gpt-test",
            Self::Chat => "chat/test",
        }
    }

    /// The one key that the server takes in this dialect.
    pub fn key(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic-test-key",
            Self::Responses | Self::Chat => "openai-test-key",
        }
    }

    /// The path it is asked at.
    pub fn path(self) -> &'static str {
        match self {
            Self::Anthropic => "/v1/messages",
            Self::Responses => "/v1/responses",
            Self::Chat => "/v1/chat/completions",
        }
    }

    pub(super) fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.path() == path)
    }

    /// The key that the request carries.
    pub(super) fn key_in(self, request: &Request) -> Option<&str> {
        let bearer = || request.header("authorization")?.strip_prefix("Bearer ");
        match self {
            Self::Anthropic => request.header("x-api-key").or_else(bearer),
            Self::Responses | Self::Chat => bearer(),
        }
    }

    pub(super) fn check(self, request: &Request, body: &Value, scripts: &[Script]) -> Checked {
        match self {
            Self::Anthropic => anthropic::check(request, body, scripts),
            Self::Responses => responses::check(body, scripts),
            Self::Chat => chat::check(body),
        }
    }

    /// How many answers there are up to the last that the request holds: it may have left out the
    /// first, which the ids of the calls behind them tell.
    pub(super) fn answers(self, body: &Value) -> usize {
        let held = match self {
            Self::Anthropic => anthropic::answers(body),
            Self::Responses => responses::answers(body),
            Self::Chat => chat::answers(body),
        };
        held.max(last_place(body).map_or(0, |place| place.turn + 1))
    }

    /// The last message of the conversation.
    pub(super) fn last(self, body: &Value) -> Option<&Value> {
        let list = if self == Self::Responses { "input" } else { "messages" };
        body[list].as_array()?.last()
    }

    pub(super) fn render(self, turn: &Turn, first: Place, body: &Value, script: &Script) -> Events {
        match self {
            Self::Anthropic => anthropic::render(turn, first, body),
            Self::Responses => responses::render(turn, first, body),
            Self::Chat => chat::render(turn, first, body, script),
        }
    }

    pub(super) fn error(self, status: u16, message: &str) -> Value {
        match self {
            Self::Anthropic => anthropic::error(status, message),
            Self::Responses | Self::Chat => chat::error(status, message),
        }
    }

    pub(super) fn too_long(self) -> &'static str {
        match self {
            Self::Anthropic => "prompt is too long: 210000 tokens > 200000 maximum",
            Self::Responses | Self::Chat => {
                "Your input exceeds the context window of this model. Please adjust your input and \
                 try again."
            }
        }
    }

    pub(super) fn error_event(self) -> Event {
        match self {
            Self::Anthropic => {
                let mut error = anthropic::error(529, "Overloaded");
                error["type"] = "error".into();
                anthropic::event(&error)
            }
            Self::Responses => responses::error_event(),
            Self::Chat => chat::error_event(),
        }
    }

    pub(super) fn ping(self) -> Event {
        match self {
            Self::Anthropic => Event::raw(b"event: ping\ndata: {\"type\": \"ping\"}\n\n"),
            Self::Responses | Self::Chat => Event::raw(b": keep-alive\n\n"),
        }
    }

    pub(super) fn unknown(self) -> Vec<Event> {
        match self {
            Self::Anthropic => anthropic::unknown(),
            Self::Responses => responses::unknown(),
            Self::Chat => chat::unknown(),
        }
    }

    /// Follows the beginning of a block, where there are such.
    pub(super) fn unknown_delta(self) -> Option<Event> {
        (self == Self::Anthropic).then(anthropic::unknown_delta)
    }

    pub(super) fn unknown_block(self, index: usize) -> Vec<Event> {
        match self {
            Self::Anthropic => anthropic::unknown_block(index),
            Self::Responses | Self::Chat => Vec::new(),
        }
    }

    /// The header by which the vendor names a request.
    pub(super) fn id_header(self, number: usize) -> String {
        match self {
            Self::Anthropic => format!("request-id: req_{number}\r\n"),
            Self::Responses | Self::Chat => format!("x-request-id: req_{number}\r\n"),
        }
    }
}

/// The last place in the scripts that the id of a call tells of.
fn last_place(value: &Value) -> Option<Place> {
    const IDS: [&str; 4] = ["id", "call_id", "tool_use_id", "tool_call_id"];
    let later = |places: &mut dyn Iterator<Item = Place>| places.max_by_key(|place| place.turn);
    match value {
        Value::Object(map) => later(&mut map.iter().filter_map(|(key, value)| match value {
            // The arguments of a call are the model's own.
            _ if key == "input" && value.is_object() => None,
            Value::String(id) => IDS.contains(&key.as_str()).then(|| Place::of_id(id)).flatten(),
            value => last_place(value),
        })),
        Value::Array(items) => later(&mut items.iter().filter_map(last_place)),
        _ => None,
    }
}
