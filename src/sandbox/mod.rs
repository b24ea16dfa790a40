//! Where tools run.
//!
//! Invariant: what the level says is what the machine does; and no tool sees a variable of the
//! supervisor that is not on the list of [`environment`].

pub mod environment;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::process::Cmd;

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
    tmp: PathBuf,
    env: Vec<(OsString, OsString)>,
    shell: PathBuf,
}

/// No shell was found.
#[derive(Debug, thiserror::Error)]
#[error("neither bash nor sh is on PATH")]
pub struct NoShell;

impl Sandbox {
    /// What this machine can offer for tools in the worktree `root`.
    ///
    /// `tmp` is the temporary folder of the session; `caller` the environment of whoever
    /// dispatched it, of which only what [`environment::of_tools`] allows is passed on.
    ///
    /// # Errors
    /// There is no shell on the caller's `PATH`.
    pub fn new(
        root: &Path,
        tmp: &Path,
        caller: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, NoShell> {
        let env = environment::of_tools(caller, root, tmp);
        let path = env.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value);
        let shell = ["bash", "sh"]
            .iter()
            .find_map(|name| which::which_in(name, path, root).ok())
            .ok_or(NoShell)?;
        Ok(Self { root: root.to_owned(), tmp: tmp.to_owned(), env, shell })
    }

    /// The level that holds on this machine. No mechanism is built in yet.
    pub fn level(&self) -> Level {
        Level::None
    }

    /// The temporary folder of the session.
    pub fn tmp(&self) -> &Path {
        &self.tmp
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
        if is_bash { cmd.args(["--noprofile", "--norc"]) } else { cmd }
    }
}

/// Hides the environment and memory of this process from other processes of the same user, which
/// could otherwise read its keys in `/proc`. Does not bind the superuser; only Linux has it.
///
/// # Errors
/// What the system said.
pub fn hide_process() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
