//! What a session looks like from outside: plain values that table, card and JSON share.
//!
//! Invariant: nothing here is formatted, and the fields and their order are format 1 of
//! `list --json` and `status --json`; one may be added, none renamed or removed.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::event::{Gate, Limit, QuestionKind, Waiting};
use crate::message::PlanItem;

/// One session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SessionView {
    /// The id, unique across machines.
    pub id: String,
    /// The name: the last part of the branch.
    pub name: String,
    /// The task, as given.
    pub task: String,
    /// The state's name: `running`, `needs-input` …
    pub state: String,
    /// Why it is in this state; none where that says itself.
    pub reason: Option<String>,
    /// The branch, without `refs/heads/`.
    pub branch: String,
    /// The worktree's folder; none when it is removed.
    pub worktree: Option<String>,
    /// The commit it began at.
    pub base: String,
    /// The tip of the branch.
    pub head: String,
    /// Steps taken.
    pub steps: u32,
    /// How far the plan is.
    pub progress: Progress,
    /// Files changed since the base.
    pub files: u64,
    /// Lines added since the base.
    pub insertions: u64,
    /// Lines removed since the base.
    pub deletions: u64,
    /// What the last verify said.
    pub verify: VerifyView,
    /// Tokens and price.
    pub usage: UsageView,
    /// The level of containment: `full`, `reduced`, `none`.
    pub sandbox: String,
    /// When it was started.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// What it waits to be told.
    pub question: Option<String>,
    /// A request that will be tried again, while it waits for that.
    pub waiting: Option<Waiting>,
    /// Where it stands, while it waits to be run.
    pub queue: Option<QueueView>,
    /// How that is answered: `ask`, `limit` …
    pub question_kind: Option<QuestionKind>,
    /// What it may use up.
    pub limits: LimitsView,
    /// Time at work, in seconds.
    pub worked_s: u64,
    /// What it is known to collide with, sessions and branches; left out where that is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflicts_with: Vec<String>,
    /// Which of several attempts at one task it is; left out where it is the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptView>,
    /// What its gates have measured of the work as it is now; left out where nothing was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// Whether its work is not for landing; left out where it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub experiment: bool,
    /// Its pull request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullView>,
    /// What else a person should know in a line: why it stopped, what it waits for.
    #[serde(skip)]
    pub note: Option<String>,
    /// The model, as `provider/model`.
    #[serde(skip)]
    pub model: String,
    /// What it takes on the disk, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<SizeView>,
}

/// Which of several attempts at one task a session is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptView {
    /// What they are called together.
    pub group: String,
    /// Which one, counted from 1.
    pub number: u32,
    /// How many there were at the start.
    pub of: u32,
    /// How it goes about the task; empty where that was left open.
    pub approach: String,
}

/// A session's pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PullView {
    /// Its number; none while there is but a branch.
    pub number: Option<u64>,
    /// Its page.
    pub url: String,
    /// What became of it: `open`, `merged`, `closed`, `pushed`.
    pub state: String,
    /// Its branch, at the remote.
    pub branch: String,
    /// In few words: `#7 open`.
    #[serde(skip)]
    pub label: String,
}

/// What a session takes on the disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SizeView {
    /// Its worktree.
    pub worktree: u64,
    /// Its folder, without what comes next.
    pub state: u64,
    /// Its supervisor's log, and outputs too long for the model.
    pub logs: u64,
    /// All of it.
    pub total: u64,
}

/// Where a session stands that waits to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueueView {
    /// Counted from 1, among those of its repository.
    pub position: usize,
    /// How many wait there.
    pub of: usize,
    /// What goes first: `high`, `medium`, `low`.
    pub priority: String,
    /// What it waits for, in words; empty where that has just come true.
    pub waits_for: String,
}

/// How far a plan is; `0/0` without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Items finished.
    pub done: usize,
    /// Items there are, without dropped ones.
    pub total: usize,
}

