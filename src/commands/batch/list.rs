//! Which sessions a batch has: a file in the user's folder of state, `batch/<id>.toml`.
//!
//! Invariant: a session is in the file once it is started; each session's spec has the batch's id
//! too, so a lost file loses nothing but the list, which `lost` makes anew.

use std::io;
use std::path::PathBuf;

use fs_err as fs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::folders::FolderArgs;
use super::lost;
use crate::error::{CommandError, Result};
use crate::file;
use crate::git::Repo;
use crate::session::format::{self, FORMAT};
use crate::session::id;
use crate::session::store::BATCH;
use crate::ui::Ui;

/// Where one is found whose list is gone.
const LOST: &str = "git agent batch list --repos a,b finds those of these repositories";

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
    pub(super) fn find(ui: &Ui, given: Option<&str>, folders: &FolderArgs) -> Result<Self> {
        let (mut all, found) = Self::all(folders)?;
        let Some(given) = given else {
            let last = all.pop().ok_or_else(none)?;
            return Ok(last.told(ui, &found));
        };
        let is_meant = |batch: &Self| batch.id.starts_with(given);
        let mut meant: Vec<_> = all.into_iter().filter(is_meant).collect();
        let exact = meant.iter().position(|batch| batch.id == given);
        let said = match (exact, meant.len()) {
            (Some(at), _) => return Ok(meant.swap_remove(at).told(ui, &found)),
            (None, 1) => return Ok(meant.swap_remove(0).told(ui, &found)),
            (None, 0) => format!("no batch '{given}'"),
            (None, _) => format!("'{given}' may be several batches"),
        };
        Err(CommandError::usage(said).hint("git agent batch list").hint(LOST))
    }

    /// All batches, the oldest first: those that are written down, and those that the sessions of
    /// these repositories tell of, else of the one that this was typed in. Of the latter the ids are
    /// given too.
    pub(super) fn all(folders: &FolderArgs) -> Result<(Vec<Self>, Vec<String>)> {
        let mut all = Self::written()?;
        let folders = folders.named()?;
        if folders.is_empty() {
            let here = std::env::current_dir()?;
            let here = Repo::discover(&here).is_ok().then_some(here);
            let found = lost::find(&mut all, here.as_slice())?;
            return Ok((all, found));
        }
        let found = lost::find(&mut all, &folders)?;
        // Who names the repositories finds all of it, and wants it kept.
        all.iter().filter(|batch| found.contains(&batch.id)).try_for_each(Self::write)?;
        Ok((all, Vec::new()))
    }

    /// Says where its list was lost that not all of it may be known.
    fn told(self, ui: &Ui, found: &[String]) -> Self {
        if found.contains(&self.id) {
            let id = &self.id;
            ui.warning(&format!("the list of {id} is lost: this repository tells of it, alone"));
            ui.hint(&format!("git agent batch status {id} --repos a,b finds it in others too"));
        }
        self
    }

    fn written() -> Result<Vec<Self>> {
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

fn none() -> CommandError {
    CommandError::no("there is no batch yet").hint("git agent batch \"…\" --repos a,b").hint(LOST)
}

fn folder() -> Result<PathBuf> {
    let state = file::state_folder().ok_or_else(|| {
        CommandError::no("there is no home to write the batch down in")
            .hint("Set HOME, or XDG_STATE_HOME")
    })?;
    Ok(state.join("batch"))
}
