//! What was asked: written once, never changed, but that place and branch follow git where a person
//! has moved them.
//!
//! Invariant: the first thing in the file is its format number; what a session may do is decided
//! here, so a resume can never loosen it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::format::{self, FormatError};
use crate::config::CommitStrategy;
use crate::event::Limit;
use crate::model::Choice;

/// What was asked of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Format number of the file.
    pub format: u32,
    /// The session's id, `add-rate-limiting-7f3k`.
    pub id: String,
    /// Its name, which is its worktree's too: `add-rate-limiting`.
    pub name: String,
    /// The task, word for word.
    pub task: String,
    /// When it was asked.
    pub created: Timestamp,
    /// The branch, whole: `refs/heads/agent/add-rate-limiting`.
    pub branch: String,
    /// The worktree's absolute path on the machine where it is.
    pub worktree: PathBuf,
    /// The folder that `start` was typed in, relative to the repository's root; empty for the root.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub folder: String,
    /// The model, `anthropic/claude-…`.
    pub model: String,
    /// The model it began with, where that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_with: Option<String>,
    /// The model that goes on where it is not to be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_model: Option<String>,
    /// Commands that must succeed before the session is done.
    #[serde(default)]
    pub verify: Vec<String>,
    /// What each commit's subject begins with, `feat(cart):`; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub commit_prefix: String,
    /// When commits are made.
    #[serde(default)]
    pub commit_strategy: CommitStrategy,
    /// Whether commits carry `Agent-Session:` and `Assisted-by:`.
    #[serde(default = "yes")]
    pub trailers: bool,
    /// Whether nobody is there to answer.
    #[serde(default)]
    pub unattended: bool,
    /// The sandbox level that was found and shown at the start: `full`, `reduced`, `none`.
    pub sandbox: String,
    /// Hosts that its commands may reach besides those that are configured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_net: Vec<String>,
    /// Whether it is to find something out, and its work is not for landing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub experiment: bool,
    /// The name of the budget that it shares with other sessions; none has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_budget: Option<String>,
    /// What the work starts from.
    pub base: Base,
    /// What it may use up.
    #[serde(default)]
    pub limits: Limits,
    /// Where it may work.
    #[serde(default, skip_serializing_if = "Bounds::is_open")]
    pub bounds: Bounds,
    /// What its work must measure up to.
    #[serde(default, skip_serializing_if = "Gates::is_open")]
    pub gates: Gates,
    /// Which of several attempts at one task it is; none where it is the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// The session whose past it shares; none for one that began by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<Origin>,
    /// The batch that it belongs to, where it is one of several repositories' sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// What the model is given to know beside the task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<Given>,
}

/// The session that another was forked from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its id.
    pub session: String,
    /// The last step that both share.
    pub step: u32,
    /// The commit that the fork's branch begins at, in hex.
    pub commit: String,
}

/// One of several attempts at a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// What all attempts at the task are called together.
    pub group: String,
    /// Which one it is, counted from 1.
    pub number: u32,
    /// How many there were at the start.
    pub of: u32,
    /// How it is to go about the task; empty where that is left open.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub approach: String,
}

/// What the work of a session must measure up to, besides its verify commands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gates {
    /// The least share of lines that tests must run, in per cent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_coverage: Option<f64>,
    /// The file that tells of it, from the root of the worktree; none looks for the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage_report: Option<String>,
    /// The command whose time counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bench: Option<String>,
    /// How much longer than on the base it may take, in per cent; none only measures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_slowdown: Option<f64>,
}

impl Gates {
    /// Whether there are none.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// What each asks for, in words.
    pub fn lines(&self) -> Vec<String> {
        let Self { min_coverage, bench, max_slowdown, .. } = self;
        let bench = bench.as_deref().map(|command| match max_slowdown {
            Some(most) => format!("{}, at most {most} % slower", bench_name(command)),
            None => bench_name(command),
        });
        min_coverage.map(coverage_name).into_iter().chain(bench).collect()
    }
}

/// What the work starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The commit, in hex.
    pub commit: String,
    /// How it was named: `main`, `HEAD`, `v1.2`.
    pub name: String,
    /// The commit beneath, in hex, where that holds a person's changes that were in no commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried_on: Option<String>,
}

