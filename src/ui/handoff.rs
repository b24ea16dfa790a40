//! The page of `handoff S`: a session for one who takes it over, in Markdown.
//!
//! Invariant: what others wrote stands in quotes, cells and code, so no words of an agent can be
//! taken for the page's own.

use jiff::Timestamp;
use serde::Serialize;

use super::card::short;
use super::units;
use crate::message::{PlanItem, PlanStatus};

/// All that is on the page, in format 1 of `handoff --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Handoff {
    /// The session.
    pub session: String,
    /// Its state.
    pub state: String,
    /// Why it is in that state; none where that says itself.
    pub reason: Option<String>,
    /// The branch, without `refs/heads/`.
    pub branch: String,
    /// The commit it began at, in hex.
    pub base: String,
    /// How that was called.
    pub base_name: String,
    /// The tip of the branch, in hex.
    pub head: String,
    /// Steps taken.
    pub steps: u32,
    /// Time at work, in seconds.
    pub worked_s: u64,
    /// The models that answered.
    pub models: Vec<String>,
    /// The price; none where it is not known.
    pub cost_usd: Option<f64>,
    /// When it began.
    pub created: Timestamp,
    /// The task.
    pub task: String,
    /// What people said since.
    pub said: Vec<Said>,
    /// What the agent said at the end; may be empty.
    pub summary: String,
    /// The steps that changed files.
    pub done: Vec<Done>,
    /// The files that differ from the base.
    pub files: Vec<File>,
    /// The last run of each check.
    pub checks: Vec<Check>,
    /// Its plan.
    pub plan: Vec<PlanItem>,
    /// What else is not settled, a line each.
    pub open: Vec<String>,
    /// What is to be decided.
    pub questions: Vec<Asked>,
    /// How to go on.
    pub next: Vec<Next>,
}

/// What a person said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Said {
    /// The step it was said after.
    pub step: u32,
    /// The words.
    pub text: String,
}

/// A step that changed files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Done {
    /// The step.
    pub step: u32,
    /// Its commit, in hex.
    pub commit: Option<String>,
    /// What it was called.
    pub subject: String,
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// Whether a person did it.
    pub by_person: bool,
}

/// A file that differs from the base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct File {
    /// Its path.
    pub path: String,
    /// `new`, `changed`, `deleted`, `moved`.
    pub how: &'static str,
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
}

/// A check, the last time it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The command.
    pub command: String,
    /// Its exit code; none where it never ran.
    pub exit: Option<i32>,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// Whether it ran on the files as they are now.
    pub is_current: bool,
    /// The end of what it printed, where it failed.
    pub output: String,
}

/// What is to be decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// The question.
    pub text: String,
    /// The answers it offers; may be none.
    pub options: Vec<String>,
}

/// A way to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Next {
    /// What to type.
    pub command: String,
    /// What it does, in a few words.
    pub what: &'static str,
}

/// More files than these are counted, not listed.
const FILES: usize = 60;
/// More steps than these are counted, not listed: the last are shown.
const STEPS: usize = 60;

/// The page.
pub fn page(handoff: &Handoff) -> String {
    let mut page = String::new();
    let title = handoff.task.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    page.push_str(&format!("# {}\n\n", inline(title.trim())));
    facts(&mut page, handoff);
    asked(&mut page, handoff);
    done(&mut page, handoff);
    open(&mut page, handoff);
    next(&mut page, handoff);
    page
}

fn facts(page: &mut String, it: &Handoff) {
    let reason = it.reason.as_ref().map_or(String::new(), |why| format!(": {}", inline(why)));
    let (insertions, deletions) = total(it);
    let changes = match it.files.len() as u64 {
        0 => "none".to_owned(),
        files => format!("{}, {}", units::counted(files, "file"), lines(insertions, deletions)),
    };
    let base = format!("{} ({})", code(short(&it.base)), inline(&it.base_name));
    let models = it.models.iter().map(|model| inline(model)).collect::<Vec<_>>().join(", ");
    let work = [
        units::counted(it.steps.into(), "step"),
        Some(it.worked_s)
            .filter(|it| *it > 0)
            .map_or_else(String::new, |it| units::duration(it * 1_000)),
        units::cost(it.cost_usd),
        models,
    ];
    let work: Vec<_> = work.into_iter().filter(|part| !part.is_empty()).collect();
    for (name, value) in [
        ("Session", format!("{}, branch {}", code(&it.session), code(&it.branch))),
        ("State", format!("{}{reason}", it.state.replace('-', " "))),
        ("Began", format!("{} at {base}", it.created.strftime("%Y-%m-%d %H:%M UTC"))),
        ("Work", work.join(" · ")),
        ("Changes", changes),
        ("Checks", verdict(it)),
    ] {
        page.push_str(&format!("- **{name}:** {value}\n"));
    }
}

