//! Anthropic Messages: `POST /v1/messages`.
//!
//! Invariant: refuses what the real one refuses (API version 2023-06-01), in its words.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::check::{Checked, Place, Refusal, Said, demand, fields, list, said_in_place, text};
use super::http::Request;
use super::script::{Block, Script, Stop, Turn};
use super::stream::{Event, Events, pieces};

/// What the ids of its calls begin with.
const OWN: &str = "toolu_";
const KNOWN: [&str; 18] = [
    "system",
    "tools",
    "tool_choice",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
    "service_tier",
    "thinking",
    "container",
    "mcp_servers",
    "context_management",
    "output_config",
    "inference_geo",
    "cache_control",
    "speed",
    "betas",
];

/// Refuses a request that the real server would refuse.
pub(super) fn check(request: &Request, body: &Value, scripts: &[Script]) -> Checked {
    demand(request.header("anthropic-version") == Some("2023-06-01"), || {
        "anthropic-version: header is required".into()
    })?;
    super::check::top(body, &["model", "messages", "max_tokens", "stream"], &KNOWN)?;
    let max_tokens = body["max_tokens"].as_u64().unwrap_or(0);
    demand(max_tokens > 0, || "max_tokens: Input should be greater than or equal to 1".into())?;
    if let Some(budget) = body["thinking"]["budget_tokens"].as_u64() {
        demand((1024..max_tokens).contains(&budget), || {
            "`max_tokens` must be greater than `thinking.budget_tokens`, which is at least 1024"
                .into()
        })?;
    }
    tools(body)?;
    if let Some(system) = body.get("system").filter(|system| !system.is_string()) {
        for (index, block) in
            list(&json!({ "system": system }), "system", "body")?.iter().enumerate()
        {
            text_block(block, &format!("system.{index}"))?;
        }
    }
    messages(body, scripts)?;
    let marks = cache_marks(body);
    demand(marks <= 4, || {
        format!("A maximum of 4 blocks with cache_control may be provided. Found {marks}.")
    })
}

fn tools(body: &Value) -> Checked {
    if body.get("tools").is_none() {
        return Ok(());
    }
    let mut names = HashSet::new();
    for (index, tool) in list(body, "tools", "body")?.iter().enumerate() {
        let at = format!("tools.{index}");
        fields(
            tool,
            &at,
            &["name", "input_schema"],
            &["description", "cache_control", "type", "strict", "eager_input_streaming"],
        )?;
        super::check::tool(text(tool, "name", &at)?, &tool["input_schema"], &at, &mut names)?;
    }
    Ok(())
}

fn messages(body: &Value, scripts: &[Script]) -> Checked {
    let messages = list(body, "messages", "body")?;
    demand(!messages.is_empty(), || "messages: at least one message is required".into())?;
    demand(messages[0]["role"] == "user", || {
        "messages: first message must use the \"user\" role".into()
    })?;
    // Reasoning may be dropped from what lies before the person's last word, never after it.
    let last_word = messages
        .iter()
        .rposition(|message| message["role"] == "user" && results(message).next().is_none());
    let thinks = body["thinking"]["type"] != "disabled";
    let mut open: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let at = format!("messages.{index}");
        fields(message, &at, &["role", "content"], &[])?;
        match text(message, "role", &at)? {
            "user" => {
                user(message, &at, &open)?;
                open.clear();
            }
            "assistant" => {
                demand(open.is_empty(), || unanswered(&at, &open))?;
                let previous = index.checked_sub(1).map(|previous| &messages[previous]);
                let repeated = previous.is_some_and(|previous| previous["role"] == "assistant");
                let paused = previous.is_some_and(|previous| was_paused(previous, scripts));
                demand(!repeated || paused, || format!("{at}: two assistant messages in a row"))?;
                let in_loop = thinks && last_word.is_none_or(|last_word| index > last_word);
                open = assistant(message, &at, scripts, in_loop)?;
                demand(open.is_empty() || body.get("tools").is_some(), || {
                    "tools: Requests which have `tool_use` or `tool_result` blocks must define \
                     tools."
                        .into()
                })?;
            }
            role => return Err(Refusal(format!("{at}.role: unexpected role \"{role}\""))),
        }
    }
    demand(open.is_empty(), || unanswered(&format!("messages.{}", messages.len()), &open))?;
    let last = &messages[messages.len() - 1];
    demand(last["role"] == "user" || was_paused(last, scripts), || {
        "This model does not support assistant message prefill. The conversation must end with a \
         user message."
            .into()
    })
}

fn unanswered(at: &str, open: &[&str]) -> String {
    format!(
        "{at}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each \
         `tool_use` block must have a corresponding `tool_result` block in the next message.",
        open.join(", ")
    )
}

