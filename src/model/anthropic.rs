//! Anthropic's Messages API, version 2023-06-01.
//!
//! Invariant: what the model sent goes back as it came (signatures, redacted thinking, blocks that
//! this program does not know), less only what the API itself would refuse.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::dialect::{
    Brief, Decoder, Dialect, History, KeyHeader, Side, WireError, inside, is_object, keep,
    own_content, sendable, settle,
};
use super::retry::{Cause, Failure};
use crate::event::Delta;
use crate::message::{Answer, Message, StopReason, ToolCall, Usage};

const NAME: &str = "anthropic";
/// What ends a message whose content may still grow.
const CLOSING: &str = "]}";
/// Asked for at first: enough for all but a whole file at once, and every current model has it.
const MAX_OUTPUT: u64 = 32_000;

/// The Messages API.
pub(super) struct Anthropic;

impl Dialect for Anthropic {
    fn path(&self) -> &'static str {
        "/v1/messages"
    }

    fn headers(&self) -> HeaderMap {
        HeaderMap::from_iter([(
            reqwest::header::HeaderName::from_static("anthropic-version"),
            HeaderValue::from_static("2023-06-01"),
        )])
    }

    fn key_header(&self) -> KeyHeader {
        KeyHeader::XApiKey
    }

    fn head(&self, brief: &Brief<'_>) -> String {
        let mut tools: Vec<Value> = brief
            .tools
            .iter()
            .map(|tool| {
                json!({
                    "name": tool.name,
                    "description": tool.description,
                    "input_schema": tool.parameters,
                })
            })
            .collect();
        if let Some(Value::Object(last)) = tools.last_mut() {
            last.insert("cache_control".into(), json!({"type": "ephemeral"}));
        }
        let mut head = json!({
            "model": brief.model,
            // Demanded by the API.
            "max_tokens": brief.max_output.unwrap_or(MAX_OUTPUT),
            "stream": true,
        });
        if brief.adaptive_thinking {
            head["thinking"] = json!({"type": "adaptive"});
        }
        if let Some(effort) = brief.effort {
            head["output_config"] = json!({"effort": effort});
        }
        if !tools.is_empty() {
            head["tools"] = tools.into();
        }
        if !brief.system.trim().is_empty() {
            head["system"] = json!([{
                "type": "text",
                "text": brief.system,
                "cache_control": {"type": "ephemeral"},
            }]);
        }
        let mut head = head.to_string();
        head.pop();
        head.push_str(r#","messages":["#);
        head
    }

    fn max_output(&self, known: Option<u64>) -> Option<u64> {
        Some(known.map_or(MAX_OUTPUT, |known| known.min(MAX_OUTPUT)))
    }

    fn push(&self, history: &mut History, model: &str, message: &Message) {
        match message {
            // The API refuses text blocks that show nothing.
            Message::User(text) if text.trim().is_empty() => {}
            Message::User(text) => {
                push_blocks(
                    history,
                    Side::User,
                    &json!({"type": "text", "text": text}).to_string(),
                );
            }
            Message::Results(results) => {
                let blocks: Vec<String> = results
                    .iter()
                    .map(|result| {
                        let mut block = json!({
                            "type": "tool_result",
                            "tool_use_id": wire_id(&result.call_id),
                            "content": result.output,
                        });
                        if result.is_error {
                            block["is_error"] = true.into();
                        }
                        block.to_string()
                    })
                    .collect();
                push_blocks(history, Side::User, &blocks.join(","));
            }
            Message::Assistant(answer) => match own_content(answer, NAME, model) {
                Some(content) => push_blocks(history, Side::Assistant, inside(content)),
                None => push_blocks(history, Side::Assistant, &normalised(answer)),
            },
        }
    }

    fn cache_mark(&self) -> &'static str {
        r#","cache_control":{"type":"ephemeral"}"#
    }

    fn silence(&self) -> Duration {
        // It pings while it thinks.
        Duration::ZERO
    }

    fn decoder(&self, model: &str, _calls: usize) -> Box<dyn Decoder> {
        Box::new(Stream { model: model.to_owned(), ..Stream::default() })
    }
}

