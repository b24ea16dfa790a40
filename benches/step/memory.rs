//! How much memory the processes of a session hold while it runs, each page counted by its share.
//!
//! Invariant: only the program's own processes count, not the tools that they start.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::testing::home::Home;

/// How often is looked, and how often for new processes, which is dearer.
const PERIOD: Duration = Duration::from_millis(4);
const LOOK: Duration = Duration::from_millis(50);

/// The most that was seen, in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peak {
    /// Of one supervisor.
    pub(crate) supervisor: u64,
    /// Of one guard.
    pub(crate) guard: u64,
    /// Of all supervisors and guards together.
    pub(crate) all: u64,
}

/// Looks while `work` is done; `None` where the system does not tell, as it does only root.
pub(crate) fn peak(home: &Home, work: impl FnOnce()) -> Option<Peak> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(home, &over));
        work();
        over.store(true, Ordering::SeqCst);
        watcher.join().unwrap()
    })
}

fn watch(home: &Home, over: &AtomicBool) -> Option<Peak> {
    let mut peak = Peak::default();
    let mut looked: Option<Instant> = None;
    let mut processes: Vec<(i32, Vec<u8>)> = Vec::new();
    while !over.load(Ordering::SeqCst) {
        if looked.is_none_or(|looked| looked.elapsed() > LOOK) {
            looked = Some(Instant::now());
            let pids = home.processes().into_iter().map(|pid| pid.as_raw_nonzero().get());
            processes = pids.filter_map(|pid| Some((pid, verb(pid)?))).collect();
        }
        let mut all = 0;
        for (pid, verb) in &processes {
            let pss = pss(*pid).unwrap_or(0);
            all += pss;
            let one = if verb == b"guard" { &mut peak.guard } else { &mut peak.supervisor };
            *one = pss.max(*one);
        }
        peak.all = peak.all.max(all);
        std::thread::sleep(PERIOD);
    }
    (peak.supervisor > 0).then_some(peak)
}

/// What the program was asked to do there, if it is the program and runs in the background.
fn verb(pid: i32) -> Option<Vec<u8>> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0);
    let is_ours = words.next()?.ends_with(b"git-agent");
    let verb = words.next()?.to_owned();
    (is_ours && (verb == b"supervise" || verb == b"guard")).then_some(verb)
}

fn pss(pid: i32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
