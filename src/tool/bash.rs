//! The tool `bash`: one command in a fresh shell, and the jobs that outlive their call.
//!
//! Invariant: every process started here is known until it has ended, and none outlives the
//! [`Shell`]; a call returns at its limit, with the command going on as a job.

use std::collections::BTreeMap;
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
use crate::sandbox::Sandbox;

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
    pub(super) fn new(
        sandbox: Sandbox,
        out_dir: PathBuf,
        mark: String,
        guard_program: Option<Cmd>,
    ) -> std::io::Result<Self> {
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
        // The guard was needed as soon as anything was started.
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
            let script = self.sandbox.tmp().join(format!("{number}.sh"));
            fs::write(&script, command).map_err(|error| format!("{error}."))?;
            cmd.arg(script)
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
                note = format!(
                    " · {} as job {number} (process group {}, output {})",
                    if exit.is_some() { "what it started still runs" } else { "goes on" },
                    job.running.pid(),
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
fn command_text(arguments: &Arguments) -> Result<String, String> {
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
