//! The background process of one session.
//!
//! Invariant: it owns no terminal, holds the session's lock and its slots as long as it lives, and
//! leaves a state that is true: at rest with a reason, or, if it is killed, a free lock that tells
//! of it.

mod notices;
mod pull;
#[cfg(feature = "otel")]
mod traces;

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cancel::Signals;
use crate::git::Repo;
use crate::queue;
use crate::runner::{self, RunError};
use crate::sandbox;
use crate::session::inbox::{Inbox, Kind, When};
use crate::session::store::{Session, Store};

use notices::Notices;

/// How often the inbox is looked at unasked: a signal can get lost, a file cannot. The queue is
/// looked at too, since who held a slot may have been killed.
const LOOK: Duration = Duration::from_secs(1);

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
    let runtime = runtime.map_err(RunError::Runtime)?;
    let signals = Signals::default();
    let ended = runtime.block_on(supervise(common_dir, id, &signals));
    if ended.is_err() {
        give_way(common_dir, &signals);
    }
    ended
}

/// Lets the next of the queue begin.
fn give_way(common_dir: &Path, signals: &Signals) {
    queue::leave_slots();
    // Where the system shuts down, nobody else is to begin.
    if signals.shutdown.is_raised() {
        return;
    }
    match queue::advance(common_dir, queue::PATIENCE) {
        Ok(failed) => queue::warn(&failed),
        Err(error) => tracing::error!(%error, "those who wait are not started"),
    }
}

async fn supervise(common_dir: &Path, id: &str, signals: &Signals) -> Result<(), RunError> {
    let repo = Repo::open(common_dir)?;
    let session = Store::open(common_dir).session(id)?;
    let inbox = session.inbox();
    // Before the lock is taken: whoever holds it is signalled, and a signal that nobody waits for
    // ends a process.
    let bell = Bell::hang().map_err(RunError::Runtime)?;
    let mut notices = Notices::open(&repo, &session);
    let traces = traces(&repo, &session);
    let watching = watch(bell, &inbox, signals, common_dir);
    tokio::pin!(watching);
    let ended = tokio::select! {
        ended = runner::run(&repo, &session, signals) => ended,
        never = &mut watching => match never {},
        never = tell(notices.as_mut()) => match never {},
    };
    ended?;
    // Telling people of the end may take a while: neither slot nor lock is held for it, and a
    // shutdown waits for nobody.
    give_way(common_dir, signals);
    if !signals.shutdown.is_raised() {
        pull::follow_up(common_dir, &session);
    }
    let told = async {
        if let Some(notices) = notices {
            notices.close().await;
        }
    };
    tokio::select! {
        _ = async { tokio::join!(told, close(traces)) } => {}
        () = signals.shutdown.raised() => {}
        never = &mut watching => match never {},
    }
    Ok(())
}

/// What is sent of the session to a collector of traces, where that is set.
#[cfg(feature = "otel")]
fn traces(repo: &Repo, session: &Session) -> Option<traces::Traces> {
    traces::Traces::begin(repo, session)
}

#[cfg(feature = "otel")]
async fn close(traces: Option<traces::Traces>) {
    if let Some(traces) = traces {
        traces.close().await;
    }
}

/// Nothing can be sent: that is said, where somebody wants it.
/// A program that was built without traces has none, and says so where they are wished for.
#[cfg(not(feature = "otel"))]
fn traces(repo: &Repo, _: &Session) -> Option<Infallible> {
    if let Some(why) = repo.usable_config().0.otel.unheeded() {
        tracing::warn!("{why}");
    }
    None
}

#[cfg(not(feature = "otel"))]
async fn close(_: Option<Infallible>) {}

async fn tell(notices: Option<&mut Notices>) -> Infallible {
    match notices {
        Some(notices) => notices.follow().await,
        None => std::future::pending().await,
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
async fn watch(mut bell: Bell, inbox: &Inbox, signals: &Signals, common_dir: &Path) -> Infallible {
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = bell.wake.recv() => listen(inbox, signals),
            _ = look.tick() => {
                listen(inbox, signals);
                if let Some(error) = queue::look(common_dir) {
                    tracing::debug!(%error, "those who wait are not started");
                }
            }
            // The terminal that it was started from has gone; that is what it is for.
            _ = bell.hangup.recv() => {}
            _ = bell.interrupt.recv() => shut_down(signals),
            _ = bell.terminate.recv() => shut_down(signals),
        }
    }
}

fn listen(inbox: &Inbox, signals: &Signals) {
    let letters = match inbox.peek() {
        Ok(arrived) => arrived.letters,
        // Too many files are open for a moment, say: the next look may find more.
        Err(error) => return tracing::warn!(%error, "the inbox cannot be looked at"),
    };
    for letter in letters {
        match letter.kind {
            Kind::Stop { .. } => {
                signals.hush.raise();
                signals.stop.raise();
            }
            Kind::Pause | Kind::Say { when: When::Now, .. } => signals.hush.raise(),
            Kind::Say { .. } | Kind::Answer { .. } | Kind::Decide { .. } | Kind::Limit { .. } => {}
        }
    }
}

fn shut_down(signals: &Signals) {
    signals.shutdown.raise();
    signals.hush.raise();
    signals.stop.raise();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::inbox::SendError;

    #[tokio::test]
    async fn an_inbox_that_cannot_be_read_is_looked_at_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Inbox::FOLDER);
        fs_err::write(&path, "no folder").unwrap();
        let (inbox, signals) = (Inbox::at(&path), Signals::default());
        let mended = async {
            while !signals.stop.is_raised() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if path.is_file() {
                    fs_err::remove_file(&path)?;
                    inbox.send(Kind::Stop { reason: String::new() })?;
                }
            }
            Ok::<_, SendError>(())
        };
        tokio::select! {
            never = watch(Bell::hang().unwrap(), &inbox, &signals, folder.path()) => match never {},
            mended = mended => mended.unwrap(),
        }
    }
}
