//! How a command reaches a session: a message in its inbox, a signal to wake who runs it, and a
//! new supervisor where nobody does.
//!
//! Invariant: a process is signalled only while it holds the session's lock, so a process id that
//! was given to somebody else is never hit.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::context::Context;
use crate::error::{CommandError, Result};
use crate::session::inbox::Kind;
use crate::session::state::{Phase, State};
use crate::session::store::Session;
use crate::supervise;

/// How long a supervisor may take to have its session, or to let go of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a supervisor may take from the session's rest to its own end.
const TIDYING: Duration = Duration::from_secs(10);

/// Sends a message, and wakes who runs the session.
///
/// # Errors
/// The session takes no message, or it cannot be written.
pub fn send(session: &Session, kind: Kind) -> Result {
    session.send(kind)?;
    signal(session, Signal::USR1)?;
    Ok(())
}

/// Sends a signal to who runs the session; says whether anybody does.
///
/// # Errors
/// The lock cannot be asked.
pub fn signal(session: &Session, signal: Signal) -> Result<bool> {
    let Some(holder) = session.holder()? else { return Ok(false) };
    let pid = holder.pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    // One that ends just now is as good as one that has ended.
    match pid.map(|pid| kill_process(pid, signal)) {
        Some(Err(error)) if error != rustix::io::Errno::SRCH => {
            Err(std::io::Error::from(error).into())
        }
        _ => Ok(true),
    }
}

/// Starts a supervisor for a session that rests; says whether one was needed.
///
/// # Errors
/// The lock cannot be asked, or no process be started.
pub fn wake(context: &Context<'_>, session: &Session) -> Result<bool> {
    if is_run(session)? {
        return Ok(false);
    }
    session.check_writable()?;
    check_worktree(session)?;
    let before = session.state()?;
    let child = supervise::spawn(&context.repo, session)?;
    // Until it has the session, a look would still find the old state.
    let deadline = Instant::now() + PATIENCE;
    while !is_taken_up(session, child, &before)? {
        if Instant::now() > deadline {
            return Err(CommandError::no(format!("{} was not taken up", session.id)).hint(
                format!("Its supervisor's own words are in {}", session.log_path().display()),
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(true)
}

/// Whether a supervisor has the session, or has had it since.
fn is_taken_up(session: &Session, child: u32, before: &State) -> Result<bool> {
    let holder = session.holder()?;
    if holder.is_some_and(|holder| holder.pid == Some(child)) {
        return Ok(true);
    }
    // Another holder may be one that removes it.
    match session.state() {
        Ok(state) => {
            let has_changed = holder.is_none() && state != *before;
            Ok(has_changed || state.phase.needs_supervisor())
        }
        Err(_) if !session.dir.exists() => {
            Err(CommandError::no(format!("session {} was removed", session.id))
                .hint(format!("git agent restore {}", session.id)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether somebody works on the session, or is about to. One that rests but is still held is
/// waited for: its supervisor only tidies up, and reads no more messages.
///
/// # Errors
/// The state cannot be read, or the lock not be asked.
pub fn is_run(session: &Session) -> Result<bool> {
    let deadline = Instant::now() + TIDYING;
    loop {
        let is_run = session.state()?.phase.needs_supervisor();
        if is_run || session.holder()?.is_none() || Instant::now() > deadline {
            return Ok(is_run);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Refuses where nobody could go on with a session.
///
/// # Errors
/// Its worktree is gone.
pub fn check_worktree(session: &Session) -> Result {
    let Session { id, spec, .. } = session;
    if spec.worktree.exists() {
        return Ok(());
    }
    Err(CommandError::no(format!("the worktree of {id} is gone: {}", spec.worktree.display()))
        .hint(format!("git agent worktree restore {id}")))
}

/// The phase as it is said of a session: `is done`, `needs input`.
pub fn standing(phase: Phase) -> String {
    match phase {
        Phase::NeedsInput => "needs input".to_owned(),
        phase => format!("is {phase}"),
    }
}

/// The sessions that a verb is for: the ones that were named, or with `--all` each one.
///
/// # Errors
/// One that was named is not found, or the sessions cannot be listed.
pub fn chosen(context: &Context<'_>, named: &[String], all: bool) -> Result<Vec<Session>> {
    if all {
        return Ok(context.store.list()?.sessions);
    }
    named.iter().map(|given| context.session(given)).collect()
}
