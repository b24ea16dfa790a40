//! What a session asks a person, and what the person decides.
//!
//! Invariant: the kind of a question says how it is answered: in words, by yes or no, or by
//! mending something.

use serde::{Deserialize, Serialize};

use super::Limit;

/// A session asks a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What it asks.
    pub text: String,
    /// Answers it offers, maybe none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The call that waits for the answer; none where the program itself asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// What is asked for.
    #[serde(default, skip_serializing_if = "QuestionKind::is_ask")]
    pub kind: QuestionKind,
    /// The limit that is reached, where that is asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// That it is reached, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<Box<str>>,
    /// What is asked about, path by path, or one host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// The rule that an approval for good adds to the settings of the repository; none where it
    /// holds for the session alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub always: Option<String>,
    /// Which question of the session it is, from 1, so that an answer finds its own; 0 where it is
    /// not counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub number: u32,
}

/// A path, or a host and port, that a rule wants a person to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The rule, by a short name that stays the same: `protect`, `scope`.
    pub rule: String,
    /// The path, `/`-separated, lossy where not UTF-8.
    pub path: String,
    /// Why, in a few words that follow the path.
    pub why: String,
    /// The content that was found there, as the hex of its blob; none where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// How the names of rules begin that find a secret; the rest tells which one.
pub const SECRET: &str = "secret/";

impl Finding {
    /// Whether its rule names just what was found, so that a yes to it holds for good.
    pub fn is_exact(&self) -> bool {
        self.rule.starts_with(SECRET)
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// Words: the model asks.
    #[default]
    Ask,
    /// Words: the model declines to go on as it was told.
    Declined,
    /// Yes or no: a limit is reached; yes adds as much again.
    Limit,
    /// Yes or no: may this call run?
    Permission,
    /// Yes or no: may these changes be kept? No puts them back.
    Changes,
    /// Yes or no: may commands reach this host?
    Network,
    /// That a key or an account be mended; the session is resumed then.
    Key,
    /// Something that a newer program asks for.
    #[serde(other)]
    Unknown,
}

impl QuestionKind {
    /// Whether the answer is a yes or a no.
    pub fn is_decision(self) -> bool {
        matches!(self, Self::Limit | Self::Permission | Self::Changes | Self::Network)
    }

    /// Whether the answer is in words.
    pub fn is_for_words(self) -> bool {
        matches!(self, Self::Ask | Self::Declined)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_ask(&self) -> bool {
        *self == Self::Ask
    }
}

impl Question {
    /// May commands reach this host, `host:port`?
    pub fn of_host(host: String) -> Self {
        let text = format!("allow the network host {host}? deny leaves it blocked");
        let (rule, why) = ("network".to_owned(), "is blocked".to_owned());
        let findings = vec![Finding { rule, path: host, why, content: None }];
        Self { text, kind: QuestionKind::Network, findings, ..Self::default() }
    }

    /// The host and port that is asked about, if one is.
    pub fn host(&self) -> Option<&str> {
        let finding = self.findings.first().filter(|_| self.kind == QuestionKind::Network);
        finding.map(|finding| finding.path.as_str())
    }
}

/// The answer to a question of yes or no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Which question of the session it answers.
    pub question: u32,
    /// What was decided.
    pub verdict: Verdict,
    /// Why, in the person's words; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The inbox message it came from, so that none is heard twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox_id: Option<String>,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes, this once.
    Approved,
    /// Yes, and the same is not asked again.
    Always,
    /// No.
    Denied,
    /// Nobody need decide it any more: what was asked about is no longer so.
    Withdrawn,
}

impl Verdict {
    /// Whether it goes on with what was asked about.
    pub fn is_yes(self) -> bool {
        matches!(self, Self::Approved | Self::Always)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
