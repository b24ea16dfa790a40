//! Claude Code: `user` and `assistant` lines, each with a `message` as the Anthropic API has it.
//!
//! Invariant: what a subagent said beside (`isSidechain`) and what the tool itself put in
//! (`isMeta`, the model `<synthetic>`, what a local command printed) are nobody's words; what it made
//! of a conversation that grew too long is the agent's.

use serde_json::Value;

use super::{Entry, call, text_of, texts};

/// What the tool says in a person's place begins like this.
const PUT_IN: [&str; 7] = [
    "<local-command-caveat>",
    "<local-command-stdout>",
    "<local-command-stderr>",
    "<bash-stdout>",
    "<system-reminder>",
    "<task-notification>",
    "[Request interrupted",
];

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
    let is_put_in = line["message"]["model"] == "<synthetic>" || is_set("isMeta");
    if !is_line(line) || is_set("isSidechain") || is_put_in {
        return;
    }
    let is_person = line["type"] == "user" && !is_set("isCompactSummary");
    let words = |text: &str| match is_person {
        true => typed(text).map(Entry::Person),
        false => Some(Entry::Agent(text.to_owned())),
    };
    let content = &line["message"]["content"];
    if let Some(text) = content.as_str() {
        entries.extend(words(text));
        return;
    }
    for part in content.as_array().map(Vec::as_slice).unwrap_or_default() {
        match part["type"].as_str() {
            Some("tool_use") => entries.push(call(&part["name"], &part["input"])),
            Some("tool_result") => entries.push(Entry::Result(texts(&part["content"]))),
            Some("text" | "image" | "document") => {
                entries.extend(text_of(part).as_deref().and_then(words));
            }
            _ => {}
        }
    }
}

/// What a person has typed; none where the tool has written in their place. A command is told as
/// they typed it, `/review 12`.
fn typed(text: &str) -> Option<String> {
    let start = text.trim_start();
    if PUT_IN.iter().any(|it| start.starts_with(it)) {
        return None;
    }
    let inside = |tag: &str| {
        let (_, rest) = start.split_once(&format!("<{tag}>"))?;
        Some(rest.split_once(&format!("</{tag}>"))?.0.trim())
    };
    let command = inside("command-name").filter(|_| start.starts_with("<command-"));
    let Some(command) = command else { return Some(text.to_owned()) };
    let arguments = inside("command-args").unwrap_or_default();
    Some(format!("{command} {arguments}").trim_end().to_owned())
}
