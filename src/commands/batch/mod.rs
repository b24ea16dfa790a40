//! `git agent batch`: one task over many repositories.
//!
//! Each repository gets a session of its own by this very program, as if `start` were typed there;
//! so its own settings, its policy and its sandbox hold. What was started where is written down in
//! the user's folder of state.
//!
//! Invariant: a repository that fails keeps no other from going on, and is in the table with what
//! went wrong.

mod folders;
mod land;
mod list;
mod lost;
mod pull;
mod row;

use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use self::folders::FolderArgs;
use self::list::{Batch, Member, Pulls};
use self::row::Row;
use super::wish::PullArgs;
use super::{control, follow, message};
use crate::config::{Bound, amount};
use crate::error::{CommandError, Kind, Result, exit};
use crate::process::{Cmd, Finished};
use crate::session::state::Phase;
use crate::ui::Ui;

/// Between two looks at sessions that are waited for.
const LOOK: Duration = Duration::from_millis(200);

/// Give one task to many repositories
///
/// Each repository gets a session; as many run at once as agent.maxRunningTotal says, and with
/// --budget all of them share one. A repository that fails keeps no other from going on: exit code
/// 1, with the table of all. With --exec a command does the work in each, and no model is asked.
///
/// With --prs nothing lands here: a session that is done, its checks passed, ends in a pull request,
/// as by git agent pr, and each tells of the others in its description. That goes on in the
/// background; --wait waits for it. With --coordinate-merges too, none is opened before all sessions
/// are done, and each says in which order they are to be merged. Whoever may read one reads the
/// addresses of all.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
Examples:
  git agent batch \"Move to the new logger\" --repos api,web,../tools --budget 20 --wait
  git agent batch \"Move to the new logger\" -F repos.txt -- --verify \"make test\"
  git agent batch \"Rename the crate\" -F repos.txt --exec \"sed -i s/old/new/ Cargo.toml\"
  git agent batch \"Rename the crate\" -F repos.txt --exec ./rename --prs --draft --wait
  git agent batch status
  git agent batch pr
  git agent batch merge"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// What is to be done in each of them
    task: Option<String>,
    #[command(flatten)]
    folders: FolderArgs,
    /// Ask a person when all of them have cost this much (default: agent.budget for each)
    #[arg(long, value_name = "DOLLARS", value_parser = amount::dollars)]
    budget: Option<Bound>,
    /// Command that does the work in each repository instead of a model
    #[arg(long, value_name = "CMD", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    exec: Option<String>,
    /// Wait until all rest: exit 0 when all are done, 1 when one is not, 3 when one needs a person
    #[arg(long)]
    wait: bool,
    /// Say what would be started, and start nothing
    #[arg(long, conflicts_with_all = ["wait", "coordinate_merges"])]
    dry_run: bool,
    /// Print JSON: {"format":1,"batch":{…}}
    #[arg(long)]
    json: bool,
    /// Further options for git agent start
    #[arg(last = true, value_name = "START_ARGS")]
    rest: Vec<String>,
    /// Wait, and land all of them in the order given if all are done, or none; with --prs, open all
    /// pull requests then, or none
    #[arg(long, help_heading = LANDING)]
    coordinate_merges: bool,
    /// Open a pull request in each once its session is done, instead of landing
    #[arg(long, help_heading = LANDING)]
    prs: bool,
    #[command(flatten, next_help_heading = LANDING)]
    pull: PullArgs,
}

/// Heading of the page of help.
const LANDING: &str = "Landing and pull requests";

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show all sessions of a batch
    ///
    /// Where the list of its repositories was lost, --repos or -F name them: each session knows
    /// which batch it is of, and the list is written anew.
    Status(Which),
    /// Show all batches
    List(Listing),
    /// Open the pull requests of a batch that are not open yet, and let all tell of each other
    ///
    /// Those that are there stay as they are; git agent pr SESSION brings one up to date.
    Pr(Opening),
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
    #[command(flatten)]
    folders: FolderArgs,
    /// Print JSON: {"format":1,"batch":{…}}
    #[arg(long)]
    json: bool,
}

impl Which {
    fn batch(&self, ui: &Ui) -> Result<Batch> {
        Batch::find(ui, self.id.as_deref(), &self.folders)
    }
}

