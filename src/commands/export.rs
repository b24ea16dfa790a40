//! `git agent export`: a session in one file.
//!
//! Invariant: the session is only read; what is in the file is its record, which ends with a step
//! that is finished.

use std::path::{Path, PathBuf};

use clap::ValueHint;
use serde::Serialize;

use super::context::{Context, SessionArg};
use super::view;
use crate::error::{CommandError, Result};
use crate::git::{Bundle, Repo};
use crate::session::record::Record;
use crate::session::spec::Spec;
use crate::ui::{Ui, card, json, units};

/// Write a session to one file, for another clone or another person
///
/// The file is a git bundle of the session's ref: what was asked, all that was said and done, each
/// commit, and changes in no commit. It builds on the commit that the session began at; where no
/// remote has that yet, on what the remotes have. Files that git ignores and messages that nobody
/// has read stay here. git agent import takes it in.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  git agent export fix-login
  git agent export fix-login -o /media/stick/fix-login.bundle")]
pub struct Args {
    #[command(flatten)]
    session: SessionArg,
    /// File to write, replaced if it is there (default: SESSION.bundle)
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Leave nothing out: all history, for a repository that lacks it
    #[arg(long)]
    whole: bool,
    /// Print JSON: {"format":1,"export":{…}}
    #[arg(long)]
    json: bool,
}

/// What was written, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct View<'a> {
    session: &'a str,
    file: String,
    bytes: u64,
    steps: u32,
    record: String,
    /// Commits that who imports it must have.
    needs: Vec<String>,
}

/// Writes the file.
///
/// # Errors
/// There is no such session, or the file cannot be written.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let session = context.session(&args.session.session)?;
    let (id, state) = (&session.id, session.state()?);
    let Some(record) = Record::last(&context.repo, id)? else {
        return Err(CommandError::no(format!("{id} has no record")).hint("git agent doctor --fix"));
    };
    let file = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{id}.bundle")));
    let file = std::path::absolute(file)?;
    let without = if args.whole { Vec::new() } else { without(&context.repo, &session.spec)? };
    let without: Vec<_> = without.iter().map(String::as_str).collect();
    context.repo.write_bundle(&file, &session.ref_name(), &without)?;
    let bytes = fs_err::metadata(&file)?.len();
    let needs = Bundle::open(&file)?.needs;
    if args.json {
        let view = View {
            session: id,
            file: file.to_string_lossy().into_owned(),
            bytes,
            steps: record.state.step,
            record: record.commit.to_string(),
            needs: needs.iter().map(ToString::to_string).collect(),
        };
        return Ok(ui.answer(&json::named("export", &view)?)?);
    }
    let shown = view::from_here(&file);
    let (steps, bytes) = (units::counted(record.state.step.into(), "step"), units::bytes(bytes));
    ui.answer(&format!("Exported {id} to {shown}  ({steps}, {bytes})"))?;
    if state.phase.needs_supervisor() {
        ui.warning(&format!(
            "{id} is {}: what it does from now on is not in the file",
            state.phase
        ));
    }
    match needs.as_slice() {
        [] => ui.narrate("  builds on nothing: it holds all history"),
        needs => {
            let needs = needs.iter().map(ToString::to_string);
            let needs = needs.map(|need| card::short(&need).to_owned()).collect::<Vec<_>>();
            ui.narrate(&format!("  builds on {}", needs.join(", ")));
        }
    }
    ui.hint(&format!("git agent import {} in another clone", name_of(&file)));
    Ok(())
}

/// What who imports it has by all likelihood: the commit it began at, if that was pushed, or if
/// there is nowhere to push to; else what the remotes have.
fn without(repo: &Repo, spec: &Spec) -> Result<Vec<String>> {
    let mut has_remotes = false;
    // What was carried from a checkout is in no branch.
    let base = spec.base.carried_on.as_ref().unwrap_or(&spec.base.commit).clone();
    let commit = repo.resolve_commit(&base)?;
    for (_, tip) in repo.refs("refs/remotes/")? {
        has_remotes = true;
        if repo.is_ancestor(commit, tip)? {
            return Ok(vec![base]);
        }
    }
    Ok(vec![if has_remotes { "--remotes".to_owned() } else { base }])
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
