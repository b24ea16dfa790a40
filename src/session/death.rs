//! Why a supervisor is gone that did not say so itself.
//!
//! Invariant: only what the machine tells for certain is claimed; who has left no marks died
//! without a word.

/// What is said where nothing more is known.
const DIED: &str = "its supervisor ended without a word";
/// The machine was started since.
const REBOOTED: &str = "the machine was restarted while it ran";
/// The kernel has killed some process for its memory since, and this one is gone.
const NO_MEMORY: &str = "its supervisor was killed; memory ran out on this machine meanwhile";

/// How a supervisor finds the machine: lines that it leaves in its lock, below its number.
pub(super) fn marks() -> String {
    let line = |key: &str, value: Option<String>| {
        value.map_or_else(String::new, |value| format!("{key} {value}\n"))
    };
    line("boot", boot()) + &line("oom-kills", oom_kills().map(|count| count.to_string()))
}

/// Why a supervisor is gone that has left this in its lock.
pub(super) fn why(left: &str) -> &'static str {
    why_on(left, boot().as_deref(), oom_kills())
}

fn why_on(left: &str, boot: Option<&str>, oom_kills: Option<u64>) -> &'static str {
    let mark = |key: &str| left.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    if let (Some(then), Some(now)) = (mark("boot"), boot)
        && then != now
    {
        return REBOOTED;
    }
    let before = mark("oom-kills").and_then(|count| count.parse::<u64>().ok());
    match (before, oom_kills) {
        (Some(before), Some(now)) if now > before => NO_MEMORY,
        _ => DIED,
    }
}

/// What is different after each start of the machine.
#[cfg(target_os = "linux")]
fn boot() -> Option<String> {
    let id = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// What is different after each start of the machine.
#[cfg(not(target_os = "linux"))]
fn boot() -> Option<String> {
    let said =
        crate::process::Cmd::new("sysctl").args(["-n", "kern.bootsessionuuid"]).run().ok()?;
    let id = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    Some(id).filter(|id| said.exit == 0 && !id.is_empty())
}

/// How often the kernel has killed a process for its memory since the machine was started
/// (`oom_kill` in `proc_vmstat(5)`).
fn oom_kills() -> Option<u64> {
    let counters = fs_err::read_to_string("/proc/vmstat").ok()?;
    counters.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_only_where_the_machine_knows_it() {
        let left = "1234\nboot aa\noom-kills 3\n";
        assert_eq!(why_on(left, Some("aa"), Some(3)), DIED);
        assert_eq!(why_on(left, Some("bb"), Some(0)), REBOOTED);
        assert_eq!(why_on(left, Some("aa"), Some(4)), NO_MEMORY);
        assert_eq!(why_on(left, None, None), DIED);
        assert_eq!(why_on("1234\n", Some("bb"), Some(9)), DIED);
        assert_eq!(why_on("", Some("bb"), Some(9)), DIED);
        assert_eq!(why(&format!("1234\n{}", marks())), DIED);
    }
}
