//! Configuration: git config `agent.*`, typed.
//!
//! Invariant: a default stands in one place, here; a bad value is refused with its origin, never
//! replaced by a default.

pub mod amount;
mod forge;
mod keys;
mod notify;
mod otel;
mod push;
mod sandbox;
mod value;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use amount::Bound;
pub use forge::{ForgeHost, ForgeKind, LOOKS, Pr};
pub use keys::{KEYS, Key};
pub use notify::{Channel, Notify, Occasion};
pub use otel::Otel;
pub use push::Push;
pub use sandbox::{Sandbox, SandboxLevel};
use value::{
    boolean, ceiling, count, near, niceness, one_of, optional, optional_size, pattern, size,
    template, text,
};

/// How long a model server that is overloaded or limits the rate is waited for, where nothing else
/// is set.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// Hosts that the commands of every session may reach.
pub const ALLOW_HOST: &str = "agent.sandbox.allowHost";

/// One line of git config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `section.subsection.name`; section and name in any case, as git has it.
    pub key: String,
    /// The value.
    pub value: String,
    /// Where it was read: `file:.git/config`, `command line:`.
    pub origin: String,
}

/// The settings, defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `agent.model`: `provider/model`.
    pub model: Option<String>,
    /// `agent.verify`: commands, in order.
    pub verify: Vec<String>,
    /// `agent.setup`: a command for each new worktree.
    pub setup: Option<String>,
    /// `agent.worktreePath`: a template with `{repo}` and `{name}`.
    pub worktree_path: String,
    /// `agent.branchPrefix`.
    pub branch_prefix: String,
    /// `agent.commitStrategy`.
    pub commit_strategy: CommitStrategy,
    /// `agent.trailers`.
    pub trailers: bool,
    /// `agent.keepWorktree`: whether a worktree stays when its session has landed.
    pub keep_worktree: bool,
    /// `agent.maxFileSize`, in bytes.
    pub max_file_size: u64,
    /// `agent.budget`, in US dollars.
    pub budget: Bound,
    /// `agent.maxTokens`.
    pub max_tokens: Bound,
    /// `agent.maxSteps`.
    pub max_steps: Bound,
    /// `agent.timeout`: time at work, in seconds.
    pub timeout: Bound,
    /// `agent.patience`: how long a model server that gives no answer is tried.
    pub patience: Duration,
    /// `agent.minFreeDisk`, in bytes: below it nothing is begun and what runs pauses.
    pub min_free_disk: u64,
    /// `agent.keepDays`: how long a session that is over is kept out of the archive.
    pub keep_days: u32,
    /// `agent.stallTimeout`: how long a model server may say nothing; none leaves it to what is
    /// usual for the server.
    pub stall_timeout: Option<Duration>,
    /// `agent.fallbackModel`: goes on where the model is not to be had.
    pub fallback_model: Option<String>,
    /// `agent.contextWindow`: what a conversation may come to, in tokens; none leaves it to what is
    /// known of the model.
    pub context_window: Option<u64>,
    /// `agent.maxRunning`: sessions that run at once in the repository.
    pub max_running: u32,
    /// `agent.maxRunningTotal`: sessions that run at once in all of the user's repositories.
    pub max_running_total: u32,
    /// `agent.minFreeMemory`, in bytes: with less, no further session is started.
    pub min_free_memory: u64,
    /// `agent.maxLoad`: with a higher load of each core, no further session is started.
    pub max_load: Option<f64>,
    /// `agent.nice`: how much less than others the commands of tools get of the processor.
    pub nice: u8,
    /// `agent.memoryLimit`: what the commands of one session may have together, in bytes.
    pub memory_limit: Option<u64>,
    /// `agent.cpuLimit`: how many processors they may keep busy.
    pub cpu_limit: Option<f64>,
    /// `agent.permission`: rules on calls, from every level.
    pub permission: Vec<String>,
    /// `agent.sandbox` and its kin.
    pub sandbox: Sandbox,
    /// `agent.protect`: patterns of paths that no agent changes unasked.
    pub protect: Vec<String>,
    /// `agent.unattended`.
    pub unattended: bool,
    /// `agent.audit.sign`.
    pub audit_sign: bool,
    /// `agent.logLevel`.
    pub log_level: LogLevel,
    /// `agent.notify` and its kin.
    pub notify: Notify,
    /// `agent.otel.*`: where traces go.
    pub otel: Otel,
    /// `agent.push.*`: what is asked of agents' commits before they leave the machine.
    pub push: Push,
    /// `agent.pr.*`: what pull requests tell.
    pub pr: Pr,
    /// `agent.forge.<host>.*`, by host.
    pub forges: BTreeMap<String, ForgeHost>,
    /// `agent.<provider>.*`, by the provider's name.
    pub providers: BTreeMap<String, Provider>,
}

