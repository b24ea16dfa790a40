//! The tool `bash`: one command in a fresh shell, and the jobs that outlive their call.
//!
//! Invariant: every process started here is known until it has ended, and none outlives the
//! [`Shell`]; a call returns at its limit, with the command going on as a job.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use fs_err as fs;

use super::Done;
use super::arguments::{Arguments, Key, Kind, Shape};
use super::output::{self, CAP, CAP_FAILING, Cap};
use super::path::Reach;
use crate::file::Changed;
use crate::process::guard::Guard;
use crate::process::{Cmd, Running, Watch, tree};
use crate::sandbox::proxy::Proxy;
use crate::sandbox::{Level, Sandbox};

pub(super) static SHAPE: Shape = Shape {
    name: "bash",
    about: "Run a command in a fresh bash at the worktree root; no stdin, no terminal. At its time \
            limit it goes on as a job. Poll a job with job, wait_s and an empty command; the \
            command stop ends it. Long output is cut and says where the whole is.",
    keys: &[
        Key {
            name: "command",
            kind: Kind::Text,
            required: true,
            about: "",
            aliases: &["cmd", "script", "bash_command", "shell_command"],
        },
        Key {
            name: "cwd",
            kind: Kind::Text,
            required: false,
            about: "folder in the worktree",
            aliases: &["workdir", "working_directory", "working_dir", "dir", "directory"],
        },
        Key {
            name: "timeout_s",
            kind: Kind::Whole,
            required: false,
            about: "default 120, at most 600",
            aliases: &["timeout", "timeout_seconds", "timeout_ms", "time_limit"],
        },
        Key {
            name: "background",
            kind: Kind::Flag,
            required: false,
            about: "start as a job at once",
            aliases: &["run_in_background", "is_background"],
        },
        Key {
            name: "job",
            kind: Kind::Text,
            required: false,
            about: "",
            aliases: &["job_id", "bash_id", "session_id"],
        },
        Key {
            name: "wait_s",
            kind: Kind::Whole,
            required: false,
            about: "",
            aliases: &["wait", "wait_seconds"],
        },
    ],
};

/// Jobs that may run at once.
const JOBS: usize = 8;
const LIMIT_S: u64 = 120;
const LIMIT_MAX_S: u64 = 600;
/// A number above this was meant as milliseconds, as other tools count.
const SURELY_MILLIS: u64 = 3600;
/// How long a job in the background is watched for an early death.
const EARLY: Duration = Duration::from_millis(150);
/// What a process gets to end by itself once asked to.
const GRACE: Duration = Duration::from_secs(2);
/// A longer command does not fit into one argument (Linux: 128 KiB) and goes through a file.
const ARGUMENT: usize = 100 << 10;

/// Starts commands and keeps the jobs.
#[derive(Debug)]
pub(super) struct Shell {
    sandbox: Sandbox,
    out_dir: PathBuf,
    mark: String,
    guard_program: Option<Cmd>,
    guard: OnceLock<Option<Guard>>,
    next: AtomicU64,
    jobs: Mutex<BTreeMap<u64, Arc<tokio::sync::Mutex<Job>>>>,
}

#[derive(Debug)]
struct Job {
    running: Running,
    title: String,
    /// How much of its output the model has been told.
    told: u64,
}

/// A command that has run for the program itself: a verify, a set-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; 128 + n for signal n, 124 where it hit its limit.
    pub exit: i32,
    /// How long it ran, in milliseconds.
    pub millis: u64,
    /// What it printed, capped.
    pub output: String,
}

impl Shell {
    /// The way out into the network, where there is one.
    pub(super) fn proxy(&self) -> Option<&Proxy> {
        self.sandbox.proxy()
    }

    /// Whether commands can still be run.
    pub(super) fn check(&self) -> Result<(), String> {
        self.sandbox.check()
    }

