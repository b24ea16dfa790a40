//! Namespaces of our own: made where bubblewrap is not there, entered by every call.
//!
//! Invariant: a process that enters comes from outside and has brought nothing along but its three
//! standard streams.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use fs_err as fs;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use serde::{Deserialize, Serialize};

use super::layer::{Layer, Layers};
use super::syscall;

/// What a holder says before its number, which is that of the machine: it makes no process
/// namespace.
pub(super) const HELD: &str = "held by ";

/// The process that holds the namespaces of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    /// Its id.
    pub(super) pid: u32,
    /// When it was started, in clock ticks since boot: tells it from a later one of this number.
    pub(super) since: u64,
}

impl Holder {
    /// The process of this number.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        Ok(Self { pid, since: since(pid)? })
    }

    /// Whether it still is that process.
    pub(super) fn check(self) -> io::Result<()> {
        match since(self.pid) {
            Ok(since) if since == self.since => Ok(()),
            _ => Err(io::Error::other("the holder of the namespaces has gone")),
        }
    }
}

/// Makes new namespaces, says so, and keeps them until its input ends.
pub(super) fn hold(layers: &Layers) -> io::Result<()> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let mut others = UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    others.set(UnshareFlags::NEWNET, layers.has(Layer::Network));
    match syscall::unshare(others | UnshareFlags::NEWUSER) {
        Ok(()) => {
            fs::write("/proc/self/setgroups", "deny")?;
            fs::write("/proc/self/uid_map", format!("{user} {user} 1", user = user.as_raw()))?;
            fs::write("/proc/self/gid_map", format!("{group} {group} 1", group = group.as_raw()))?;
        }
        // The superuser can do without a user namespace where there may be none.
        Err(_) if user.is_root() => syscall::unshare(others)?,
        Err(error) => return Err(error),
    }
    if layers.has(Layer::Network) {
        syscall::raise_loopback()?;
    }
    wait()
}

/// Says that it runs, and does nothing until its input ends.
pub(super) fn wait() -> io::Result<()> {
    // Whoever enters must be allowed to look at this process.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)?;
    let said = format!("{HELD}{}\n", std::process::id());
    rustix::io::write(rustix::stdio::stdout(), said.as_bytes())?;
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Enters the namespaces that a process holds; says whether there is one of users among them.
pub(super) fn enter(holder: Holder) -> io::Result<bool> {
    let folder = Path::new("/proc").join(holder.pid.to_string()).join("ns");
    let open = |name: &str| -> io::Result<OwnedFd> {
        Ok(fs::File::open(folder.join(name))?.into_file().into())
    };
    let kinds = [
        ("mnt", LinkNameSpaceType::Mount),
        ("net", LinkNameSpaceType::Network),
        ("ipc", LinkNameSpaceType::InterProcessCommunication),
        ("uts", LinkNameSpaceType::HostNameAndNISDomainName),
    ];
    let own = |name: &str| -> io::Result<OwnedFd> {
        Ok(fs::File::open(Path::new("/proc/self/ns").join(name))?.into_file().into())
    };
    let opened: Vec<_> = kinds
        .iter()
        .map(|(name, kind)| Ok((open(name)?, own(name)?, *kind)))
        .collect::<io::Result<_>>()?;
    // Looked at behind the opening: what was opened is that process's.
    holder.check()?;
    let owner = syscall::owner_of(opened[0].0.as_fd())?;
    let has_users = !is_same(&owner, &own("user")?)?;
    if has_users {
        move_into_link_name_space(owner.as_fd(), Some(LinkNameSpaceType::User))?;
    }
    for (namespace, own, kind) in &opened {
        // One that is shared with the machine need not be entered, nor may it be.
        if is_same(namespace, own)? {
            continue;
        }
        move_into_link_name_space(namespace.as_fd(), Some(*kind))?;
    }
    Ok(has_users)
}

fn is_same(one: &OwnedFd, other: &OwnedFd) -> io::Result<bool> {
    let (one, other) = (rustix::fs::fstat(one)?, rustix::fs::fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// When a process was started: field 22 of `proc_pid_stat(5)`.
fn since(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program, in brackets, may hold anything.
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields);
    // One that has ended and is not yet reaped is none.
    let fields = fields.filter(|fields| !fields.starts_with(['Z', 'X']));
    let since = fields.and_then(|fields| fields.split(' ').nth(19)?.parse().ok());
    since.ok_or_else(|| io::Error::other("a process without a beginning"))
}
