//! All processes that one child has started: its process group, and those that left the group.
//!
//! Invariant: a group is signalled only while it is known to be ours; once it was seen empty, its
//! number may belong to somebody else and is never used again.
//!
//! A process leaves the group with `setsid`, and its parent may be gone by then. It still carries
//! the variable [`MARK`] that the child was started with, so on Linux it is found by looking
//! through `/proc/*/environ`, as build servers have long done. What also clears its environment is
//! out of reach here; a sandbox with a process namespace of its own has no such gap.

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

/// The variable by which a tool's processes are known; its value is `<session>.<call>`.
pub const MARK: &str = "GIT_AGENT_RUN";

/// The processes of one child.
#[derive(Debug)]
pub struct Tree {
    group: Option<Pid>,
    mark: String,
}

impl Tree {
    /// The tree of a child that leads the process group `leader` and carries `mark`.
    pub fn new(leader: u32, mark: String) -> Self {
        let group = i32::try_from(leader).ok().and_then(Pid::from_raw);
        Self { group, mark }
    }

    /// Whether any process of the group still runs.
    pub fn group_runs(&mut self) -> bool {
        if let Some(group) = self.group
            && (test_kill_process_group(group).is_err() || only_zombies(group))
        {
            self.group = None;
        }
        self.group.is_some()
    }

    /// Asks all of them to end.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Ends all of them at once.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
    }

    fn signal(&mut self, signal: Signal) {
        if self.group_runs()
            && let Some(group) = self.group
        {
            traced(kill_process_group(group, signal));
        }
        signal_marked(&self.mark, signal);
    }
}

/// Signals every process whose mark is `mark`, or begins with `mark` and a dot.
pub fn signal_marked(mark: &str, signal: Signal) {
    // A process may fork between the look and the signal, so the look is repeated.
    for _ in 0..3 {
        let found = marked(mark);
        for pid in &found {
            traced(kill_process(*pid, signal));
        }
        if found.is_empty() || signal != Signal::KILL {
            return;
        }
    }
}

/// A process may end between the look and the signal, which is all the better.
pub(super) fn traced(sent: rustix::io::Result<()>) {
    if let Err(error) = sent {
        tracing::debug!(%error, "signal");
    }
}

/// Whether all that is left of a group has ended and merely waits to be reaped, which in a
/// container without an init process may never happen.
#[cfg(target_os = "linux")]
fn only_zombies(group: Pid) -> bool {
    let group = group.as_raw_nonzero().to_string();
    !all_processes().any(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        // After the name, which may hold anything: state, parent, group.
        let fields = stat.ok().and_then(|stat| stat.rsplit_once(") ").map(|(_, f)| f.to_owned()));
        fields.is_some_and(|fields| {
            let mut fields = fields.split(' ');
            !matches!(fields.next(), Some("Z" | "X")) && fields.nth(1) == Some(group.as_str())
        })
    })
}

#[cfg(not(target_os = "linux"))]
fn only_zombies(_group: Pid) -> bool {
    false
}

#[cfg(target_os = "linux")]
fn all_processes() -> impl Iterator<Item = Pid> {
    let entries = fs_err::read_dir("/proc").into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
}

#[cfg(target_os = "linux")]
fn marked(mark: &str) -> Vec<Pid> {
    let wanted = format!("{MARK}={mark}");
    let is_ours = |pid: Pid| {
        // Unreadable means another user's, or gone.
        let environ = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
        environ.is_ok_and(|bytes| {
            bytes.split(|byte| *byte == 0).any(|variable| {
                variable
                    .strip_prefix(wanted.as_bytes())
                    .is_some_and(|rest| rest.is_empty() || rest[0] == b'.')
            })
        })
    };
    all_processes().filter(|pid| is_ours(*pid)).collect()
}

#[cfg(not(target_os = "linux"))]
fn marked(_mark: &str) -> Vec<Pid> {
    Vec::new()
}