    pub(super) fn new(
        sandbox: Sandbox,
        out_dir: PathBuf,
        mark: String,
        guard_program: Option<Cmd>,
    ) -> io::Result<Self> {
        // A resumed session goes on counting where it was: no older output is overwritten.
        let mut last = 0;
        for entry in fs::read_dir(&out_dir)? {
            let name = entry?.file_name();
            let number = Path::new(&name).file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            last = last.max(number.unwrap_or(0));
        }
        Ok(Self {
            sandbox,
            out_dir,
            mark,
            guard_program,
            guard: OnceLock::new(),
            next: AtomicU64::new(last + 1),
            jobs: Mutex::default(),
        })
    }

    /// One call of the tool.
    pub(super) async fn call(&self, arguments: &Arguments, reach: &Reach) -> Result<Done, String> {
        let command = command_text(arguments)?;
        let job = arguments.text("job")?;
        if !job.trim().is_empty() {
            let wait =
                Duration::from_secs(arguments.whole("wait_s")?.unwrap_or(0).min(LIMIT_MAX_S));
            return self.poll(job.trim(), &command, wait).await;
        }
        if command.trim().is_empty() {
            return Err("the command is empty.".to_owned());
        }
        let cwd = arguments.text("cwd")?;
        let cwd = if cwd.is_empty() { None } else { Some(reach.folder(&cwd)?) };
        let limit = match arguments.whole("timeout_s")?.unwrap_or(LIMIT_S) {
            0 => LIMIT_S,
            millis if millis > SURELY_MILLIS => millis.div_ceil(1000),
            seconds => seconds,
        };
        let limit = Duration::from_secs(limit.min(LIMIT_MAX_S));
        let background = arguments.flag("background")?;
        if background && self.live_jobs().len() >= JOBS {
            return Err(format!("{JOBS} jobs run already: {}.", self.job_list()));
        }
        let (number, mut running) = self.start(&command, cwd.as_deref())?;
        running.wait(if background { EARLY } else { limit }).await;
        self.report(number, Job { running, title: output::line(&command, 80), told: 0 }).await
    }

    /// Runs a command to its end, at most for `limit`, and ends all that it leaves.
    pub(super) async fn run(
        &self,
        command: &str,
        limit: Duration,
        cap: Cap,
    ) -> Result<Ran, String> {
        let (number, mut running) = self.start(command, None)?;
        let exit = running.wait(limit).await.unwrap_or(124);
        let millis = u64::try_from(running.age().as_millis()).unwrap_or(u64::MAX);
        running.end(GRACE).await;
        let (output, _) = self.shown(number, &running, 0, cap);
        Ok(Ran { exit, millis, output })
    }

    pub(super) fn has_jobs(&self) -> bool {
        !self.live_jobs().is_empty()
    }

    /// Ends all jobs, and whatever else was started and has slipped away: asks, waits at most two
    /// seconds, insists.
    pub(super) async fn end_jobs(&self) {
        let jobs = std::mem::take(&mut *self.jobs());
        let ends = jobs.into_values().map(|job| async move {
            job.lock().await.running.end(GRACE).await;
        });
        futures_util::future::join_all(ends).await;
        self.end_strays();
    }

    fn end_strays(&self) {
        // Whether a guard runs was decided when the first program was started.
        if self.guard.get().is_some() {
            tree::signal_marked(&self.mark, rustix::process::Signal::KILL);
        }
    }

