//! What `doctor` looks at, one function an area.
//!
//! Invariant: a look takes no longer than [`PATIENCE`] for each server, and all of them together
//! no longer than one.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use super::{Check, Verdict, notices};
use crate::commands::context::Context;
use crate::commands::sandbox;
use crate::error::{CommandError, Kind};
use crate::model::{Choice, Looked, Surroundings, look};
use crate::policy::Policy;
use crate::process::Cmd;
use crate::session::format::FormatError;
use crate::session::store::Broken;

/// How long a local server may take to answer.
const PATIENCE: Duration = Duration::from_millis(300);

/// The oldest git whose options we use: `worktree list -z` came with 2.36.
const OLDEST_GIT: (u32, u32) = (2, 36);

/// Agents that can be driven or that a person may know, by the name of their program.
const AGENTS: [&str; 8] =
    ["claude", "codex", "gemini", "opencode", "copilot", "goose", "aider", "qwen"];

/// Looks at everything.
pub(super) fn all(
    here: &Path,
    context: std::result::Result<&Context<'_>, &CommandError>,
) -> Vec<Check> {
    let mut checks = vec![git()];
    checks.extend(repository(context));
    checks.push(sandbox(context.ok()));
    checks.push(policy());
    let models = models(here, context.ok());
    let any_model = models.iter().any(|check| check.verdict == Verdict::Good);
    checks.extend(models);
    if !any_model {
        checks.push(
            Check::new("model", Verdict::Bad, "no key and no local server, so no model to ask")
                .hint("Set ANTHROPIC_API_KEY or OPENAI_API_KEY, or start a local server such as `ollama serve`"),
        );
    }
    checks.push(agents());
    checks
}

fn policy() -> Check {
    match Policy::of_machine() {
        Ok(None) => Check::new("policy", Verdict::Absent, "none: your settings alone decide"),
        Ok(Some(policy)) => {
            Check::new("policy", Verdict::Good, format!("{} is in force", policy.path().display()))
        }
        Err(error) => Check::new(
            "policy",
            Verdict::Bad,
            CommandError::from_error(Kind::Blocked, &error).line(),
        ),
    }
}

fn git() -> Check {
    let version = match Cmd::new("git").arg("--version").run() {
        Ok(finished) if finished.exit == 0 => finished.stdout,
        _ => {
            return Check::new("git", Verdict::Bad, "git is not on PATH")
                .hint("Install it: https://git-scm.com/downloads");
        }
    };
    let version = String::from_utf8_lossy(&version).trim().replacen("git version ", "", 1);
    let found = format!("git {version}");
    if parsed(&version).is_some_and(|version| version >= OLDEST_GIT) {
        Check::new("git", Verdict::Good, found)
    } else {
        let (major, minor) = OLDEST_GIT;
        Check::new("git", Verdict::Bad, found)
            .hint(format!("At least {major}.{minor} is needed: https://git-scm.com/downloads"))
    }
}