/// What a person gave the model to know beside the task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// What it is, in a few words: `src/lib.rs, lines 10 to 20`.
    pub what: String,
    /// Whether it comes from where anybody may have written: what it says is no instruction.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untrusted: bool,
    /// The text.
    pub text: String,
}

/// What a session may use up; what is not set is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u32>,
    /// Tokens, in and out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Seconds of work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<f64>,
}

/// Where a session may work, in patterns of paths; empty is everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Where alone it may change files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<String>,
    /// Where it may change none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Where a person is asked first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protect: Vec<String>,
    /// How many files it may change in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_files: Option<u32>,
}

impl Bounds {
    fn is_open(&self) -> bool {
        *self == Self::default()
    }
}

impl Limits {
    /// How much there may be of this.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn of(&self, limit: Limit) -> Option<f64> {
        match limit {
            Limit::Steps => self.max_steps.map(f64::from),
            Limit::Tokens => self.max_tokens.map(|tokens| tokens as f64),
            Limit::Budget => self.budget,
            Limit::Timeout => self.timeout.map(|seconds| seconds as f64),
        }
    }

    /// Sets how much there may be of this.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "amounts are not negative; what is too large for the type is no limit in effect"
    )]
    pub fn set(&mut self, limit: Limit, to: Option<f64>) {
        match limit {
            Limit::Steps => self.max_steps = to.map(|to| to as u32),
            Limit::Tokens => self.max_tokens = to.map(|to| to as u64),
            Limit::Budget => self.budget = to,
            Limit::Timeout => self.timeout = to.map(|to| to as u64),
        }
    }
}

impl Spec {
    /// The file of the spec in a session's folder, and in the tree of a record.
    pub const FILE: &str = "spec.toml";

    /// The branch as people say it: without `refs/heads/`.
    pub fn branch_name(&self) -> &str {
        self.branch.strip_prefix("refs/heads/").unwrap_or(&self.branch)
    }

    /// The commit that the branch begins at, in hex.
    pub fn first_commit(&self) -> &str {
        self.forked_from.as_ref().map_or(&self.base.commit, |origin| &origin.commit)
    }

    /// The task as the agent reads it: with the approach that this attempt is to take.
    pub fn assignment(&self) -> String {
        match self.attempt.as_ref().map(|attempt| attempt.approach.trim()) {
            None | Some("") => self.task.clone(),
            Some(approach) => format!("{}\n\nTake this approach: {approach}", self.task.trim()),
        }
    }

    /// What must be content last before the session is done; none where nothing is asked.
    pub fn last_check(&self) -> Option<String> {
        let Gates { min_coverage, bench, .. } = &self.gates;
        let bench = bench.as_deref().map(bench_name);
        bench.or(min_coverage.map(coverage_name)).or_else(|| self.verify.last().cloned())
    }

    /// The model as people read it: of a transcript its file's name, not where it lies here.
    pub fn model_label(&self) -> String {
        self.model.parse::<Choice>().map_or_else(|_| self.model.clone(), |choice| choice.label())
    }

    /// The model of its first answer, `provider/model`.
    pub fn first_model(&self) -> &str {
        self.began_with.as_deref().unwrap_or(&self.model)
    }

    /// The command that does the work, where no model does.
    pub fn command(&self) -> Option<String> {
        self.model.parse::<Choice>().ok()?.command().map(str::to_owned)
    }

    /// Reads a spec; `path` names it in errors.
    ///
    /// # Errors
    /// The text is no spec, or too new to be understood.
    pub fn parse(text: &str, path: &Path) -> Result<Self, FormatError> {
        format::parse(text, path)
    }

    /// The same, with its worktree here and on this branch (full name).
    #[must_use]
    pub fn at(&self, worktree: &Path, branch: &str) -> Self {
        Self { worktree: worktree.to_owned(), branch: branch.to_owned(), ..self.clone() }
    }

    /// The text of the file, made from an older text of it that may hold what only a newer program
    /// knows: that stays, where the lines are as this program writes them.
    ///
    /// # Errors
    /// A path is not UTF-8, which the file cannot hold.
    pub(super) fn text_from(&self, old: &str) -> Result<String, toml::ser::Error> {
        let line = |key: &str, value: &str| toml::to_string(&BTreeMap::from([(key, value)]));
        let mut text = old.to_owned();
        if let Ok(before) = toml::from_str::<Self>(old) {
            let values = |spec: &Self| {
                let worktree = spec.worktree.to_string_lossy().into_owned();
                [("branch", spec.branch.clone()), ("worktree", worktree)]
            };
            for ((key, from), (_, to)) in values(&before).iter().zip(values(self)) {
                let (from, to) = (line(key, from)?, line(key, &to)?);
                text = text.replacen(&format!("\n{from}"), &format!("\n{to}"), 1);
            }
        }
        match toml::from_str::<Self>(&text) {
            Ok(spec) if spec == *self => Ok(text),
            _ => self.to_text(),
        }
    }

