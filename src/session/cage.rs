//! What a session's commands run in, and reach; and commands that the program itself runs there:
//! the set-up of a worktree, the checks of what is to land.
//!
//! Invariant: whoever starts a command for a session, it is held as the session's own are, and the
//! policy of the machine is asked of each host.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::spec::Spec;
use crate::config::Config;
use crate::git::{GitError, Head, Repo};
use crate::policy::{Policy, PolicyError};
use crate::process::Cmd;
use crate::sandbox::layer::Layers;
use crate::sandbox::proxy::{BadHost, Pattern};
use crate::sandbox::shadow::Shadow;
use crate::sandbox::{self, Bounds, Level, Request, Sandbox, SandboxError};
use crate::tool::output::Cap;
use crate::tool::{self, Ran, Toolbox};

/// How long one command may take.
pub const LIMIT: Duration = Duration::from_secs(60 * 60);
/// How much of what it prints is kept.
const CAP: Cap = Cap { bytes: 8 << 10, lines: 200 };

/// It cannot be put up.
#[derive(Debug, thiserror::Error)]
pub enum CageError {
    /// The machine cannot do what the session was started with.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The policy forbids a host.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A setting names no host.
    #[error(transparent)]
    Host(#[from] BadHost),
    /// git does not know the user.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The file system or the network of the sandbox said no.
    #[error("the sandbox cannot be used")]
    Io(#[from] io::Error),
}

/// The level that a session was started with; one that is not known is the strictest.
pub fn level(spec: &Spec) -> Level {
    Level::named(&spec.sandbox).unwrap_or(Level::Full)
}

/// The sandbox of a session's commands in this worktree. `shadow` is the folder with the git dir
/// that is theirs, which only a full one has; `program` is this program.
pub fn request(
    view: &Repo,
    spec: &Spec,
    config: &Config,
    program: PathBuf,
    shadow: &Path,
) -> Request {
    let level = level(spec);
    // Submodules have git dirs of their own, which are only read.
    let modules = [view.git_dir(), view.common_dir()].map(|dir| dir.join("modules"));
    Request {
        level,
        program,
        root: view.work_dir().unwrap_or(&spec.worktree).to_owned(),
        common_dir: view.common_dir().to_owned(),
        shadow: (level == Level::Full).then(|| shadow.to_owned()),
        readable: [config.sandbox.readable.clone(), modules.to_vec()].concat(),
        writable: config.sandbox.writable.clone(),
        caller: std::env::vars_os().collect(),
        layers: Layers::of_environment(),
    }
}

/// What commands may take of the machine.
pub fn limits(config: &Config) -> sandbox::Limits {
    let Config { nice, memory_limit: memory, cpu_limit: cpu, .. } = *config;
    sandbox::Limits { nice, memory, cpu }
}

/// The hosts that a session's commands may reach from the start.
///
/// # Errors
/// A name is no host, or the policy forbids one.
pub fn hosts(config: &Config, spec: &Spec) -> Result<Vec<Pattern>, CageError> {
    let named = config.sandbox.allow_host.iter().chain(&spec.allow_net);
    let hosts: Vec<Pattern> = named.map(|host| host.parse()).collect::<Result<_, _>>()?;
    check_hosts(&hosts)?;
    Ok(hosts)
}

/// Refuses hosts that the policy of this machine forbids to commands.
///
/// # Errors
/// It does, or cannot be read.
pub fn check_hosts(hosts: &[Pattern]) -> Result<(), PolicyError> {
    match Policy::of_machine()? {
        Some(policy) => hosts.iter().try_for_each(|host| policy.check_network(&host.host())),
        None => Ok(()),
    }
}

/// A place for commands of the program's own.
pub struct Cage {
    tools: Toolbox,
    // Held for its drop, which deletes what they printed.
    _folder: tempfile::TempDir,
}

impl Cage {
    /// Puts it up around the worktree that `view` is of. `program` is this program, which commands
    /// pass through, and which ends what they started should this process be killed. Commands get
    /// the variables `env` too. They reach the network for as long as the runtime lives.
    ///
    /// # Errors
    /// It cannot be put up as the session's own is.
    #[expect(clippy::unused_async, reason = "what it serves lives in the runtime of the caller")]
    pub async fn open(
        view: &Repo,
        spec: &Spec,
        config: &Config,
        program: Option<&Path>,
        env: &[(&str, &Path)],
    ) -> Result<Self, CageError> {
        let folder = tempfile::tempdir()?;
        let (sandbox, listener) = open(view, spec, config, program, folder.path())?;
        let sandbox = match listener {
            Some(listener) => sandbox.serve(listener, hosts(config, spec)?)?,
            None => sandbox,
        };
        let (bounds, _unmet) = Bounds::new(&limits(config), &spec.id);
        let sandbox = env.iter().fold(sandbox, |sandbox, (key, value)| sandbox.with(key, value));
        let tools = Toolbox::new(tool::Setup {
            root: view.work_dir().unwrap_or(&spec.worktree).to_owned(),
            out_dir: folder.path().join("out"),
            sandbox: sandbox.within(bounds),
            attended: false,
            guard: program.map(|program| Cmd::new(program).arg("guard").arg(view.common_dir())),
        })
        .map_err(io::Error::other)?;
        Ok(Self { tools, _folder: folder })
    }

    /// Runs a command to its end, at most for [`LIMIT`].
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn run(&self, command: &str) -> io::Result<Ran> {
        run(&self.tools, command).await
    }

    /// What they run with.
    pub fn tools(&self) -> &Toolbox {
        &self.tools
    }

    /// The hosts that commands have asked for since the last look.
    pub fn take_visits(&self) -> Vec<crate::event::Visit> {
        self.tools.take_visits()
    }
}

/// Runs a command to its end, at most for [`LIMIT`].
///
/// # Errors
/// It cannot be started.
pub async fn run(tools: &Toolbox, command: &str) -> io::Result<Ran> {
    tools.run(command, LIMIT, CAP).await.map_err(io::Error::other)
}

fn open(
    view: &Repo,
    spec: &Spec,
    config: &Config,
    program: Option<&Path>,
    folder: &Path,
) -> Result<(Sandbox, Option<TcpListener>), CageError> {
    let program = match (level(spec), program) {
        (Level::None, _) => {
            let caller: Vec<_> = std::env::vars_os().collect();
            let root = view.work_dir().unwrap_or(&spec.worktree);
            return Ok((Sandbox::new(root, &caller)?, None));
        }
        (_, Some(program)) => program,
        (level, None) => {
            let reasons = vec!["no program is known to pass through".to_owned()];
            return Err(SandboxError::Unavailable { level, reasons }.into());
        }
    };
    let request = request(view, spec, config, program.to_owned(), folder);
    if request.shadow.is_some() {
        let mut shadow = Shadow::make(view, folder, &spec.branch)?;
        shadow.introduce(&view.identity()?)?;
        shadow.copy(&view.git_dir().join("index"), "index")?;
        let head = match view.head().map_err(io::Error::other)? {
            Head::Detached(id) | Head::Branch { id, .. } => Some(id),
            Head::Unborn(_) => None,
        };
        head.map_or(Ok(()), |head| shadow.follow(head))?;
    }
    Ok(Sandbox::open(&request)?)
}
