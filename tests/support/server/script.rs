//! What a scripted model says, turn by turn, in no dialect yet.
//!
//! Invariant: a script is a value; which turn is due is read off the request, so a retry is told
//! the same turn again and a resumed session goes on where it was.

use std::time::Duration;

use serde_json::Value;

/// All that one model says in one session.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub(super) needle: String,
    pub(super) turns: Vec<Turn>,
    pub(super) asides: Vec<(String, Turn)>,
    pub(super) oddities: Vec<Odd>,
}

impl Script {
    /// These turns, in this order. Being asked for one more is a violation.
    pub fn new(turns: impl IntoIterator<Item = Turn>) -> Self {
        Self { turns: turns.into_iter().collect(), ..Self::default() }
    }

    /// Used only for requests that contain `needle` (plain ASCII, e.g. the task): one server can
    /// so play the models of several sessions at once.
    #[must_use]
    pub fn for_task(mut self, needle: &str) -> Self {
        self.needle = needle.to_owned();
        self
    }

    /// Whenever the last message contains `needle` (plain ASCII), `turn` is said and not the one
    /// that is due: for requests besides the conversation, such as a compaction.
    #[must_use]
    pub fn aside(mut self, needle: &str, turn: Turn) -> Self {
        self.asides.push((needle.to_owned(), turn));
        self
    }

    /// Chat Completions as some compatible server speaks it; the other dialects ignore this.
    #[must_use]
    pub fn odd(mut self, odd: Odd) -> Self {
        self.oddities.push(odd);
        self
    }

    /// The turn at this place; asides are counted on after the turns.
    pub(super) fn turn(&self, index: usize) -> Option<&Turn> {
        self.turns
            .get(index)
            .or_else(|| self.asides.get(index.checked_sub(self.turns.len())?).map(|aside| &aside.1))
    }

    pub(super) fn is_odd(&self, odd: Odd) -> bool {
        self.oddities.contains(&odd)
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Turn {
    pub(super) blocks: Vec<Block>,
    pub(super) stop: Option<Stop>,
    pub(super) tokens: Tokens,
    pub(super) faults: Vec<Fault>,
    pub(super) delay: Duration,
}

impl Turn {
    /// An answer that says nothing at all, until something is added to it.
    pub fn empty() -> Self {
        Self {
            blocks: Vec::new(),
            stop: None,
            tokens: Tokens { input: 100, cached: 0, cache_write: 0, output: 10 },
            faults: Vec::new(),
            delay: Duration::ZERO,
        }
    }

    /// An answer that says `text` to the person.
    pub fn text(text: &str) -> Self {
        Self::empty().and_text(text)
    }

    /// An answer that calls one tool.
    pub fn call(name: &str, arguments: Value) -> Self {
        Self::empty().and_call(name, arguments)
    }

    /// Adds visible text.
    #[must_use]
    pub fn and_text(mut self, text: &str) -> Self {
        self.blocks.push(Block::Text(text.to_owned()));
        self
    }

    /// Adds reasoning; it is signed (or encrypted), and has to come back unchanged. Without any
    /// text it is a redacted block.
    #[must_use]
    pub fn and_thinking(mut self, text: &str) -> Self {
        self.blocks.push(Block::Thinking(text.to_owned()));
        self
    }

    /// Adds a call.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "called with json!(…) throughout")]
    pub fn and_call(self, name: &str, arguments: Value) -> Self {
        self.and_raw_call(name, &arguments.to_string())
    }

    /// Adds a call whose arguments are this text, JSON or not.
    #[must_use]
    pub fn and_raw_call(mut self, name: &str, arguments: &str) -> Self {
        self.blocks.push(Block::Call { name: name.to_owned(), arguments: arguments.to_owned() });
        self
    }

    /// Sets the stop reason; left alone it follows from whether there are calls.
    #[must_use]
    pub fn stop(mut self, stop: Stop) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Sets what the answer costs.
    #[must_use]
    pub fn tokens(mut self, tokens: Tokens) -> Self {
        self.tokens = tokens;
        self
    }

    /// Goes wrong in this way the first `times` times it is asked for. Several faults come one
    /// after the other, in the order they were added; then the turn is told as it is.
    #[must_use]
    pub fn fault(mut self, fault: Fault, times: usize) -> Self {
        self.faults.extend(std::iter::repeat_n(fault, times));
        self
    }

    /// Waits this long before the answer begins.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub(super) fn stop_reason(&self) -> Stop {
        let calls = self.blocks.iter().any(|block| matches!(block, Block::Call { .. }));
        self.stop.unwrap_or(if calls { Stop::ToolUse } else { Stop::EndTurn })
    }
}

/// One part of an answer.
#[derive(Clone, Debug)]
pub(super) enum Block {
    /// Visible text.
    Text(String),
    /// Signed or encrypted reasoning.
    Thinking(String),
    /// A call.
    Call { name: String, arguments: String },
}

/// Why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is done.
    EndTurn,
    /// It waits for the results of its calls.
    ToolUse,
    /// The length limit; the last call may be cut short.
    MaxTokens,
    /// It declines.
    Refusal,
    /// Anthropic's `pause_turn`; the other dialects end the turn.
    PauseTurn,
}

/// What an answer costs, the way `Usage` counts: input includes what is cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// All input tokens.
    pub input: u64,
    /// Of these, read from the cache.
    pub cached: u64,
    /// Of these, written to the cache.
    pub cache_write: u64,
    /// Output tokens.
    pub output: u64,
}

/// One way for an answer to go wrong. Byte counts are of the body as it is framed on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The connection is closed before a byte of the answer.
    HangUp,
    /// Half of the body, silence for this long, then the other half.
    Stall(Duration),
    /// The connection is closed after so many bytes of the body.
    Cut(usize),
    /// The connection is reset after so many bytes of the body.
    Reset(usize),
    /// The body ends properly, but without the events that end an answer.
    Truncate,
    /// The body comes in writes of so many bytes; nothing is wrong with it.
    Split(usize),
    /// An error status in the dialect's own shape.
    Status(u16),
    /// As `Status`, with `retry-after` in seconds.
    RetryAfter(u16, u64),
    /// As `Status`, with `retry-after-ms`.
    RetryAfterMs(u16, u64),
    /// An error status with the HTML page of some gateway.
    Html(u16),
    /// The conversation is said to be larger than the model's context: a 400, in the vendor's words.
    TooLong,
    /// In mid-stream comes an event whose data is not JSON.
    MalformedJson,
    /// In mid-stream come bytes that are neither SSE nor UTF-8.
    MalformedSse,
    /// In mid-stream of a 200 comes the error event of an overloaded server; the body then ends.
    ErrorEvent,
    /// Events, blocks and fields that no client knows are mixed in; nothing is wrong with it.
    Unknown,
    /// So many pings (comments where the dialect has none) between any two events; nothing is
    /// wrong with it.
    Pings(usize),
    /// So many pings, one each such interval, before the answer begins.
    SlowPings(usize, Duration),
}

/// What servers that say they speak Chat Completions do otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// Calls have no id.
    NoIds,
    /// A call comes whole in one chunk.
    WholeCalls,
    /// The finish reason is `stop` although there are calls.
    StopWithCalls,
    /// Reasoning comes as `reasoning`, not `reasoning_content`.
    ReasoningName,
    /// No usage is told.
    NoUsage,
}
