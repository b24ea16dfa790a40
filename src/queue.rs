//! Who runs next: slots for those that run, tickets for those that wait.
//!
//! There are `agent.maxRunning` slots in each repository and `agent.maxRunningTotal` for the user; a
//! supervisor holds one of both from its first moment to its last. Whoever finds a free slot and
//! somebody who waits starts the supervisor: the command that queues a session up, a supervisor that
//! ends, one that looks around, the guard of one that was killed, or any other command on its way.
//!
//! Invariant: only a session in phase `queued` is started, once, and the first of the queue first;
//! a session that waits costs no process, and what waits is started by whoever comes next, whoever
//! died before.

mod machine;
mod slot;
mod start;
mod user;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::config::{Config, ConfigError};
use crate::event::{Event, Update};
use crate::git::{OpenError, Repo};
use crate::policy::{Policy, PolicyError};
use crate::session::format::FormatError;
use crate::session::inbox::Kind;
use crate::session::journal::Journal;
use crate::session::lock::{Lock, LockError};
use crate::session::rewind::{self, RewindError};
use crate::session::state::{IllegalMove, Phase};
use crate::session::store::{Session, SessionError, Store};
use crate::session::ticket::{Priority, Ticket};

use slot::Slots;
pub use start::SpawnError;
use user::User;

