//! The sessions of a repository: `agent/sessions/` in its common git dir.
//!
//! Invariant: one broken session never hides the others; a session appears whole or not at all.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use jiff::Timestamp;

use super::budget::Budget;
use super::called;
use super::death;
use super::format::{self, FormatError};
use super::inbox::{Inbox, Kind, SendError};
use super::journal::Journal;
use super::lock::{self, Holder, Lock, LockError};
use super::spec::Spec;
use super::state::{Phase, State};
use crate::event::{Event, StateChange, Update};
use crate::file::remove_tree;
use crate::git::Repo;
use crate::{file, parallel};

/// How long a new session may wait for its supervisor, in seconds.
pub(super) const START_GRACE: i64 = 10;
/// How the folder of a session begins while it is being made: a name with a dot in front is no
/// session for anybody who lists.
const DRAFT: &str = ".new-";
/// How the folder of a session begins while it is being removed.
const REMOVED: &str = ".old-";
/// The folder of the sessions that are removed.
const ASIDE: &str = "removed";
/// How old a left-over must be before it is nobody's.
const SWEEP_AGE: Duration = Duration::from_secs(3600);
/// How the name of a budget begins that the sessions of a batch share.
pub const BATCH: &str = "batch.";
/// The folder of objects that were just written.
const KEPT: &str = "kept";
/// The file of the lock.
const LOCK: &str = "lock";
/// Why it is, where nobody ran it.
const CUT_OFF: &str = "a rewind was cut off: who goes on with it finishes it";

/// The sessions of one repository.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// One session on this machine.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// Its folder.
    pub dir: PathBuf,
    /// What was asked.
    pub spec: Spec,
}

/// A session that is being made. Dropped unfinished, its folder goes away.
#[derive(Debug)]
pub struct Draft {
    folder: tempfile::TempDir,
    target: PathBuf,
    spec: Spec,
    _lock: Lock,
}

/// All sessions on this machine.
#[derive(Debug, Default)]
pub struct Listing {
    /// Those that can be read, oldest first.
    pub sessions: Vec<Session>,
    /// Those that cannot.
    pub broken: Vec<Broken>,
}

/// A session whose folder cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("session {id} cannot be read")]
pub struct Broken {
    /// Its id.
    pub id: String,
    /// What is wrong.
    #[source]
    pub source: FormatError,
}

