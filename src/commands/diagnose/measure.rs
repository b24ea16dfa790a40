//! The sections of numbers: time and space.
//!
//! Invariant: each number was measured; what cannot be measured here is `?`.

use std::io;
use std::path::Path;

use fs_err as fs;

use super::report::section;
use crate::commands::context::Context;
use crate::error::Result;
use crate::event::Update;
use crate::session::journal::Reader;
use crate::session::store::Session;
use crate::ui::units;

/// Steps that are shown: the slowest.
const STEPS: usize = 20;

/// Where the time of one step went, in milliseconds.
#[derive(Clone, Copy, Default)]
struct Step {
    number: u32,
    model: u64,
    tools: u64,
    verify: u64,
    calls: u64,
}

impl Step {
    fn all(&self) -> u64 {
        self.model + self.tools + self.verify
    }
}

/// How long the steps took, the slowest first.
pub(super) fn performance(session: &Session) -> Result<String> {
    let mut steps: Vec<Step> = Vec::new();
    let mut before = None;
    for event in Reader::open(&session.journal_path(), 0)?.events() {
        let event = event?;
        let since = |then: jiff::Timestamp| event.time.as_millisecond() - then.as_millisecond();
        if let Update::AgentMessage(_) = &event.update {
            let model = before.map_or(0, |then| u64::try_from(since(then)).unwrap_or(0));
            let number = steps.len() as u32 + 1;
            steps.push(Step { number, model, ..Step::default() });
        }
        if let Some(step) = steps.last_mut() {
            match &event.update {
                Update::ToolCallUpdate(end) => {
                    step.tools += end.millis;
                    step.calls += 1;
                }
                Update::Verify(record) => step.verify += record.millis,
                _ => {}
            }
        }
        before = Some(event.time);
    }
    let sum = |of: fn(&Step) -> u64| units::duration(steps.iter().map(of).sum());
    let mut text = format!(
        "{}: model {}, tools {}, verify {}\n\n| step | model | tools | calls | verify |\n|---|---|---|---|---|\n",
        units::counted(steps.len() as u64, "step"),
        sum(|it| it.model),
        sum(|it| it.tools),
        sum(|it| it.verify),
    );
    steps.sort_by_key(|step| std::cmp::Reverse(step.all()));
    for step in steps.iter().take(STEPS) {
        let Step { number, calls, .. } = step;
        let [model, tools, verify] = [step.model, step.tools, step.verify].map(units::duration);
        text += &format!("| {number} | {model} | {tools} | {calls} | {verify} |\n");
    }
    Ok(section("Performance", &text))
}

/// Sizes, memory and free space.
pub(super) fn resources(context: &Context<'_>, session: &Session) -> Result<String> {
    let size = |path: &Path| size(path).map_or_else(|_| "?".to_owned(), units::bytes);
    let pid = session.holder()?.filter(|holder| holder.listens).and_then(|holder| holder.pid);
    let memory = match pid {
        Some(pid) => status_line(&format!("/proc/{pid}/status"), "VmRSS:"),
        None => "not running".to_owned(),
    };
    let objects = context.repo.git().args(["count-objects", "-v", "-H"]).run()?;
    let objects = String::from_utf8_lossy(&objects.stdout).trim().replace('\n', ", ");
    let lines = [
        format!("session's folder: {}", size(&session.dir)),
        format!("its journal: {}", size(&session.journal_path())),
        format!("its worktree: {}", size(&session.spec.worktree)),
        format!("its supervisor's memory: {memory}"),
        format!("memory to be had: {}", status_line("/proc/meminfo", "MemAvailable:")),
        format!("free on the disk of the repository: {}", free(context.repo.common_dir())),
        format!("git objects: {objects}"),
    ];
    Ok(section("Resources", &lines.map(|line| format!("- {line}\n")).concat()))
}

fn status_line(file: &str, key: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    value.map_or_else(|| "?".to_owned(), |value| value.trim().to_owned())
}

fn free(folder: &Path) -> String {
    rustix::fs::statvfs(folder)
        .map_or_else(|_| "?".to_owned(), |disk| units::bytes(disk.f_bavail * disk.f_frsize))
}

/// What a folder or file takes, links not followed.
fn size(path: &Path) -> io::Result<u64> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_dir() {
        return Ok(meta.len());
    }
    let mut sum = 0;
    for entry in fs::read_dir(path)? {
        // One that goes away meanwhile takes nothing.
        sum += size(&entry?.path()).unwrap_or(0);
    }
    Ok(sum)
}
