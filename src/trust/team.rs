//! `.gitagent.toml`: what a team shares, in the words of the settings.
//!
//! ```toml
//! verify = ["cargo test"]
//! protect = ["migrations/**"]
//! permission = ["ask bash(cargo publish*)"]
//! ```
//!
//! A key is a setting without its `agent.`; a table is one with a dot. It goes over the user's own
//! settings for all repositories, and below those for this one.
//!
//! Invariant: it is read from the commit that a session begins with, never from files that an agent
//! could have written; until the user has consented to its very bytes, only what restricts holds.

use std::collections::BTreeSet;

use super::Trust;
use crate::config::{Bound, Config, ConfigError, Entry, KEYS, UnknownKey};
use crate::git::{ConfigEntry, ObjectError, ObjectId, Repo, Scope};

/// The file, at the root of the repository.
pub const FILE: &str = ".gitagent.toml";

/// Settings of a machine and of a person, by the ends of their names: no team sets them.
const NOT_A_TEAMS: &[&str] = &[
    "api",
    "basedir",
    "baseurl",
    "branchprefix",
    "content",
    "cpulimit",
    "endpoint",
    "keepdays",
    "keycommand",
    "loglevel",
    "maxload",
    "maxrunning",
    "maxrunningtotal",
    "memorylimit",
    "minfreedisk",
    "minfreememory",
    "nice",
    "notify",
    "notifycommand",
    "notifyon",
    "notifysecretcommand",
    "notifywebhook",
    "patience",
    "record",
    "stalltimeout",
    "type",
    "worktreepath",
];

/// What the file of a team says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Team {
    content: Vec<u8>,
    entries: Vec<Entry>,
}

/// The settings of a session, a team's among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The settings.
    pub config: Config,
    /// Keys that nobody knows, or that no team sets.
    pub unknown: Vec<UnknownKey>,
    /// Keys of the team's that wait for the user's consent.
    pub waiting: Vec<String>,
}

/// The file of a team, or a setting, makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum TeamError {
    /// The file is no TOML, or holds what is no setting.
    #[error("{FILE} in {} makes no sense: {why}", commit.to_string().get(..12).unwrap_or_default())]
    Malformed {
        /// The commit that it was read from.
        commit: ObjectId,
        /// What is wrong, in one line.
        why: String,
    },
    /// A value is not what its key asks for.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The commit cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

impl Team {
    /// The file in this commit; none where it has none.
    ///
    /// # Errors
    /// It cannot be read, or makes no sense.
    pub fn of(repo: &Repo, commit: ObjectId) -> Result<Option<Self>, TeamError> {
        let Some(content) = repo.read_path(repo.tree_of(commit)?, FILE)? else { return Ok(None) };
        let malformed = |why: String| TeamError::Malformed { commit, why };
        let text =
            std::str::from_utf8(&content).map_err(|_| malformed("it is not UTF-8".into()))?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            malformed(error.message().lines().next().unwrap_or_default().to_owned())
        })?;
        let mut entries = Vec::new();
        let origin = format!("{FILE} in {}", commit.to_string().get(..12).unwrap_or_default());
        flatten("agent", table, &origin, &mut entries).map_err(malformed)?;
        Ok(Some(Self { content, entries }))
    }

    /// What it sets, as `key = value`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(|entry| format!("{} = {}", named(&entry.key), entry.value))
    }

    /// Whether the user has consented to it.
    pub fn is_trusted(&self, trust: &Trust) -> bool {
        trust.is_given(FILE, &self.content)
    }

    /// Writes the user's consent down.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn trust(&self, trust: &Trust) -> std::io::Result<()> {
        trust.give(FILE, &self.content)
    }
}

/// The settings for work that begins with this commit.
///
/// # Errors
/// A value is not what its key asks for, or the team's file makes no sense.
pub fn settings(repo: &Repo, base: ObjectId) -> Result<Settings, TeamError> {
    let team = Team::of(repo, base)?.unwrap_or_default();
    let is_trusted = || Trust::open(repo.common_dir()).is_ok_and(|trust| team.is_trusted(&trust));
    let is_trusted = !team.entries.is_empty() && is_trusted();
    let own = |it: ConfigEntry| Entry { key: it.key, value: it.value, origin: it.origin };
    let (wide, near): (Vec<_>, Vec<_>) =
        repo.config("agent").into_iter().partition(|it| it.scope <= Scope::Global);
    let wide: Vec<_> = wide.into_iter().map(own).collect();
    let (without, _) = Config::read(wide.iter().cloned())?;
    let (mut entries, mut waiting, mut unknown) = (wide, BTreeSet::new(), Vec::new());
    for entry in team.entries {
        let (key, origin) = (named(&entry.key), entry.origin.clone());
        if is_nobodys(&entry.key) {
            unknown.push(UnknownKey { key, origin, near: None });
        } else if is_trusted || restricts(&entry, &without)? {
            entries.push(entry);
        } else {
            waiting.insert(key);
        }
    }
    entries.extend(near.into_iter().map(own));
    let (config, more) = Config::read(entries)?;
    unknown.extend(more);
    Ok(Settings { config, unknown, waiting: waiting.into_iter().collect() })
}