/// What is set for one provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provider {
    /// `agent.<provider>.baseUrl`.
    pub base_url: Option<String>,
    /// `agent.<provider>.keyCommand`: prints the key.
    pub key_command: Option<String>,
    /// `agent.<provider>.contextWindow`, in tokens.
    pub context_window: Option<u64>,
}

/// When the work of a session becomes commits on its branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum CommitStrategy {
    /// One commit for each step that changed something
    #[default]
    Incremental,
    /// One commit for each turn: when the agent rests
    Turn,
    /// One commit for the whole session
    Single,
    /// No commit; the work is kept in the session's ref
    None,
}

/// How much the supervisor writes to its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum LogLevel {
    /// What failed
    Error,
    /// And what was odd
    Warn,
    /// And what was done
    #[default]
    Info,
    /// And how
    Debug,
    /// And everything else
    Trace,
}

impl LogLevel {
    /// Its name, as configured.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model: None,
            verify: Vec::new(),
            setup: None,
            worktree_path: "../{repo}.worktrees/{name}".to_owned(),
            branch_prefix: "agent/".to_owned(),
            commit_strategy: CommitStrategy::default(),
            trailers: true,
            keep_worktree: true,
            max_file_size: 10 << 20,
            budget: Bound(Some(5.0)),
            max_tokens: Bound(None),
            max_steps: Bound(Some(200.0)),
            timeout: Bound(Some(7_200.0)),
            patience: PATIENCE,
            min_free_disk: 512 << 20,
            keep_days: 30,
            stall_timeout: None,
            fallback_model: None,
            context_window: None,
            max_running: 3,
            max_running_total: 8,
            min_free_memory: 512 << 20,
            max_load: None,
            nice: 0,
            memory_limit: None,
            cpu_limit: None,
            permission: Vec::new(),
            sandbox: Sandbox::default(),
            protect: Vec::new(),
            unattended: false,
            audit_sign: false,
            log_level: LogLevel::default(),
            notify: Notify::default(),
            otel: Otel::default(),
            push: Push::default(),
            pr: Pr::default(),
            forges: BTreeMap::new(),
            providers: BTreeMap::new(),
        }
    }
}

/// A value that cannot be what its key asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad value '{value}' for {key} ({origin}): expected {expected}")]
pub struct ConfigError {
    /// The key.
    pub key: String,
    /// The value, as it stands there.
    pub value: String,
    /// Where it stands.
    pub origin: String,
    /// What would do.
    pub expected: String,
}

/// A key of ours that we do not know: probably misspelt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown setting {key} ({origin}){}", near.as_ref().map(|near| format!("; did you mean {near}?")).unwrap_or_default())]
pub struct UnknownKey {
    /// The key, as it stands there.
    pub key: String,
    /// Where it stands.
    pub origin: String,
    /// A known key with nearly this name.
    pub near: Option<String>,
}

impl Config {
    /// Reads the settings from git's entries, in git's order: later ones win. Entries of other
    /// sections are passed over.
    ///
    /// # Errors
    /// A value is not what its key asks for.
    pub fn read(
        entries: impl IntoIterator<Item = Entry>,
    ) -> Result<(Self, Vec<UnknownKey>), ConfigError> {
        let (config, unknown, bad) = Self::read_usable(entries);
        bad.into_iter().next().map_or(Ok((config, unknown)), Err)
    }