/// Adds content blocks; neighbours of one side become one message, as the API demands turns.
fn push_blocks(history: &mut History, side: Side, blocks: &str) {
    if blocks.is_empty() {
        return;
    }
    let joined = history.last() == Some(side);
    if joined {
        history.join(CLOSING, &format!(",{blocks}{CLOSING}"));
    } else {
        let role = if side == Side::User { "user" } else { "assistant" };
        history.entry(Some(side), &format!(r#"{{"role":"{role}","content":[{blocks}{CLOSING}"#));
    }
    if side == Side::User {
        // Inside of the last block, before its brace.
        history.mark(CLOSING.len() + 1, joined);
    }
}

/// An answer of another model: what it said and called, without its reasoning.
fn normalised(answer: &Answer) -> String {
    let mut blocks = String::new();
    if !answer.text.trim().is_empty() {
        blocks.push_str(&json!({"type": "text", "text": answer.text}).to_string());
    }
    for call in &answer.calls {
        if !blocks.is_empty() {
            blocks.push(',');
        }
        blocks.push_str(&format!(
            r#"{{"type":"tool_use","id":"{}","name":"{}","input":{}}}"#,
            wire_id(&call.id),
            wire_id(&call.name),
            sendable(&call.arguments),
        ));
    }
    blocks
}

/// An id or name in the letters that the API takes; what it gave out itself stays as it is.
fn wire_id(id: &str) -> String {
    id.chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' })
        .collect()
}

/// One answer as it streams in.
#[derive(Default)]
struct Stream {
    model: String,
    blocks: Vec<Block>,
    text: String,
    thought: String,
    usage: WireUsage,
    stop: Option<String>,
    complete: bool,
}

/// One content block.
struct Block {
    kind: String,
    /// As it began.
    start: Box<RawValue>,
    /// As it has grown, once a delta touched it.
    grown: Option<Map<String, Value>>,
    /// The input of a call, as streamed.
    input: String,
    stopped: bool,
}

#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "type")]
    kind: String,
    index: Option<usize>,
    message: Option<Begin>,
    content_block: Option<Box<RawValue>>,
    delta: Option<Map<String, Value>>,
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Begin {
    usage: Option<WireUsage>,
}

/// Counts are cumulative: the last one of each holds.
#[derive(Clone, Copy, Default, Deserialize)]
struct WireUsage {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

impl Decoder for Stream {
    fn event(&mut self, data: &str, on: &mut dyn FnMut(Delta<'_>)) -> Result<bool, Failure> {
        let frame: Frame = serde_json::from_str(data)
            .map_err(|error| Failure::broken(format!("malformed event: {error}")))?;
        match frame.kind.as_str() {
            "message_start" => {
                if let Some(usage) = frame.message.and_then(|message| message.usage) {
                    self.usage.update(usage);
                }
            }
            "content_block_start" => self.begin(frame, on)?,
            "content_block_delta" => self.grow(frame, on)?,
            "content_block_stop" => {
                if let Some(block) = frame.index.and_then(|index| self.blocks.get_mut(index)) {
                    block.stopped = true;
                }
            }
            "message_delta" => {
                if let Some(usage) = frame.usage {
                    self.usage.update(usage);
                }
                let stop = frame.delta.as_ref().and_then(|delta| delta.get("stop_reason"));
                if let Some(Value::String(stop)) = stop {
                    self.stop = Some(stop.clone());
                }
            }
            "message_stop" => self.complete = true,
            "error" => {
                let value: Value = serde_json::from_str(data).unwrap_or_default();
                return Err(WireError::read(&value).failure(None));
            }
            // `ping`, and whatever the API learns to say.
            _ => {}
        }
        Ok(self.complete)
    }

    fn finish(mut self: Box<Self>) -> Result<Answer, Failure> {
        if !self.complete {
            return Err(Failure::broken("the stream ended before the answer did"));
        }
        let stop = match self.stop.as_deref() {
            Some("max_tokens") => StopReason::MaxTokens,
            Some("refusal") => StopReason::Refusal,
            Some("pause_turn") => StopReason::PauseTurn,
            Some("model_context_window_exceeded") => {
                let message = "the answer filled the model's context window";
                return Err(Failure::new(Cause::TooLong, message));
            }
            // `end_turn`, `tool_use`, `stop_sequence`, and reasons to come.
            _ => StopReason::EndTurn,
        };
        self.drop_cut_call(stop);
        let calls = self.blocks.iter().filter_map(Block::call).collect::<Vec<_>>();
        Ok(Answer {
            stop: settle(stop, &calls),
            raw: Some(keep(NAME, &self.model, self.raw())?),
            text: self.text,
            thought: self.thought,
            calls,
            usage: self.usage.total(),
        })
    }
}

impl Stream {
    fn begin(&mut self, frame: Frame, on: &mut dyn FnMut(Delta<'_>)) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Start {
            #[serde(rename = "type")]
            kind: String,
            #[serde(default)]
            name: String,
            #[serde(default)]
            text: String,
            #[serde(default)]
            thinking: String,
        }
        let start =
            frame.content_block.ok_or_else(|| Failure::broken("a block without content"))?;
        if frame.index != Some(self.blocks.len()) {
            return Err(Failure::broken("a block out of order"));
        }
        let begun: Start = serde_json::from_str(start.get())
            .map_err(|error| Failure::broken(format!("malformed block: {error}")))?;
        match begun.kind.as_str() {
            "text" => {
                // Texts with something between them are paragraphs; neighbours are one text.
                let apart = self.blocks.last().is_some_and(|block| block.kind != "text");
                if apart && !self.text.is_empty() {
                    self.say("\n\n", on);
                }
                self.say(&begun.text, on);
            }
            "thinking" => self.think(&begun.thinking, on),
            "tool_use" => on(Delta::Call(&begun.name)),
            _ => {}
        }
        self.blocks.push(Block {
            kind: begun.kind,
            start,
            grown: None,
            input: String::new(),
            stopped: false,
        });
        Ok(())
    }

    fn grow(&mut self, frame: Frame, on: &mut dyn FnMut(Delta<'_>)) -> Result<(), Failure> {
        let (Some(index), Some(delta)) = (frame.index, frame.delta) else {
            return Err(Failure::broken("a delta without an index"));
        };
        let block =
            self.blocks.get_mut(index).ok_or_else(|| Failure::broken("a delta without a block"))?;
        let text = |field: &str| delta.get(field).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "text_delta" => {
                block.append("text", text("text"))?;
                self.say(text("text"), on);
            }
            "thinking_delta" => {
                block.append("thinking", text("thinking"))?;
                self.think(text("thinking"), on);
            }
            "signature_delta" => block.append("signature", text("signature"))?,
            "input_json_delta" => block.input.push_str(text("partial_json")),
            "citations_delta" => {
                if let Some(citation) = delta.get("citation") {
                    block.cite(citation)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn say(&mut self, text: &str, on: &mut dyn FnMut(Delta<'_>)) {
        if !text.is_empty() {
            self.text.push_str(text);
            on(Delta::Text(text));
        }
    }

    fn think(&mut self, text: &str, on: &mut dyn FnMut(Delta<'_>)) {
        if !text.is_empty() {
            self.thought.push_str(text);
            on(Delta::Thought(text));
        }
    }

    /// Takes away blocks that did not end, and the call that the length limit cut: it would be
    /// refused without a result, and it must not run.
    fn drop_cut_call(&mut self, stop: StopReason) {
        self.blocks.retain(|block| block.stopped || block.kind == "text");
        let cut = |block: &Block| block.kind == "tool_use" && !is_object(&block.input);
        if stop == StopReason::MaxTokens && self.blocks.last().is_some_and(cut) {
            self.blocks.pop();
        }
    }

    /// The content that goes back. The API refuses text without letters, and thinking at the end.
    fn raw(&self) -> String {
        let mut blocks: Vec<&Block> =
            self.blocks.iter().filter(|block| !block.is_blank_text()).collect();
        while blocks.last().is_some_and(|block| block.kind.ends_with("thinking")) {
            blocks.pop();
        }
        let blocks: Vec<String> = blocks.into_iter().map(Block::raw).collect();
        format!("[{}]", blocks.join(","))
    }
}

impl Block {
    fn fields(&mut self) -> Result<&mut Map<String, Value>, Failure> {
        let fields = match self.grown.take() {
            Some(fields) => fields,
            None => serde_json::from_str(self.start.get())
                .map_err(|error| Failure::broken(format!("malformed block: {error}")))?,
        };
        Ok(self.grown.insert(fields))
    }

    fn append(&mut self, field: &str, more: &str) -> Result<(), Failure> {
        match self.fields()?.entry(field).or_insert_with(|| json!("")) {
            Value::String(text) => text.push_str(more),
            other => *other = more.into(),
        }
        Ok(())
    }

    fn cite(&mut self, citation: &Value) -> Result<(), Failure> {
        match self.fields()?.entry("citations").or_insert_with(|| json!([])) {
            Value::Array(citations) => citations.push(citation.clone()),
            other => *other = json!([citation]),
        }
        Ok(())
    }

    fn is_blank_text(&self) -> bool {
        let text = self.grown.as_ref().and_then(|fields| fields.get("text"));
        self.kind == "text"
            && match text {
                Some(text) => text.as_str().is_none_or(|text| text.trim().is_empty()),
                None => serde_json::from_str::<Value>(self.start.get())
                    .is_ok_and(|start| start["text"].as_str().is_none_or(|t| t.trim().is_empty())),
            }
    }

    fn raw(&self) -> String {
        if self.input.is_empty() && self.grown.is_none() {
            return self.start.get().to_owned();
        }
        let start;
        let fields = match &self.grown {
            Some(fields) => fields,
            None => {
                start = serde_json::from_str(self.start.get()).unwrap_or_default();
                &start
            }
        };
        let mut raw = String::from("{");
        for (name, value) in fields {
            let comma = if raw.len() > 1 { "," } else { "" };
            // The input stands as the model wrote it, save where that is not JSON.
            let value = if name == "input" && !self.input.is_empty() {
                sendable(&self.input).to_owned()
            } else {
                value.to_string()
            };
            raw.push_str(&format!("{comma}{}:{value}", Value::from(name.as_str())));
        }
        raw.push('}');
        raw
    }

    fn call(&self) -> Option<ToolCall> {
        #[derive(Deserialize)]
        struct Call<'a> {
            id: String,
            name: String,
            #[serde(borrow)]
            input: Option<&'a RawValue>,
        }
        if self.kind != "tool_use" {
            return None;
        }
        let call: Call<'_> = serde_json::from_str(self.start.get()).ok()?;
        // A call without arguments streams none.
        let arguments = match (self.input.as_str(), call.input) {
            ("", Some(input)) => input.get().to_owned(),
            ("", None) => "{}".to_owned(),
            (input, _) => input.to_owned(),
        };
        Some(ToolCall { id: call.id, name: call.name, arguments })
    }
}

impl WireUsage {
    fn update(&mut self, newer: Self) {
        self.input_tokens = newer.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens =
            newer.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens =
            newer.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens = newer.output_tokens.or(self.output_tokens);
    }

    /// `input_tokens` counts the uncached ones alone.
    fn total(self) -> Usage {
        let cached = self.cache_read_input_tokens.unwrap_or(0);
        let cache_write = self.cache_creation_input_tokens.unwrap_or(0);
        Usage {
            input: self.input_tokens.unwrap_or(0) + cached + cache_write,
            cached,
            cache_write,
            output: self.output_tokens.unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Reply, Server, answer, call, decode, history, result, shared};
    use super::*;

    /// Thinking, text, a block nobody knows, and two calls, one without arguments.
    const RICH: [&str; 24] = [
        r#"{"type":"message_start","message":{"id":"m","usage":{"input_tokens":10,"cache_creation_input_tokens":20,"cache_read_input_tokens":30,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"I \u00e9"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"Eq/+=="}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"x/y+=="}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"Let me "}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"look."}}"#,
        r#"{"type":"content_block_stop","index":2}"#,
        r#"{"type":"content_block_start","index":3,"content_block":{"type":"web_search_tool_result","n": 1.50,"b":[ ]}}"#,
        r#"{"type":"content_block_stop","index":3}"#,
        r#"{"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"toolu_1","name":"bash","input":{}}}"#,
        r#"{"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":"{\"command\": "}}"#,
        r#"{"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":"\"ls\", \"n\":1.0}"}}"#,
        r#"{"type":"content_block_stop","index":4}"#,
        r#"{"type":"content_block_start","index":5,"content_block":{"type":"tool_use","id":"toolu_2","name":"plan","input":{}}}"#,
        r#"{"type":"content_block_delta","index":5,"delta":{"type":"input_json_delta","partial_json":""}}"#,
        r#"{"type":"content_block_stop","index":5}"#,
        r#"{"type":"news","of":"tomorrow"}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":42}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    const RICH_RAW: &str = concat!(
        r#"[{"type":"thinking","thinking":"I é","signature":"Eq/+=="},"#,
        r#"{"type":"redacted_thinking","data":"x/y+=="},"#,
        r#"{"type":"text","text":"Let me look."},"#,
        r#"{"type":"web_search_tool_result","n": 1.50,"b":[ ]},"#,
        r#"{"type":"tool_use","id":"toolu_1","name":"bash","input":{"command": "ls", "n":1.0}},"#,
        r#"{"type":"tool_use","id":"toolu_2","name":"plan","input":{}}]"#,
    );

    fn rich() -> Answer {
        decode(&Anthropic, "m", &RICH).0.unwrap()
    }

    fn raw(answer: &Answer) -> &str {
        answer.raw.as_ref().unwrap().content.get()
    }

    #[test]
    fn an_answer_is_read_whole_and_kept_byte_for_byte() {
        let (answer, told) = decode(&Anthropic, "m", &RICH);
        let answer = answer.unwrap();
        assert_eq!(answer.text, "Let me look.");
        assert_eq!(answer.thought, "I é");
        let calls = [
            call("toolu_1", "bash", r#"{"command": "ls", "n":1.0}"#),
            call("toolu_2", "plan", "{}"),
        ];
        assert_eq!(answer.calls, calls);
        assert_eq!(answer.stop, StopReason::ToolUse);
        let usage = Usage { input: 60, cached: 30, cache_write: 20, output: 42 };
        assert_eq!(answer.usage, usage);
        assert_eq!(raw(&answer), RICH_RAW);
        assert_eq!(told, ["thought I é", "text Let me ", "text look.", "call bash", "call plan"]);
    }

    #[test]
    fn raw_content_goes_back_to_its_maker_alone() {
        let messages = [Message::User("go".to_owned()), Message::Assistant(rich())];
        let user = r#"{"role":"user","content":[{"type":"text","text":"go","cache_control":{"type":"ephemeral"}}]}"#;
        assert_eq!(
            history(&Anthropic, "m", &messages),
            format!(r#"[{user},{{"role":"assistant","content":{RICH_RAW}}}]"#)
        );
        let normalised = concat!(
            r#"{"role":"assistant","content":[{"type":"text","text":"Let me look."},"#,
            r#"{"type":"tool_use","id":"toolu_1","name":"bash","input":{"command": "ls", "n":1.0}},"#,
            r#"{"type":"tool_use","id":"toolu_2","name":"plan","input":{}}]}"#,
        );
        assert_eq!(history(&Anthropic, "other", &messages), format!("[{user},{normalised}]"));
    }

    #[test]
    fn sides_take_turns_and_results_come_first() {
        let foreign = answer("", &[("functions.bash:0", "bash", "{\"a\":")]);
        let messages = [
            Message::User("go".to_owned()),
            Message::User(" \n".to_owned()),
            Message::Assistant(foreign),
            Message::Results(vec![result("functions.bash:0", "bad", true)]),
            Message::User("stop".to_owned()),
            Message::Assistant(answer("", &[])),
            Message::User("now".to_owned()),
        ];
        let mark = Anthropic.cache_mark();
        let expected = [
            format!(r#"[{{"role":"user","content":[{{"type":"text","text":"go"{mark}}}]}}"#),
            r#"{"role":"assistant","content":[{"type":"tool_use","id":"functions_bash_0","name":"bash","input":{}}]}"#.to_owned(),
            format!(r#"{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"functions_bash_0","content":"bad","is_error":true}},{{"type":"text","text":"stop"}},{{"type":"text","text":"now"{mark}}}]}}]"#),
        ];
        assert_eq!(history(&Anthropic, "m", &messages), expected.join(","));
    }

    #[test]
    fn a_malformed_call_is_heard_but_goes_back_valid() {
        let mut events = RICH.to_vec();
        events[16] = r#"{"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":"\"\\ud800"}}"#;
        let answer = decode(&Anthropic, "m", &events).0.unwrap();
        assert_eq!(answer.calls[0].arguments, r#"{"command": "\ud800"#);
        let valid = RICH_RAW.replace(r#"{"command": "ls", "n":1.0}"#, "{}");
        assert_eq!(raw(&answer), valid);
    }

    #[test]
    fn a_cut_answer_keeps_what_is_whole() {
        let cut = r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{}}"#;
        let end = r#"{"type":"message_stop"}"#;
        let stop = r#"{"type":"content_block_stop","index":4}"#;
        for events in [
            [&RICH[..16], &[cut, end]].concat(),
            [&RICH[..16], &[stop, cut, end]].concat(),
            [&RICH[..15], &[stop, cut, end]].concat(),
        ] {
            let answer = decode(&Anthropic, "m", &events).0.unwrap();
            assert_eq!((answer.stop, answer.calls.len()), (StopReason::MaxTokens, 0));
            let whole = &RICH_RAW[..RICH_RAW.find(r#",{"type":"tool_use""#).unwrap()];
            assert_eq!(raw(&answer), format!("{whole}]"));
        }
        // The first call is whole, the second is not: the first may run.
        let answer = decode(&Anthropic, "m", &[&RICH[..19], &[cut, end]].concat()).0.unwrap();
        assert_eq!(answer.calls, [call("toolu_1", "bash", r#"{"command": "ls", "n":1.0}"#)]);
        // Thinking alone cannot go back.
        let answer = decode(&Anthropic, "m", &[&RICH[..8], &[cut, end]].concat()).0.unwrap();
        assert_eq!(raw(&answer), "[]");
        assert_eq!(history(&Anthropic, "m", &[Message::Assistant(answer)]), "[]");
    }

    #[test]
    fn every_end_has_its_meaning() {
        let end = |reason: &str| {
            let delta =
                format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}}}}"#);
            decode(&Anthropic, "m", &[RICH[0], &delta, r#"{"type":"message_stop"}"#]).0
        };
        for (reason, stop) in [
            ("end_turn", StopReason::EndTurn),
            ("stop_sequence", StopReason::EndTurn),
            ("tool_use", StopReason::EndTurn),
            ("max_tokens", StopReason::MaxTokens),
            ("refusal", StopReason::Refusal),
            ("pause_turn", StopReason::PauseTurn),
            ("tomorrows", StopReason::EndTurn),
        ] {
            assert_eq!(end(reason).unwrap().stop, stop, "{reason}");
        }
        let full = end("model_context_window_exceeded").unwrap_err();
        assert_eq!(full.cause, Cause::TooLong);
        let cut = decode(&Anthropic, "m", &RICH[..23]).0.unwrap_err();
        assert_eq!(cut.cause, Cause::Broken);
    }

    #[test]
    fn errors_in_a_stream_are_those_outside() {
        for (kind, cause) in [
            ("overloaded_error", Cause::Status(529)),
            ("api_error", Cause::Status(500)),
            ("rate_limit_error", Cause::Status(429)),
            ("authentication_error", Cause::Status(401)),
            ("invalid_request_error", Cause::Status(400)),
            ("request_too_large", Cause::TooLong),
            ("tomorrows_error", Cause::Broken),
        ] {
            let event = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"no"}}}}"#);
            let failure = decode(&Anthropic, "m", &[RICH[0], &event]).0.unwrap_err();
            assert_eq!((failure.cause, failure.message.as_str()), (cause, "no"), "{kind}");
        }
    }

    #[tokio::test]
    async fn a_request_begins_with_the_last_one() {
        let stream: String = RICH.iter().map(|event| format!("data: {event}\n\n")).collect();
        let server = Server::play(vec![Reply::stream(stream); 5]).await;
        let mut model = server.model("anthropic/claude-sonnet-4-6");
        model.push(&Message::User("task".to_owned()));
        for step in 0..5 {
            let answer = model.answer(&mut |_| {}).await.unwrap();
            let results = answer.calls.iter().map(|call| result(&call.id, "ok", false)).collect();
            model.push(&Message::Assistant(answer));
            model.push(&Message::Results(results));
            if step == 2 {
                model.push(&Message::User("and this".to_owned()));
            }
        }
        let bodies: Vec<String> =
            server.requests().into_iter().map(|request| request.body).collect();
        let mark = Anthropic.cache_mark();
        for pair in bodies.windows(2) {
            let (same, length) = shared(&pair[0], &pair[1], mark);
            assert_eq!(same + "]}".len(), length, "{}\n{}", pair[0], pair[1]);
            let request: Value = serde_json::from_str(&pair[1]).unwrap();
            assert_eq!(pair[1].matches("cache_control").count(), 4);
            assert_eq!(request["tools"][0]["cache_control"]["type"], "ephemeral");
            assert_eq!(request["system"][0]["cache_control"]["type"], "ephemeral");
            assert_eq!(request["max_tokens"], 32_000);
            assert_eq!(request["thinking"]["type"], "adaptive");
        }
        assert!(model.raise_output_limit());
        assert!(!model.raise_output_limit());
        assert_eq!(model.context_window(), Some(1_000_000));
        assert!(model.cost(&Usage { input: 1, ..Usage::default() }).unwrap() > 0.0);
    }
}
