//! How a command reaches sessions: a message in the inbox, a signal to wake who runs it, and a
//! place in the queue where nobody does; one, several, or all of them.
//!
//! Invariant: a process is signalled only while it holds the session's lock and says that it
//! listens, so neither another command nor a process id that was given to somebody else is hit.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::builder::NonEmptyStringValueParser;
use clap_complete::ArgValueCompleter;
use rustix::process::{Pid, Signal, kill_process};

use super::complete;
use super::context::{Context, config_of};
use crate::error::{self, CommandError, Result};
use crate::mend::worktree::{self, Mended};
use crate::queue::{self, Place, QueueError};
use crate::session::allowed;
use crate::session::inbox::Kind;
use crate::session::lock::LockError;
use crate::session::state::Phase;
use crate::session::store::{Session, SessionError};
use crate::session::ticket::Priority;
use crate::ui::{Ui, card};

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

/// Sends a signal to the supervisor of the session; says whether anybody holds it. A command that
/// holds it for a moment hears nothing: it would die of the signal.
///
/// # Errors
/// The lock cannot be asked.
pub fn signal(session: &Session, signal: Signal) -> Result<bool> {
    let Some(holder) = session.holder()? else { return Ok(false) };
    let pid = holder.pid.filter(|_| holder.listens);
    let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    // One that ends just now is as good as one that has ended.
    match pid.map(|pid| kill_process(pid, signal)) {
        Some(Err(error)) if error != rustix::io::Errno::SRCH => {
            Err(std::io::Error::from(error).into())
        }
        _ => Ok(true),
    }
}

/// What became of a session that was to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Somebody ran it, or was about to.
    Ran,
    /// It goes on.
    GoesOn,
    /// It goes on when its turn comes.
    Waits(Place),
}

impl Woken {
    /// What is said of it: `goes on`, or when.
    pub fn words(&self) -> String {
        match self {
            Self::Ran | Self::GoesOn => "goes on".to_owned(),
            Self::Waits(place) => format!("goes on when its turn comes: {}", card::place(place)),
        }
    }
}

/// Whether it waits for its turn, and nobody has been started for it.
///
/// # Errors
/// Its state or its ticket cannot be read.
pub fn waits(session: &Session) -> Result<bool> {
    let is_queued = session.state()?.phase == Phase::Queued;
    Ok(is_queued && session.ticket()?.is_some_and(|ticket| ticket.waits()))
}

/// Lets a session that rests go on: in the queue where there is no slot for it.
///
/// # Errors
/// The lock cannot be asked, its state not be written, or no process be started.
pub fn wake(context: &Context<'_>, session: &Session) -> Result<Woken> {
    if is_run(session)? {
        return Ok(Woken::Ran);
    }
    session.check_writable()?;
    check_worktree(context, session)?;
    queue_up(context, session, None)
}

/// Queues a session up, new or resting, and starts it if there is a slot for it.
///
/// # Errors
/// It cannot be written, or no process be started.
pub fn queue_up(
    context: &Context<'_>,
    session: &Session,
    priority: Option<Priority>,
) -> Result<Woken> {
    let is_held = |error: &QueueError| {
        let QueueError::Session(SessionError::Lock { error, .. }) = error else { return false };
        matches!(error, LockError::Held { .. })
    };
    // With settings that make no sense nobody could be started: said before anything is queued.
    config_of(&context.repo)?;
    allowed::check(&context.repo, &session.spec, &session.state()?)?;
    match queue::enter(&context.repo, session, priority) {
        // Somebody else was quicker to let it go on, or does something else with it.
        Err(error) if is_held(&error) && is_run(session)? => return Ok(Woken::Ran),
        Err(error) if is_held(&error) => queue::enter(&context.repo, session, priority)?,
        Err(_) if !session.dir.exists() => return Err(removed(session)),
        entered => entered?,
    }
    let failed = match queue::advance(context.repo.common_dir(), queue::PATIENCE) {
        Ok(mut failed) => failed.remove(&session.id),
        // They start it, or find that there is no slot.
        Err(QueueError::Busy(_)) => None,
        Err(error) => Some(error),
    };
    if let Some(error) = failed {
        let waits = format!("{} waits in the queue: git agent list starts it", session.id);
        return Err(CommandError::from(error).hint(waits));
    }
    let place = queue::places(&context.repo)?.remove(&session.id);
    Ok(place.map_or(Woken::GoesOn, Woken::Waits))
}

