//! OpenAI Responses: `POST /v1/responses`, stateless.
//!
//! Invariant: refuses what the real one refuses, in its words; and whatever would make the
//! server keep state for us.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::check::{Checked, Place, Refusal, Said, demand, fields, list, said_in_place, text};
use super::script::{Block, Script, Stop, Turn};
use super::stream::{Event, Events, pieces};

/// What the ids of its calls begin with.
const OWN: &str = "call_";
const KNOWN: [&str; 24] = [
    "background",
    "context_management",
    "conversation",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// Refuses a request that the real server would refuse.
pub(super) fn check(body: &Value, scripts: &[Script]) -> Checked {
    super::check::top(body, &["model", "input", "stream", "store", "include"], &KNOWN)?;
    demand(body["store"] == false, || "store: must be false, nothing is kept for us".into())?;
    let include = list(body, "include", "body")?;
    demand(include.contains(&json!("reasoning.encrypted_content")), || {
        "include: reasoning.encrypted_content is missing".into()
    })?;
    tools(body)?;
    let input = list(body, "input", "body")?;
    demand(!input.is_empty(), || "input: must not be empty".into())?;
    let last_word = input.iter().rposition(|item| item["role"] == "user");
    let mut calls = HashSet::new();
    let mut answered = HashSet::new();
    for (index, item) in input.iter().enumerate() {
        match item["type"].as_str() {
            Some("function_call") => {
                let id = text(item, "call_id", &format!("input[{index}]"))?;
                demand(calls.insert(id), || format!("Duplicate function call with call_id {id}."))?;
            }
            Some("function_call_output") => {
                let id = text(item, "call_id", &format!("input[{index}]"))?;
                demand(calls.contains(id), || {
                    format!("No tool call found for function call output with call_id {id}.")
                })?;
                demand(answered.insert(id), || format!("Duplicate output for call_id {id}."))?;
            }
            _ => {}
        }
    }
    if let Some(id) = calls.difference(&answered).min() {
        return Err(Refusal(format!("No tool output found for function call {id}.")));
    }
    let mut from = 0;
    for (index, item) in input.iter().enumerate() {
        let at = format!("input[{index}]");
        self::item(item, &at)?;
        if item["type"] == "reasoning" {
            let follows = input.get(index + 1).is_some_and(is_ours);
            let id = &item["id"];
            demand(follows, || {
                format!(
                    "Item {id} of type 'reasoning' was provided without its required following \
                     item."
                )
            })?;
        }
        if !is_ours(item) {
            from = index + 1;
        } else if input.get(index + 1).is_none_or(|next| !is_ours(next)) {
            let in_loop = last_word.is_none_or(|last_word| from > last_word);
            let said: Vec<Said> = input[from..=index].iter().filter_map(said).collect();
            said_in_place(scripts, &said, OWN, in_loop, &format!("input[{from}]"))?;
        }
    }
    demand(!is_ours(&input[input.len() - 1]), || {
        "input: ends with an item that the model said".into()
    })
}

fn tools(body: &Value) -> Checked {
    if body.get("tools").is_none() {
        return Ok(());
    }
    let mut names = HashSet::new();
    for (index, tool) in list(body, "tools", "body")?.iter().enumerate() {
        let at = format!("tools[{index}]");
        fields(tool, &at, &["type", "name", "parameters"], &["description", "strict"])?;
        demand(tool["type"] == "function", || format!("{at}.type: must be function"))?;
        let parameters = &tool["parameters"];
        super::check::tool(text(tool, "name", &at)?, parameters, &at, &mut names)?;
        strict(tool, parameters, &at)?;
    }
    Ok(())
}

/// What `strict` asks of a schema: no other properties, and all of them required.
pub(super) fn strict(function: &Value, schema: &Value, at: &str) -> Checked {
    if function["strict"] != true {
        return Ok(());
    }
    let count = |value: &Value| value.as_array().map_or(0, Vec::len);
    let properties = schema["properties"].as_object().map_or(0, serde_json::Map::len);
    let holds = schema["additionalProperties"] == false && count(&schema["required"]) == properties;
    demand(holds, || {
        format!(
            "Invalid schema for function at {at}: 'additionalProperties' is required to be \
             supplied and to be false, and 'required' to name every property."
        )
    })
}

/// Whether the model said it, so that the server sent it to the client.
fn is_ours(item: &Value) -> bool {
    matches!(item["type"].as_str(), Some("function_call" | "reasoning"))
        || item["role"] == "assistant"
}

fn item(item: &Value, at: &str) -> Checked {
    match item["type"].as_str() {
        Some("function_call") => {
            fields(item, at, &["type", "call_id", "name", "arguments"], &["id", "status"])?;
            text(item, "name", at)?;
            text(item, "arguments", at)?;
        }
        Some("function_call_output") => {
            fields(item, at, &["type", "call_id", "output"], &["id", "status"])?;
            let output = &item["output"];
            demand(output.is_string() || output.is_array(), || {
                format!("Invalid type for '{at}.output': expected a string or an array.")
            })?;
        }
        Some("reasoning") => {
            let known = ["status", "content"];
            fields(item, at, &["type", "id", "summary", "encrypted_content"], &known)?;
            list(item, "summary", at)?;
            demand(item["encrypted_content"].is_string(), || {
                format!(
                    "Item with id {} not found. Items are not persisted when `store` is set to \
                     false.",
                    item["id"]
                )
            })?;
        }
        None | Some("message") => message(item, at)?,
        Some("future_item") => {}
        Some(kind) => return Err(Refusal(format!("Invalid value for '{at}.type': '{kind}'."))),
    }
    Ok(())
}

fn message(item: &Value, at: &str) -> Checked {
    fields(item, at, &["role", "content"], &["type", "id", "status", "phase"])?;
    let role = text(item, "role", at)?;
    let (kinds, wanted): (&[&str], _) = match role {
        "user" | "system" | "developer" => (&["input_text", "input_image", "input_file"], "input"),
        "assistant" => (&["output_text", "refusal"], "output"),
        _ => return Err(Refusal(format!("Invalid value for '{at}.role': '{role}'."))),
    };
    if item["content"].is_string() {
        return Ok(());
    }
    for part in list(item, "content", at)? {
        let kind = part["type"].as_str().unwrap_or_default();
        demand(kinds.contains(&kind), || {
            format!("Invalid value: '{kind}' in {at}: a {role} message holds {wanted} parts.")
        })?;
        demand(part["text"].is_string() || !kind.ends_with("_text"), || {
            format!("Missing required parameter: '{at}.content.text'.")
        })?;
    }
    Ok(())
}

fn said(item: &Value) -> Option<Said<'_>> {
    match item["type"].as_str() {
        Some("function_call") => item["call_id"].as_str().map(Said::Call),
        Some("reasoning") => Some(Said::Thinking {
            seal: item["encrypted_content"].as_str()?,
            text: item["summary"][0]["text"].as_str().unwrap_or_default(),
        }),
        _ => item["content"][0]["text"].as_str().or(item["content"].as_str()).map(Said::Text),
    }
}

