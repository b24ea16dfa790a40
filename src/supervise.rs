//! The background process of one session.
//!
//! Invariant: it owns no terminal, holds the session's lock as long as it lives, and leaves a state
//! that is true: at rest with a reason, or, if it is killed, a free lock that tells of it.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cancel::Signals;
use crate::git::Repo;
use crate::process::{Cmd, ProcessError};
use crate::runner::{self, RunError};
use crate::sandbox;
use crate::session::inbox::{Inbox, Kind, When};
use crate::session::store::{Session, Store};

/// How often the inbox is looked at unasked: a signal can get lost, a file cannot.
const LOOK: Duration = Duration::from_secs(1);

/// A supervisor that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The program does not know where it lies itself.
    #[error("cannot find this program on disk")]
    Program(#[source] io::Error),
    /// Its log cannot be opened.
    #[error("cannot open the supervisor's log")]
    Log(#[source] io::Error),
    /// It cannot be started.
    #[error(transparent)]
    Start(#[from] ProcessError),
}

/// Starts a session's supervisor in the background and returns its process id.
///
/// # Errors
/// The program cannot be started, or its log not be opened.
pub fn spawn(repo: &Repo, session: &Session) -> Result<u32, SpawnError> {
    let program = std::env::current_exe().map_err(SpawnError::Program)?;
    let log = fs::OpenOptions::new().create(true).append(true).open(session.log_path());
    let (log, _) = log.map_err(SpawnError::Log)?.into_parts();
    let supervise = Cmd::new(program).arg("supervise").arg(repo.common_dir()).arg(&session.id);
    let supervise = repo.with_settings(supervise.dir(repo.common_dir()));
    Ok(supervise.spawn_detached(log)?)
}

/// Runs a session in this process until it rests.
///
/// # Errors
/// Another supervisor holds the session, or its files cannot be used.
pub fn run(common_dir: &Path, id: &str) -> Result<(), RunError> {
    // Refused only to the leader of a process group: one that was started by hand in a shell.
    if let Err(error) = rustix::process::setsid() {
        tracing::info!(%error, "no session of its own");
    }
    // The keys of the models are in its environment and memory; its tools run as the same user.
    if let Err(error) = sandbox::hide_process() {
        tracing::warn!(%error, "other processes of this user can read the keys");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(RunError::Runtime)?.block_on(supervise(common_dir, id))
}

async fn supervise(common_dir: &Path, id: &str) -> Result<(), RunError> {
    let repo = Repo::open(common_dir)?;
    let session = Store::open(common_dir).session(id)?;
    let signals = Signals::default();
    let inbox = session.inbox();
    // Before the lock is taken: whoever holds it is signalled, and a signal that nobody waits for
    // ends a process.
    let bell = Bell::hang().map_err(RunError::Runtime)?;
    tokio::select! {
        ended = runner::run(&repo, &session, &signals) => ended,
        Err(error) = watch(bell, &inbox, &signals) => Err(RunError::Runtime(error)),
    }
}

/// The system's signals that are heeded.
struct Bell {
    wake: Signal,
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Bell {
    fn hang() -> io::Result<Self> {
        Ok(Self {
            wake: signal(SignalKind::user_defined1())?,
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }
}

/// Turns the system's signals and what is in the inbox into [`Signals`].
async fn watch(mut bell: Bell, inbox: &Inbox, signals: &Signals) -> io::Result<Infallible> {
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = bell.wake.recv() => listen(inbox, signals)?,
            _ = look.tick() => listen(inbox, signals)?,
            // The terminal that it was started from has gone; that is what it is for.
            _ = bell.hangup.recv() => {}
            _ = bell.interrupt.recv() => shut_down(signals),
            _ = bell.terminate.recv() => shut_down(signals),
        }
    }
}

fn listen(inbox: &Inbox, signals: &Signals) -> io::Result<()> {
    for letter in inbox.peek()?.letters {
        match letter.kind {
            Kind::Stop { .. } => {
                signals.hush.raise();
                signals.stop.raise();
            }
            Kind::Pause | Kind::Say { when: When::Now, .. } => signals.hush.raise(),
            Kind::Say { .. } | Kind::Answer { .. } | Kind::Decide { .. } | Kind::Limit { .. } => {}
        }
    }
    Ok(())
}

fn shut_down(signals: &Signals) {
    signals.shutdown.raise();
    signals.hush.raise();
    signals.stop.raise();
}
