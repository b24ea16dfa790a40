//! A session's place in the queue: one small file, there as long as the session waits to be run.
//!
//! Invariant: who waits is known from this folder alone, without a look at any session; a file that
//! cannot be read keeps nobody from being run.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::format::FORMAT;
use super::store::{START_GRACE, Session, Store};
use crate::file;

/// The folder of the queue, beside that of the sessions.
const FOLDER: &str = "queue";

/// What goes first where not all can run.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// Before all others
    High,
    /// As usual
    #[default]
    Medium,
    /// When nothing else waits
    Low,
}

impl Priority {
    /// The word that is typed and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// What is known of a session that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Format number of the file.
    pub format: u32,
    /// What goes first.
    #[serde(default)]
    pub priority: Priority,
    /// When the session was made: the oldest of one priority goes first.
    pub since: Timestamp,
    /// When its supervisor was started, which is on its way since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<Timestamp>,
    /// The variables that hold the keys of its model, each with a fingerprint: whoever starts it
    /// must have the same, since no key is ever stored.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, u16>,
}

impl Ticket {
    /// The ticket of a session that waits from now on.
    pub fn new(session: &Session, priority: Priority, keys: BTreeMap<String, u16>) -> Self {
        Self { format: FORMAT, priority, since: session.spec.created, called: None, keys }
    }

    /// Whether its supervisor may still be on its way.
    pub fn is_on_its_way(&self, now: Timestamp) -> bool {
        self.called.is_some_and(|called| now.as_second() - called.as_second() < START_GRACE)
    }

    /// Whether it waits to be called.
    pub fn waits(&self) -> bool {
        self.called.is_none()
    }
}

impl Session {
    /// Its ticket; none where it does not wait.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn ticket(&self) -> io::Result<Option<Ticket>> {
        read(&self.ticket_path())
    }

    /// Queues it up, or changes its ticket.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn queue_up(&self, ticket: &Ticket) -> io::Result<()> {
        let path = self.ticket_path();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let text = toml::to_string(ticket).map_err(io::Error::other)?;
        file::replace(&path, text.as_bytes())
    }

    /// Takes it out of the queue, whether it is in it or not.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn leave_queue(&self) -> io::Result<()> {
        remove(&self.ticket_path())
    }

    fn ticket_path(&self) -> PathBuf {
        let root = self.dir.ancestors().nth(2).unwrap_or(&self.dir);
        root.join(FOLDER).join(&self.id)
    }
}

impl Store {
    /// Whether anybody waits: one look into one folder.
    pub fn is_waited_for(&self) -> bool {
        let entries = fs::read_dir(self.root().join(FOLDER));
        entries.is_ok_and(|entries| entries.flatten().any(|entry| is_ticket(&entry.file_name())))
    }

    /// Takes away the ticket of what is no session any more.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn drop_ticket(&self, id: &str) -> io::Result<()> {
        remove(&self.root().join(FOLDER).join(id))
    }

    /// Who waits, and who has been called and is on its way, by id, who goes first before the
    /// others.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn queue(&self) -> io::Result<Vec<(String, Ticket)>> {
        let folder = self.root().join(FOLDER);
        let Some(entries) = file::if_there(fs::read_dir(&folder))? else { return Ok(Vec::new()) };
        let mut queue = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            if !is_ticket(&name) {
                continue;
            }
            let id = name.to_string_lossy().into_owned();
            // One that is gone since its name was read waits no more.
            if let Some(ticket) = read(&folder.join(&name))? {
                queue.push((id, ticket));
            }
        }
        queue.sort_by(|(a, x), (b, y)| (x.priority, x.since, a).cmp(&(y.priority, y.since, b)));
        Ok(queue)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    file::remove(path)
}

/// A file that is just being written begins with a dot.
fn is_ticket(name: &OsStr) -> bool {
    !name.to_string_lossy().starts_with('.')
}

fn read(path: &Path) -> io::Result<Option<Ticket>> {
    let Some(text) = file::if_there(fs::read_to_string(path))? else { return Ok(None) };
    let damaged = |_| Ticket {
        format: FORMAT,
        priority: Priority::default(),
        since: Timestamp::UNIX_EPOCH,
        called: None,
        keys: BTreeMap::new(),
    };
    Ok(Some(toml::from_str(&text).unwrap_or_else(damaged)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::spec::Spec;
    use crate::session::spec::tests::sample;

    fn waiting(store: &Store, id: &str, created: i64, priority: Priority) -> Session {
        let created = Timestamp::from_second(created).unwrap();
        let session = store.create(Spec { created, ..sample(id) }).unwrap();
        session.queue_up(&Ticket::new(&session, priority, BTreeMap::new())).unwrap();
        session
    }

    #[test]
    fn priority_goes_before_age_and_age_before_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        assert_eq!((store.is_waited_for(), store.queue().unwrap()), (false, Vec::new()));
        waiting(&store, "old-low-aaaa", 1, Priority::Low);
        waiting(&store, "new-high-aaaa", 9, Priority::High);
        waiting(&store, "b-same-aaaa", 5, Priority::Medium);
        waiting(&store, "a-same-aaaa", 5, Priority::Medium);
        let older = waiting(&store, "older-aaaa", 2, Priority::Medium);
        let ids = || store.queue().unwrap().into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        let expected =
            ["new-high-aaaa", "older-aaaa", "a-same-aaaa", "b-same-aaaa", "old-low-aaaa"];
        assert_eq!(ids(), expected);
        older.leave_queue().unwrap();
        older.leave_queue().unwrap();
        assert_eq!(older.ticket().unwrap(), None);
        assert_eq!(ids().len(), 4);
        assert!(store.is_waited_for());
    }

    #[test]
    fn a_damaged_ticket_waits_no_longer_than_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        let session = waiting(&store, "one-aaaa", 5, Priority::Low);
        fs::write(session.ticket_path(), "format = ").unwrap();
        fs::write(session.ticket_path().with_file_name(".tmp"), "").unwrap();
        let queue = store.queue().unwrap();
        let [(id, ticket)] = queue.as_slice() else { panic!("{queue:?}") };
        assert_eq!((id.as_str(), ticket.waits()), ("one-aaaa", true));
    }
}
