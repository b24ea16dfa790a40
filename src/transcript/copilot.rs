//! GitHub Copilot CLI: events, each with its `data`.
//!
//! Invariant: a call is told once, where it begins to run.

use serde_json::Value;

use super::{Entry, call, texts};

/// Whether this is a line of Copilot CLI.
pub(super) fn is_line(line: &Value) -> bool {
    let known = ["session.start", "user.message", "assistant.message", "tool.execution_start"];
    line["type"].as_str().is_some_and(|kind| known.contains(&kind)) && line["data"].is_object()
}

pub(super) fn take(line: &Value, entries: &mut Vec<Entry>) {
    let data = &line["data"];
    entries.push(match line["type"].as_str() {
        Some("user.message") => Entry::Person(texts(&data["content"])),
        Some("assistant.message") => Entry::Agent(texts(&data["content"])),
        Some("tool.execution_start") => call(&data["toolName"], &data["arguments"]),
        Some("tool.execution_complete") => {
            let result = &data["result"];
            Entry::Result(texts(result.get("content").unwrap_or(result)))
        }
        _ => return,
    });
}