    fn start(&self, command: &str, cwd: Option<&Path>) -> Result<(u64, Running), String> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut cmd = self.sandbox.shell();
        cmd = if command.len() < ARGUMENT {
            cmd.arg("-c").arg(command)
        } else {
            cmd.arg(self.script(command).map_err(|error| format!("{error}."))?)
        };
        if let Some(cwd) = cwd {
            cmd = cmd.dir(cwd);
        }
        let watch = Watch {
            log: self.log(number),
            mark: format!("{}.{number}", self.mark),
            guard: self.guard.get_or_init(|| self.start_guard()).clone(),
        };
        let running = cmd.start(watch).map_err(|error| {
            let why = std::error::Error::source(&error).map(ToString::to_string);
            format!("the shell could not be started: {}.", why.unwrap_or_default())
        })?;
        Ok((number, running))
    }

    /// A command as a file; gives what commands call it.
    fn script(&self, command: &str) -> io::Result<PathBuf> {
        let name = format!("command-{:016x}.sh", super::random()?);
        // Commands write there too: a link that one has put there is not written through.
        let mut file = fs::File::create_new(self.sandbox.tmp().join(&name))?;
        file.write_all(command.as_bytes())?;
        Ok(self.sandbox.inner_tmp().join(name))
    }

    fn start_guard(&self) -> Option<Guard> {
        let started = Guard::start(self.guard_program.as_ref()?, &self.mark);
        started.inspect_err(|error| tracing::warn!(%error, "tools run without a guard")).ok()
    }

    async fn poll(&self, id: &str, command: &str, wait: Duration) -> Result<Done, String> {
        let number = id.trim_start_matches("job").trim().parse().unwrap_or(0);
        let Some(job) = self.jobs().get(&number).cloned() else {
            return Err(format!("there is no job {id}; {}.", self.job_list()));
        };
        let mut job = job.lock().await;
        match command.trim() {
            "" => {
                job.running.wait_all(wait).await;
            }
            "stop" => {
                job.running.end(GRACE).await;
            }
            _ => return Err("with a job, the command is empty or stop.".to_owned()),
        }
        let Job { running, title, told } = &mut *job;
        let over = running.is_over();
        let (shown, end) = self.shown(number, running, *told, CAP);
        *told = end;
        let state = state(running, over);
        if over {
            self.jobs().remove(&number);
        }
        Ok(Done {
            output: format!("job {number} · {state}\n{}", or_nothing(shown, "(no new output)")),
            is_error: over && running.exit() != Some(0),
            title: format!("job {number} ({title}) · {state}"),
            changed: Changed::Anything,
            ..Done::default()
        })
    }

    /// The result of a command that was waited for; it becomes a job if anything of it still runs.
    async fn report(&self, number: u64, mut job: Job) -> Result<Done, String> {
        let mut over = job.running.is_over();
        let exit = job.running.exit();
        let mut note = String::new();
        if !over {
            if self.live_jobs().len() < JOBS {
                // Inside namespaces the number means nothing.
                let group = match self.sandbox.level() {
                    Level::Full => String::new(),
                    _ => format!("process group {}, ", job.running.pid()),
                };
                note = format!(
                    " · {} as job {number} ({group}output {})",
                    if exit.is_some() { "what it started still runs" } else { "goes on" },
                    self.log(number).display(),
                );
            } else {
                job.running.end(GRACE).await;
                over = true;
                note = format!(" · ended, since {JOBS} jobs run already: {}", self.job_list());
            }
        }
        let state = state(&job.running, over);
        let failed = job.running.exit().is_some_and(|exit| exit != 0);
        let cap = if failed { CAP_FAILING } else { CAP };
        let (shown, end) = self.shown(number, &job.running, 0, cap);
        let title = format!("{} · {state}", job.title);
        if !over {
            job.told = end;
            // Its log is named, so it must exist.
            if let Err(why) = job.running.output().keep() {
                note = format!("{note} (no log: {why})");
            }
            self.jobs().insert(number, Arc::new(tokio::sync::Mutex::new(job)));
        }
        Ok(Done {
            output: format!("{state}{note}\n{}", or_nothing(shown, "(no output)")),
            is_error: failed,
            title,
            changed: Changed::Anything,
            ..Done::default()
        })
    }

    /// What it printed after the first `from` bytes, and how many bytes that makes in all; the
    /// whole is in its log if it is cut.
    fn shown(&self, number: u64, running: &Running, from: u64, cap: Cap) -> (String, u64) {
        let mut captured = running.output();
        let whole = self.log(number).display().to_string();
        let snapshot = captured.since(from);
        let mut shaped = output::shape(&snapshot, cap, &whole);
        if shaped.cut
            && let Err(why) = captured.keep()
        {
            shaped.text.push_str(&format!("(the whole output could not be kept: {why})\n"));
        }
        (shaped.text, snapshot.end)
    }

    fn log(&self, number: u64) -> PathBuf {
        self.out_dir.join(format!("{number}.log"))
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<tokio::sync::Mutex<Job>>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The jobs that still run. One that has ended unasked stays until it is polled, but does not
    /// count; one that is being polled runs.
    fn live_jobs(&self) -> Vec<(u64, String)> {
        let jobs = self.jobs();
        let live = jobs.iter().filter_map(|(number, job)| match job.try_lock() {
            Ok(mut job) => {
                job.running.poll();
                (!job.running.is_over()).then(|| (*number, job.title.clone()))
            }
            Err(_) => Some((*number, String::new())),
        });
        live.collect()
    }

    fn job_list(&self) -> String {
        let live = self.live_jobs();
        if live.is_empty() {
            return "no job runs".to_owned();
        }
        let named: Vec<_> =
            live.iter().map(|(number, title)| format!("{number} ({title})")).collect();
        named.join(", ")
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.jobs().clear();
        self.end_strays();
    }
}

