//! Where a session is: its phase, the legal moves, and what every view shows of it.
//!
//! Invariant: [`MOVES`] is the only list of legal moves, and the file is replaced whole by the one
//! writer, so a reader sees one moment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::format::{self, FORMAT, FormatError};
use super::spec::{Limits, Spec};
use super::ticket::Priority;
use crate::event::{
    Checkpoint, Gate, GateKind, Limit, PullRequest, Question, StateChange, VerifyRecord, Waiting,
};
use crate::file;
use crate::message::{PlanItem, PlanStatus, Usage};

/// The phase of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Waits to be run.
    Queued,
    /// The loop runs.
    Running,
    /// The verify commands run.
    Verifying,
    /// Finished, and verified where a verify command was given.
    Done,
    /// Rests by somebody's wish, or until something is repaired.
    Paused,
    /// Rests until a person answers.
    NeedsInput,
    /// Its supervisor died.
    Interrupted,
    /// Gave up.
    Failed,
    /// Ended by a person.
    Stopped,
    /// Its work is on the branch it was for.
    Landed,
    /// Folded away.
    Archived,
}

/// Every legal move, from and to; no other is.
pub const MOVES: &[(Phase, Phase)] = {
    use Phase::{
        Archived, Done, Failed, Interrupted, Landed, NeedsInput, Paused, Queued, Running, Stopped,
        Verifying,
    };
    &[
        (Queued, Running),
        (Queued, Paused),
        (Queued, Interrupted),
        (Queued, Failed),
        (Queued, Stopped),
        (Running, Verifying),
        (Running, Done),
        (Running, Paused),
        (Running, NeedsInput),
        (Running, Interrupted),
        (Running, Failed),
        (Running, Stopped),
        (Verifying, Running),
        (Verifying, Done),
        (Verifying, Paused),
        (Verifying, Interrupted),
        (Verifying, Failed),
        (Verifying, Stopped),
        // What rests may go on, be ended, or be landed as it is.
        (Paused, Queued),
        (Paused, Running),
        // A rewind is undone that had left a question aside.
        (Paused, NeedsInput),
        (Paused, Stopped),
        (Paused, Landed),
        (NeedsInput, Queued),
        (NeedsInput, Running),
        (NeedsInput, Paused),
        (NeedsInput, Stopped),
        (NeedsInput, Landed),
        (Interrupted, Queued),
        (Interrupted, Running),
        (Interrupted, Paused),
        (Interrupted, NeedsInput),
        (Interrupted, Stopped),
        (Interrupted, Landed),
        (Interrupted, Archived),
        (Done, Queued),
        (Done, Running),
        (Done, Paused),
        (Done, NeedsInput),
        (Done, Landed),
        (Done, Archived),
        (Failed, Queued),
        (Failed, Running),
        (Failed, Paused),
        (Failed, NeedsInput),
        (Failed, Landed),
        (Failed, Archived),
        (Stopped, Queued),
        (Stopped, Running),
        (Stopped, Paused),
        (Stopped, NeedsInput),
        (Stopped, Landed),
        (Stopped, Archived),
        // A landing can be undone.
        (Landed, Done),
        (Landed, Archived),
    ]
};

/// A move that is not in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session that is {from} cannot become {to}")]
pub struct IllegalMove {
    /// Where it is.
    pub from: Phase,
    /// Where it cannot go.
    pub to: Phase,
}

impl Phase {
    /// All phases, in the order of a session's life.
    pub const ALL: [Self; 11] = [
        Self::Queued,
        Self::Running,
        Self::Verifying,
        Self::Done,
        Self::Paused,
        Self::NeedsInput,
        Self::Interrupted,
        Self::Failed,
        Self::Stopped,
        Self::Landed,
        Self::Archived,
    ];

