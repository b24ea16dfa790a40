//! Events of a session as lines for people: what `log`, `attach` and `start --attach` show.
//!
//! Invariant: lines depend on the events alone, in their order, so that a replayed journal reads
//! as it did live.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use super::text::{neutral, truncate, wrap};
use super::{Look, Tone, card, table, units};
use crate::event::{
    self, Access, Checkpoint, Compaction, Decision, Event, LimitChange, Origin, PutBack, Question,
    Rewind, StateChange, ToolEnd, Unfinished, Update, Verdict, VerifyRecord, Visit, Waiting, Way,
};
use crate::message::{Answer, PlanItem, PlanStatus, ToolCall};

/// Columns of the kind of an event: `message`, `commit`, `verify` …
const KINDS: usize = 7;

/// Of what a failed verify printed, so many last lines are shown.
const OUTPUT_LINES: usize = 8;

/// Of a message that the model reads, so many lines are shown unless all is wanted.
const MESSAGE_LINES: usize = 12;

/// Tells the events of one session, one after the other.
#[derive(Debug)]
pub struct Narrator {
    look: Look,
    zone: TimeZone,
    all: bool,
    running: HashMap<String, ToolCall>,
    plan: Vec<PlanItem>,
}

/// What an event has to say: its kind, in which colour, and the text.
struct Said {
    kind: &'static str,
    tone: Tone,
    text: String,
    /// Lines under the first, already cut to size; the rest of the text of an output.
    below: Vec<String>,
}

impl Narrator {
    /// For this look, in this time zone; with `all`, thoughts and whole messages too.
    pub fn new(look: Look, zone: TimeZone, all: bool) -> Self {
        Self { look, zone, all, running: HashMap::new(), plan: Vec::new() }
    }

    /// The lines that tell this event; none for one that says nothing to people.
    pub fn lines(&mut self, event: &Event) -> Vec<String> {
        let said = self.said(&event.update);
        said.into_iter().flat_map(|said| self.layout(event, &said)).collect()
    }

    fn said(&mut self, update: &Update) -> Vec<Said> {
        match update {
            Update::UserMessage(message) => {
                let text = message.text.as_str();
                vec![match message.from {
                    Origin::Task => {
                        let task = if self.all { text } else { task_alone(text) };
                        Said::new("task", Tone::Strong, self.shortened(task, MESSAGE_LINES))
                    }
                    Origin::Person => {
                        Said::new("you", Tone::Strong, self.shortened(text, MESSAGE_LINES))
                    }
                    // It mostly repeats what the lines before have told.
                    Origin::Loop => Said::new("loop", Tone::Faint, self.shortened(text, 1)),
                }]
            }
            Update::AgentMessage(answer) => self.answer(answer),
            Update::ToolCall(call) => {
                self.running.insert(call.id.clone(), call.clone());
                Vec::new()
            }
            Update::ToolCallUpdate(end) => self.tool_end(end).into_iter().collect(),
            Update::Plan(plan) => self.plan(plan),
            Update::Checkpoint(checkpoint) => checkpoint_said(checkpoint, &self.look),
            Update::Verify(record) => vec![self.verify(record)],
            Update::Question(question) => vec![asked(question)],
            Update::Decision(decision) => decided(decision).into_iter().collect(),
            Update::Limit(change) => vec![limited(change)],
            Update::LimitMark(mark) => vec![match mark.percent {
                0 | event::NOTICED => Said::new("note", Tone::Ask, mark.text.clone()),
                // Said to the model alone.
                _ => Said::new("loop", Tone::Faint, mark.text.clone()),
            }],
            Update::Unfinished(unfinished) => self.unfinished(unfinished).into_iter().collect(),
            Update::Worked(_) => Vec::new(),
            Update::State(change) => self.state(change).into_iter().collect(),
            Update::Waiting(waiting) => vec![self.waiting(waiting)],
            Update::Compaction(compaction) => vec![shortened(compaction)],
            Update::Model(change) => {
                let text = format!("{} {} {}", change.from, self.look.glyph("→", "->"), change.to);
                vec![Said::new("model", Tone::Ask, format!("{text}: {}", change.reason))]
            }
            Update::Rewind(rewind) => vec![rewound(rewind, &self.look)],
            Update::Fork(fork) => {
                let text = format!("of {} after step {}", fork.session, fork.step);
                vec![Said::new("fork", Tone::Strong, text)]
            }
            Update::PutBack(put_back) => vec![put_back_said(put_back)],
            Update::Network(visit) => vec![visited(visit)],
            Update::PullRequest(pull) => {
                let text = format!("{} {}", pull.label(), pull.url);
                vec![Said::new("pull", Tone::Strong, text.trim_end().to_owned())]
            }
            Update::Notice(text) => vec![Said::new("note", Tone::Ask, text.clone())],
            Update::Unknown => Vec::new(),
        }
    }

