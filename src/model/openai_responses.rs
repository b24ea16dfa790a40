//! `OpenAI`'s Responses API, without state on the server.
//!
//! Invariant: each item that the model sent goes back as it came, encrypted reasoning included,
//! less only what the API itself would refuse.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::dialect::{
    Brief, Decoder, Dialect, History, STALLED, Silence, inside, is_object, keep, own_content,
    settle, up_to_list,
};
use super::retry::Failure;
use super::wire_error::WireError;
use crate::event::Delta;
use crate::message::{Answer, Message, StopReason, ToolCall, Usage};

const NAME: &str = "responses";

/// The Responses API.
pub(super) struct Responses;

impl Dialect for Responses {
    fn path(&self) -> &'static str {
        "/responses"
    }

    fn head(&self, brief: &Brief<'_>) -> String {
        let tools = brief.tools(|tool| {
            json!({
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
                "strict": false,
            })
        });
        let mut head = json!({
            "model": brief.model,
            "stream": true,
            "store": false,
            // The API takes at most 64 characters.
            "prompt_cache_key": brief.cache_key.chars().take(64).collect::<String>(),
        });
        if reasons(brief.model) {
            head["include"] = json!(["reasoning.encrypted_content"]);
            if let Some(effort) = brief.effort {
                head["reasoning"] = json!({"effort": effort});
            }
        }
        if let Some(limit) = brief.max_output {
            head["max_output_tokens"] = limit.into();
        }
        if !brief.system.trim().is_empty() {
            head["instructions"] = brief.system.into();
        }
        if !tools.is_empty() {
            head["tools"] = tools.into();
            head["parallel_tool_calls"] = true.into();
        }
        up_to_list(&head, "input")
    }

    fn push(&self, history: &mut History, model: &str, message: &Message) {
        let mut item = |text: &str| history.entry(None, text);
        match message {
            Message::User(text) => {
                let content = json!([{"type": "input_text", "text": text}]);
                let message = json!({"type": "message", "role": "user", "content": content});
                item(&message.to_string());
            }
            Message::Results(results) => {
                for result in results {
                    let output = json!({
                        "type": "function_call_output",
                        "call_id": result.call_id,
                        "output": result.output,
                    });
                    item(&output.to_string());
                }
            }
            Message::Assistant(answer) => match own_content(answer, NAME, model).map(inside) {
                Some("") => {}
                Some(items) => item(items),
                None => {
                    if !answer.text.is_empty() {
                        let message = json!({
                            "type": "message",
                            "role": "assistant",
                            "content": answer.text,
                        });
                        item(&message.to_string());
                    }
                    for call in &answer.calls {
                        let call = json!({
                            "type": "function_call",
                            "call_id": call.id,
                            "name": call.name,
                            "arguments": call.arguments,
                        });
                        item(&call.to_string());
                    }
                }
            },
        }
    }

    fn silence(&self) -> Silence {
        // It says nothing while it reasons; OpenAI's own client waits as long.
        Silence { first: Duration::from_secs(300), within: STALLED }
    }

    fn decoder(&self, model: &str, _calls: usize) -> Box<dyn Decoder> {
        Box::new(Stream { model: model.to_owned(), ..Stream::default() })
    }
}

/// Whether a model reasons, and so has encrypted reasoning to ask for; those that do not refuse
/// the question. New ones do.
fn reasons(model: &str) -> bool {
    let plain = ["gpt-3", "gpt-4", "chatgpt-"];
    !plain.iter().any(|family| model.starts_with(family)) && !model.contains("-chat")
}

/// One answer as it streams in.
#[derive(Default)]
struct Stream {
    model: String,
    items: Vec<Item>,
    text: String,
    thought: String,
    end: Option<End>,
}

/// One finished item.
struct Item {
    kind: String,
    raw: Box<RawValue>,
    call: Option<ToolCall>,
}

#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    delta: Option<Value>,
    item: Option<Box<RawValue>>,
    response: Option<End>,
}

/// The response as the last event has it.
#[derive(Default, Deserialize)]
struct End {
    usage: Option<WireUsage>,
    incomplete_details: Option<Incomplete>,
    #[serde(default)]
    error: Value,
    #[serde(skip)]
    incomplete: bool,
}

