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
pub mod kept;
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
use crate::file::remove_tree;
use crate::process::Cmd;
use kept::Kept;
use layer::{Layer, Layers};
use proxy::{Pattern, Proxy, Upstream};
use view::View;
use wall::Wall;

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
    tmp: Arc<Tmp>,
    env: Vec<(OsString, OsString)>,
    shell: PathBuf,
    bounds: Arc<Bounds>,
    proxy: Option<Arc<Proxy>>,
    wall: Arc<Wall>,
}

/// The temporary folder of a session, which goes with the last who holds it, whatever commands have
/// made of it.
#[derive(Debug)]
struct Tmp(TempDir);

impl Tmp {
    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Tmp {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(self.path()) {
            tracing::warn!(%error, "a temporary folder is left behind");
        }
    }
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
            tmp: Arc::new(Tmp(tmp)),
            env,
            shell,
            bounds: Arc::default(),
            proxy: None,
            wall: Arc::default(),
        })
    }

    /// What was asked for, and nothing less; and a listener on what its commands know as their own
    /// machine, where that is another than ours. Takes some milliseconds, and waits for children.
    ///
    /// # Errors
    /// As [`Sandbox::new`], or the machine cannot do it.
    pub fn open(request: &Request) -> Result<(Self, Option<TcpListener>), SandboxError> {
        Self::open_over(request, || Ok(()))
    }

    /// The same, over what `lay` makes while the namespaces come up: the folder with the git dir.
    /// Where there is no wall, nothing is laid.
    ///
    /// # Errors
    /// As [`Sandbox::open`], or that cannot be made.
    pub fn open_over(
        request: &Request,
        lay: impl FnOnce() -> io::Result<()>,
    ) -> Result<(Self, Option<TcpListener>), SandboxError> {
        let mut sandbox = Self::new(&request.root, &request.caller)?;
        let unavailable = |reasons| SandboxError::Unavailable { level: request.level, reasons };
        let is_kept = request.level == Level::Full && request.shadow.is_some();
        let mut kept = None;
        let look_up = || {
            lay()?;
            let mut view = view_of(request, &sandbox.env, sandbox.tmp.path(), is_kept);
            if !view.kept_apart().is_empty() {
                kept = Kept::take(&request.common_dir);
            }
            view.keep_in(kept.as_ref().map(Kept::folder));
            Ok(view)
        };
        let wall = Wall::put_up(request, &sandbox.env, look_up, sandbox.tmp.path());
        let (wall, door) = wall.map_err(unavailable)?;
        let wall = wall.keeping(kept);
        if wall.level() == Level::Full {
            let inside = (OsString::from("TMPDIR"), OsString::from(wall::TMP));
            sandbox.env.retain(|(key, _)| *key != inside.0);
            sandbox.env.push(inside);
        } else if wall.level() == Level::Reduced {
            // Nothing reaches it, and its address may hold a password.
            environment::drop_proxies(&mut sandbox.env);
        }
        sandbox.wall = Arc::new(wall);
        Ok((sandbox, door))
    }

    /// The same, for commands within these bounds.
    #[must_use]
    pub fn within(self, bounds: Bounds) -> Self {
        Self { bounds: Arc::new(bounds), ..self }
    }

    /// The same, with one more variable.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.into(), value.as_ref().to_owned()));
        self
    }

    /// The same, with a proxy on this listener as the way out to these hosts; it serves in the
    /// runtime of the caller.
    ///
    /// # Errors
    /// The listener cannot be used.
    pub fn serve(mut self, listener: TcpListener, allowed: Vec<Pattern>) -> io::Result<Self> {
        let port = listener.local_addr()?.port();
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let proxy = Proxy::serve(listener, allowed, Upstream::of(&self.env));
        environment::use_proxy(&mut self.env, port);
        self.proxy = Some(Arc::new(proxy));
        Ok(self)
    }

    /// Whether commands can still be run in it, and reach what they may.
    ///
    /// # Errors
    /// They cannot: why, in a few words.
    pub fn check(&self) -> Result<(), String> {
        if self.proxy.as_ref().is_some_and(|proxy| !proxy.is_serving()) {
            return Err("its proxy serves no more".to_owned());
        }
        self.wall.check().map_err(|error| error.to_string())
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
fn view_of(request: &Request, env: &[(OsString, OsString)], tmp: &Path, is_kept: bool) -> View {
    let home = env.iter().find(|(key, _)| key == "HOME").map(|(_, home)| Path::new(home));
    let mut view = View::of_system(home, tmp);
    toolchain::add(&mut view, env, &request.common_dir, is_kept);
    for path in &request.readable {
        view.read(path);
        if path.starts_with(&request.common_dir) {
            mask_settings(&mut view, path);
        }
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

/// Hides settings of git, in a folder of the repository, that have a password in them.
fn mask_settings(view: &mut View, folder: &Path) {
    for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !path.ends_with("objects") => mask_settings(view, &path),
            Ok(kind) if kind.is_file() && path.ends_with("config") => {
                let text = fs_err::read_to_string(&path);
                if text.map_or(true, |text| has_password(&text)) {
                    view.mask(&path);
                }
            }
            _ => {}
        }
    }
}

/// Whether settings of git have an address with a password, or a header that stands for one.
fn has_password(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.to_lowercase();
        let mut parts = line.split("://");
        let mut scheme = parts.next().unwrap_or_default();
        let found = parts.any(|rest| {
            let host = rest.split(['/', '"', ' ', '\t']).next().unwrap_or_default();
            // The user of ssh is no secret.
            let is_secret = host.contains('@') && !scheme.ends_with("ssh");
            scheme = rest;
            is_secret
        });
        found || line.contains("authorization")
    })
}

