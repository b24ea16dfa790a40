//! A client as plain as can be: what a real one has to get right, and nothing more.
//!
//! Invariant: it sends what it is told to, right or wrong.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use serde_json::{Map, Value, json};

use super::super::{Dialect, Server};

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As its framing said it would.
    Proper,
    /// The connection was closed before.
    Closed,
    /// The connection was reset before.
    Reset,
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    pub(super) end: End,
}

impl Heard {
    /// The data of its events that is JSON.
    pub(super) fn events(&self) -> Vec<Value> {
        let body = String::from_utf8_lossy(&self.body);
        let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter_map(|data| serde_json::from_str(data).ok()).collect()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The headers that a request needs.
pub(super) fn headers(dialect: Dialect) -> Vec<(&'static str, String)> {
    let mut headers = vec![("content-type", "application/json".to_owned())];
    match dialect {
        Dialect::Anthropic => {
            headers.push(("anthropic-version", "2023-06-01".to_owned()));
            headers.push(("x-api-key", dialect.key().to_owned()));
        }
        _ => headers.push(("authorization", format!("Bearer {}", dialect.key()))),
    }
    headers
}

/// Posts on a connection of its own.
pub(super) fn post(server: &Server, dialect: Dialect, body: &Value) -> Heard {
    post_with(server, dialect, &headers(dialect), body.to_string().as_bytes())
}

pub(super) fn post_with(
    server: &Server,
    dialect: Dialect,
    headers: &[(&str, String)],
    body: &[u8],
) -> Heard {
    let mut stream = connect(server);
    send(&mut stream, dialect, headers, body);
    hear(&mut stream)
}

pub(super) fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.url().strip_prefix("http://").unwrap()).unwrap()
}

pub(super) fn send(
    stream: &mut TcpStream,
    dialect: Dialect,
    headers: &[(&str, String)],
    body: &[u8],
) {
    let mut bytes = format!("POST {} HTTP/1.1\r\nhost: localhost\r\n", dialect.path());
    for (name, value) in headers {
        bytes += &format!("{name}: {value}\r\n");
    }
    bytes += &format!("content-length: {}\r\n\r\n", body.len());
    stream.write_all(&[bytes.as_bytes(), body].concat()).unwrap();
}

/// Reads one answer to its end, proper or not.
pub(super) fn hear(stream: &mut TcpStream) -> Heard {
    let mut raw = Vec::new();
    let mut piece = [0; 4096];
    let mut end = End::Closed;
    while !is_whole(&raw) {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => raw.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                end = End::Reset;
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    if is_whole(&raw) {
        end = End::Proper;
    }
    let (head, framed) = split_head(&raw).unwrap_or((String::new(), &[]));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let chunked = head.contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(framed).0 } else { framed.to_vec() };
    Heard { status, head, body, end }
}

fn split_head(raw: &[u8]) -> Option<(String, &[u8])> {
    let at = raw.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((String::from_utf8(raw[..at + 2].to_vec()).unwrap(), &raw[at + 4..]))
}

fn is_whole(raw: &[u8]) -> bool {
    let Some((head, framed)) = split_head(raw) else { return false };
    match head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
        Some(length) => framed.len() >= length.parse().unwrap(),
        None => unchunk(framed).1,
    }
}

/// The body as far as it has come, and whether its last chunk has.
fn unchunk(mut framed: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(at) = framed.windows(2).position(|window| window == b"\r\n") else {
            return (body, false);
        };
        let size = std::str::from_utf8(&framed[..at]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let data = &framed[at + 2..];
        if data.len() < size + 2 {
            body.extend_from_slice(&data[..size.min(data.len())]);
            return (body, false);
        }
        body.extend_from_slice(&data[..size]);
        framed = &data[size + 2..];
        if size == 0 {
            return (body, true);
        }
    }
}

/// A conversation, held in one dialect.
pub(super) struct Talk {
    dialect: Dialect,
    history: Vec<Value>,
    /// The calls of the last answer: id, name, arguments.
    pub(super) calls: Vec<(String, String, String)>,
    /// The text of the last answer.
    pub(super) text: String,
}

impl Talk {
    pub(super) fn new(dialect: Dialect, task: &str) -> Self {
        let history = vec![json!({"role": "user", "content": task})];
        Self { dialect, history, calls: Vec::new(), text: String::new() }
    }

    /// The next request.
    pub(super) fn request(&self) -> Value {
        let schema = json!({"type": "object", "properties": {"command": {"type": "string"}},
            "required": ["command"]});
        match self.dialect {
            Dialect::Anthropic => json!({
                "model": "claude-test", "max_tokens": 1000, "stream": true, "system": "Be brief.",
                "tools": [{"name": "bash", "description": "Runs", "input_schema": schema}],
                "messages": self.history,
            }),
            Dialect::Responses => json!({
                "model": "gpt-test", "stream": true, "store": false,
                "include": ["reasoning.encrypted_content"], "instructions": "Be brief.",
                "tools": [{"type": "function", "name": "bash", "parameters": schema}],
                "input": self.history,
            }),
            Dialect::Chat => json!({
                "model": "test", "stream": true, "stream_options": {"include_usage": true},
                "tools": [{"type": "function", "function": {"name": "bash", "parameters": schema}}],
                "messages": self.history,
            }),
        }
    }

