//! Where a model's server is and what opens it: the vendors' variables, then configuration, then
//! git's own credential helpers.
//!
//! Invariant: a key goes only to the address that it is for. One from the environment goes to the
//! address from the environment or the vendor's own; one from configuration to the address from
//! configuration or the vendor's own; git's helpers are asked by address. No key is ever shown.

use std::path::{Path, PathBuf};

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::choice::{Choice, Kind, PROVIDERS, Provider, Wire};
use crate::git::credential;
use crate::http::is_loopback;
use crate::process::{Cmd, ProcessError};
use crate::redact;

/// What addresses and keys are looked up in.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Git configuration, by full key (`agent.openai.baseUrl`).
    pub config: &'a dyn Fn(&str) -> Option<String>,
    /// The folder that relative transcript paths are seen from.
    pub cwd: &'a Path,
}

/// Where a model answers, and how it is let in.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub(super) place: Place,
    sources: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Place {
    Server { base: Url, key: Option<Key>, wire: Wire },
    Transcript(PathBuf),
    Command(String),
}

/// What opens the door. `Debug` shows neither.
#[derive(Clone, Debug)]
pub(super) enum Key {
    /// Goes in the dialect's own header.
    ApiKey(SecretString),
    /// Goes in `authorization`.
    Bearer(SecretString),
}

/// No way to a model.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// There is no key.
    #[error("no key for {provider} at {address}; looked for {}", looked_for.join(", "))]
    NoKey {
        /// The provider.
        provider: &'static str,
        /// The address the key would be for.
        address: String,
        /// All places, by name.
        looked_for: Vec<String>,
    },
    /// An address is not one.
    #[error("{source_name} is not an http address: {reason}")]
    BadAddress {
        /// Where it stands.
        source_name: String,
        /// What is wrong with it; the address itself may hold a secret.
        reason: String,
    },
    /// Keys and code would cross a network in the clear.
    #[error(
        "{source_name} is plain http to {host}; only this machine itself is talked to without TLS"
    )]
    PlainHttp {
        /// Where it stands.
        source_name: String,
        /// The host it names.
        host: String,
    },
    /// The command that prints the key did not.
    #[error("{source_name} gave no key: {reason}")]
    KeyCommand {
        /// The configuration key.
        source_name: String,
        /// Its exit and the first line of its complaint.
        reason: String,
    },
    /// A child could not be started.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// What there is of one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// It can be used; the names of what was found.
    Found(Vec<String>),
    /// It cannot; the names of what was looked for.
    Missing(Vec<String>),
    /// What is set up is wrong, in words.
    Wrong(String),
}

impl Endpoint {
    /// Finds address and key of a choice.
    ///
    /// # Errors
    /// There is no key, the address is none or not safe, or the key command fails.
    pub fn resolve(choice: &Choice, around: &Surroundings<'_>) -> Result<Self, EndpointError> {
        match choice.provider.kind {
            Kind::Server(wire) => find(choice.provider, wire, around),
            Kind::Transcript => {
                let path = around.cwd.join(&choice.model);
                let sources = vec![path.display().to_string()];
                Ok(Self { place: Place::Transcript(path), sources })
            }
            Kind::Command => {
                let place = Place::Command(choice.model.clone());
                Ok(Self { place, sources: Vec::new() })
            }
        }
    }

    /// What it was found in, by name: variables, configuration keys, helpers.
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    /// The host that is asked; none where no server is.
    pub fn host(&self) -> Option<&str> {
        match &self.place {
            Place::Server { base, .. } => base.host_str(),
            Place::Transcript(_) | Place::Command(_) => None,
        }
    }

    /// The address, for people.
    pub fn address(&self) -> String {
        match &self.place {
            Place::Server { base, .. } => base.as_str().trim_end_matches('/').to_owned(),
            Place::Transcript(path) => path.display().to_string(),
            Place::Command(_) => "this machine".to_owned(),
        }
    }
}

impl Place {
    /// Whether it is reached and opened just as another.
    pub(super) fn opens_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Server { base, key, wire }, Self::Server { base: b, key: k, wire: w }) => {
                let secret = |key: &Option<Key>| key.as_ref().map(|key| key.secret().to_owned());
                (base, wire) == (b, w) && secret(key) == secret(k)
            }
            (Self::Transcript(path), Self::Transcript(other)) => path == other,
            (Self::Command(command), Self::Command(other)) => command == other,
            _ => false,
        }
    }
}

impl Key {
    pub(super) fn secret(&self) -> &str {
        match self {
            Self::ApiKey(key) | Self::Bearer(key) => key.expose_secret(),
        }
    }
}