fn user(message: &Value, at: &str, open: &[&str]) -> Checked {
    let mut answered = HashSet::new();
    if let Value::String(content) = &message["content"] {
        demand(!content.trim().is_empty(), || empty(at))?;
    } else {
        let blocks = list(message, "content", at)?;
        demand(!blocks.is_empty(), || empty(at))?;
        let mut only_results = true;
        for (index, block) in blocks.iter().enumerate() {
            let at = format!("{at}.content.{index}");
            match text(block, "type", &at)? {
                "tool_result" => {
                    demand(only_results, || format!("{at}: tool_result blocks must come first"))?;
                    let id = tool_result(block, &at)?;
                    demand(open.contains(&id), || {
                        format!(
                            "{at}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. \
                             Each `tool_result` block must have a corresponding `tool_use` block \
                             in the previous message."
                        )
                    })?;
                    demand(answered.insert(id), || {
                        format!("{at}: each tool_use must have a single result: {id}")
                    })?;
                }
                "text" => {
                    only_results = false;
                    text_block(block, &at)?;
                }
                "image" | "document" => only_results = false,
                kind => return Err(Refusal(format!("{at}.type: unexpected `{kind}`"))),
            }
        }
    }
    let missing: Vec<&str> = open.iter().copied().filter(|id| !answered.contains(id)).collect();
    demand(missing.is_empty(), || unanswered(at, &missing))
}

fn empty(at: &str) -> String {
    format!("{at}: user messages must have non-empty content")
}

fn tool_result<'a>(block: &'a Value, at: &str) -> Checked<&'a str> {
    fields(block, at, &["type", "tool_use_id"], &["content", "is_error", "cache_control"])?;
    if let Some(is_error) = block.get("is_error") {
        demand(is_error.is_boolean(), || {
            format!("{at}.is_error: Input should be a valid boolean")
        })?;
    }
    if let Some(content) = block.get("content").filter(|content| !content.is_string()) {
        for (index, part) in list(block, "content", at)?.iter().enumerate() {
            if content[index]["type"] == "text" {
                text_block(part, &format!("{at}.content.{index}"))?;
            }
        }
    }
    text(block, "tool_use_id", at)
}

fn text_block(block: &Value, at: &str) -> Checked {
    fields(block, at, &["type", "text"], &["cache_control", "citations"])?;
    demand(!text(block, "text", at)?.trim().is_empty(), || {
        format!("{at}: text content blocks must contain non-whitespace text")
    })
}

/// Checks one assistant message and returns the ids of its calls.
fn assistant<'a>(
    message: &'a Value,
    at: &str,
    scripts: &[Script],
    in_loop: bool,
) -> Checked<Vec<&'a str>> {
    if let Value::String(content) = &message["content"] {
        demand(!content.trim().is_empty(), || empty(at))?;
        said_in_place(scripts, &[Said::Text(content)], OWN, in_loop, at)?;
        return Ok(Vec::new());
    }
    let blocks = list(message, "content", at)?;
    demand(!blocks.is_empty(), || format!("{at}: all messages must have non-empty content"))?;
    let mut said = Vec::new();
    let mut calls = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let at = format!("{at}.content.{index}");
        match text(block, "type", &at)? {
            "text" => {
                text_block(block, &at)?;
                said.push(Said::Text(text(block, "text", &at)?));
            }
            "thinking" => {
                fields(block, &at, &["type", "thinking", "signature"], &[])?;
                let seal = text(block, "signature", &at)?;
                said.push(Said::Thinking { seal, text: text(block, "thinking", &at)? });
            }
            "redacted_thinking" => {
                fields(block, &at, &["type", "data"], &[])?;
                said.push(Said::Thinking { seal: text(block, "data", &at)?, text: "" });
            }
            "tool_use" => {
                fields(block, &at, &["type", "id", "name", "input"], &["cache_control", "caller"])?;
                demand(block["input"].is_object(), || {
                    format!("{at}.input: Input should be a valid dictionary")
                })?;
                let id = text(block, "id", &at)?;
                demand(!calls.contains(&id), || "`tool_use` ids must be unique".into())?;
                calls.push(id);
                said.push(Said::Call(id));
            }
            "future_block" => {
                demand(block["data"] == "a/b+c==", || format!("{at}: a block cannot be modified"))?;
            }
            kind => return Err(Refusal(format!("{at}.type: unexpected `{kind}`"))),
        }
    }
    said_in_place(scripts, &said, OWN, in_loop, at)?;
    Ok(calls)
}

fn results(message: &Value) -> impl Iterator<Item = &Value> {
    let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    blocks.iter().filter(|block| block["type"] == "tool_result")
}

