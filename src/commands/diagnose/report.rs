//! The sections that every report has.
//!
//! Invariant: no content of a file of the repository, no output of a tool, and no word of the model.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use fs_err as fs;

use crate::commands::context::Context;
use crate::error::Result;
use crate::event::{Event, Update};
use crate::git::{Merge, Repo};
use crate::mend::{self, Ground};
use crate::plan::LandError;
use crate::plan::target::Target;
use crate::plan::work::Work;
use crate::process::Cmd;
use crate::session::journal::Reader;
use crate::session::spec::Spec;
use crate::session::store::Session;
use crate::ui::units;

/// Events that are shown.
const EVENTS: usize = 40;
/// How much of the log is shown, in bytes from its end.
const LOG: u64 = 16 << 10;

/// All of it.
pub(super) fn of(context: &Context<'_>, session: &Session) -> Result<String> {
    let mut report = format!("# Report on {}\n\n{}\n", session.id, versions());
    let spec = fs::read_to_string(session.dir.join(Spec::FILE))?;
    report += &section("What was asked", &fenced("toml", &spec));
    let state = session.state()?;
    let text = state.to_text().unwrap_or_else(|error| error.to_string());
    report += &section("Where it is", &fenced("toml", &text));
    report += &section("What happened last", &fenced("", &events(session)?));
    let log = tail(&session.log_path()).unwrap_or_else(|error| error.to_string());
    report += &section("The supervisor's log", &fenced("", &log));
    report += &section("git", &git(context, session));
    report += &section("Problems", &problems(context));
    Ok(report)
}

/// Whether the session merges with its target.
pub(super) fn conflicts(context: &Context<'_>, session: &Session) -> String {
    let text = match merge(&context.repo, session) {
        Ok((branch, Merge::Clean(_))) => format!("It merges with {branch}.\n"),
        Ok((branch, Merge::Conflicts(files))) => {
            let paths: String = files.iter().map(|file| format!("- {}\n", file.path)).collect();
            format!("It conflicts with {branch} in\n\n{paths}")
        }
        Err(error) => format!("That cannot be told: {error}\n"),
    };
    section("Conflicts", &text)
}

fn merge(repo: &Repo, session: &Session) -> std::result::Result<(String, Merge), LandError> {
    let repo = repo.in_memory();
    let target = Target::find(&repo, &session.spec, None)?;
    let work = Work::of(&repo, session, &session.state()?)?;
    Ok((target.name().to_owned(), repo.merge_commits(target.tip, work.commit)?))
}

/// One section.
pub(super) fn section(title: &str, text: &str) -> String {
    format!("\n## {title}\n\n{}\n", text.trim_end())
}

fn fenced(language: &str, text: &str) -> String {
    // A fence that is longer than any in the text.
    let longest = text.lines().map(|line| line.bytes().take_while(|it| *it == b'`').count());
    let fence = "`".repeat(longest.max().unwrap_or(0).max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}\n", text.trim_end())
}

fn versions() -> String {
    let git = Cmd::new("git").arg("--version").run();
    let git = git.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned());
    let git = git.unwrap_or_else(|error| error.to_string());
    let (version, os) = (env!("CARGO_PKG_VERSION"), std::env::consts::OS);
    format!("git-agent {version} · {git} · {os} {}", std::env::consts::ARCH)
}

/// The last events, a line each.
fn events(session: &Session) -> Result<String> {
    let mut lines = std::collections::VecDeque::new();
    let mut count = 0;
    for event in Reader::open(&session.journal_path(), 0)?.events() {
        count += 1;
        if lines.len() == EVENTS {
            lines.pop_front();
        }
        lines.push_back(line(&event?));
    }
    let shown = lines.len();
    let lines: Vec<_> = lines.into();
    Ok(format!("{}\n({shown} of {count} events)", lines.join("\n")))
}