/// A session that is not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// None is called so.
    #[error("no session '{given}'")]
    NotFound {
        /// What was given.
        given: String,
        /// Ids that look alike.
        near: Vec<String>,
    },
    /// Several are.
    #[error("'{given}' may be any of {}", matches.join(", "))]
    Ambiguous {
        /// What was given.
        given: String,
        /// Their ids.
        matches: Vec<String>,
    },
    /// The one that was meant cannot be read.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The folder of the sessions cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A session that cannot be taken over or reached.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A file of it cannot be used.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Somebody else runs it.
    #[error("session {id} {}", held(error))]
    Lock {
        /// Its id.
        id: String,
        /// By whom.
        error: LockError,
    },
    /// It takes no message any more.
    #[error("session {id} is {phase} and takes no more messages")]
    Over {
        /// Its id.
        id: String,
        /// What it is.
        phase: Phase,
    },
    /// The message was not written.
    #[error("the message was not sent")]
    Send(#[from] SendError),
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Store {
    /// The store in this common git dir; nothing is made or read yet.
    pub fn open(common_dir: &Path) -> Self {
        Self { root: common_dir.join("agent") }
    }

    /// The folder that holds all we keep for the repository: `agent` in the common git dir.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The budget of this name that sessions share; that of a batch is shared by all of the user's
    /// repositories.
    pub fn budget(&self, name: &str) -> Budget {
        let of_user = Some(name).filter(|name| name.starts_with(BATCH));
        let root = of_user.and_then(|_| file::state_folder());
        Budget::at(root.as_deref().unwrap_or(&self.root), name)
    }

    /// Makes the folder of a new session, in phase `queued`.
    ///
    /// # Errors
    /// There is one with this id, or the file system says no; nothing is left behind.
    pub fn create(&self, spec: Spec) -> Result<Session, FormatError> {
        let state = State::new(spec.created);
        self.begin(spec)?.finish(&state)
    }

    /// Begins a session that no listing shows until [`Draft::finish`].
    ///
    /// # Errors
    /// There is one with this id, or the file system says no; nothing is left behind.
    pub fn begin(&self, spec: Spec) -> Result<Draft, FormatError> {
        let sessions = self.sessions();
        fs::create_dir_all(&sessions)?;
        let target = sessions.join(&spec.id);
        if fs::symlink_metadata(&target).is_ok() {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
        }
        let text = spec.to_text().map_err(|source| FormatError::Malformed {
            path: target.join(Spec::FILE),
            source: source.into(),
        })?;
        let folder = tempfile::Builder::new().prefix(DRAFT).tempdir_in(&sessions)?;
        let lock = Lock::acquire(&folder.path().join(LOCK)).map_err(io::Error::other)?;
        file::replace(&folder.path().join(Spec::FILE), text.as_bytes())?;
        fs::create_dir(folder.path().join(Inbox::FOLDER))?;
        Journal::open(&folder.path().join(Journal::FILE))?;
        Ok(Draft { folder, target, spec, _lock: lock })
    }

    /// Sessions that were begun by a process that died before it had finished them. The caller
    /// undoes what belongs to them, then forgets them.
    ///
    /// # Errors
    /// The folder of the sessions cannot be read.
    pub fn unfinished(&self) -> io::Result<Vec<Session>> {
        let mut unfinished = Vec::new();
        for name in self.folders()? {
            let dir = self.sessions().join(&name);
            if !name.starts_with(DRAFT) || lock::holder(&dir.join(LOCK))?.is_some() {
                continue;
            }
            // One without a spec was begun and had nothing made for it yet.
            if let Ok(spec) = format::read::<Spec>(&dir.join(Spec::FILE)) {
                unfinished.push(Session { id: spec.id.clone(), dir, spec });
            }
        }
        Ok(unfinished)
    }

    /// Deletes what half-done creations and removals of long ago left, and nobody can use.
    ///
    /// # Errors
    /// The folder of the sessions cannot be read, or something in it not deleted.
    pub fn sweep(&self) -> io::Result<()> {
        self.rubbish()?.iter().try_for_each(|path| remove_tree(path))
    }

    /// What half-done creations and removals have left.
    ///
    /// # Errors
    /// The folder of the sessions cannot be read.
    pub fn leftovers(&self) -> io::Result<Vec<PathBuf>> {
        let unfinished = self.unfinished()?.into_iter().map(|session| session.dir);
        Ok(unfinished.chain(self.rubbish()?).collect())
    }

    fn rubbish(&self) -> io::Result<Vec<PathBuf>> {
        let mut rubbish = Vec::new();
        for name in self.folders()? {
            let dir = self.sessions().join(&name);
            let draft = name.starts_with(DRAFT) && !dir.join(Spec::FILE).exists();
            // One that is finished or gone since its name was read is no left-over.
            let Ok(folder) = fs::metadata(&dir) else { continue };
            let age = folder.modified()?.elapsed().unwrap_or_default();
            if (draft || name.starts_with(REMOVED)) && age > SWEEP_AGE {
                rubbish.push(dir);
            }
        }
        Ok(rubbish)
    }

    /// All sessions on this machine.
    ///
    /// # Errors
    /// The folder of the sessions cannot be read.
    pub fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for read in parallel::map(&self.ids()?, |id| self.session(id)) {
            match read {
                Ok(session) => listing.sessions.push(session),
                // It was removed since its name was read.
                Err(broken) if !self.sessions().join(&broken.id).exists() => {}
                Err(broken) => listing.broken.push(broken),
            }
        }
        listing.sessions.sort_by(|a, b| (a.spec.created, &a.id).cmp(&(b.spec.created, &b.id)));
        Ok(listing)
    }

    /// The ids of all sessions on this machine, sorted.
    ///
    /// # Errors
    /// The folder of the sessions cannot be read.
    pub fn ids(&self) -> io::Result<Vec<String>> {
        let mut ids = self.folders()?;
        ids.retain(|name| !name.starts_with('.'));
        Ok(ids)
    }

    /// The session that is meant: by its id, by its name, or by how only one of them begins.
    ///
    /// # Errors
    /// None or several are meant, or the one that is cannot be read.
    pub fn find(&self, given: &str) -> Result<Session, FindError> {
        let ids = self.ids()?;
        if ids.binary_search_by(|id| id.as_str().cmp(given)).is_ok() {
            return Ok(self.session(given)?);
        }
        let names = parallel::map(&ids, |id| {
            let dir = self.sessions().join(id);
            match called::name(&dir.join(Spec::FILE)) {
                // It was removed since its folder's name was read.
                Err(_) if !dir.exists() => None,
                name => Some(name.unwrap_or_else(|_| id.clone())),
            }
        });
        let called = ids.iter().zip(&names);
        let names = called.filter_map(|(id, name)| Some((id.as_str(), name.as_deref()?)));
        Ok(self.session(pick(given, names)?)?)
    }

    /// The session with exactly this id.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn session(&self, id: &str) -> Result<Session, Broken> {
        let dir = self.sessions().join(id);
        match format::read(&dir.join(Spec::FILE)) {
            Ok(spec) => Ok(Session { id: id.to_owned(), dir, spec }),
            Err(source) => Err(Broken { id: id.to_owned(), source }),
        }
    }

    /// Removes a session's folder: renamed aside first, so that no half of it is ever seen.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn remove(&self, session: &Session) -> io::Result<()> {
        let aside = self.folder_for_now()?;
        fs::rename(&session.dir, aside.path().join("session"))?;
        aside.close()
    }

    /// A folder for a moment; what a process leaves of it that is killed goes with the next sweep.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn folder_for_now(&self) -> io::Result<tempfile::TempDir> {
        fs::create_dir_all(self.sessions())?;
        tempfile::Builder::new().prefix(REMOVED).tempdir_in(self.sessions())
    }

    /// Takes a session out of sight: its folder is set aside whole, for [`Store::take_back`].
    ///
    /// # Errors
    /// Whatever the file system says; it is then where it was.
    pub fn set_aside(&self, session: &Session) -> io::Result<()> {
        let aside = self.aside(&session.id);
        fs::create_dir_all(self.root.join(ASIDE))?;
        // What an earlier removal left was made again from the record since.
        remove_tree(&aside)?;
        fs::rename(&session.dir, aside)
    }

    /// Brings a session back that was set aside.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where nothing was set aside, or is any more; else whatever the
    /// file system says, also where there is such a session.
    pub fn take_back(&self, id: &str) -> io::Result<Session> {
        fs::create_dir_all(self.sessions())?;
        fs::rename(self.aside(id), self.sessions().join(id))?;
        self.session(id).map_err(io::Error::other)
    }

    /// Where the folder of a removed session is set aside.
    pub fn aside(&self, id: &str) -> PathBuf {
        self.root.join(ASIDE).join(id)
    }

    /// The folder of the session with this id, whether it is one or not.
    pub fn folder_of(&self, id: &str) -> PathBuf {
        self.sessions().join(id)
    }

    /// What lies among the sessions' folders and is none: files and links.
    ///
    /// # Errors
    /// The folder of the sessions cannot be read.
    pub fn strays(&self) -> io::Result<Vec<PathBuf>> {
        let mut strays = self.entries(|kind| !kind.is_dir())?;
        strays.retain(|name| !name.starts_with('.'));
        Ok(strays.into_iter().map(|name| self.sessions().join(name)).collect())
    }

    fn sessions(&self) -> PathBuf {
        self.root.join("sessions")
    }

    fn folders(&self) -> io::Result<Vec<String>> {
        self.entries(std::fs::FileType::is_dir)
    }

    /// The names in the folder of the sessions of what is of such a kind, sorted.
    fn entries(&self, is_meant: impl Fn(&std::fs::FileType) -> bool) -> io::Result<Vec<String>> {
        let Some(entries) = file::if_there(fs::read_dir(self.sessions()))? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if is_meant(&entry.file_type()?) {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

impl Draft {
    /// The file of the journal, empty as yet.
    pub fn journal_path(&self) -> PathBuf {
        self.folder.path().join(Journal::FILE)
    }

    /// The folder of objects that were written for it.
    pub fn kept_dir(&self) -> PathBuf {
        self.folder.path().join(KEPT)
    }

    /// What was asked.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Makes it a session, in this state: from now on it is there for everybody.
    ///
    /// # Errors
    /// There is one with this id by now, or the file system says no; nothing is left behind.
    pub fn finish(self, state: &State) -> Result<Session, FormatError> {
        let Self { folder, target, spec, _lock } = self;
        state.write(&folder.path().join(State::FILE))?;
        // Fails where there is a folder with anything in it, so no session is ever replaced.
        fs::rename(folder.path(), &target)?;
        // It has moved: there is nothing to clean up any more.
        drop(folder.keep());
        if let Some(sessions) = target.parent() {
            fs::File::open(sessions)?.sync_all()?;
        }
        Ok(Session { id: spec.id.clone(), dir: target, spec })
    }
}

impl Session {
    /// Where it is now. A session whose supervisor has died reads as `interrupted`, though its
    /// file says otherwise; nothing is written.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn state(&self) -> Result<State, FormatError> {
        let mut state = self.read_state()?;
        while state.phase.needs_supervisor() && self.holder()?.is_none() {
            // Read again behind the look at the lock: a supervisor writes its last state first
            // and lets go of the lock then.
            let again = self.read_state()?;
            if again == state {
                // Who has died with the lock has left its number there; so has who just took it.
                let left = lock::left_in(&self.lock_path());
                let has_died = !left.is_empty() && self.holder()?.is_none();
                if has_died || !self.is_starting(&state) {
                    interrupt(&mut state, death::why(&left));
                }
                break;
            }
            state = again;
        }
        if !state.phase.needs_supervisor() && self.is_half_rewound() && self.holder()?.is_none() {
            interrupt(&mut state, CUT_OFF);
        }
        Ok(state)
    }

    /// Makes this process the one who runs the session, as long as the lock lives. The state is
    /// then as its last writer left it, an unexpected end seen as `interrupted`.
    ///
    /// # Errors
    /// Somebody else runs it, or a newer program wrote it.
    pub fn lock(&self) -> Result<(Lock, State), SessionError> {
        self.check_spec()?;
        let lock = Lock::acquire_with_folder(&self.lock_path())
            .map_err(|error| SessionError::Lock { id: self.id.clone(), error })?;
        let mut state = self.read_state()?;
        format::writable(&self.state_path(), state.format)?;
        if matches!(state.phase, Phase::Running | Phase::Verifying) {
            interrupt(&mut state, death::why(lock.left()));
        } else if state.phase != Phase::Queued && self.is_half_rewound() {
            interrupt(&mut state, CUT_OFF);
        }
        Ok((lock, state))
    }

    /// What the journal is to say of a run that died, as it cannot have said itself; none where it
    /// had come to a rest. `state` is what [`Session::lock`] gave.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn death(&self, state: &State) -> Result<Option<Event>, FormatError> {
        let written = self.read_state()?.phase;
        let has_died = matches!(written, Phase::Running | Phase::Verifying);
        if state.phase != Phase::Interrupted || !has_died {
            return Ok(None);
        }
        let change = StateChange {
            from: written.to_string(),
            to: state.phase.to_string(),
            reason: state.reason.clone(),
            usage: state.usage,
        };
        Ok(Some(Event::now(state.step, Update::State(change))))
    }

    /// Refuses where a newer program wrote: then there is nothing that may be done to it.
    ///
    /// # Errors
    /// A newer program wrote it, or it cannot be read.
    pub fn check_writable(&self) -> Result<(), SessionError> {
        self.check_spec()?;
        Ok(format::writable(&self.state_path(), self.state()?.format)?)
    }

    fn check_spec(&self) -> Result<(), FormatError> {
        format::writable(&self.dir.join(Spec::FILE), self.spec.format)
    }

    /// Sends a message to the session.
    ///
    /// # Errors
    /// It is over, a newer program wrote it, or the file system says no.
    pub fn send(&self, kind: Kind) -> Result<String, SessionError> {
        let state = self.state()?;
        format::writable(&self.state_path(), state.format)?;
        if state.phase.is_final() {
            return Err(SessionError::Over { id: self.id.clone(), phase: state.phase });
        }
        Ok(self.inbox().send_from(self.who(), kind)?)
    }

    /// The person at work here, as git knows them.
    fn who(&self) -> Option<String> {
        let common_dir = self.dir.ancestors().nth(3)?;
        Repo::open(common_dir).ok()?.who()
    }

    /// Who runs it; none if nobody does.
    ///
    /// # Errors
    /// The lock cannot be asked.
    pub fn holder(&self) -> io::Result<Option<Holder>> {
        lock::holder_with_folder(&self.lock_path())
    }

    /// Its inbox.
    pub fn inbox(&self) -> Inbox {
        Inbox::at(self.dir.join(Inbox::FOLDER))
    }

    /// The file of its state.
    pub fn state_path(&self) -> PathBuf {
        self.dir.join(State::FILE)
    }

    /// The file of its journal.
    pub fn journal_path(&self) -> PathBuf {
        self.dir.join(Journal::FILE)
    }

    /// The file of its lock.
    pub fn lock_path(&self) -> PathBuf {
        self.dir.join(LOCK)
    }

    /// The file of a rewind that has begun.
    pub fn rewind_path(&self) -> PathBuf {
        self.dir.join("rewind.toml")
    }

    /// The file that its supervisor prints to.
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("supervisor.log")
    }

    /// The folder of tool outputs that are too long for the model.
    pub fn out_dir(&self) -> PathBuf {
        self.dir.join("out")
    }

    /// The folder of objects that were just written: `Repo::keep_written`.
    pub fn kept_dir(&self) -> PathBuf {
        self.dir.join(KEPT)
    }

    /// Its ref: `refs/agent/<id>`.
    pub fn ref_name(&self) -> String {
        format!("refs/agent/{}", self.id)
    }

    /// What the file says. A power cut may leave a file that was not synced empty, on some file
    /// systems; the session then reads as one that died, and whoever runs it next finds the rest in
    /// the journal and the last record.
    fn read_state(&self) -> Result<State, FormatError> {
        let path = self.state_path();
        let text = file::read_text(&path)?;
        if text.bytes().all(|byte| byte == 0) {
            return Ok(State { phase: Phase::Running, ..State::new(self.spec.created) });
        }
        format::parse(&text, &path)
    }

    /// Whether a rewind has begun and not ended: it runs, or was cut off.
    fn is_half_rewound(&self) -> bool {
        self.rewind_path().exists()
    }

    /// Whether it waits for its turn, or its supervisor may still be on its way.
    fn is_starting(&self, state: &State) -> bool {
        let now = Timestamp::now();
        let is_new = || now.as_second() - state.updated.as_second() < START_GRACE;
        let in_queue = || {
            let ticket = self.ticket().ok().flatten();
            ticket.is_some_and(|ticket| ticket.waits() || ticket.is_on_its_way(now))
        };
        state.phase == Phase::Queued && (is_new() || in_queue())
    }
}

