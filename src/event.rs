//! What happened in a session: the lines of its journal, of `log --json` and of every view.
//!
//! Invariant: a line holds all a reader needs, in the Agent Client Protocol's words where it has
//! one; a reader skips an update it does not know, and a journal is only ever appended to.

mod gate;
mod limit;
pub mod line;
mod network;
mod pull;
mod question;

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::message::{Answer, PlanItem, ToolCall, ToolResult, Usage};
use crate::redact;

pub use gate::{Gate, GateKind, Sample};
pub use limit::{Limit, LimitChange, LimitMark, NOTICED};
pub use network::{Access, Visit};
pub use pull::PullRequest;
pub use question::{Decision, Finding, Question, QuestionKind, SECRET, Verdict};

/// The format number that each line begins with.
pub const FORMAT: u32 = 1;

/// One line of the journal.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Format number of the line.
    pub format: u32,
    /// When it happened.
    pub time: Timestamp,
    /// The step it belongs to, counted from 1; 0 before the first answer.
    pub step: u32,
    /// The person who did it, `Ada <ada@example.org>`; none where nobody did, or nobody knows who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What happened.
    pub update: Update,
}

impl Event {
    /// An event of now.
    pub fn now(step: u32, update: Update) -> Self {
        Self { format: FORMAT, time: Timestamp::now(), step, by: None, update }
    }

    /// The same, done by this person.
    #[must_use]
    pub fn by(self, by: Option<String>) -> Self {
        Self { by, ..self }
    }

    /// Reads one line of a journal.
    ///
    /// An update that this program does not know, or one in a newer format, becomes
    /// [`Update::Unknown`].
    ///
    /// # Errors
    /// The line is not JSON, or lacks the frame that all formats share.
    pub fn parse(line: &str) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Frame<'a> {
            format: u32,
            time: Timestamp,
            step: u32,
            #[serde(default)]
            by: Option<String>,
            #[serde(borrow)]
            update: &'a RawValue,
        }
        let Frame { format, time, step, by, update } = serde_json::from_str(line)?;
        let update = match serde_json::from_str(update.get()) {
            Ok(update) => update,
            Err(_) => Update::Unknown,
        };
        Ok(Self { format, time, step, by, update })
    }

    /// The line, without its line end.
    ///
    /// # Errors
    /// Never for an event made by this program; serde's signature has one.
    pub fn to_line(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

/// What happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Update {
    /// A message that the model reads, word for word.
    UserMessage(UserMessage),
    /// One answer of the model, raw and normalised.
    AgentMessage(Answer),
    /// A call begins to run.
    ToolCall(ToolCall),
    /// A call has ended; the result is what the model reads.
    ToolCallUpdate(ToolEnd),
    /// The plan, whole.
    Plan(Vec<PlanItem>),
    /// A commit on the session's branch.
    Checkpoint(Checkpoint),
    /// A verify command has ended.
    Verify(VerifyRecord),
    /// The session waits for a person.
    Question(Question),
    /// A person has decided a question of yes or no.
    Decision(Decision),
    /// A person has set a limit anew.
    Limit(LimitChange),
    /// So much of a limit is used up.
    LimitMark(LimitMark),
    /// An answer of the model that did not come to its end.
    Unfinished(Unfinished),
    /// The session was at work for this long since the last such event, in milliseconds.
    Worked(u64),
    /// The session moves to another state.
    State(StateChange),
    /// A request failed and will be tried again.
    Waiting(Waiting),
    /// The model is told a shorter conversation from here on.
    Compaction(Compaction),
    /// Another model goes on.
    Model(ModelChange),
    /// Code and conversation were set to another moment: what counts now is [`line::Line`].
    Rewind(Rewind),
    /// What comes before is the past of another session, which this one was forked from.
    Fork(Fork),
    /// Changes that a person did not allow were taken out of the worktree.
    PutBack(PutBack),
    /// A command asked for a host of the network.
    Network(Visit),
    /// Its work is in a pull request, or what became of that.
    PullRequest(PullRequest),
    /// Anything else a person should know.
    Notice(String),
    /// An update of a newer program: skipped, never an error.
    #[serde(skip)]
    Unknown,
}

