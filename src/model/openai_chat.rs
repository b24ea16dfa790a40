//! `OpenAI`'s Chat Completions, as `OpenAI` and everybody else speaks it.
//!
//! Invariant: nothing is demanded that a compatible server may leave out (ids, indices, usage,
//! `[DONE]`), but an answer has an end, said by a finish reason or by `[DONE]`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::dialect::{
    Brief, Decoder, Dialect, History, STALLED, Side, Silence, is_object, keep, own_content,
    sendable, settle, up_to_list,
};
use super::retry::Failure;
use super::wire_error::WireError;
use crate::event::Delta;
use crate::message::{Answer, Message, StopReason, ToolCall, Usage};

const NAME: &str = "chat";
/// What ends a user message, whose content is its last field.
const CLOSING: &str = "\"}";

/// Chat Completions.
pub(super) struct Chat;

impl Dialect for Chat {
    fn path(&self) -> &'static str {
        "/chat/completions"
    }

    fn head(&self, brief: &Brief<'_>) -> String {
        let tools = brief.tools(|tool| {
            json!({
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            })
        });
        let mut head = json!({
            "model": brief.model,
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        if let Some(limit) = brief.max_output {
            head["max_tokens"] = limit.into();
        }
        if let Some(effort) = brief.effort {
            head["reasoning_effort"] = effort.into();
        }
        if !tools.is_empty() {
            head["tools"] = tools.into();
        }
        let mut head = up_to_list(&head, "messages");
        if !brief.system.trim().is_empty() {
            head.push_str(&json!({"role": "system", "content": brief.system}).to_string());
        }
        head
    }

    fn push(&self, history: &mut History, model: &str, message: &Message) {
        match message {
            // Some models' templates demand that user and assistant take turns.
            Message::User(text) if history.last() == Some(Side::User) => {
                let text = Value::from(format!("\n\n{text}")).to_string();
                history.join(CLOSING, &format!("{}}}", &text[1..]));
            }
            Message::User(text) => {
                let message = json!({"role": "user", "content": text});
                history.entry(Some(Side::User), &message.to_string());
            }
            Message::Results(results) => {
                for result in results {
                    let message = json!({
                        "role": "tool",
                        "tool_call_id": result.call_id,
                        "content": result.output,
                    });
                    history.entry(None, &message.to_string());
                }
            }
            Message::Assistant(answer) => {
                let message = match own_content(answer, NAME, model) {
                    Some(content) => content.to_owned(),
                    None => assistant(&answer.text, &answer.calls, Map::new(), &[]),
                };
                if !message.is_empty() && message != "null" {
                    history.entry(None, &message);
                }
            }
        }
    }

    fn silence(&self) -> Silence {
        // A local server reads the whole prompt before its first word, and a router may wait for
        // a model that reasons in silence.
        Silence { first: Duration::from_secs(600), within: STALLED }
    }

    fn decoder(&self, model: &str, calls: usize) -> Box<dyn Decoder> {
        Box::new(Stream { model: model.to_owned(), calls_before: calls, ..Stream::default() })
    }
}

/// The assistant's message; `null` where there is nothing in it, which servers refuse.
fn assistant(
    text: &str,
    calls: &[ToolCall],
    reasoning: Map<String, Value>,
    extras: &[Map<String, Value>],
) -> String {
    if text.is_empty() && calls.is_empty() {
        return "null".to_owned();
    }
    let content = if text.is_empty() { Value::Null } else { text.into() };
    let mut message = json!({"role": "assistant", "content": content});
    if calls.is_empty() {
        return message.to_string();
    }
    // Servers that show reasoning want it back as long as the calls go on, some insist.
    for (field, value) in reasoning {
        message[field] = value;
    }
    let calls = calls.iter().enumerate().map(|(at, call)| {
        let mut wire = json!({
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": sendable(&call.arguments)},
        });
        for (field, value) in extras.get(at).into_iter().flatten() {
            wire[field] = value.clone();
        }
        wire
    });
    message["tool_calls"] = calls.collect();
    message.to_string()
}

/// One answer as it streams in.
#[derive(Default)]
struct Stream {
    model: String,
    /// Calls in the history, for ids of our own.
    calls_before: usize,
    text: String,
    thought: String,
    /// The field that reasoning came in, and goes back in.
    thought_field: &'static str,
    reasoning_details: Vec<Value>,
    calls: Vec<Call>,
    finish: Option<String>,
    usage: Option<WireUsage>,
    done: bool,
}

#[derive(Default)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    /// Fields of other vendors, e.g. Gemini's thought signatures.
    extra: Map<String, Value>,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<WireChoice>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct WireChoice {
    #[serde(default)]
    delta: Option<WireDelta>,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireDelta {
    content: Value,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    reasoning_details: Option<Vec<Value>>,
    tool_calls: Option<Vec<WireCall>>,
}

#[derive(Deserialize)]
struct WireCall {
    index: Option<u64>,
    id: Option<String>,
    function: Option<WireFunction>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireFunction {
    name: Option<String>,
    arguments: Value,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct WireUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

impl Decoder for Stream {
    fn event(&mut self, data: &str, on: &mut dyn FnMut(Delta<'_>)) -> Result<bool, Failure> {
        if data.trim() == "[DONE]" {
            self.done = true;
            return Ok(true);
        }
        let chunk: Chunk = serde_json::from_str(data)
            .map_err(|error| Failure::broken(format!("malformed chunk: {error}")))?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(WireError::read(&error).failure(None));
        }
        self.usage = chunk.usage.or(self.usage);
        for choice in chunk.choices.into_iter().take(1) {
            self.take(choice.delta.unwrap_or_default(), on);
            self.finish = choice.finish_reason.or(self.finish.take());
        }
        Ok(false)
    }

    fn finish(mut self: Box<Self>) -> Result<Answer, Failure> {
        let stop = match self.finish.as_deref() {
            Some("length" | "max_tokens") => StopReason::MaxTokens,
            Some("content_filter") => StopReason::Refusal,
            // OpenRouter's word for an upstream that broke off.
            Some("error") => return Err(Failure::broken("the server's own source broke off")),
            Some(_) => StopReason::EndTurn,
            None if self.done => StopReason::EndTurn,
            None => return Err(Failure::broken("the stream ended before the answer did")),
        };
        let cut = |call: &Call| !is_object(&call.arguments);
        if stop == StopReason::MaxTokens && self.calls.last().is_some_and(cut) {
            self.calls.pop();
        }
        self.name_calls();
        let (calls, extras): (Vec<ToolCall>, Vec<_>) =
            self.calls.drain(..).map(Call::finish).unzip();
        let mut reasoning = Map::new();
        if !self.reasoning_details.is_empty() {
            reasoning.insert("reasoning_details".into(), self.reasoning_details.into());
        } else if !self.thought.is_empty() {
            reasoning.insert(self.thought_field.into(), self.thought.as_str().into());
        }
        let usage = self.usage.unwrap_or_default();
        let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens);
        Ok(Answer {
            stop: settle(stop, &calls),
            usage: Usage {
                input: usage.prompt_tokens,
                cached: cached.unwrap_or(0),
                cache_write: 0,
                output: usage.completion_tokens,
            },
            raw: Some(keep(NAME, &self.model, assistant(&self.text, &calls, reasoning, &extras))?),
            text: self.text,
            thought: self.thought,
            calls,
        })
    }
}

impl Stream {
    fn take(&mut self, delta: WireDelta, on: &mut dyn FnMut(Delta<'_>)) {
        let content = delta.content.as_str().or(delta.refusal.as_deref()).unwrap_or_default();
        if !content.is_empty() {
            self.text.push_str(content);
            on(Delta::Text(content));
        }
        let (field, thought) = match (&delta.reasoning_content, &delta.reasoning) {
            (Some(thought), _) => ("reasoning_content", thought.as_str()),
            (None, Some(thought)) => ("reasoning", thought.as_str()),
            (None, None) => ("", ""),
        };
        if !thought.is_empty() {
            self.thought_field = field;
            self.thought.push_str(thought);
            on(Delta::Thought(thought));
        }
        for detail in delta.reasoning_details.into_iter().flatten() {
            self.take_detail(detail);
        }
        for call in delta.tool_calls.into_iter().flatten() {
            self.take_call(call, on);
        }
    }

    /// Pieces of one reasoning detail (same type and index) are put together again.
    fn take_detail(&mut self, detail: Value) {
        let same = |field: &str, last: &Value| last.get(field) == detail.get(field);
        let (Some(Value::Object(last)), Value::Object(piece)) = (
            self.reasoning_details
                .last_mut()
                .filter(|last| same("type", last) && same("index", last)),
            &detail,
        ) else {
            self.reasoning_details.push(detail);
            return;
        };
        for (field, value) in piece {
            match (last.get_mut(field), value) {
                (Some(Value::String(text)), Value::String(more))
                    if matches!(field.as_str(), "text" | "summary" | "data") =>
                {
                    text.push_str(more);
                }
                (_, Value::Null) => {}
                _ => {
                    last.insert(field.clone(), value.clone());
                }
            }
        }
    }

    fn take_call(&mut self, call: WireCall, on: &mut dyn FnMut(Delta<'_>)) {
        let WireFunction { name, arguments } = call.function.unwrap_or_default();
        let (id, name) = (call.id.unwrap_or_default(), name.unwrap_or_default());
        // Some servers give all calls one index, some none at all: a new id tells them apart, and
        // where there is none, a name.
        let known = self.calls.iter().rposition(|have| {
            have.index == call.index
                && (id.is_empty() || id == have.id)
                && (call.index.is_some() || name.is_empty() || !id.is_empty())
        });
        let at = known.unwrap_or_else(|| {
            on(Delta::Call(&name));
            self.calls.push(Call { index: call.index, id, ..Call::default() });
            self.calls.len() - 1
        });
        let have = &mut self.calls[at];
        // Sent in one piece; servers that repeat it in each chunk do not mean to add to it.
        if have.name.is_empty() {
            have.name = name;
        }
        match arguments {
            Value::String(more) => have.arguments.push_str(&more),
            Value::Null => {}
            whole => have.arguments = whole.to_string(),
        }
        let extra = call.extra.into_iter().filter(|(field, _)| field != "type");
        have.extra.extend(extra);
    }

    /// Gives ids to calls that have none, or one that an earlier call of this answer has.
    fn name_calls(&mut self) {
        for at in 0..self.calls.len() {
            let (before, rest) = self.calls.split_at_mut(at);
            let call = &mut rest[0];
            if call.id.is_empty() || before.iter().any(|other| other.id == call.id) {
                call.id = format!("call_{}", self.calls_before + at + 1);
            }
        }
    }
}

impl Call {
    fn finish(self) -> (ToolCall, Map<String, Value>) {
        let empty = self.arguments.trim().is_empty();
        let arguments = if empty { "{}".to_owned() } else { self.arguments };
        (ToolCall { id: self.id, name: self.name, arguments }, self.extra)
    }
}

#[cfg(test)]
mod tests {
    use super::super::retry::Cause;
    use super::super::testing::{Reply, Server, answer, call, decode, history, result, shared};
    use super::*;

    fn chunk(delta: &str) -> String {
        format!(r#"{{"id":"x","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#)
    }

    fn finish(reason: &str) -> String {
        format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]}}"#)
    }

    fn read(chunks: &[String]) -> (Result<Answer, Failure>, Vec<String>) {
        let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
        decode(&Chat, "m", &chunks)
    }

    fn calls(deltas: &[&str]) -> Vec<ToolCall> {
        let mut chunks: Vec<String> =
            deltas.iter().map(|calls| chunk(&format!(r#"{{"tool_calls":{calls}}}"#))).collect();
        chunks.push(finish("stop"));
        let answer = read(&chunks).0.unwrap();
        assert_eq!(answer.stop, StopReason::ToolUse);
        answer.calls
    }

    fn raw(answer: &Answer) -> &str {
        answer.raw.as_ref().unwrap().content.get()
    }

    const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":60,"completion_tokens":42,"prompt_tokens_details":{"cached_tokens":30}}}"#;

    #[test]
    fn an_answer_is_read_and_goes_back_with_its_reasoning() {
        let (answer, told) = read(&[
            chunk(r#"{"role":"assistant","content":null,"reasoning_content":"Hm"}"#),
            chunk(r#"{"content":"Loo"}"#),
            chunk(r#"{"content":"king."}"#),
            chunk(
                r#"{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"bash","arguments":""},"extra_content":{"google":{"thought_signature":"s=="}}}]}"#,
            ),
            chunk(r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"command\": "}}]}"#),
            chunk(r#"{"tool_calls":[{"index":0,"function":{"arguments":"\"ls\"}"}}]}"#),
            finish("tool_calls"),
            USAGE.to_owned(),
            "[DONE]".to_owned(),
        ]);
        let answer = answer.unwrap();
        assert_eq!((answer.text.as_str(), answer.thought.as_str()), ("Looking.", "Hm"));
        assert_eq!(answer.calls, [call("call_a", "bash", r#"{"command": "ls"}"#)]);
        assert_eq!(answer.stop, StopReason::ToolUse);
        let usage = Usage { input: 60, cached: 30, cache_write: 0, output: 42 };
        assert_eq!(answer.usage, usage);
        assert_eq!(told, ["thought Hm", "text Loo", "text king.", "call bash"]);
        let back = concat!(
            r#"{"role":"assistant","content":"Looking.","reasoning_content":"Hm","tool_calls":[{"id":"call_a","#,
            r#""type":"function","function":{"name":"bash","arguments":"{\"command\": \"ls\"}"},"#,
            r#""extra_content":{"google":{"thought_signature":"s=="}}}]}"#,
        );
        assert_eq!(raw(&answer), back);
        let messages = [Message::Assistant(answer)];
        assert_eq!(history(&Chat, "m", &messages), format!("[{back}]"));
        let normalised = concat!(
            r#"[{"role":"assistant","content":"Looking.","tool_calls":[{"id":"call_a","#,
            r#""type":"function","function":{"name":"bash","arguments":"{\"command\": \"ls\"}"}}]}]"#,
        );
        assert_eq!(history(&Chat, "other", &messages), normalised);
    }

    #[test]
    fn calls_are_told_apart_however_they_come() {
        let one = call("call_5", "bash", "{}");
        let two = call("call_6", "read", r#"{"a":1}"#);
        // No ids, no arguments, whole in one chunk, arguments as an object.
        let chunk = r#"[{"index":0,"function":{"name":"bash"}},{"index":1,"function":{"name":"read","arguments":{"a":1}}}]"#;
        assert_eq!(calls(&[chunk]), [one.clone(), two.clone()]);
        // Neither ids nor indices.
        let first = r#"[{"function":{"name":"bash","arguments":""}}]"#;
        let second = r#"[{"function":{"name":"read","arguments":"{\"a\":"}}]"#;
        let rest = r#"[{"function":{"arguments":"1}"}}]"#;
        assert_eq!(calls(&[first, second, rest]), [one, two]);
        // One index for all, ids repeated in each chunk.
        let same = |id: &str, name: &str, arguments: &str| {
            format!(
                r#"[{{"index":0,"id":"{id}","function":{{"name":"{name}","arguments":"{arguments}"}}}}]"#
            )
        };
        let chunks = [same("a", "bash", "{"), same("a", "bash", "}"), same("b", "bash", "{}")];
        let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
        assert_eq!(calls(&chunks), [call("a", "bash", "{}"), call("b", "bash", "{}")]);
        // One id for two calls: the second gets one of ours.
        let twice = r#"[{"index":0,"id":"a","function":{"name":"x"}},{"index":1,"id":"a","function":{"name":"y"}}]"#;
        assert_eq!(calls(&[twice]), [call("a", "x", "{}"), call("call_6", "y", "{}")]);
    }

    #[test]
    fn every_end_has_its_meaning() {
        let text = chunk(r#"{"content":"a"}"#);
        let end = |reason: &str| read(&[text.clone(), finish(reason)]).0;
        for (reason, stop) in [
            ("stop", StopReason::EndTurn),
            ("length", StopReason::MaxTokens),
            ("content_filter", StopReason::Refusal),
            ("tomorrows", StopReason::EndTurn),
        ] {
            let answer = end(reason).unwrap();
            assert_eq!((answer.stop, answer.usage), (stop, Usage::default()), "{reason}");
        }
        let done = read(&[text.clone(), "[DONE]".to_owned()]).0.unwrap();
        assert_eq!(done.stop, StopReason::EndTurn);
        assert_eq!(read(std::slice::from_ref(&text)).0.unwrap_err().cause, Cause::Broken);
        assert_eq!(end("error").unwrap_err().cause, Cause::Broken);
        let error = |error: &str| {
            let chunk = format!(r#"{{"error":{error}}}"#);
            let failure = read(&[text.clone(), chunk]).0.unwrap_err();
            (failure.cause, failure.message)
        };
        assert_eq!(error(r#"{"code":502,"message":"up"}"#), (Cause::Status(502), "up".to_owned()));
        assert_eq!(error(r#""model died""#), (Cause::Broken, "model died".to_owned()));
        let long = r#"{"message":"the request exceeds the available context size","type":"exceed_context_size_error","code":400}"#;
        assert_eq!(error(long).0, Cause::TooLong);
    }

    #[test]
    fn a_cut_call_is_dropped_and_a_malformed_one_goes_back_valid() {
        let half = chunk(
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"bash","arguments":"{\"c"}}]}"#,
        );
        let answer = read(&[half.clone(), finish("length")]).0.unwrap();
        assert_eq!((answer.stop, answer.calls.len()), (StopReason::MaxTokens, 0));
        assert_eq!(history(&Chat, "m", &[Message::Assistant(answer)]), "[]");
        let answer = read(&[half, finish("tool_calls")]).0.unwrap();
        assert_eq!(answer.calls[0].arguments, "{\"c");
        assert!(raw(&answer).contains(r#""arguments":"{}""#));
    }

    #[test]
    fn pieces_of_reasoning_details_are_put_together() {
        let answer = read(&[
            chunk(
                r#"{"reasoning":"a","reasoning_details":[{"type":"reasoning.text","index":0,"text":"a","signature":null}]}"#,
            ),
            chunk(
                r#"{"reasoning":"b","reasoning_details":[{"type":"reasoning.text","index":0,"text":"b"}]}"#,
            ),
            chunk(
                r#"{"reasoning_details":[{"type":"reasoning.text","index":0,"signature":"s=="}]}"#,
            ),
            chunk(
                r#"{"reasoning_details":[{"type":"reasoning.encrypted","index":1,"data":"d=="}]}"#,
            ),
            chunk(
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"bash","arguments":"{}"}}]}"#,
            ),
            finish("tool_calls"),
        ]);
        let answer = answer.0.unwrap();
        let back: Value = serde_json::from_str(raw(&answer)).unwrap();
        let details = json!([
            {"type": "reasoning.text", "index": 0, "text": "ab", "signature": "s=="},
            {"type": "reasoning.encrypted", "index": 1, "data": "d=="},
        ]);
        assert_eq!((&back["reasoning_details"], answer.thought.as_str()), (&details, "ab"));
        assert_eq!(back.get("reasoning"), None);
    }

    #[tokio::test]
    async fn a_request_begins_with_the_last_one() {
        let chunks = [
            chunk(r#"{"tool_calls":[{"function":{"name":"bash","arguments":"{}"}}]}"#),
            finish("stop"),
        ];
        let stream: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        let server = Server::play(vec![Reply::stream(stream); 3]).await;
        let mut model = server.open("chat/m", |setup| setup.max_output = Some(100));
        model.push(&Message::User("task".to_owned()));
        model.push(&Message::User("\"more\"".to_owned()));
        for step in 1..=3 {
            let answer = model.answer(None, &mut |_| {}).await.unwrap();
            assert_eq!(answer.calls, [call(&format!("call_{step}"), "bash", "{}")]);
            let results = vec![result(&answer.calls[0].id, "ok", false)];
            model.push(&Message::Assistant(answer));
            model.push(&Message::Results(results));
        }
        let requests = server.requests();
        assert!(requests[0].head.starts_with("post /v1/chat/completions http/1.1"));
        for pair in requests.windows(2) {
            let (same, length) = shared(&pair[0].body, &pair[1].body, "");
            assert_eq!(same + "]}".len(), length);
        }
        let tool = json!({
            "name": "bash", "description": "Runs a command.",
            "parameters": {"type": "object", "properties": {}},
        });
        let made = json!({
            "id": "call_1", "type": "function", "function": {"name": "bash", "arguments": "{}"},
        });
        let expected = json!({
            "model": "m", "stream": true, "stream_options": {"include_usage": true},
            "max_tokens": 100, "tools": [{"type": "function", "function": tool}],
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "task\n\n\"more\""},
                {"role": "assistant", "content": null, "tool_calls": [made]},
                {"role": "tool", "tool_call_id": "call_1", "content": "ok"},
            ],
        });
        assert_eq!(serde_json::from_str::<Value>(&requests[1].body).unwrap(), expected);
        let price = super::super::Pricing::of(&model.name());
        assert_eq!(price.cost(&Usage::default()), None);
    }

    #[test]
    fn an_answer_of_another_model_that_said_nothing_leaves_nothing() {
        assert_eq!(history(&Chat, "m", &[Message::Assistant(answer("", &[]))]), "[]");
    }
}
