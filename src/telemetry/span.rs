//! A span, and how OTLP writes it as JSON
//! (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>): ids in hex, 64 bits as
//! text, enumerations as numbers.
//!
//! By hand: the crates of OpenTelemetry can hold true times and ids, but they are 26 more, have
//! nearly all others compiled once more, and hide what a collector says of spans it did not take.
//!
//! Invariant: pure.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

/// The conventions that names are taken from.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.41.0";

/// The id of a trace.
pub(super) type TraceId = Id<16>;
/// The id of a span.
pub(super) type SpanId = Id<8>;

/// An id, shown in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id<const N: usize>(pub(super) [u8; N]);

/// One span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub(super) trace: TraceId,
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) attributes: Vec<Attribute>,
    pub(super) events: Vec<Mark>,
    /// A span of the same trace that this one goes on from.
    pub(super) link: Option<SpanId>,
    /// What went wrong, if anything did.
    pub(super) error: Option<String>,
}

/// Where the work of a span is done, by its number in OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Here.
    Internal = 1,
    /// By a server that was asked.
    Client = 3,
}

/// Something that happened within a span.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mark {
    pub(super) name: &'static str,
    pub(super) time: Timestamp,
    pub(super) attributes: Vec<Attribute>,
}

/// A name and its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attribute {
    pub(super) key: &'static str,
    pub(super) value: Value,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Whole(i64),
    Real(f64),
    List(Vec<&'static str>),
}

/// The body of a request that exports these, from what `resource` tells.
pub(super) fn request(spans: &[Span], resource: &[(String, String)]) -> Json {
    let text =
        |(key, value): &(String, String)| json!({"key": key, "value": {"stringValue": value}});
    json!({"resourceSpans": [{
        "resource": {"attributes": resource.iter().map(text).collect::<Vec<_>>()},
        "scopeSpans": [{
            "scope": {"name": "git-agent", "version": env!("CARGO_PKG_VERSION")},
            "spans": spans.iter().map(Span::json).collect::<Vec<_>>(),
            "schemaUrl": SCHEMA,
        }],
        "schemaUrl": SCHEMA,
    }]})
}

impl Span {
    fn json(&self) -> Json {
        let mut span = json!({
            "traceId": self.trace.to_string(),
            "spanId": self.id.to_string(),
            "name": self.name,
            "kind": self.kind as i32,
            "startTimeUnixNano": nanos(self.start),
            "endTimeUnixNano": nanos(self.end),
            "attributes": attributes(&self.attributes),
            // Unset, or an error.
            "status": self.error.as_ref().map_or_else(
                || json!({}),
                |why| json!({"code": 2, "message": why}),
            ),
        });
        if let Some(parent) = self.parent {
            span["parentSpanId"] = parent.to_string().into();
        }
        if let Some(link) = self.link {
            let link = json!({"traceId": self.trace.to_string(), "spanId": link.to_string()});
            span["links"] = json!([link]);
        }
        if !self.events.is_empty() {
            let event = |mark: &Mark| {
                json!({
                    "name": mark.name,
                    "timeUnixNano": nanos(mark.time),
                    "attributes": attributes(&mark.attributes),
                })
            };
            span["events"] = self.events.iter().map(event).collect();
        }
        span
    }
}

fn attributes(attributes: &[Attribute]) -> Json {
    let attribute =
        |Attribute { key, value }: &Attribute| json!({"key": key, "value": value.json()});
    attributes.iter().map(attribute).collect()
}

fn nanos(time: Timestamp) -> String {
    time.as_nanosecond().max(0).to_string()
}

impl Value {
    fn json(&self) -> Json {
        match self {
            Self::Text(text) => json!({"stringValue": text}),
            Self::Whole(number) => json!({"intValue": number.to_string()}),
            Self::Real(number) => json!({"doubleValue": number}),
            Self::List(texts) => {
                let values: Vec<_> = texts.iter().map(|it| json!({"stringValue": it})).collect();
                json!({"arrayValue": {"values": values}})
            }
        }
    }
}

impl Attribute {
    pub(super) fn new(key: &'static str, value: impl Into<Value>) -> Self {
        Self { key, value: value.into() }
    }
}

impl<const N: usize> fmt::Display for Id<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Whole(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}