impl Update {
    /// The same without secrets: what is kept, and what the model is told.
    ///
    /// The provider's own content of an answer is changed within its strings alone, and dropped
    /// where the change would break a signature: the normalised view goes back then.
    #[must_use]
    pub fn redacted(self) -> Self {
        let Ok(text) = serde_json::to_string(&self) else { return self };
        let Cow::Owned(clean) = redact::json(&text) else { return self };
        match serde_json::from_str(&clean) {
            Ok(Self::AgentMessage(mut answer)) => {
                if let Self::AgentMessage(Answer { raw: Some(before), .. }) = &self {
                    answer.raw = answer.raw.filter(|raw| raw.is_signed_as(before));
                }
                Self::AgentMessage(answer)
            }
            Ok(clean) => clean,
            Err(error) => {
                tracing::error!(%error, "an event is kept out of the journal for a secret in it");
                Self::Notice("an event held a secret and is left out".to_owned())
            }
        }
    }
}

/// Who a [`UserMessage`] is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The task, with the facts of the start.
    Task,
    /// A person, by `say`.
    Person,
    /// The loop itself: a nudge, a verify result.
    Loop,
}

/// A message that the model reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserMessage {
    /// Who says it.
    pub from: Origin,
    /// What is said.
    pub text: String,
    /// The inbox message it came from, so that none is delivered twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox_id: Option<String>,
}

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolEnd {
    /// What the model reads.
    pub result: ToolResult,
    /// One line for people: `cargo test · exit 1 · 3.2 s`.
    pub title: String,
    /// How long it ran, in milliseconds.
    pub millis: u64,
}

/// A commit on the session's branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The commit, or none where the strategy holds it back: then only the tree is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The tree of the worktree by then: the commit's, and with it what is held back.
    pub tree: String,
    /// First line of its message.
    pub subject: String,
    /// Paths that changed, `/`-separated, lossy where not UTF-8.
    pub paths: Vec<String>,
    /// Lines added and removed against the step before.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// Files left out, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// How a person did it; none where it is the agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_person: Option<ByPerson>,
}

/// How a person did what the session has taken up and goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByPerson {
    /// They changed files while the session rested.
    Edit,
    /// They committed, or moved the branch, while the session rested.
    Commit,
    /// They did so while a step ran; that was found at its end.
    CommitInStep,
}

/// A verify command, or a gate, and what it said of one tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifyRecord {
    /// The command, as given.
    pub command: String,
    /// Exit code; 128 + n for a signal, 124 for the time limit.
    pub exit: i32,
    /// How long it ran, in milliseconds.
    pub millis: u64,
    /// The tree it ran on.
    pub tree: String,
    /// The end of what it printed, capped.
    pub output: String,
    /// What was measured, where it is a gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
}

/// The reason of a pause that a person asked for; any other needs one.
pub const BY_HAND: &str = "paused by hand";

/// A move between states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// The state it comes from.
    pub from: String,
    /// The state it is in now.
    pub to: String,
    /// Why, in one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Tokens used so far, so that a record alone tells the price.
    #[serde(default)]
    pub usage: Usage,
}

impl StateChange {
    /// Whether the session rests from here on until a person does something.
    pub fn is_rest(&self) -> bool {
        !matches!(self.to.as_str(), "queued" | "running" | "verifying" | "interrupted")
    }
}

/// A request that failed and will be tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What the server said.
    pub reason: String,
    /// Which try comes next, from 2.
    pub attempt: u32,
    /// When it goes out.
    pub until: Timestamp,
}

/// What the model is told from here on instead of the whole conversation, which the journal keeps.
///
/// It names steps and no bytes: what a reader makes of it is the same each time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compaction {
    /// Why, in one line.
    pub reason: String,
    /// Of the steps up to this one each result is told in one line; 0 is none of them.
    #[serde(default)]
    pub results_to: u32,
    /// The longest result of the steps behind, in bytes; none leaves them as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest: Option<u64>,
    /// What stands for the first steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// Tokens that the summary has cost.
    #[serde(default)]
    pub usage: Usage,
}