/// What the checks come to, in a few words.
fn verdict(it: &Handoff) -> String {
    let failed = it.checks.iter().filter(|check| check.exit.is_some_and(|exit| exit != 0)).count();
    let current = |check: &Check| check.exit.is_some() && check.is_current;
    match (it.checks.len(), failed) {
        (0, _) => "none".to_owned(),
        (_, 1..) => format!("❌ {failed} of {} failed", it.checks.len()),
        _ if it.checks.iter().all(current) => "✅ passed on the files as they are now".to_owned(),
        _ => "not run on the files as they are now".to_owned(),
    }
}

fn asked(page: &mut String, it: &Handoff) {
    page.push_str("\n## What was asked\n\n");
    page.push_str(&quote(&it.task));
    if !it.said.is_empty() {
        page.push_str("\nSaid since:\n");
    }
    for said in &it.said {
        page.push_str(&format!("\nAfter step {}:\n\n{}", said.step, quote(&said.text)));
    }
}

fn done(page: &mut String, it: &Handoff) {
    page.push_str("\n## What was done\n\n");
    if it.done.is_empty() && it.summary.is_empty() {
        page.push_str("Nothing that changed a file.\n");
    }
    if !it.summary.is_empty() {
        page.push_str(&format!("In the agent's own words:\n\n{}\n", quote(&it.summary)));
    }
    if !it.done.is_empty() {
        page.push_str("| Step | Commit | What | Lines |\n|---:|---|---|---:|\n");
        let left = it.done.len().saturating_sub(STEPS);
        if left > 0 {
            page.push_str(&format!("| … | | {left} more before | |\n"));
        }
        for step in &it.done[left..] {
            let commit = step.commit.as_deref().map_or("–".to_owned(), |hex| code(short(hex)));
            let who = if step.by_person { " *(by a person)*" } else { "" };
            let (what, lines) = (inline(&step.subject), lines(step.insertions, step.deletions));
            page.push_str(&format!("| {} | {commit} | {what}{who} | {lines} |\n", step.step));
        }
    }
    if !it.files.is_empty() {
        page.push_str("\n### Files\n\n| File | | Lines |\n|---|---|---:|\n");
        for file in it.files.iter().take(FILES) {
            let lines = lines(file.insertions, file.deletions);
            page.push_str(&format!("| {} | {} | {lines} |\n", cell(&code(&file.path)), file.how));
        }
        let more = it.files.len().saturating_sub(FILES);
        if more > 0 {
            page.push_str(&format!("| … {more} more | | |\n"));
        }
        let (insertions, deletions) = total(it);
        let files = units::counted(it.files.len() as u64, "file");
        page.push_str(&format!("| **{files}** | | {} |\n", lines(insertions, deletions)));
    }
    if !it.checks.is_empty() {
        page.push_str("\n### Checks\n\n");
        it.checks.iter().for_each(|it| page.push_str(&check(it)));
    }
}

fn check(check: &Check) -> String {
    let (mark, how) = match check.exit {
        None => ("⬜", "has not run".to_owned()),
        Some(0) => ("✅", format!("passed in {}", units::duration(check.millis))),
        Some(exit) => ("❌", format!("exit {exit} after {}", units::duration(check.millis))),
    };
    let when = match check.exit.is_some() && !check.is_current {
        true => ", before the last changes",
        false => "",
    };
    let mut line = format!("- {mark} {}: {how}{when}\n", code(&check.command));
    if check.exit.is_some_and(|exit| exit != 0) && !check.output.trim().is_empty() {
        line.push_str(&format!("\n{}\n", fence("text", &check.output)));
    }
    line
}

fn open(page: &mut String, it: &Handoff) {
    page.push_str("\n## What is open\n\n");
    if it.plan.is_empty() && it.open.is_empty() {
        page.push_str("Nothing that the record tells of.\n");
    }
    for item in &it.plan {
        let (mark, how) = match item.status {
            PlanStatus::Pending => (" ", ""),
            PlanStatus::Doing => (" ", " *(begun)*"),
            PlanStatus::Done => ("x", ""),
            PlanStatus::Dropped => ("x", " *(given up)*"),
        };
        page.push_str(&format!("- [{mark}] {}{how}\n", inline(&item.text)));
    }
    it.open.iter().for_each(|line| page.push_str(&format!("- {}\n", inline(line))));
    if !it.questions.is_empty() {
        page.push_str("\n## Questions\n\n");
    }
    for (at, question) in it.questions.iter().enumerate() {
        page.push_str(&format!("{}. {}\n", at + 1, inline(&question.text)));
        for option in &question.options {
            page.push_str(&format!("   - {}\n", inline(option)));
        }
    }
}

fn next(page: &mut String, it: &Handoff) {
    page.push_str("\n## How to go on\n\n");
    let widest = it.next.iter().map(|next| next.command.chars().count()).max().unwrap_or(0);
    let line = |Next { command, what }: &Next| {
        let gap = " ".repeat(widest - command.chars().count());
        format!("{command}{gap}  # {what}\n")
    };
    page.push_str(&fence("sh", &it.next.iter().map(line).collect::<String>()));
}