#[derive(Debug, clap::Args)]
struct Opening {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    pull: PullArgs,
    /// After the run of this session: only its own, and the last lets all tell of each other
    #[arg(long, value_name = "SESSION", hide = true)]
    of: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Listing {
    #[command(flatten)]
    folders: FolderArgs,
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
            let batch = which.batch(ui)?;
            row::show(ui, &batch, &row::rows(&batch), which.json)
        }
        Some(Verb::List(listing)) => {
            row::show_all(ui, &Batch::all(&listing.folders)?.0, listing.json)
        }
        Some(Verb::Pr(opening)) => open(ui, opening),
        Some(Verb::Merge(which)) => {
            let batch = which.batch(ui)?;
            let landed = land::land(ui, &batch);
            row::show(ui, &batch, &row::rows(&batch), which.json)?;
            landed
        }
        None => begin(ui, args),
    }
}

fn begin(ui: &Ui, args: &Args) -> Result {
    let Some(task) = args.task.as_deref().map(str::trim).filter(|task| !task.is_empty()) else {
        return Err(CommandError::usage("a batch needs a task")
            .hint("git agent batch \"…\" --repos a,b    git agent batch status"));
    };
    let task = message::without_secrets(ui, task);
    let folders = args.folders.named()?;
    if folders.is_empty() {
        return Err(CommandError::usage("no repository is named")
            .hint("--repos a,b names folders; -F FILE reads them, one a line"));
    }
    let options = args.pull.options();
    let pulls = args.prs || !options.is_empty();
    let mut batch = Batch {
        budget: args.budget.and_then(|bound| bound.0),
        exec: args.exec.clone(),
        pulls: pulls.then(|| Pulls::new(options, args.coordinate_merges)),
        ..Batch::new(&task, &folders)?
    };
    if args.dry_run {
        let told = batch.members.iter().map(|member| foretell(ui, args, &batch, &member.path));
        return if told.filter(|told| !told).count() > 0 { failed() } else { Ok(()) };
    }
    batch.write()?;
    for at in 0..batch.members.len() {
        let member = start(args, &batch, &batch.members[at].path);
        if !args.json {
            let name = member.path.display();
            match (&member.session, &member.error) {
                (Some(session), _) => ui.narrate(&format!("  {name}: started {session}")),
                (None, error) => {
                    ui.warning(&format!("{name}: {}", error.as_deref().unwrap_or("not started")));
                }
            }
        }
        batch.members[at] = member;
        batch.write()?;
    }
    let waits = args.wait || args.coordinate_merges;
    let (rows, ended) = if waits { finish(ui, args, &batch)? } else { (row::rows(&batch), Ok(())) };
    row::show(ui, &batch, &rows, args.json)?;
    let (id, next) = (&batch.id, if batch.pulls.is_some() { "pr" } else { "merge" });
    ui.hint(&format!("git agent batch status {id}    git agent batch {next} {id}"));
    ended?;
    outcome(&rows, waits)
}

/// Waits for all of them, and does with them what was asked for.
fn finish(ui: &Ui, args: &Args, batch: &Batch) -> Result<(Vec<Row>, Result)> {
    let is_each = batch.pulls.is_some() && !args.coordinate_merges;
    let mut rows = await_rest(ui, batch, |row| {
        if is_each {
            pull::open(ui, batch, row);
        }
    })?;
    let ended = match (&batch.pulls, args.coordinate_merges) {
        (Some(_), true) => pull::open_all(ui, batch, &mut rows),
        (Some(_), false) => {
            pull::link(ui, batch, &rows);
            Ok(())
        }
        (None, true) => {
            let landed = land::land(ui, batch);
            rows.iter_mut().for_each(Row::refresh);
            landed
        }
        (None, false) => Ok(()),
    };
    Ok((rows, ended))
}

/// Opens the pull requests of a batch.
fn open(ui: &Ui, opening: &Opening) -> Result {
    let Opening { which, pull, of } = opening;
    let mut batch = which.batch(ui)?;
    if let Some(session) = of {
        return pull::after(ui, &batch, session);
    }
    let options = pull.options();
    let pulls = batch.pulls.get_or_insert_default();
    if !options.is_empty() {
        pulls.options = options;
    }
    let mut rows = row::rows(&batch);
    let opened = pull::open_all(ui, &batch, &mut rows);
    row::show(ui, &batch, &rows, which.json)?;
    opened?;
    outcome(&rows, false)
}