/// What there is of each provider that needs a key, in the table's order. Local servers need
/// none: whether one is there, only a visit tells.
pub fn look(around: &Surroundings<'_>) -> Vec<(&'static str, Looked)> {
    PROVIDERS
        .iter()
        .filter(|provider| !provider.key_env.is_empty())
        // Without an address of its own it is the same place as `openai`.
        .filter(|provider| {
            provider.name != "chat" || (around.config)("agent.chat.baseUrl").is_some()
        })
        .filter_map(|provider| match provider.kind {
            Kind::Server(wire) => Some((provider, wire)),
            Kind::Transcript | Kind::Command => None,
        })
        .map(|(provider, wire)| {
            let looked = match find(provider, wire, around) {
                Ok(endpoint) => Looked::Found(endpoint.sources),
                Err(EndpointError::NoKey { looked_for, .. }) => Looked::Missing(looked_for),
                Err(error) => Looked::Wrong(error.to_string()),
            };
            (provider.name, looked)
        })
        .collect()
}

/// Where an address was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Env,
    Config,
    Vendor,
}

fn find(
    provider: &'static Provider,
    wire: Wire,
    around: &Surroundings<'_>,
) -> Result<Endpoint, EndpointError> {
    let (base, from, source) = address(provider, around)?;
    let mut sources = Vec::from_iter(source);
    let mut looked_for = Vec::new();
    let local = is_loopback(&base);
    let mut key = None;
    if from != From::Config {
        for (name, bearer) in provider.key_env {
            looked_for.push((*name).to_owned());
            let value = (around.env)(name).map(|value| value.trim().to_owned());
            if let Some(value) = value.filter(|value| !value.is_empty() && key.is_none()) {
                sources.push((*name).to_owned());
                key = Some(if *bearer {
                    Key::Bearer(value.into())
                } else {
                    Key::ApiKey(value.into())
                });
            }
        }
    }
    if key.is_none() && from != From::Env {
        let name = format!("agent.{}.keyCommand", provider.name);
        if let Some(command) = (around.config)(&name) {
            key = Some(Key::ApiKey(run_key_command(&name, &command)?));
            sources.push(name);
        } else {
            looked_for.push(name);
        }
    }
    // A server on this machine is let be asked without a key, so no helper is bothered for it.
    if key.is_none() && !local {
        let name = format!("git credential for {}", base.origin().ascii_serialization());
        match ask_git(&base, around)? {
            Some(found) => {
                key = Some(Key::ApiKey(found));
                sources.push(name);
            }
            None => looked_for.push(name),
        }
    }
    if key.is_none() && !local {
        let address = base.as_str().trim_end_matches('/').to_owned();
        return Err(EndpointError::NoKey { provider: provider.name, address, looked_for });
    }
    if let Some(key) = &key {
        redact::learn([(format!("{}-key", provider.name).as_str(), key.secret())]);
    }
    Ok(Endpoint { place: Place::Server { base, key, wire }, sources })
}

/// The base address, where it was found, and that place's name.
fn address(
    provider: &Provider,
    around: &Surroundings<'_>,
) -> Result<(Url, From, Option<String>), EndpointError> {
    let config_key = format!("agent.{}.baseUrl", provider.name);
    let from_env = provider.base_env.and_then(|name| Some((name, filled((around.env)(name))?)));
    let (text, from, name) = match (from_env, filled((around.config)(&config_key))) {
        (Some(("OLLAMA_HOST", host)), _) => {
            (ollama_base(&host), From::Env, "OLLAMA_HOST".to_owned())
        }
        (Some((name, base)), _) => (base, From::Env, name.to_owned()),
        (None, Some(base)) => (base, From::Config, config_key),
        (None, None) => (provider.base.to_owned(), From::Vendor, provider.name.to_owned()),
    };
    let bad = |reason: &str| EndpointError::BadAddress {
        source_name: name.clone(),
        reason: reason.to_owned(),
    };
    let mut base = Url::parse(&text).map_err(|error| bad(&error.to_string()))?;
    if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
        return Err(bad("it must begin with https:// or http://"));
    }
    if !base.username().is_empty() || base.password().is_some() {
        return Err(bad("it holds a user or password; a key has places of its own"));
    }
    base.set_query(None);
    base.set_fragment(None);
    if base.scheme() == "http" && !is_loopback(&base) {
        let host = base.host_str().unwrap_or_default().to_owned();
        return Err(EndpointError::PlainHttp { source_name: name, host });
    }
    // Spelled out, the vendor's own address is still the vendor's own.
    let vendors = Url::parse(provider.base).is_ok_and(|own| own.origin() == base.origin());
    let source = (from != From::Vendor).then_some(name);
    Ok((base, if vendors { From::Vendor } else { from }, source))
}

