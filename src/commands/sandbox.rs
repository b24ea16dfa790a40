//! `git agent sandbox`, and the sandbox as other verbs meet it: what this machine can do, and what
//! was asked for.
//!
//! Invariant: less than was asked for is taken only where the settings allow it; to explain a
//! command runs nothing of it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;

use super::context::Context;
use super::start::layout;
use crate::config::{self, Config};
use crate::error::{CommandError, Kind, Result};
use crate::git::Repo;
use crate::sandbox::layer::Layers;
use crate::sandbox::{self, Explained, Found, Level, Request, SandboxError};
use crate::session::worktree::{self, Wish};
use crate::ui::{Ui, json, text};

/// Look at what the commands of sessions are kept from
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Say what a command could read, change and reach here, without running it
    Explain(ExplainArgs),
}

#[derive(Debug, clap::Args)]
struct ExplainArgs {
    /// The command
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    command: Vec<String>,
    /// The level to explain (default: agent.sandbox, which is full)
    #[arg(long, value_enum, value_name = "LEVEL")]
    level: Option<Level>,
    /// Print JSON: {"format":1,"sandbox":{…}}
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// There is no repository, or its settings make no sense.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let Verb::Explain(args) = &args.verb;
    let context = Context::open(ui)?;
    let config = context.config()?;
    let mut request = request(Some(&context.repo))?;
    request.root = worktree(&context, &config)?;
    let config = config.sandbox;
    request.level = args.level.unwrap_or(config.level);
    (request.readable, request.writable) = (config.readable, config.writable);
    let told = sandbox::explain(&request)
        .map_err(|error| CommandError::from_error(Kind::No, &error).hint(SHELL))?;
    match args.json {
        true => ui.answer(&json::named("sandbox", &told)?)?,
        false => ui.answer(&in_words(&args.command.join(" "), &told, &config.allow_host))?,
    }
    Ok(())
}

/// The worktree of the session that one stands in; else where a new one's would be.
fn worktree(context: &Context<'_>, config: &Config) -> Result<PathBuf> {
    let sessions = context.store.list()?.sessions;
    let here = context.repo.work_dir();
    match sessions.iter().find(|session| Some(session.spec.worktree.as_path()) == here) {
        Some(session) => Ok(session.spec.worktree.clone()),
        None => {
            let wish = Wish { slug: "NAME", ..Wish::default() };
            Ok(worktree::place(&context.repo, &layout(config), &wish)?.path)
        }
    }
}

fn in_words(command: &str, told: &Explained, hosts: &[String]) -> String {
    let network = match (told.level, hosts) {
        (Level::Full, []) => "a localhost of the session's own, and no host".to_owned(),
        (Level::Full, hosts) => {
            format!("a localhost of the session's own, and {}", hosts.join(", "))
        }
        (Level::Reduced, _) => "nothing; no socket can be made".to_owned(),
        (Level::None, _) => "whatever this machine can reach".to_owned(),
    };
    let mut lines = vec![
        format!("command  {}", text::neutral(command)),
        format!("sandbox  {}", told.level),
        format!("reach    {}", text::neutral(&network)),
    ];
    for (name, paths, note) in [
        ("change", &told.writes, ""),
        ("add to", &told.kept, "kept apart in the git dir, where the file system can do that"),
        ("own", &told.own, "empty at first, and gone with the session"),
        ("read", &told.reads, ""),
    ] {
        let paths =
            paths.iter().map(|path| text::neutral(&path.display().to_string()).into_owned());
        let note = Some(format!("({note})")).filter(|_| !note.is_empty() && paths.len() > 0);
        for (at, line) in paths.chain(note).enumerate() {
            let name = if at == 0 { name } else { "" };
            lines.push(format!("{name:<7}  {line}"));
        }
    }
    lines.push(format!("see      {} variables", told.variables.len()));
    lines.join("\n")
}

/// How to get a full sandbox.
pub(super) const HINT: &str =
    "Install bubblewrap (the program bwrap), or let unprivileged users make user namespaces";

/// A look at what this machine can do, while something else is done. Dropping it waits until what
/// was tried is gone, which takes longer than to know.
pub(super) struct Probing {
    told: Receiver<std::result::Result<Found, SandboxError>>,
    /// `None` only while it is dropped.
    trial: Option<JoinHandle<()>>,
}

impl Probing {
    /// Begins to look, for sessions of this repository.
    pub(super) fn begin(repo: &Repo) -> Result<Self> {
        Self::begin_in(Some(repo))
    }

    /// Begins to look, maybe where there is no repository.
    pub(super) fn begin_in(repo: Option<&Repo>) -> Result<Self> {
        let request = request(repo)?;
        let (tell, told) = mpsc::channel();
        let trial = std::thread::spawn(move || {
            let (found, tried) = match sandbox::probe(&request) {
                Ok((found, tried)) => (Ok(found), tried),
                Err(error) => (Err(error), None),
            };
            // Where something else is wrong, nobody waits to hear it.
            drop(tell.send(found));
            drop(tried);
        });
        Ok(Self { told, trial: Some(trial) })
    }

    /// What was found; to be asked once.
    pub(super) fn done(&self) -> Result<Found> {
        match self.told.recv() {
            Ok(found) => {
                found.map_err(|error| CommandError::from_error(Kind::No, &error).hint(SHELL))
            }
            Err(_) => Err(CommandError::new(Kind::Bug, "the look for a sandbox did not end")),
        }
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        // A panic in there was told by the channel's end.
        drop(self.trial.take().map(JoinHandle::join));
    }
}

/// A sandbox for sessions of this repository, without a worktree yet.
fn request(repo: Option<&Repo>) -> Result<Request> {
    let nowhere = Path::new("/nonexistent");
    Ok(Request {
        level: Level::Full,
        program: std::env::current_exe()?,
        root: nowhere.to_owned(),
        common_dir: repo.map_or(nowhere, Repo::common_dir).to_owned(),
        shadow: None,
        readable: Vec::new(),
        writable: Vec::new(),
        caller: std::env::vars_os().collect(),
        layers: Layers::of_environment(),
    })
}

const SHELL: &str = "The agent's commands run in bash, and need a folder for temporary files";

/// The level of a new session.
pub(super) fn level(
    asked: Option<Level>,
    set: &config::Sandbox,
    probing: &Probing,
) -> Result<Level> {
    let asked = asked.unwrap_or(set.level);
    if asked == Level::None {
        return Ok(asked);
    }
    let found = probing.done()?;
    if found.level >= asked {
        return Ok(asked);
    }
    let least = set.least.unwrap_or(asked);
    if found.level >= least {
        return Ok(found.level);
    }
    let mut error = CommandError::new(
        Kind::Blocked,
        format!("this machine cannot do a {asked} sandbox, at most {}", found.level),
    );
    error.causes = found.reasons;
    let less = format!("git agent start … --sandbox {} asks for less", found.level);
    let always = format!("git config agent.sandbox.least {} allows less", found.level);
    Err(error.hint(HINT).hint(less).hint(always))
}
