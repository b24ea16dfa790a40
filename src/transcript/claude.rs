//! Claude Code: `user` and `assistant` lines, each with a `message` as the Anthropic API has it.
//!
//! Invariant: what a subagent said beside (`isSidechain`) and what the tool itself put in
//! (`isMeta`) are nobody's words.

use serde_json::Value;

use super::{Entry, call, texts};

/// Whether this is a line of Claude Code.
pub(super) fn is_line(line: &Value) -> bool {
    let kind = line["type"].as_str();
    let role = line["message"]["role"].as_str();
    matches!(kind, Some("user" | "assistant"))
        && kind == role
        && (line.get("sessionId").is_some() || line.get("parentUuid").is_some())
}

pub(super) fn take(line: &Value, entries: &mut Vec<Entry>) {
    let is_set = |key: &str| line[key].as_bool().unwrap_or(false);
    if !is_line(line) || is_set("isSidechain") || is_set("isMeta") {
        return;
    }
    let words = match line["type"].as_str() {
        Some("user") => Entry::Person,
        _ => Entry::Agent,
    };
    let content = &line["message"]["content"];
    if let Some(text) = content.as_str() {
        entries.push(words(text.to_owned()));
        return;
    }
    for part in content.as_array().map(Vec::as_slice).unwrap_or_default() {
        match part["type"].as_str() {
            Some("text") => {
                entries.push(words(part["text"].as_str().unwrap_or_default().to_owned()));
            }
            Some("tool_use") => entries.push(call(&part["name"], &part["input"])),
            Some("tool_result") => entries.push(Entry::Result(texts(&part["content"]))),
            _ => {}
        }
    }
}