/// `OLLAMA_HOST` may be a host, a port, both, or an address; the server's "all interfaces" is
/// this machine to us.
fn ollama_base(host: &str) -> String {
    let (scheme, rest) = host.split_once("://").unwrap_or(("http", host));
    let rest = rest.trim_end_matches('/');
    let port_at = rest.rfind(':').filter(|at| !rest[at + 1..].contains(']'));
    let (name, port) = match port_at {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, "11434"),
    };
    let name = if matches!(name, "" | "0.0.0.0" | "[::]") { "127.0.0.1" } else { name };
    format!("{scheme}://{name}:{port}/v1")
}

fn filled(value: Option<String>) -> Option<String> {
    value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// The first line that a configured command prints.
fn run_key_command(name: &str, command: &str) -> Result<SecretString, EndpointError> {
    let done = Cmd::new("sh").args(["-c", command]).dir("/").run()?;
    let failed =
        |reason: String| EndpointError::KeyCommand { source_name: name.to_owned(), reason };
    if done.exit != 0 {
        let complaint = String::from_utf8_lossy(&done.stderr);
        let line = complaint.lines().next().unwrap_or_default();
        return Err(failed(format!("exit {}: {line}", done.exit)));
    }
    let printed = SecretString::from(String::from_utf8_lossy(&done.stdout).into_owned());
    match printed.expose_secret().lines().next().map(str::trim) {
        Some(key) if !key.is_empty() => Ok(key.into()),
        _ => Err(failed("it printed nothing".to_owned())),
    }
}

/// Asks git's credential helpers, without prompts and away from any repository, whose
/// configuration could name a helper of its own.
fn ask_git(base: &Url, around: &Surroundings<'_>) -> Result<Option<SecretString>, EndpointError> {
    let origin = base.origin().ascii_serialization();
    let mut git = Cmd::new("git");
    for name in ["HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"] {
        if let Some(value) = (around.env)(name) {
            git = git.env(name, value);
        }
    }
    Ok(credential::fill(git.dir("/"), &origin)?)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// What resolving finds: address, key, sources; or the error.
    fn resolve(
        choice: &str,
        env: &[(&str, &str)],
        config: &[(&str, &str)],
    ) -> Result<(String, Option<String>, Vec<String>), String> {
        let own = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        let (env, config) = (own(env), own(config));
        let around = Surroundings {
            env: &|name| env.get(name).cloned(),
            config: &|name| config.get(name).cloned(),
            cwd: Path::new("/some dir"),
        };
        let endpoint = Endpoint::resolve(&choice.parse().unwrap(), &around)
            .map_err(|error| error.to_string())?;
        assert!(!format!("{endpoint:?}").contains("k3y"));
        let key = match &endpoint.place {
            Place::Server { key, .. } => key.as_ref().map(|key| match key {
                Key::ApiKey(key) => key.expose_secret().to_owned(),
                Key::Bearer(key) => format!("Bearer {}", key.expose_secret()),
            }),
            Place::Transcript(_) | Place::Command(_) => None,
        };
        Ok((endpoint.address(), key, endpoint.sources().to_vec()))
    }

    fn found(
        address: &str,
        key: Option<&str>,
        sources: &[&str],
    ) -> Result<(String, Option<String>, Vec<String>), String> {
        let sources = sources.iter().map(|source| (*source).to_owned()).collect();
        Ok((address.to_owned(), key.map(ToOwned::to_owned), sources))
    }

    #[test]
    fn the_vendors_variables_come_first() {
        let key = ("ANTHROPIC_API_KEY", "k3y");
        let command = ("agent.anthropic.keyCommand", "echo other");
        assert_eq!(
            resolve("anthropic/x", &[key], &[command]),
            found("https://api.anthropic.com", Some("k3y"), &["ANTHROPIC_API_KEY"])
        );
        assert_eq!(
            resolve("anthropic/x", &[("ANTHROPIC_AUTH_TOKEN", "k3y")], &[]),
            found("https://api.anthropic.com", Some("Bearer k3y"), &["ANTHROPIC_AUTH_TOKEN"])
        );
        let base = ("OPENAI_BASE_URL", "https://gate.example/v1/");
        assert_eq!(
            resolve("chat/x", &[("OPENAI_API_KEY", " k3y\n"), base], &[]),
            found("https://gate.example/v1", Some("k3y"), &["OPENAI_BASE_URL", "OPENAI_API_KEY"])
        );
        assert_eq!(
            resolve("openrouter/a/b", &[("OPENROUTER_API_KEY", "k3y")], &[]),
            found("https://openrouter.ai/api/v1", Some("k3y"), &["OPENROUTER_API_KEY"])
        );
    }

    #[test]
    fn a_key_goes_only_to_its_own_address() {
        let key = ("OPENAI_API_KEY", "k3y");
        let base = ("agent.openai.baseUrl", "http://localhost:9/v1");
        let command = ("agent.openai.keyCommand", "printf 'c0mmand\\nmore'");
        assert_eq!(
            resolve("openai/x", &[key], &[base]),
            found("http://localhost:9/v1", None, &["agent.openai.baseUrl"])
        );
        assert_eq!(
            resolve("openai/x", &[key], &[base, command]),
            found(
                "http://localhost:9/v1",
                Some("c0mmand"),
                &["agent.openai.baseUrl", "agent.openai.keyCommand"]
            )
        );
        let from_env = ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1");
        assert_eq!(
            resolve("openai/x", &[from_env], &[command]),
            found("http://127.0.0.1:9/v1", None, &["OPENAI_BASE_URL"])
        );
        let vendors = ("agent.openai.baseUrl", "https://api.openai.com/v1");
        assert_eq!(
            resolve("openai/x", &[key], &[vendors]),
            found(
                "https://api.openai.com/v1",
                Some("k3y"),
                &["agent.openai.baseUrl", "OPENAI_API_KEY"]
            )
        );
    }

    #[test]
    fn local_presets_need_no_key() {
        assert_eq!(resolve("lmstudio/x", &[], &[]), found("http://127.0.0.1:1234/v1", None, &[]));
        for (host, address) in [
            ("0.0.0.0", "http://127.0.0.1:11434/v1"),
            (":1", "http://127.0.0.1:1/v1"),
            ("localhost:2", "http://localhost:2/v1"),
            ("http://127.0.0.1:3/", "http://127.0.0.1:3/v1"),
            ("[::1]:4", "http://[::1]:4/v1"),
            ("[::1]", "http://[::1]:11434/v1"),
        ] {
            let got = resolve("ollama/x", &[("OLLAMA_HOST", host)], &[]);
            assert_eq!(got, found(address, None, &["OLLAMA_HOST"]), "{host}");
        }
        assert_eq!(
            resolve("replay/a.jsonl", &[], &[]),
            found("/some dir/a.jsonl", None, &["/some dir/a.jsonl"])
        );
    }

    #[test]
    fn gits_helpers_are_asked_last_and_an_empty_password_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config");
        let ask = |password: &str| {
            let helper = format!("!f() {{ echo username=x; echo password={password}; }}; f");
            let text =
                format!("[credential \"https://api.openai.com\"]\n\thelper = \"{helper}\"\n");
            fs_err::write(&config, text).unwrap();
            let env = [
                ("GIT_CONFIG_GLOBAL", config.to_str().unwrap()),
                ("GIT_CONFIG_SYSTEM", "/dev/null"),
            ];
            (resolve("openai/x", &env, &[]), resolve("openrouter/x", &env, &[]))
        };
        let (openai, openrouter) = ask("k3y");
        let source = "git credential for https://api.openai.com";
        assert_eq!(openai, found("https://api.openai.com/v1", Some("k3y"), &[source]));
        assert_eq!(
            openrouter.unwrap_err(),
            "no key for openrouter at https://openrouter.ai/api/v1; looked for OPENROUTER_API_KEY, \
             agent.openrouter.keyCommand, git credential for https://openrouter.ai"
        );
        assert!(ask("").0.is_err());
    }

    #[test]
    fn unsafe_or_wrong_addresses_are_refused_without_being_shown() {
        let error = |base: &str| {
            resolve("openai/x", &[("OPENAI_BASE_URL", base), ("OPENAI_API_KEY", "k3y")], &[])
                .unwrap_err()
        };
        assert_eq!(
            error("http://gate.example/v1"),
            "OPENAI_BASE_URL is plain http to gate.example; only this machine itself is talked to without TLS"
        );
        assert_eq!(
            error("https://me:k3y@gate.example"),
            "OPENAI_BASE_URL is not an http address: it holds a user or password; a key has places of its own"
        );
        assert!(error("gate").starts_with("OPENAI_BASE_URL is not an http address"));
        assert!(error("ftp://gate").contains("it must begin with https://"));
        let failing = [("agent.vllm.keyCommand", "echo locked >&2; exit 3")];
        assert_eq!(
            resolve("vllm/x", &[], &failing).unwrap_err(),
            "agent.vllm.keyCommand gave no key: exit 3: locked"
        );
        let silent = [("agent.vllm.keyCommand", "true")];
        assert!(resolve("vllm/x", &[], &silent).unwrap_err().ends_with("it printed nothing"));
    }
}
