//! The words a model, the tools and the loop share: what is said, called and answered.
//!
//! Invariant: nothing here knows a wire format, a tool or a disk. An [`Answer`] keeps the
//! provider's own content beside the normalised view, because signed thinking and encrypted
//! reasoning must go back byte for byte.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One entry of the conversation, in the order it was said.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Said by a person, or by the loop on a person's behalf.
    User(String),
    /// Said by the model.
    Assistant(Answer),
    /// What the calls of the preceding answer gave, one result a call and in their order.
    Results(Vec<ToolResult>),
}

/// One answer of the model, with all its calls: the content of one step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// What the model says to a person; empty when it only calls.
    #[serde(default)]
    pub text: String,
    /// The readable part of its reasoning, where the provider shows one; never sent back.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub thought: String,
    /// The calls it makes, in order.
    #[serde(default)]
    pub calls: Vec<ToolCall>,
    /// Why it stopped.
    pub stop: StopReason,
    /// What it cost in tokens.
    #[serde(default)]
    pub usage: Usage,
    /// The provider's own content, for the exact replay to the same provider and model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<RawContent>,
}

/// An answer as the provider sent it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RawContent {
    /// The wire format it is in, e.g. `anthropic`, `responses`, `chat`.
    pub dialect: String,
    /// The model asked for; another model does not get this content back.
    pub model: String,
    /// The content itself: the bytes that go back.
    pub content: Box<RawValue>,
}

impl RawContent {
    /// Whether every signed part is as it is in the other.
    pub fn is_signed_as(&self, other: &Self) -> bool {
        let signed = |raw: &Self| {
            let parts: Vec<serde_json::Value> = serde_json::from_str(raw.content.get()).ok()?;
            let is_signed = |part: &serde_json::Value| {
                ["signature", "encrypted_content", "data"].iter().any(|key| part.get(key).is_some())
            };
            Some(parts.into_iter().filter(is_signed).collect::<Vec<_>>())
        };
        signed(self) == signed(other)
    }
}

/// Why a model stopped. The words are the Agent Client Protocol's where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It has said what it wanted to say.
    EndTurn,
    /// It waits for the results of its calls.
    ToolUse,
    /// The answer hit its length limit; a call in it is not complete.
    MaxTokens,
    /// It declines to go on.
    Refusal,
    /// The provider asks to be sent the same turn again (Anthropic `pause_turn`).
    PauseTurn,
}

/// One call of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id, or one of ours where it sent none.
    pub id: String,
    /// The tool's name as the model wrote it.
    pub name: String,
    /// The arguments as the model wrote them: JSON text, maybe malformed.
    pub arguments: String,
}

/// What one call gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The id of the call it answers.
    pub call_id: String,
    /// What the model reads.
    pub output: String,
    /// Whether the call failed in a way that the model should hear as an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
}

/// A tool as a model is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    /// `^[a-zA-Z0-9_-]{1,64}$`.
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// JSON Schema of the arguments: one flat object.
    pub parameters: serde_json::Value,
}

/// Tokens of one answer, or of many added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All input tokens, cached ones included.
    pub input: u64,
    /// Of these, read from the provider's cache.
    #[serde(default)]
    pub cached: u64,
    /// Of these, written to the provider's cache.
    #[serde(default)]
    pub cache_write: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input += other.input;
        self.cached += other.cached;
        self.cache_write += other.cache_write;
        self.output += other.output;
    }
}

impl std::ops::Sub for Usage {
    type Output = Self;

    /// What was used between two counts; never less than nothing.
    fn sub(self, earlier: Self) -> Self {
        Self {
            input: self.input.saturating_sub(earlier.input),
            cached: self.cached.saturating_sub(earlier.cached),
            cache_write: self.cache_write.saturating_sub(earlier.cache_write),
            output: self.output.saturating_sub(earlier.output),
        }
    }
}

/// One item of the model's plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanItem {
    /// What is to be done.
    pub text: String,
    /// How far it is.
    pub status: PlanStatus,
}

/// How far an item of the plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanStatus {
    /// Not begun.
    Pending,
    /// Being worked on.
    Doing,
    /// Finished.
    Done,
    /// Given up; counts neither as open nor as progress.
    Dropped,
}
