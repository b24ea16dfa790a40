//! Which sessions a batch has: a file in the user's folder of state, `batch/<id>.toml`.
//!
//! Invariant: a session is in the file once it is started; each session's spec has the batch's id
//! too, so a lost file loses nothing but the list.

use std::io;
use std::path::PathBuf;

use fs_err as fs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{CommandError, Result};
use crate::file;
use crate::session::format::{self, FORMAT};
use crate::session::id;
use crate::session::store::BATCH;

/// A batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Batch {
    pub(super) format: u32,
    pub(super) id: String,
    pub(super) task: String,
    pub(super) created: Timestamp,
    /// What all of them may cost, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) budget: Option<f64>,
    /// The command that does the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) exec: Option<String>,
    /// The pull requests that it ends in, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pulls: Option<Pulls>,
    #[serde(default, rename = "repository")]
    pub(super) members: Vec<Member>,
}

/// The pull requests of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pulls {
    /// Whether none is opened before all sessions are done.
    #[serde(default)]
    pub(super) together: bool,
    /// Options of `git agent pr` for each.
    #[serde(default)]
    pub(super) options: Vec<String>,
}

/// A repository of a batch; without a session and an error it has not had its turn.
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
    /// A new one, in which no repository has had its turn.
    pub(super) fn new(task: &str, folders: &[PathBuf]) -> Result<Self> {
        let id = id::fresh(&id::slug(task)).map_err(|error| CommandError::no(error.to_string()))?;
        let member = |folder: &PathBuf| Member { path: folder.clone(), session: None, error: None };
        Ok(Self {
            format: FORMAT,
            id,
            task: task.to_owned(),
            created: Timestamp::now(),
            budget: None,
            exec: None,
            pulls: None,
            members: folders.iter().map(member).collect(),
        })
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

    /// The name of the budget that they share.
    pub(super) fn budget_name(&self) -> String {
        format!("{BATCH}{}", self.id)
    }

    /// The command that does the work, in a model's place. None where a model of the user's does.
    pub(super) fn exec_model(&self) -> Option<String> {
        self.exec.as_ref().map(|command| format!("exec/{command}"))
    }
}

fn folder() -> Result<PathBuf> {
    let state = file::state_folder().ok_or_else(|| {
        CommandError::no("there is no home to write the batch down in")
            .hint("Set HOME, or XDG_STATE_HOME")
    })?;
    Ok(state.join("batch"))
}