    /// The word in files, JSON and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Verifying => "verifying",
            Self::Done => "done",
            Self::Paused => "paused",
            Self::NeedsInput => "needs-input",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Landed => "landed",
            Self::Archived => "archived",
        }
    }

    /// Whether the table allows this move.
    pub fn may_become(self, to: Self) -> bool {
        MOVES.contains(&(self, to))
    }

    /// Whether a supervisor must be there, or must come at once, for this to be true.
    pub fn needs_supervisor(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Verifying)
    }

    /// Whether nothing more will be said or done in it: it takes no message and no resume.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Landed | Self::Archived)
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a session is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Format number of the file.
    pub format: u32,
    /// The phase.
    pub phase: Phase,
    /// Why it is in this phase, in one line; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Steps taken.
    #[serde(default)]
    pub step: u32,
    /// The branch's commit after the last step, in hex; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The tree after the last step, in hex: also what no commit holds yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
    /// How much of the journal the last record holds, in bytes.
    #[serde(default)]
    pub recorded: u64,
    /// Where somebody else has moved the branch, in hex, where the session rests because of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<String>,
    /// All that the agent did is in the tree: what differs from it by now is somebody else's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
    /// What it is doing now, in one line; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub activity: String,
    /// What the model said at the end.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// Messages taken from the inbox so far.
    #[serde(default)]
    pub delivered: u64,
    /// What goes first, where it has to wait.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub priority: Priority,
    /// US dollars; none while a price is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// The same, as far as prices are known: what a budget holds.
    #[serde(default, skip_serializing_if = "is_nought")]
    pub counted_usd: f64,
    /// When the session was made.
    pub created: Timestamp,
    /// When it first ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When this was written.
    pub updated: Timestamp,
    /// Files that no commit holds, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Files that were copied into the worktree and may hold secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with_secrets: Vec<PathBuf>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// The models that have answered, as people read them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Tokens so far.
    #[serde(default)]
    pub usage: Usage,
    /// Time at work so far, in milliseconds.
    #[serde(default, skip_serializing_if = "is_nought")]
    pub worked: u64,
    /// What differs from the base.
    #[serde(default)]
    pub changes: Changes,
    /// What it may use up by now, where a person has changed that since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What the model asks, while it waits for the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
    /// A request that will be tried again, while it waits for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// The last verify run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<VerifyRecord>,
    /// What the gates said last, one of each kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<VerifyRecord>,
    /// Its pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequest>,
    /// The model's plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<PlanItem>,
    /// Sessions that change the same lines, which a person was told of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neighbours: Vec<String>,
    /// What the journal has still to say of branch and files; it does so behind the record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untold: Vec<Checkpoint>,
    /// Keys of a newer program, kept as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, toml::Value>,
}

/// How much differs from the base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Files.
    pub files: u64,
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
}

/// What the last verify run says of the work as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyStatus {
    /// It passed on the tree of now.
    Passed,
    /// It failed.
    Failed,
    /// It did not run, or passed on a tree that has changed since.
    None,
}

impl State {
    /// The file of the state in a session's folder, and in the tree of a record.
    pub const FILE: &str = "state.toml";

    /// The state of a session that has just been made.
    pub fn new(created: Timestamp) -> Self {
        Self {
            format: FORMAT,
            phase: Phase::Queued,
            reason: String::new(),
            step: 0,
            head: None,
            tree: None,
            recorded: 0,
            moved_to: None,
            settled: false,
            activity: String::new(),
            summary: String::new(),
            delivered: 0,
            priority: Priority::default(),
            cost_usd: None,
            counted_usd: 0.0,
            created,
            started: None,
            updated: created,
            left_out: Vec::new(),
            with_secrets: Vec::new(),
            notices: Vec::new(),
            models: Vec::new(),
            usage: Usage::default(),
            worked: 0,
            changes: Changes::default(),
            limits: None,
            question: None,
            waiting: None,
            verify: None,
            gates: Vec::new(),
            pull_request: None,
            plan: Vec::new(),
            neighbours: Vec::new(),
            untold: Vec::new(),
            unknown: BTreeMap::new(),
        }
    }

