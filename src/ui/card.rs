//! The card of `status S`: one session in full.
//!
//! Invariant: one fact a line, its name before it; a line that has nothing to say is left out.

use jiff::Timestamp;

use super::text::{neutral, pad, truncate, wrap};
use super::view::{AttemptView, CommitView, LimitView, SessionCard, SessionView, VerifyStatus};
use super::{Look, Tone, table, units};
use crate::event::Limit;
use crate::message::{PlanItem, PlanStatus};
use crate::queue::Place;
use crate::session::ticket::Priority;

/// Columns of the names of facts.
const NAMES: usize = 10;

/// Columns of the progress bar.
const BAR: usize = 12;

/// More commits than these are counted, not listed.
const COMMITS: usize = 12;

/// One session in full.
pub fn session(card: &SessionCard, now: Timestamp, look: &Look) -> String {
    let SessionCard { session, plan, commits, .. } = card;
    let mut lines = vec![headline(session, look)];
    lines.extend(set_in(&session.task, 2, look));
    lines.push(String::new());
    for (name, value) in facts(card, now, look) {
        if !value.is_empty() {
            lines.push(format!("  {}{value}", look.paint(Tone::Faint, pad(name, NAMES))));
        }
    }
    if !card.summary.is_empty() {
        lines.extend([String::new(), format!("  {}", look.paint(Tone::Faint, "summary"))]);
        lines.extend(set_in(&card.summary, 4, look));
    }
    if !card.notices.is_empty() {
        lines.extend([String::new(), format!("  {}", look.paint(Tone::Faint, "notices"))]);
        lines.extend(card.notices.iter().flat_map(|notice| set_in(notice, 4, look)));
    }
    if !plan.is_empty() {
        lines.extend([String::new(), format!("  {}", look.paint(Tone::Faint, "plan"))]);
        lines.extend(plan.iter().map(|item| plan_line(item, look)));
    }
    if !commits.is_empty() {
        let heading = units::counted(commits.len() as u64, "commit");
        lines.extend([String::new(), format!("  {}", look.paint(Tone::Faint, heading))]);
        lines.extend(commit_lines(commits, now, look));
    }
    lines.join("\n")
}

/// Where a session stands that waits to be run, in a line.
pub fn place(place: &Place) -> String {
    let Place { position, of, priority, waits_for } = place;
    let priority = match priority {
        Priority::Medium => String::new(),
        priority => format!(" ({})", priority.as_str()),
    };
    let waits = match waits_for.as_str() {
        "" => String::new(),
        waits_for => format!(", waits for {waits_for}"),
    };
    format!("place {position} of {of} in the queue{priority}{waits}")
}

fn headline(session: &SessionView, look: &Look) -> String {
    let standing = table::standing(&session.state);
    let state = look.paint(standing.tone, neutral(&session.state).replace('-', " "));
    let id = look.paint(Tone::Strong, neutral(&session.id));
    if look.terminal {
        let mark = look.paint(standing.tone, look.glyph(standing.glyph, standing.ascii));
        format!("{mark} {id}  {state}")
    } else {
        format!("{id}  {state}")
    }
}

/// Text of a person or an agent, wrapped on a terminal, set in.
fn set_in(text: &str, indent: usize, look: &Look) -> Vec<String> {
    let room = if look.terminal { look.width.saturating_sub(indent) } else { usize::MAX };
    let lines = text.trim().lines().map(neutral);
    lines.flat_map(|line| wrap(&line, room)).map(|line| format!("{:indent$}{line}", "")).collect()
}

