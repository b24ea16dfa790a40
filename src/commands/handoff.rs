//! `git agent handoff`: a page for the person who takes a session over.
//!
//! Invariant: the session is only read, no model is asked, and nothing that looks like a secret is
//! on the page.

use std::path::PathBuf;

use clap::ValueHint;

use super::context::{Context, SessionArg};
use super::{question, view};
use crate::error::Result;
use crate::git::{DiffStat, ObjectId, Repo, Status};
use crate::message::{PlanItem, PlanStatus};
use crate::redact;
use crate::session::handoff::{self, Told};
use crate::session::state::{Phase, State};
use crate::session::store::Session;
use crate::ui::handoff::{Asked, Check, Done, File, Handoff, Next, Said, page};
use crate::ui::{Ui, json, text};

/// Write a page for the person who takes a session over
///
/// What was asked, what was done, what is open, what is to be decided, and how to go on, in
/// Markdown. It comes from the session's journal; no model is asked. What looks like a secret is
/// left out.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  git agent handoff fix-login
  git agent handoff fix-login -o HANDOFF.md")]
pub struct Args {
    #[command(flatten)]
    session: SessionArg,
    /// File to write, replaced if it is there (default: standard output)
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Print JSON: {"format":1,"handoff":{…}}
    #[arg(long)]
    json: bool,
}

/// Prints the page, or writes it.
///
/// # Errors
/// There is no such session, its commits are gone, or the file cannot be written.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let session = context.session(&args.session.session)?;
    let handoff = collect(&context.repo, &session)?;
    let text = match args.json {
        true => json::named("handoff", &handoff)? + "\n",
        false => page(&handoff),
    };
    let Some(path) = &args.output else {
        return Ok(ui.answer(text.trim_end())?);
    };
    fs_err::write(path, text)?;
    ui.answer(&format!("Wrote the handoff of {} to {}", session.id, view::from_here(path)))?;
    ui.hint(&format!("git agent export {} writes the session itself", session.id));
    Ok(())
}

fn collect(repo: &Repo, session: &Session) -> Result<Handoff> {
    let (id, spec, state) = (&session.id, &session.spec, session.state()?);
    let told = handoff::told(&session.journal_path())?;
    let head = state.head.clone().unwrap_or_else(|| spec.first_commit().to_owned());
    let mut models: Vec<_> = state.models.iter().map(|model| clean(model)).collect();
    if models.is_empty() {
        models.push(clean(&spec.model_label()));
    }
    Ok(Handoff {
        session: id.clone(),
        state: state.phase.to_string(),
        reason: Some(clean(&state.reason)).filter(|reason| !reason.is_empty()),
        branch: spec.branch_name().to_owned(),
        base: spec.base.commit.clone(),
        base_name: clean(&spec.base.name),
        head,
        steps: state.step,
        worked_s: state.worked / 1_000,
        models,
        cost_usd: state.cost_usd,
        created: state.created,
        task: clean(&spec.task),
        summary: clean(&state.summary),
        files: files(repo, session, &state)?,
        checks: checks(session, &state, &told),
        plan: state.plan.iter().map(item).collect(),
        open: open(&state),
        questions: questions(&state),
        next: next(id, spec.branch_name(), &state),
        said: told.said.iter().map(|it| Said { step: it.step, text: clean(&it.text) }).collect(),
        done: told.steps.into_iter().map(done).collect(),
    })
}

/// Words that others wrote, without secrets and without what could act on a terminal.
fn clean(words: &str) -> String {
    text::neutral_lines(&redact::eagerly(words)).into_owned()
}

fn item(item: &PlanItem) -> PlanItem {
    PlanItem { text: clean(&item.text), status: item.status }
}

fn done(step: handoff::Changed) -> Done {
    let handoff::Changed { step, commit, subject, insertions, deletions, by_person } = step;
    Done { step, commit, subject: clean(&subject), insertions, deletions, by_person }
}

