//! OpenAI Chat Completions: `POST /v1/chat/completions`, and the servers that copy it.
//!
//! Invariant: refuses what the real one refuses, in its words.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::check::{Checked, Place, Refusal, demand, fields, list, text};
use super::script::{Block, Odd, Script, Stop, Turn};
use super::stream::{Event, Events, pieces};

const KNOWN: [&str; 32] = [
    "audio",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "metadata",
    "modalities",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
    "function_call",
    "functions",
];

/// Refuses a request that the real server would refuse.
pub(super) fn check(body: &Value) -> Checked {
    super::check::top(body, &["model", "messages", "stream"], &KNOWN)?;
    if body.get("tools").is_some() {
        let mut names = HashSet::new();
        let tools = list(body, "tools", "body")?;
        demand(!tools.is_empty(), || "[] is too short - 'tools'".into())?;
        for (index, tool) in tools.iter().enumerate() {
            let at = format!("tools[{index}]");
            fields(tool, &at, &["type", "function"], &[])?;
            demand(tool["type"] == "function", || format!("{at}.type: must be function"))?;
            let function = &tool["function"];
            let known = ["description", "parameters", "strict"];
            fields(function, &at, &["name"], &known)?;
            let parameters = &function["parameters"];
            super::check::tool(text(function, "name", &at)?, parameters, &at, &mut names)?;
            super::responses::strict(function, parameters, &at)?;
        }
    }
    let messages = list(body, "messages", "body")?;
    demand(!messages.is_empty(), || "[] is too short - 'messages'".into())?;
    let mut open: Vec<&str> = Vec::new();
    let mut previous = "";
    for (index, message) in messages.iter().enumerate() {
        let at = format!("messages[{index}]");
        let role = text(message, "role", &at)?;
        demand(role == "tool" || open.is_empty(), || unanswered(&open))?;
        match role {
            "system" | "developer" | "user" => {
                fields(message, &at, &["role", "content"], &["name"])?;
                content(message, &at)?;
            }
            "assistant" => {
                demand(previous != "assistant", || {
                    format!("{at}: two assistant messages in a row")
                })?;
                open = assistant(message, &at)?;
            }
            "tool" => {
                fields(message, &at, &["role", "tool_call_id", "content"], &["name"])?;
                content(message, &at)?;
                let id = text(message, "tool_call_id", &at)?;
                let place = open.iter().position(|call| *call == id).ok_or_else(|| {
                    Refusal(format!(
                        "Invalid parameter: messages with role 'tool' must be a response to a \
                         preceeding message with 'tool_calls'. ({id})"
                    ))
                })?;
                open.remove(place);
            }
            _ => return Err(Refusal(format!("Invalid value: '{role}' at {at}.role."))),
        }
        previous = role;
    }
    demand(open.is_empty(), || unanswered(&open))?;
    demand(previous != "assistant", || "messages: end with an assistant message".into())
}

fn unanswered(open: &[&str]) -> String {
    format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to \
         each 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
        open.join(", ")
    )
}

fn content(message: &Value, at: &str) -> Checked {
    if message["content"].is_string() {
        return Ok(());
    }
    for part in list(message, "content", at)? {
        let kind = text(part, "type", at)?;
        demand(kind != "text" || part["text"].is_string(), || format!("{at}.content.text"))?;
    }
    Ok(())
}

/// Checks one assistant message and returns the ids of its calls.
fn assistant<'a>(message: &'a Value, at: &str) -> Checked<Vec<&'a str>> {
    let known = ["content", "tool_calls", "name", "refusal", "reasoning_content", "reasoning"];
    fields(message, at, &["role"], &known)?;
    let has_calls = message.get("tool_calls").is_some();
    let silent = message["content"].is_null() && message["refusal"].is_null();
    demand(has_calls || !silent, || {
        format!("Invalid value for 'content' at {at}: expected a string, got null.")
    })?;
    if !message["content"].is_null() {
        content(message, at)?;
    }
    let mut ids = Vec::new();
    if has_calls {
        let calls = list(message, "tool_calls", at)?;
        demand(!calls.is_empty(), || format!("[] is too short - '{at}.tool_calls'"))?;
        for call in calls {
            fields(call, at, &["id", "type", "function"], &["index"])?;
            demand(call["type"] == "function", || format!("{at}.tool_calls: type"))?;
            fields(&call["function"], at, &["name", "arguments"], &[])?;
            text(&call["function"], "arguments", at)?;
            let id = text(call, "id", at)?;
            demand(!id.is_empty() && !ids.contains(&id), || {
                format!("{at}.tool_calls: ids must be unique and not empty")
            })?;
            ids.push(id);
        }
    }
    Ok(ids)
}

