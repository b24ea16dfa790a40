//! `git agent batch`: one task over many repositories.
//!
//! Each repository gets a session of its own by this very program, as if `start` were typed there;
//! so its own settings, its policy and its sandbox hold. What was started where is written down in
//! the user's folder of state.
//!
//! Invariant: a repository that fails keeps no other from going on, and is in the table with what
//! went wrong.

mod land;
mod list;
mod row;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueHint;
use jiff::Timestamp;

use self::list::{Batch, Member};
use self::row::Row;
use super::message;
use crate::config::{Bound, amount};
use crate::error::{CommandError, Kind, Result, ResultExt, exit};
use crate::git::Repo;
use crate::process::{Cmd, Finished};
use crate::session::id;
use crate::session::state::Phase;
use crate::ui::Ui;

/// Between two looks at sessions that are waited for.
const LOOK: Duration = Duration::from_millis(200);

/// Give one task to many repositories
///
/// Each repository gets a session; as many run at once as agent.maxRunningTotal says, and with
/// --budget all of them share one. A repository that fails keeps no other from going on: exit code
/// 1, with the table of all. With --exec a command does the work in each, and no model is asked.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
Examples:
  git agent batch \"Move to the new logger\" --repos api,web,../tools --budget 20 --wait
  git agent batch \"Move to the new logger\" -F repos.txt -- --verify \"make test\"
  git agent batch \"Rename the crate\" -F repos.txt --exec \"sed -i s/old/new/ Cargo.toml\"
  git agent batch status
  git agent batch merge"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// What is to be done in each of them
    task: Option<String>,
    /// Repositories, each by a folder in it
    #[arg(long, value_name = "DIR,DIR", value_delimiter = ',', value_hint = ValueHint::DirPath)]
    repos: Vec<PathBuf>,
    /// File with a repository a line; - reads standard input
    #[arg(short = 'F', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Ask a person when all of them have cost this much (default: agent.budget for each)
    #[arg(long, value_name = "DOLLARS", value_parser = amount::dollars)]
    budget: Option<Bound>,
    /// Command that does the work in each repository instead of a model
    #[arg(long, value_name = "CMD", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    exec: Option<String>,
    /// Wait until all rest: exit 0 when all are done, 1 when one is not, 3 when one needs a person
    #[arg(long)]
    wait: bool,
    /// Wait, and land all of them in the order given if all are done, or none
    #[arg(long)]
    coordinate_merges: bool,
    /// Open a pull request in each
    #[arg(long)]
    prs: bool,
    /// Say what would be started, and start nothing
    #[arg(long, conflicts_with_all = ["wait", "coordinate_merges"])]
    dry_run: bool,
    /// Print JSON: {"format":1,"batch":{…}}
    #[arg(long)]
    json: bool,
    /// Further options for git agent start
    #[arg(last = true, value_name = "START_ARGS")]
    rest: Vec<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show all sessions of a batch
    Status(Which),
    /// Show all batches
    List(Listing),
    /// Land all sessions of a batch in their order, or none
    ///
    /// Each landing is rehearsed first; where one would be refused, nothing lands. Where one is
    /// refused all the same, those that have landed are taken back.
    Merge(Which),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Batch, by its id (default: the last)
    #[arg(value_name = "BATCH")]
    id: Option<String>,
    /// Print JSON: {"format":1,"batch":{…}}
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Listing {
    /// Print JSON: {"format":1,"batches":[…]}
    #[arg(long)]
    json: bool,
}

/// Starts a batch, shows one, or lands one.
///
/// # Errors
/// There is nothing to do; told, exit code 1: something failed in a repository.
pub fn run(ui: &Ui, args: &Args) -> Result {
    match &args.verb {
        Some(Verb::Status(which)) => {
            let batch = Batch::find(which.id.as_deref())?;
            row::show(ui, &batch, &row::rows(&batch), which.json)
        }
        Some(Verb::List(listing)) => row::show_all(ui, &Batch::all()?, listing.json),
        Some(Verb::Merge(which)) => {
            let batch = Batch::find(which.id.as_deref())?;
            let landed = land::land(ui, &batch);
            row::show(ui, &batch, &row::rows(&batch), which.json)?;
            landed
        }
        None => begin(ui, args),
    }
}

fn begin(ui: &Ui, args: &Args) -> Result {
    if args.prs {
        return Err(CommandError::usage("--prs: a batch opens no pull requests yet")
            .hint("git push in each worktree: git agent batch status --json names them"));
    }
    let Some(task) = args.task.as_deref().map(str::trim).filter(|task| !task.is_empty()) else {
        return Err(CommandError::usage("a batch needs a task")
            .hint("git agent batch \"…\" --repos a,b    git agent batch status"));
    };
    let task = message::without_secrets(ui, task);
    let folders = folders(args)?;
    let mut batch = Batch::new(&task, args.budget.and_then(|bound| bound.0), args.exec.as_deref())?;
    let model = batch.exec_model()?;
    if args.dry_run {
        let told =
            folders.iter().map(|folder| foretell(ui, args, &batch, model.as_deref(), folder));
        let has_failed = told.filter(|told| !told).count() > 0;
        batch.forget()?;
        return if has_failed { failed() } else { Ok(()) };
    }
    for folder in &folders {
        let member = start(args, &batch, model.as_deref(), folder);
        if !args.json {
            let name = folder.display();
            match (&member.session, &member.error) {
                (Some(session), _) => ui.narrate(&format!("  {name}: started {session}")),
                (None, error) => {
                    ui.warning(&format!("{name}: {}", error.as_deref().unwrap_or("not started")));
                }
            }
        }
        batch.members.push(member);
        batch.write()?;
    }
    let waits = args.wait || args.coordinate_merges;
    if waits {
        await_rest(&batch);
    }
    let landed = match args.coordinate_merges {
        true => land::land(ui, &batch),
        false => Ok(()),
    };
    let rows = row::rows(&batch);
    row::show(ui, &batch, &rows, args.json)?;
    let id = &batch.id;
    ui.hint(&format!("git agent batch status {id}    git agent batch merge {id}"));
    landed?;
    outcome(&rows, waits)
}