/// How many answers the request already holds: runs of items that the model said.
pub(super) fn answers(body: &Value) -> usize {
    let input = body["input"].as_array().map(Vec::as_slice).unwrap_or_default();
    let starts = |index: usize| index == 0 || !is_ours(&input[index - 1]);
    (0..input.len()).filter(|index| is_ours(&input[*index]) && starts(*index)).count()
}

/// An answer as events.
pub(super) fn render(turn: &Turn, first: Place, body: &Value) -> Events {
    let mut stream = Stream::default();
    let response = |status: &str, output: &[Value], usage: Value, incomplete: Value| {
        json!({
            "id": first.id("resp"), "object": "response", "created_at": 1_700_000_000,
            "status": status, "model": body["model"], "output": output, "usage": usage,
            "incomplete_details": incomplete, "error": null, "store": false,
        })
    };
    let begun = response("in_progress", &[], Value::Null, Value::Null);
    stream.push("response.created", json!({ "response": begun }));
    stream.push("response.in_progress", json!({ "response": begun }));
    let mut output = Vec::new();
    for (index, block) in turn.blocks.iter().enumerate() {
        let place = Place { block: index, ..first };
        output.push(match block {
            Block::Text(text) => stream.message(place, text),
            Block::Thinking(text) => stream.reasoning(place, text),
            Block::Call { name, arguments } => stream.call(place, name, arguments),
        });
    }
    let end = stream.events.len();
    let tokens = turn.tokens;
    let usage = json!({
        "input_tokens": tokens.input,
        "input_tokens_details":
            {"cached_tokens": tokens.cached, "cache_write_tokens": tokens.cache_write},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens.input + tokens.output,
    });
    let reason = match turn.stop_reason() {
        Stop::MaxTokens => Some("max_output_tokens"),
        Stop::Refusal => Some("content_filter"),
        Stop::EndTurn | Stop::ToolUse | Stop::PauseTurn => None,
    };
    let (name, status, incomplete) = match reason {
        Some(reason) => ("response.incomplete", "incomplete", json!({ "reason": reason })),
        None => ("response.completed", "completed", Value::Null),
    };
    let response = response(status, &output, usage, incomplete);
    stream.push(name, json!({ "response": response }));
    Events { events: stream.events, end }
}