#[derive(Deserialize)]
struct Incomplete {
    #[serde(default)]
    reason: String,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct WireUsage {
    input_tokens: u64,
    input_tokens_details: Option<InputDetails>,
    output_tokens: u64,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

impl Decoder for Stream {
    fn event(&mut self, data: &str, on: &mut dyn FnMut(Delta<'_>)) -> Result<bool, Failure> {
        let frame: Frame = serde_json::from_str(data)
            .map_err(|error| Failure::broken(format!("malformed event: {error}")))?;
        let delta = frame.delta.as_ref().and_then(Value::as_str).unwrap_or_default();
        match frame.kind.as_str() {
            "response.output_text.delta" | "response.refusal.delta" => {
                self.text.push_str(delta);
                on(Delta::Text(delta));
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.thought.push_str(delta);
                on(Delta::Thought(delta));
            }
            "response.reasoning_summary_part.added" if !self.thought.is_empty() => {
                self.thought.push_str("\n\n");
                on(Delta::Thought("\n\n"));
            }
            "response.output_item.added" => self.announce(frame.item.as_deref(), on),
            "response.output_item.done" => {
                let raw = frame.item.ok_or_else(|| Failure::broken("an item without content"))?;
                self.items.push(Item::read(raw)?);
            }
            "response.completed" => self.end = Some(frame.response.unwrap_or_default()),
            "response.incomplete" => {
                self.end = Some(End { incomplete: true, ..frame.response.unwrap_or_default() });
            }
            "response.failed" => {
                let error = frame.response.unwrap_or_default().error;
                return Err(WireError::read(&error).failure(None));
            }
            "error" => {
                let value: Value = serde_json::from_str(data).unwrap_or_default();
                return Err(in_stream(&value).failure(None));
            }
            // Parts and deltas that come again, whole, in the finished item; and events to come.
            _ => {}
        }
        Ok(self.end.is_some())
    }

    fn finish(mut self: Box<Self>) -> Result<Answer, Failure> {
        let end = self
            .end
            .take()
            .ok_or_else(|| Failure::broken("the stream ended before the answer did"))?;
        let why = end.incomplete_details.map(|details| details.reason).unwrap_or_default();
        let refused = self.items.iter().any(Item::is_refusal);
        let stop = match (end.incomplete, why.as_str()) {
            (true, "content_filter") => StopReason::Refusal,
            (true, _) => StopReason::MaxTokens,
            (false, _) if refused => StopReason::Refusal,
            (false, _) => StopReason::EndTurn,
        };
        self.drop_loose_ends(stop);
        let raw: Vec<&str> = self.items.iter().map(|item| item.raw.get()).collect();
        let raw = keep(NAME, &self.model, format!("[{}]", raw.join(",")))?;
        let calls: Vec<ToolCall> = self.items.into_iter().filter_map(|item| item.call).collect();
        let usage = end.usage.unwrap_or_default();
        let details = usage.input_tokens_details.unwrap_or_default();
        Ok(Answer {
            text: self.text,
            thought: self.thought,
            stop: settle(stop, &calls),
            calls,
            usage: Usage {
                input: usage.input_tokens,
                cached: details.cached_tokens,
                cache_write: details.cache_write_tokens,
                output: usage.output_tokens,
            },
            raw: Some(raw),
        })
    }
}

impl Stream {
    /// Tells of a beginning call, and parts one message's text from the last one's.
    fn announce(&mut self, item: Option<&RawValue>, on: &mut dyn FnMut(Delta<'_>)) {
        let Some(Ok(item)) = item.map(|raw| serde_json::from_str::<Value>(raw.get())) else {
            return;
        };
        match item["type"].as_str() {
            Some("function_call") => on(Delta::Call(item["name"].as_str().unwrap_or_default())),
            Some("message") if !self.text.is_empty() => {
                self.text.push_str("\n\n");
                on(Delta::Text("\n\n"));
            }
            _ => {}
        }
    }

    /// Takes away the call that the length limit cut, and reasoning that nothing follows: the API
    /// refuses both.
    fn drop_loose_ends(&mut self, stop: StopReason) {
        if stop == StopReason::MaxTokens {
            let last = self.items.last().and_then(|item| item.call.as_ref());
            if last.is_some_and(|call| !is_object(&call.arguments)) {
                self.items.pop();
            }
        }
        while self.items.last().is_some_and(|item| item.kind == "reasoning") {
            self.items.pop();
        }
    }
}

impl Item {
    fn read(raw: Box<RawValue>) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(rename = "type")]
            kind: String,
            #[serde(default)]
            call_id: String,
            #[serde(default)]
            name: String,
            #[serde(default)]
            arguments: Value,
        }
        let wire: Wire = serde_json::from_str(raw.get())
            .map_err(|error| Failure::broken(format!("malformed item: {error}")))?;
        let call = (wire.kind == "function_call").then(|| ToolCall {
            id: wire.call_id,
            name: wire.name,
            arguments: match wire.arguments {
                Value::String(text) if text.trim().is_empty() => "{}".to_owned(),
                Value::String(text) => text,
                Value::Null => "{}".to_owned(),
                other => other.to_string(),
            },
        });
        Ok(Self { kind: wire.kind, raw, call })
    }

    fn is_refusal(&self) -> bool {
        self.kind == "message"
            && serde_json::from_str::<Value>(self.raw.get()).is_ok_and(|item| {
                let parts = item["content"].as_array();
                parts.is_some_and(|parts| parts.iter().any(|part| part["type"] == "refusal"))
            })
    }
}

/// The `error` event has its fields beside its type, which says nothing but "error".
fn in_stream(event: &Value) -> WireError {
    match event {
        Value::Object(fields) if !fields.contains_key("error") => {
            let mut fields = fields.clone();
            fields.remove("type");
            WireError::read(&Value::Object(fields))
        }
        other => WireError::read(other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::retry::Cause;
    use super::super::testing::{Reply, Server, answer, call, decode, history, result, shared};
    use super::*;

    const REASONING: &str =
        r#"{"id":"rs_1","type":"reasoning","summary":[], "encrypted_content":"gA+/=="}"#;
    const MESSAGE: &str = r#"{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Looking.","annotations":[]}]}"#;
    const CALL: &str = r#"{"id":"fc_1","type":"function_call","status":"completed","call_id":"call_a","name":"bash","arguments":"{\"command\": \"ls\"}"}"#;
    const NEWS: &str = r#"{"type":"tomorrows_item","x": 1.0}"#;

    fn done(item: &str) -> String {
        format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{item}}}"#)
    }

    fn events(items: &[&str], end: &str) -> Vec<String> {
        let mut events = vec![
            r#"{"type":"response.created","response":{"usage":null}}"#.to_owned(),
            r#"{"type":"response.reasoning_summary_text.delta","delta":"Hm"}"#.to_owned(),
            r#"{"type":"response.output_item.added","item":{"type":"message"}}"#.to_owned(),
            r#"{"type":"response.output_text.delta","delta":"Look"}"#.to_owned(),
            r#"{"type":"response.output_text.delta","delta":"ing."}"#.to_owned(),
            r#"{"type":"response.output_item.added","item":{"type":"function_call","name":"bash"}}"#.to_owned(),
            r#"{"type":"response.tomorrow","item":null,"delta":{"x":1}}"#.to_owned(),
        ];
        events.extend(items.iter().map(|item| done(item)));
        events.push(end.to_owned());
        events
    }

    const COMPLETED: &str = r#"{"type":"response.completed","response":{"usage":{"input_tokens":60,"input_tokens_details":{"cached_tokens":30},"output_tokens":42,"output_tokens_details":{"reasoning_tokens":7}}}}"#;
    const CUT: &str = r#"{"type":"response.incomplete","response":{"incomplete_details":{"reason":"max_output_tokens"}}}"#;

    fn read(items: &[&str], end: &str) -> (Result<Answer, Failure>, Vec<String>) {
        let events = events(items, end);
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        decode(&Responses, "m", &events)
    }

    fn raw(answer: &Answer) -> &str {
        answer.raw.as_ref().unwrap().content.get()
    }

    #[test]
    fn items_are_read_and_kept_byte_for_byte() {
        let items = [REASONING, MESSAGE, NEWS, CALL];
        let (answer, told) = read(&items, COMPLETED);
        let answer = answer.unwrap();
        assert_eq!((answer.text.as_str(), answer.thought.as_str()), ("Looking.", "Hm"));
        assert_eq!(answer.calls, [call("call_a", "bash", r#"{"command": "ls"}"#)]);
        assert_eq!(answer.stop, StopReason::ToolUse);
        let usage = Usage { input: 60, cached: 30, cache_write: 0, output: 42 };
        assert_eq!(answer.usage, usage);
        assert_eq!(raw(&answer), format!("[{}]", items.join(",")));
        assert_eq!(told, ["thought Hm", "text Look", "text ing.", "call bash"]);

        let messages = [
            Message::User("go".to_owned()),
            Message::Assistant(answer),
            Message::Results(vec![result("call_a", "a\nb", false)]),
        ];
        let user =
            r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"go"}]}"#;
        let output = r#"{"type":"function_call_output","call_id":"call_a","output":"a\nb"}"#;
        let own = format!("[{user},{},{output}]", items.join(","));
        assert_eq!(history(&Responses, "m", &messages), own);
        let normalised = concat!(
            r#"{"type":"message","role":"assistant","content":"Looking."},"#,
            r#"{"type":"function_call","call_id":"call_a","name":"bash","arguments":"{\"command\": \"ls\"}"}"#,
        );
        assert_eq!(
            history(&Responses, "other", &messages),
            format!("[{user},{normalised},{output}]")
        );
    }

    #[test]
    fn a_cut_answer_keeps_what_is_whole() {
        let half = CALL.replace(r#" \"ls\"}"#, "").replace("completed", "incomplete");
        let answer = read(&[REASONING, &half], CUT).0.unwrap();
        assert_eq!(
            (answer.stop, answer.calls.len(), raw(&answer)),
            (StopReason::MaxTokens, 0, "[]")
        );
        assert_eq!(history(&Responses, "m", &[Message::Assistant(answer)]), "[]");
        let answer = read(&[REASONING, CALL, REASONING], CUT).0.unwrap();
        assert_eq!(answer.calls.len(), 1);
        assert_eq!(raw(&answer), format!("[{REASONING},{CALL}]"));
    }

    #[test]
    fn refusals_and_failures_have_their_meaning() {
        let refusal = r#"{"type":"message","content":[{"type":"refusal","refusal":"No."}]}"#;
        assert_eq!(read(&[refusal], COMPLETED).0.unwrap().stop, StopReason::Refusal);
        let filtered = CUT.replace("max_output_tokens", "content_filter");
        assert_eq!(read(&[MESSAGE], &filtered).0.unwrap().stop, StopReason::Refusal);
        let failed = |code: &str| {
            let error = format!(r#"{{"code":"{code}","message":"no"}}"#);
            let inner = format!(r#"{{"type":"response.failed","response":{{"error":{error}}}}}"#);
            let outer =
                format!(r#"{{"type":"error","code":"{code}","message":"no","param":null}}"#);
            let inner = read(&[], &inner).0.unwrap_err();
            assert_eq!(inner, read(&[], &outer).0.unwrap_err());
            inner.cause
        };
        assert_eq!(failed("server_error"), Cause::Status(500));
        assert_eq!(failed("rate_limit_exceeded"), Cause::Status(429));
        assert_eq!(failed("context_length_exceeded"), Cause::TooLong);
        assert_eq!(failed("insufficient_quota"), Cause::Quota);
        assert_eq!(failed("tomorrows"), Cause::Broken);
        let cut = read(&[CALL], r#"{"type":"response.in_progress"}"#).0.unwrap_err();
        assert_eq!(cut.cause, Cause::Broken);
    }

    #[test]
    fn models_that_do_not_reason_are_not_asked_for_it() {
        for (model, does) in [
            ("gpt-5.5", true),
            ("o3", true),
            ("tomorrow-1", true),
            ("gpt-4.1", false),
            ("gpt-5-chat-latest", false),
        ] {
            assert_eq!(reasons(model), does, "{model}");
        }
    }

    #[tokio::test]
    async fn a_request_begins_with_the_last_one_and_keeps_nothing_there() {
        let stream: String = events(&[REASONING, MESSAGE, CALL], COMPLETED)
            .iter()
            .map(|event| format!("data: {event}\n\n"))
            .collect();
        let server = Server::play(vec![Reply::stream(stream); 3]).await;
        let mut model = server.model("openai/gpt-5.5");
        model.push(&Message::User("task".to_owned()));
        for _ in 0..3 {
            let answer = model.answer(None, &mut |_| {}).await.unwrap();
            model.push(&Message::Assistant(answer));
            model.push(&Message::Results(vec![result("call_a", "ok", false)]));
        }
        let requests = server.requests();
        assert!(requests[0].head.starts_with("post /v1/responses http/1.1"));
        assert!(requests[0].head.contains("authorization: bearer sk-secret-0123456789"));
        for pair in requests.windows(2) {
            let (same, length) = shared(&pair[0].body, &pair[1].body, "");
            assert_eq!(same + "]}".len(), length);
        }
        let mut request: Value = serde_json::from_str(&requests[2].body).unwrap();
        assert_eq!(request["input"].as_array_mut().unwrap().len(), 9);
        request.as_object_mut().unwrap().shift_remove("input");
        let tool = json!({
            "type": "function", "name": "bash", "description": "Runs a command.",
            "parameters": {"type": "object", "properties": {}}, "strict": false,
        });
        let expected = json!({
            "model": "gpt-5.5", "stream": true, "store": false, "prompt_cache_key": "session-1",
            "include": ["reasoning.encrypted_content"], "instructions": "Be brief.",
            "tools": [tool], "parallel_tool_calls": true,
        });
        assert_eq!(request, expected);
        assert!(!model.raise_output_limit(), "the server's own limit is the model's");
    }

    #[test]
    fn an_answer_of_another_model_that_said_nothing_leaves_nothing() {
        assert_eq!(history(&Responses, "m", &[Message::Assistant(answer("", &[]))]), "[]");
    }
}
