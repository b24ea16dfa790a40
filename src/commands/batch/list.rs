//! Which sessions a batch has: a file in the user's folder of state, `batch/<id>.toml`.
//!
//! Invariant: a session is in the file once it is started; each session's spec has the batch's id
//! too, so a lost file loses nothing but the list.

use std::io;
use std::path::PathBuf;

use fs_err as fs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::{CommandError, Result};
use crate::event::{Event, Update};
use crate::file;
use crate::message::{Answer, StopReason, ToolCall, Usage};
use crate::session::format::{self, FORMAT};
use crate::session::store::BATCH;

/// How long the command of a batch may take in a repository, in seconds.
const EXEC_S: u64 = 600;

/// A batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Batch {
    format: u32,
    pub(super) id: String,
    pub(super) task: String,
    pub(super) created: Timestamp,
    /// What all of them may cost, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) budget: Option<f64>,
    /// The command that does the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) exec: Option<String>,
    #[serde(default, rename = "repository")]
    pub(super) members: Vec<Member>,
}

/// A repository of a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Member {
    /// A folder in it.
    pub(super) path: PathBuf,
    /// Its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<String>,
    /// Why it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

impl Batch {
    pub(super) fn new(task: &str, budget: Option<f64>, exec: Option<&str>) -> Result<Self> {
        let (id, created) = (super::fresh(task)?, super::now());
        let (task, exec) = (task.to_owned(), exec.map(str::to_owned));
        Ok(Self { format: FORMAT, id, task, created, budget, exec, members: Vec::new() })
    }

    /// The batch with this id, or the only one that begins so; the last without one.
    pub(super) fn find(given: Option<&str>) -> Result<Self> {
        let mut all = Self::all()?;
        let Some(given) = given else {
            return all.pop().ok_or_else(|| {
                CommandError::no("there is no batch yet").hint("git agent batch \"…\" --repos a,b")
            });
        };
        let is_meant = |batch: &Self| batch.id.starts_with(given);
        let mut meant: Vec<_> = all.into_iter().filter(is_meant).collect();
        if let Some(at) = meant.iter().position(|batch| batch.id == given) {
            return Ok(meant.swap_remove(at));
        }
        let said = match meant.len() {
            1 => return Ok(meant.swap_remove(0)),
            0 => format!("no batch '{given}'"),
            _ => format!("'{given}' may be several batches"),
        };
        Err(CommandError::usage(said).hint("git agent batch list"))
    }

    /// All batches, the oldest first.
    pub(super) fn all() -> Result<Vec<Self>> {
        let entries = match fs::read_dir(folder()?) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                all.push(format::read::<Self>(&path)?);
            }
        }
        all.sort_by_key(|batch| batch.created);
        Ok(all)
    }

    pub(super) fn write(&self) -> Result {
        let folder = folder()?;
        fs::create_dir_all(&folder)?;
        let text = toml::to_string(self).map_err(io::Error::other)?;
        Ok(file::replace(&folder.join(format!("{}.toml", self.id)), text.as_bytes())?)
    }

    /// Takes away what was made for one that is not begun.
    pub(super) fn forget(&self) -> Result {
        for extension in ["toml", "jsonl"] {
            match fs::remove_file(folder()?.join(format!("{}.{extension}", self.id))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// The name of the budget that they share.
    pub(super) fn budget_name(&self) -> String {
        format!("{BATCH}{}", self.id)
    }

    /// The model that runs the command and is done: a transcript of just that. None where a model
    /// of the user's does the work.
    pub(super) fn exec_model(&self) -> Result<Option<String>> {
        let Some(command) = &self.exec else { return Ok(None) };
        let arguments = json!({"command": command, "timeout_s": EXEC_S}).to_string();
        let call = ToolCall { id: "exec".to_owned(), name: "bash".to_owned(), arguments };
        let answer = |text: &str, calls: Vec<ToolCall>, stop| Answer {
            text: text.to_owned(),
            thought: String::new(),
            calls,
            stop,
            usage: Usage::default(),
            raw: None,
        };
        let subject = self.task.lines().next().unwrap_or_default();
        let said = format!("Ran `{command}`.");
        let mut lines = String::new();
        for (at, answer) in [
            answer(subject, vec![call], StopReason::ToolUse),
            answer(&said, Vec::new(), StopReason::EndTurn),
        ]
        .into_iter()
        .enumerate()
        {
            let step = u32::from(at > 0) + 1;
            lines.push_str(&Event::now(step, Update::AgentMessage(answer)).to_line()?);
            lines.push('\n');
        }
        let folder = folder()?;
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.jsonl", self.id));
        file::replace(&path, lines.as_bytes())?;
        Ok(Some(format!("replay/{}", path.display())))
    }
}

fn folder() -> Result<PathBuf> {
    let state = file::state_folder().ok_or_else(|| {
        CommandError::no("there is no home to write the batch down in")
            .hint("Set HOME, or XDG_STATE_HOME")
    })?;
    Ok(state.join("batch"))
}
