//! Who wrote what, told to other tools: Agent Trace on standard output, git-ai's notes in their ref.
//!
//! Invariant: only commits that come from a session are told of; what git-ai has noted is added to,
//! never written over.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use crate::commands::context::Context;
use crate::credit::gitai::{self, Log, Prompt};
use crate::credit::{Added, Agent, Credit, Origin, trace};
use crate::error::{CommandError, Kind, Result};
use crate::git::{CommitInfo, ObjectId};
use crate::ui::units;

/// What other tools read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A record of each commit as JSON, one a line (agent-trace.dev)
    AgentTrace,
    /// A note on each commit under refs/notes/ai (usegitai.com)
    GitAi,
}

/// Tells of the commits of a range, or of one; of HEAD where none is given.
pub(super) fn run(context: &Context<'_>, format: Format, range: Option<&str>) -> Result {
    let mut credit = Credit::open(&context.repo, &context.store)?;
    let (mut records, mut notes) = (String::new(), Vec::new());
    for commit in commits(context, range.unwrap_or("HEAD"))? {
        if credit.sessions(commit)?.is_empty() {
            continue;
        }
        let info = context.repo.read_commit(commit)?;
        let added = credit.added(commit)?;
        match format {
            Format::AgentTrace => {
                records.push_str(&record(context, commit, &info, &added)?);
                records.push('\n');
            }
            Format::GitAi => {
                let before = credit.log(commit)?;
                let log = log(commit, &info, &added, before.clone());
                if before.as_ref() != Some(&log) {
                    notes.push((commit, log.text()));
                }
            }
        }
    }
    super::warn_of_missing(context.ui, &credit);
    match format {
        Format::AgentTrace if records.is_empty() => {
            context.ui.narrate("No commit there comes from a session.");
        }
        Format::AgentTrace => context.ui.answer(&records)?,
        Format::GitAi => {
            let who = context.repo.identity()?;
            let message = "agent: authorship of sessions\n";
            context
                .repo
                .write_notes(gitai::NOTES_REF, &notes, &who, message)
                .map_err(|error| CommandError::from_error(Kind::No, &error))?;
            let count = units::counted(notes.len() as u64, "commit");
            context.ui.answer(&format!("Noted {count} in {}", gitai::NOTES_REF))?;
            if !notes.is_empty() {
                context.ui.hint(&format!("git push REMOTE {}", gitai::NOTES_REF));
            }
        }
    }
    Ok(())
}

/// The commits of `A..B`, oldest first, or the one that is named.
fn commits(context: &Context<'_>, range: &str) -> Result<Vec<ObjectId>> {
    let Some((from, to)) = range.split_once("..") else {
        return Ok(vec![context.repo.resolve_commit(range)?]);
    };
    let named = |side: &str| {
        let side = if side.is_empty() { "HEAD" } else { side };
        context.repo.resolve_commit(side)
    };
    let (from, to) = (named(from)?, named(to.trim_start_matches('.'))?);
    let mut commits = context.repo.commits_beyond(to, &[from])?;
    commits.reverse();
    Ok(commits)
}

fn record(
    context: &Context<'_>,
    commit: ObjectId,
    info: &CommitInfo,
    added: &Added,
) -> Result<String> {
    let mut contents = HashMap::new();
    for path in added.files.keys() {
        let content = context.repo.read_path(info.tree, path)?.unwrap_or_default();
        contents.insert(path.to_string(), content);
    }
    let time = Timestamp::from_second(info.time.seconds).unwrap_or_default();
    let content = |path: &str| contents.get(path).map_or(&[][..], Vec::as_slice);
    Ok(serde_json::to_string(&trace::record(&commit.to_string(), time, added, content))?)
}

/// What git-ai is to know of a commit, besides what it knows.
fn log(commit: ObjectId, info: &CommitInfo, added: &Added, before: Option<Log>) -> Log {
    let mut log = before.unwrap_or_else(|| Log::new(&commit.to_string()));
    let human = format!("{} <{}>", info.author.name, info.author.email);
    let agents = added.files.values().flatten().filter_map(|(_, origin)| match origin {
        Origin::Agent(agent) => Some(agent),
        Origin::Person(_) | Origin::Uncommitted => None,
    });
    let mut prompts: BTreeMap<&str, Prompt<'_>> = BTreeMap::new();
    for Agent { session, model, asked, .. } in agents {
        let prompt = prompts.entry(session).or_insert_with(|| Prompt {
            session,
            model: model.as_deref().unwrap_or("unknown"),
            human: &human,
            asked: Vec::new(),
            deletions: 0,
        });
        let asked = asked.as_deref().filter(|asked| !prompt.asked.contains(asked));
        prompt.asked.extend(asked);
    }
    // Whose the lines were that are gone is not asked where there are several.
    if let [prompt] = prompts.values_mut().collect::<Vec<_>>().as_mut_slice() {
        prompt.deletions = added.deletions;
    }
    for (path, lines) in &added.files {
        for (session, prompt) in &prompts {
            let is_its =
                |origin: &Origin| matches!(origin, Origin::Agent(it) if it.session == **session);
            let its: Vec<_> =
                lines.iter().filter(|(_, origin)| is_its(origin)).map(|(line, _)| *line).collect();
            log.add(prompt, &path.to_string(), &its);
        }
    }
    log
}
