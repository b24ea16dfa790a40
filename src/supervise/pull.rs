//! The pull request that was wished for, once the session is done.
//!
//! Invariant: it is opened by a process of its own, which outlives the supervisor and holds no slot.

use std::path::Path;

use fs_err as fs;

use crate::process::Cmd;
use crate::session::pull::PullWish;
use crate::session::state::Phase;
use crate::session::store::Session;

/// Starts `git agent pr`, if the session is done and that was wished for. What goes wrong there is
/// noted in the session; what goes wrong here stands in the log.
pub(super) fn follow_up(common_dir: &Path, session: &Session) {
    let batch = session.spec.batch.as_deref();
    let wish = match (session.state(), PullWish::read(session)) {
        // Those of a batch may wait for one that comes to nothing.
        (Ok(state), Ok(Some(wish)))
            if state.phase == Phase::Done
                || (batch.is_some() && matches!(state.phase, Phase::Failed | Phase::Stopped)) =>
        {
            wish
        }
        (Ok(_), Ok(_)) => return,
        (Err(error), _) | (_, Err(error)) => {
            return tracing::error!(%error, "no pull request is opened");
        }
    };
    let started = std::env::current_exe().and_then(|program| {
        let log = fs::OpenOptions::new().create(true).append(true).open(session.log_path())?;
        let cmd = Cmd::new(program).arg("-C").arg(common_dir).dir(common_dir);
        let cmd = match batch {
            Some(batch) => cmd.args(["batch", "pr", batch, "--of", &session.id]),
            None => cmd.args(["pr", &session.id]).args(&wish.options),
        };
        cmd.spawn_detached(log.into_parts().0).map_err(std::io::Error::other)
    });
    match started {
        Ok(pid) => tracing::info!(pid, "the pull request is seen to"),
        Err(error) => tracing::error!(%error, "no pull request is opened"),
    }
}