/// What verify said of the tree that is now at the tip.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyView {
    /// How it ended.
    pub status: VerifyStatus,
    /// The command that decided: the first that failed, else the last.
    pub command: Option<String>,
    /// Its exit code.
    pub exit: Option<i32>,
    /// The tree it ran on.
    pub tree: Option<String>,
}

/// How verify ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyStatus {
    /// Each command exited with 0.
    Passed,
    /// One did not.
    Failed,
    /// None ran on this tree.
    #[default]
    None,
}

/// Tokens and price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct UsageView {
    /// Input tokens, cached ones included.
    pub input: u64,
    /// Of these, read from the provider's cache.
    pub cached: u64,
    /// Output tokens.
    pub output: u64,
    /// The price; none when it is not known.
    pub cost_usd: Option<f64>,
}

/// What a session may use up; none is no limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LimitsView {
    /// US dollars.
    pub budget_usd: Option<f64>,
    /// The budget that it shares with other sessions instead.
    pub shared_budget: Option<String>,
    /// Tokens, in and out.
    pub tokens: Option<u64>,
    /// Steps.
    pub steps: Option<u32>,
    /// Time at work, in seconds.
    pub timeout_s: Option<u64>,
}

/// One limit, and how far it is used up, in the limit's own unit.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitView {
    /// Which one.
    pub limit: Limit,
    /// What is used; none where it cannot be counted.
    pub spent: Option<f64>,
    /// What there may be.
    pub to: f64,
    /// The name of a budget that is shared.
    pub shared: Option<String>,
}

/// One session in full, for `status`.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionCard {
    /// The session.
    pub session: SessionView,
    /// Its plan.
    pub plan: Vec<PlanItem>,
    /// The commits since the base, oldest first.
    pub commits: Vec<CommitView>,
    /// The answers that its question offers; may be none.
    pub options: Vec<String>,
    /// What it is doing now, in one line; may be empty.
    pub activity: String,
    /// Its worktree as one would type it here.
    pub place: String,
    /// What the agent said at the end; may be empty.
    pub summary: String,
    /// What a person should know.
    pub notices: Vec<String>,
    /// Its limits.
    pub limits: Vec<LimitView>,
}

/// One commit of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommitView {
    /// Its id.
    pub id: String,
    /// First line of its message.
    pub subject: String,
    /// When it was made.
    pub time: Timestamp,
}

impl Progress {
    /// How far this plan is.
    pub fn of(plan: &[PlanItem]) -> Self {
        use crate::message::PlanStatus::{Done, Dropped};
        let count = |wanted: fn(&PlanItem) -> bool| plan.iter().filter(|item| wanted(item)).count();
        Self {
            done: count(|item| item.status == Done),
            total: count(|item| item.status != Dropped),
        }
    }
}

/// What a person should look at first comes first; within that, the newest. The attempts at one
/// task stand together, where the first of them does.
pub fn sort_by_attention(sessions: &mut [SessionView]) {
    sessions.sort_by(|a, b| {
        let rank = |session: &SessionView| super::table::standing(&session.state).rank;
        rank(a).cmp(&rank(b)).then(b.created.cmp(&a.created)).then(a.id.cmp(&b.id))
    });
    let group = |session: &SessionView| session.attempt.as_ref().map(|it| it.group.clone());
    let mut first: HashMap<String, usize> = HashMap::new();
    let mut place = |(at, session): (usize, &SessionView)| match group(session) {
        Some(group) => *first.entry(group).or_insert(at),
        None => at,
    };
    let places: HashMap<String, usize> = sessions
        .iter()
        .enumerate()
        .map(|(at, session)| (session.id.clone(), place((at, session))))
        .collect();
    sessions.sort_by_key(|session| {
        let number = session.attempt.as_ref().map_or(0, |it| it.number);
        (places.get(&session.id).copied(), number)
    });
}