    /// Moves to another phase and gives the event that says so. What belonged to the old phase
    /// alone (the question, the activity, the wait) is gone with it.
    ///
    /// # Errors
    /// The table does not allow it; nothing has changed then.
    pub fn move_to(
        &mut self,
        to: Phase,
        reason: &str,
        now: Timestamp,
    ) -> Result<StateChange, IllegalMove> {
        let from = self.phase;
        if !from.may_become(to) {
            return Err(IllegalMove { from, to });
        }
        self.phase = to;
        reason.clone_into(&mut self.reason);
        self.updated = now;
        self.question = None;
        self.waiting = None;
        self.activity.clear();
        if to == Phase::Running && self.started.is_none() {
            self.started = Some(now);
        }
        let (from, to) = (from.to_string(), to.to_string());
        Ok(StateChange { from, to, reason: self.reason.clone(), usage: self.usage })
    }

    /// Notes what a person should know. The journal has all of it, the state the last: it is written
    /// at each step.
    pub fn notice(&mut self, text: String) {
        const KEPT: usize = 20;
        self.notices.push(text);
        self.notices.drain(..self.notices.len().saturating_sub(KEPT));
    }

    /// How much of a limit is used up; none where it cannot be counted.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn spent(&self, spec: &Spec, limit: Limit) -> Option<f64> {
        match limit {
            Limit::Steps => {
                // The session that it was forked from has paid for the others.
                let before = spec.forked_from.as_ref().map_or(0, |origin| origin.step);
                Some(f64::from(self.step.saturating_sub(before)))
            }
            Limit::Tokens => Some((self.usage.input + self.usage.output) as f64),
            // What has no price gives nothing back of what had one.
            Limit::Budget => self.cost_usd.or((self.counted_usd > 0.0).then_some(self.counted_usd)),
            Limit::Timeout => Some(self.worked as f64 / 1_000.0),
        }
    }

    /// Plan items done, and items that count at all; none where there is no plan.
    pub fn progress(&self) -> Option<(usize, usize)> {
        let counted = |item: &&PlanItem| item.status != PlanStatus::Dropped;
        let total = self.plan.iter().filter(counted).count();
        let done = self.plan.iter().filter(|item| item.status == PlanStatus::Done).count();
        (total > 0).then_some((done, total))
    }

    /// Takes in what a verify command or a gate has said.
    pub fn take_verify(&mut self, record: &VerifyRecord) {
        self.verify = Some(record.clone());
        if let Some(gate) = record.gate {
            self.gates.retain(|known| known.gate.is_none_or(|it| it.kind != gate.kind));
            self.gates.push(record.clone());
        }
    }

    /// What a gate has measured of the work as it is now.
    pub fn gate(&self, kind: GateKind) -> Option<Gate> {
        let of_now = |record: &&VerifyRecord| Some(&record.tree) == self.tree.as_ref();
        let gates = self.gates.iter().filter(of_now).filter_map(|record| record.gate);
        gates.into_iter().find(|gate| gate.kind == kind)
    }

    /// What the last verify run says of the work as it is now.
    pub fn verify_status(&self) -> VerifyStatus {
        match &self.verify {
            Some(record) if record.exit != 0 => VerifyStatus::Failed,
            Some(record) if Some(&record.tree) == self.tree.as_ref() => VerifyStatus::Passed,
            _ => VerifyStatus::None,
        }
    }

    /// Reads a state; `path` names it in errors.
    ///
    /// # Errors
    /// The text is no state, or too new to be understood.
    pub fn parse(text: &str, path: &Path) -> Result<Self, FormatError> {
        format::parse(text, path)
    }

    /// The text of the file.
    ///
    /// # Errors
    /// Never for a state made here; the format cannot hold everything.
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        format::text(self)
    }

    /// Replaces the file, durably: after a crash it is the old state or this one.
    ///
    /// # Errors
    /// A newer program wrote this state; or the file system says no.
    pub fn write(&self, path: &Path) -> Result<(), FormatError> {
        file::replace(path, self.text_for(path)?.as_bytes())?;
        Ok(())
    }

    /// As [`State::write`], without waiting for the disk: for an activity line, whose loss in a
    /// power cut loses nothing.
    ///
    /// # Errors
    /// As [`State::write`].
    pub fn write_unsynced(&self, path: &Path) -> Result<(), FormatError> {
        file::replace_unsynced(path, self.text_for(path)?.as_bytes())?;
        Ok(())
    }

    fn text_for(&self, path: &Path) -> Result<String, FormatError> {
        format::writable(path, self.format)?;
        self.to_text().map_err(|source| FormatError::Malformed {
            path: path.to_owned(),
            source: source.into(),
        })
    }
}