/// Whether a setting can only restrict what a session may do, or say how its commits look.
fn restricts(entry: &Entry, without: &Config) -> Result<bool, ConfigError> {
    let (alone, _) = Config::read([entry.clone()])?;
    let lower = |new: Bound, old: Bound| match (new.0, old.0) {
        (Some(new), Some(old)) => new <= old,
        (new, None) => new.is_some(),
        (None, Some(_)) => false,
    };
    Ok(match entry.key.as_str() {
        "agent.protect" | "agent.trailers" | "agent.commitstrategy" => true,
        "agent.permission" => !entry.value.trim_start().starts_with("allow"),
        "agent.budget" => lower(alone.budget, without.budget),
        "agent.maxtokens" => lower(alone.max_tokens, without.max_tokens),
        "agent.maxsteps" => lower(alone.max_steps, without.max_steps),
        "agent.timeout" => lower(alone.timeout, without.timeout),
        "agent.maxfilesize" => alone.max_file_size <= without.max_file_size,
        _ => false,
    })
}

fn is_nobodys(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or_default();
    NOT_A_TEAMS.contains(&name)
}

/// The key as the manual has it.
fn named(key: &str) -> String {
    let known = KEYS.iter().map(|known| known.name).find(|name| name.eq_ignore_ascii_case(key));
    known.unwrap_or(key).to_owned()
}

/// The settings of a table, each value of a list by itself.
fn flatten(
    prefix: &str,
    table: toml::Table,
    origin: &str,
    into: &mut Vec<Entry>,
) -> Result<(), String> {
    for (name, value) in table {
        // A section's name as written, a key's in lower case: as git hands them over.
        match value {
            toml::Value::Table(table) => {
                flatten(&format!("{prefix}.{name}"), table, origin, into)?;
            }
            toml::Value::Array(values) => {
                for value in values {
                    into.push(entry(prefix, &name, &value, origin)?);
                }
            }
            value => into.push(entry(prefix, &name, &value, origin)?),
        }
    }
    Ok(())
}

fn entry(prefix: &str, name: &str, value: &toml::Value, origin: &str) -> Result<Entry, String> {
    let value = match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(on) => on.to_string(),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
            return Err(format!("{name} is no text, no number and no list of those"));
        }
    };
    let key = format!("{prefix}.{}", name.to_ascii_lowercase());
    Ok(Entry { key, value, origin: origin.to_owned() })
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;
    use crate::git::testing::Fixture;

    fn committed(text: &str) -> (Fixture, Repo, ObjectId) {
        let fixture = Fixture::with_commit(&[]);
        fs::write(fixture.root.join(FILE), text).unwrap();
        fixture.git(&["add", FILE]);
        fixture.git(&["commit", "-qm", "Share"]);
        let repo = fixture.repo_at(&fixture.root, &[]);
        let head = fixture.id("HEAD");
        (fixture, repo, head)
    }

    const TEXT: &str = "verify = [\"make test\", \"make lint\"]\nsetup = \"npm ci\"\nbudget = 2\n\
        maxSteps = 900\nprotect = \"docs/\"\npermission = [\"deny bash(rm*)\", \"allow bash(curl*)\"]\n\
        commitStrategy = \"turn\"\nnice = 3\nverifi = \"x\"\n[sandbox]\nwritable = \"/scratch\"\n";

    #[test]
    fn c01_without_consent_only_what_restricts_holds() {
        let (_fixture, repo, head) = committed(TEXT);
        let Settings { config, unknown, waiting } = settings(&repo, head).unwrap();
        let defaults = Config::default();
        assert_eq!(
            (config.verify, config.setup, config.max_steps),
            (vec![], None, defaults.max_steps)
        );
        assert_eq!((config.budget, config.protect), (Bound(Some(2.0)), vec!["docs/".to_owned()]));
        assert_eq!(config.permission, ["deny bash(rm*)"]);
        let wanted = [
            "agent.maxSteps",
            "agent.permission",
            "agent.sandbox.writable",
            "agent.setup",
            "agent.verifi",
            "agent.verify",
        ];
        assert_eq!(waiting, wanted);
        assert_eq!(unknown.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["agent.nice"]);
    }

    #[test]
    fn c03_the_commit_is_read_and_not_the_files() {
        let (fixture, repo, head) = committed("protect = \"a\"\n");
        fs::write(fixture.root.join(FILE), "protect = \"b\"\n").unwrap();
        assert_eq!(settings(&repo, head).unwrap().config.protect, ["a"]);
        let before = fixture.id("HEAD~1");
        assert_eq!(settings(&repo, before).unwrap().config.protect, [""; 0]);
    }

    #[test]
    fn c07_it_goes_over_the_users_settings_and_below_those_of_the_repository() {
        let (fixture, _, head) = committed("commitStrategy = \"turn\"\ntrailers = false\n");
        fixture.git(&["config", "agent.trailers", "true"]);
        let repo = fixture.repo_at(&fixture.root, &[]);
        let config = settings(&repo, head).unwrap().config;
        assert_eq!(config.commit_strategy, crate::config::CommitStrategy::Turn);
        assert!(config.trailers);
    }

    #[test]
    fn c05_a_file_that_makes_no_sense_is_an_error() {
        for (text, why) in [
            ("verify = [", "makes no sense: "),
            (
                "when = 2026-01-01",
                "makes no sense: when is no text, no number and no list of those",
            ),
            ("verify = [[\"a\"]]", "makes no sense: verify is no text"),
            ("budget = \"much\"", "bad value 'much' for agent.budget (.gitagent.toml in "),
            ("protect = \"../x\"", "bad value '../x' for agent.protect"),
        ] {
            let (_fixture, repo, head) = committed(text);
            let error = settings(&repo, head).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