    fn answer(&self, answer: &Answer) -> Vec<Said> {
        let thought = answer.thought.trim();
        let thought = (self.all && !thought.is_empty())
            .then(|| Said::new("thought", Tone::Faint, thought.to_owned()));
        let text = answer.text.trim();
        let text = (!text.is_empty()).then(|| Said::new("says", Tone::Plain, text.to_owned()));
        thought.into_iter().chain(text).collect()
    }

    /// Nothing for a request that failed: the wait for the next try tells.
    fn unfinished(&self, unfinished: &Unfinished) -> Option<Said> {
        let text = unfinished.text.trim();
        let said = || format!("{} (cut short)", self.shortened(text, MESSAGE_LINES));
        (!text.is_empty()).then(|| Said::new("says", Tone::Faint, said()))
    }

    /// Nothing for a plan: the plan itself tells what became of it.
    fn tool_end(&mut self, end: &ToolEnd) -> Option<Said> {
        let call = self.running.remove(&end.result.call_id);
        let kind = tool_kind(call.as_ref().map_or("", |call| call.name.as_str()));
        let is_error = end.result.is_error;
        if kind == "plan" && !is_error {
            return None;
        }
        let tone = if is_error { Tone::Bad } else { Tone::Plain };
        let below = match self.all {
            true => end.result.output.lines().map(str::to_owned).collect(),
            false => Vec::new(),
        };
        // The tool's name stands before the title already.
        let title = end.title.strip_prefix(kind).unwrap_or(&end.title);
        let title = title.trim_start_matches([':', ' ']).to_owned();
        Some(Said { kind, tone, text: title, below })
    }

    /// Nothing for the way to a verify and back: the verify itself tells.
    fn state(&self, change: &StateChange) -> Option<Said> {
        let StateChange { from, to, reason, .. } = change;
        if to == "verifying" || (from == "verifying" && to == "running") {
            return None;
        }
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let arrow = self.look.glyph("→", "->");
        let tone = table::standing(to).tone;
        Some(Said::new("state", tone, format!("{from} {arrow} {to}{reason}")))
    }

    /// What became of the plan: how far it is, and the item that moved.
    fn plan(&mut self, plan: &[PlanItem]) -> Vec<Said> {
        let before = std::mem::replace(&mut self.plan, plan.to_vec());
        if before == plan {
            return Vec::new();
        }
        let progress = super::view::Progress::of(plan);
        let share = format!("{}/{}", progress.done, progress.total);
        let moved = |item: &&PlanItem| !before.contains(item);
        let doing = plan.iter().find(|item| item.status == PlanStatus::Doing);
        let done = plan.iter().filter(|item| item.status == PlanStatus::Done).rfind(moved);
        let text = match (doing, done) {
            (Some(doing), _) => format!("{share}  {} {}", self.look.glyph("▸", ">"), doing.text),
            (None, Some(done)) => format!("{share}  {} {}", self.look.glyph("✓", "+"), done.text),
            (None, None) => share,
        };
        vec![Said::new("plan", Tone::Busy, text)]
    }

    fn verify(&self, record: &VerifyRecord) -> Said {
        let (glyph, ascii, tone) = match record.exit {
            0 => ("✓", "+", Tone::Good),
            _ => ("✗", "!", Tone::Bad),
        };
        let dot = self.look.glyph("·", "-");
        let took = units::duration(record.millis);
        let text = format!(
            "{} {} {dot} exit {} {dot} {took}",
            self.look.glyph(glyph, ascii),
            record.command,
            record.exit
        );
        let output: Vec<_> = record.output.trim_end().lines().map(str::to_owned).collect();
        let skipped = match (record.exit, self.all) {
            (_, true) => 0,
            (0, false) => output.len(),
            _ => output.len().saturating_sub(OUTPUT_LINES),
        };
        Said { kind: "verify", tone, text, below: output.into_iter().skip(skipped).collect() }
    }

