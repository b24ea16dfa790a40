//! A child that runs while the program goes on: a tool's command, with all it starts.
//!
//! Invariant: dropping a [`Running`] ends its whole tree at once, and waiting never takes longer
//! than asked, whoever else holds the child's output open.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::capture::Capture;
use super::guard::Guard;
use super::tree::{MARK, Tree};
use super::{Cmd, ProcessError, exit_code};

/// How long the output of a child that has ended is waited for. Only a process that it left
/// behind makes this wait happen.
const DRAIN: Duration = Duration::from_millis(50);

/// How a child is to be watched.
#[derive(Debug)]
pub struct Watch {
    /// Where all of the output goes once it is too much for memory.
    pub log: PathBuf,
    /// The value of the variable [`MARK`] for this child: `<session>.<call>`.
    pub mark: String,
    /// Who ends the child should this process be killed.
    pub guard: Option<Guard>,
}

/// A child, its process group and its output.
#[derive(Debug)]
pub struct Running {
    child: tokio::process::Child,
    pid: u32,
    exit: Option<i32>,
    tree: Tree,
    /// Where it says that nothing of it runs any more, if it does.
    word: Option<Receiver>,
    is_alone: bool,
    over: bool,
    guard: Option<Guard>,
    output: Arc<Mutex<Capture>>,
    reader: JoinHandle<()>,
    started: Instant,
}

impl Cmd {
    /// Starts it in a process group of its own, with what [`Cmd::stdin`] gives it to read and both
    /// outputs in one pipe, so that they are kept in the order in which they arrive.
    ///
    /// One that [`Cmd::tells_end`] has the writing end of a pipe for its standard input instead:
    /// there it writes its exit code, an `i32` in the machine's byte order, once all that it
    /// started has ended. Its own end may take the kernel longer, and is not waited for.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(&self, watch: Watch) -> Result<Running, ProcessError> {
        let (output, input) = std::io::pipe().map_err(|source| self.error(source))?;
        let mut command = self.command();
        command.env(MARK, &watch.mark).process_group(0);
        command.stdin(if self.stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
        let mut word = None;
        if self.tells_end {
            let (told, tell) = std::io::pipe().map_err(|source| self.error(source))?;
            command.stdin(tell);
            let told = Receiver::from_owned_fd(OwnedFd::from(told));
            word = Some(told.map_err(|source| self.error(source))?);
        }
        command.stderr(input.try_clone().map_err(|source| self.error(source))?).stdout(input);
        let output = Receiver::from_owned_fd(OwnedFd::from(output));
        let output = output.map_err(|source| self.error(source))?;
        let mut command = tokio::process::Command::from(command);
        let mut child = command.spawn().map_err(|source| self.error(source))?;
        if let Some(mut pipe) = child.stdin.take() {
            let bytes = self.stdin.clone();
            // A child may rightly end without reading its input; its exit code tells.
            tokio::spawn(async move { drop(pipe.write_all(&bytes).await) });
        }
        // The command holds the pipe's writing end; with it open the output would never end.
        drop(command);
        let pid = child.id().unwrap_or(0);
        tracing::debug!(program = ?self.program, args = ?self.args, pid, "started");
        if let Some(guard) = &watch.guard {
            guard.watch_group(pid);
        }
        let capture = Arc::new(Mutex::new(Capture::new(watch.log)));
        let reader = tokio::spawn(collect(output, Arc::clone(&capture)));
        Ok(Running {
            child,
            pid,
            exit: None,
            tree: Tree::new(pid, watch.mark),
            word,
            is_alone: false,
            over: false,
            guard: watch.guard,
            output: capture,
            reader,
            started: Instant::now(),
        })
    }
}

impl Running {
    /// Waits until the child has ended, at most `limit`. Its exit code, or `None` if it still
    /// runs. Processes that it left behind are not waited for: see [`Running::is_over`].
    pub async fn wait(&mut self, limit: Duration) -> Option<i32> {
        if self.exit.is_none() {
            let ended = async {
                tokio::select! {
                    biased;
                    code = told(self.word.as_mut()) => (code, true),
                    // Whoever reaped it first knows the code; to a caller it has ended all the same.
                    ended = self.child.wait() => (ended.map_or(255, exit_code), false),
                }
            };
            let Ok((code, is_alone)) = timeout(limit, ended).await else { return None };
            (self.exit, self.is_alone) = (Some(code), is_alone);
            drop(timeout(DRAIN, &mut self.reader).await);
        }
        self.exit
    }

