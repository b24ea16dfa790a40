//! Where tools run.
//!
//! Invariant: what the level says is what the machine does; and no tool sees a variable of the
//! supervisor that is not on the list of [`environment`].

#[cfg(target_os = "linux")]
mod bwrap;
#[cfg(target_os = "linux")]
mod cage;
pub mod environment;
#[cfg(target_os = "linux")]
mod furnish;
#[cfg(target_os = "linux")]
mod inner;
#[cfg(target_os = "linux")]
mod landlock;
pub mod layer;
pub mod limits;
#[cfg(target_os = "linux")]
mod namespace;
pub mod proxy;
#[cfg(any(test, not(target_os = "linux")))]
mod seatbelt;
#[cfg(target_os = "linux")]
mod seccomp;
pub mod shadow;
#[cfg(target_os = "linux")]
mod shim;
#[cfg(target_os = "linux")]
mod syscall;
mod toolchain;
mod view;
mod wall;

use std::ffi::{OsStr, OsString};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use tempfile::TempDir;

#[cfg(target_os = "linux")]
pub use inner::{NAME as INNER, run as run_inner};
pub use limits::{Bounds, Limits};
pub use wall::{Found, Mechanism};

pub use crate::config::SandboxLevel as Level;
use crate::process::Cmd;
use layer::{Layer, Layers};
use proxy::Proxy;
use view::View;
use wall::{Kept, Wall};

/// What a session's commands are to run behind.
#[derive(Clone, Debug)]
pub struct Request {
    /// How much is to be kept from them.
    pub level: Level,
    /// This program, which every command passes through.
    pub program: PathBuf,
    /// The worktree.
    pub root: PathBuf,
    /// The git dir of the repository.
    pub common_dir: PathBuf,
    /// The folder with the git dir that is theirs.
    pub shadow: Option<PathBuf>,
    /// What they may read besides.
    pub readable: Vec<PathBuf>,
    /// What they may change besides.
    pub writable: Vec<PathBuf>,
    /// The environment of whoever dispatched the session.
    pub caller: Vec<(OsString, OsString)>,
    /// The layers that stand: all, but in a test.
    pub layers: Layers,
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
    wall: Arc<Wall>,
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
    /// The machine cannot do what was asked for.
    #[error("a {level} sandbox cannot be had here: {}", reasons.join("; "))]
    Unavailable {
        /// What was asked for.
        level: Level,
        /// Why not.
        reasons: Vec<String>,
    },
}

impl Sandbox {
    /// The rights of the user for tools in the worktree `root`, with a cleared environment.
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
            wall: Arc::default(),
        })
    }

    /// What was asked for, and nothing less. Takes some milliseconds, and waits for children.
    ///
    /// # Errors
    /// As [`Sandbox::new`], or the machine cannot do it.
    pub fn open(request: &Request) -> Result<Self, SandboxError> {
        let mut sandbox = Self::new(&request.root, &request.caller)?;
        let unavailable = |reasons| SandboxError::Unavailable { level: request.level, reasons };
        let is_kept = request.level == Level::Full && request.shadow.is_some();
        let kept = is_kept.then(|| wall::kept(&request.common_dir)).flatten();
        let view = view_of(request, &sandbox.env, sandbox.tmp.path(), kept.as_ref());
        let wall = Wall::put_up(request, &sandbox.env, &view, sandbox.tmp.path());
        let wall = wall.map_err(unavailable)?.keeping(kept);
        if wall.level() == Level::Full {
            let inside = (OsString::from("TMPDIR"), OsString::from(wall::TMP));
            sandbox.env.retain(|(key, _)| *key != inside.0);
            sandbox.env.push(inside);
        }
        sandbox.wall = Arc::new(wall);
        Ok(sandbox)
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

    /// Listens on what the commands know as their own machine, where that is another than ours.
    ///
    /// # Errors
    /// It cannot be done.
    pub fn listen(&self, program: &Path) -> io::Result<Option<TcpListener>> {
        self.wall.listen(program)
    }

    /// The way out into the network, where there is one.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_deref()
    }

    /// The level that holds.
    pub fn level(&self) -> Level {
        self.wall.level()
    }

    /// What holds the namespaces of a full sandbox.
    pub fn mechanism(&self) -> Option<Mechanism> {
        self.wall.mechanism()
    }

    /// The temporary folder of the session.
    pub fn tmp(&self) -> &Path {
        self.tmp.path()
    }

    /// What a command calls the temporary folder of the session.
    pub fn inner_tmp(&self) -> &Path {
        match self.level() {
            Level::Full => Path::new(wall::TMP),
            Level::Reduced | Level::None => self.tmp(),
        }
    }

    /// A program as a tool may run it: in the worktree, with the tools' environment.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Cmd {
        self.surround(Cmd::new(program))
    }

    /// The shell, told to read no start file.
    pub fn shell(&self) -> Cmd {
        let is_bash = self.shell.file_name().is_some_and(|name| name == "bash");
        let cmd = Cmd::new(&self.shell);
        let cmd = if is_bash { cmd.args(["--noprofile", "--norc"]) } else { cmd };
        self.bounds.on(self.surround(cmd))
    }

    fn surround(&self, cmd: Cmd) -> Cmd {
        let cmd = self.wall.around(cmd).dir(&self.root).env_clear();
        self.env.iter().fold(cmd, |cmd, (key, value)| cmd.env(key, value))
    }
}

