//! The sandbox of one session, made while the rest of it is read.
//!
//! Invariant: it is what the session was started with, or the session does not run.

use std::net;

use tokio::task::JoinHandle;

use super::fault;
use crate::agent::Fault;
use crate::config::Config;
use crate::git::Repo;
use crate::sandbox::Sandbox;
use crate::sandbox::proxy::Pattern;
use crate::sandbox::shadow::Shadow;
use crate::session::cage;
use crate::session::store::Session;

/// A sandbox in the making.
pub(super) struct Caging {
    making: JoinHandle<Result<Made, Fault>>,
    allowed: Vec<Pattern>,
}

/// What was made; the listener is inside the sandbox's network.
type Made = (Sandbox, Option<Shadow>, Option<net::TcpListener>);

impl Caging {
    /// Begins to make it, on another thread.
    pub(super) fn begin(
        worktree: &Repo,
        session: &Session,
        config: &Config,
    ) -> Result<Self, Fault> {
        let spec = &session.spec;
        let allowed = cage::hosts(config, spec).map_err(fault)?;
        let program = std::env::current_exe().map_err(fault)?;
        let mut request = cage::request(worktree, spec, config, program, &session.dir);
        let out = session.out_dir();
        request.readable.push(out.clone());
        let (worktree, branch) = (worktree.clone(), spec.branch.clone());
        let making = tokio::task::spawn_blocking(move || {
            fs_err::create_dir_all(out).map_err(fault)?;
            let mut shadow = None;
            let lay = || {
                let folder = request.shadow.as_deref();
                let made = folder.map(|folder| Shadow::make(&worktree, folder, &branch));
                shadow = made.transpose()?;
                Ok(())
            };
            let (sandbox, listener) = Sandbox::open_over(&request, lay).map_err(fault)?;
            Ok((sandbox, shadow, listener))
        });
        Ok(Self { making, allowed })
    }

    /// Waits until it stands.
    pub(super) async fn done(self) -> Result<(Sandbox, Option<Shadow>), Fault> {
        let (sandbox, shadow, listener) = self.making.await.map_err(fault)??;
        let sandbox = match listener {
            Some(listener) => sandbox.serve(listener, self.allowed).map_err(fault)?,
            None => sandbox,
        };
        Ok((sandbox, shadow))
    }
}
