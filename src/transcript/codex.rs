//! Codex: `response_item` lines, whose payload is an item of the Responses API; before the autumn
//! of 2025 the items themselves.
//!
//! Invariant: `event_msg` lines say the same once more and are passed over; what the tool puts
//! before a person's first words is nobody's.

use serde_json::Value;

use super::{Entry, call, texts};

/// What the tool says in a person's place begins like this.
const PUT_IN: [&str; 5] = [
    "<environment_context>",
    "<user_instructions>",
    "<permissions instructions>",
    "<INSTRUCTIONS>",
    "# AGENTS.md instructions",
];

/// Whether this is a line of Codex.
pub(super) fn is_line(line: &Value) -> bool {
    match line["type"].as_str() {
        Some("session_meta" | "response_item" | "turn_context" | "event_msg") => {
            line["payload"].is_object()
        }
        Some("message") => line["role"].is_string() && line["content"].is_array(),
        _ => false,
    }
}

pub(super) fn take(line: &Value, entries: &mut Vec<Entry>) {
    let item = match line["type"].as_str() {
        Some("response_item") => &line["payload"],
        _ if line.get("payload").is_some() => return,
        _ => line,
    };
    match item["type"].as_str() {
        Some("message") => {
            let text = texts(&item["content"]);
            match item["role"].as_str() {
                Some("user") if !PUT_IN.iter().any(|it| text.trim_start().starts_with(it)) => {
                    entries.push(Entry::Person(text));
                }
                Some("assistant") => entries.push(Entry::Agent(text)),
                _ => {}
            }
        }
        Some("function_call") => entries.push(call(&item["name"], &item["arguments"])),
        Some("custom_tool_call") => entries.push(call(&item["name"], &item["input"])),
        Some("local_shell_call") => entries.push(call(&"shell".into(), &item["action"])),
        Some("function_call_output" | "custom_tool_call_output") => {
            entries.push(Entry::Result(output(&item["output"])));
        }
        _ => {}
    }
}

/// A text, a list of parts, or JSON in a text with the text in it.
fn output(output: &Value) -> String {
    let inner = output.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    match inner.as_ref().and_then(|inner| inner["output"].as_str()) {
        Some(text) => text.to_owned(),
        None => texts(output.get("content").unwrap_or(output)),
    }
}
