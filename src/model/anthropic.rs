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
/// Asked for where the model's own limit is not known: every current model has it.
const MAX_OUTPUT: u64 = 32_000;

/// The Messages API.
pub(super) struct Anthropic;

impl Dialect for Anthropic {
    fn name(&self) -> &'static str {
        NAME
    }

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