/// What a command may do, told without running it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Explained {
    /// The level that it was told for.
    pub level: Level,
    /// Files and folders of the machine that it can change.
    pub writes: Vec<PathBuf>,
    /// Caches that it can add to; what it adds is kept apart, in the repository's git dir.
    pub kept: Vec<PathBuf>,
    /// Folders that it finds empty, and that go with its session.
    pub own: Vec<PathBuf>,
    /// What it can read besides.
    pub reads: Vec<PathBuf>,
    /// The variables that it sees.
    pub variables: Vec<String>,
}

/// What the commands of a session could read and change. Its worktree need not be there.
///
/// # Errors
/// There is no shell, or no room for temporary files.
pub fn explain(request: &Request) -> Result<Explained, SandboxError> {
    let sandbox = Sandbox::new(&request.root, &request.caller)?;
    let view = view_of(request, &sandbox.env, sandbox.tmp.path(), true);
    let (mut writes, kept, own, reads) = match request.level {
        Level::Full => (view.changed(), view.kept_apart(), view.own(), view.readable()),
        Level::Reduced => {
            let reads = [view.readable(), vec![request.common_dir.clone()]].concat();
            let own = vec![PathBuf::from("$TMPDIR")];
            (request.writable.clone(), Vec::new(), own, reads)
        }
        Level::None => {
            let all = vec![PathBuf::from("/")];
            (all.clone(), Vec::new(), Vec::new(), all)
        }
    };
    if request.level != Level::None {
        writes.retain(|path| *path != request.root);
        writes.insert(0, request.root.clone());
    }
    let reads = reads.into_iter().filter(|it| !writes.contains(it) && !kept.contains(it)).collect();
    let mut variables: Vec<_> =
        sandbox.env.iter().map(|(key, _)| key.to_string_lossy().into_owned()).collect();
    variables.sort();
    Ok(Explained { level: request.level, writes, kept, own, reads, variables })
}

/// What this machine can do at most, and at least as much as `request` asks for if it can; and what
/// was put up to try it, with a view of its worktree.
///
/// # Errors
/// There is no shell, or no room for temporary files.
pub fn probe(request: &Request) -> Result<(Found, Option<Sandbox>), SandboxError> {
    let mut reasons = Vec::new();
    for level in [Level::Full, Level::Reduced] {
        let tried = Sandbox::open(&Request { level, ..request.clone() });
        match tried {
            Ok((sandbox, _)) => {
                let found = Found { level, mechanism: sandbox.mechanism(), reasons };
                return Ok((found, Some(sandbox)));
            }
            Err(SandboxError::Unavailable { reasons: more, .. }) => reasons.extend(more),
            Err(error) => return Err(error),
        }
    }
    Ok((Found { level: Level::None, mechanism: None, reasons }, None))
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
