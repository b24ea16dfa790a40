//! A worktree for a moment, with the session's commands in it: as strict as where the session's own
//! run, and set up as its worktree was.
//!
//! Invariant: the set-up command runs behind the sandbox here, since what it reads may be the
//! agent's.

use std::path::{Path, PathBuf};

use super::LandError;
use super::check::{CAP, LIMIT};
use crate::config::Config;
use crate::git::{Head, Repo, Scratch};
use crate::policy::Policy;
use crate::process::Cmd;
use crate::sandbox::layer::Layers;
use crate::sandbox::proxy::{Pattern, Proxy};
use crate::sandbox::shadow::Shadow;
use crate::sandbox::{self, Bounds, Level, Request, Sandbox, SandboxError};
use crate::session::spec::Spec;
use crate::session::{include, submodule};
use crate::tool::{self, Ran, Toolbox};

/// The commands of a session in another worktree than its own.
pub(super) struct Stand {
    session: String,
    view: Repo,
    root: PathBuf,
    config: Config,
    tools: Toolbox,
    // Held for its drop, which deletes the folder.
    _out: tempfile::TempDir,
}

impl Stand {
    /// In this worktree. `program` is this program.
    ///
    /// # Errors
    /// The sandbox cannot be had.
    pub(super) async fn open(
        repo: &Repo,
        spec: &Spec,
        scratch: &Scratch,
        program: Option<&Path>,
    ) -> Result<Self, LandError> {
        let (config, _unknown) = repo.agent_config()?;
        let out = tempfile::tempdir()?;
        let sandbox = sandbox_of(repo, spec, scratch, &config, program, out.path())?;
        let sandbox = with_network(sandbox, spec, &config, program)?;
        let limits = sandbox::Limits {
            nice: config.nice,
            memory: config.memory_limit,
            cpu: config.cpu_limit,
        };
        // The session's own may stand beside it.
        let (bounds, _unmet) = Bounds::new(&limits, &format!("{}-check", spec.id));
        let tools = Toolbox::new(tool::Setup {
            root: scratch.path().to_owned(),
            out_dir: out.path().to_owned(),
            sandbox: sandbox.within(bounds),
            attended: false,
            guard: program.map(|program| Cmd::new(program).arg("guard").arg(repo.common_dir())),
        })
        .map_err(std::io::Error::other)?;
        let (session, view) = (spec.id.clone(), scratch.view().clone());
        Ok(Self { session, view, root: scratch.path().to_owned(), config, tools, _out: out })
    }

    /// Brings it what a new session's worktree gets: submodules, the files that
    /// `.worktreeinclude` names, and the run of `agent.setup`.
    ///
    /// # Errors
    /// One of them fails.
    pub(super) async fn set_up(&self, repo: &Repo) -> Result<(), LandError> {
        let root = repo.main_work_dir().unwrap_or_else(|| repo.common_dir().to_owned());
        if let Head::Detached(head) = self.view.head()? {
            let submodules = submodule::available(repo, head).map_err(std::io::Error::other)?;
            submodule::init(repo, &self.view, &submodules).map_err(std::io::Error::other)?;
        }
        let main = repo.view_of(repo.common_dir())?;
        include::copy(&main, &self.root).map_err(std::io::Error::other)?;
        let Some(setup) = &self.config.setup else { return Ok(()) };
        let quoted = root.to_string_lossy().replace('\'', r"'\''");
        let command =
            format!("export GIT_AGENT_SESSION={} GIT_AGENT_ROOT='{quoted}'\n{setup}", self.session);
        let ran = self.run(&command).await?;
        match ran.exit {
            0 => Ok(()),
            exit => Err(LandError::SetUp { exit, output: ran.output }),
        }
    }

    /// Its folder.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What commands run with.
    pub(super) fn tools(&self) -> &Toolbox {
        &self.tools
    }

    /// Runs a command.
    ///
    /// # Errors
    /// It could not be run at all.
    pub(super) async fn run(&self, command: &str) -> Result<Ran, LandError> {
        run(&self.tools, command).await
    }
}

/// Runs a command with these tools.
///
/// # Errors
/// It could not be run at all.
pub(super) async fn run(tools: &Toolbox, command: &str) -> Result<Ran, LandError> {
    Ok(tools.run(command, LIMIT, CAP).await.map_err(std::io::Error::other)?)
}

/// As strict as the session's own, with a git dir of its own.
fn sandbox_of(
    repo: &Repo,
    spec: &Spec,
    scratch: &Scratch,
    config: &Config,
    program: Option<&Path>,
    folder: &Path,
) -> Result<Sandbox, LandError> {
    let caller: Vec<_> = std::env::vars_os().collect();
    let level = Level::named(&spec.sandbox).unwrap_or(Level::Full);
    let program = match (level, program) {
        (Level::None, _) => return Ok(Sandbox::new(scratch.path(), &caller)?),
        (_, Some(program)) => program.to_owned(),
        (_, None) => {
            let reasons = vec!["no program is known to pass through".to_owned()];
            return Err(SandboxError::Unavailable { level, reasons }.into());
        }
    };
    let (view, common) = (scratch.view(), repo.common_dir());
    let shadow = (level == Level::Full).then(|| folder.to_owned());
    if let (Some(folder), Head::Detached(head)) = (&shadow, view.head()?) {
        Shadow::make(view, folder, &spec.branch)?.follow(head)?;
    }
    let modules = [view.git_dir(), common].map(|dir| dir.join("modules"));
    Ok(Sandbox::open(&Request {
        level,
        program,
        root: scratch.path().to_owned(),
        common_dir: common.to_owned(),
        shadow,
        readable: [config.sandbox.readable.clone(), modules.to_vec()].concat(),
        writable: config.sandbox.writable.clone(),
        caller,
        layers: Layers::of_environment(),
    })?)
}

/// The same with the hosts that the session's commands may reach by its settings.
fn with_network(
    sandbox: Sandbox,
    spec: &Spec,
    config: &Config,
    program: Option<&Path>,
) -> Result<Sandbox, LandError> {
    let hosts = config.sandbox.allow_host.iter().chain(&spec.allow_net);
    let allowed = hosts.map(|host| host.parse()).collect::<Result<Vec<Pattern>, _>>();
    let allowed = allowed.map_err(std::io::Error::other)?;
    if let Some(policy) = Policy::of_machine().map_err(std::io::Error::other)? {
        let checked = allowed.iter().try_for_each(|it| policy.check_network(&it.host()));
        checked.map_err(std::io::Error::other)?;
    }
    let listener = program.map(|program| sandbox.listen(program)).transpose()?.flatten();
    let Some(listener) = listener else { return Ok(sandbox) };
    let port = listener.local_addr()?.port();
    listener.set_nonblocking(true)?;
    let proxy = Proxy::serve(tokio::net::TcpListener::from_std(listener)?, allowed);
    Ok(sandbox.with_proxy(proxy, port))
}