    fn waiting(&self, waiting: &Waiting) -> Said {
        let time = waiting.until.to_zoned(self.zone.clone()).strftime("%H:%M:%S");
        let text = format!("{}; try {} at {time}", waiting.reason, waiting.attempt);
        Said::new("waits", Tone::Ask, text)
    }

    /// A message to the model can be as long as a whole output: people get its beginning.
    fn shortened(&self, text: &str, limit: usize) -> String {
        let lines: Vec<_> = text.trim().lines().collect();
        if self.all || lines.len() <= limit {
            return lines.join("\n");
        }
        let more = units::counted((lines.len() - limit) as u64, "more line");
        format!("{}\n({more})", lines[..limit].join("\n"))
    }

    /// `14:23:15  step 3  bash     cargo test · exit 1 · 3.2 s`, further lines set in under the text.
    fn layout(&self, event: &Event, said: &Said) -> Vec<String> {
        let look = &self.look;
        let time = event.time.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string();
        let step = match event.step {
            0 => "start".to_owned(),
            step => format!("step {step}"),
        };
        let head = format!("{time}  {step:<7}");
        let kind = format!("{:<KINDS$}", said.kind);
        let indent = head.len() + 2 + KINDS + 2;
        let room =
            if look.terminal { look.width.saturating_sub(indent).max(20) } else { usize::MAX };
        let texts = said.text.trim().lines().flat_map(|line| wrap(&neutral(line), room));
        let below = said.below.iter().map(|line| truncate(&neutral(line), room, look).into_owned());
        let below = below.map(|line| look.paint(Tone::Faint, line));
        let text_tone = if said.tone == Tone::Bad || said.tone == Tone::Faint {
            said.tone
        } else {
            Tone::Plain
        };
        let texts = texts.map(|line| look.paint(text_tone, line));
        let head = format!("{}  {}", look.paint(Tone::Faint, head), look.paint(said.tone, kind));
        let mut lines = Vec::new();
        for (at, line) in texts.chain(below).enumerate() {
            let line = match at {
                0 => format!("{head}  {line}"),
                _ => format!("{:indent$}{line}", ""),
            };
            lines.push(line.trim_end().to_owned());
        }
        if lines.is_empty() {
            lines.push(head.trim_end().to_owned());
        }
        lines
    }
}

impl Said {
    fn new(kind: &'static str, tone: Tone, text: String) -> Self {
        Self { kind, tone, text, below: Vec::new() }
    }
}

/// The task as the person gave it, without the facts that the model gets with it.
fn task_alone(text: &str) -> &str {
    let task = text.strip_prefix("<task>").and_then(|rest| rest.split_once("</task>"));
    task.map_or(text, |(task, _)| task)
}

/// Our own tools by name; any other, of which there may be any number, in one word.
fn tool_kind(name: &str) -> &'static str {
    let ours = ["bash", "read", "edit", "write", "search", "plan", "ask", "finish"];
    ours.into_iter().find(|ours| *ours == name).unwrap_or("tool")
}

fn checkpoint_said(checkpoint: &Checkpoint, look: &Look) -> Vec<Said> {
    let Checkpoint { commit, tree, subject, paths, insertions, deletions, left_out, by_person } =
        checkpoint;
    let (kind, id) = match (commit, by_person) {
        (id, Some(_)) => ("you", id.as_ref().unwrap_or(tree)),
        (Some(commit), None) => ("commit", commit),
        (None, None) => ("tree", tree),
    };
    let (dot, files) = (look.glyph("·", "-"), units::counted(paths.len() as u64, "file"));
    let lines = table::lines(*insertions, *deletions, look);
    let text = format!("{}  {subject} {dot} {files}{lines}", card::short(id));
    let tone = if by_person.is_some() { Tone::Strong } else { Tone::Good };
    let mut said = vec![Said::new(kind, tone, text)];
    if !left_out.is_empty() {
        let text = format!("left out of the commit:\n{}", left_out.join("\n"));
        said.push(Said::new("note", Tone::Ask, text));
    }
    said
}