/// Major and minor of `2.47.3`, `2.39.5 (Apple Git-154)`, `2.50.0.rc1`.
fn parsed(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn repository(context: std::result::Result<&Context<'_>, &CommandError>) -> Vec<Check> {
    let context = match context {
        Ok(context) => context,
        Err(error) => {
            let check = Check::new("repository", Verdict::Warning, error.message.clone());
            return vec![error.hints.iter().fold(check, Check::hint)];
        }
    };
    let place = context.repo.work_dir().unwrap_or(context.repo.common_dir()).display();
    let mut checks = vec![Check::new("repository", Verdict::Good, place.to_string())];
    match context.read_config() {
        Err(error) => {
            let check = Check::new("settings", Verdict::Bad, error.message);
            checks.push(error.hints.into_iter().fold(check, Check::hint));
        }
        Ok((config, unknown)) => {
            let model = config.model.as_ref().map_or_else(
                || "agent.model is not set".to_owned(),
                |model| format!("agent.model {model}"),
            );
            checks.push(Check::new("settings", Verdict::Good, model));
            let warnings = unknown.into_iter();
            checks.extend(
                warnings.map(|key| Check::new("settings", Verdict::Warning, key.to_string())),
            );
            checks.extend(notices::checks(&config.notify));
        }
    }
    match context.store.list() {
        // What is damaged is told of where it can be mended.
        Ok(listing) => checks.extend(listing.broken.into_iter().filter(is_newer).map(|broken| {
            let error = CommandError::from(broken);
            let check = Check::new("sessions", Verdict::Warning, error.line());
            error.hints.into_iter().fold(check, Check::hint)
        })),
        Err(error) => checks.push(Check::new("sessions", Verdict::Bad, error.to_string())),
    }
    checks
}

fn is_newer(broken: &Broken) -> bool {
    matches!(broken.source, FormatError::Newer { .. })
}

fn sandbox(context: Option<&Context<'_>>) -> Check {
    let found = sandbox::Probing::begin_in(context.map(|context| &context.repo))
        .and_then(|probing| probing.done());
    let found = match found {
        Err(error) => return Check::new("sandbox", Verdict::Bad, error.message),
        Ok(found) => found,
    };
    match (found.level, found.mechanism) {
        (level, Some(mechanism)) => {
            Check::new("sandbox", Verdict::Good, format!("{level}, by {mechanism}"))
        }
        (level, None) => {
            let found = format!("{level}: {}", found.reasons.join("; "));
            Check::new("sandbox", Verdict::Warning, found).hint(sandbox::HINT)
        }
    }
}

/// Keys by name, and the servers that answer on this machine.
fn models(here: &Path, context: Option<&Context<'_>>) -> Vec<Check> {
    let config = |key: &str| context.and_then(|context| context.repo.config_value(key));
    let env = |name: &str| std::env::var(name).ok();
    let around = Surroundings { env: &env, config: &config, cwd: here };
    let keys = look(&around).into_iter().map(|(provider, looked)| match looked {
        Looked::Found(sources) => {
            Check::new("keys", Verdict::Good, format!("{provider}: {}", sources.join(", ")))
        }
        Looked::Missing(names) => {
            Check::new("keys", Verdict::Absent, format!("{provider}: {}", names.join(", ")))
        }
        Looked::Wrong(why) => Check::new("keys", Verdict::Warning, format!("{provider}: {why}")),
    });
    let servers = Choice::local_servers().map(|(provider, address)| (provider, address.to_owned()));
    keys.chain(servers_that_answer(servers.collect())).collect()
}

/// All are asked at once, so that the whole takes no longer than one.
fn servers_that_answer(servers: Vec<(&'static str, String)>) -> Vec<Check> {
    let visits = servers.into_iter().map(|(provider, address)| {
        let visit = std::thread::spawn({
            let address = address.clone();
            move || answers(&address)
        });
        (provider, address, visit)
    });
    let visits: Vec<_> = visits.collect();
    let checks = visits.into_iter().map(|(provider, address, visit)| match visit.join() {
        Ok(true) => {
            Check::new("servers", Verdict::Good, format!("{provider}: listens at {address}"))
        }
        _ => Check::new("servers", Verdict::Absent, format!("{provider}: none at {address}")),
    });
    checks.collect()
}

fn answers(address: &str) -> bool {
    let authority = address.split("://").last().and_then(|rest| rest.split('/').next());
    let places = authority.and_then(|authority| authority.to_socket_addrs().ok());
    let connects = |place: SocketAddr| TcpStream::connect_timeout(&place, PATIENCE).is_ok();
    places.into_iter().flatten().any(connects)
}

fn agents() -> Check {
    let found = AGENTS.into_iter().filter(|agent| which::which(agent).is_ok());
    match found.collect::<Vec<_>>().as_slice() {
        [] => {
            Check::new("agents", Verdict::Absent, format!("none of {} on PATH", AGENTS.join(", ")))
        }
        found => Check::new("agents", Verdict::Good, found.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_any_vendor_are_read() {
        assert_eq!(parsed("2.47.3"), Some((2, 47)));
        assert_eq!(parsed("2.39.5 (Apple Git-154)"), Some((2, 39)));
        assert_eq!(parsed("git?"), None);
    }

    #[test]
    fn a_server_answers_if_something_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(answers(&format!("http://{}/v1", listener.local_addr().unwrap())));
        // Held, so that nobody else comes to listen there.
        let silent = tokio::net::TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(!answers(&format!("http://{}/v1", silent.local_addr().unwrap())));
        assert!(!answers("nonsense"));
    }
}