/// Whether an answer, told by its text, was one that asked to be sent back.
fn was_paused(message: &Value, scripts: &[Script]) -> bool {
    let sent = message["content"].to_string();
    scripts.iter().flat_map(|script| &script.turns).any(|turn| {
        turn.stop == Some(Stop::PauseTurn)
            && turn.blocks.iter().all(|block| match block {
                Block::Text(text) => sent.contains(json!(text).to_string().trim_matches('"')),
                _ => true,
            })
    })
}

fn cache_marks(value: &Value) -> usize {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match key.as_str() {
                "cache_control" => 1,
                // The arguments of a call are the model's own and may hold any name.
                "input" | "input_schema" => 0,
                _ => cache_marks(value),
            })
            .sum(),
        Value::Array(items) => items.iter().map(cache_marks).sum(),
        _ => 0,
    }
}

/// How many answers the request already holds.
pub(super) fn answers(body: &Value) -> usize {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    messages.iter().filter(|message| message["role"] == "assistant").count()
}

/// An answer as events.
pub(super) fn render(turn: &Turn, first: Place, body: &Value) -> Events {
    let tokens = turn.tokens;
    let usage = json!({
        "input_tokens": tokens.input - tokens.cached - tokens.cache_write,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": 1,
        "service_tier": "standard",
    });
    let start = json!({"type": "message_start", "message": {
        "id": first.id("msg"), "type": "message", "role": "assistant", "model": body["model"],
        "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage,
    }});
    let mut events = vec![event(&start), event(&json!({"type": "ping"}))];
    for (index, block) in turn.blocks.iter().enumerate() {
        let place = Place { block: index, ..first };
        let (start, deltas): (Value, Vec<Value>) = match block {
            Block::Text(text) => (
                json!({"type": "text", "text": ""}),
                pieces(text).map(|text| json!({"type": "text_delta", "text": text})).collect(),
            ),
            Block::Thinking(text) if text.is_empty() => {
                (json!({"type": "redacted_thinking", "data": place.seal("")}), Vec::new())
            }
            Block::Thinking(text) => (
                json!({"type": "thinking", "thinking": "", "signature": ""}),
                pieces(text)
                    .map(|text| json!({"type": "thinking_delta", "thinking": text}))
                    .chain([json!({"type": "signature_delta", "signature": place.seal(text)})])
                    .collect(),
            ),
            Block::Call { name, arguments } => (
                json!({"type": "tool_use", "id": place.id("toolu"), "name": name, "input": {}}),
                // The first piece is empty, and of an empty object nothing else comes.
                [""].into_iter()
                    .chain(pieces(if arguments == "{}" { "" } else { arguments }))
                    .map(|json| json!({"type": "input_json_delta", "partial_json": json}))
                    .collect(),
            ),
        };
        events.push(event(
            &json!({"type": "content_block_start", "index": index, "content_block": start}),
        ));
        for delta in deltas {
            events.push(event(
                &json!({"type": "content_block_delta", "index": index, "delta": delta}),
            ));
        }
        events.push(event(&json!({"type": "content_block_stop", "index": index})));
    }
    let end = events.len();
    let stop = match turn.stop_reason() {
        Stop::EndTurn => "end_turn",
        Stop::ToolUse => "tool_use",
        Stop::MaxTokens => "max_tokens",
        Stop::Refusal => "refusal",
        Stop::PauseTurn => "pause_turn",
    };
    events.push(event(&json!({
        "type": "message_delta",
        "delta": {"stop_reason": stop, "stop_sequence": null},
        "usage": {"output_tokens": tokens.output},
    })));
    events.push(event(&json!({"type": "message_stop"})));
    Events { events, end }
}

/// One event, named by its type.
pub(super) fn event(data: &Value) -> Event {
    Event::named(data["type"].as_str().unwrap_or_default(), data)
}

/// Events that no client knows, to be mixed in.
pub(super) fn unknown() -> Vec<Event> {
    vec![event(&json!({"type": "future_event", "index": 0, "anything": [1, {"deep": null}]}))]
}

/// A delta of a kind that no client knows, for the first block.
pub(super) fn unknown_delta() -> Event {
    let delta = json!({"type": "future_delta", "x": 1});
    event(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
}

/// A whole block of a kind that no client knows; it has to come back as it is.
pub(super) fn unknown_block(index: usize) -> Vec<Event> {
    let block = json!({"type": "future_block", "data": "a/b+c=="});
    vec![
        event(&json!({"type": "content_block_start", "index": index, "content_block": block})),
        event(&json!({"type": "content_block_stop", "index": index})),
    ]
}

/// The body of an error.
pub(super) fn error(status: u16, message: &str) -> Value {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_test"})
}