/// What stands for the first steps of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The last of these steps.
    pub steps_to: u32,
    /// What is said of them.
    pub text: String,
}

/// Another model goes on with the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelChange {
    /// The model so far, `provider/model`.
    pub from: String,
    /// The one from here on.
    pub to: String,
    /// Why, in one line.
    pub reason: String,
    /// Whether it is the session's own from here on; else that one is tried again after a rest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lasting: bool,
}

/// An answer of the model that did not come to its end: nothing of it is run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// What it had said when a person cut it short; empty where the request failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// What it has cost, as far as the server had told.
    #[serde(default)]
    pub usage: Usage,
}

/// Code and conversation were set to another moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewind {
    /// In which way.
    pub way: Way,
    /// The last step there is now; 0 is the start.
    pub step: u32,
    /// Where the code was before, what was in no commit included.
    pub from: Place,
    /// Where it is since.
    pub to: Place,
}

/// In which way time was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Back to the end of a step.
    Back,
    /// To where it was before the last rewind.
    Undo,
    /// To where it was before the last undo.
    Redo,
}

/// Where the code of a session is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The branch's commit, in hex.
    pub head: String,
    /// The tree of the worktree, in hex: also what no commit of the branch holds.
    pub tree: String,
}

/// Where a session was forked from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// The id of the other session.
    pub session: String,
    /// The last of its steps that both share.
    pub step: u32,
}

/// Changes that were taken out of the worktree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutBack {
    /// The paths, which are as they were after the step before.
    pub paths: Vec<String>,
    /// Why, in the person's words; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The commit that holds what they were, in hex; none where nothing was left to put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

/// What a model is saying just now: shown to who looks, never stored.
#[derive(Clone, Copy, Debug)]
pub enum Delta<'a> {
    /// More of the visible text.
    Text(&'a str),
    /// More of the reasoning.
    Thought(&'a str),
    /// The beginning of a call to the named tool.
    Call(&'a str),
    /// What this try has cost so far.
    Usage(Usage),
    /// The request failed; what was said of this answer so far is void, and it is tried again.
    Waiting(&'a Waiting),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{RawContent, StopReason};

    fn answer(content: &str) -> Update {
        let content = RawValue::from_string(content.to_owned()).unwrap();
        let (dialect, model) = ("anthropic".to_owned(), "claude".to_owned());
        Update::AgentMessage(Answer {
            text: String::new(),
            thought: String::new(),
            calls: Vec::new(),
            stop: StopReason::EndTurn,
            usage: Usage::default(),
            raw: Some(RawContent { dialect, model, content }),
        })
    }

    /// What goes back to the provider once secrets are taken out.
    fn raw_of(content: &str) -> Option<String> {
        match answer(content).redacted() {
            Update::AgentMessage(answer) => answer.raw.map(|raw| raw.content.get().to_owned()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn h12_the_providers_own_content_keeps_every_byte_that_is_no_secret() {
        let key = ["ghp", "_kJ8f0Zq1Xw7Lm3PdR5tY9uB2nC6vH4sA0eGx"].concat();
        let thought = |thought: &str| {
            format!(r#"{{"type":"thinking","thinking":"{thought}","signature":"Eq/+==" }}"#)
        };
        let plain = format!(r#"[{}, {{"text":"\u00e9","n":1.0}}]"#, thought("I know"));
        assert_eq!(raw_of(&plain), Some(plain.clone()));
        let said = format!(r#"[{}, {{"n": 1.0,"text":"\nIt is {key}"}}]"#, thought("I know"));
        assert_eq!(raw_of(&said), Some(said.replace(&key, "[REDACTED:github-pat]")));
        let signed = format!(r#"[{}, {{"n": 1.0,"text":"It is"}}]"#, thought(&key));
        assert_eq!(raw_of(&signed), None);
    }
}