    /// As [`Config::read`], for what must go on whatever is set: bad values are left out, and
    /// given.
    pub fn read_usable(
        entries: impl IntoIterator<Item = Entry>,
    ) -> (Self, Vec<UnknownKey>, Vec<ConfigError>) {
        let mut config = Self::default();
        let (mut unknown, mut bad) = (Vec::new(), Vec::new());
        for entry in entries {
            let Some((section, rest)) = entry.key.split_once('.') else { continue };
            if !section.eq_ignore_ascii_case("agent") {
                continue;
            }
            let is_known = match rest.rsplit_once('.') {
                None => config.set(&entry, &rest.to_ascii_lowercase()),
                Some(("audit", name)) => {
                    config.set(&entry, &format!("audit.{}", name.to_ascii_lowercase()))
                }
                Some(("otel", name)) => config.otel.set(&entry, &name.to_ascii_lowercase()),
                Some(("push", name)) => config.push.set(&entry, &name.to_ascii_lowercase()),
                Some(("pr", name)) => config.pr.set(&entry, &name.to_ascii_lowercase()),
                Some((provider, name)) => {
                    config.set_of_provider(&entry, provider, &name.to_ascii_lowercase())
                }
            };
            match is_known {
                Ok(true) => {}
                Ok(false) => {
                    let near = near(&entry.key);
                    unknown.push(UnknownKey { key: entry.key, origin: entry.origin, near });
                }
                Err(error) => bad.push(error),
            }
        }
        (config, unknown, bad)
    }

    /// Whether there is such a setting.
    fn set(&mut self, entry: &Entry, name: &str) -> Result<bool, ConfigError> {
        match name {
            "model" => self.model = Some(text(entry)?),
            "verify" if entry.value.trim().is_empty() => self.verify.clear(),
            "verify" => self.verify.push(entry.value.clone()),
            "setup" => self.setup = optional(entry),
            "worktreepath" => self.worktree_path = template(entry)?,
            "branchprefix" => self.branch_prefix.clone_from(&entry.value),
            "commitstrategy" => self.commit_strategy = one_of(entry)?,
            "trailers" => self.trailers = boolean(entry)?,
            "keepworktree" => self.keep_worktree = boolean(entry)?,
            "maxfilesize" => self.max_file_size = size(entry)?,
            "budget" => self.budget = amount::setting(entry, amount::dollars)?,
            "maxtokens" => self.max_tokens = amount::setting(entry, amount::tokens)?,
            "maxsteps" => self.max_steps = amount::setting(entry, amount::steps)?,
            "timeout" => self.timeout = amount::setting(entry, amount::time)?,
            "patience" => self.patience = Duration::from_secs(count(entry)?.into()),
            "minfreedisk" => self.min_free_disk = size(entry)?,
            "keepdays" => self.keep_days = count(entry)?,
            "stalltimeout" => {
                self.stall_timeout = Some(Duration::from_secs(count(entry)?.into()));
            }
            "fallbackmodel" => self.fallback_model = optional(entry),
            "contextwindow" => self.context_window = Some(count(entry)?.into()),
            "maxrunning" => self.max_running = count(entry)?,
            "maxrunningtotal" => self.max_running_total = count(entry)?,
            "minfreememory" => self.min_free_memory = size(entry)?,
            "maxload" => self.max_load = ceiling(entry)?,
            "nice" => self.nice = niceness(entry)?,
            "memorylimit" => self.memory_limit = optional_size(entry)?,
            "cpulimit" => self.cpu_limit = ceiling(entry)?,
            "permission" => self.permission.push(text(entry)?),
            "sandbox" => self.sandbox.level = one_of(entry)?,
            "protect" => self.protect.push(pattern(entry)?),
            "unattended" => self.unattended = boolean(entry)?,
            "audit.sign" => self.audit_sign = boolean(entry)?,
            "loglevel" => self.log_level = one_of(entry)?,
            _ => return self.notify.set(entry, name),
        }
        Ok(true)
    }

