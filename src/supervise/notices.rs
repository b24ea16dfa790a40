//! Tells people of what happens in a session, beside its run.
//!
//! Invariant: only what stands in the journal is told, each of it once: how far the telling is, is
//! on disk before a notice goes out, so that a run that is killed costs a notice, and none comes
//! twice.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use fs_err as fs;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::config::{Config, Entry, Notify};
use crate::event::Update;
use crate::file;
use crate::git::Repo;
use crate::message::PlanStatus;
use crate::notify::{Channels, Ear, Standing, Subject};
use crate::session::format::{self, FORMAT, FormatError};
use crate::session::journal::{Entry as Line, Reader};
use crate::session::state::State;
use crate::session::store::Session;

/// How often the journal is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long notices may be on their way when the session rests.
const LAST: Duration = Duration::from_secs(30);
/// The file that says how far the telling is.
const FILE: &str = "notified.toml";

/// The notices of one session, where a person wants any.
pub(super) struct Notices {
    settings: Notify,
    channels: Channels,
    session: Session,
    /// Where the journal ended when this run began.
    end: u64,
    /// Opened behind the session's lock: another may be telling until then.
    place: Option<Place>,
}

/// Where the telling is.
struct Place {
    reader: Reader,
    ear: Ear,
}

/// How far the telling is.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    format: u32,
    /// The end of the last line of the journal that was told, in bytes.
    told: u64,
    /// Items of the plan that were told of.
    #[serde(default)]
    milestones: Vec<String>,
}

impl Notices {
    /// None where nobody wants to be told, or nobody can be.
    ///
    /// Must be called within a tokio runtime.
    pub(super) fn open(repo: &Repo, session: &Session) -> Option<Self> {
        let entries = repo.config("agent").into_iter();
        let entries = entries.map(|e| Entry { key: e.key, value: e.value, origin: e.origin });
        // A setting that is wrong keeps the session from running, which says so.
        let settings = Config::read(entries).ok()?.0.notify;
        let Some(channels) = Channels::open(&settings, subject(repo, session)) else {
            // Who wants to be told again later is not told of what was before.
            return match fs::remove_file(session.dir.join(FILE)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, "a mark of notices stays");
                    None
                }
                _ => None,
            };
        };
        let end = fs::metadata(session.journal_path()).map_or(0, |journal| journal.len());
        Some(Self { settings, channels, session: session.clone(), end, place: None })
    }

    /// Tells what happens, for as long as it is asked to.
    pub(super) async fn follow(&mut self) -> Infallible {
        loop {
            // The session's lock is taken, or refused, long before the first look.
            tokio::time::sleep(LOOK).await;
            self.look(true);
        }
    }

    /// Tells what is left, and waits until it is told, for a while.
    pub(super) async fn close(mut self) {
        self.look(false);
        self.channels.close(Instant::now() + LAST).await;
    }

    fn look(&mut self, will_come: bool) {
        let place = match self.place.take() {
            Some(place) => Ok(place),
            None => self.begin(),
        };
        match place {
            Ok(mut place) => {
                self.tell(&mut place, will_come);
                self.place = Some(place);
            }
            Err(error) => tracing::warn!(%error, "nobody is told of this session"),
        }
    }

    /// Goes on where an earlier run has ended; in a session that was never told of, with what has
    /// happened since this run began.
    fn begin(&self) -> Result<Place, FormatError> {
        let journal = self.session.journal_path();
        let mark = match format::read::<Mark>(&self.session.dir.join(FILE)) {
            Ok(mark) => mark,
            Err(FormatError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                let milestones = if self.end == 0 { Vec::new() } else { self.finished()? };
                Mark { format: FORMAT, told: self.end, milestones }
            }
            Err(error) => return Err(error),
        };
        let end = fs::metadata(&journal)?.len();
        let reader = Reader::open(&journal, mark.told.min(end))?;
        let place = Place { reader, ear: Ear::new(&self.session.id, mark.milestones) };
        self.write_mark(&place.ear, place.reader.offset());
        Ok(place)
    }

    /// The items of the plan that are finished.
    fn finished(&self) -> Result<Vec<String>, FormatError> {
        let plan = format::read::<State>(&self.session.state_path())?.plan.into_iter();
        let finished = plan.filter(|item| item.status == PlanStatus::Done);
        Ok(finished.map(|item| item.text).collect())
    }

    fn tell(&self, Place { reader, ear }: &mut Place, will_come: bool) {
        let mut due = Vec::new();
        let mut told = reader.offset();
        loop {
            let before = reader.offset();
            let event = match reader.next() {
                Some(Ok(Line::Event(event))) => event,
                Some(Ok(Line::Damaged { .. })) => continue,
                Some(Err(error)) => {
                    tracing::warn!(%error, "the journal cannot be read for notices");
                    break;
                }
                None => break,
            };
            due.extend(ear.hear(&event));
            if matches!(event.update, Update::State(_)) {
                // Until the move is told, the next run must hear of it.
                told = before;
            }
        }
        if ear.is_waiting() {
            // Unwritten on a full disk, say: then it tells nothing.
            let state = format::read::<State>(&self.session.state_path()).ok();
            let standing = state.as_ref().map_or_else(Standing::default, |state| Standing {
                phase: state.phase.as_str(),
                question: state.question.as_ref(),
                summary: &state.summary,
            });
            due.extend(ear.settle(&standing, will_come));
        }
        if !ear.is_waiting() {
            told = reader.offset();
        }
        due.retain(|notice| notice.is_wanted(&self.settings));
        if due.is_empty() {
            return;
        }
        self.write_mark(ear, told);
        due.into_iter().for_each(|notice| self.channels.tell(notice));
    }

    fn write_mark(&self, ear: &Ear, told: u64) {
        let milestones = ear.finished().map(str::to_owned).collect();
        let mark = toml::to_string(&Mark { format: FORMAT, told, milestones });
        let path = self.session.dir.join(FILE);
        let written = mark
            .map_err(io::Error::other)
            .and_then(|text| file::replace_unsynced(&path, text.as_bytes()));
        if let Err(error) = written {
            tracing::warn!(%error, "a notice may come again when the session is resumed");
        }
    }
}

fn subject(repo: &Repo, session: &Session) -> Subject {
    let spec = &session.spec;
    Subject {
        session: session.id.clone(),
        task: spec.task.lines().next().unwrap_or_default().to_owned(),
        branch: spec.branch_name().to_owned(),
        worktree: spec.worktree.clone(),
        repository: repo.main_work_dir().unwrap_or_else(|| repo.common_dir().to_owned()),
        folder: session.dir.clone(),
    }
}