/// How many answers the request already holds.
pub(super) fn answers(body: &Value) -> usize {
    super::anthropic::answers(body)
}

/// An answer as events.
pub(super) fn render(turn: &Turn, first: Place, body: &Value, script: &Script) -> Events {
    let chunk = |choices: Value| {
        json!({"id": first.id("chatcmpl"), "object": "chat.completion.chunk",
            "created": 1_700_000_000, "model": body["model"], "choices": choices})
    };
    let data = |value: &Value| Event::data(&value.to_string());
    let delta =
        |delta: Value| data(&chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}])));
    let mut events = vec![delta(json!({"role": "assistant", "content": ""}))];
    let thought = if script.is_odd(Odd::ReasoningName) { "reasoning" } else { "reasoning_content" };
    let mut calls = 0;
    for (index, block) in turn.blocks.iter().enumerate() {
        match block {
            Block::Text(text) => {
                events.extend(pieces(text).map(|text| delta(json!({ "content": text }))));
            }
            Block::Thinking(text) => {
                events.extend(pieces(text).map(|text| delta(json!({ thought: text }))));
            }
            Block::Call { name, arguments } => {
                let whole = script.is_odd(Odd::WholeCalls);
                let mut start = json!({"index": calls, "type": "function",
                    "id": Place { block: index, ..first }.id("call"),
                    "function": {"name": name, "arguments": if whole { arguments } else { "" }}});
                if script.is_odd(Odd::NoIds) {
                    start.as_object_mut().map(|start| start.remove("id"));
                }
                events.push(delta(json!({ "tool_calls": [start] })));
                if !whole {
                    events.extend(pieces(arguments).map(|piece| {
                        delta(json!({"tool_calls":
                            [{"index": calls, "function": {"arguments": piece}}]}))
                    }));
                }
                calls += 1;
            }
        }
    }
    let end = events.len();
    let finish = match turn.stop_reason() {
        Stop::ToolUse if script.is_odd(Odd::StopWithCalls) => "stop",
        Stop::ToolUse => "tool_calls",
        Stop::EndTurn | Stop::PauseTurn => "stop",
        Stop::MaxTokens => "length",
        Stop::Refusal => "content_filter",
    };
    events.push(data(&chunk(json!([{"index": 0, "delta": {}, "finish_reason": finish}]))));
    if body["stream_options"]["include_usage"] == true && !script.is_odd(Odd::NoUsage) {
        let tokens = turn.tokens;
        let mut last = chunk(json!([]));
        last["usage"] = json!({
            "prompt_tokens": tokens.input, "completion_tokens": tokens.output,
            "total_tokens": tokens.input + tokens.output,
            "prompt_tokens_details": {"cached_tokens": tokens.cached},
        });
        events.push(data(&last));
    }
    events.push(Event::data("[DONE]"));
    Events { events, end }
}

/// Events that no client knows, to be mixed in.
pub(super) fn unknown() -> Vec<Event> {
    vec![
        Event::data(r#"{"object":"chat.future.chunk","choices":[],"anything":[1,{"deep":null}]}"#),
        Event::data(
            r#"{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"future":{"x":1}},"finish_reason":null}],"extra":true}"#,
        ),
    ]
}

/// An error in mid-stream.
pub(super) fn error_event() -> Event {
    Event::data(
        r#"{"error":{"message":"The server is overloaded.","type":"server_error","param":null,"code":"overloaded"}}"#,
    )
}

/// The body of an error; Responses has the same.
pub(super) fn error(status: u16, message: &str) -> Value {
    let (kind, code) = match status {
        401 => ("invalid_request_error", json!("invalid_api_key")),
        429 => ("rate_limit_error", json!("rate_limit_exceeded")),
        500.. => ("server_error", Value::Null),
        _ if message.starts_with("Your input exceeds") => {
            ("invalid_request_error", json!("context_length_exceeded"))
        }
        _ => ("invalid_request_error", Value::Null),
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}
