//! What was said, as the conventions have it: messages of parts, as JSON in one attribute.
//!
//! Invariant: it is made only where a person has set that, and what is known as a secret by now is
//! taken out of it once more.

use serde_json::{Value, json};

use crate::event::UserMessage;
use crate::message::{Answer, StopReason, ToolCall, ToolResult};
use crate::redact;

/// A message that the model reads.
pub(super) fn of_user(message: &UserMessage) -> Value {
    json!({"role": "user", "parts": [{"type": "text", "content": message.text}]})
}

/// What a call gave.
pub(super) fn of_result(result: &ToolResult) -> Value {
    let part = json!({
        "type": "tool_call_response", "id": result.call_id, "response": result.output
    });
    json!({"role": "tool", "parts": [part]})
}

/// What the model said.
pub(super) fn of_answer(answer: &Answer) -> Value {
    let mut parts = Vec::new();
    if !answer.thought.is_empty() {
        parts.push(json!({"type": "reasoning", "content": answer.thought}));
    }
    if !answer.text.is_empty() {
        parts.push(json!({"type": "text", "content": answer.text}));
    }
    parts.extend(answer.calls.iter().map(|call| {
        let ToolCall { id, name, arguments } = call;
        // What is no JSON is told as the text that it is.
        let arguments: Value =
            serde_json::from_str(arguments).unwrap_or_else(|_| arguments.clone().into());
        json!({"type": "tool_call", "id": id, "name": name, "arguments": arguments})
    }));
    json!({"role": "assistant", "parts": parts, "finish_reason": finish_reason(answer.stop)})
}

/// These messages as one attribute.
pub(super) fn messages(messages: &[Value]) -> String {
    redact::json(&Value::from(messages).to_string()).into_owned()
}

/// Why a model stopped, in the words of the conventions.
pub(super) fn finish_reason(stop: StopReason) -> &'static str {
    match stop {
        StopReason::EndTurn => "stop",
        StopReason::ToolUse => "tool_call",
        StopReason::MaxTokens => "length",
        StopReason::Refusal => "content_filter",
        StopReason::PauseTurn => "pause",
    }
}
