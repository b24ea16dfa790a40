//! What stands between a command and the machine, by level; and what this machine can put up.
//!
//! Invariant: a wall is what its level says, or there is none.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
use super::cage::{Cage, inner};
#[cfg(target_os = "linux")]
use super::inner::{Task, Walls};
use super::kept::Kept;
#[cfg(target_os = "linux")]
use super::layer::{Layer, Layers};
use super::view::View;
use super::{Level, Request};
use crate::process::Cmd;

/// Where commands find the temporary folder of their session.
pub(super) const TMP: &str = "/tmp";

/// What makes the namespaces of a full sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The program `bwrap`.
    Bubblewrap,
    /// This program.
    Namespaces,
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bubblewrap => "bubblewrap",
            Self::Namespaces => "own namespaces",
        })
    }
}

/// What this machine can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The highest level.
    pub level: Level,
    /// How, where that is the full one.
    pub mechanism: Option<Mechanism>,
    /// Why not more, or not by another mechanism.
    pub reasons: Vec<String>,
}

/// What stands around the commands of a session.
#[derive(Debug)]
pub(super) struct Wall {
    level: Level,
    mechanism: Option<Mechanism>,
    /// This program and what it is told, in front of each command.
    way: Option<Cmd>,
    #[cfg(target_os = "linux")]
    cage: Option<super::cage::Cage>,
    _kept: Option<Kept>,
}

impl Default for Wall {
    fn default() -> Self {
        Self {
            level: Level::None,
            mechanism: None,
            way: None,
            #[cfg(target_os = "linux")]
            cage: None,
            _kept: None,
        }
    }
}

impl Wall {
    /// The level that stands.
    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// What holds the namespaces.
    pub(super) fn mechanism(&self) -> Option<Mechanism> {
        self.mechanism
    }

    /// A command behind the wall.
    pub(super) fn around(&self, cmd: Cmd) -> Cmd {
        match &self.way {
            Some(way) => way.clone().before(cmd),
            None => cmd,
        }
    }

    /// Whether it stands as it did.
    #[cfg(target_os = "linux")]
    pub(super) fn check(&self) -> io::Result<()> {
        let holder = self.cage.as_ref().and_then(|cage| cage.walls.holder);
        holder.map_or(Ok(()), super::namespace::Holder::check)
    }

    /// It does.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn check(&self) -> io::Result<()> {
        Ok(())
    }

    /// Holds the folder of the caches as long as it stands.
    pub(super) fn keeping(self, kept: Option<Kept>) -> Self {
        Self { _kept: kept, ..self }
    }
}

#[cfg(target_os = "linux")]
impl Wall {
    /// Puts up the wall of a level, and nothing less; `view` looks up what commands see. With it
    /// comes a listener on the loopback behind it, where the network there is another than ours.
    ///
    /// # Errors
    /// Why the machine cannot.
    pub(super) fn put_up(
        request: &Request,
        env: &[(OsString, OsString)],
        view: impl FnOnce() -> io::Result<View>,
        tmp: &Path,
    ) -> Result<(Self, Option<TcpListener>), Vec<String>> {
        let layers = request.layers.clone();
        let cage = match request.level {
            Level::None => return Ok((Self::default(), None)),
            Level::Reduced => {
                let view = view().map_err(|error| vec![error.to_string()])?;
                let walls = reduced(request, &view, tmp, layers);
                let way = inner(&request.program, &Task::Run(walls));
                check(&way, env).map_err(|reason| vec![reason])?;
                let wall = Self { level: Level::Reduced, way: Some(way), ..Self::default() };
                return Ok((wall, None));
            }
            Level::Full => Cage::open(&request.program, env, &layers, view)?,
        };
        let way = inner(&request.program, &Task::Run(cage.walls.clone())).tells_end();
        let (checked, door) = std::thread::scope(|scope| {
            let door = scope.spawn(|| door(&request.program, &cage.walls));
            (check(&way, env), door.join())
        });
        let door = door.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let door = door.map_err(|error| format!("its network cannot be opened: {error}"));
        let door = checked.and(door).map_err(|reason| vec![reason])?;
        let wall = Self {
            level: Level::Full,
            mechanism: Some(cage.mechanism),
            way: Some(way),
            cage: Some(cage),
            _kept: None,
        };
        Ok((wall, door))
    }
}

/// Listens on the loopback of the namespaces, where it is another than ours.
#[cfg(target_os = "linux")]
fn door(program: &Path, walls: &Walls) -> io::Result<Option<TcpListener>> {
    let apart = walls.holder.filter(|_| walls.layers.has(Layer::Network));
    let Some(holder) = apart else { return Ok(None) };
    let child = inner(program, &Task::Listen { holder }).dir("/").env_clear();
    super::shim::listener_of(&child).map(Some)
}

/// The rules for commands that see the machine as it is.
#[cfg(target_os = "linux")]
fn reduced(request: &Request, view: &View, tmp: &Path, layers: Layers) -> Walls {
    let devices = ["full", "null", "random", "tty", "urandom", "zero", "shm", "pts", "ptmx"];
    let devices = devices.map(|name| Path::new("/dev").join(name));
    // Here it is git's own, and only to be read.
    let readable = view.readable().into_iter().chain([PathBuf::from("/proc"), "/dev/fd".into()]);
    let mut writable = vec![request.root.clone(), tmp.to_owned()];
    writable.extend(request.writable.iter().cloned());
    writable.extend(devices);
    let readable = readable.chain([request.common_dir.clone()]).collect();
    Walls { holder: None, readable, writable, layers }
}

/// Whether a command comes through.
fn check(way: &Cmd, env: &[(OsString, OsString)]) -> Result<(), String> {
    let cmd = way.clone().before(Cmd::new("true")).dir("/").env_clear();
    let cmd = env.iter().fold(cmd, |cmd, (key, value)| cmd.env(key, value));
    match cmd.run() {
        Ok(done) if done.exit == 0 => Ok(()),
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stderr);
            let said = said.trim().trim_start_matches("git-agent: the sandbox failed: ");
            Err(if said.is_empty() { format!("exit {}", done.exit) } else { said.to_owned() })
        }
        Err(error) => Err(error.source.to_string()),
    }
}

#[cfg(not(target_os = "linux"))]
impl Wall {
    /// Puts up the wall of a level, and nothing less; `view` looks up what commands see. With it
    /// comes a listener on the loopback behind it, where the network there is another than ours.
    ///
    /// # Errors
    /// Why the machine cannot.
    pub(super) fn put_up(
        request: &Request,
        env: &[(OsString, OsString)],
        view: impl FnOnce() -> io::Result<View>,
        tmp: &Path,
    ) -> Result<(Self, Option<TcpListener>), Vec<String>> {
        match request.level {
            Level::None => Ok((Self::default(), None)),
            Level::Full => Err(vec!["there are no namespaces on this system".to_owned()]),
            Level::Reduced => {
                let view = view().map_err(|error| vec![error.to_string()])?;
                let mut readable = view.readable();
                readable.push(request.common_dir.clone());
                let mut writable = vec![request.root.clone(), tmp.to_owned()];
                writable.extend(request.writable.iter().cloned());
                let profile = super::seatbelt::profile(&request.root, &readable, &writable);
                let way = Cmd::new("sandbox-exec").args(["-p", &profile]);
                check(&way, env).map_err(|reason| vec![reason])?;
                Ok((Self { level: Level::Reduced, way: Some(way), ..Self::default() }, None))
            }
        }
    }
}