/// An ordinary priority says nothing.
fn is_usual(priority: &Priority) -> bool {
    *priority == Priority::default()
}

fn is_nought<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn every_pair_moves_exactly_as_the_table_says() {
        let mut legal = 0;
        for from in Phase::ALL {
            for to in Phase::ALL {
                let mut state = State { phase: from, ..State::new(at(0)) };
                let before = state.clone();
                let moved = state.move_to(to, "why", at(1));
                if MOVES.contains(&(from, to)) {
                    legal += 1;
                    assert_eq!((state.phase, moved.unwrap().from), (to, from.to_string()));
                } else {
                    assert_eq!((moved.unwrap_err(), &state), (IllegalMove { from, to }, &before));
                }
            }
        }
        assert_eq!(legal, MOVES.len(), "a move stands twice in the table");
    }

    #[test]
    fn the_table_has_the_shape_that_the_phases_promise() {
        for phase in Phase::ALL {
            let onward = Phase::ALL.into_iter().filter(|to| phase.may_become(*to));
            let goes_on = onward.clone().any(Phase::needs_supervisor);
            assert_eq!(phase.is_final(), !goes_on, "{phase}: what is not final can go on");
            assert!(!phase.may_become(phase), "{phase} to itself");
            let interruptible = phase.may_become(Phase::Interrupted);
            assert_eq!(interruptible, phase.needs_supervisor(), "{phase}: who dies is interrupted");
            let spelled: Phase =
                toml::Value::String(phase.to_string()).try_into().expect("the word in files");
            assert_eq!(spelled, phase);
        }
    }

    #[test]
    fn a_state_stays_small_however_much_there_is_to_notice() {
        let mut state = State::new(at(0));
        (1..=50).for_each(|number| state.notice(number.to_string()));
        assert_eq!(state.notices, (31..=50).map(|it| it.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_state_reads_back_with_keys_it_does_not_know() {
        let mut state = State::new(at(5));
        state.question = Some(Question { text: "15?".into(), number: 2, ..Question::default() });
        state.plan = vec![PlanItem { text: "a = \"b\"".into(), status: PlanStatus::Doing }];
        state.cost_usd = Some(0.41);
        state.left_out = vec!["big.bin: 12 MiB".into()];
        let text = format!("{}\n[later]\nhue = \"blue\"\n", state.to_text().unwrap());
        assert!(text.starts_with("format = 1\nphase = \"queued\"\n"), "{text}");
        let read = State::parse(&text, Path::new("state.toml")).unwrap();
        let hue = toml::Table::from_iter([("hue".to_owned(), "blue".into())]);
        state.unknown.insert("later".to_owned(), toml::Value::Table(hue));
        assert_eq!(read, state);
        assert_eq!(State::parse(&read.to_text().unwrap(), Path::new("")).unwrap(), state);
    }

    #[test]
    fn e09_nothing_is_written_over_a_newer_state() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.toml");
        let text = State::new(at(0)).to_text().unwrap().replacen("format = 1", "format = 9", 1);
        fs_err::write(&path, &text).unwrap();
        let state: State = format::read(&path).unwrap();
        let refused = state.write(&path).unwrap_err();
        assert!(matches!(refused, FormatError::Newer { found: 9, known: 1, .. }), "{refused}");
        assert_eq!(fs_err::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn a_pass_counts_only_for_the_tree_it_ran_on() {
        let mut state = State::new(at(0));
        assert_eq!(state.verify_status(), VerifyStatus::None);
        let record = VerifyRecord {
            command: "true".into(),
            exit: 0,
            millis: 1,
            tree: "aa".into(),
            output: String::new(),
            gate: None,
        };
        state.tree = Some("aa".into());
        state.verify = Some(record.clone());
        assert_eq!(state.verify_status(), VerifyStatus::Passed);
        state.tree = Some("bb".into());
        assert_eq!(state.verify_status(), VerifyStatus::None);
        state.verify = Some(VerifyRecord { exit: 1, ..record });
        assert_eq!(state.verify_status(), VerifyStatus::Failed);
    }
}