fn total(it: &Handoff) -> (u64, u64) {
    let sum = |of: fn(&File) -> u64| it.files.iter().map(of).sum();
    (sum(|file| file.insertions), sum(|file| file.deletions))
}

/// `+182 −3`.
fn lines(insertions: u64, deletions: u64) -> String {
    format!("+{insertions} −{deletions}")
}

/// Each line behind a `>`, so that no heading or list of it is the page's.
fn quote(text: &str) -> String {
    text.trim().lines().map(|line| format!("> {line}").trim_end().to_owned() + "\n").collect()
}

/// Words within a line: no cell, tag or comment of theirs begins or ends there.
fn inline(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('\\', "\\\\").replace('|', "\\|").replace('<', "\\<")
}

/// Code within a line, between more backticks than it has in a row.
fn code(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let ticks = "`".repeat(longest_run(&line) + 1);
    let pad = if line.starts_with('`') || line.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{line}{pad}{ticks}")
}

/// Code within a cell of a table, where only a `|` needs a sign before it.
fn cell(code: &str) -> String {
    code.replace('|', "\\|")
}

/// Lines of code, between fences longer than any in them.
fn fence(language: &str, text: &str) -> String {
    let ticks = "`".repeat((longest_run(text) + 1).max(3));
    format!("{ticks}{language}\n{}\n{ticks}\n", text.trim_end())
}

/// The most backticks in a row.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handoff() -> Handoff {
        let item = |text: &str, status| PlanItem { text: text.to_owned(), status };
        Handoff {
            session: "add-rate-7f3k".into(),
            state: "needs-input".into(),
            reason: None,
            branch: "agent/add-rate".into(),
            base: "1111111aaaa".into(),
            base_name: "main".into(),
            head: "2222222bbbb".into(),
            steps: 3,
            worked_s: 125,
            models: vec!["anthropic/claude".into()],
            cost_usd: Some(0.41),
            created: "2026-11-22T14:48:00Z".parse().unwrap(),
            task: "Add rate limiting\n\n# to the login".into(),
            said: vec![Said { step: 1, text: "Use Redis.".into() }],
            summary: String::new(),
            done: vec![Done {
                step: 2,
                commit: Some("abcdef0123".into()),
                subject: "Add the <b>limiter | x".into(),
                insertions: 12,
                deletions: 3,
                by_person: true,
            }],
            files: vec![File {
                path: "src/a|b`.rs".into(),
                how: "new",
                insertions: 12,
                deletions: 3,
            }],
            checks: vec![Check {
                command: "cargo test".into(),
                exit: Some(101),
                millis: 3_200,
                is_current: false,
                output: "```\nboom\n".into(),
            }],
            plan: vec![item("look", PlanStatus::Done), item("docs", PlanStatus::Doing)],
            open: vec!["big.bin is in no commit".into()],
            questions: vec![Asked { text: "Which store?".into(), options: vec!["Redis".into()] }],
            next: vec![Next { command: "git agent answer add".into(), what: "tells it" }],
        }
    }

    #[test]
    fn the_page_has_all_of_it_and_nothing_of_an_agent_breaks_out() {
        let expected = "\
# Add rate limiting

- **Session:** `add-rate-7f3k`, branch `agent/add-rate`
- **State:** needs input
- **Began:** 2026-11-22 14:48 UTC at `1111111` (main)
- **Work:** 3 steps · 2 m 05 s · $0.41 · anthropic/claude
- **Changes:** 1 file, +12 −3
- **Checks:** ❌ 1 of 1 failed

## What was asked

> Add rate limiting
>
> # to the login

Said since:

After step 1:

> Use Redis.

## What was done

| Step | Commit | What | Lines |
|---:|---|---|---:|
| 2 | `abcdef0` | Add the \\<b>limiter \\| x *(by a person)* | +12 −3 |

### Files

| File | | Lines |
|---|---|---:|
| ``src/a\\|b`.rs`` | new | +12 −3 |
| **1 file** | | +12 −3 |

### Checks

- ❌ `cargo test`: exit 101 after 3.2 s, before the last changes

````text
```
boom
````


## What is open

- [x] look
- [ ] docs *(begun)*
- big.bin is in no commit

## Questions

1. Which store?
   - Redis

## How to go on

```sh
git agent answer add  # tells it
```
";
        assert_eq!(page(&handoff()), expected);
    }

    #[test]
    fn a_session_that_did_nothing_has_a_page_too() {
        let none = Handoff {
            done: Vec::new(),
            files: Vec::new(),
            checks: Vec::new(),
            plan: Vec::new(),
            open: Vec::new(),
            questions: Vec::new(),
            said: Vec::new(),
            ..handoff()
        };
        let page = page(&none);
        assert!(page.contains("Nothing that changed a file.\n"), "{page}");
        assert!(page.contains("Nothing that the record tells of.\n"), "{page}");
        assert!(!page.contains("## Questions"), "{page}");
    }
}