fn facts(card: &SessionCard, now: Timestamp, look: &Look) -> [(&'static str, String); 18] {
    let session = &card.session;
    let standing = table::standing(&session.state);
    let room = look.width.saturating_sub(NAMES + 2);
    let fit = |text: &str| match look.terminal {
        true => truncate(&neutral(text), room, look).into_owned(),
        false => neutral(text).into_owned(),
    };
    // Whole, and what it offers below it: a person is to answer it.
    let told = |text: &str, options: &[String]| {
        let mut lines = set_in(text, NAMES + 2, look);
        for (at, option) in options.iter().enumerate() {
            lines.extend(set_in(&format!("{}. {option}", at + 1), NAMES + 2, look));
        }
        let lines = lines.iter().map(|line| look.paint(standing.tone, line.trim_start()));
        lines.collect::<Vec<_>>().join(&format!("\n{:indent$}", "", indent = NAMES + 2))
    };
    let waits = session.waiting.as_ref().map_or_else(String::new, |it| table::waits(it, now));
    let lines = table::lines(session.insertions, session.deletions, look);
    let changes = format!("{}{lines}", units::counted(session.files, "file"));
    [
        ("asks", told(session.question.as_deref().unwrap_or_default(), &card.options)),
        ("note", told(session.note.as_deref().unwrap_or_default(), &[])),
        ("waits", told(&waits, &[])),
        ("now", if session.waiting.is_none() { fit(&card.activity) } else { String::new() }),
        ("progress", progress(session, look)),
        ("changes", if session.files == 0 { "none".to_owned() } else { changes }),
        ("verify", verify(session, look)),
        ("measured", told(&measured(session), &[])),
        ("usage", usage(session)),
        ("limits", told(&limits(&card.limits), &[])),
        ("model", fit(&session.model)),
        ("sandbox", fit(&session.sandbox)),
        (
            "attempt",
            session.attempt.as_ref().map_or_else(String::new, |it| told(&attempt(it), &[])),
        ),
        ("kind", if session.experiment { "experiment".to_owned() } else { String::new() }),
        ("branch", format!("{} from {}", fit(&session.branch), short(&session.base))),
        ("worktree", worktree(card, look)),
        ("pull", pull(session)),
        ("started", times(session, now)),
    ]
}

/// Never cut: it is there to be copied.
fn worktree(card: &SessionCard, look: &Look) -> String {
    let path = match &card.session.worktree {
        None => return "removed".to_owned(),
        Some(_) if look.terminal => &card.place,
        Some(path) => path,
    };
    neutral(path).into_owned()
}

/// Never cut: it is there to be opened.
fn pull(session: &SessionView) -> String {
    let Some(pull) = &session.pull_request else { return String::new() };
    neutral(format!("{}  {}", pull.label, pull.url).trim_end()).into_owned()
}

fn progress(session: &SessionView, look: &Look) -> String {
    let plan = table::progress(session.progress, BAR, look);
    let steps = units::counted(session.steps.into(), "step");
    if plan.is_empty() { steps } else { format!("{plan} of the plan, {steps}") }
}

fn verify(session: &SessionView, look: &Look) -> String {
    let verify = &session.verify;
    let (glyph, ascii, word, tone) = match verify.status {
        VerifyStatus::Passed => ("✓", "+", "passed", Tone::Good),
        VerifyStatus::Failed => ("✗", "!", "failed", Tone::Bad),
        VerifyStatus::None => return "unverified".to_owned(),
    };
    let mark = if look.terminal { format!("{} ", look.glyph(glyph, ascii)) } else { String::new() };
    let mut line = look.paint(tone, format!("{mark}{word}"));
    if let Some(command) = &verify.command {
        line.push_str(&format!("  {}", neutral(command)));
    }
    if let Some(exit) = verify.exit {
        line.push_str(&format!(" {} exit {exit}", dot(look)));
    }
    if let Some(tree) = &verify.tree {
        line.push_str(&format!(" {} tree {}", dot(look), short(tree)));
    }
    line
}

/// `coverage 91.2 % (+1.0), bench 1.2 s (-3 %)`.
fn measured(session: &SessionView) -> String {
    let said = session.gates.iter().map(|gate| {
        let (name, words) = (table::gate_name(gate), table::gate(gate));
        format!("{name} {}", words.unwrap_or_else(|| "not known".to_owned()))
    });
    said.collect::<Vec<_>>().join(", ")
}

/// `2 of 3 of add-rate-7f3k: with a token bucket`.
fn attempt(attempt: &AttemptView) -> String {
    let AttemptView { group, number, of, approach } = attempt;
    let approach = if approach.is_empty() { String::new() } else { format!(": {approach}") };
    format!("{number} of {of} of {group}{approach}")
}

fn usage(session: &SessionView) -> String {
    let usage = session.usage;
    if usage.input == 0 && usage.output == 0 {
        return String::new();
    }
    let (input, output) = (units::tokens(usage.input), units::tokens(usage.output));
    let cached = match usage.cached.saturating_mul(100).checked_div(usage.input) {
        None | Some(0) => String::new(),
        Some(percent) => format!(" ({percent} % cached)"),
    };
    format!("{}  tokens: {input} in{cached}, {output} out", table::cost(session))
}

/// `$0.41 of $5.00, 12 m of 2 h, 14 of 200 steps`.
fn limits(limits: &[LimitView]) -> String {
    let said = limits.iter().map(|LimitView { limit, spent, to, shared }| {
        let to = limit.say(*to);
        let spent = spent.map(|spent| limit.say(spent));
        let spent = match &spent {
            // The unit is said once.
            Some(spent) if *limit == Limit::Steps || *limit == Limit::Tokens => {
                spent.split(' ').next().unwrap_or_default()
            }
            Some(spent) => spent.as_str(),
            None => return format!("? of {to} (no price known)"),
        };
        match shared {
            Some(name) => format!("{spent} of the shared {to} of {}", neutral(name)),
            None => format!("{spent} of {to}"),
        }
    });
    said.collect::<Vec<_>>().join(", ")
}

fn times(session: &SessionView, now: Timestamp) -> String {
    let (started, changed) = (units::ago(session.created, now), units::ago(session.updated, now));
    format!("{started} ago, last change {changed} ago")
}

fn plan_line(item: &PlanItem, look: &Look) -> String {
    let (glyph, ascii, tone) = match item.status {
        PlanStatus::Pending => ("·", "-", Tone::Plain),
        PlanStatus::Doing => ("▸", ">", Tone::Strong),
        PlanStatus::Done => ("✓", "+", Tone::Faint),
        PlanStatus::Dropped => ("✗", "x", Tone::Faint),
    };
    let mark = if look.terminal {
        look.glyph(glyph, ascii)
    } else {
        match item.status {
            PlanStatus::Pending => "pending",
            PlanStatus::Doing => "doing  ",
            PlanStatus::Done => "done   ",
            PlanStatus::Dropped => "dropped",
        }
    };
    let text = neutral(&item.text);
    let text = match look.terminal {
        true => truncate(&text, look.width.saturating_sub(6), look),
        false => text,
    };
    look.paint(tone, format!("    {mark} {text}"))
}

/// The newest first, as `git log` has them.
fn commit_lines(commits: &[CommitView], now: Timestamp, look: &Look) -> Vec<String> {
    let shown = if look.terminal { COMMITS } else { usize::MAX };
    let mut lines: Vec<_> = commits
        .iter()
        .rev()
        .take(shown)
        .map(|commit| {
            let (id, age) = (short(&commit.id), units::ago(commit.time, now));
            let room = look.width.saturating_sub(4 + id.len() + 2 + 2 + age.len());
            let subject = neutral(&commit.subject);
            let subject = if look.terminal { truncate(&subject, room, look) } else { subject };
            let (id, age) = (look.paint(Tone::Ask, id), look.paint(Tone::Faint, age));
            format!("    {id}  {subject}  {age}")
        })
        .collect();
    if commits.len() > shown {
        let more = format!("    {} {} more", look.glyph("…", ".."), commits.len() - shown);
        lines.push(look.paint(Tone::Faint, more));
    }
    lines
}

fn dot(look: &Look) -> &'static str {
    if look.terminal { look.glyph("·", "-") } else { "·" }
}

