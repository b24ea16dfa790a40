//! Telling people what becomes of a session, by the channels that they have named.
//!
//! Invariant: a notice is data from end to end: no word of an agent is ever read by a shell; and a
//! channel that fails or hangs costs a line in the log, never the session.

mod command;
mod desktop;
mod ear;
mod webhook;

pub use desktop::is_there as has_desktop;
pub use ear::{Ear, Standing};
pub use webhook::{SECRET, Webhook};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::config::{Channel, Notify, Occasion};
use crate::process::ProcessError;

/// The format number of the JSON.
const FORMAT: u32 = 1;

/// More notices than these do not wait for one channel.
const WAITING: usize = 32;

/// The session that notices are of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// Its id.
    pub session: String,
    /// The first line of its task.
    pub task: String,
    /// Its branch, without `refs/heads/`.
    pub branch: String,
    /// Its worktree.
    pub worktree: PathBuf,
    /// Its main checkout; of a bare repository the git dir.
    pub repository: PathBuf,
    /// Its folder: once that is gone, so is the session, and nothing is told of it.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// One notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// What it is about.
    #[serde(rename = "event")]
    pub occasion: Occasion,
    /// When that happened.
    pub time: Timestamp,
    /// At which step.
    pub step: u32,
    /// What happened, in a few words: `add-rate-7f3k needs input`.
    pub title: String,
    /// What is asked or told; may be several lines, and empty.
    pub text: String,
    /// The commands that answer it, the likeliest first.
    pub commands: Vec<String>,
    /// Whether a person is asked: then it is for all who want to be told of that, too.
    #[serde(skip)]
    pub asks: bool,
}

impl Notice {
    /// Whether a person with these settings wants it.
    pub fn is_wanted(&self, settings: &Notify) -> bool {
        settings.is_for(self.occasion) || (self.asks && settings.is_for(Occasion::NeedsInput))
    }
}

/// A notice and its session: what each channel gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Letter {
    format: u32,
    #[serde(flatten)]
    subject: Subject,
    #[serde(flatten)]
    notice: Notice,
}

/// A notice that a channel did not bring.
#[derive(Debug, thiserror::Error)]
pub enum NotTold {
    /// The channel lacks a setting.
    #[error("{0} is not set")]
    Unset(&'static str),
    /// Nothing here can show it.
    #[error("no desktop here")]
    NoDesktop,
    /// A program cannot be started.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A program said no.
    #[error("exit {exit}{}", said.as_ref().map(|said| format!(": {said}")).unwrap_or_default())]
    Failed {
        /// Its exit code.
        exit: i32,
        /// The last line that it printed.
        said: Option<String>,
    },
    /// A program did not end in time.
    #[error("ended after {} s", .0.as_secs())]
    Late(Duration),
    /// An address that is none, or not safe.
    #[error("agent.notifyWebhook is no address to post to: {0}")]
    Address(String),
    /// There is no secret where there should be one.
    #[error("agent.notifySecretCommand gave no secret: {0}")]
    Secret(String),
    /// The server did not take it.
    #[error("{host}: {reason} (tries: {tries})")]
    Refused {
        /// Who: the rest of the address may be a secret.
        host: String,
        /// How often it was tried.
        tries: usize,
        /// What the server or the system said last.
        reason: String,
    },
}

/// A channel that this process itself can use: not the bell, which is the terminals'.
enum Way {
    Desktop,
    Command(String),
    Webhook(Box<Webhook>),
    /// It is named, but what it needs is not set.
    Lacking(&'static str),
}

/// The channels of one session, each with a worker of its own: a slow one holds up no other.
pub struct Channels {
    subject: Subject,
    workers: Vec<(mpsc::Sender<Arc<Letter>>, JoinHandle<()>)>,
}

impl Channels {
    /// Opens the channels that are named; none where this process can use none of them.
    ///
    /// Must be called within a tokio runtime.
    pub fn open(settings: &Notify, subject: Subject) -> Option<Self> {
        let ways: Vec<_> = settings.channels.iter().filter_map(|it| way(*it, settings)).collect();
        let workers = ways.into_iter().map(|(channel, way)| {
            let (sender, letters) = mpsc::channel(WAITING);
            (sender, tokio::spawn(work(channel, way, letters)))
        });
        let workers: Vec<_> = workers.collect();
        (!workers.is_empty()).then_some(Self { subject, workers })
    }

