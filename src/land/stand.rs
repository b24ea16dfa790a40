//! A worktree for a moment, with the session's commands in it: as strict as where the session's own
//! run, and set up as its worktree was.
//!
//! Invariant: the set-up command runs behind the sandbox here, since what it reads may be the
//! agent's.

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::git::{Head, Repo, Scratch};
use crate::plan::LandError;
use crate::session::cage::Cage;
use crate::session::spec::Spec;
use crate::session::{include, submodule};
use crate::tool::{Ran, Toolbox};

/// The commands of a session in another worktree than its own.
pub(super) struct Stand {
    view: Repo,
    root: PathBuf,
    config: Config,
    cage: Cage,
}

impl Stand {
    /// In this worktree. `program` is this program.
    ///
    /// # Errors
    /// The sandbox cannot be had.
    pub(super) async fn open(
        repo: &Repo,
        spec: &Spec,
        scratch: &Scratch,
        program: Option<&Path>,
    ) -> Result<Self, LandError> {
        let (config, _unknown) = repo.agent_config()?;
        let main = repo.main_work_dir().unwrap_or_else(|| repo.common_dir().to_owned());
        let env = [("GIT_AGENT_SESSION", Path::new(&spec.id)), ("GIT_AGENT_ROOT", &main)];
        let cage = Cage::open(scratch.view(), spec, &config, program, &env).await?;
        let (view, root) = (scratch.view().clone(), scratch.path().to_owned());
        Ok(Self { view, root, config, cage })
    }

    /// Brings it what a new session's worktree gets: submodules, the files that
    /// `.worktreeinclude` names, and the run of `agent.setup`.
    ///
    /// # Errors
    /// One of them fails.
    pub(super) async fn set_up(&self, repo: &Repo) -> Result<(), LandError> {
        if let Head::Detached(head) = self.view.head()? {
            let submodules = submodule::available(repo, head).map_err(std::io::Error::other)?;
            submodule::init(repo, &self.view, &submodules).map_err(std::io::Error::other)?;
        }
        let main = repo.view_of(repo.common_dir())?;
        include::copy(&main, &self.root).map_err(std::io::Error::other)?;
        let Some(setup) = &self.config.setup else { return Ok(()) };
        let ran = self.run(setup).await?;
        match ran.exit {
            0 => Ok(()),
            exit => Err(LandError::SetUp { exit, output: ran.output }),
        }
    }

    /// Its folder.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What commands run with.
    pub(super) fn tools(&self) -> &Toolbox {
        self.cage.tools()
    }

    /// Runs a command.
    ///
    /// # Errors
    /// It could not be run at all.
    pub(super) async fn run(&self, command: &str) -> Result<Ran, LandError> {
        Ok(self.cage.run(command).await?)
    }
}
