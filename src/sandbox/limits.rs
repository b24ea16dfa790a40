//! How much of the machine the commands of a session may take: niceness, memory, processors.
//!
//! A control group holds all commands of a session together. It needs the unified hierarchy (cgroup
//! v2), and a place there where the user may make groups, as a login under systemd gives. Elsewhere
//! memory is limited for each process alone, by its address space, and processors are not.
//!
//! Invariant: nothing is limited but what was asked for, and who asked is told what does not hold.

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::process::Cmd;

/// What the commands of a session may take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// `agent.nice`.
    pub nice: u8,
    /// `agent.memoryLimit`, in bytes.
    pub memory: Option<u64>,
    /// `agent.cpuLimit`, in processors.
    pub cpu: Option<f64>,
}

/// Limits as they hold on this machine.
#[derive(Debug, Default)]
pub struct Bounds {
    nice: u8,
    /// The address space of each process, in KiB, where there is no group.
    address_space: Option<u64>,
    group: Option<Group>,
}

/// A control group of our own, taken away when it is dropped.
#[derive(Debug)]
struct Group(PathBuf);

/// Lets a shell bound itself before it becomes what it is to run. A group that is gone bounds
/// nobody: what was asked for is a limit, not that nothing runs.
const BOUND: &str = "[ -z \"$1\" ] || echo 0 2>/dev/null >\"$1/cgroup.procs\"
[ -z \"$2\" ] || ulimit -v \"$2\" 2>/dev/null
nice=$3
shift 3
exec nice -n \"$nice\" \"$@\"";

impl Bounds {
    /// Makes the limits hold for the commands of this session, as far as the machine can; says what
    /// does not hold.
    pub fn new(limits: &Limits, session: &str) -> (Self, Vec<String>) {
        Self::in_hierarchy(limits, session, own_group().as_deref())
    }

    fn in_hierarchy(limits: &Limits, session: &str, own: Option<&Path>) -> (Self, Vec<String>) {
        let mut bounds = Self { nice: limits.nice, ..Self::default() };
        let mut unmet = Vec::new();
        if limits.memory.is_none() && limits.cpu.is_none() {
            return (bounds, unmet);
        }
        bounds.group = own.and_then(|own| Group::make(limits, session, own));
        if bounds.group.is_none() {
            // Only Linux has that limit too.
            let has_space = cfg!(target_os = "linux");
            bounds.address_space = limits.memory.filter(|_| has_space).map(|bytes| bytes >> 10);
            let holds = if has_space { "holds for each process alone" } else { "does not hold" };
            let why = "no cgroup can be made here";
            unmet.extend(limits.memory.map(|_| format!("agent.memoryLimit {holds}: {why}")));
            unmet.extend(limits.cpu.map(|_| format!("agent.cpuLimit does not hold: {why}")));
        }
        (bounds, unmet)
    }

    /// This program within these bounds.
    pub(super) fn on(&self, cmd: Cmd) -> Cmd {
        if self.nice == 0 && self.address_space.is_none() && self.group.is_none() {
            return cmd;
        }
        let group = self.group.as_ref().map(|group| group.0.clone()).unwrap_or_default();
        let space = self.address_space.map(|kibi| kibi.to_string()).unwrap_or_default();
        let sh = Cmd::new("sh").args(["-c", BOUND, "sh"]).arg(group).arg(space);
        sh.arg(self.nice.to_string()).before(cmd)
    }
}

impl Group {
    /// A group beside ours, or further up, where the controllers that are needed are switched on.
    fn make(limits: &Limits, session: &str, own: &Path) -> Option<Self> {
        own.ancestors().take(3).find_map(|folder| {
            let path = folder.join(format!("git-agent-{session}"));
            match fs::create_dir(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return None,
                _ => {}
            }
            let group = Self(path);
            match group.limit(limits) {
                Ok(()) => Some(group),
                Err(error) => {
                    tracing::debug!(%error, "no group here");
                    None
                }
            }
        })
    }

    /// Each file is there where its controller is switched on.
    fn limit(&self, limits: &Limits) -> std::io::Result<()> {
        // In microseconds of processor time in each tenth of a second.
        const PERIOD: f64 = 100_000.0;
        let set = |file: &str, value: String| {
            let mut file = fs::OpenOptions::new().write(true).open(self.0.join(file))?;
            std::io::Write::write_all(&mut file, value.as_bytes())
        };
        if let Some(bytes) = limits.memory {
            set("memory.max", bytes.to_string())?;
        }
        if let Some(processors) = limits.cpu {
            set("cpu.max", format!("{:.0} {PERIOD:.0}", processors * PERIOD))?;
        }
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // One in which something still runs stays, and serves the session's next run.
        if let Err(error) = fs::remove_dir(&self.0) {
            tracing::debug!(%error, "a group is left");
        }
    }
}

/// The folder of the control group of this process, in the unified hierarchy.
fn own_group() -> Option<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if !root.join("cgroup.controllers").exists() {
        return None;
    }
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(root.join(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(bounds: &Bounds, script: &str) -> String {
        let ran = bounds.on(Cmd::new("sh").args(["-c", script, "x", "a b"])).run().unwrap();
        String::from_utf8(ran.stdout).unwrap()
    }

    #[test]
    fn nothing_is_limited_unless_it_is_asked_for() {
        let (bounds, unmet) = Bounds::new(&Limits::default(), "one-7f3k");
        assert_eq!(unmet, Vec::<String>::new());
        let same = format!("{:?}", Cmd::new("true"));
        assert_eq!(format!("{:?}", bounds.on(Cmd::new("true"))), same);
    }

    #[test]
    fn a_command_is_as_nice_as_it_is_told_and_gets_its_arguments() {
        let (bounds, _) = Bounds::new(&Limits { nice: 7, ..Limits::default() }, "one-7f3k");
        let mine: i32 = printed(&Bounds::default(), "nice").trim().parse().unwrap();
        assert_eq!(printed(&bounds, "nice; echo \"$1\""), format!("{}\na b\n", mine + 7));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn without_a_group_each_process_has_a_limit_and_it_is_said() {
        let limits = Limits { nice: 0, memory: Some(1 << 30), cpu: Some(1.5) };
        let (bounds, unmet) = Bounds::in_hierarchy(&limits, "one-7f3k", None);
        assert_eq!(printed(&bounds, "ulimit -v"), "1048576\n");
        let expected = [
            "agent.memoryLimit holds for each process alone: no cgroup can be made here",
            "agent.cpuLimit does not hold: no cgroup can be made here",
        ];
        assert_eq!(unmet, expected);
    }

    #[test]
    fn a_group_is_made_where_the_controllers_are_and_commands_join_it() {
        // A folder that plays the hierarchy: `make` finds the files that the kernel would make.
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("user/shell");
        fs::create_dir_all(&own).unwrap();
        let made = root.path().join("user/git-agent-one-7f3k");
        fs::create_dir(&made).unwrap();
        for file in ["memory.max", "cpu.max", "cgroup.procs"] {
            fs::write(made.join(file), "").unwrap();
        }
        let limits = Limits { nice: 0, memory: Some(2048), cpu: Some(1.5) };
        let (bounds, unmet) = Bounds::in_hierarchy(&limits, "one-7f3k", Some(&own));
        assert_eq!(unmet, Vec::<String>::new());
        assert_eq!(fs::read_to_string(made.join("memory.max")).unwrap(), "2048");
        assert_eq!(fs::read_to_string(made.join("cpu.max")).unwrap(), "150000 100000");
        assert_eq!(printed(&bounds, "echo ran"), "ran\n");
        assert_eq!(fs::read_to_string(made.join("cgroup.procs")).unwrap(), "0\n");
        assert!(!own.join("git-agent-one-7f3k").exists(), "what did not do is gone again");
    }
}