fn line(event: &Event) -> String {
    let told = match &event.update {
        Update::UserMessage(it) => format!("message from {:?}, {} bytes", it.from, it.text.len()),
        Update::AgentMessage(it) => {
            let calls: Vec<_> = it.calls.iter().map(|call| call.name.as_str()).collect();
            format!("answer, {:?}: {} bytes, calls [{}]", it.stop, it.text.len(), calls.join(", "))
        }
        Update::ToolCall(it) => format!("{} begins", it.name),
        Update::ToolCallUpdate(it) => {
            let error = if it.result.is_error { ", an error" } else { "" };
            let (size, took) = (it.result.output.len(), units::duration(it.millis));
            format!("{} · {size} bytes in {took}{error}", it.title)
        }
        Update::Plan(items) => format!("plan of {}", units::counted(items.len() as u64, "item")),
        Update::Checkpoint(it) => {
            let commit = it.commit.as_deref().and_then(|hex| hex.get(..12)).unwrap_or("held back");
            let files = units::counted(it.paths.len() as u64, "file");
            let whose = if it.by_person.is_some() { " by a person" } else { "" };
            format!("commit {commit}{whose}: {files} +{} -{}", it.insertions, it.deletions)
        }
        Update::Verify(it) => {
            format!("verify: {} · exit {} in {}", it.command, it.exit, units::duration(it.millis))
        }
        Update::State(it) => format!("{} → {} {}", it.from, it.to, it.reason),
        Update::Waiting(it) => format!("waiting, try {}: {}", it.attempt, it.reason),
        Update::Notice(text) => format!("notice: {text}"),
        other => name(other),
    };
    let told = told.lines().next().unwrap_or_default().to_owned();
    format!("{} step {} {}", event.time.strftime("%F %T"), event.step, told.trim_end())
}

/// The name of an update, as the journal has it.
fn name(update: &Update) -> String {
    let value = serde_json::to_value(update).ok();
    let name = value.as_ref().and_then(|value| value.as_object()?.keys().next().cloned());
    name.unwrap_or_else(|| "unknown to this version".to_owned())
}

/// The end of a log.
fn tail(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(LOG);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = if from > 0 { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
    Ok(if whole.is_empty() { "(empty)".to_owned() } else { whole.to_owned() })
}

/// What git says of it, as a list.
fn git(context: &Context<'_>, session: &Session) -> String {
    let repo = &context.repo;
    let shown =
        |id: std::result::Result<Option<crate::git::ObjectId>, crate::git::RefError>| match id {
            Ok(Some(id)) => id.to_string(),
            Ok(None) => "none".to_owned(),
            Err(error) => error.to_string(),
        };
    let shape = [
        (repo.main_work_dir().is_none(), "bare"),
        (repo.is_reftable(), "reftable"),
        (repo.is_shallow(), "shallow"),
        (repo.is_sparse(), "sparse"),
    ];
    let shape: Vec<_> = shape.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
    let worktrees = repo.worktrees().map_or(0, |worktrees| worktrees.len());
    let standing = mend::standing::standing(repo, session);
    let standing = standing.map_or_else(|it| it.to_string(), |it| format!("{it:?}"));
    let lines = [
        format!(
            "repository: {}",
            if shape.is_empty() { "plain".to_owned() } else { shape.join(", ") }
        ),
        format!("worktrees: {worktrees}; the session's: {standing}"),
        format!("base: {}", session.spec.base.commit),
        format!("branch: {}", shown(repo.ref_id(&session.spec.branch))),
        format!("record: {}", shown(repo.ref_id(&session.ref_name()))),
    ];
    lines.map(|line| format!("- {line}\n")).concat()
}

fn problems(context: &Context<'_>) -> String {
    let ground = Ground { repo: &context.repo, store: &context.store, system: Path::new("/") };
    match mend::look(&ground) {
        Ok(found) if found.is_empty() => "None.\n".to_owned(),
        Ok(found) => found.iter().map(|it| format!("- {}: {}\n", it.kind, it.what)).collect(),
        Err(error) => format!("- {error}\n"),
    }
}
