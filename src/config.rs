//! Configuration: git config `agent.*`, typed.
//!
//! Invariant: a default stands in one place, here; a bad value is refused with its origin, never
//! replaced by a default.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a model server that is overloaded or limits the rate is waited for, where nothing else
/// is set.
pub const PATIENCE: Duration = Duration::from_secs(600);

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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// `agent.maxFileSize`, in bytes.
    pub max_file_size: u64,
    /// `agent.maxSteps`.
    pub max_steps: u32,
    /// `agent.patience`: how long a model server that gives no answer is tried.
    pub patience: Duration,
    /// `agent.unattended`.
    pub unattended: bool,
    /// `agent.logLevel`.
    pub log_level: LogLevel,
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
            max_file_size: 10 << 20,
            max_steps: 200,
            patience: PATIENCE,
            unattended: false,
            log_level: LogLevel::default(),
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

/// A setting, as the manual tells of it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name; `<provider>` stands for any.
    pub name: &'static str,
    /// The shape of its value.
    pub value: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// All settings, in the order of the manual.
pub const KEYS: [Key; 14] = [
    Key {
        name: "agent.model",
        value: "<provider>/<model>",
        about: "The model, where --model names none.",
    },
    Key {
        name: "agent.verify",
        value: "<command>",
        about: "A command that must succeed before a session is done. May be given several times; an empty value forgets those before it.",
    },
    Key {
        name: "agent.setup",
        value: "<command>",
        about: "A command to run in each new worktree before the agent begins, such as the installation of dependencies.",
    },
    Key {
        name: "agent.worktreePath",
        value: "<template>",
        about: "Where worktrees are made. {repo} is the name of the repository and {name} that of the session. Default: ../{repo}.worktrees/{name}.",
    },
    Key {
        name: "agent.branchPrefix",
        value: "<prefix>",
        about: "What the names of session branches begin with. Default: agent/.",
    },
    Key {
        name: "agent.commitStrategy",
        value: "incremental|turn|single|none",
        about: "When work becomes commits: at each step, at the end of each turn, once, or never. Default: incremental.",
    },
    Key {
        name: "agent.trailers",
        value: "<bool>",
        about: "Whether commits carry Agent-Session and Assisted-by trailers. Default: true.",
    },
    Key {
        name: "agent.maxFileSize",
        value: "<size>",
        about: "New files larger than this are left out of commits, with a notice. Takes the suffixes k, m and g. Default: 10m.",
    },
    Key {
        name: "agent.maxSteps",
        value: "<number>",
        about: "After so many steps a session pauses. Default: 200.",
    },
    Key {
        name: "agent.patience",
        value: "<seconds>",
        about: "How long a model server that gives no answer is tried again before the session pauses. Default: 600.",
    },
    Key {
        name: "agent.unattended",
        value: "<bool>",
        about: "Whether sessions do without the tool that asks a person. Default: false.",
    },
    Key {
        name: "agent.logLevel",
        value: "error|warn|info|debug|trace",
        about: "How much a supervisor writes to its log. Default: info.",
    },
    Key {
        name: "agent.<provider>.baseUrl",
        value: "<url>",
        about: "The address of a provider's interface. Plain http is for this machine only.",
    },
    Key {
        name: "agent.<provider>.keyCommand",
        value: "<command>",
        about: "A command that prints the provider's key. Used where the provider's own variable is not set.",
    },
];

impl Config {
    /// Reads the settings from git's entries, in git's order: later ones win. Entries of other
    /// sections are passed over.
    ///
    /// # Errors
    /// A value is not what its key asks for.
    pub fn read(
        entries: impl IntoIterator<Item = Entry>,
    ) -> Result<(Self, Vec<UnknownKey>), ConfigError> {
        let mut config = Self::default();
        let mut unknown = Vec::new();
        for entry in entries {
            let Some((section, rest)) = entry.key.split_once('.') else { continue };
            if !section.eq_ignore_ascii_case("agent") {
                continue;
            }
            let is_known = match rest.rsplit_once('.') {
                None => config.set(&entry, &rest.to_ascii_lowercase())?,
                Some((provider, name)) => {
                    config.set_of_provider(&entry, provider, &name.to_ascii_lowercase())?
                }
            };
            if !is_known {
                let near = near(&entry.key);
                unknown.push(UnknownKey { key: entry.key, origin: entry.origin, near });
            }
        }
        Ok((config, unknown))
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
            "maxfilesize" => self.max_file_size = size(entry)?,
            "maxsteps" => self.max_steps = count(entry)?,
            "patience" => self.patience = Duration::from_secs(count(entry)?.into()),
            "unattended" => self.unattended = boolean(entry)?,
            "loglevel" => self.log_level = one_of(entry)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set_of_provider(
        &mut self,
        entry: &Entry,
        provider: &str,
        name: &str,
    ) -> Result<bool, ConfigError> {
        let value = match name {
            "baseurl" => text(entry).map(Some)?,
            "keycommand" => optional(entry),
            _ => return Ok(false),
        };
        let provider = self.providers.entry(provider.to_owned()).or_default();
        match name {
            "baseurl" => provider.base_url = value,
            _ => provider.key_command = value,
        }
        Ok(true)
    }
}

fn text(entry: &Entry) -> Result<String, ConfigError> {
    optional(entry).ok_or_else(|| bad(entry, "some text"))
}

/// An empty value takes back what a wider level has set.
fn optional(entry: &Entry) -> Option<String> {
    Some(entry.value.clone()).filter(|value| !value.trim().is_empty())
}

fn template(entry: &Entry) -> Result<String, ConfigError> {
    let template = text(entry)?;
    if template.contains("{name}") {
        Ok(template)
    } else {
        Err(bad(entry, "a path with {name} in it, so that each session has its own"))
    }
}

/// As git reads a boolean: a key without a value is true.
fn boolean(entry: &Entry) -> Result<bool, ConfigError> {
    match entry.value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" | "" => Ok(false),
        number => match number.parse::<i64>() {
            Ok(number) => Ok(number != 0),
            Err(_) => Err(bad(entry, "true or false")),
        },
    }
}

