//! `git-agent __inner`: this program again, on the way into the sandbox.
//!
//! A call passes three processes. The one that was started enters the namespaces, waits, tells the
//! command's exit code and ends with it. Its child is the first process of a process namespace of its own:
//! with it everything that the command has started ends, and as long as any of that runs it stays.
//! The child of that one becomes the command.
//!
//! Invariant: nothing of the command runs before every layer stands; a layer that cannot be put up
//! ends the call, never the layer.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{FileType, OFlags};
use rustix::mount::{MountFlags, mount};
use rustix::process::{
    DumpableBehavior, Pid, Resource, Rlimit, WaitOptions, WaitStatus, setrlimit, waitpid,
};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};
use serde::{Deserialize, Serialize};

use super::furnish::{furnish, proc_flags};
use super::layer::{Layer, Layers};
use super::namespace::{self, Holder};
use super::syscall::{self, OnTerminate};
use super::view::View;
use super::{Level, landlock, seccomp, shim};
use crate::process::Cmd;

/// The name by which this program knows that it is to go into the sandbox.
pub const NAME: &str = "__inner";

/// The largest file that a command may write, in bytes.
const FILE_SIZE: u64 = 8 << 30;
/// How many processes and threads it may have at once.
const PROCESSES: u64 = 8192;

/// What is to be done inside.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Task {
    /// Make namespaces and keep them.
    Hold { layers: Layers },
    /// Keep those in which this runs.
    Wait,
    /// Make the root of these namespaces.
    Furnish { holder: Holder, view: View, layers: Layers },
    /// Listen on the loopback of these namespaces for who is outside.
    Listen { holder: Holder },
    /// Run the command that follows.
    Run(Walls),
}

/// What a command runs behind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Walls {
    /// The namespaces; none where there are none.
    pub(super) holder: Option<Holder>,
    /// What may be read.
    pub(super) readable: Vec<PathBuf>,
    /// What may be changed.
    pub(super) writable: Vec<PathBuf>,
    /// The layers that stand.
    #[serde(default)]
    pub(super) layers: Layers,
}

impl Task {
    /// As an argument of this program.
    pub(super) fn to_arg(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Does what the arguments behind [`NAME`] say. Returns the exit code.
pub fn run(args: &[OsString]) -> i32 {
    match attempt(args) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            255
        }
    }
}

fn attempt(args: &[OsString]) -> io::Result<i32> {
    let task = args.first().and_then(|arg| arg.to_str()).unwrap_or_default();
    match serde_json::from_str(task)? {
        Task::Hold { layers } => namespace::hold(&layers).map(|()| 0),
        Task::Wait => namespace::wait().map(|()| 0),
        Task::Furnish { holder, view, layers } => {
            let has_users = namespace::enter(holder)?;
            if has_users && layers.has(Layer::Namespaces) {
                // The limit of that namespace, not of the machine.
                fs::write("/proc/sys/user/max_user_namespaces", "0")?;
            }
            if !layers.has(Layer::View) {
                return Ok(0);
            }
            syscall::unshare(UnshareFlags::NEWPID)?;
            match syscall::fork()? {
                Some(child) => wait_for(child),
                None => end(furnish(&view).map(|()| 0)),
            }
        }
        Task::Listen { holder } => {
            namespace::enter(holder)?;
            shim::hand_over().map(|()| 0)
        }
        Task::Run(walls) => cage(&walls, &args[1..]),
    }
}