    /// Waits until the child and all that it started have ended, at most `limit`; whether they
    /// have.
    pub async fn wait_all(&mut self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        self.wait(limit).await;
        let mut pause = Duration::from_millis(1);
        while !self.is_over() && Instant::now() < until {
            sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        self.is_over()
    }

    /// Looks whether the child has ended, without waiting.
    pub fn poll(&mut self) {
        if self.exit.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.exit = Some(exit_code(status));
        }
    }

    /// Whether nothing of it runs any more: the child has ended, its group is empty, and nobody
    /// holds its output.
    pub fn is_over(&mut self) -> bool {
        if !self.over
            && self.exit.is_some()
            && self.reader.is_finished()
            && (self.is_alone || !self.tree.group_runs())
        {
            self.over = true;
            self.forget();
        }
        self.over
    }

    /// Ends it: asks, waits at most `grace`, then insists. Returns its exit code.
    pub async fn end(&mut self, grace: Duration) -> Option<i32> {
        if !self.is_over() {
            self.tree.terminate();
            if !self.wait_all(grace).await {
                self.tree.kill();
                self.wait_all(Duration::from_secs(1)).await;
            }
        }
        self.exit
    }

    /// Its process id, which is also its group's.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The exit code, once a wait has seen it.
    pub fn exit(&self) -> Option<i32> {
        self.exit
    }

    /// How long ago it was started.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// What it has printed so far.
    pub fn output(&self) -> MutexGuard<'_, Capture> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.forget_group(self.pid);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.reader.abort();
        if !self.is_over() {
            self.tree.kill();
            self.forget();
        }
    }
}

/// The exit code that a child tells; never, if it tells none.
async fn told(word: Option<&mut Receiver>) -> i32 {
    let mut code = [0; 4];
    if let Some(word) = word
        && word.read_exact(&mut code).await.is_ok()
    {
        return i32::from_ne_bytes(code);
    }
    std::future::pending().await
}