/// As git reads a size: `k`, `m` and `g` multiply by powers of 1024.
fn size(entry: &Entry) -> Result<u64, ConfigError> {
    let value = entry.value.trim();
    let (digits, shift) = match value.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&value[..at], 10),
        Some((at, 'm' | 'M')) => (&value[..at], 20),
        Some((at, 'g' | 'G')) => (&value[..at], 30),
        _ => (value, 0),
    };
    let size = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    size.ok_or_else(|| bad(entry, "a size in bytes, such as 10m"))
}

fn count(entry: &Entry) -> Result<u32, ConfigError> {
    let count = entry.value.trim().parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| bad(entry, "a number from 1"))
}

fn one_of<T: clap::ValueEnum>(entry: &Entry) -> Result<T, ConfigError> {
    T::from_str(entry.value.trim(), true).map_err(|_| {
        let names = T::value_variants().iter().filter_map(T::to_possible_value);
        let names: Vec<_> = names.map(|name| name.get_name().to_owned()).collect();
        bad(entry, &format!("one of {}", names.join(", ")))
    })
}

fn bad(entry: &Entry, expected: &str) -> ConfigError {
    let Entry { key, value, origin } = entry.clone();
    // git hands keys over in lower case; people know them as they are documented.
    let known = KEYS.iter().map(|known| known.name).find(|name| name.eq_ignore_ascii_case(&key));
    let key = known.map_or(key, str::to_owned);
    ConfigError { key, value, origin, expected: expected.to_owned() }
}

/// The known key whose name is nearest to this one, if it is near at all.
fn near(key: &str) -> Option<String> {
    let provider = key.split_once('.')?.1.rsplit_once('.').map(|(provider, _)| provider);
    let names = KEYS.iter().map(|known| match provider {
        Some(provider) => known.name.replace("<provider>", provider),
        None => known.name.to_owned(),
    });
    let distance = |name: &str| {
        strsim::damerau_levenshtein(&name.to_ascii_lowercase(), &key.to_ascii_lowercase())
    };
    let best = names.map(|name| (distance(&name), name)).min()?;
    (best.0 <= 3).then_some(best.1)
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
            ("agent.maxFileSize", "2k"),
            ("agent.maxSteps", "7"),
            ("agent.patience", "8"),
            ("agent.unattended", "true"),
            ("agent.logLevel", "debug"),
            ("agent.My.Server.baseUrl", "http://localhost:1"),
            ("agent.openai.keyCommand", "pass show openai"),
            ("core.bare", "false"),
        ])
        .unwrap();
        let provider = |base_url: Option<&str>, key_command: Option<&str>| Provider {
            base_url: base_url.map(str::to_owned),
            key_command: key_command.map(str::to_owned),
        };
        let expected = Config {
            model: Some("anthropic/b".to_owned()),
            verify: vec!["cargo test".to_owned(), "cargo clippy".to_owned()],
            setup: Some("npm ci".to_owned()),
            worktree_path: "/w/{repo}/{name}".to_owned(),
            branch_prefix: "bot/".to_owned(),
            commit_strategy: CommitStrategy::Turn,
            trailers: false,
            max_file_size: 2048,
            max_steps: 7,
            patience: Duration::from_secs(8),
            unattended: true,
            log_level: LogLevel::Debug,
            providers: BTreeMap::from([
                ("My.Server".to_owned(), provider(Some("http://localhost:1"), None)),
                ("openai".to_owned(), provider(None, Some("pass show openai"))),
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
                "<size>" | "<number>" | "<seconds>" => "1",
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
            said("agent.commitStrategy", "often"),
            "bad value 'often' for agent.commitStrategy (file:.git/config): \
             expected one of incremental, turn, single, none"
        );
        for (key, value) in [
            ("agent.maxFileSize", "99999999999g"),
            ("agent.maxSteps", "0"),
            ("agent.trailers", "maybe"),
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