/// Runs a command behind its walls.
fn cage(walls: &Walls, command: &[OsString]) -> io::Result<i32> {
    let folder = std::env::current_dir()?;
    let word = take_word()?;
    syscall::close_on_exec_from(3)?;
    let Some(holder) = walls.holder else {
        wall_in(Level::Reduced, walls)?;
        return Err(become_command(&folder, command));
    };
    namespace::enter(holder)?;
    let apart = match walls.layers.has(Layer::Processes) {
        true => UnshareFlags::NEWPID | UnshareFlags::NEWNS,
        false => UnshareFlags::NEWNS,
    };
    syscall::unshare(apart)?;
    syscall::on_terminate(OnTerminate::Ignore);
    // The command must not have it: who can write there can lie about how it ended.
    let (told, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    match syscall::fork()? {
        Some(child) => {
            drop(tell);
            let mut end = [0; 5];
            match rustix::io::read(&told, &mut end)? {
                5 => {}
                _ => return wait_for(child),
            }
            let [code @ .., is_alone] = end;
            if is_alone == 0 {
                return Ok(i32::from_ne_bytes(code));
            }
            // The kernel takes longer to take the namespaces down than many a command runs.
            if let Some(word) = word {
                let_go()?;
                rustix::io::write(&word, &code)?;
            }
            wait_for(child)
        }
        None => {
            drop((told, word));
            end(first_process(walls, &folder, command, tell))
        }
    }
}

/// The first process of the namespace: puts up the layers, starts the command and reaps what ends.
fn first_process(
    walls: &Walls,
    folder: &Path,
    command: &[OsString],
    tell: OwnedFd,
) -> io::Result<i32> {
    if walls.layers.has(Layer::Processes) {
        mount("proc", "/proc", "proc", proc_flags() | MountFlags::RDONLY, None)?;
    }
    wall_in(Level::Full, walls)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let Some(child) = syscall::fork()? else {
        // A group and a terminal of its own, so that a signal to its group stays inside.
        rustix::process::setsid()?;
        return Err(become_command(folder, command));
    };
    // Without a process namespace it would tell all processes of the machine.
    syscall::on_terminate(match rustix::process::getpid().is_init() {
        true => OnTerminate::Tell,
        false => OnTerminate::Ignore,
    });
    let_go()?;
    reap(child, tell)
}

/// Waits until nothing runs any more. Tells the command's exit code, and whether it is alone then,
/// when that is so or the command itself has ended.
fn reap(command: Pid, tell: OwnedFd) -> io::Result<i32> {
    let mut exit = 0;
    let mut tell = Some(tell);
    let mut options = WaitOptions::empty();
    loop {
        match rustix::process::wait(options) {
            Ok(Some((pid, status))) if pid == command => {
                exit = code_of(status);
                // What has ended with it is reaped at once; if nothing is left, the end tells.
                options = WaitOptions::NOHANG;
            }
            Ok(Some(_)) => {}
            Ok(None) => {
                if let Some(tell) = tell.take() {
                    say(&tell, exit, false)?;
                }
                options = WaitOptions::empty();
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => {
                if let Some(tell) = tell.take() {
                    say(&tell, exit, true)?;
                }
                return Ok(exit);
            }
        }
    }
}

fn say(tell: &OwnedFd, exit: i32, is_alone: bool) -> io::Result<()> {
    let [a, b, c, d] = exit.to_ne_bytes();
    rustix::io::write(tell, &[a, b, c, d, u8::from(is_alone)])?;
    Ok(())
}

/// Where the end of the call is to be told: a pipe in place of the standard input, which is empty
/// from then on. See [`Cmd::start`].
fn take_word() -> io::Result<Option<OwnedFd>> {
    let input = rustix::stdio::stdin();
    let kind = FileType::from_raw_mode(rustix::fs::fstat(input)?.st_mode);
    let access = rustix::fs::fcntl_getfl(input)? & OFlags::ACCMODE;
    if kind != FileType::Fifo || access != OFlags::WRONLY {
        return Ok(None);
    }
    let word = rustix::io::fcntl_dupfd_cloexec(input, 3)?;
    let null = fs::OpenOptions::new().read(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(Some(word))
}

/// Puts up the layers that a process puts up around itself.
fn wall_in(level: Level, walls: &Walls) -> io::Result<()> {
    let has = |layer| walls.layers.has(layer);
    if has(Layer::Limits) {
        limit()?;
    }
    rustix::thread::set_no_new_privs(true)?;
    if has(Layer::Landlock) {
        landlock::apply(level, &walls.readable, &walls.writable)?;
    }
    if has(Layer::Capabilities) {
        drop_capabilities()?;
    }
    if has(Layer::Seccomp) {
        seccomp::apply(level)?;
    }
    Ok(())
}

fn limit() -> io::Result<()> {
    let most = |resource, most: u64| {
        let now = rustix::process::getrlimit(resource);
        let most = now.maximum.map_or(most, |maximum| maximum.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
    };
    most(Resource::Core, 0)?;
    most(Resource::Fsize, FILE_SIZE)?;
    Ok(most(Resource::Nproc, PROCESSES)?)
}

/// Without them the superuser has no more rights than the owner of the files.
fn drop_capabilities() -> io::Result<()> {
    let all = CapabilitySet::all();
    for capability in all.iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // One that the kernel does not know, or may not be taken: then there is none to lose.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    Ok(rustix::thread::set_capabilities(None, none)?)
}

fn become_command(folder: &Path, command: &[OsString]) -> io::Error {
    syscall::on_terminate(OnTerminate::End);
    let Some((program, args)) = command.split_first() else {
        return io::Error::other("there is no command");
    };
    if let Err(error) = rustix::process::chdir(folder) {
        return io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
    }
    let error = Cmd::new(program).args(args).exec();
    io::Error::new(error.source.kind(), format!("{}: {}", error.program, error.source))
}

/// Lets go of the standard streams, so that the output ends when the command's does.
fn let_go() -> io::Result<()> {
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(rustix::stdio::dup2_stderr(&null)?)
}

fn wait_for(child: Pid) -> io::Result<i32> {
    loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(code_of(status)),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// As a shell says it: 128 + n for signal n.
fn code_of(status: WaitStatus) -> i32 {
    let signal = || status.terminating_signal().map(|signal| 128 + signal);
    status.exit_status().or_else(signal).unwrap_or(255)
}

fn end(done: io::Result<i32>) -> ! {
    let code = done.unwrap_or_else(|error| {
        complain(&error);
        255
    });
    syscall::exit_now(code)
}

fn complain(error: &io::Error) {
    let line = format!("git-agent: the sandbox failed: {error}\n");
    if let Err(error) = rustix::io::write(rustix::stdio::stderr(), line.as_bytes()) {
        tracing::debug!(%error, "nobody hears of it");
    }
}