/// Told by the table: what is said of a batch at its end.
fn outcome(rows: &[Row], was_awaited: bool) -> Result {
    if rows.iter().any(|row| row.has_failed(was_awaited)) {
        return failed();
    }
    match rows.iter().any(|row| row.is_by_hand() || (was_awaited && row.is_asking())) {
        true => Err(CommandError::new(Kind::Told(exit::NEEDS_PERSON), "")),
        false => Ok(()),
    }
}

fn failed() -> Result {
    Err(CommandError::new(Kind::Told(exit::NO), ""))
}

/// This program in a folder.
fn agent(folder: &Path, args: &[&str]) -> Result<Cmd> {
    Ok(Cmd::new(std::env::current_exe()?).arg("-C").arg(folder).args(args))
}

/// Starts the session of a repository; what went wrong is in what is returned.
fn start(args: &Args, batch: &Batch, folder: &Path) -> Member {
    let mut member = Member { path: folder.to_owned(), session: None, error: None };
    match asked(args, batch, folder, &[]).and_then(|cmd| Ok(cmd.run()?)) {
        Ok(done) if done.exit == 0 => {
            let said = String::from_utf8_lossy(&done.stdout);
            member.session = said.split_whitespace().nth(1).map(str::to_owned);
        }
        Ok(done) => member.error = Some(why(&done)),
        Err(error) => member.error = Some(error.line()),
    }
    member
}

fn foretell(ui: &Ui, args: &Args, batch: &Batch, folder: &Path) -> bool {
    let done = asked(args, batch, folder, &["--dry-run"]).and_then(|cmd| Ok(cmd.run()?));
    let (said, is_well) = match done {
        Ok(done) if done.exit == 0 => (String::from_utf8_lossy(&done.stdout).into_owned(), true),
        Ok(done) => (format!("Would fail: {}\n", why(&done)), false),
        Err(error) => (format!("Would fail: {}\n", error.line()), false),
    };
    ui.answer(&format!("{}\n{said}", folder.display())).is_ok() && is_well
}

fn asked(args: &Args, batch: &Batch, folder: &Path, more: &[&str]) -> Result<Cmd> {
    let mut cmd = agent(folder, &["start", "-", "--batch", &batch.id])?.args(more);
    if let Some(model) = batch.exec_model() {
        cmd = cmd.args(["--model", &model]);
    }
    if let Some(dollars) = batch.budget {
        let dollars = dollars.to_string();
        cmd = cmd.args(["--share-budget", &batch.budget_name(), "--budget", &dollars]);
    }
    if let Some(pulls) = &batch.pulls {
        let pr = if pulls.together { "--pr-later" } else { "--pr" };
        cmd = cmd.arg(pr).args(&pulls.options);
    }
    Ok(cmd.args(&args.rest).stdin(batch.task.clone()))
}

/// What a child said went wrong, in one line.
fn why(done: &Finished) -> String {
    let said = String::from_utf8_lossy(&done.stderr);
    let line = said.lines().find_map(|line| line.strip_prefix("error: "));
    line.map_or_else(|| format!("exit {}", done.exit), str::to_owned)
}

/// Waits until nobody works on any of them; of each is told once, when it rests.
///
/// # Errors
/// Told, when a person leaves by Ctrl-C: all of them go on.
fn await_rest(ui: &Ui, batch: &Batch, mut rests: impl FnMut(&mut Row)) -> Result<Vec<Row>> {
    let mut rows = row::rows(batch);
    let mut told = vec![false; rows.len()];
    control::block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            for (row, told) in rows.iter_mut().zip(&mut told).filter(|(_, told)| !**told) {
                row.refresh();
                if !row.phase.is_some_and(Phase::needs_supervisor) {
                    *told = true;
                    rests(row);
                }
            }
            if told.iter().all(|told| *told) {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = interrupt.recv() => {
                    let on = rows.iter().zip(&told).filter(|(_, told)| !**told);
                    let on: Vec<_> = on.map(|(row, _)| row.session()).collect();
                    ui.hint(&format!("git agent batch status {}", batch.id));
                    return Err(follow::left(ui, &on));
                }
            }
        }
    })??;
    Ok(rows)
}
