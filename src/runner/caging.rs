//! The sandbox of one session, made while the rest of it is read.
//!
//! Invariant: it is what the session was started with, or the session does not run.

use std::net;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::fault;
use crate::agent::Fault;
use crate::config::Config;
use crate::git::Repo;
use crate::policy::Policy;
use crate::sandbox::layer::Layers;
use crate::sandbox::proxy::{Pattern, Proxy};
use crate::sandbox::shadow::Shadow;
use crate::sandbox::{Level, Request, Sandbox};
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
        let hosts = config.sandbox.allow_host.iter().chain(&spec.allow_net);
        let allowed: Vec<Pattern> =
            hosts.map(|host| host.parse()).collect::<Result<_, _>>().map_err(fault)?;
        if let Some(policy) = Policy::of_machine().map_err(fault)? {
            allowed.iter().try_for_each(|it| policy.check_network(&it.host())).map_err(fault)?;
        }
        let making = tokio::task::spawn_blocking(move || {
            fs_err::create_dir_all(out).map_err(fault)?;
            let folder = request.shadow.as_deref();
            let shadow = folder.map(|folder| Shadow::make(&worktree, folder, &branch));
            let shadow = shadow.transpose().map_err(fault)?;
            let sandbox = Sandbox::open(&request).map_err(fault)?;
            let listener = sandbox.listen(&request.program);
            let listener = listener.map_err(|error| {
                Fault(format!("the sandbox's network cannot be opened: {error}"))
            })?;
            Ok((sandbox, shadow, listener))
        });
        Ok(Self { making, allowed })
    }

    /// Waits until it stands.
    pub(super) async fn done(self) -> Result<(Sandbox, Option<Shadow>), Fault> {
        let (sandbox, shadow, listener) = self.making.await.map_err(fault)??;
        let Some(listener) = listener else { return Ok((sandbox, shadow)) };
        let port = listener.local_addr().map_err(fault)?.port();
        listener.set_nonblocking(true).map_err(fault)?;
        let proxy = Proxy::serve(TcpListener::from_std(listener).map_err(fault)?, self.allowed);
        Ok((sandbox.with_proxy(proxy, port), shadow))
    }
}