    /// Hands a notice to each channel, and waits for none.
    pub fn tell(&self, notice: Notice) {
        let letter = Arc::new(Letter::new(self.subject.clone(), notice));
        for (sender, _) in &self.workers {
            if sender.try_send(Arc::clone(&letter)).is_err() {
                tracing::warn!(title = letter.notice.title, "too many notices wait: not told");
            }
        }
    }

    /// Waits until all is told, no longer than until then.
    pub async fn close(self, until: Instant) {
        for (sender, worker) in self.workers {
            // Without a sender a worker ends when it has told what is left.
            drop(sender);
            if timeout_at(until, worker).await.is_err() {
                tracing::warn!("notices were still on their way when the supervisor ended");
            }
        }
    }
}

/// Tells one notice by each channel that this process can use, and says what came of it.
pub async fn try_each(
    settings: &Notify,
    subject: &Subject,
    notice: &Notice,
) -> Vec<(Channel, Result<(), NotTold>)> {
    let letter = Letter::new(subject.clone(), notice.clone());
    let ways: Vec<_> = settings.channels.iter().filter_map(|it| way(*it, settings)).collect();
    let told = ways.into_iter().map(async |(channel, mut way)| (channel, way.tell(&letter).await));
    futures_util::future::join_all(told).await
}

async fn work(channel: Channel, mut way: Way, mut letters: mpsc::Receiver<Arc<Letter>>) {
    while let Some(letter) = letters.recv().await {
        if !letter.is_current() {
            continue;
        }
        let (channel, title) = (channel.name(), &letter.notice.title);
        match way.tell(&letter).await {
            Ok(()) => tracing::info!(channel, title, "told"),
            Err(error) => tracing::warn!(channel, title, %error, "not told"),
        }
    }
}

fn way(channel: Channel, settings: &Notify) -> Option<(Channel, Way)> {
    let way = match channel {
        Channel::Bell => return None,
        Channel::Desktop => Way::Desktop,
        Channel::Command => match &settings.command {
            Some(command) => Way::Command(command.clone()),
            None => Way::Lacking("agent.notifyCommand"),
        },
        Channel::Webhook => match &settings.webhook {
            Some(address) => {
                Way::Webhook(Box::new(Webhook::new(address, settings.secret_command.clone())))
            }
            None => Way::Lacking("agent.notifyWebhook"),
        },
    };
    Some((channel, way))
}

impl Way {
    async fn tell(&mut self, letter: &Letter) -> Result<(), NotTold> {
        match self {
            Self::Desktop => desktop::tell(letter).await,
            Self::Command(line) => command::tell(line, letter).await,
            Self::Webhook(webhook) => webhook.tell(letter).await,
            Self::Lacking(key) => Err(NotTold::Unset(key)),
        }
    }
}

impl Letter {
    fn new(subject: Subject, notice: Notice) -> Self {
        Self { format: FORMAT, subject, notice }
    }

    /// Whether its session is still there.
    fn is_current(&self) -> bool {
        self.subject.folder.exists()
    }

    /// As JSON, for programs.
    fn json(&self) -> String {
        // A path that is not UTF-8 is all that JSON cannot hold; the rest is still told then.
        serde_json::to_string(self).unwrap_or_else(|_| {
            let Notice { occasion, title, text, .. } = &self.notice;
            let session = &self.subject.session;
            serde_json::json!({
                "format": FORMAT, "session": session, "event": occasion, "title": title, "text": text
            })
            .to_string()
        })
    }

    /// What is told and what answers it, for people.
    fn body(&self) -> String {
        let lines = self.notice.text.lines().chain(self.notice.commands.iter().map(String::as_str));
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod testing {
    use super::*;

    /// A letter of a session whose folder is there.
    pub(super) fn letter(folder: &std::path::Path) -> Letter {
        let subject = Subject {
            session: "add-rate-7f3k".to_owned(),
            task: "Add rate limiting".to_owned(),
            branch: "agent/add-rate".to_owned(),
            worktree: "/src/shop.worktrees/add-rate".into(),
            repository: folder.to_owned(),
            folder: folder.to_owned(),
        };
        let notice = Notice {
            occasion: Occasion::NeedsInput,
            time: "2026-11-22T15:00:00Z".parse().unwrap(),
            step: 3,
            title: "add-rate-7f3k needs input".to_owned(),
            text: "Which store?\n1. $(touch /tmp/x) `id` \"q\" 'q'".to_owned(),
            commands: vec!["git agent answer add-rate-7f3k \"…\"".to_owned()],
            asks: true,
        };
        Letter::new(subject, notice)
    }
}
