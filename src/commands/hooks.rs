//! `git agent hooks`: our hooks in the repository's own, put in, taken out, looked at.
//!
//! Invariant: nothing of the user's is replaced, and what is for others too is not touched unasked.

use std::collections::BTreeSet;

use serde::Serialize;

use clap::Subcommand;

use super::context::Context;
use crate::error::{CommandError, Kind, Result, exit};
use crate::git::Repo;
use crate::hook::{self, HOOKS, Place, Problem, Standing, Stands, Tool};
use crate::ui::{Ui, json, table, units};

/// Check agents' commits before each push, and keep what is said of them
///
/// pre-push checks what git agent check checks; commit-msg and prepare-commit-msg name the session in
/// a commit that you make in its worktree; post-rewrite lets notes follow an amend or a rebase;
/// reference-transaction keeps sessions' refs from being deleted by accident. What is there already
/// (your own hooks, husky, lefthook, pre-commit) runs after ours, as before.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Install(Install),
    Uninstall(Uninstall),
    Status(Status),
}

/// Put them in, each before what is there already
#[derive(Debug, clap::Args)]
struct Install {
    /// Also where the hooks are tracked, and so are everybody's
    #[arg(long)]
    tracked: bool,
    /// Also where core.hooksPath names a folder that other repositories have too
    #[arg(long)]
    shared: bool,
    /// Into the repository's configuration instead of files; git knows that from 2.54
    #[arg(long, conflicts_with_all = ["tracked", "shared"])]
    config: bool,
}

/// Take them out; what was there before is as it was
#[derive(Debug, clap::Args)]
struct Uninstall {}

/// Say which are in; exit code 1 if one is not
#[derive(Debug, clap::Args)]
struct Status {
    /// Print JSON: {"format":1,"hooks":{…}}
    #[arg(long)]
    json: bool,
}

/// How they stand, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct View {
    directory: String,
    configured_by: Option<String>,
    problem: Option<String>,
    tool: Option<&'static str>,
    hooks: Vec<HookView>,
}

#[derive(Debug, Serialize)]
struct HookView {
    name: &'static str,
    state: &'static str,
    path: String,
    chained: bool,
    tool: Option<&'static str>,
}

/// Runs the verb.
///
/// # Errors
/// As the verb's own.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    match &args.verb {
        Verb::Install(args) => install(ui, &context.repo, args),
        Verb::Uninstall(Uninstall {}) => uninstall(ui, &context.repo),
        Verb::Status(args) => status(ui, &context.repo, args),
    }
}

fn install(ui: &Ui, repo: &Repo, args: &Install) -> Result {
    let count = units::counted(HOOKS.len() as u64, "hook");
    if args.config {
        hook::configure(repo)?;
        ui.answer(&format!("Installed {count} in the repository's configuration"))?;
        ui.hint("git agent hooks status");
        return Ok(());
    }
    let place = Place::of(repo)?;
    let allowed = |problem: &Problem| match problem {
        Problem::Tracked { .. } => args.tracked,
        Problem::Shared { .. } => args.shared,
        Problem::Vanished { .. } | Problem::NoFolder { .. } => false,
    };
    let standings = hook::install(&place, allowed)?;
    ui.answer(&format!("Installed {count} in {}", place.dir.display()))?;
    for standing in standings.iter().filter(|standing| standing.chained) {
        ui.narrate(&format!("  {} runs before {}", standing.hook.name, whose(standing)));
    }
    match place.tool {
        Some(Tool::Husky) => ui.hint("Commit them: husky runs them for everybody"),
        Some(tool) => ui.hint(&format!(
            "When {} has written its hooks anew: git agent hooks install",
            tool.name()
        )),
        None => ui.hint("git agent hooks status    git agent hooks uninstall"),
    }
    Ok(())
}

fn uninstall(ui: &Ui, repo: &Repo) -> Result {
    let place = Place::of(repo)?;
    // A folder that was configured after they were put in is not where they are.
    let dirs = BTreeSet::from([place.dir, repo.common_dir().join("hooks")]);
    let mut files = Vec::new();
    for dir in dirs.iter().filter(|dir| dir.is_dir()) {
        files.extend(hook::uninstall(dir)?);
    }
    let sections = hook::unconfigure(repo)?;
    if files.is_empty() && sections == 0 {
        ui.narrate("None of our hooks is installed");
        return Ok(());
    }
    let count = units::counted((files.len() + sections) as u64, "hook");
    ui.answer(&format!("Took out {count}; what was there before is as it was"))?;
    Ok(())
}

fn status(ui: &Ui, repo: &Repo, args: &Status) -> Result {
    let place = Place::of(repo)?;
    let configured = hook::configured(repo);
    let standings = match &place.problem {
        Some(Problem::Vanished { .. } | Problem::NoFolder { .. }) => Vec::new(),
        _ => hook::look(&place)?,
    };
    let view = |standing: &Standing| HookView {
        name: standing.hook.name,
        state: match standing.stands {
            _ if configured.contains(&standing.hook.name) => "configured",
            stands => state(stands),
        },
        path: standing.path.to_string_lossy().into_owned(),
        chained: standing.chained,
        tool: standing.tool.map(Tool::name),
    };
    let views: Vec<_> = standings.iter().map(view).collect();
    let is_in = |view: &HookView| matches!(view.state, "installed" | "configured");
    let all_in = views.len() == HOOKS.len() && views.iter().all(is_in);
    if args.json {
        let view = View {
            directory: place.dir.to_string_lossy().into_owned(),
            configured_by: place.origin,
            problem: place.problem.as_ref().map(ToString::to_string),
            tool: place.tool.map(Tool::name),
            hooks: views,
        };
        ui.answer(&json::named("hooks", &view)?)?;
    } else {
        let row = |(view, standing): (&HookView, &Standing)| {
            let then = if standing.chained { whose(standing) } else { "-".to_owned() };
            let cells = [view.name, view.state, &then, standing.hook.about];
            cells.map(str::to_owned).to_vec()
        };
        let rows: Vec<_> = views.iter().zip(&standings).map(row).collect();
        if !rows.is_empty() {
            ui.answer(&table::plain(&["HOOK", "STATE", "THEN", "WHAT FOR"], &rows, &ui.look()))?;
        }
        match &place.problem {
            Some(problem) => ui.warning(&problem.to_string()),
            None => ui.narrate(&format!("git runs the hooks in {}", place.dir.display())),
        }
        if !all_in && place.problem.is_none() {
            ui.hint("git agent hooks install");
        }
    }
    if all_in { Ok(()) } else { Err(CommandError::new(Kind::Told(exit::NO), "")) }
}

fn state(stands: Stands) -> &'static str {
    match stands {
        Stands::In => "installed",
        Stands::Old => "outdated",
        Stands::Inert => "not executable",
        Stands::Out => "missing",
    }
}

fn whose(standing: &Standing) -> String {
    standing.tool.map_or_else(|| "your own".to_owned(), |tool| format!("that of {}", tool.name()))
}
