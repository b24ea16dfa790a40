//! Codex: `response_item` lines, whose payload is an item of the Responses API; before the autumn
//! of 2025 the items themselves.
//!
//! Invariant: `event_msg` lines say the same once more and are passed over; what the tool puts
//! before a person's words is nobody's, whether it says so (`provenance`, since 2026) or not; what it
//! made of a conversation that grew too long is the agent's.

use serde_json::Value;

use super::{Entry, call, text_of, texts};

/// What the tool says in a person's place begins like this.
const PUT_IN: [&str; 9] = [
    "<environment_context>",
    "<user_instructions>",
    "<permissions instructions>",
    "<INSTRUCTIONS>",
    "# AGENTS.md instructions",
    "<turn_aborted>",
    "<skill>",
    "<subagent_notification>",
    "<user_shell_command>",
];
/// Before the output of a command stands what it took, up to this line.
const OUTPUT: &str = "\nOutput:\n";

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
        Some("compacted") => {
            entries.push(Entry::Agent(texts(&line["payload"]["message"])));
            return;
        }
        _ if line.get("payload").is_some() => return,
        _ => line,
    };
    match item["type"].as_str() {
        Some("message") => match item["role"].as_str() {
            Some("user") => entries.push(Entry::Person(typed(item))),
            Some("assistant") => entries.push(Entry::Agent(texts(&item["content"]))),
            _ => {}
        },
        Some("function_call") => entries.push(call(&item["name"], &item["arguments"])),
        Some("custom_tool_call") => entries.push(call(&item["name"], &item["input"])),
        Some("local_shell_call") => entries.push(call(&"shell".into(), &item["action"])),
        Some("function_call_output" | "custom_tool_call_output") => {
            entries.push(Entry::Result(output(&item["output"])));
        }
        _ => {}
    }
}

/// What a person has typed, without what the tool has put in; an image is named.
fn typed(item: &Value) -> String {
    let kinds = &item["internal_chat_message_metadata_passthrough"]["content_item_metadata"];
    let parts = item["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let typed = parts.iter().enumerate().filter_map(|(at, part)| {
        let text = text_of(part)?;
        let start = text.trim_start();
        let is_harness = kinds[at]["provenance"]["type"] == "harness";
        let is_put_in = PUT_IN.iter().any(|it| start.starts_with(it));
        // The marks around an image, which is told of itself.
        let is_mark = start.starts_with("<image name=") || start == "</image>";
        (!is_harness && !is_put_in && !is_mark).then_some(text)
    });
    typed.collect::<Vec<_>>().join("\n")
}

/// A text, a list of parts, or JSON in a text with the text in it; without what stands before the
/// output of a command.
fn output(output: &Value) -> String {
    let inner = output.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let text = match inner.as_ref().and_then(|inner| inner["output"].as_str()) {
        Some(text) => text.to_owned(),
        None => texts(output.get("content").unwrap_or(output)),
    };
    let is_headed = ["Chunk ID:", "Exit code:", "Wall time:"].iter().any(|it| text.starts_with(it));
    match text.split_once(OUTPUT) {
        Some((_, printed)) if is_headed => printed.to_owned(),
        _ => text,
    }
}
