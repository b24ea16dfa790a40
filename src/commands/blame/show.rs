//! Who wrote each line: as blocks for people, as JSON, and as git's own porcelain.
//!
//! Invariant: what others wrote does nothing to a terminal; the porcelain has each line's own bytes.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde::Serialize;

use crate::credit::{Agent, Origin, Person};
use crate::error::Result;
use crate::git::{Blame, BlameCommit, BlameLine, ObjectId, Time};
use crate::session::note::BUILTIN;
use crate::ui::{Look, Tone, json, text};

/// Columns for the words that asked for a line, where nobody looks at a terminal.
const WORDS: usize = 60;

/// What is shown.
pub(super) struct Shown<'a> {
    /// The file, from the root of the repository.
    pub(super) path: &'a Path,
    /// The commit in whose form; none as it lies in the checkout.
    pub(super) at: Option<ObjectId>,
    /// Which commit each line came with.
    pub(super) blame: &'a Blame,
    /// Who made each.
    pub(super) origins: &'a [Origin],
}

#[derive(Serialize)]
struct Document<'a> {
    path: String,
    revision: Option<String>,
    lines: Vec<LineView>,
    origins: Vec<OriginView<'a>>,
}

#[derive(Serialize)]
struct LineView {
    line: usize,
    /// The place of who made it in `origins`.
    origin: usize,
    /// None where no commit holds it.
    commit: Option<String>,
    /// The file there, and the line's number in it.
    commit_path: String,
    commit_line: usize,
    text: String,
}

#[derive(Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
enum OriginView<'a> {
    Agent {
        agent: &'a str,
        model: Option<&'a str>,
        session: &'a str,
        step: Option<u32>,
        commit: Option<String>,
        time: Option<Timestamp>,
        words: Option<&'a str>,
    },
    Person {
        name: &'a str,
        email: &'a str,
        session: Option<&'a str>,
    },
    Uncommitted,
}

impl<'a> From<&'a Origin> for OriginView<'a> {
    fn from(origin: &'a Origin) -> Self {
        match origin {
            Origin::Agent(Agent { agent, model, session, step, commit, time, asked }) => {
                Self::Agent {
                    agent,
                    model: model.as_deref(),
                    session,
                    step: *step,
                    commit: commit.map(|commit| commit.to_string()),
                    time: *time,
                    words: asked.as_deref(),
                }
            }
            Origin::Person(Person { name, email, session }) => {
                Self::Person { name, email, session: session.as_deref() }
            }
            Origin::Uncommitted => Self::Uncommitted,
        }
    }
}

