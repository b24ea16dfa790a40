//! `git agent doctor`: what this machine offers, what is missing, what is broken, and how to mend it.
//!
//! Invariant: without `--fix` it changes nothing; it starts no model, and names keys without showing
//! them.

mod notices;
mod probe;

use std::path::Path;

use serde::Serialize;

use super::context::Context;
use crate::error::{CommandError, Kind, Result, exit};
use crate::mend::{self, Ground};
use crate::ui::{Look, Tone, Ui, json, text};

/// Check what this machine offers, what is missing and what is broken
///
/// Looks at git, the settings, the sandbox, keys (by name only), local model servers and installed
/// agents; and at the sessions: interrupted ones, stale locks, worktrees that were deleted, moved or
/// cut off from git, damaged files, journals and records, half-made starts, left-overs, and what is
/// no session. Exit code 1 says that no session could
/// be started, or that a problem is left.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Mend what can be mended; nothing that may be somebody else's is touched
    #[arg(long)]
    fix: bool,
    /// Print JSON: {"format":1,"checks":[…]}
    #[arg(long)]
    json: bool,
    /// Tell yourself a trial notice by each channel of agent.notify, and look at nothing else
    #[arg(long)]
    notify: bool,
}

/// One thing that was looked at, in format 1 of the JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    area: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// It is there.
    Good,
    /// It is not there, and need not be.
    Absent,
    /// It works, but a person should know.
    Warning,
    /// Nothing works without it.
    Bad,
    /// Something is broken.
    Problem,
    /// It was broken, and is mended.
    Mended,
}

impl Check {
    fn new(area: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { area, verdict, found: found.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Prints what was found.
///
/// # Errors
/// [`Kind::No`] if something without which no session can be started is missing, or a trial notice
/// was not told.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let here = std::env::current_dir()?;
    let context = Context::open_in(ui, &here);
    let mut curable = false;
    let checks = match (args.notify, &context) {
        (true, _) => notices::tried(&context?)?,
        (false, Ok(context)) => {
            let mut checks = probe::all(&here, Ok(context));
            curable = sessions(context, args.fix, &mut checks);
            checks
        }
        (false, Err(error)) => probe::all(&here, Err(error)),
    };
    if args.json {
        ui.answer(&json::named("checks", &checks)?)?;
    } else {
        ui.answer(&report(&checks, &ui.look()))?;
    }
    if curable {
        ui.hint("git agent doctor --fix");
    }
    let is_wrong = |check: &Check| matches!(check.verdict, Verdict::Bad | Verdict::Problem);
    match checks.iter().filter(|check| is_wrong(check)).count() {
        0 => Ok(()),
        _ => Err(CommandError::new(Kind::Told(exit::NO), "")),
    }
}

/// Adds what is wrong with the sessions, mended if that is wished; says whether there is something
/// that could be.
fn sessions(context: &Context<'_>, fix: bool, checks: &mut Vec<Check>) -> bool {
    let ground = Ground { repo: &context.repo, store: &context.store, system: Path::new("/") };
    let problems = match mend::look(&ground) {
        Ok(problems) => problems,
        Err(error) => {
            checks.push(Check::new("sessions", Verdict::Problem, error.to_string()));
            return false;
        }
    };
    if problems.is_empty() {
        checks.push(Check::new("sessions", Verdict::Good, "nothing is broken"));
    }
    let mut curable = false;
    for mut problem in problems {
        let check = Check::new(problem.kind, Verdict::Problem, problem.what.clone());
        let check = match problem.hint.clone() {
            Some(hint) => check.hint(hint),
            None => check,
        };
        curable |= problem.is_curable() && !fix;
        checks.push(match fix.then(|| problem.mend()).flatten() {
            None => check,
            Some(Ok(done)) => Check::new(problem.kind, Verdict::Mended, done),
            Some(Err(error)) => check.hint(format!("It is not mended: {error}")),
        });
    }
    curable
}

fn report(checks: &[Check], look: &Look) -> String {
    let columns = checks.iter().map(|check| check.area.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    let mut last = "";
    for check in checks {
        let (glyph, ascii, word, tone) = match check.verdict {
            Verdict::Good => ("✓", "+", "ok", Tone::Good),
            Verdict::Absent => ("–", "-", "absent", Tone::Faint),
            Verdict::Warning => ("!", "!", "warning", Tone::Ask),
            Verdict::Bad => ("✗", "x", "missing", Tone::Bad),
            Verdict::Problem => ("✗", "x", "problem", Tone::Bad),
            Verdict::Mended => ("✓", "+", "mended", Tone::Good),
        };
        let mark =
            if look.terminal { look.glyph(glyph, ascii).to_owned() } else { format!("{word:<7}") };
        let area = if check.area == last { "" } else { check.area };
        last = check.area;
        let indent = columns + 2 + crate::ui::width(&mark) + 1;
        let room = if look.terminal { look.width.saturating_sub(indent) } else { usize::MAX };
        let found = text::wrap(&text::neutral(&check.found), room);
        for (at, line) in found.iter().enumerate() {
            lines.push(match at {
                0 => format!("{area:<columns$}  {} {line}", look.paint(tone, &mark)),
                _ => format!("{:indent$}{line}", ""),
            });
        }
        if let Some(hint) = &check.hint {
            let hint = text::wrap(&text::neutral(hint), room);
            lines.extend(
                hint.iter().map(|line| format!("{:indent$}{}", "", look.paint(Tone::Faint, line))),
            );
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_aligned_and_says_how_to_get_what_is_missing() {
        let checks = [
            Check::new("git", Verdict::Good, "git 2.47.3"),
            Check::new("keys", Verdict::Good, "anthropic: ANTHROPIC_API_KEY"),
            Check::new("keys", Verdict::Absent, "openai: OPENAI_API_KEY"),
            Check::new("model", Verdict::Bad, "no key and no server")
                .hint("export ANTHROPIC_API_KEY=…"),
        ];
        let terminal = Look { terminal: true, ..Look::PLAIN };
        assert_eq!(
            report(&checks, &terminal),
            "\
git    ✓ git 2.47.3
keys   ✓ anthropic: ANTHROPIC_API_KEY
       – openai: OPENAI_API_KEY
model  ✗ no key and no server
         export ANTHROPIC_API_KEY=…"
        );
        assert_eq!(
            report(&checks[3..], &Look::PLAIN),
            "\
model  missing no key and no server
               export ANTHROPIC_API_KEY=…"
        );
    }
}