#[derive(Default)]
struct Stream {
    events: Vec<Event>,
}

impl Stream {
    fn push(&mut self, name: &str, mut data: Value) {
        data["type"] = json!(name);
        data["sequence_number"] = json!(self.events.len());
        self.events.push(Event::named(name, &data));
    }

    fn message(&mut self, place: Place, text: &str) -> Value {
        let id = place.id("msg");
        let mut item = json!({"type": "message", "id": id, "status": "in_progress",
            "role": "assistant", "content": []});
        let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
        let at = |mut data: Value| {
            data["item_id"] = json!(id);
            data["output_index"] = json!(place.block);
            data["content_index"] = json!(0);
            data
        };
        self.push("response.output_item.added", json!({"output_index": place.block, "item": item}));
        self.push("response.content_part.added", at(json!({ "part": part("") })));
        for piece in pieces(text) {
            self.push("response.output_text.delta", at(json!({ "delta": piece })));
        }
        self.push("response.output_text.done", at(json!({ "text": text })));
        self.push("response.content_part.done", at(json!({ "part": part(text) })));
        item["content"] = json!([part(text)]);
        self.done(place, item)
    }

    fn reasoning(&mut self, place: Place, text: &str) -> Value {
        let id = place.id("rs");
        let mut item = json!({"type": "reasoning", "id": id, "summary": []});
        self.push("response.output_item.added", json!({"output_index": place.block, "item": item}));
        for piece in pieces(text) {
            self.push(
                "response.reasoning_summary_text.delta",
                json!({"item_id": id, "output_index": place.block, "summary_index": 0,
                    "delta": piece}),
            );
        }
        if !text.is_empty() {
            item["summary"] = json!([{"type": "summary_text", "text": text}]);
        }
        item["encrypted_content"] = json!(place.seal(text));
        self.done(place, item)
    }

    fn call(&mut self, place: Place, name: &str, arguments: &str) -> Value {
        let id = place.id("fc");
        let mut item = json!({"type": "function_call", "id": id, "call_id": place.id("call"),
            "status": "in_progress", "name": name, "arguments": ""});
        let at = |mut data: Value| {
            data["item_id"] = json!(id);
            data["output_index"] = json!(place.block);
            data
        };
        self.push("response.output_item.added", json!({"output_index": place.block, "item": item}));
        for piece in pieces(arguments) {
            self.push("response.function_call_arguments.delta", at(json!({ "delta": piece })));
        }
        self.push("response.function_call_arguments.done", at(json!({ "arguments": arguments })));
        item["arguments"] = json!(arguments);
        self.done(place, item)
    }

    fn done(&mut self, place: Place, mut item: Value) -> Value {
        if item.get("status").is_some() {
            item["status"] = json!("completed");
        }
        self.push("response.output_item.done", json!({"output_index": place.block, "item": item}));
        item
    }
}

/// Events that no client knows, to be mixed in.
pub(super) fn unknown() -> Vec<Event> {
    vec![Event::named(
        "response.future.delta",
        &json!({"type": "response.future.delta", "delta": {"deep": [null]}}),
    )]
}

/// An error in mid-stream.
pub(super) fn error_event() -> Event {
    Event::named(
        "error",
        &json!({"type": "error", "sequence_number": 9, "code": "server_error",
            "message": "The server is overloaded.", "param": null}),
    )
}