/// What is said of a session that somebody else holds.
fn held(error: &LockError) -> String {
    match error {
        LockError::Held { holder: Holder { pid: Some(pid), listens: true } } => {
            format!("is run by process {pid}")
        }
        LockError::Held { holder: Holder { pid: Some(pid), .. } } => {
            format!("is in use by another command, process {pid}")
        }
        LockError::Held { .. } => "is run by another process".to_owned(),
        LockError::Io { source, .. } => format!("cannot be run: {error}: {source}"),
    }
}

fn interrupt(state: &mut State, reason: &str) {
    state.phase = Phase::Interrupted;
    reason.clone_into(&mut state.reason);
}

/// The id that is meant among these ids and names.
pub(super) fn pick<'a>(
    given: &str,
    sessions: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<&'a str, FindError> {
    let sessions: Vec<_> = sessions.collect();
    let by = |means: &dyn Fn(&str, &str) -> bool| -> Vec<&'a str> {
        sessions.iter().filter(|(id, name)| means(id, name)).map(|(id, _)| *id).collect()
    };
    let exact_id = by(&|id, _| id == given);
    let exact_name = by(&|_, name| name == given);
    let prefix =
        by(&|id, name| !given.is_empty() && (id.starts_with(given) || name.starts_with(given)));
    let matches = [exact_id, exact_name, prefix].into_iter().find(|found| !found.is_empty());
    match matches.as_deref() {
        Some([id]) => Ok(id),
        Some(several) => Err(FindError::Ambiguous {
            given: given.to_owned(),
            matches: several.iter().map(|&id| id.to_owned()).collect(),
        }),
        None => {
            let near = by(&|id, _| looks_like(given, id));
            let near = near.into_iter().map(str::to_owned).collect();
            Err(FindError::NotFound { given: given.to_owned(), near })
        }
    }
}