/// How long one that has something to start waits for others that are about it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A session that cannot be queued up, or a queue that cannot be worked off.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The session is run by somebody, or cannot be used.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The policy of this machine cannot be read.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Its state cannot be written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// It is over.
    #[error(transparent)]
    Move(#[from] IllegalMove),
    /// A rewind of it was cut off and cannot be finished.
    #[error(transparent)]
    Rewind(#[from] RewindError),
    /// Others are starting sessions, for too long.
    #[error("other sessions are being started")]
    Busy(#[source] LockError),
    /// The repository cannot be opened.
    #[error(transparent)]
    Repo(#[from] OpenError),
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The supervisor cannot be started; the session goes on waiting.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Sessions that could not be started, by id, each with the reason.
pub type Failed = BTreeMap<String, QueueError>;

/// Where a session stands that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Counted from 1, among those of its repository.
    pub position: usize,
    /// How many wait there.
    pub of: usize,
    /// What goes first.
    pub priority: Priority,
    /// What it waits for, in words; empty where that has just come true.
    pub waits_for: String,
}

/// Puts a session in the queue that is new, or rests, or waits already: with what this process has
/// of its surroundings, and with another priority if one is given.
///
/// # Errors
/// Somebody runs it, it is over, or it cannot be written.
pub fn enter(repo: &Repo, session: &Session, priority: Option<Priority>) -> Result<(), QueueError> {
    let asked = Timestamp::now();
    let (_lock, mut state) = session.lock()?;
    rewind::finish(repo, session, &mut state)?;
    start::keep_surroundings(repo, session)?;
    let priority = priority.unwrap_or(state.priority);
    let is_new = state.phase == Phase::Queued;
    if !is_new {
        drop_wishes(session, asked)?;
        let death = session.death(&state)?;
        let change = state.move_to(Phase::Queued, "", Timestamp::now())?;
        let change = Event::now(state.step, Update::State(change)).by(repo.who());
        let (mut journal, _) = Journal::open(&session.journal_path())?;
        journal.append(&death.into_iter().chain([change]).collect::<Vec<_>>())?;
    }
    if !is_new || state.priority != priority {
        state.priority = priority;
        state.write(&session.state_path())?;
    }
    // Whoever was called for it just now is still on the way.
    let called = session.ticket()?.filter(|it| is_new && it.is_on_its_way(asked));
    let called = called.and_then(|ticket| ticket.called);
    let keys = start::keys_of(session);
    Ok(session.queue_up(&Ticket { called, ..Ticket::new(session, priority, keys) })?)
}

/// Takes back the wishes to rest that a run has left which died before it heard them: to go on is
/// what is wished now.
fn drop_wishes(session: &Session, asked: Timestamp) -> io::Result<()> {
    let inbox = session.inbox();
    for letter in inbox.peek()?.letters {
        if letter.time < asked && matches!(letter.kind, Kind::Pause | Kind::Stop { .. }) {
            inbox.done(&letter.id)?;
        }
    }
    Ok(())
}

/// Gives a session that nobody runs another priority, also for the times to come; says which it
/// had.
///
/// # Errors
/// Somebody runs it, others start sessions for too long, or it cannot be written.
pub fn reprioritize(
    store: &Store,
    session: &Session,
    priority: Priority,
) -> Result<Priority, QueueError> {
    // Nobody is called between the look at the ticket and the change of it.
    let _turn = turn(store, User::open().as_ref(), PATIENCE)?;
    let (_lock, mut state) = session.lock()?;
    let before = state.priority;
    if let Some(ticket) = session.ticket()? {
        session.queue_up(&Ticket { priority, ..ticket })?;
    }
    if before != priority {
        state.priority = priority;
        state.write(&session.state_path())?;
    }
    Ok(before)
}

/// Starts who waits, in this repository and in the user's others, as far as there are slots.
/// Waits for others that are about the same, at most for `patience`. Gives those that could not be
/// started, by id; they go on waiting, and keep nobody behind them from being started.
///
/// # Errors
/// Others are about it for longer, or who waits cannot be written down.
pub fn advance(common_dir: &Path, patience: Duration) -> Result<Failed, QueueError> {
    let user = User::open();
    let store = Store::open(common_dir);
    let _turn = turn(&store, user.as_ref(), patience)?;
    let registered = user.as_ref().map(User::waiting).unwrap_or_default();
    let here = Line::open(common_dir).transpose();
    let others = registered.iter().filter(|dir| dir.as_path() != common_dir);
    let others = others.filter_map(|dir| match Line::open(dir) {
        Ok(line) => line,
        Err(error) => {
            tracing::debug!(%error, repository = %dir.display(), "its queue is left");
            None
        }
    });
    let (mut lines, mut unusable) = (Vec::new(), None);
    match here {
        Some(Err(error)) => unusable = Some(error),
        Some(Ok(line)) => lines.push(line),
        None => {}
    }
    lines.extend(others);
    let failed = work_off(&mut lines, user.as_ref());
    if let Some(user) = &user {
        for dir in std::iter::once(common_dir).chain(registered.iter().map(PathBuf::as_path)) {
            user.register(dir, Store::open(dir).is_waited_for())?;
        }
    }
    unusable.map_or(Ok(failed), Err)
}

/// The right to start sessions and to change the tickets of those that wait.
fn turn(store: &Store, user: Option<&User>, patience: Duration) -> Result<Lock, QueueError> {
    let folder = user.map_or_else(|| store.root(), User::folder);
    Slots::in_folder(folder).turn(patience).map_err(QueueError::Busy)
}

/// As [`advance`], for whoever comes by: it costs a look into two folders where nobody waits, waits
/// for nobody, and fails nobody. Gives the setting that makes no sense and keeps those who wait from
/// being started; whatever else goes wrong is in the trace alone.
pub fn look(common_dir: &Path) -> Option<ConfigError> {
    if !Store::open(common_dir).is_waited_for() && !User::is_waited_for() {
        return None;
    }
    match advance(common_dir, Duration::ZERO) {
        Ok(failed) => warn(&failed),
        // They do it.
        Err(QueueError::Busy(_)) => {}
        Err(QueueError::Config(error)) => return Some(error),
        Err(error) => tracing::warn!(%error, "those who wait are not started"),
    }
    None
}

/// Says in the trace who could not be started.
pub fn warn(failed: &Failed) {
    for (id, error) in failed {
        tracing::warn!(%error, id, "it cannot be started and waits on");
    }
}

/// Lets go of the slots that this process was started with.
pub fn leave_slots() {
    slot::let_go();
}

/// Where the sessions of a repository stand that wait, by id.
///
/// # Errors
/// The queue cannot be read.
pub fn places(repo: &Repo) -> Result<BTreeMap<String, Place>, QueueError> {
    let store = Store::open(repo.common_dir());
    let mut queue = store.queue()?;
    queue.retain(|(_, ticket)| ticket.waits());
    if queue.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (config, bad) = repo.usable_config();
    let why = match bad.first() {
        Some(ConfigError { key, .. }) => format!("a setting that makes sense ({key})"),
        None => why(&store, &config, User::open().as_ref())?,
    };
    let of = queue.len();
    let places = queue.into_iter().enumerate().map(|(at, (id, Ticket { priority, keys, .. }))| {
        let key = start::missing_key(&keys).map(|name| format!("{name} as it was when it started"));
        let waits_for = key.unwrap_or_else(|| why.clone());
        (id, Place { position: at + 1, of, priority, waits_for })
    });
    Ok(places.collect())
}

/// What those wait for who are the next.
fn why(store: &Store, config: &Config, user: Option<&User>) -> io::Result<String> {
    let here = Slots::in_folder(store.root()).taken()?;
    let all = user.map_or(Ok(here), |user| Slots::in_folder(user.folder()).taken())?;
    Ok(if here >= config.max_running as usize {
        format!("a slot ({here} of {} taken here)", config.max_running)
    } else if user.is_some() && all >= config.max_running_total as usize {
        format!("a slot ({all} of {} taken by all)", config.max_running_total)
    } else {
        machine::holds_back(config, all).unwrap_or_default()
    })
}

/// The queue of one repository.
struct Line {
    common_dir: PathBuf,
    store: Store,
    config: Config,
    /// Who goes first is first.
    queue: Vec<(String, Ticket)>,
}

/// What became of the first of a queue.
enum Turn {
    /// It was started, or can't be just now; the next may be.
    Next,
    /// Nobody else of this repository can be started.
    NoMoreHere,
    /// Nobody can be started at all.
    NoMore,
}

/// The settings, as the policy of this machine caps them.
fn settings(repo: &Repo) -> Result<Config, QueueError> {
    let (mut config, _) = repo.agent_config()?;
    if let Some(most) = Policy::of_machine()?.and_then(|policy| policy.sessions()) {
        config.max_running = config.max_running.min(most);
        config.max_running_total = config.max_running_total.min(most);
    }
    Ok(config)
}

impl Line {
    /// None where nobody waits.
    fn open(common_dir: &Path) -> Result<Option<Self>, QueueError> {
        let store = Store::open(common_dir);
        if !store.is_waited_for() {
            return Ok(None);
        }
        let config = settings(&Repo::open(common_dir)?)?;
        let queue = store.queue()?;
        Ok(Some(Self { common_dir: common_dir.to_owned(), store, config, queue }))
    }

    /// Starts this session, if that can be.
    fn start(&self, id: &str, ticket: &Ticket, user: Option<&User>) -> Result<Turn, QueueError> {
        let now = Timestamp::now();
        if ticket.is_on_its_way(now) || start::missing_key(&ticket.keys).is_some() {
            return Ok(Turn::Next);
        }
        let Some(here) = Slots::in_folder(self.store.root()).take(self.config.max_running)? else {
            return Ok(Turn::NoMoreHere);
        };
        let total = self.config.max_running_total;
        let (all, run) = match user.map(|user| Slots::in_folder(user.folder())) {
            Some(slots) => {
                let run = slots.taken()?;
                let Some(slot) = slots.take(total)? else { return Ok(Turn::NoMore) };
                (Some(slot), run)
            }
            None => (None, Slots::in_folder(self.store.root()).taken()? - 1),
        };
        if let Some(why) = machine::holds_back(&self.config, run) {
            tracing::debug!(why, "a start is held back");
            return Ok(Turn::NoMoreHere);
        }
        let Ok(session) = self.store.session(id) else {
            tracing::warn!(id, "what waits can't be read, or is gone");
            self.store.drop_ticket(id)?;
            return Ok(Turn::Next);
        };
        // It was stopped meanwhile, its supervisor has not come, or where it is cannot be read: that
        // is for a person to say.
        let is_queued = match session.state() {
            Err(FormatError::Io(error)) => return Err(error.into()),
            state => state.is_ok_and(|state| state.phase == Phase::Queued),
        };
        if !ticket.waits() || !is_queued {
            session.leave_queue()?;
            return Ok(Turn::Next);
        }
        let held = [Some(here.hand_over()?), all.map(Lock::hand_over).transpose()?];
        session.queue_up(&Ticket { called: Some(now), ..ticket.clone() })?;
        match start::spawn(&self.common_dir, &session, held) {
            Ok(pid) => {
                tracing::info!(id, pid, "started");
                Ok(Turn::Next)
            }
            Err(error) => {
                session.queue_up(ticket)?;
                Err(error.into())
            }
        }
    }
}

/// Starts the first of all queues, again and again, until there is no slot any more.
fn work_off(lines: &mut [Line], user: Option<&User>) -> Failed {
    let mut failed = Failed::new();
    loop {
        let first = |line: &Line| {
            line.queue.first().map(|(id, ticket)| (ticket.priority, ticket.since, id.clone()))
        };
        let next = lines.iter_mut().filter(|line| !line.queue.is_empty());
        let Some(line) = next.min_by_key(|line| first(line)) else { return failed };
        let (id, ticket) = line.queue.remove(0);
        match line.start(&id, &ticket, user) {
            Ok(Turn::Next) => {}
            Ok(Turn::NoMoreHere) => line.queue.clear(),
            Ok(Turn::NoMore) => return failed,
            Err(error) => drop(failed.insert(id, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;
    use crate::session::spec::Spec;

    #[test]
    fn who_is_called_and_asked_for_again_is_still_called() {
        let git = Fixture::with_commit(&[]);
        let repo = git.repo();
        let store = Store::open(repo.common_dir());
        let now = Timestamp::now();
        let spec = format!(
            "format = 1\nid = 'call-me-7f3k'\nname = 'call-me'\ntask = 'x'\ncreated = '{now}'\n\
             branch = 'refs/heads/agent/call-me'\nworktree = '/nowhere'\nmodel = 'replay/x'\n\
             sandbox = 'none'\nbase = {{ commit = 'c0ffee', name = 'main' }}\n"
        );
        let spec = Spec::parse(&spec, Path::new("spec.toml")).unwrap();
        let session = store.create(spec).unwrap();
        let called = |at: Option<Timestamp>| {
            let ticket = Ticket::new(&session, Priority::Medium, BTreeMap::new());
            session.queue_up(&Ticket { called: at, ..ticket }).unwrap();
            enter(&repo, &session, Some(Priority::High)).unwrap();
            let ticket = session.ticket().unwrap().unwrap();
            assert_eq!(ticket.priority, Priority::High);
            ticket.called
        };
        assert_eq!(called(Some(now)), Some(now));
        // One that has not come in all that time is called anew.
        let long_ago = Timestamp::from_second(now.as_second() - 3600).unwrap();
        assert_eq!((called(Some(long_ago)), called(None)), (None, None));
    }
}
