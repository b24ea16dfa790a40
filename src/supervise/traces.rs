//! Sends traces of a session to a collector, beside its run.
//!
//! Invariant: a session neither waits nor fails for it: what cannot be sent now is sent later, from
//! where the journal was left; how far that is, is on disk after each batch that arrived.

use std::io;
use std::time::Duration;

use fs_err as fs;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::cancel::Cancel;
use crate::file;
use crate::git::Repo;
use crate::session::format::{self, FORMAT, FormatError};
use crate::session::journal::{Entry, Reader};
use crate::session::store::Session;
use crate::telemetry::{Collector, Fold, NotSent, Where};

/// How often the journal is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long what is left may take when the session rests.
const LAST: Duration = Duration::from_secs(5);
/// How long a collector that takes nothing is let alone, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// About as many spans go out at once.
const BATCH: usize = 256;
/// The file that says how far the sending is.
const FILE: &str = "exported.toml";

/// The traces of one session, on their way.
pub(super) struct Traces {
    over: Cancel,
    sending: JoinHandle<()>,
}

/// How far the sending is.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    format: u32,
    /// The end of the last line of the journal that was sent, in bytes.
    exported: u64,
}

struct Sending {
    session: Session,
    collector: Collector,
    /// What came of the journal up to the mark.
    fold: Fold,
    mark: u64,
    has_failed: bool,
}

impl Traces {
    /// Begins to send, where that is set; must be called within a tokio runtime.
    pub(super) fn begin(repo: &Repo, session: &Session) -> Option<Self> {
        let settings = repo.usable_config().0.otel;
        let env = |name: &str| std::env::var(name).ok();
        let opened = Where::of(&settings, env)?.and_then(|there| {
            let fold = Fold::new(&session.spec, there.content);
            Ok((Collector::open(&there, env)?, fold))
        });
        let (collector, fold) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(%error, "no traces of this session are sent");
                return None;
            }
        };
        let session = session.clone();
        let sending = Sending { session, collector, fold, mark: 0, has_failed: false };
        let over = Cancel::default();
        let sending = tokio::spawn(sending.follow(over.clone()));
        Some(Self { over, sending })
    }

    /// Sends what is left, and waits for that, for a while.
    pub(super) async fn close(self) {
        self.over.raise();
        if timeout(LAST, self.sending).await.is_err() {
            tracing::info!(
                "spans were still unsent when the supervisor ended: the next run sends them"
            );
        }
    }
}

impl Sending {
    async fn follow(mut self, over: Cancel) {
        // The session's lock is taken, or refused, long before the first look.
        let mut is_last = wait(LOOK, &over).await;
        if let Err(error) = self.begin() {
            return tracing::warn!(%error, "no traces of this session are sent");
        }
        let mut pause = LOOK;
        loop {
            let started = Instant::now();
            match self.send_new().await {
                Ok(()) => pause = LOOK,
                Err(error) => {
                    self.complain(&error);
                    pause = (pause * 2).max(started.elapsed()).min(LONGEST_PAUSE);
                }
            }
            if !is_last {
                is_last = wait(pause, &over).await;
            } else if pause == LOOK || !self.is_alone() {
                return;
            } else {
                // Until who waits for the end waits no longer.
                sleep(LOOK / 2).await;
            }
        }
    }

    /// Goes on where an earlier run has ended.
    fn begin(&mut self) -> Result<(), FormatError> {
        let mark = match format::read::<Mark>(&self.session.dir.join(FILE)) {
            Ok(mark) => mark.exported,
            Err(FormatError::Io(error)) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let journal = self.session.journal_path();
        let mut reader = Reader::open(&journal, 0)?;
        while reader.offset() < mark.min(fs::metadata(&journal)?.len()) {
            let at = reader.offset();
            match reader.next() {
                Some(Ok(Entry::Event(event))) => drop(self.fold.apply(at, &event)),
                Some(Ok(Entry::Damaged { .. })) => {}
                Some(Err(error)) => return Err(error.into()),
                None => break,
            }
        }
        self.mark = reader.offset();
        Ok(())
    }

    /// Sends what has ended since the mark, batch by batch.
    async fn send_new(&mut self) -> Result<(), NotSent> {
        let unread = |error: io::Error| NotSent::Later(error.to_string());
        loop {
            let mut reader =
                Reader::open(&self.session.journal_path(), self.mark).map_err(unread)?;
            let mut fold = self.fold.clone();
            let mut spans = Vec::new();
            while spans.len() < BATCH {
                let at = reader.offset();
                match reader.next() {
                    Some(Ok(Entry::Event(event))) => spans.extend(fold.apply(at, &event)),
                    Some(Ok(Entry::Damaged { .. })) => {}
                    Some(Err(error)) => return Err(unread(error)),
                    None => break,
                }
            }
            if spans.is_empty() {
                (self.fold, self.mark) = (fold, reader.offset());
                return Ok(());
            }
            let count = spans.len();
            match self.collector.send(&spans).await {
                Ok(()) => tracing::debug!(count, "spans are sent"),
                // They would be in the way of all that come later.
                Err(error @ NotSent::Refused(_)) => self.complain(&error),
                Err(error) => return Err(error),
            }
            (self.fold, self.mark) = (fold, reader.offset());
            self.write_mark();
        }
    }

    /// Whether nobody else runs the session by now, and sends what is left.
    fn is_alone(&self) -> bool {
        self.session.holder().is_ok_and(|holder| holder.is_none())
    }

    /// Says once what is wrong.
    fn complain(&mut self, error: &NotSent) {
        if std::mem::replace(&mut self.has_failed, true) {
            tracing::debug!(%error, "traces");
        } else {
            tracing::warn!(%error, "traces of this session are not sent; said once");
        }
    }

    fn write_mark(&self) {
        let mark = toml::to_string(&Mark { format: FORMAT, exported: self.mark });
        let path = self.session.dir.join(FILE);
        let written = mark
            .map_err(io::Error::other)
            .and_then(|text| file::replace_unsynced(&path, text.as_bytes()));
        if let Err(error) = written {
            tracing::warn!(%error, "spans may be sent again when the session is resumed");
        }
    }
}

/// Waits for so long; says whether all is over by then.
async fn wait(pause: Duration, over: &Cancel) -> bool {
    tokio::select! {
        () = sleep(pause) => over.is_raised(),
        () = over.raised() => true,
    }
}