    fn set_of_provider(
        &mut self,
        entry: &Entry,
        provider: &str,
        name: &str,
    ) -> Result<bool, ConfigError> {
        if provider.eq_ignore_ascii_case("sandbox") {
            return self.sandbox.set(entry, name);
        }
        if let Some(host) = provider.strip_prefix("forge.") {
            return self.forges.entry(host.to_ascii_lowercase()).or_default().set(entry, name);
        }
        let mut set = self.providers.get(provider).cloned().unwrap_or_default();
        match name {
            "baseurl" => set.base_url = Some(text(entry)?),
            "keycommand" => set.key_command = optional(entry),
            "contextwindow" => set.context_window = Some(count(entry)?.into()),
            _ => return Ok(false),
        }
        self.providers.insert(provider.to_owned(), set);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<(Config, Vec<UnknownKey>), ConfigError> {
        Config::read(entries.iter().map(|(key, value)| Entry {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
            origin: "file:.git/config".to_owned(),
        }))
    }

    #[test]
    fn every_setting_is_read_whatever_the_case_of_its_key() {
        let (config, unknown) = read(&[
            ("agent.model", "anthropic/a"),
            ("AGENT.Model", "anthropic/b"),
            ("agent.verify", "cargo test"),
            ("agent.verify", "cargo clippy"),
            ("agent.setup", "npm ci"),
            ("agent.worktreepath", "/w/{repo}/{name}"),
            ("agent.branchPrefix", "bot/"),
            ("agent.commitStrategy", "turn"),
            ("agent.trailers", "off"),
            ("agent.keepWorktree", "no"),
            ("agent.maxFileSize", "2k"),
            ("agent.budget", "$2.50"),
            ("agent.maxTokens", "2m"),
            ("agent.maxSteps", "7"),
            ("agent.timeout", "90m"),
            ("agent.patience", "8"),
            ("agent.minFreeDisk", "2g"),
            ("agent.keepDays", "7"),
            ("agent.stallTimeout", "9"),
            ("agent.fallbackModel", "openai/c"),
            ("agent.contextWindow", "1000"),
            ("agent.maxRunning", "4"),
            ("agent.maxRunningTotal", "5"),
            ("agent.minFreeMemory", "1g"),
            ("agent.maxLoad", "1.5"),
            ("agent.nice", "10"),
            ("agent.sandbox", "reduced"),
            ("agent.sandbox.least", "none"),
            ("agent.sandbox.readable", "/data"),
            ("agent.sandbox.writable", "/forgotten"),
            ("agent.sandbox.writable", ""),
            ("agent.sandbox.writable", "/scratch"),
            ("agent.sandbox.allowHost", "crates.io"),
            ("agent.memoryLimit", "4g"),
            ("agent.cpuLimit", "2"),
            ("agent.permission", "ask bash"),
            ("agent.protect", "*.lock"),
            ("agent.protect", "docs/"),
            ("agent.unattended", "true"),
            ("agent.audit.sign", "true"),
            ("agent.logLevel", "debug"),
            ("agent.otel.endpoint", "http://127.0.0.1:4318"),
            ("agent.otel.content", "yes"),
            ("agent.push.requireVerify", "false"),
            ("agent.push.requireSquash", "true"),
            ("agent.push.requireSignature", "true"),
            ("agent.push.maxSize", "3k"),
            ("agent.pr.cost", "no"),
            ("agent.pr.record", "yes"),
            ("agent.pr.tries", "1"),
            ("agent.pr.budget", "$2"),
            ("agent.pr.interval", "5"),
            ("agent.forge.Git.Example.type", "gitea"),
            ("agent.forge.git.example.api", "https://git.example/x/"),
            ("agent.My.Server.baseUrl", "http://localhost:1"),
            ("agent.openai.keyCommand", "pass show openai"),
            ("agent.openai.contextWindow", "2000"),
            ("core.bare", "false"),
        ])
        .unwrap();
        let expected = Config {
            model: Some("anthropic/b".to_owned()),
            verify: vec!["cargo test".to_owned(), "cargo clippy".to_owned()],
            setup: Some("npm ci".to_owned()),
            worktree_path: "/w/{repo}/{name}".to_owned(),
            branch_prefix: "bot/".to_owned(),
            commit_strategy: CommitStrategy::Turn,
            trailers: false,
            keep_worktree: false,
            max_file_size: 2048,
            budget: Bound(Some(2.5)),
            max_tokens: Bound(Some(2e6)),
            max_steps: Bound(Some(7.0)),
            timeout: Bound(Some(5_400.0)),
            patience: Duration::from_secs(8),
            min_free_disk: 2 << 30,
            keep_days: 7,
            stall_timeout: Some(Duration::from_secs(9)),
            fallback_model: Some("openai/c".to_owned()),
            context_window: Some(1000),
            max_running: 4,
            max_running_total: 5,
            min_free_memory: 1 << 30,
            max_load: Some(1.5),
            nice: 10,
            sandbox: Sandbox {
                level: SandboxLevel::Reduced,
                least: Some(SandboxLevel::None),
                readable: vec!["/data".into()],
                writable: vec!["/scratch".into()],
                allow_host: vec!["crates.io".to_owned()],
            },
            memory_limit: Some(4 << 30),
            cpu_limit: Some(2.0),
            permission: vec!["ask bash".to_owned()],
            protect: vec!["*.lock".to_owned(), "docs/".to_owned()],
            unattended: true,
            audit_sign: true,
            log_level: LogLevel::Debug,
            notify: Notify::default(),
            otel: Otel { endpoint: Some("http://127.0.0.1:4318".to_owned()), content: true },
            push: Push {
                require_verify: false,
                require_squash: true,
                require_signature: true,
                max_size: 3072,
            },
            pr: Pr { cost: false, record: true, tries: 1, budget: Some(2.0), interval: 5 },
            forges: BTreeMap::from([(
                "git.example".to_owned(),
                ForgeHost {
                    kind: Some(ForgeKind::Forgejo),
                    api: Some("https://git.example/x/".to_owned()),
                },
            )]),
            providers: BTreeMap::from([
                (
                    "My.Server".to_owned(),
                    Provider {
                        base_url: Some("http://localhost:1".to_owned()),
                        ..Provider::default()
                    },
                ),
                (
                    "openai".to_owned(),
                    Provider {
                        key_command: Some("pass show openai".to_owned()),
                        context_window: Some(2000),
                        ..Provider::default()
                    },
                ),
            ]),
        };
        assert_eq!((config, unknown), (expected, Vec::new()));
    }

    #[test]
    fn every_documented_key_is_known() {
        for key in KEYS {
            let name = key.name.replace("<provider>", "anthropic");
            let value = match key.value {
                "<bool>" => "true",
                "<time>" => "1h",
                "<dollars>" | "<tokens>" | "<steps>" => "1",
                "<size>" | "<number>" | "<seconds>" => "1",
                "<path>" => "/x",
                "<template>" => "{name}",
                choice if choice.contains('|') => choice.split('|').next().unwrap(),
                _ => "x",
            };
            assert_eq!(read(&[(&name, value)]).unwrap().1, Vec::new(), "{name}");
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_its_neighbour() {
        let said = |key| read(&[(key, "1")]).unwrap().1[0].to_string();
        assert_eq!(
            said("agent.maxfilsize"),
            "unknown setting agent.maxfilsize (file:.git/config); did you mean agent.maxFileSize?"
        );
        assert_eq!(
            said("agent.openai.basUrl"),
            "unknown setting agent.openai.basUrl (file:.git/config); \
             did you mean agent.openai.baseUrl?"
        );
        assert_eq!(said("agent.frobnicate"), "unknown setting agent.frobnicate (file:.git/config)");
    }

    #[test]
    fn a_bad_value_is_refused_with_its_origin() {
        let said = |key, value| read(&[(key, value)]).unwrap_err().to_string();
        assert_eq!(
            said("agent.maxFileSize", "10q"),
            "bad value '10q' for agent.maxFileSize (file:.git/config): \
             expected a size in bytes, such as 10m"
        );
        assert_eq!(
            said("agent.budget", "much"),
            "bad value 'much' for agent.budget (file:.git/config): \
             expected US dollars above 0, such as 5, 2.50 or $5, or none"
        );
        assert_eq!(
            said("agent.commitStrategy", "often"),
            "bad value 'often' for agent.commitStrategy (file:.git/config): \
             expected one of incremental, turn, single, none"
        );
        for (key, value) in [
            ("agent.maxFileSize", "99999999999g"),
            ("agent.maxSteps", "0"),
            ("agent.budget", "0"),
            ("agent.maxTokens", "many"),
            ("agent.timeout", "90"),
            ("agent.trailers", "maybe"),
            ("agent.maxRunning", "0"),
            ("agent.maxLoad", "-1"),
            ("agent.maxLoad", "nan"),
            ("agent.nice", "20"),
            ("agent.memoryLimit", "0"),
            ("agent.worktreePath", "/one/for/all"),
            ("agent.model", ""),
        ] {
            assert!(read(&[(key, value)]).is_err(), "{key}={value}");
        }
    }

    #[test]
    fn an_empty_value_takes_back_what_was_set() {
        let entries = [
            ("agent.verify", "a"),
            ("agent.verify", ""),
            ("agent.setup", "b"),
            ("agent.setup", ""),
        ];
        assert_eq!(read(&entries).unwrap().0, Config::default());
    }
}
