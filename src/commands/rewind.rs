//! `git agent rewind`: code and conversation, set back to the end of a step.
//!
//! Invariant: what is left stays reachable, by `--undo` and by the session's ref.

use serde::Serialize;

use super::context::{Context, SessionArg};
use super::control;
use crate::error::Result;
use crate::event::Way;
use crate::mend::worktree;
use crate::plan::LandError;
use crate::plan::work;
use crate::session::rewind::{self, Plan, Target, Touched};
use crate::session::store::Session;
use crate::ui::{Ui, json, text, units};

/// Set a session's code and conversation back to the end of a step
///
/// The branch, the worktree's files and what the agent remembers go back together, whatever made
/// the changes since. Nothing is lost: changes in no commit are recorded first, and --undo returns.
/// Tokens that were spent stay spent.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  git agent rewind fix-login 3
  git agent rewind fix-login 3 --dry-run
  git agent rewind fix-login --undo")]
pub struct Args {
    #[command(flatten)]
    session: SessionArg,
    /// The step whose end is meant, as `git agent log` counts them; 0 is the start
    #[arg(required_unless_present_any = ["undo", "redo"], value_parser = step, allow_negative_numbers = true)]
    step: Option<u32>,
    /// Return to where it was before the last rewind
    #[arg(long, conflicts_with_all = ["step", "redo"])]
    undo: bool,
    /// Return to where it was before the last undo
    #[arg(long, conflicts_with = "step")]
    redo: bool,
    /// List the files that would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON: {"format":1,"rewound":{…}}
    #[arg(long)]
    json: bool,
}

/// A rewind, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct View<'a> {
    session: &'a str,
    step: u32,
    steps_left: u32,
    head: &'a str,
    tree: &'a str,
    before: &'a str,
    files: Vec<File<'a>>,
    uncommitted: &'a [String],
    unsaid: &'a [String],
}

#[derive(Debug, Serialize)]
struct File<'a> {
    path: &'a str,
    status: char,
}

/// The number of a step.
///
/// # Errors
/// It is none; says what would be.
pub(super) fn step(text: &str) -> std::result::Result<u32, String> {
    text.parse().map_err(|_| "expected a step from 0, as git agent log counts them".to_owned())
}

/// Rewinds, or says what a rewind would do.
///
/// # Errors
/// The session runs or is over, there is no such step, or something is in the way.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let session = context.session(&args.session.session)?;
    let target = match args.step {
        Some(step) => Target::Step(step),
        None if args.redo => Target::Redo,
        None => Target::Undo,
    };
    let phase = session.state()?.phase;
    if phase.needs_supervisor() {
        return Err(LandError::NotAtRest { id: session.id, phase }.into());
    }
    let session = worktree::found(&context.repo, &session)?;
    let plan = if args.dry_run {
        rewind::rehearse(&context.repo, &session, target)?
    } else {
        control::check_worktree(&context, &session)?;
        let (_lock, mut state) = work::hold(&context.repo, &session)?;
        rewind::rewind(&context.repo, &session, &mut state, target)?
    };
    match plan {
        None => {
            let step = args.step.unwrap_or_default();
            ui.narrate(&format!("Nothing to rewind: {} is at the end of step {step}", session.id));
            Ok(())
        }
        Some(plan) if args.json => print(ui, &session, &plan),
        Some(plan) if args.dry_run => foretell(ui, &session, &plan),
        Some(plan) => tell(ui, &session, &plan),
    }
}

fn tell(ui: &Ui, session: &Session, plan: &Plan) -> Result {
    let id = &session.id;
    ui.answer(&format!("Rewound {id} {}", outcome(plan)))?;
    if !plan.uncommitted.is_empty() {
        let files = units::counted(plan.uncommitted.len() as u64, "file");
        ui.narrate(&format!("  kept {files} in no commit: {}", plan.uncommitted.join(", ")));
    }
    for words in &plan.unsaid {
        let words = words.lines().next().unwrap_or_default();
        ui.narrate(&format!("  no longer said: {}", text::neutral(words)));
    }
    let back = if plan.rewind.way == Way::Undo { "--redo" } else { "--undo" };
    ui.hint(&format!("git agent resume {id}    git agent rewind {id} {back}"));
    Ok(())
}

fn foretell(ui: &Ui, session: &Session, plan: &Plan) -> Result {
    let line = |file: &Touched| format!("{}  {}\n", file.how, text::neutral(&file.path));
    ui.answer(plan.files.iter().map(line).collect::<String>().trim_end())?;
    ui.narrate(&format!("Would rewind {} {}", session.id, outcome(plan)));
    Ok(())
}

/// `to the end of step 3: 2 steps left aside, 4 files changed`.
fn outcome(plan: &Plan) -> String {
    let where_to = match (plan.rewind.way, plan.rewind.step) {
        (Way::Back, 0) => "to the start".to_owned(),
        (Way::Back, step) => format!("to the end of step {step}"),
        (Way::Undo | Way::Redo, step) => format!("to where it was, at step {step}"),
    };
    let left = match plan.steps_left {
        0 => String::new(),
        steps => format!("{} left aside, ", units::counted(steps.into(), "step")),
    };
    let files = units::counted(plan.files.len() as u64, "file");
    format!("{where_to}: {left}{files} changed")
}

fn print(ui: &Ui, session: &Session, plan: &Plan) -> Result {
    let view = View {
        session: &session.id,
        step: plan.rewind.step,
        steps_left: plan.steps_left,
        head: &plan.rewind.to.head,
        tree: &plan.rewind.to.tree,
        before: &plan.rewind.from.head,
        files: plan.files.iter().map(|file| File { path: &file.path, status: file.how }).collect(),
        uncommitted: &plan.uncommitted,
        unsaid: &plan.unsaid,
    };
    Ok(ui.answer(&json::named("rewound", &view)?)?)
}
