//! One answer of Anthropic's, as it streams in.
//!
//! Invariant: a block that no delta touched is kept as the very text it came in; what is taken
//! away is only what the API would refuse to take back.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::dialect::{Decoder, is_object, keep, sendable, settle};
use super::retry::{Cause, Failure};
use super::wire_error::WireError;
use crate::event::Delta;
use crate::message::{Answer, StopReason, ToolCall, Usage};

/// One answer as it streams in.
#[derive(Default)]
pub(super) struct Stream {
    dialect: &'static str,
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
    index: usize,
    kind: String,
    /// As it began, word for word.
    start: Box<RawValue>,
    /// As it began and has grown.
    fields: Map<String, Value>,
    grown: bool,
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

impl Stream {
    pub(super) fn new(dialect: &'static str, model: &str) -> Self {
        Self { dialect, model: model.to_owned(), ..Self::default() }
    }
}

impl Decoder for Stream {
    fn event(&mut self, data: &str, on: &mut dyn FnMut(Delta<'_>)) -> Result<bool, Failure> {
        let frame: Frame = serde_json::from_str(data)
            .map_err(|error| Failure::broken(format!("malformed event: {error}")))?;
        match frame.kind.as_str() {
            "message_start" => {
                if let Some(usage) = frame.message.and_then(|message| message.usage) {
                    self.usage.update(usage);
                    on(Delta::Usage(self.usage.total()));
                }
            }
            "content_block_start" => self.begin(frame, on)?,
            "content_block_delta" => self.grow(frame, on)?,
            "content_block_stop" => {
                if let Some(block) = self.block(frame.index) {
                    block.stopped = true;
                }
            }
            "message_delta" => {
                if let Some(usage) = frame.usage {
                    self.usage.update(usage);
                    on(Delta::Usage(self.usage.total()));
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
            raw: Some(keep(self.dialect, &self.model, self.raw())?),
            text: self.text,
            thought: self.thought,
            calls,
            usage: self.usage.total(),
        })
    }
}

impl Stream {
    fn begin(&mut self, frame: Frame, on: &mut dyn FnMut(Delta<'_>)) -> Result<(), Failure> {
        let (Some(index), Some(start)) = (frame.index, frame.content_block) else {
            return Err(Failure::broken("a block without content"));
        };
        let fields: Map<String, Value> = serde_json::from_str(start.get())
            .map_err(|error| Failure::broken(format!("malformed block: {error}")))?;
        let text = |field: &str| fields.get(field).and_then(Value::as_str).unwrap_or_default();
        let kind = text("type").to_owned();
        match kind.as_str() {
            "text" => {
                // Texts with something between them are paragraphs; neighbours are one text.
                let apart = self.blocks.last().is_some_and(|block| block.kind != "text");
                if apart && !self.text.is_empty() {
                    self.say("\n\n", on);
                }
                self.say(text("text"), on);
            }
            "thinking" => self.think(text("thinking"), on),
            "tool_use" => on(Delta::Call(text("name"))),
            _ => {}
        }
        let (grown, input, stopped) = (false, String::new(), false);
        self.blocks.push(Block { index, kind, start, fields, grown, input, stopped });
        Ok(())
    }

    fn grow(&mut self, frame: Frame, on: &mut dyn FnMut(Delta<'_>)) -> Result<(), Failure> {
        let (Some(block), Some(delta)) = (self.block(frame.index), frame.delta) else {
            return Err(Failure::broken("a delta without a block"));
        };
        let text = |field: &str| delta.get(field).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "text_delta" => {
                block.append("text", text("text"));
                self.say(text("text"), on);
            }
            "thinking_delta" => {
                block.append("thinking", text("thinking"));
                self.think(text("thinking"), on);
            }
            "signature_delta" => block.append("signature", text("signature")),
            "input_json_delta" => block.input.push_str(text("partial_json")),
            "citations_delta" => block.cite(delta.get("citation")),
            _ => {}
        }
        Ok(())
    }

    fn block(&mut self, index: Option<usize>) -> Option<&mut Block> {
        self.blocks.iter_mut().rfind(|block| Some(block.index) == index)
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
    fn append(&mut self, field: &str, more: &str) {
        self.grown = true;
        match self.fields.entry(field).or_insert_with(|| json!("")) {
            Value::String(text) => text.push_str(more),
            other => *other = more.into(),
        }
    }

    fn cite(&mut self, citation: Option<&Value>) {
        self.grown = true;
        match self.fields.entry("citations").or_insert_with(|| json!([])) {
            Value::Array(citations) => citations.extend(citation.cloned()),
            other => *other = citation.cloned().into_iter().collect(),
        }
    }

    fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    fn is_blank_text(&self) -> bool {
        self.kind == "text" && self.text("text").trim().is_empty()
    }

    fn raw(&self) -> String {
        if self.input.is_empty() && !self.grown {
            return self.start.get().to_owned();
        }
        let mut fields = Vec::with_capacity(self.fields.len());
        for (name, value) in &self.fields {
            let name = Value::from(name.as_str());
            // The input stands as the model wrote it, save where that is not JSON.
            if name == "input" && !self.input.is_empty() {
                fields.push(format!("{name}:{}", sendable(&self.input)));
            } else {
                fields.push(format!("{name}:{value}"));
            }
        }
        format!("{{{}}}", fields.join(","))
    }

    fn call(&self) -> Option<ToolCall> {
        if self.kind != "tool_use" {
            return None;
        }
        let arguments = match (self.input.as_str(), self.fields.get("input")) {
            // A call without arguments streams none.
            ("", Some(input)) => input.to_string(),
            ("", None) => "{}".to_owned(),
            (input, _) => input.to_owned(),
        };
        Some(ToolCall { id: self.text("id").into(), name: self.text("name").into(), arguments })
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
