//! An OpenTelemetry collector on loopback that takes nothing but what OTLP/HTTP in JSON allows, and
//! the conventions for generative AI ask for.
//!
//! Invariant: it is written from the specification and the conventions, not from the client; what
//! breaks a rule is refused with 400 and fails the test.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Map, Value};

/// The collector.
pub struct Collector {
    address: String,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    spans: Vec<Span>,
    requests: usize,
    violations: Vec<String>,
    /// What the next requests are answered with, without a look.
    answers: Vec<u16>,
}

/// A span that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    pub kind: i64,
    /// Nanoseconds since 1970.
    pub start: u64,
    pub end: u64,
    pub attributes: Map<String, Value>,
    pub status: i64,
    pub links: usize,
    /// Of what it came from: `service.name` and its like.
    pub resource: Map<String, Value>,
}

impl Collector {
    /// One that listens; the first requests are answered with these statuses.
    pub fn start(answers: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("it is bound"));
        let answers = answers.iter().rev().copied().collect();
        let heard = Arc::new(Mutex::new(Heard { answers, ..Heard::default() }));
        let hearing = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hearing = Arc::clone(&hearing);
                // A client that goes away has said all it wants.
                thread::spawn(move || drop(serve(&stream, &hearing)));
            }
        });
        Self { address, heard }
    }

    /// Where it listens, as `agent.otel.endpoint` has it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What was taken so far.
    pub fn spans(&self) -> Vec<Span> {
        self.heard.lock().expect("nobody panics").spans.clone()
    }

    /// How often it was asked.
    pub fn requests(&self) -> usize {
        self.heard.lock().expect("nobody panics").requests
    }

    /// Asserts that all it was told was as it must be, and gives the spans.
    #[track_caller]
    pub fn finish(self) -> Vec<Span> {
        let heard = self.heard.lock().expect("nobody panics");
        assert!(heard.violations.is_empty(), "{:#?}", heard.violations);
        let mut seen = HashSet::new();
        for span in &heard.spans {
            assert!(seen.insert(span.id.clone()), "{} came twice: {span:#?}", span.id);
        }
        heard.spans.clone()
    }
}

impl Span {
    /// Its `gen_ai.operation.name`; of `verify` the name.
    pub fn operation(&self) -> &str {
        self.attributes.get("gen_ai.operation.name").and_then(Value::as_str).unwrap_or(&self.name)
    }
}

