//! What most verbs begin with: the repository they were typed in, its sessions, its settings.
//!
//! Invariant: opening it reads no session, and writes nothing, but that sessions which wait are
//! started where there is a slot for them.

use std::path::Path;

use clap::builder::NonEmptyStringValueParser;
use clap_complete::ArgValueCompleter;
use jiff::Timestamp;

use super::complete;
use crate::config::{Config, ConfigError, UnknownKey};
use crate::error::{CommandError, Result, ResultExt};
use crate::git::Repo;
use crate::queue;
use crate::session::removed;
use crate::session::store::{FindError, Session, Store};
use crate::ui::Ui;

/// A session as an argument.
#[derive(Clone, Debug, clap::Args)]
pub struct SessionArg {
    /// Session, by any unique beginning of its id or name
    #[arg(
        value_name = "SESSION",
        value_parser = NonEmptyStringValueParser::new(),
        add = ArgValueCompleter::new(complete::sessions),
    )]
    pub session: String,
}

/// The repository, its sessions, and the two streams to the person.
#[derive(Debug)]
pub struct Context<'a> {
    /// The streams.
    pub ui: &'a Ui,
    /// The repository, as seen from the folder the verb was typed in.
    pub repo: Repo,
    /// Its sessions.
    pub store: Store,
    /// The time that ages are counted to.
    pub now: Timestamp,
    /// The setting that makes no sense, where it keeps sessions waiting.
    bad_setting: Option<ConfigError>,
}

impl<'a> Context<'a> {
    /// In the folder that the verb was typed in.
    ///
    /// # Errors
    /// It is in no repository that git would open.
    pub fn open(ui: &'a Ui) -> Result<Self> {
        let here = std::env::current_dir()
            .while_doing("the current folder is gone")
            .hint("cd to a folder that is there")?;
        Self::open_in(ui, &here)
    }

    /// In this folder.
    ///
    /// # Errors
    /// It is in no repository that git would open.
    pub fn open_in(ui: &'a Ui, dir: &Path) -> Result<Self> {
        let repo = Repo::discover(dir)?;
        let store = Store::open(repo.common_dir());
        let bad_setting = queue::look(repo.common_dir());
        Ok(Self { ui, repo, store, now: Timestamp::now(), bad_setting })
    }

    /// Says why sessions that wait are not started, where that is a setting: for verbs that show
    /// sessions, and work whatever is set.
    pub fn warn_of_setting(&self) {
        if let Some(error) = self.bad_setting.clone() {
            let error = CommandError::from(error);
            self.ui.warning(&format!("no session that waits is started: {}", error.line()));
            error.hints.iter().for_each(|hint| self.ui.hint(hint));
        }
    }

    /// The session that is meant.
    ///
    /// # Errors
    /// None or several are meant, it cannot be read, or it was removed.
    pub fn session(&self, given: &str) -> Result<Session> {
        let found = self.store.find(given);
        if let Err(FindError::NotFound { .. }) = found
            && let Ok(removed) = removed::find(&self.repo, &self.store, given)
        {
            let id = removed.id;
            return Err(CommandError::no(format!("session {id} was removed"))
                .hint(format!("git agent restore {id}")));
        }
        Ok(found?)
    }

    /// The session in whose worktree the verb was typed, if it was typed in one.
    ///
    /// # Errors
    /// The sessions cannot be listed.
    pub fn session_here(&self) -> Result<Option<Session>> {
        let Some(here) = self.repo.work_dir() else { return Ok(None) };
        let sessions = self.store.list()?.sessions;
        Ok(sessions.into_iter().rfind(|session| session.spec.worktree == here))
    }

    /// The settings; a warning for each that we do not know.
    ///
    /// # Errors
    /// A value is not what its key asks for.
    pub fn config(&self) -> Result<Config> {
        let (config, unknown) = self.read_config()?;
        for key in unknown {
            self.ui.warning(&key.to_string());
        }
        Ok(config)
    }

    /// The settings, and those that we do not know.
    ///
    /// # Errors
    /// A value is not what its key asks for.
    pub fn read_config(&self) -> Result<(Config, Vec<UnknownKey>)> {
        config_of(&self.repo)
    }
}

/// The settings of a repository, and those that we do not know.
///
/// # Errors
/// A value is not what its key asks for.
pub fn config_of(repo: &Repo) -> Result<(Config, Vec<UnknownKey>)> {
    Ok(repo.agent_config()?)
}