/// What differs from the base, changes in no commit included.
fn files(repo: &Repo, session: &Session, state: &State) -> Result<Vec<File>> {
    let base = repo.resolve_commit(&session.spec.base.commit)?;
    let old = repo.tree_of(base)?;
    let tree = state.tree.as_deref().and_then(|hex| ObjectId::from_hex(hex.as_bytes()).ok());
    let DiffStat { paths, .. } = match tree.filter(|tree| repo.has_object(*tree)) {
        Some(tree) => repo.diff_stat(old, tree)?,
        None => return Ok(Vec::new()),
    };
    let files = paths.into_iter().map(|change| {
        let path = clean(&change.path.to_string());
        let (how, path) = match &change.status {
            Status::Added => ("new", path),
            Status::Deleted => ("deleted", path),
            Status::Modified => ("changed", path),
            Status::Renamed(from) => ("moved", format!("{} → {path}", clean(&from.to_string()))),
        };
        File { path, how, insertions: change.insertions, deletions: change.deletions }
    });
    Ok(files.collect())
}

/// The checks that were asked for, and what else was checked, each as it ended the last time.
fn checks(session: &Session, state: &State, told: &Told) -> Vec<Check> {
    let ran = told.checks.iter().map(|record| Check {
        command: clean(&record.command),
        exit: Some(record.exit),
        millis: record.millis,
        is_current: Some(&record.tree) == state.tree.as_ref(),
        output: clean(&record.output),
    });
    let has_run = |command: &&String| !told.checks.iter().any(|it| it.command == **command);
    let never = session.spec.verify.iter().filter(has_run).map(|command| Check {
        command: clean(command),
        exit: None,
        millis: 0,
        is_current: false,
        output: String::new(),
    });
    ran.chain(never).collect()
}

fn open(state: &State) -> Vec<String> {
    let left_out = state.left_out.iter().map(|it| format!("in no commit: {}", clean(it)));
    let notices = state.notices.iter().map(|it| clean(it));
    left_out.chain(notices).collect()
}

/// What the session asks; and what whoever takes it over has to decide all the same.
fn questions(state: &State) -> Vec<Asked> {
    let ask = |text: String| Asked { text, options: Vec::new() };
    let own = state.question.as_ref().map(|question| Asked {
        text: clean(&question.text),
        options: question.options.iter().map(|option| clean(option)).collect(),
    });
    let red = state.verify.as_ref().filter(|record| record.exit != 0).map(|record| {
        let (command, exit) = (clean(&record.command), record.exit);
        ask(format!("The check {command} fails with exit code {exit}: is that to be mended here?"))
    });
    let is_open = |item: &&PlanItem| matches!(item.status, PlanStatus::Pending | PlanStatus::Doing);
    let plan = state.plan.iter().filter(is_open);
    let plan =
        plan.map(|item| ask(format!("Not done yet: {}. Is it still wanted?", sentence(item))));
    own.into_iter().chain(red).chain(plan).collect()
}

fn sentence(item: &PlanItem) -> String {
    clean(&item.text).trim().trim_end_matches('.').to_owned()
}

fn next(id: &str, branch: &str, state: &State) -> Vec<Next> {
    let go_on: Vec<(String, _)> = match state.phase {
        Phase::NeedsInput => {
            let how = question::how(id, state.question.as_ref());
            how.split("    ").map(|how| (how.to_owned(), "answers it, and it goes on")).collect()
        }
        Phase::Done => vec![
            (format!("git agent merge {id}"), "lands its work"),
            (format!("git agent say {id} \"…\""), "gives it more to do"),
        ],
        Phase::Landed | Phase::Archived => Vec::new(),
        Phase::Queued | Phase::Running | Phase::Verifying => {
            vec![(format!("git agent attach {id}"), "watches it work")]
        }
        Phase::Paused | Phase::Interrupted | Phase::Failed | Phase::Stopped => vec![
            (format!("git agent resume {id}"), "lets it go on"),
            (format!("git agent say {id} \"…\""), "tells it something first"),
        ],
    };
    let look = [
        (format!("git agent status {id}"), "how it stands"),
        (format!("git agent diff {id}"), "all it changed"),
    ];
    let elsewhere = [
        (format!("git agent export {id}"), "a file that git agent import takes elsewhere"),
        (format!("git log -p {branch}"), "its commits, without git agent"),
    ];
    let all = look.into_iter().chain(go_on).chain(elsewhere);
    all.map(|(command, what)| Next { command, what }).collect()
}
