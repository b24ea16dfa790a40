//! `git agent gc`: what nobody needs any more is taken away.
//!
//! Invariant: with `--dry-run` nothing is written, and the list is the same.

use serde::Serialize;

use super::context::Context;
use crate::error::{CommandError, Result};
use crate::stow::gc::{self, Item, Wishes};
use crate::ui::{Ui, json, table, units};

/// Free space: worktrees of landed sessions, sessions that ended long ago, old caches, leftovers
///
/// A session that has landed or was removed, and in which nothing has happened for agent.keepDays,
/// moves to the archive: its record stays, and restore brings it back; files that git ignores are
/// then gone. One that is done, has failed or was stopped is removed after that time, its branch
/// stays, and it moves to the archive as much later. What runs, waits, asks or is paused is never
/// touched, and nothing goes that its record cannot hold.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// List what would be freed, and free nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Print JSON: {"format":1,"gc":{…}}
    #[arg(long)]
    json: bool,
}

/// What was freed, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct View<'a> {
    dry_run: bool,
    bytes: u64,
    items: Vec<ItemView<'a>>,
}

#[derive(Debug, Serialize)]
struct ItemView<'a> {
    what: &'a str,
    session: Option<&'a str>,
    path: String,
    bytes: u64,
}

/// Frees what can be freed; a warning for each that cannot.
///
/// # Errors
/// Sessions cannot be listed, or git cannot pack.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let config = context.config()?;
    let (keep_days, max_file_size) = (config.keep_days, config.max_file_size);
    let wishes = Wishes { keep_days, max_file_size, now: context.now };
    let mut items = gc::plan(&context.repo, &context.store, &wishes)?;
    if !args.dry_run {
        items.retain(|item| match gc::take(&context.repo, &context.store, item, &wishes) {
            Ok(()) => true,
            Err(error) => {
                ui.warning(&CommandError::from(error).line());
                false
            }
        });
        pack(&context)?;
    }
    let bytes = items.iter().map(|item| item.bytes).sum();
    if args.json {
        let view = View { dry_run: args.dry_run, bytes, items: items.iter().map(view).collect() };
        return Ok(ui.answer(&json::named("gc", &view)?)?);
    }
    if items.is_empty() {
        ui.narrate("Nothing to free");
        return Ok(());
    }
    let rows: Vec<_> = items.iter().map(row).collect();
    ui.answer(&table::plain(&["WHAT", "SIZE", "SESSION", "PATH"], &rows, &ui.look()))?;
    let size = units::bytes(bytes);
    if args.dry_run {
        ui.narrate(&format!("Would free {size}"));
        ui.hint("git agent gc");
    } else {
        ui.narrate(&format!("Freed {size}"));
    }
    Ok(())
}

/// Lets git pack what has become too many loose objects, by the user's own settings.
fn pack(context: &Context<'_>) -> Result {
    let auto = ["-c", "gc.autoDetach=false", "gc", "--auto", "--quiet"];
    let done = context.repo.user_git_in_main().args(auto).run()?;
    if done.exit != 0 {
        let said = String::from_utf8_lossy(&done.stderr);
        context.ui.warning(&format!("git gc --auto: {}", said.trim()));
    }
    Ok(())
}

fn row(item: &Item) -> Vec<String> {
    let session = item.session.clone().unwrap_or_else(|| "-".to_owned());
    let path = item.path.to_string_lossy().into_owned();
    vec![item.what.as_str().to_owned(), units::bytes(item.bytes), session, path]
}

fn view(item: &Item) -> ItemView<'_> {
    ItemView {
        what: item.what.as_str(),
        session: item.session.as_deref(),
        path: item.path.to_string_lossy().into_owned(),
        bytes: item.bytes,
    }
}
