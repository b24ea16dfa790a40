//! The sandbox of one session, made while the rest of it is read.
//!
//! Invariant: it is what the session was started with, or the session does not run.

use tokio::task::JoinHandle;

use super::fault;
use crate::agent::Fault;
use crate::config::Config;
use crate::git::Repo;
use crate::sandbox::layer::Layers;
use crate::sandbox::shadow::Shadow;
use crate::sandbox::{Level, Request, Sandbox};
use crate::session::store::Session;

/// A sandbox in the making.
pub(super) struct Caging(JoinHandle<Result<(Sandbox, Option<Shadow>), Fault>>);

impl Caging {
    /// Begins to make it, on another thread.
    pub(super) fn begin(
        worktree: &Repo,
        session: &Session,
        config: &Config,
    ) -> Result<Self, Fault> {
        let spec = &session.spec;
        let level = Level::named(&spec.sandbox)
            .ok_or_else(|| Fault(format!("there is no sandbox level {}", spec.sandbox)))?;
        let out = session.out_dir();
        // Submodules have git dirs of their own, which are only read.
        let modules = [worktree.git_dir(), worktree.common_dir()].map(|dir| dir.join("modules"));
        let of_ours = [vec![out.clone()], modules.to_vec()].concat();
        let request = Request {
            level,
            program: std::env::current_exe().map_err(fault)?,
            root: spec.worktree.clone(),
            common_dir: worktree.common_dir().to_owned(),
            shadow: (level == Level::Full).then(|| session.dir.clone()),
            readable: [config.sandbox.readable.clone(), of_ours].concat(),
            writable: config.sandbox.writable.clone(),
            caller: std::env::vars_os().collect(),
            layers: Layers::of_environment(),
        };
        let (worktree, branch) = (worktree.clone(), spec.branch.clone());
        Ok(Self(tokio::task::spawn_blocking(move || {
            fs_err::create_dir_all(out).map_err(fault)?;
            let folder = request.shadow.as_deref();
            let shadow = folder.map(|folder| Shadow::make(&worktree, folder, &branch));
            let shadow = shadow.transpose().map_err(fault)?;
            Ok((Sandbox::open(&request).map_err(fault)?, shadow))
        })))
    }

    /// Waits until it stands.
    pub(super) async fn done(self) -> Result<(Sandbox, Option<Shadow>), Fault> {
        self.0.await.map_err(fault)?
    }
}