/// What a session's commands see of the file system.
fn view_of(
    request: &Request,
    env: &[(OsString, OsString)],
    tmp: &Path,
    kept: Option<&Kept>,
) -> View {
    let home = env.iter().find(|(key, _)| key == "HOME").map(|(_, home)| Path::new(home));
    let mut view = View::of_system(home, tmp);
    toolchain::add(&mut view, env, kept.map(Kept::folder));
    for path in &request.readable {
        view.read(path);
    }
    for objects in shadow::object_folders(&request.common_dir) {
        view.read(&objects);
    }
    for path in &request.writable {
        view.write(path);
    }
    view.write(&request.root);
    if let Some(shadow) = request.shadow.as_ref().filter(|_| request.layers.has(Layer::Shadow)) {
        view.write(&shadow::git_dir(shadow));
        view.put(&shadow::pointer(shadow), &request.root.join(".git"), false);
    }
    view
}

/// What a command may do, told without running it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Explained {
    /// The level that it was told for.
    pub level: Level,
    /// Files and folders that it can change; none says nothing is held.
    pub writes: Vec<PathBuf>,
    /// What it can read besides.
    pub reads: Vec<PathBuf>,
    /// The variables that it sees.
    pub variables: Vec<String>,
}

/// What the commands of a session could read and change.
///
/// # Errors
/// There is no shell, or no room for temporary files.
pub fn explain(request: &Request) -> Result<Explained, SandboxError> {
    let sandbox = Sandbox::new(&request.root, &request.caller)?;
    let view = view_of(request, &sandbox.env, Path::new(wall::TMP), None);
    let (writes, reads) = match request.level {
        Level::Full => (view.writable(), view.readable()),
        Level::Reduced => {
            let writes = [vec![request.root.clone(), wall::TMP.into()], request.writable.clone()];
            let reads = [view.readable(), vec![request.common_dir.clone()]];
            (writes.concat(), reads.concat())
        }
        Level::None => (vec![PathBuf::from("/")], vec![PathBuf::from("/")]),
    };
    let reads = reads.into_iter().filter(|path| !writes.contains(path)).collect();
    let mut variables: Vec<_> =
        sandbox.env.iter().map(|(key, _)| key.to_string_lossy().into_owned()).collect();
    variables.sort();
    Ok(Explained { level: request.level, writes, reads, variables })
}

/// What this machine can do at most, and at least as much as `request` asks for if it can; tried
/// with a view of its worktree.
///
/// # Errors
/// There is no shell, or no room for temporary files.
pub fn probe(request: &Request) -> Result<Found, SandboxError> {
    let mut reasons = Vec::new();
    for level in [Level::Full, Level::Reduced] {
        let tried = Sandbox::open(&Request { level, ..request.clone() });
        match tried {
            Ok(sandbox) => {
                return Ok(Found { level, mechanism: sandbox.mechanism(), reasons });
            }
            Err(SandboxError::Unavailable { reasons: more, .. }) => reasons.extend(more),
            Err(error) => return Err(error),
        }
    }
    Ok(Found { level: Level::None, mechanism: None, reasons })
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