/// An object id as people see it.
pub(crate) fn short(id: &str) -> &str {
    id.get(..7).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::table::tests::{now, session as view, worked};
    use crate::ui::view::VerifyView;

    const TERMINAL: Look = Look { terminal: true, colour: false, unicode: true, width: 60 };

    fn card() -> SessionCard {
        let view = view("add-jwt-7f3k", "needs-input", 12);
        let mut session = worked(view, (1, 3), (4, 182), VerifyStatus::Failed, None);
        session.verify = VerifyView {
            command: Some("cargo test".to_owned()),
            exit: Some(101),
            tree: Some("abcdef0123".to_owned()),
            ..session.verify
        };
        session.question = Some("which store?".to_owned());
        let item = |text: &str, status| PlanItem { text: text.to_owned(), status };
        let commit = |at: usize| CommitView {
            id: format!("{at:07}aaaa"),
            subject: format!("step {at}"),
            time: now(),
        };
        let limit = |limit, spent, to| LimitView { limit, spent, to, shared: None };
        SessionCard {
            session,
            plan: vec![
                item("look", PlanStatus::Done),
                item("write the limiter \x1b[31m", PlanStatus::Doing),
                item("docs", PlanStatus::Pending),
                item("fax it", PlanStatus::Dropped),
            ],
            commits: (1..=13).map(commit).collect(),
            options: vec!["Redis".to_owned(), "memory".to_owned()],
            activity: "cargo test".to_owned(),
            place: "../shop.worktrees/add-jwt".to_owned(),
            summary: String::new(),
            notices: vec!["left out of the commits: big.bin".to_owned()],
            limits: vec![
                limit(Limit::Budget, None, 5.0),
                limit(Limit::Timeout, Some(754.0), 7_200.0),
                limit(Limit::Steps, Some(14.0), 200.0),
            ],
        }
    }

    #[test]
    fn a_card_on_a_terminal() {
        let commits: String =
            (2..=13).rev().map(|at| format!("    {at:07}  step {at}  0s\n")).collect();
        let expected = format!(
            "\
◐ add-jwt-7f3k  needs input
  Add rate limiting to the login endpoint

  asks      which store?
            1. Redis
            2. memory
  now       cargo test
  progress  ████░░░░░░░░ 1/3 of the plan, 14 steps
  changes   4 files +182
  verify    ✗ failed  cargo test · exit 101 · tree abcdef0
  usage     ?  tokens: 120k in (90 % cached), 4.1k out
  limits    ? of $5.00 (no price known), 12 m 34 s of 2 h,
            14 of 200 steps
  model     anthropic/claude
  sandbox   none
  branch    agent/add-jwt from 1111111
  worktree  ../shop.worktrees/add-jwt
  started   12m ago, last change 0s ago

  notices
    left out of the commits: big.bin

  plan
    ✓ look
    ▸ write the limiter ^[[31m
    · docs
    ✗ fax it

  13 commits
{commits}    … 1 more"
        );
        assert_eq!(session(&card(), now(), &TERMINAL), expected);
    }

    #[test]
    fn a_piped_card_has_words_for_marks_and_every_commit() {
        let card = session(&card(), now(), &Look::PLAIN);
        assert!(card.starts_with("add-jwt-7f3k  needs input\n"), "{card}");
        assert!(card.contains("    doing   write the limiter"), "{card}");
        assert!(card.ends_with("    0000001  step 1  0s"), "{card}");
    }
}