/// Told by the table: what is said of a batch at its end.
fn outcome(rows: &[Row], was_awaited: bool) -> Result {
    if rows.iter().any(|row| row.has_failed(was_awaited)) {
        return failed();
    }
    match was_awaited && rows.iter().any(|row| row.phase == Some(Phase::NeedsInput)) {
        true => Err(CommandError::new(Kind::Told(exit::NEEDS_PERSON), "")),
        false => Ok(()),
    }
}

fn failed() -> Result {
    Err(CommandError::new(Kind::Told(exit::NO), ""))
}

/// The folders that were named, each repository once, in their order.
fn folders(args: &Args) -> Result<Vec<PathBuf>> {
    let mut named = args.repos.clone();
    if let Some(file) = &args.file {
        let text = match file.as_os_str() == "-" {
            true => std::io::read_to_string(std::io::stdin())?,
            false => fs_err::read_to_string(file).while_doing("cannot read the list")?,
        };
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        named.extend(lines.map(PathBuf::from));
    }
    let mut seen = BTreeSet::new();
    let mut folders = Vec::new();
    for path in named.into_iter().filter(|path| !path.as_os_str().is_empty()) {
        let path = std::path::absolute(&path)?;
        // One that is no repository has a row of its own, which says so.
        let key =
            Repo::discover(&path).map_or_else(|_| path.clone(), |it| it.common_dir().to_owned());
        if seen.insert(key) {
            folders.push(path);
        }
    }
    match folders.is_empty() {
        false => Ok(folders),
        true => Err(CommandError::usage("no repository is named")
            .hint("--repos a,b names folders; -F FILE reads them, one a line")),
    }
}

/// This program in a folder.
fn agent(folder: &Path, args: &[&str]) -> Result<Cmd> {
    Ok(Cmd::new(std::env::current_exe()?).arg("-C").arg(folder).args(args))
}

/// Starts the session of a repository; what went wrong is in what is returned.
fn start(args: &Args, batch: &Batch, model: Option<&str>, folder: &Path) -> Member {
    let mut member = Member { path: folder.to_owned(), session: None, error: None };
    match asked(args, batch, model, folder, &[]).and_then(|cmd| Ok(cmd.run()?)) {
        Ok(done) if done.exit == 0 => {
            let said = String::from_utf8_lossy(&done.stdout);
            member.session = said.split_whitespace().nth(1).map(str::to_owned);
        }
        Ok(done) => member.error = Some(why(&done)),
        Err(error) => member.error = Some(error.line()),
    }
    member
}

fn foretell(ui: &Ui, args: &Args, batch: &Batch, model: Option<&str>, folder: &Path) -> bool {
    let done = asked(args, batch, model, folder, &["--dry-run"]).and_then(|cmd| Ok(cmd.run()?));
    let (said, is_well) = match done {
        Ok(done) if done.exit == 0 => (String::from_utf8_lossy(&done.stdout).into_owned(), true),
        Ok(done) => (format!("Would fail: {}\n", why(&done)), false),
        Err(error) => (format!("Would fail: {}\n", error.line()), false),
    };
    ui.answer(&format!("{}\n{said}", folder.display())).is_ok() && is_well
}

fn asked(
    args: &Args,
    batch: &Batch,
    model: Option<&str>,
    folder: &Path,
    more: &[&str],
) -> Result<Cmd> {
    let cmd = agent(folder, &["start", "-", "--batch", &batch.id])?.args(more);
    let cmd = match model {
        Some(model) => cmd.args(["--model", model]),
        None => cmd,
    };
    let cmd = match batch.budget {
        Some(dollars) => {
            let dollars = dollars.to_string();
            cmd.args(["--share-budget", &batch.budget_name(), "--budget", &dollars])
        }
        None => cmd,
    };
    Ok(cmd.args(&args.rest).stdin(batch.task.clone()))
}

/// What a child said went wrong, in one line.
fn why(done: &Finished) -> String {
    let said = String::from_utf8_lossy(&done.stderr);
    let line = said.lines().find_map(|line| line.strip_prefix("error: "));
    line.map_or_else(|| format!("exit {}", done.exit), str::to_owned)
}

/// Waits until nobody works on any of them.
fn await_rest(batch: &Batch) {
    let works = |row: &Row| row.phase.is_some_and(Phase::needs_supervisor);
    while row::rows(batch).iter().any(works) {
        std::thread::sleep(LOOK);
    }
}

/// A new id: the task's slug and a tail.
fn fresh(task: &str) -> Result<String> {
    id::fresh(&id::slug(task)).map_err(|error| CommandError::no(error.to_string()))
}

/// When it was begun, for a list.
fn now() -> Timestamp {
    Timestamp::now()
}