/// Whether somebody who typed `given` may have meant `id`: they share a word's beginning.
fn looks_like(given: &str, id: &str) -> bool {
    let given = given.to_lowercase();
    given.split('-').any(|typed| {
        let start: String = typed.chars().take(3).collect();
        start.len() >= 3 && id.split('-').any(|word| word.starts_with(&start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::inbox::When;
    use crate::session::spec::tests::sample;

    fn store(ids: &[&str]) -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        for id in ids {
            store.create(Spec { created: Timestamp::now(), ..sample(id) }).unwrap();
        }
        (folder, store)
    }

    fn found(store: &Store, given: &str) -> String {
        match store.find(given) {
            Ok(session) => session.id,
            Err(error) => format!("{error}"),
        }
    }

    #[test]
    fn a_session_is_found_by_id_name_or_unique_beginning() {
        let (_folder, store) = store(&["fix-7f3k", "fix-ci-2mq8", "fix-ci-9xyz", "docs-k92d"]);
        assert_eq!(found(&store, "fix-7f3k"), "fix-7f3k");
        assert_eq!(found(&store, "fix"), "fix-7f3k", "a whole name goes before a beginning");
        assert_eq!(found(&store, "d"), "docs-k92d");
        assert_eq!(found(&store, "fix-ci"), "'fix-ci' may be any of fix-ci-2mq8, fix-ci-9xyz");
        assert_eq!(found(&store, "fix-ci-2"), "fix-ci-2mq8");
        assert_eq!(found(&store, ""), "no session ''");
        match store.find("docz").unwrap_err() {
            FindError::NotFound { near, .. } => assert_eq!(near, ["docs-k92d"]),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn one_broken_session_hides_no_other_and_is_never_replaced() {
        let (_folder, store) = store(&["fix-7f3k", "docs-k92d"]);
        let dir = store.session("docs-k92d").unwrap().dir;
        fs::write(dir.join(Spec::FILE), "format = 1\nid").unwrap();
        fs::create_dir(dir.with_file_name(".new-x")).unwrap();
        let listing = store.list().unwrap();
        assert_eq!(
            listing.sessions.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(),
            ["fix-7f3k"]
        );
        assert_eq!(listing.broken.iter().map(|b| b.id.as_str()).collect::<Vec<_>>(), ["docs-k92d"]);
        assert!(matches!(store.find("docs"), Err(FindError::Broken(_))));
        assert!(store.create(sample("docs-k92d")).is_err());
        assert_eq!(fs::read_to_string(dir.join(Spec::FILE)).unwrap(), "format = 1\nid");
        assert_eq!(store.ids().unwrap(), ["docs-k92d", "fix-7f3k"]);
    }

    #[test]
    fn a_dead_supervisor_reads_as_interrupted_and_nothing_is_written() {
        let (_folder, store) = store(&["fix-7f3k"]);
        let session = store.find("fix").unwrap();
        assert_eq!(session.state().unwrap().phase, Phase::Queued, "its supervisor is on its way");
        let (lock, mut state) = session.lock().unwrap();
        state.move_to(Phase::Running, "", Timestamp::now()).unwrap();
        state.write(&session.state_path()).unwrap();
        assert_eq!(session.state().unwrap().phase, Phase::Running);
        assert!(matches!(session.lock(), Err(SessionError::Lock { .. })));
        drop(lock);
        // A child that another test starts just now holds the lock too, until it runs its program.
        while session.holder().unwrap().is_some() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(session.state().unwrap().phase, Phase::Interrupted);
        let on_disk: State = format::read(&session.state_path()).unwrap();
        assert_eq!(on_disk, state);
        // Nor is one that nobody ever took up queued for ever.
        let old = State::new(Timestamp::from_second(1).unwrap());
        old.write(&session.state_path()).unwrap();
        assert_eq!(session.state().unwrap().phase, Phase::Interrupted);
    }

    #[test]
    fn a_state_that_a_power_cut_emptied_reads_as_of_a_session_that_died() {
        let (_folder, store) = store(&["one-7f3k"]);
        let session = store.session("one-7f3k").unwrap();
        for torn in [&b""[..], &[0; 512]] {
            fs::write(session.state_path(), torn).unwrap();
            assert_eq!(session.state().unwrap().phase, Phase::Interrupted);
            assert_eq!(session.lock().unwrap().1.phase, Phase::Interrupted);
        }
    }

    #[test]
    fn a_landed_session_takes_no_message() {
        let (_folder, store) = store(&["fix-7f3k"]);
        let session = store.find("fix").unwrap();
        let say = Kind::Say { text: "hi".into(), when: When::Now };
        session.send(say.clone()).unwrap();
        State { phase: Phase::Landed, ..session.state().unwrap() }
            .write(&session.state_path())
            .unwrap();
        let refused = session.send(say).unwrap_err();
        assert_eq!(refused.to_string(), "session fix-7f3k is landed and takes no more messages");
        assert_eq!(session.inbox().peek().unwrap().letters.len(), 1);
    }

    #[test]
    fn e09_a_newer_session_is_read_and_listed_but_not_taken_over_nor_written_to() {
        let (_folder, store) = store(&["fix-7f3k"]);
        let session = store.find("fix").unwrap();
        for file in [Spec::FILE, State::FILE] {
            let text = fs::read_to_string(session.dir.join(file)).unwrap();
            fs::write(session.dir.join(file), text.replacen("format = 1", "format = 2", 1))
                .unwrap();
        }
        let session = store.find("fix").unwrap();
        let newer = |error: SessionError| {
            matches!(error, SessionError::Format(FormatError::Newer { found: 2, .. }))
        };
        assert!(newer(session.lock().unwrap_err()));
        assert!(newer(session.send(Kind::Pause).unwrap_err()));
        assert_eq!(session.state().unwrap().format, 2);
    }

    #[test]
    fn w20_a_session_appears_when_it_is_finished_and_a_crash_before_is_found() {
        let (_folder, store) = store(&[]);
        let draft = store.begin(sample("fix-7f3k")).unwrap();
        assert_eq!((store.ids().unwrap().len(), store.unfinished().unwrap().len()), (0, 0));
        // What a killed process leaves: the folder, and no lock on it.
        let left = store.root().join("sessions/.new-left");
        fs::create_dir(&left).unwrap();
        fs::copy(draft.folder.path().join(Spec::FILE), left.join(Spec::FILE)).unwrap();
        let unfinished = store.unfinished().unwrap();
        assert_eq!(unfinished.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["fix-7f3k"]);
        store.remove(&unfinished[0]).unwrap();
        let state = State::new(Timestamp::now());
        assert_eq!(draft.finish(&state).unwrap().state().unwrap(), state);
        drop(store.begin(sample("docs-k92d")).unwrap());
        assert_eq!(store.folders().unwrap(), ["fix-7f3k"]);
    }

    #[test]
    fn left_overs_are_swept_when_they_are_old_and_sessions_never() {
        let (_folder, store) = store(&["fix-7f3k"]);
        let sessions = store.root().join("sessions");
        let long_ago = std::time::SystemTime::now() - 2 * SWEEP_AGE;
        for name in [".old-a", ".new-a", ".old-young"] {
            fs::create_dir(sessions.join(name)).unwrap();
        }
        for name in [".old-a", ".new-a", "fix-7f3k"] {
            std::fs::File::open(sessions.join(name)).unwrap().set_modified(long_ago).unwrap();
        }
        store.sweep().unwrap();
        assert_eq!(store.folders().unwrap(), [".old-young", "fix-7f3k"]);
    }

    #[test]
    fn a_removed_session_is_gone_whole() {
        let (_folder, store) = store(&["fix-7f3k"]);
        store.remove(&store.find("fix").unwrap()).unwrap();
        assert_eq!(fs::read_dir(store.root().join("sessions")).unwrap().count(), 0);
    }
}