/// What the model is no longer told; the log still has it.
fn shortened(compaction: &Compaction) -> Said {
    let text = match (&compaction.summary, compaction.results_to) {
        (Some(summary), _) => format!("steps 1 to {} are a summary now", summary.steps_to),
        (None, 0) => "long results are cut".to_owned(),
        (None, to) => format!("results of steps 1 to {to} are left out"),
    };
    Said::new("context", Tone::Faint, format!("{text}: {}", compaction.reason))
}

fn rewound(rewind: &Rewind, look: &Look) -> Said {
    let arrow = look.glyph("→", "->");
    let (from, to) = (card::short(&rewind.from.tree), card::short(&rewind.to.tree));
    let where_to = match (rewind.way, rewind.step) {
        (Way::Back, 0) => "to the start".to_owned(),
        (Way::Back, step) => format!("to the end of step {step}"),
        (Way::Undo, step) => format!("undone: at step {step} again"),
        (Way::Redo, step) => format!("made again: at step {step}"),
    };
    Said::new("rewind", Tone::Ask, format!("{where_to}  (tree {from} {arrow} {to})"))
}

fn asked(question: &Question) -> Said {
    let mut text = question.text.clone();
    for (at, option) in question.options.iter().enumerate() {
        text.push_str(&format!("\n{}. {option}", at + 1));
    }
    Said::new("asks", Tone::Ask, text)
}

fn decided(decision: &Decision) -> Option<Said> {
    let verdict = match decision.verdict {
        Verdict::Approved => "yes",
        Verdict::Always => "yes, always",
        Verdict::Denied => "no",
        Verdict::Withdrawn => return None,
    };
    let text = match decision.reason.as_str() {
        "" => verdict.to_owned(),
        reason => format!("{verdict}: {reason}"),
    };
    Some(Said::new("you", Tone::Strong, text))
}

fn visited(visit: &Visit) -> Said {
    let (tone, what) = match visit.access {
        Access::Allowed => (Tone::Faint, units::bytes(visit.received)),
        Access::NotAllowed => (Tone::Ask, "blocked: not allowed".to_owned()),
        Access::Private => (Tone::Ask, "blocked: not in the internet".to_owned()),
        Access::Unknown => (Tone::Faint, "?".to_owned()),
    };
    Said::new("net", tone, format!("{}  {what}", visit.place))
}

fn put_back_said(put_back: &PutBack) -> Said {
    let kept = put_back.kept.as_deref().map(card::short);
    let kept = kept.map_or_else(String::new, |kept| format!("  (kept in {kept})"));
    Said::new("note", Tone::Ask, format!("{} put back{kept}", put_back.paths.join(", ")))
}

