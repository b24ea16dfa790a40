//! Where tools run.
//!
//! Invariant: what the level says is what the machine does; and no tool sees a variable of the
//! supervisor that is not on the list of [`environment`].

pub mod environment;
pub mod limits;
pub mod proxy;

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};

use tempfile::TempDir;

pub use limits::{Bounds, Limits};

use crate::process::Cmd;
use proxy::Proxy;

/// How much of the machine is kept from a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Only the worktree can be written, secrets cannot be read, the real git dir is out of reach.
    Full,
    /// Writes outside the worktree are refused, but the worktree's own git dir is not hidden.
    Reduced,
    /// Tools have the rights of the user, with a cleared environment.
    None,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Reduced => "reduced",
            Self::None => "none",
        })
    }
}

/// The surroundings of every program that a tool starts.
#[derive(Clone, Debug)]
pub struct Sandbox {
    root: PathBuf,
    tmp: Arc<TempDir>,
    env: Vec<(OsString, OsString)>,
    shell: PathBuf,
    bounds: Arc<Bounds>,
    proxy: Option<Arc<Proxy>>,
}

/// The surroundings could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// No shell was found.
    #[error("neither bash nor sh is on PATH")]
    NoShell,
    /// The session's temporary folder could not be made.
    #[error("cannot make a temporary folder in {}", .0.display())]
    Tmp(PathBuf, #[source] io::Error),
}

impl Sandbox {
    /// What this machine can offer for tools in the worktree `root`.
    ///
    /// `caller` is the environment of whoever dispatched the session, of which only what
    /// [`environment::of_tools`] allows is passed on. A temporary folder of the session's own is
    /// made in the caller's, and removed with the last clone of this value.
    ///
    /// # Errors
    /// There is no shell on the caller's `PATH`, or no room for temporary files.
    pub fn new(root: &Path, caller: &[(OsString, OsString)]) -> Result<Self, SandboxError> {
        let value_of = |key| caller.iter().find(|(k, _)| k == key).map(|(_, value)| value);
        let outer = value_of("TMPDIR").map_or_else(|| Path::new("/tmp"), Path::new);
        let tmp = tempfile::Builder::new()
            .prefix("git-agent-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(outer)
            .map_err(|error| SandboxError::Tmp(outer.to_owned(), error))?;
        let env = environment::of_tools(caller, root, tmp.path());
        let path = value_of("PATH");
        let shell = ["bash", "sh"]
            .iter()
            .find_map(|name| which::which_in(name, path, root).ok())
            .ok_or(SandboxError::NoShell)?;
        Ok(Self {
            root: root.to_owned(),
            tmp: Arc::new(tmp),
            env,
            shell,
            bounds: Arc::default(),
            proxy: None,
        })
    }

    /// The same, for commands within these bounds.
    #[must_use]
    pub fn within(self, bounds: Bounds) -> Self {
        Self { bounds: Arc::new(bounds), ..self }
    }

    /// The same, with this proxy as the way out: it listens on this port of what the commands know
    /// as their own machine.
    #[must_use]
    pub fn with_proxy(mut self, proxy: Proxy, port: u16) -> Self {
        environment::use_proxy(&mut self.env, port);
        self.proxy = Some(Arc::new(proxy));
        self
    }

    /// The way out into the network, where there is one.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_deref()
    }

    /// The level that holds on this machine. No mechanism is built in yet.
    pub fn level(&self) -> Level {
        Level::None
    }

    /// The temporary folder of the session.
    pub fn tmp(&self) -> &Path {
        self.tmp.path()
    }

    /// A program as a tool may run it: in the worktree, with the tools' environment.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Cmd {
        let cmd = Cmd::new(program).dir(&self.root).env_clear();
        self.env.iter().fold(cmd, |cmd, (key, value)| cmd.env(key, value))
    }

    /// The shell, told to read no start file.
    pub fn shell(&self) -> Cmd {
        let is_bash = self.shell.file_name().is_some_and(|name| name == "bash");
        let cmd = self.command(&self.shell);
        let cmd = if is_bash { cmd.args(["--noprofile", "--norc"]) } else { cmd };
        self.bounds.on(cmd)
    }
}

/// Hides the environment and memory of this process from other processes of the same user, which
/// could otherwise read its keys in `/proc`. Does not bind the superuser; only Linux has it.
///
/// # Errors
/// What the system said.
pub fn hide_process() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
