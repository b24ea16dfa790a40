//! `git agent hook`: hidden; what the installed hooks call.
//!
//! Invariant: exit code 0 lets git go on; whatever goes wrong where agents' commits are concerned
//! does not. There is no time limit: a hook that waits, waits for git or for a signing program.

mod message;
mod pre_push;
mod refs;
mod rewrite;

use std::ffi::OsString;
use std::io::Read;

use crate::error::{CommandError, Result};
use crate::git::Repo;
use crate::hook::HOOKS;
use crate::ui::Ui;

/// Do what an installed hook is for; for git's use
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the hook, as in githooks(5)
    #[arg(value_name = "NAME")]
    name: String,
    /// What git gives the hook
    #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Runs the hook.
///
/// # Errors
/// What git is about to do must not be done.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let given = &args.args;
    match args.name.as_str() {
        "pre-push" => pre_push::run(ui, given, &input()?),
        "prepare-commit-msg" => message::prepare(given),
        "commit-msg" => message::finish(given),
        "post-rewrite" => rewrite::run(ui, &input()?),
        "reference-transaction" => refs::run(given, &input()?),
        name => {
            let names: Vec<_> = HOOKS.iter().map(|hook| hook.name).collect();
            Err(CommandError::usage(format!("there is no hook '{name}' of ours"))
                .hint(format!("It is one of {}", names.join(", "))))
        }
    }
}

/// What git says on standard input.
fn input() -> Result<String> {
    let mut text = Vec::new();
    std::io::stdin().lock().read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The repository that git runs the hook for.
fn repo() -> Result<Repo> {
    Ok(Repo::discover(&std::env::current_dir()?)?)
}

/// An argument that git always gives.
fn argument(args: &[OsString], at: usize) -> Result<&OsString> {
    args.get(at).ok_or_else(|| CommandError::usage("git gives this hook more arguments"))
}
