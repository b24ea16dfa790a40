//! How a person is told of a session: `agent.notify` and its kin.
//!
//! Invariant: nothing is told by a channel that was not named, and what an occasion or a channel is
//! called stands here alone.

use serde::{Deserialize, Serialize};

use super::value::{list_of, optional};
use super::{ConfigError, Entry};

/// A way to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Channel {
    /// The bell of terminals that follow the session
    Bell,
    /// A notice on the desktop
    Desktop,
    /// A command of the user's
    Command,
    /// A request to an address
    Webhook,
}

/// What a person may be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    /// It asks, or rests until a person helps it on
    NeedsInput,
    /// It has finished
    Done,
    /// It gave up
    Failed,
    /// Most or all of what it may use up is used up
    Budget,
    /// An item of its plan is finished
    Milestone,
}

/// The occasions that are told where `agent.notifyOn` says nothing.
const USUAL: [Occasion; 4] =
    [Occasion::NeedsInput, Occasion::Done, Occasion::Failed, Occasion::Budget];

/// How a person is told of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// `agent.notify`: the channels, each once.
    pub channels: Vec<Channel>,
    /// `agent.notifyOn`: the occasions; none where it is not set.
    pub on: Option<Vec<Occasion>>,
    /// `agent.notifyCommand`.
    pub command: Option<String>,
    /// `agent.notifyWebhook`: an address.
    pub webhook: Option<String>,
    /// `agent.notifySecretCommand`: prints what the webhook's requests are signed with.
    pub secret_command: Option<String>,
}

impl Channel {
    /// Its name, as configured.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bell => "bell",
            Self::Desktop => "desktop",
            Self::Command => "command",
            Self::Webhook => "webhook",
        }
    }
}

impl Occasion {
    /// Its name, as configured and as told.
    pub fn name(self) -> &'static str {
        match self {
            Self::NeedsInput => "needs-input",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Budget => "budget",
            Self::Milestone => "milestone",
        }
    }
}

impl Notify {
    /// Whether this channel is named.
    pub fn has(&self, channel: Channel) -> bool {
        self.channels.contains(&channel)
    }

    /// Whether a person wants to be told of this.
    pub fn is_for(&self, occasion: Occasion) -> bool {
        self.on.as_deref().unwrap_or(&USUAL).contains(&occasion)
    }

    /// Whether there is such a setting.
    pub(super) fn set(&mut self, entry: &Entry, name: &str) -> Result<bool, ConfigError> {
        match name {
            "notify" => add(&mut self.channels, list_of(entry)?),
            "notifyon" => add(self.on.get_or_insert_default(), list_of(entry)?),
            "notifycommand" => self.command = optional(entry),
            "notifywebhook" => self.webhook = optional(entry),
            "notifysecretcommand" => self.secret_command = optional(entry),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Adds to a list what is not in it yet; an empty list forgets what a wider level has set.
fn add<T: PartialEq>(list: &mut Vec<T>, more: Vec<T>) {
    if more.is_empty() {
        list.clear();
    }
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Notify, String> {
        let entries = entries.iter().map(|(key, value)| Entry {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
            origin: "file:.git/config".to_owned(),
        });
        let (config, unknown) = Config::read(entries).map_err(|error| error.to_string())?;
        assert_eq!(unknown, []);
        Ok(config.notify)
    }

    #[test]
    fn channels_add_up_and_none_forgets_them() {
        let all = read(&[
            ("agent.notify", "bell, desktop"),
            ("agent.notify", "Bell"),
            ("agent.notify", "command webhook"),
            ("agent.notifyCommand", "tell me"),
            ("agent.notifyWebhook", "https://example.org/x"),
            ("agent.notifySecretCommand", "pass show hook"),
            ("agent.notifyOn", "done,milestone"),
        ])
        .unwrap();
        let wanted = Notify {
            channels: vec![Channel::Bell, Channel::Desktop, Channel::Command, Channel::Webhook],
            on: Some(vec![Occasion::Done, Occasion::Milestone]),
            command: Some("tell me".to_owned()),
            webhook: Some("https://example.org/x".to_owned()),
            secret_command: Some("pass show hook".to_owned()),
        };
        assert_eq!(all, wanted);
        assert!(all.is_for(Occasion::Milestone) && !all.is_for(Occasion::Failed));
        for nothing in ["none", ""] {
            let entries = [("agent.notify", "bell"), ("agent.notify", nothing)];
            assert_eq!(read(&entries).unwrap(), Notify::default());
        }
        let usual = read(&[]).unwrap();
        assert!(usual.is_for(Occasion::Budget) && !usual.is_for(Occasion::Milestone));
        let mute = read(&[("agent.notifyOn", "none")]).unwrap();
        assert!(!mute.is_for(Occasion::Done));
    }

    #[test]
    fn a_channel_that_there_is_not_is_refused() {
        assert_eq!(
            read(&[("agent.notify", "bell,pigeon")]).unwrap_err(),
            "bad value 'bell,pigeon' for agent.notify (file:.git/config): \
             expected none, or some of bell, desktop, command, webhook"
        );
    }
}
