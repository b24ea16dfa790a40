//! GitHub Copilot CLI: events, each with its `data`.
//!
//! Invariant: a call is told once, where it begins to run; what a subagent does beside, by the call
//! that it is in (`parentToolCallId`), is nobody's words.

use serde_json::Value;

use super::{Entry, call, texts};

/// Whether this is a line of Copilot CLI.
pub(super) fn is_line(line: &Value) -> bool {
    let known = ["session.start", "user.message", "assistant.message", "tool.execution_start"];
    line["type"].as_str().is_some_and(|kind| known.contains(&kind)) && line["data"].is_object()
}

pub(super) fn take(line: &Value, entries: &mut Vec<Entry>) {
    let data = &line["data"];
    if data["parentToolCallId"].is_string() {
        return;
    }
    entries.push(match line["type"].as_str() {
        Some("user.message") => Entry::Person(texts(&data["content"])),
        Some("assistant.message") => Entry::Agent(texts(&data["content"])),
        Some("tool.execution_start") => call(&data["toolName"], &data["arguments"]),
        Some("tool.execution_complete") => {
            let (result, error) = (&data["result"], &data["error"]["message"]);
            let said = result.get("content").unwrap_or(result);
            Entry::Result(texts(if said.is_null() { error } else { said }))
        }
        // What it made of a conversation that grew too long.
        Some("session.compaction_complete") => Entry::Agent(texts(&data["summaryContent"])),
        _ => return,
    });
}
