//! How a person is told of sessions: what is set, and whether it works.
//!
//! Invariant: nobody is told anything unless a trial is asked for; no secret is shown.

use super::{Check, Verdict};
use crate::commands::context::Context;
use crate::commands::control::block_on;
use crate::config::{Channel, Notify, Occasion};
use crate::error::{CommandError, Result};
use crate::notify::{self, Notice, Subject, Webhook};

const AREA: &str = "notices";

/// What is set, a line for each channel.
pub(super) fn checks(settings: &Notify) -> Vec<Check> {
    let mut checks: Vec<_> = settings.channels.iter().map(|it| check(*it, settings)).collect();
    for (channel, key, is_set) in [
        (Channel::Command, "agent.notifyCommand", settings.command.is_some()),
        (Channel::Webhook, "agent.notifyWebhook", settings.webhook.is_some()),
    ] {
        if is_set && !settings.has(channel) {
            let found = format!("{key} is set, but agent.notify does not name {}", channel.name());
            let hint = format!("git config --global --add agent.notify {}", channel.name());
            checks.push(Check::new(AREA, Verdict::Warning, found).hint(hint));
        }
    }
    if checks.is_empty() {
        checks.push(
            Check::new(AREA, Verdict::Absent, "agent.notify is not set")
                .hint("git config --global agent.notify desktop"),
        );
    }
    checks
}

/// Tells a trial notice by each channel, and says what came of it.
///
/// # Errors
/// No channel is named.
pub(super) fn tried(context: &Context<'_>) -> Result<Vec<Check>> {
    let settings = context.config()?.notify;
    if settings.channels.is_empty() {
        return Err(CommandError::no("agent.notify names no channel, so nobody is told")
            .hint("git config --global agent.notify desktop"));
    }
    let folder = tempfile::tempdir()?;
    let repo = &context.repo;
    let subject = Subject {
        session: "trial".to_owned(),
        task: "Try the notices".to_owned(),
        branch: String::new(),
        worktree: folder.path().to_owned(),
        repository: repo.main_work_dir().unwrap_or_else(|| repo.common_dir().to_owned()),
        folder: folder.path().to_owned(),
    };
    let notice = Notice {
        occasion: Occasion::Done,
        time: context.now,
        step: 0,
        title: "git agent tries its notices".to_owned(),
        text: "This is how you are told of your sessions.".to_owned(),
        commands: vec!["git agent list".to_owned()],
        asks: false,
    };
    let mut checks = Vec::new();
    if settings.has(Channel::Bell) {
        context.ui.ring();
        checks.push(Check::new(AREA, Verdict::Good, "bell: rung, if this is a terminal"));
    }
    for (channel, told) in block_on(notify::try_each(&settings, &subject, &notice))? {
        let name = channel.name();
        checks.push(match told {
            Ok(()) => Check::new(AREA, Verdict::Good, format!("{name}: told")),
            Err(error) => Check::new(AREA, Verdict::Bad, format!("{name}: {error}")),
        });
    }
    Ok(checks)
}

fn check(channel: Channel, settings: &Notify) -> Check {
    let good = |found: &str| Check::new(AREA, Verdict::Good, found);
    let warning = |found: &str| Check::new(AREA, Verdict::Warning, found);
    match channel {
        Channel::Bell => good("bell: in terminals that follow a session"),
        Channel::Desktop if notify::has_desktop() => good("desktop"),
        Channel::Desktop => warning("desktop: there is none here, or no notify-send")
            .hint("Terminals that follow a session show the notice, where they know how to"),
        Channel::Command => match &settings.command {
            Some(line) => good(&format!("command: {line}")),
            None => warning("command: agent.notifyCommand is not set"),
        },
        Channel::Webhook => {
            let Some(address) = &settings.webhook else {
                return warning("webhook: agent.notifyWebhook is not set");
            };
            let webhook = Webhook::new(address, settings.secret_command.clone());
            match webhook.host() {
                Ok(host) if webhook.is_signed() => good(&format!("webhook: {host}, signed")),
                Ok(host) => warning(&format!("webhook: {host}, not signed"))
                    .hint("agent.notifySecretCommand names a command that prints a secret"),
                Err(error) => warning(&format!("webhook: {error}")),
            }
        }
    }
}
