//! Whether the machine can bear one more session: free memory, and load.
//!
//! Invariant: it holds back starts alone, never what runs; and never the only session, so that
//! whatever waits is started at the latest when nothing else runs.

use crate::config::Config;

/// Why nobody else is to be started now, in words, where so many run already; none if somebody
/// may be. What the machine does not tell holds nobody back.
pub(super) fn holds_back(config: &Config, running: usize) -> Option<String> {
    if running == 0 {
        return None;
    }
    let (free, load) = (free_memory(), config.max_load.and_then(|_| load()));
    judge(config, free, load)
}

/// The same for so many bytes of free memory and this load of each core.
fn judge(config: &Config, free: Option<u64>, load: Option<f64>) -> Option<String> {
    let mebi = |bytes: u64| bytes >> 20;
    if let Some(free) = free.filter(|free| *free < config.min_free_memory) {
        let floor = mebi(config.min_free_memory);
        return Some(format!("memory ({} MiB free, less than {floor})", mebi(free)));
    }
    let (load, most) = load.zip(config.max_load)?;
    (load > most).then(|| format!("less load ({load:.1} a core, over {most})"))
}

/// Memory that programs can have without swapping, in bytes.
#[cfg(target_os = "linux")]
fn free_memory() -> Option<u64> {
    let text = fs_err::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibi: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibi << 10)
}

/// The load of the last minute, for each core.
#[cfg(target_os = "linux")]
fn load() -> Option<f64> {
    let text = fs_err::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = text.split_whitespace().next()?.parse().ok()?;
    let cores = u32::try_from(std::thread::available_parallelism().ok()?.get()).ok()?;
    Some(load / f64::from(cores))
}

#[cfg(not(target_os = "linux"))]
fn free_memory() -> Option<u64> {
    None
}

#[cfg(not(target_os = "linux"))]
fn load() -> Option<f64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_and_a_ceiling_hold_back_and_say_so() {
        let config =
            Config { min_free_memory: 512 << 20, max_load: Some(2.0), ..Config::default() };
        let said = |free, load| judge(&config, free, load).unwrap_or_default();
        assert_eq!(said(Some(513 << 20), Some(2.0)), "");
        assert_eq!(said(Some(511 << 20), None), "memory (511 MiB free, less than 512)");
        assert_eq!(said(None, Some(3.06)), "less load (3.1 a core, over 2)");
        assert_eq!(said(None, None), "");
        let off = Config { min_free_memory: 0, max_load: None, ..Config::default() };
        assert_eq!(judge(&off, Some(0), Some(1e6)), None);
    }

    #[test]
    fn the_only_session_is_never_held_back() {
        let config = Config { min_free_memory: u64::MAX, ..Config::default() };
        assert_eq!(holds_back(&config, 0), None);
        #[cfg(target_os = "linux")]
        assert!(holds_back(&config, 1).is_some());
    }
}