fn serve(stream: &TcpStream, heard: &Mutex<Heard>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut headers = HashMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let status = {
            let mut heard = heard.lock().expect("nobody panics");
            heard.requests += 1;
            match heard.answers.pop() {
                Some(status) => status,
                None => match request(line.trim_end(), &headers, &body) {
                    Ok(spans) => {
                        heard.spans.extend(spans);
                        200
                    }
                    Err(why) => {
                        heard.violations.push(why);
                        400
                    }
                },
            }
        };
        let body = if status == 200 { r#"{"partialSuccess":{}}"# } else { "{}" };
        write!(
            writer,
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
}

type Checked<T> = Result<T, String>;

fn request(line: &str, headers: &HashMap<String, String>, body: &[u8]) -> Checked<Vec<Span>> {
    if line != "POST /v1/traces HTTP/1.1" {
        return Err(format!("{line}: only POST /v1/traces"));
    }
    if headers.get("content-type").map(String::as_str) != Some("application/json") {
        return Err(format!("{:?}: only application/json", headers.get("content-type")));
    }
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut spans = Vec::new();
    for resource in list(&only(&body, &["resourceSpans"])?, "resourceSpans")? {
        let fields = only(resource, &["resource", "scopeSpans", "schemaUrl"])?;
        let about =
            only(&fields["resource"], &["attributes", "droppedAttributesCount", "entityRefs"])?;
        let about = attributes(&about)?;
        for name in ["service.name", "service.version"] {
            about.get(name).ok_or(format!("the resource has no {name}"))?;
        }
        for scope in list(&fields, "scopeSpans")? {
            let fields = only(scope, &["scope", "spans", "schemaUrl"])?;
            let version = only(
                &fields["scope"],
                &["name", "version", "attributes", "droppedAttributesCount"],
            )?;
            text(&version, "name")?;
            for it in list(&fields, "spans")? {
                spans.push(span(it, &about).map_err(|why| format!("{why}: {it:#}"))?);
            }
        }
    }
    if spans.is_empty() { Err("a request without a span".to_owned()) } else { Ok(spans) }
}

fn span(it: &Value, resource: &Map<String, Value>) -> Checked<Span> {
    let fields = only(
        it,
        &[
            "traceId",
            "spanId",
            "traceState",
            "parentSpanId",
            "flags",
            "name",
            "kind",
            "startTimeUnixNano",
            "endTimeUnixNano",
            "attributes",
            "droppedAttributesCount",
            "events",
            "droppedEventsCount",
            "links",
            "droppedLinksCount",
            "status",
        ],
    )?;
    let parent = fields.get("parentSpanId").and_then(Value::as_str).unwrap_or_default();
    if !parent.is_empty() {
        hex(parent, 16)?;
    }
    let status = only(fields.get("status").unwrap_or(&Value::Null), &["code", "message"]);
    let status = status.ok().and_then(|it| it.get("code")?.as_i64()).unwrap_or(0);
    let found = Span {
        trace: hex(text(&fields, "traceId")?, 32)?,
        id: hex(text(&fields, "spanId")?, 16)?,
        parent: parent.to_owned(),
        name: text(&fields, "name")?.to_owned(),
        kind: fields.get("kind").and_then(Value::as_i64).ok_or("a kind is a number")?,
        start: nanos(&fields, "startTimeUnixNano")?,
        end: nanos(&fields, "endTimeUnixNano")?,
        attributes: attributes(&fields)?,
        status,
        links: fields.get("links").and_then(Value::as_array).map_or(0, Vec::len),
        resource: resource.clone(),
    };
    if !(1..=5).contains(&found.kind) || !(0..=2).contains(&found.status) {
        return Err("no such kind or status".to_owned());
    }
    if found.end < found.start {
        return Err("it ends before it begins".to_owned());
    }
    for event in fields.get("events").and_then(Value::as_array).into_iter().flatten() {
        let event = only(event, &["timeUnixNano", "name", "attributes", "droppedAttributesCount"])?;
        let time = nanos(&event, "timeUnixNano")?;
        text(&event, "name")?;
        attributes(&event)?;
        if time < found.start || time > found.end {
            return Err("an event outside of its span".to_owned());
        }
    }
    for link in fields.get("links").and_then(Value::as_array).into_iter().flatten() {
        let all =
            ["traceId", "spanId", "traceState", "attributes", "droppedAttributesCount", "flags"];
        let link = only(link, &all)?;
        hex(text(&link, "traceId")?, 32)?;
        hex(text(&link, "spanId")?, 16)?;
    }
    conventions(&found)?;
    Ok(found)
}

/// The conventions for generative AI: names, kinds, and what is required.
fn conventions(span: &Span) -> Checked<()> {
    let Span { name, attributes, kind, status, .. } = span;
    let text = |key: &str| {
        let value = attributes.get(key).and_then(Value::as_str);
        value.filter(|it| !it.is_empty()).ok_or(format!("{key} is missing"))
    };
    let count = |key: &str| {
        let value = attributes.get(key).and_then(Value::as_i64);
        value.filter(|it| *it >= 0).ok_or(format!("{key} is no count"))
    };
    text("gen_ai.conversation.id")?;
    if name == "verify" {
        return Ok(());
    }
    let operation = text("gen_ai.operation.name")?;
    let (internal, client) = (1, 3);
    let (subject, must_be) = match operation {
        "invoke_agent" => {
            text("gen_ai.provider.name")?;
            count("gen_ai.usage.input_tokens")?;
            (text("gen_ai.agent.name")?, internal)
        }
        "chat" => {
            text("gen_ai.provider.name")?;
            let (input, cached) = (
                count("gen_ai.usage.input_tokens")?,
                count("gen_ai.usage.cache_read.input_tokens")?,
            );
            count("gen_ai.usage.output_tokens")?;
            if cached > input {
                return Err("input tokens are all of them, cached ones too".to_owned());
            }
            let reasons = attributes.get("gen_ai.response.finish_reasons");
            if reasons.is_none_or(|it| !it.is_array()) && *status != 2 {
                return Err("an answer has a list of finish reasons".to_owned());
            }
            (text("gen_ai.request.model")?, client)
        }
        "execute_tool" => {
            text("gen_ai.tool.call.id")?;
            (text("gen_ai.tool.name")?, internal)
        }
        other => return Err(format!("{other} is no operation")),
    };
    if *name != format!("{operation} {subject}") || *kind != must_be {
        return Err(format!("{name} of kind {kind}: {operation} {subject} of kind {must_be}"));
    }
    if (*status == 2) != attributes.contains_key("error.type") {
        return Err("an error has its type, and nothing else has".to_owned());
    }
    for key in ["gen_ai.input.messages", "gen_ai.output.messages"] {
        let Some(value) = attributes.get(key) else { continue };
        let messages: Value = value
            .as_str()
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or(format!("{key} is JSON in a text"))?;
        for message in messages.as_array().ok_or(format!("{key} is a list"))? {
            let parts = message["parts"].as_array().ok_or("a message has parts")?;
            if !message["role"].is_string() || parts.iter().any(|part| !part["type"].is_string()) {
                return Err(format!("{key}: {message}"));
            }
        }
    }
    Ok(())
}

/// The fields of an object, which are all among these.
fn only(value: &Value, names: &[&str]) -> Checked<Map<String, Value>> {
    let fields = value.as_object().ok_or(format!("no object: {value}"))?;
    match fields.keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(format!("there is no field {name}")),
        None => Ok(fields.clone()),
    }
}

fn list<'v>(fields: &'v Map<String, Value>, name: &str) -> Checked<&'v Vec<Value>> {
    fields.get(name).and_then(Value::as_array).ok_or(format!("{name} is a list"))
}

