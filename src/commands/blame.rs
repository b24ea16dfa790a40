//! `git agent blame`: who wrote each line of a file, and on whose words.
//!
//! Invariant: which commit a line came with is what `git blame` says, and whose it is within that
//! commit what the session's own history says; nothing is written.

mod export;
mod show;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use fs_err as fs;

use super::context::Context;
use crate::credit::{Credit, Origin};
use crate::error::{CommandError, Result};
use crate::git::{BString, Blame, BlameAsk, BlameLine, GitError, ObjectId};
use crate::ui::Ui;

/// Say who wrote each line of a file: a person, or which agent, and on whose words
///
/// Which commit a line came with is what git blame says. Within a commit that comes from a session,
/// the session's own history says which step, or which person, made the line: after a squash, a
/// rebase, an amend or a cherry-pick too. A line that is in no version of the session's is its
/// author's.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File, as it is in REVISION; with --export the commits, as A..B, or HEAD if not given
    #[arg(
        value_name = "FILE",
        required_unless_present = "export",
        value_hint = clap::ValueHint::FilePath,
    )]
    file: Option<PathBuf>,
    /// Commit; the file as it lies in the checkout, if not given
    #[arg(value_name = "REVISION", value_parser = NonEmptyStringValueParser::new())]
    revision: Option<String>,
    /// Only these lines, as git blame takes them: 3,9 or 3,+6 or :function
    #[arg(short = 'L', value_name = "RANGE", value_parser = NonEmptyStringValueParser::new())]
    lines: Vec<String>,
    /// Changes of blanks make no other line
    #[arg(short = 'w')]
    ignore_blanks: bool,
    /// Lines that were moved, or copied from other files, are where they came from
    #[arg(short = 'M')]
    moves: bool,
    /// Print JSON: {"format":1,"blame":{"lines":[…],"origins":[…]}}
    #[arg(long)]
    json: bool,
    /// Print what git blame --line-porcelain does, with lines that begin with agent
    #[arg(long, conflicts_with = "json")]
    porcelain: bool,
    /// Tell another tool of all that commits of sessions added
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        conflicts_with_all = ["revision", "lines", "ignore_blanks", "moves", "json", "porcelain"],
    )]
    export: Option<export::Format>,
}

/// Prints who wrote what.
///
/// # Errors
/// There is no such file or no such lines there, the file is binary, or something cannot be read.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let file = args.file.as_deref();
    if let Some(format) = args.export {
        let range = file.map(Path::to_string_lossy);
        return export::run(&context, format, range.as_deref());
    }
    let path = from_root(&context, file.unwrap_or(Path::new("")))?;
    let given = args.revision.as_deref();
    // Without a checkout there is no file but a commit's.
    let given = given.or(context.repo.work_dir().is_none().then_some("HEAD"));
    let at = given.map(|revision| context.repo.resolve_commit(revision)).transpose()?;
    let ask = BlameAsk {
        path: &path,
        at,
        since: None,
        ranges: &args.lines,
        ignore_blanks: args.ignore_blanks,
        moves: args.moves,
    };
    let blame = context.repo.blame(&ask).map_err(|error| refused(error, at, given))?;
    if blame.lines.iter().any(|line| line.text.contains(&0)) {
        let shown = path.display();
        return Err(CommandError::no(format!("{shown} is binary: it has no lines"))
            .hint(format!("git log --notes=agent -- {shown}")));
    }
    let mut credit = Credit::open(&context.repo, &context.store)?;
    let origins = trace(&context, &mut credit, &path, &blame)?;
    let shown = show::Shown { path: &path, at, blame: &blame, origins: &origins };
    if args.json {
        ui.answer(&shown.json()?)?;
    } else if args.porcelain {
        ui.answer_bytes(&shown.porcelain())?;
    } else {
        ui.answer(&shown.table(&ui.look()))?;
    }
    if context.repo.is_shallow() && blame.commits.values().any(|commit| commit.boundary) {
        ui.warning("the history here is cut: lines may be older than its first commits");
    }
    warn_of_missing(ui, &credit);
    Ok(())
}

/// Says of which sessions no more is known than that there were such.
fn warn_of_missing(ui: &Ui, credit: &Credit<'_>) {
    for session in credit.missing() {
        ui.warning(&format!("the history of session {session} is not here: no step is known"));
        ui.hint(&format!("git fetch REMOTE refs/agent/{session}:refs/agent/{session}"));
    }
}

/// A path that was typed, from the root of the repository.
fn from_root(context: &Context<'_>, file: &Path) -> Result<PathBuf> {
    let Some(root) = context.repo.work_dir() else { return Ok(file.to_owned()) };
    let mut whole = PathBuf::new();
    for part in std::env::current_dir()?.join(file).components() {
        match part {
            Component::ParentDir => _ = whole.pop(),
            Component::CurDir => {}
            part => whole.push(part),
        }
    }
    match whole.strip_prefix(root) {
        Ok(path) => Ok(path.to_owned()),
        Err(_) => {
            let (file, root) = (file.display(), root.display());
            Err(CommandError::usage(format!("'{file}' is outside repository at '{root}'"))
                .hint("Name a file of this repository"))
        }
    }
}

/// git's own words, with the revision as it was typed.
fn refused(error: GitError, at: Option<ObjectId>, given: Option<&str>) -> CommandError {
    match (error, at, given) {
        (GitError::Refused { said, .. }, Some(at), Some(given)) => {
            let said = said.replace(&at.to_string(), given);
            CommandError::usage(said).hint(format!("git ls-tree -r --name-only {given}"))
        }
        (GitError::Refused { said, .. }, ..) => CommandError::usage(said).hint("git ls-files"),
        (error, ..) => error.into(),
    }
}

/// Who made each line, in the order of the lines.
fn trace(
    context: &Context<'_>,
    credit: &mut Credit<'_>,
    path: &Path,
    blame: &Blame,
) -> Result<Vec<Origin>> {
    let mut origins = credit.trace_all(blame)?;
    let loose = |(_, line): &(usize, &BlameLine)| line.commit.is_null();
    let loose = blame.lines.iter().enumerate().filter(loose);
    let (members, numbers): (Vec<_>, Vec<_>) = loose.map(|(at, line)| (at, line.from)).unzip();
    if !members.is_empty() {
        let found = uncommitted(context, credit, path, &numbers)?;
        for (index, origin) in members.into_iter().zip(found) {
            origins[index] = origin;
        }
    }
    Ok(origins)
}

/// Who made lines that no commit holds: in a session's worktree, maybe the session.
fn uncommitted(
    context: &Context<'_>,
    credit: &mut Credit<'_>,
    path: &Path,
    numbers: &[usize],
) -> Result<Vec<Origin>> {
    let (Some(session), Some(root)) = (context.session_here()?, context.repo.work_dir()) else {
        return Ok(vec![Origin::Uncommitted; numbers.len()]);
    };
    let text = fs::read(root.join(path))?;
    let name = BString::from(OsStr::as_bytes(path.as_os_str()));
    Ok(credit.trace_uncommitted(&session.id, &name, &text, numbers)?)
}