    /// Asks, takes the answer into the history, and answers its calls.
    pub(super) fn step(&mut self, server: &Server) {
        let heard = post(server, self.dialect, &self.request());
        assert_eq!((heard.status, heard.end), (200, End::Proper), "{}", heard.text());
        self.take(&heard.events());
    }

    pub(super) fn take(&mut self, events: &[Value]) {
        self.calls.clear();
        self.text.clear();
        match self.dialect {
            Dialect::Anthropic => self.take_anthropic(events),
            Dialect::Responses => self.take_responses(events),
            Dialect::Chat => self.take_chat(events),
        }
    }

    fn take_anthropic(&mut self, events: &[Value]) {
        let mut blocks: BTreeMap<u64, Value> = BTreeMap::new();
        let mut inputs: BTreeMap<u64, String> = BTreeMap::new();
        for event in events {
            let index = event["index"].as_u64().unwrap_or(0);
            if event["type"] == "content_block_start" {
                blocks.insert(index, event["content_block"].clone());
            }
            let delta = &event["delta"];
            for (kind, key) in [
                ("text_delta", "text"),
                ("thinking_delta", "thinking"),
                ("signature_delta", "signature"),
            ] {
                if delta["type"] == kind {
                    let block = blocks.get_mut(&index).unwrap();
                    let more = delta[key].as_str().unwrap();
                    block[key] = json!(block[key].as_str().unwrap().to_owned() + more);
                }
            }
            if let Some(more) = delta["partial_json"].as_str() {
                inputs.entry(index).or_default().push_str(more);
            }
        }
        for (index, input) in inputs {
            let input = if input.is_empty() { "{}" } else { &input };
            let block = blocks.get_mut(&index).unwrap();
            block["input"] = serde_json::from_str(input).unwrap_or_else(|_| json!({}));
            let part = |key: &str| block[key].as_str().unwrap().to_owned();
            self.calls.push((part("id"), part("name"), input.to_owned()));
        }
        self.text = blocks.values().filter_map(|block| block["text"].as_str()).collect();
        let content: Vec<Value> = blocks.into_values().collect();
        self.history.push(json!({"role": "assistant", "content": content}));
        let results = self
            .calls
            .iter()
            .map(|(id, ..)| json!({"type": "tool_result", "tool_use_id": id, "content": "ok"}));
        let results: Vec<Value> = results.collect();
        if !results.is_empty() {
            self.history.push(json!({"role": "user", "content": results}));
        }
    }

    fn take_responses(&mut self, events: &[Value]) {
        for event in events.iter().filter(|event| event["type"] == "response.output_item.done") {
            let item = &event["item"];
            let part = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
            if item["type"] == "function_call" {
                self.calls.push((part("call_id"), part("name"), part("arguments")));
            }
            self.text += item["content"][0]["text"].as_str().unwrap_or_default();
            self.history.push(item.clone());
        }
        for (id, ..) in &self.calls {
            let output = json!({"type": "function_call_output", "call_id": id, "output": "ok"});
            self.history.push(output);
        }
    }

    fn take_chat(&mut self, events: &[Value]) {
        let mut calls: BTreeMap<u64, (String, String, String)> = BTreeMap::new();
        for event in events {
            let delta = &event["choices"][0]["delta"];
            self.text += delta["content"].as_str().unwrap_or_default();
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                let index = call["index"].as_u64().unwrap();
                let (id, name, arguments) = calls.entry(index).or_default();
                *id += call["id"].as_str().unwrap_or_default();
                *name += call["function"]["name"].as_str().unwrap_or_default();
                *arguments += call["function"]["arguments"].as_str().unwrap_or_default();
            }
        }
        self.calls = calls.into_values().collect();
        let mut message = Map::new();
        message.insert("role".into(), json!("assistant"));
        message.insert("content".into(), json!(self.text));
        if !self.calls.is_empty() {
            let calls = self.calls.iter().map(|(id, name, arguments)| {
                json!({"id": id, "type": "function",
                    "function": {"name": name, "arguments": arguments}})
            });
            message.insert("tool_calls".into(), calls.collect());
        }
        self.history.push(Value::Object(message));
        for (id, ..) in &self.calls {
            self.history.push(json!({"role": "tool", "tool_call_id": id, "content": "ok"}));
        }
    }

    /// Says something as the person.
    pub(super) fn say(&mut self, text: &str) {
        self.history.push(json!({"role": "user", "content": text}));
    }
}