fn text<'v>(fields: &'v Map<String, Value>, name: &str) -> Checked<&'v str> {
    let value = fields.get(name).and_then(Value::as_str);
    value.filter(|it| !it.is_empty()).ok_or(format!("{name} is a text"))
}

/// 64 bits are a text in JSON.
fn nanos(fields: &Map<String, Value>, name: &str) -> Checked<u64> {
    let nanos = text(fields, name)?.parse().map_err(|_| format!("{name} is no number"))?;
    // From 2020 on: neither seconds nor milliseconds.
    if nanos < 1_577_836_800_000_000_000 { Err(format!("{name} is too early")) } else { Ok(nanos) }
}

fn hex(id: &str, digits: usize) -> Checked<String> {
    let is_hex = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_null = id.bytes().all(|byte| byte == b'0');
    match is_hex && !is_null && id.len() == digits {
        true => Ok(id.to_owned()),
        false => Err(format!("{id} is not an id of {digits} digits")),
    }
}

/// Keys and plain values; no key twice.
fn attributes(of: &Map<String, Value>) -> Checked<Map<String, Value>> {
    let mut found = Map::new();
    for attribute in of.get("attributes").and_then(Value::as_array).into_iter().flatten() {
        let attribute = only(attribute, &["key", "value"])?;
        let key = text(&attribute, "key")?;
        let value = attribute.get("value").ok_or(format!("{key} has no value"))?;
        if found.insert(key.to_owned(), plain(value)?).is_some() {
            return Err(format!("{key} twice"));
        }
    }
    Ok(found)
}

fn plain(value: &Value) -> Checked<Value> {
    let wrong = || format!("no value: {value}");
    let fields = value.as_object().filter(|fields| fields.len() == 1).ok_or_else(wrong)?;
    let (kind, inner) = fields.iter().next().ok_or_else(wrong)?;
    match (kind.as_str(), inner) {
        ("stringValue", Value::String(_)) | ("boolValue", Value::Bool(_)) => Ok(inner.clone()),
        ("doubleValue", Value::Number(_)) => Ok(inner.clone()),
        ("intValue", Value::String(text)) => {
            text.parse::<i64>().map(Value::from).map_err(|_| wrong())
        }
        ("arrayValue", Value::Object(array)) => {
            let values = list(array, "values")?;
            Ok(Value::Array(values.iter().map(plain).collect::<Checked<_>>()?))
        }
        _ => Err(wrong()),
    }
}