async fn collect(mut output: Receiver, capture: Arc<Mutex<Capture>>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match output.read(&mut buffer).await {
            Ok(0) => return,
            Ok(count) => {
                let mut capture = capture.lock().unwrap_or_else(PoisonError::into_inner);
                capture.push(&buffer[..count]);
            }
            Err(error) => {
                tracing::warn!(%error, "the output of a child cannot be read");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> (Running, tempfile::TempDir) {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = tempfile::tempdir().unwrap();
        let mark = format!("test-{}-{number}.1", std::process::id());
        let watch = Watch { log: folder.path().join("1.log"), mark, guard: None };
        (Cmd::new("bash").args(["-c", script]).start(watch).unwrap(), folder)
    }

    fn text(running: &Running) -> String {
        String::from_utf8(running.output().since(0).head).unwrap()
    }

    /// Waits until the process that `file` names is gone or a zombie; false after a second.
    async fn is_gone(file: &std::path::Path) -> bool {
        let pid = fs_err::read_to_string(file).unwrap();
        for _ in 0..100 {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            if stat.map_or(true, |stat| stat.contains(") Z ")) {
                return true;
            }
            sleep(Duration::from_millis(10)).await;
        }
        false
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn outputs_are_merged_in_order_and_the_exit_code_is_a_shells() {
        let (mut running, _folder) = start("echo a; echo b >&2; echo c; exit 3");
        assert_eq!(running.wait(10 * SECOND).await, Some(3));
        assert_eq!(text(&running), "a\nb\nc\n");
        assert!(running.wait_all(SECOND).await);
        let (mut running, _folder) = start("kill -9 $$");
        assert_eq!(running.wait(10 * SECOND).await, Some(137));
    }

    #[tokio::test]
    async fn who_tells_its_end_is_not_waited_for() {
        let tells = "exec >/dev/null 2>&1; printf '\\003\\000\\000\\000' >&0; exec sleep 60";
        for (script, exit) in [(tells, 3), ("exit 4", 4), ("printf x >&0; exit 5", 5)] {
            let folder = tempfile::tempdir().unwrap();
            let mark = format!("test-{}-told.1", std::process::id());
            let log = folder.path().join("1.log");
            let watch = Watch { log, mark: mark.clone(), guard: None };
            let cmd = Cmd::new("bash").args(["-c", script]).tells_end();
            let mut running = cmd.start(watch).unwrap();
            assert_eq!(running.wait(30 * SECOND).await, Some(exit));
            assert!(running.wait_all(10 * SECOND).await);
            assert_eq!(text(&running), "");
            // It has told its end and lies: nobody else ends it.
            super::super::tree::signal_marked(&mark, rustix::process::Signal::KILL);
        }
    }

    #[tokio::test]
    async fn standard_input_is_empty() {
        let (mut running, _folder) = start("read line || echo eof; cat; echo end");
        assert_eq!(running.wait(5 * SECOND).await, Some(0));
        assert_eq!(text(&running), "eof\nend\n");
    }

    #[tokio::test]
    async fn a_grandchild_that_holds_the_pipe_delays_nobody() {
        let (mut running, _folder) = start("sleep 30 & echo done");
        let before = Instant::now();
        assert_eq!(running.wait(10 * SECOND).await, Some(0));
        assert!(before.elapsed() < SECOND, "{:?}", before.elapsed());
        assert_eq!(text(&running), "done\n");
        assert!(!running.is_over());
    }

    #[tokio::test]
    async fn a_limit_is_kept_and_the_child_goes_on() {
        let (mut running, _folder) = start("sleep 0.3; echo late");
        let before = Instant::now();
        assert_eq!(running.wait(Duration::from_millis(50)).await, None);
        assert!(before.elapsed() < Duration::from_millis(250));
        assert_eq!(running.wait(5 * SECOND).await, Some(0));
        assert_eq!(text(&running), "late\n");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_end_reaches_those_that_left_the_group_or_ignore_the_request() {
        let folder = tempfile::tempdir().unwrap();
        let stray = folder.path().join("stray");
        let deaf = folder.path().join("deaf");
        let (mut running, _folder) = start(&format!(
            "setsid bash -c 'trap \"\" TERM; echo $$ >{stray}; sleep 60' & \
             bash -c 'trap \"\" TERM; echo $$ >{deaf}; while :; do sleep 60; done' & \
             while ! [ -s {stray} ] || ! [ -s {deaf} ]; do sleep 0.01; done; echo ready; sleep 60",
            stray = stray.display(),
            deaf = deaf.display(),
        ));
        while !text(&running).contains("ready") {
            sleep(Duration::from_millis(5)).await;
        }
        let before = Instant::now();
        assert_eq!(running.end(Duration::from_millis(100)).await, Some(143));
        assert!(before.elapsed() < SECOND);
        assert!(is_gone(&stray).await);
        assert!(is_gone(&deaf).await);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn dropping_it_ends_the_whole_tree() {
        let folder = tempfile::tempdir().unwrap();
        let (child, stray) = (folder.path().join("child"), folder.path().join("stray"));
        let (running, _folder) = start(&format!(
            "setsid sleep 60 & echo $! >{}; echo $$ >{}; echo ready; sleep 60",
            stray.display(),
            child.display()
        ));
        while !text(&running).contains("ready") {
            sleep(Duration::from_millis(5)).await;
        }
        drop(running);
        assert!(is_gone(&child).await);
        assert!(is_gone(&stray).await);
    }

    #[tokio::test]
    async fn a_hundred_megabytes_pass_with_little_memory() {
        let (mut running, folder) = start("head -c 100000000 /dev/zero | tr '\\0' 'x'");
        let before = Instant::now();
        assert_eq!(running.wait(60 * SECOND).await, Some(0));
        println!("100 MB in {:?}", before.elapsed());
        let snapshot = running.output().since(0);
        assert_eq!(running.output().total(), 100_000_000);
        assert!(snapshot.head.len() + snapshot.tail.len() < 512 << 10);
        assert_eq!(fs_err::metadata(folder.path().join("1.log")).unwrap().len(), 100_000_000);
    }
}