impl Shown<'_> {
    /// `{"format":1,"blame":…}`: each maker once, and each line with the number of its own.
    pub(super) fn json(&self) -> Result<String> {
        let mut known: Vec<&Origin> = Vec::new();
        let mut lines = Vec::new();
        for (line, origin) in self.lines() {
            let number = known.iter().position(|known| *known == origin);
            let number = number.unwrap_or_else(|| {
                known.push(origin);
                known.len() - 1
            });
            lines.push(LineView {
                line: line.line,
                origin: number,
                commit: (!line.commit.is_null()).then(|| line.commit.to_string()),
                commit_path: line.path.to_string(),
                commit_line: line.from,
                text: String::from_utf8_lossy(&line.text).into_owned(),
            });
        }
        let document = Document {
            path: self.path.display().to_string(),
            revision: self.at.map(|commit| commit.to_string()),
            lines,
            origins: known.into_iter().map(OriginView::from).collect(),
        };
        Ok(json::named("blame", &document)?)
    }

    /// As `git blame --line-porcelain`; what only we know stands in lines that begin with `agent`.
    pub(super) fn porcelain(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (line, origin) in self.lines() {
            let BlameLine { commit, path, from, line: here, text } = line;
            let mut head = format!("{commit} {from} {here} 1\n");
            let mut add = |key: &str, value: &str| {
                let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
                head.push_str(&format!("{key} {value}\n"));
            };
            if let Some(BlameCommit { author, time, subject, boundary }) =
                self.blame.commits.get(commit)
            {
                add("author", &author.name);
                add("author-mail", &format!("<{}>", author.email));
                add("author-time", &time.seconds.to_string());
                add("author-tz", &zone(*time));
                add("summary", subject);
                if *boundary {
                    add("boundary", "");
                }
            }
            match origin {
                Origin::Agent(Agent { agent, model, session, step, commit, asked, .. }) => {
                    add("agent", agent);
                    add("agent-session", session);
                    let model = model.as_deref().map(|model| ("agent-model", model.to_owned()));
                    let step = step.map(|step| ("agent-step", step.to_string()));
                    let commit = commit.map(|commit| ("agent-commit", commit.to_string()));
                    let asked = asked.as_deref().map(|asked| ("agent-words", asked.to_owned()));
                    for (key, value) in [model, step, commit, asked].into_iter().flatten() {
                        add(key, &value);
                    }
                }
                Origin::Person(Person { name, email, session }) => {
                    add("agent-person", &format!("{name} <{email}>"));
                    if let Some(session) = session {
                        add("agent-session", session);
                    }
                }
                Origin::Uncommitted => {}
            }
            head.push_str(&format!("filename {path}\n\t"));
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(text);
            out.push(b'\n');
        }
        out
    }

    /// Blocks of lines that one commit and one maker brought, each below who that is.
    pub(super) fn table(&self, look: &Look) -> String {
        let digits = self.blame.lines.last().map_or(1, |line| line.line.to_string().len());
        let mut out = String::new();
        let mut last: Option<(ObjectId, &Origin)> = None;
        for (line, origin) in self.lines() {
            if last != Some((line.commit, origin)) {
                out.push_str(&self.heading(line.commit, origin, look));
                out.push('\n');
                last = Some((line.commit, origin));
            }
            let number = look.paint(Tone::Faint, format!("{:>digits$}", line.line));
            let content = line.text.strip_suffix(b"\r").unwrap_or(&line.text);
            let content = String::from_utf8_lossy(content);
            let row = format!("  {number}  {}", text::neutral_lines(&content));
            out.push_str(row.trim_end());
            out.push('\n');
        }
        out
    }

    /// `6d12fe4 add-rate-7f3k:3 anthropic/claude "Add rate limiting…"`, `8a11c02 Ada 2026-11-20: Fix`.
    fn heading(&self, commit: ObjectId, origin: &Origin, look: &Look) -> String {
        let short = commit.to_hex_with_len(7).to_string();
        let brought = self.blame.commits.get(&commit);
        let (who, what, tone) = match origin {
            Origin::Agent(Agent { agent, model, session, step, asked, .. }) => {
                let step = step.map_or(String::new(), |step| format!(":{step}"));
                let agent = Some(agent.as_str()).filter(|agent| *agent != BUILTIN);
                let by = [agent, model.as_deref()].into_iter().flatten().collect::<Vec<_>>();
                let who = [vec![format!("{session}{step}")], vec![by.join(" ")]].concat().join(" ");
                let words = asked.as_deref().unwrap_or_default();
                (who, words.split_whitespace().collect::<Vec<_>>().join(" "), Tone::Busy)
            }
            Origin::Person(Person { name, session, .. }) => {
                let day = brought.map_or(String::new(), |commit| format!(" {}", day(commit.time)));
                let within = session.as_ref().map_or(String::new(), |it| format!(" in {it}"));
                let subject = brought.map_or("", |commit| commit.subject.as_str());
                (format!("{name}{day}{within}"), subject.to_owned(), Tone::Strong)
            }
            Origin::Uncommitted => ("not committed yet".to_owned(), String::new(), Tone::Ask),
        };
        let who = text::neutral(who.trim_end()).into_owned();
        let what = text::neutral(&what).into_owned();
        let taken = short.len() + crate::ui::width(&who) + 5;
        let room = if look.terminal { look.width.saturating_sub(taken) } else { WORDS };
        let what = text::truncate(&what, room, look);
        let who = look.paint(tone, who);
        let what = if what.is_empty() { String::new() } else { format!("  \"{what}\"") };
        format!("{} {who}{what}", look.paint(Tone::Faint, short))
    }

    fn lines(&self) -> impl Iterator<Item = (&BlameLine, &Origin)> {
        self.blame.lines.iter().zip(self.origins)
    }
}

/// The day it was where the commit was made.
fn day(time: Time) -> String {
    let zone = Offset::from_seconds(time.offset).map_or(TimeZone::UTC, TimeZone::fixed);
    let moment = Timestamp::from_second(time.seconds).unwrap_or_default();
    moment.to_zoned(zone).strftime("%Y-%m-%d").to_string()
}

/// `+0130`.
fn zone(time: Time) -> String {
    let (sign, offset) = (if time.offset < 0 { '-' } else { '+' }, time.offset.abs());
    format!("{sign}{:02}{:02}", offset / 3_600, offset % 3_600 / 60)
}
