//! Which hosts the commands of a new session may reach.
//!
//! Invariant: where there is no way to a host, nobody is told that there is.

use super::Args;
use crate::commands::context::Context;
use crate::config::Config;
use crate::error::{CommandError, Result};
use crate::sandbox::Level;
use crate::sandbox::proxy::{Pattern, Upstream};
use crate::session::cage::CageError;

/// The hosts that commands may reach, where there is a way to them.
pub(super) fn of(
    context: &Context<'_>,
    args: &Args,
    config: &Config,
    sandbox: Level,
) -> Result<Vec<Pattern>> {
    let set = &config.sandbox.allow_host;
    if sandbox != Level::Full {
        if !args.allow_net.is_empty() {
            let message = format!("--allow-net needs a full sandbox, and this one is {sandbox}");
            return Err(CommandError::usage(message).hint("git agent doctor"));
        }
        if !set.is_empty() {
            let reach = if sandbox == Level::None { "whatever you do" } else { "nothing" };
            context.ui.warning(&format!(
                "agent.sandbox.allowHost has no effect: it needs a full sandbox, and this one is \
                 {sandbox}; commands reach {reach}"
            ));
        }
        return Ok(Vec::new());
    }
    let set = set.iter().map(|host| host.parse()).collect::<std::result::Result<Vec<_>, _>>();
    let hosts = [set.map_err(CageError::from)?, args.allow_net.clone()].concat();
    let env: Vec<_> = std::env::vars_os().collect();
    match Upstream::of(&env).obstacle() {
        Some(obstacle) if !hosts.is_empty() => {
            Err(CommandError::usage(format!("no host can be reached: {obstacle}"))
                .hint("Name an http:// proxy, or start it without --allow-net and allowHost"))
        }
        _ => Ok(hosts),
    }
}
