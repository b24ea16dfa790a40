//! The verbs, through the built program: what each prints, its exit code, and what it leaves.
//!
//! | file | what |
//! |---|---|
//! | `start.rs` | whatever keeps a session from being started, and that nothing is left of it |
//! | `bad_session.rs` | sessions that are not there, cannot be read, or will not do what is asked |
//! | `typed.rs` | options and values that make no sense |
//! | `policy.rs` | the policy of a machine, and consent to a team's file |
//! | `rules.rs` | rules and patterns that make no sense |
//! | `server.rs` | model servers that are not there, or refuse |
//! | `disk.rs` | a disk that is full, for real |
//! | `blame.rs` | `blame`, `stats` |
//! | `look.rs` | `list`, `status`, `log`, `diff` |
//! | `terminal.rs` | the same on a terminal, and Ctrl-C in a view |
//! | `steer.rs` | `say`, `pause`, `resume`, `stop` |
//! | `decide.rs` | `answer`, `approve`, `deny`, and what limits take |
//! | `notices.rs` | `agent.notify` and its channels, and `doctor --notify` |
//! | `time.rs` | `rewind`, `fork`, `remove`, `restore` |
//! | `hooks.rs` | `hooks`, and the hooks themselves but for `pre-push` |
//! | `machine.rs` | `doctor`, `setup`, `demo`, help |
//!
//! Invariant: outputs are compared whole, standard error included.

mod bad_session;
mod blame;
mod decide;
mod diagnose;
pub(crate) mod disk;
mod hooks;
mod look;
mod machine;
mod notices;
mod policy;
mod rules;
mod server;
mod start;
mod steer;
mod terminal;
mod time;
mod typed;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::cmd::{Cmd, Out};
use crate::support::repo::Repo;

/// How long a session of a few steps may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A session whose model is a transcript with these answers; returns what `--model` takes. An
/// answer is a call (`[name, arguments]`) or words (`"Done."`).
pub(crate) fn transcript(repo: &Repo, name: &str, answers: &[Value]) -> String {
    let line = |(at, answer): (usize, &Value)| {
        let calls = match answer.as_array() {
            Some(call) => {
                json!([{"id": format!("c{at}"), "name": call[0], "arguments": call[1].to_string()}])
            }
            None => json!([]),
        };
        let stop = if answer.is_array() { "tool_use" } else { "end_turn" };
        let answer = json!({
            "text": answer.as_str().unwrap_or_default(), "thought": "", "calls": calls, "stop": stop,
            "usage": {"input": 100, "cached": 50, "output": 10}
        });
        let time = "2026-01-02T03:04:05Z";
        let update = json!({"agent_message": answer});
        json!({"format": 1, "time": time, "step": at + 1, "update": update}).to_string() + "\n"
    };
    let lines: String = answers.iter().enumerate().map(line).collect();
    let path = repo.home().root().join(name);
    fs::write(&path, lines).unwrap();
    format!("replay/{}", path.display())
}

/// A transcript that writes a file and is done.
pub(crate) fn quick(repo: &Repo) -> String {
    let write = json!(["write", {"path": "new.txt", "content": "new\n"}]);
    transcript(repo, "quick.jsonl", &[write, json!("All is done.")])
}

/// A transcript that asks a person, then is done.
fn curious(repo: &Repo) -> String {
    let ask = json!(["ask", {"question": "Which store?", "options": ["Redis", "memory"]}]);
    transcript(repo, "curious.jsonl", &[ask, json!("All is done.")])
}

/// A transcript whose first step lasts until `root/go` is there.
pub(crate) fn patient(repo: &Repo) -> String {
    let go = repo.home().root().join("go");
    let wait = format!("until test -e '{}'; do sleep 0.02; done", go.display());
    transcript(repo, "patient.jsonl", &[json!(["bash", {"command": wait}]), json!("All is done.")])
}

/// Lets [`patient`] sessions go on.
pub(crate) fn go(repo: &Repo) {
    fs::write(repo.home().root().join("go"), "").unwrap();
}

/// Runs a session to its end and returns its id.
pub(crate) fn ran(repo: &Repo, task: &str, model: &str, more: &[&str]) -> String {
    let before = repo.session_ids();
    repo.agent(&[&["start", task, "--model", model, "--wait"], more].concat());
    let mut new = repo.session_ids();
    new.retain(|id| !before.contains(id));
    new.pop().expect("it was started")
}

/// A file of a session's folder.
fn file_of(repo: &Repo, id: &str, file: &str) -> PathBuf {
    repo.common_dir().join("agent/sessions").join(id).join(file)
}

/// Every file and folder of the test with its bytes: checkouts, refs, worktrees, sessions. Left out
/// are objects, which nothing points to, temporary files, and the locks that every start takes.
pub(crate) fn everything(repo: &Repo) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    gather(repo.home().root(), &mut all);
    all
}

fn gather(folder: &Path, all: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_noise =
            [".git/objects", ".git/agent/create.lock", ".git/agent/worktree.lock", "tmp"];
        if is_noise.iter().any(|noise| path.ends_with(noise)) {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            // Folders that hold nothing but the lock tell nothing.
            if !path.ends_with(".git/agent") && !path.ends_with(".git/agent/sessions") {
                all.insert(path.clone(), Vec::new());
            }
            gather(&path, all);
        } else {
            let bytes = fs::read(&path).unwrap_or_default();
            all.insert(path, bytes);
        }
    }
}

/// Asserts that a command is refused in these words, with nothing on standard output, and that
/// nothing at all has changed.
#[track_caller]
fn refused_cmd(repo: &Repo, cmd: Cmd, code: i32, stderr: &str) {
    let before = everything(repo);
    let out = cmd.run();
    let wanted = Out { stdout: String::new(), stderr: stderr.to_owned(), code };
    assert_eq!(repo.normal(&out), wanted);
    let after = everything(repo);
    let paths = |all: &BTreeMap<PathBuf, Vec<u8>>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(&after), paths(&before), "files that are there");
    for (path, bytes) in before {
        assert!(after[&path] == bytes, "{} has changed", path.display());
    }
}

/// As [`refused_cmd`], for these arguments.
#[track_caller]
fn refused(repo: &Repo, args: &[&str], code: i32, stderr: &str) {
    refused_cmd(repo, repo.cmd(args), code, stderr);
}

/// Asserts what a command that does something says.
#[track_caller]
pub(crate) fn said(repo: &Repo, args: &[&str], code: i32, stdout: &str, stderr: &str) {
    let out = repo.agent(args);
    let wanted = Out { stdout: stdout.to_owned(), stderr: stderr.to_owned(), code };
    assert_eq!(repo.normal(&out), wanted);
}