fn limited(change: &LimitChange) -> Said {
    let text = match change.to {
        Some(to) => format!("{} from here on", change.limit.name(to)),
        None => format!("no limit of {} from here on", change.limit.noun()),
    };
    Said::new("note", Tone::Ask, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::UserMessage;
    use crate::message::{StopReason, ToolResult, Usage};

    const TERMINAL: Look = Look { terminal: true, colour: false, unicode: true, width: 80 };

    fn told(look: Look, all: bool, updates: Vec<(u32, Update)>) -> String {
        let mut narrator = Narrator::new(look, TimeZone::UTC, all);
        let time = "2026-11-22T14:23:15Z".parse().unwrap();
        let events = updates.into_iter().map(|(step, update)| Event {
            format: 1,
            time,
            step,
            by: None,
            update,
        });
        let lines: Vec<_> = events.flat_map(|event| narrator.lines(&event)).collect();
        lines.join("\n")
    }

    fn answer(text: &str, thought: &str) -> Update {
        Update::AgentMessage(Answer {
            text: text.to_owned(),
            thought: thought.to_owned(),
            calls: Vec::new(),
            stop: StopReason::ToolUse,
            usage: Usage::default(),
            raw: None,
        })
    }

    fn call(id: &str, name: &str) -> Update {
        Update::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: "{}".to_owned(),
        })
    }

    fn end(id: &str, title: &str, is_error: bool) -> Update {
        let result =
            ToolResult { call_id: id.to_owned(), output: "all of it".to_owned(), is_error };
        Update::ToolCallUpdate(ToolEnd { result, title: title.to_owned(), millis: 3_200 })
    }

    fn story() -> Vec<(u32, Update)> {
        let item = |text: &str, status| PlanItem { text: text.to_owned(), status };
        vec![
            (
                0,
                Update::UserMessage(UserMessage {
                    from: Origin::Task,
                    text: "Add a limit".to_owned(),
                    inbox_id: None,
                }),
            ),
            (
                1,
                answer(
                    "I look at the endpoint first, and then at how the other endpoints do this.",
                    "hm",
                ),
            ),
            (1, call("c1", "bash")),
            (1, call("c2", "mcp__db__query")),
            (1, end("c1", "cargo test · exit 1 · 3.2 s", true)),
            (1, end("c2", "query users", false)),
            (
                2,
                Update::Plan(vec![
                    item("look", PlanStatus::Done),
                    item("write the limiter", PlanStatus::Doing),
                ]),
            ),
            (
                2,
                Update::Checkpoint(Checkpoint {
                    commit: Some("a1b2c3d4e5f6".to_owned()),
                    tree: "t".to_owned(),
                    subject: "Add the limiter".to_owned(),
                    paths: vec!["a".to_owned(), "b".to_owned()],
                    insertions: 10,
                    deletions: 3,
                    left_out: vec!["big.bin: 12 MiB, over agent.maxFileSize".to_owned()],
                    by_person: None,
                }),
            ),
            (
                2,
                Update::Verify(VerifyRecord {
                    command: "cargo test".to_owned(),
                    exit: 101,
                    millis: 12_000,
                    tree: "t".to_owned(),
                    output: "test limit ... FAILED\n".to_owned(),
                    gate: None,
                }),
            ),
            (
                3,
                Update::Waiting(Waiting {
                    reason: "429 rate limited".to_owned(),
                    attempt: 2,
                    until: "2026-11-22T14:24:00Z".parse().unwrap(),
                }),
            ),
            (
                3,
                Update::Question(Question {
                    text: "Which store?".to_owned(),
                    options: vec!["Redis".to_owned(), "memory".to_owned()],
                    ..Question::default()
                }),
            ),
            (
                3,
                Update::State(StateChange {
                    from: "running".to_owned(),
                    to: "needs-input".to_owned(),
                    reason: String::new(),
                    usage: Usage::default(),
                }),
            ),
            (3, Update::Unknown),
        ]
    }

    #[test]
    fn a_story_on_a_terminal() {
        let expected = "
14:23:15  start    task     Add a limit
14:23:15  step 1   says     I look at the endpoint first, and then at how the
                            other endpoints do this.
14:23:15  step 1   bash     cargo test · exit 1 · 3.2 s
14:23:15  step 1   tool     query users
14:23:15  step 2   plan     1/2  ▸ write the limiter
14:23:15  step 2   commit   a1b2c3d  Add the limiter · 2 files +10 −3
14:23:15  step 2   note     left out of the commit:
                            big.bin: 12 MiB, over agent.maxFileSize
14:23:15  step 2   verify   ✗ cargo test · exit 101 · 12 s
                            test limit ... FAILED
14:23:15  step 3   waits    429 rate limited; try 2 at 14:24:00
14:23:15  step 3   asks     Which store?
                            1. Redis
                            2. memory
14:23:15  step 3   state    running → needs-input
";
        assert_eq!(told(TERMINAL, false, story()), expected.trim_matches('\n'));
    }

    #[test]
    fn with_all_thoughts_and_outputs_are_shown() {
        let said = told(TERMINAL, true, story());
        assert!(said.contains("step 1   thought  hm"), "{said}");
        assert!(said.contains("exit 1 · 3.2 s\n                            all of it\n"), "{said}");
    }

    #[test]
    fn what_an_agent_says_can_do_nothing_to_a_terminal() {
        let said = told(TERMINAL, false, vec![(1, answer("ok\x1b]0;title\x07\rgone\u{202e}", ""))]);
        assert_eq!(said, "14:23:15  step 1   says     ok^[]0;title^G^Mgone<U+202E>");
    }

    #[test]
    fn long_messages_to_the_model_are_shortened() {
        let text = (1..=40).map(|n| format!("line {n}\n")).collect();
        let message = UserMessage { from: Origin::Person, text, inbox_id: None };
        let said = told(Look::PLAIN, false, vec![(1, Update::UserMessage(message))]);
        assert_eq!(
            said,
            "14:23:15  step 1   you      line 1\n".to_owned()
                + &(2..=12).map(|n| format!("{:28}line {n}\n", "")).collect::<String>()
                + &format!("{:28}(28 more lines)", "")
        );
    }
}