/// Whether somebody works on the session, or is about to. One that rests but is still held is
/// waited for: its supervisor only tidies up, and reads no more messages.
///
/// # Errors
/// The state cannot be read, or the lock not be asked.
pub fn is_run(session: &Session) -> Result<bool> {
    let deadline = Instant::now() + TIDYING;
    loop {
        let is_run = match session.state() {
            Err(_) if !session.dir.exists() => return Err(removed(session)),
            state => state?.phase.needs_supervisor(),
        };
        if is_run || session.holder()?.is_none() || Instant::now() > deadline {
            return Ok(is_run);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What is said of an error with a session: where it was removed since it was found, that.
pub fn removed_meanwhile(session: &Session, error: CommandError) -> CommandError {
    if session.dir.exists() { error } else { removed(session) }
}

/// It was removed since it was found.
fn removed(session: &Session) -> CommandError {
    let id = &session.id;
    CommandError::no(format!("session {id} was removed")).hint(format!("git agent restore {id}"))
}

/// Refuses where nobody could go on with a session. Where a person has moved its worktree, or
/// renamed its branch, the session follows, and that is said.
///
/// # Errors
/// Its worktree is gone, cut off from git, on another branch, or in the middle of something.
pub fn check_worktree(context: &Context<'_>, session: &Session) -> Result {
    if let Some(Mended::Followed(said)) = worktree::ready(&context.repo, session)? {
        tell_followed(context, session, &said);
    }
    Ok(())
}

/// Says that a session has followed a person who has moved its worktree or renamed its branch.
pub fn tell_followed(context: &Context<'_>, session: &Session, said: &str) {
    context.ui.narrate(&format!("Followed {}: {said}", session.id));
}

/// The phase as it is said of a session: `is done`, `needs input`.
pub fn standing(phase: Phase) -> String {
    match phase {
        Phase::NeedsInput => "needs input".to_owned(),
        phase => format!("is {phase}"),
    }
}

/// Sessions as arguments: those that are named, or all.
#[derive(Clone, Debug, clap::Args)]
pub struct SessionArgs {
    /// Sessions, each by any unique beginning of its id or name
    #[arg(
        value_name = "SESSION",
        required_unless_present = "all",
        value_parser = NonEmptyStringValueParser::new(),
        add = ArgValueCompleter::new(complete::sessions),
    )]
    pub sessions: Vec<String>,
    /// Every session that this can be done to
    #[arg(long, conflicts_with = "sessions")]
    pub all: bool,
}

/// Does something to each of these sessions, whatever becomes of the others. `act` says whether
/// there was anything to do; where it was nothing for any of all of them, `nothing` is said.
///
/// # Errors
/// Told: one of them could not be found or handled; the exit code is the highest of all.
pub fn each(
    context: &Context<'_>,
    args: &SessionArgs,
    nothing: &str,
    mut act: impl FnMut(&Session) -> Result<bool>,
) -> Result {
    let found: Vec<Result<Session>> = match args.all {
        true => context.store.list()?.sessions.into_iter().map(Ok).collect(),
        false => args.sessions.iter().map(|given| context.session(given)).collect(),
    };
    let (mut done, mut seen) = (false, BTreeSet::new());
    let outcomes = found.into_iter().map(|session| {
        let session = session?;
        // It may be named twice.
        if seen.insert(session.id.clone()) {
            done |= act(&session).map_err(|error| removed_meanwhile(&session, error))?;
        }
        Ok(())
    });
    told(context.ui, outcomes)?;
    if args.all && !done {
        context.ui.narrate(nothing);
    }
    Ok(())
}

/// Tells what went wrong with each; what is wrong with all of them once.
///
/// # Errors
/// Told: something did; the exit code is the highest of all.
pub fn told(ui: &Ui, outcomes: impl Iterator<Item = Result>) -> Result {
    let mut said: Vec<CommandError> = Vec::new();
    let codes = outcomes.filter_map(Result::err).map(|error| {
        if said.contains(&error) {
            return error.kind.exit_code();
        }
        let code = error.report(ui);
        said.push(error);
        code
    });
    match codes.max() {
        None => Ok(()),
        Some(worst) => Err(CommandError::new(error::Kind::Told(worst), "")),
    }
}

/// Waits for something on a runtime of its own.
///
/// # Errors
/// The system gives no event loop.
pub fn block_on<F: Future>(future: F) -> Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(future))
}
