//! A small companion process that ends the tools when the supervisor can no longer do it.
//!
//! Invariant: it acts only when its input ends, which happens exactly when the supervisor is gone,
//! however that died; then no process of a tool outlives it.
//!
//! A death signal (`prctl`) reaches only the direct child, does not exist on macOS, and costs an
//! extra `exec` at every call; one companion per session costs nothing at a call.

use std::collections::HashSet;
use std::io::{BufRead, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{Cmd, ProcessError, tree};

/// The supervisor's end of the companion. Dropping the last clone ends it.
#[derive(Clone, Debug)]
pub struct Guard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None` only while it is dropped.
    input: Mutex<Option<ChildStdin>>,
    child: Mutex<Child>,
}

impl Guard {
    /// Starts `program`, which must call [`watch`] on its standard input. All processes that carry
    /// `mark` (see [`tree::MARK`]) are in its care.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(program: &Cmd, mark: &str) -> Result<Self, ProcessError> {
        use std::os::unix::process::CommandExt;
        let mut command = program.command();
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|source| program.error(source))?;
        let input = child.stdin.take();
        let inner = Inner { input: Mutex::new(input), child: Mutex::new(child) };
        let guard = Self(Arc::new(inner));
        guard.tell(&format!("mark {mark}\n"));
        Ok(guard)
    }

    /// Takes the process group `leader` into its care.
    pub fn watch_group(&self, leader: u32) {
        self.tell(&format!("+{leader}\n"));
    }

    /// Leaves the process group `leader` alone from now on.
    pub fn forget_group(&self, leader: u32) {
        self.tell(&format!("-{leader}\n"));
    }

    fn tell(&self, line: &str) {
        let mut input = self.0.input.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipe) = input.as_mut()
            && let Err(error) = pipe.write_all(line.as_bytes())
        {
            tracing::warn!(%error, "the guard of the tools is gone");
            *input = None;
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.input.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        // Its input has ended, so it ends; waiting keeps no zombie behind.
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = child.wait() {
            tracing::warn!(%error, "the guard of the tools was not waited for");
        }
    }
}

/// The companion itself: reads what to care for until its input ends, then ends it all.
pub fn watch(input: impl BufRead) {
    let mut groups = HashSet::new();
    let mut marks = Vec::new();
    for line in input.lines().map_while(Result::ok) {
        if let Some(mark) = line.strip_prefix("mark ") {
            marks.push(mark.to_owned());
        } else if let Some(group) = line.strip_prefix('+') {
            groups.extend(group.parse::<i32>().ok().and_then(Pid::from_raw));
        } else if let Some(group) = line.strip_prefix('-')
            && let Some(group) = group.parse::<i32>().ok().and_then(Pid::from_raw)
        {
            groups.remove(&group);
        }
    }
    for group in groups {
        tree::traced(kill_process_group(group, Signal::KILL));
    }
    for mark in marks {
        tree::signal_marked(&mark, Signal::KILL);
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io::BufReader;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use fs_err as fs;

    use super::*;
    use crate::process::Watch;

    const ROLE: &str = "GUARD_TEST_ROLE";
    const FOLDER: &str = "GUARD_TEST_FOLDER";

    /// This test program again, as another process of the scene.
    fn role(name: &str, folder: &Path) -> Cmd {
        Cmd::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::guard::tests::scene", "--ignored", "--nocapture"])
            .env(ROLE, name)
            .env(FOLDER, folder)
    }

    #[tokio::test]
    #[ignore = "the other processes of the test below"]
    async fn scene() {
        let Ok(name) = std::env::var(ROLE) else { return };
        if name == "guard" {
            return watch(BufReader::new(std::io::stdin()));
        }
        let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
        let mark = format!("guard-test-{}", std::process::id());
        let guard = Guard::start(&role("guard", &folder), &mark).unwrap();
        let script = format!(
            "cd {}; setsid sleep 60 & echo $! >stray; env -i sleep 60 & echo $! >bare; echo $$ >main; \
             touch ready; wait",
            folder.display()
        );
        let watch =
            Watch { log: folder.join("log"), mark: format!("{mark}.1"), guard: Some(guard) };
        let mut running = Cmd::new("bash").args(["-c", &script]).start(watch).unwrap();
        running.wait(Duration::from_secs(60)).await;
    }

    #[test]
    fn what_a_killed_supervisor_ran_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let output = std::fs::File::create(folder.path().join("output")).unwrap();
        let supervisor = role("supervisor", folder.path()).spawn_detached(output).unwrap();
        let within_seconds = |done: &dyn Fn() -> bool| {
            (0..500).any(|_| {
                std::thread::sleep(Duration::from_millis(10));
                done()
            })
        };
        assert!(within_seconds(&|| folder.path().join("ready").exists()));
        let runs = |name: &str| {
            let pid = fs::read_to_string(folder.path().join(name)).unwrap();
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        let names = ["main", "stray", "bare"];
        assert!(names.iter().all(|name| runs(name)));
        let pid = Pid::from_raw(i32::try_from(supervisor).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
        assert!(within_seconds(&|| !names.iter().any(|name| runs(name))));
    }
}
