//! `git agent compare`: attempts beside each other.
//!
//! Invariant: it moves and writes nothing but the page that was asked for; a judge is named as one,
//! and decides nothing.

mod judge;
mod page;
mod side;
mod table;

use std::path::PathBuf;

use clap::ValueHint;
use clap::builder::NonEmptyStringValueParser;
use clap_complete::ArgValueCompleter;
use serde::Serialize;

use super::complete;
use super::context::Context;
use crate::error::{CommandError, Result};
use crate::file;
use crate::ui::{Ui, json, text, units};
use judge::Judgement;
use side::Side;

/// Show attempts side by side: checks, coverage, time, size, conflicts, cost
///
/// Give sessions, a group of attempts that were started together, or the paths of worktrees. One
/// session of a group stands for all of it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  git agent compare speed-up
  git agent compare speed-up speed-up-2 --web
  git agent compare-worktrees ../shop.worktrees/a ../shop.worktrees/b
  git agent compare speed-up --judge anthropic/claude-sonnet-4-5")]
pub struct Args {
    /// Sessions, each by any unique beginning of its id or name; a group; or paths of worktrees
    #[arg(
        value_name = "SESSION",
        required = true,
        value_parser = NonEmptyStringValueParser::new(),
        add = ArgValueCompleter::new(complete::sessions),
    )]
    sides: Vec<String>,
    /// Print JSON: {"format":1,"sides":[…],"judge":{…}}
    #[arg(long)]
    json: bool,
    /// Write a page with the changes side by side into this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    html: Option<PathBuf>,
    /// Show that page in your browser, by git web--browse (web.browser, else $BROWSER, names it)
    #[arg(long)]
    web: bool,
    /// Let a model say which it would take, and why; it decides nothing
    #[arg(long, value_name = "PROVIDER/NAME", value_parser = NonEmptyStringValueParser::new())]
    judge: Option<String>,
}

/// The comparison, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct Document<'a> {
    format: u32,
    sides: &'a [Side],
    #[serde(skip_serializing_if = "Option::is_none")]
    judge: Option<&'a Judgement>,
}

/// Compares.
///
/// # Errors
/// There are not two to be compared, one cannot be read, or the judge does not answer.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    // What is merged to look for conflicts is never written.
    let repo = context.repo.in_memory();
    let sides = side::named(&context, &repo, &args.sides)?;
    if let [only] = sides.as_slice() {
        return Err(CommandError::usage(format!("there is nothing to compare {} with", only.name))
            .hint("git agent compare SESSION SESSION")
            .hint("git agent start -n 3 \"…\" makes several attempts at one task"));
    }
    let judgement = match &args.judge {
        Some(model) => Some(judge::ask(&context, model, &sides)?),
        None => None,
    };
    if args.json {
        let judge = judgement.as_ref();
        let document = Document { format: json::FORMAT, sides: &sides, judge };
        ui.answer(&serde_json::to_string(&document)?)?;
    } else {
        ui.answer(&table::table(&sides, &ui.look()))?;
        if let Some(judgement) = &judgement {
            ui.answer(&judgement.lines(&sides).join("\n"))?;
        }
    }
    show(&context, args, &sides, judgement.as_ref())?;
    if let (false, Some(session)) = (args.json, sides.iter().find_map(|it| it.session.as_ref())) {
        let is_group = sides.iter().all(|it| it.group.is_some() && it.group == sides[0].group);
        let verb = if is_group { "pick" } else { "merge" };
        ui.hint(&format!("git agent diff {session}    git agent {verb} SESSION lands one"));
    }
    Ok(())
}

/// Writes the page, and opens it.
fn show(
    context: &Context<'_>,
    args: &Args,
    sides: &[Side],
    judgement: Option<&Judgement>,
) -> Result {
    let Context { repo, ui, store, .. } = context;
    let path = match (&args.html, args.web) {
        (Some(path), _) => path.clone(),
        (None, true) => store.root().join("compare.html"),
        (None, false) => return Ok(()),
    };
    let page = page::page(repo, sides, judgement)?;
    file::replace_unsynced(&path, page.as_bytes())
        .map_err(|error| CommandError::no(format!("cannot write {}: {error}", path.display())))?;
    let count = units::counted(sides.len() as u64, "attempt");
    let shown = path.display().to_string();
    ui.narrate(&format!("Wrote {} ({count})", text::neutral(&shown)));
    if args.web {
        let path = fs_err::canonicalize(&path)?;
        // What git is told of browsers holds; else what everybody is told.
        let named = std::env::var("BROWSER").ok().filter(|named| !named.is_empty());
        let named = named.filter(|_| repo.config_value("web.browser").is_none());
        let git = match named.as_deref().and_then(|named| named.split(':').next()) {
            Some(named) => repo
                .user_git_in_main()
                .arg("-c")
                .arg(format!("browser.named.cmd={named}"))
                .args(["web--browse", "--browser=named"]),
            None => repo.user_git_in_main().arg("web--browse"),
        };
        if git.arg(&path).run_attached()? != 0 {
            return Err(CommandError::no("git knows no browser here")
                .hint(format!("Open {} in one", path.display()))
                .hint("git config web.browser names it"));
        }
    }
    Ok(())
}