    /// The text of the file.
    ///
    /// # Errors
    /// A path is not UTF-8, which the file cannot hold.
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        format::text(self)
    }
}

/// What the gate on coverage is called where verify commands are told of.
pub fn coverage_name(least: f64) -> String {
    format!("coverage of at least {least} %")
}

/// What the gate on the time of a command is called there.
pub fn bench_name(command: &str) -> String {
    format!("bench: {command}")
}

fn yes() -> bool {
    true
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample(id: &str) -> Spec {
        Spec {
            format: 1,
            id: id.to_owned(),
            name: id[..id.len() - 5].to_owned(),
            task: "Add rate limiting\nwith \"quotes\" and '''".to_owned(),
            created: "2026-11-05T10:00:00Z".parse().unwrap(),
            branch: format!("refs/heads/agent/{}", &id[..id.len() - 5]),
            worktree: "/tmp/shop.worktrees/ä".into(),
            folder: "crates/api".to_owned(),
            model: "replay/x.jsonl".to_owned(),
            began_with: Some("replay/y.jsonl".to_owned()),
            fallback_model: Some("ollama/small".to_owned()),
            verify: vec!["cargo test".to_owned()],
            commit_prefix: "feat(cart):".to_owned(),
            commit_strategy: CommitStrategy::Turn,
            trailers: true,
            unattended: false,
            sandbox: "none".to_owned(),
            allow_net: vec!["*.example.com:8080".to_owned()],
            base: Base { commit: "c0ffee".to_owned(), name: "main".to_owned(), carried_on: None },
            batch: None,
            context: Vec::new(),
            share_budget: Some("shop".to_owned()),
            limits: Limits {
                max_steps: Some(50),
                max_tokens: Some(2_000_000),
                timeout: Some(7200),
                budget: Some(5.0),
            },
            experiment: true,
            bounds: Bounds { scope: vec!["src/**".to_owned()], ..Bounds::default() },
            gates: Gates { min_coverage: Some(87.5), ..Gates::default() },
            attempt: Some(Attempt {
                group: "add-rate-2mq8".to_owned(),
                number: 2,
                of: 3,
                approach: "with a token bucket".to_owned(),
            }),
            forked_from: None,
        }
    }

    #[test]
    fn a_spec_reads_back_and_begins_with_its_format() {
        let spec = sample("add-rate-7f3k");
        let text = spec.to_text().unwrap();
        assert!(text.starts_with("format = 1\n"), "{text}");
        assert_eq!(Spec::parse(&text, Path::new("spec.toml")).unwrap(), spec);
    }

    #[test]
    fn an_attempt_reads_how_it_is_to_go_about_it() {
        let spec = sample("add-rate-7f3k");
        let approach = "\n\nTake this approach: with a token bucket";
        assert_eq!(spec.assignment(), format!("{}{approach}", spec.task));
        let alone = Spec { attempt: None, ..spec };
        assert_eq!(alone.assignment(), alone.task);
    }

    #[test]
    fn e09_a_newer_spec_is_read_as_far_as_it_is_understood() {
        let text = sample("add-rate-7f3k").to_text().unwrap();
        let newer = text.replacen("format = 1", "format = 2\nhue = \"blue\"", 1);
        assert_eq!(Spec::parse(&newer, Path::new("spec.toml")).unwrap().format, 2);
        let strange = newer.replace("\"turn\"", "\"by-moon\"");
        let error = Spec::parse(&strange, Path::new("s/spec.toml")).unwrap_err();
        assert_eq!(error.to_string(), "s/spec.toml is in format 2; this git-agent knows format 1");
        let damaged = text.replace("\"turn\"", "\"by-moon\"");
        let error = Spec::parse(&damaged, Path::new("s/spec.toml")).unwrap_err();
        assert_eq!(error.to_string(), "s/spec.toml is damaged");
    }
}