/// The command; a list of words, as other tools take it, is the text after `bash -c` or quoted.
pub(super) fn command_text(arguments: &Arguments) -> Result<String, String> {
    let text = arguments.text("command")?;
    if !arguments.is_list("command") && !text.trim_start().starts_with("[\"") {
        return Ok(text);
    }
    let words = arguments.list("command")?;
    let words: Vec<_> = words.iter().filter_map(|word| word.as_str()).collect();
    Ok(match words.as_slice() {
        ["bash" | "sh" | "/bin/bash" | "/bin/sh", "-c" | "-lc", script] => (*script).to_owned(),
        [] => text,
        words => words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
    })
}

fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./=:,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// `exit 1 · 3.2 s`
fn state(running: &Running, over: bool) -> String {
    let age = running.age();
    let age = if age < Duration::from_secs(100) {
        format!("{:.1} s", age.as_secs_f64())
    } else {
        format!("{} s", age.as_secs())
    };
    match running.exit() {
        Some(exit @ 129..=192) => format!("exit {exit} (signal {}) · {age}", exit - 128),
        Some(exit) => format!("exit {exit} · {age}"),
        None if over => format!("ended · {age}"),
        None => format!("still running · {age}"),
    }
}

fn or_nothing(text: String, nothing: &str) -> String {
    if text.is_empty() { format!("{nothing}\n") } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use std::time::Instant;

    use super::super::tests::{call, fixture, fixture_with};
    use super::*;

    /// The output without its first line, which holds the time.
    fn body(output: &str) -> &str {
        output.split_once('\n').unwrap().1
    }

    #[tokio::test]
    async fn a_result_is_exit_code_time_and_output() {
        let fixture = fixture();
        let called = fixture.call("bash", json!({"command": "echo a; echo b >&2; exit 3"})).await;
        assert!(called.is_error && called.output.starts_with("exit 3 · 0."), "{}", called.output);
        assert_eq!(body(&called.output), "a\nb\n");
        assert_eq!(called.changed, Changed::Anything);
        assert!(called.title.starts_with("echo a; echo b >&2; exit 3 · exit 3 · 0."));
        let output = fixture.good("bash", json!({"cmd": ["bash", "-lc", "true"]})).await;
        assert_eq!(body(&output), "(no output)\n");
        let output =
            fixture.good("bash", json!({"command": ["printf", "%s|", "a b", "c'd"]})).await;
        assert_eq!(body(&output), "a b|c'd|\n");
        let output = fixture.bad("bash", json!({"command": "kill -9 $$"})).await;
        assert!(output.starts_with("exit 137 (signal 9) · "), "{output}");
    }

    #[tokio::test]
    async fn a_command_begins_at_the_root_or_where_it_is_told() {
        let fixture = fixture();
        let root = fs::canonicalize(fixture.path("")).unwrap();
        let output = fixture.good("bash", json!({"command": "cd src; pwd -P"})).await;
        assert_eq!(body(&output), format!("{}/src\n", root.display()));
        let output = fixture.good("bash", json!({"command": "pwd -P"})).await;
        assert_eq!(body(&output), format!("{}\n", root.display()));
        let output = fixture.good("bash", json!({"command": "pwd -P", "cwd": "src"})).await;
        assert_eq!(body(&output), format!("{}/src\n", root.display()));
        let output = fixture.bad("bash", json!({"command": "pwd", "cwd": "../.."})).await;
        assert_eq!(output, "../.. leads out of the worktree.\n");
    }

    #[tokio::test]
    async fn the_environment_is_the_tools_own() {
        let fixture = fixture_with(&[
            ("ANTHROPIC_API_KEY", "secret-1"),
            ("GITHUB_TOKEN", "secret-2"),
            ("SSH_AUTH_SOCK", "/run/secret-3"),
            ("GIT_DIR", "/secret-4"),
            ("BASH_ENV", "/secret-5"),
            ("LC_ALL", "C"),
        ]);
        let env = fixture.good("bash", json!({"command": "env; cat /proc/self/environ; :"})).await;
        assert!(!env.contains("secret-"), "{env}");
        for expected in ["CI=1\n", "TERM=dumb\n", "LC_ALL=C\n", "GIT_TERMINAL_PROMPT=0\n"] {
            assert!(env.contains(expected), "{expected} in {env}");
        }
        let command = json!({"command": "f=$(mktemp) && echo kept >$f && cat $f && echo $f"});
        let output = fixture.good("bash", command).await;
        let file = body(&output).strip_prefix("kept\n").unwrap().trim();
        assert!(file.starts_with(fixture.folder.path().to_str().unwrap()), "{file}");
        let read = fixture.good("read", json!({"path": file})).await;
        assert!(read.ends_with("1\tkept\n"), "{read}");
        drop(fixture.tools);
        assert!(!Path::new(file).exists());
    }

    #[tokio::test]
    async fn a_prompt_fails_at_once() {
        let fixture = fixture();
        let before = Instant::now();
        let output = fixture
            .bad("bash", json!({"command": "git ls-remote http://127.0.0.1:1/x; read -r line"}))
            .await;
        assert!(before.elapsed() < Duration::from_secs(10), "{output}");
    }

    #[tokio::test]
    async fn at_its_limit_a_command_goes_on_as_a_job() {
        let fixture = fixture();
        let command = "echo begun; while ! [ -e go ]; do sleep 0.02; done; echo ended; exit 4";
        let before = Instant::now();
        let called = fixture.call("bash", json!({"command": command, "timeout_s": 1})).await;
        assert!(before.elapsed() < Duration::from_secs(3));
        assert!(!called.is_error);
        assert!(called.output.starts_with("still running · 1."), "{}", called.output);
        assert!(called.output.contains(" · goes on as job 1 (process group "));
        assert_eq!(body(&called.output), "begun\n");
        let log = fixture.folder.path().join("out/1.log");
        let read = fixture.good("read", json!({"path": log})).await;
        assert!(read.ends_with("1\tbegun\n"), "{read}");
        let poll = fixture.good("bash", json!({"command": "", "job": 1})).await;
        assert!(poll.starts_with("job 1 · still running · "), "{poll}");
        assert_eq!(body(&poll), "(no new output)\n");
        fixture.put("go", "");
        let poll = fixture.bad("bash", json!({"command": "", "job": "1", "wait_s": 10})).await;
        assert!(poll.starts_with("job 1 · exit 4 · "), "{poll}");
        assert_eq!(body(&poll), "ended\n");
        let gone = fixture.bad("bash", json!({"command": "", "job": "1"})).await;
        assert_eq!(gone, "there is no job 1; no job runs.\n");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_a_command_leaves_running_is_a_job_and_ends_with_the_tools() {
        let fixture = fixture();
        let command = "sleep 61 & echo $!; setsid sleep 62 >/dev/null 2>&1 & echo $!";
        let output = fixture.good("bash", json!({"command": command})).await;
        assert!(output.contains(" · what it started still runs as job 1 ("), "{output}");
        let pids: Vec<_> = body(&output).lines().map(str::to_owned).collect();
        assert_eq!(pids.len(), 2);
        let stop = fixture.call("bash", json!({"command": "stop", "job": "1"})).await;
        assert!(stop.output.starts_with("job 1 · exit 0 · "), "{}", stop.output);
        let output = fixture.good("bash", json!({"command": "sleep 63", "background": true})).await;
        assert!(output.contains("goes on as job 2"), "{output}");
        fixture.good("bash", json!({"command": "setsid -f sleep 64 >/dev/null 2>&1"})).await;
        let ours = || {
            let of_tree = fs::read_dir("/proc").unwrap().filter_map(|entry| {
                let environ = std::fs::read(entry.ok()?.path().join("environ")).ok()?;
                let root = fixture.folder.path().to_str()?.as_bytes();
                environ.windows(root.len()).any(|part| part == root).then_some(())
            });
            of_tree.count()
        };
        assert!(ours() >= 2);
        fixture.tools.end_jobs().await;
        for _ in 0..100 {
            if ours() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} processes are left", ours());
    }

    #[tokio::test]
    async fn the_jobs_are_limited() {
        let fixture = fixture();
        for _ in 0..8 {
            fixture.good("bash", json!({"command": "sleep 60", "background": true})).await;
        }
        let refused = fixture.bad("bash", json!({"command": "sleep 60", "background": true})).await;
        assert!(refused.starts_with("8 jobs run already: 1 (sleep 60), 2 "), "{refused}");
        let ended = fixture.bad("bash", json!({"command": "sleep 60", "timeout_s": 1})).await;
        assert!(ended.starts_with("exit 143 (signal 15) · 1."), "{ended}");
        assert!(ended.contains("ended, since 8 jobs run already"), "{ended}");
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_ends_its_command() {
        let fixture = fixture();
        let arguments = json!({"command": "sleep 0.4; touch late"}).to_string();
        let call = call("bash", &arguments);
        let called = tokio::time::timeout(Duration::from_millis(100), fixture.tools.call(&call));
        assert!(called.await.is_err());
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert!(!fixture.path("late").exists());
    }

    #[tokio::test]
    async fn a_long_output_is_cut_and_kept_whole() {
        let fixture = fixture();
        let output = fixture.good("bash", json!({"command": "seq 1 100000"})).await;
        let log = fixture.folder.path().join("out/1.log");
        assert!(output.len() < 13 << 10);
        let told = format!("left out, all in {} …", fs::canonicalize(&log).unwrap().display());
        assert!(output.contains(&told), "{output}");
        assert!(output.contains("\n1\n2\n") && output.ends_with("\n99999\n100000\n"));
        let expected: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
        assert_eq!(fs::read_to_string(&log).unwrap(), expected);
        let found = fixture.good("search", json!({"pattern": "^77777$", "path": log})).await;
        assert!(found.ends_with("1.log:77777: 77777\n"), "{found}");
    }

    #[tokio::test]
    async fn a_command_longer_than_an_argument_runs() {
        let fixture = fixture();
        let command = format!("cat <<'END' | wc -c\n{}\nEND", "x".repeat(300_000));
        let output = fixture.good("bash", json!({"command": command})).await;
        assert_eq!(body(&output).trim(), "300001");
    }

    #[tokio::test]
    async fn a_verify_runs_to_its_end_or_its_limit() {
        let fixture = fixture();
        let ran = fixture.tools.run("echo red; exit 2", Duration::from_secs(9), CAP).await.unwrap();
        assert_eq!((ran.exit, ran.output.as_str()), (2, "red\n"));
        let before = Instant::now();
        let ran = fixture.tools.run("sleep 60", Duration::from_millis(50), CAP).await.unwrap();
        assert_eq!(ran.exit, 124);
        assert!(before.elapsed() < Duration::from_secs(2));
    }
}
