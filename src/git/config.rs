//! Settings of git config, every level of it.
//!
//! Invariant: what `git config --list` would say in the same place at the time the repository was
//! opened, the environment's and the command line's settings last.

use std::path::PathBuf;

use gix::bstr::ByteSlice;

use crate::config::{Config, ConfigError, Entry, UnknownKey};
use crate::git::command::{self, GitError};
use crate::git::repo::Repo;

/// One setting where it is made; a later one of the same key goes over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// `section.subsection.name`: section and name in lower case, the subsection as written.
    pub key: String,
    /// The value; `true` for a key without one.
    pub value: String,
    /// Which level it is made at.
    pub scope: Scope,
    /// Where it is made, as `git config --show-origin` says: `file:/path` or `command line:`.
    pub origin: String,
}

/// A level of configuration, lowest first; the words of `git config --show-scope`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The machine's.
    System,
    /// The user's.
    Global,
    /// The repository's.
    Local,
    /// One worktree's, where `extensions.worktreeConfig` is on.
    Worktree,
    /// `git -c` and `GIT_CONFIG_COUNT`.
    Command,
}

impl Repo {
    /// The settings of this program, and those below its name that it does not know.
    ///
    /// # Errors
    /// A value is not what its key asks for.
    pub fn agent_config(&self) -> Result<(Config, Vec<UnknownKey>), ConfigError> {
        Config::read(self.agent_entries())
    }

    /// The settings of this program as far as they make sense, and the values that do not.
    pub fn usable_config(&self) -> (Config, Vec<ConfigError>) {
        let (config, _, bad) = Config::read_usable(self.agent_entries());
        (config, bad)
    }

    fn agent_entries(&self) -> impl Iterator<Item = Entry> {
        let entries = self.config("agent").into_iter();
        entries.map(|it| Entry { key: it.key, value: it.value, origin: it.origin })
    }

    /// All settings of one section and its subsections, such as `agent`, in the order in which
    /// they go over each other: the last of a key holds.
    pub fn config(&self, section: &str) -> Vec<ConfigEntry> {
        let snapshot = self.gix().config_snapshot();
        let Some(sections) = snapshot.plumbing().sections_by_name(section) else {
            return Vec::new();
        };
        sections
            .filter_map(|section| Some((section, scope_of(section.meta().source)?)))
            .flat_map(|(section, scope)| entries(&section, scope))
            .collect()
    }

    /// The value that holds for a key such as `core.editor` or `agent.ollama.baseUrl`.
    pub fn config_value(&self, key: &str) -> Option<String> {
        let snapshot = self.gix().config_snapshot();
        match snapshot.string(key) {
            Some(value) => Some(value.to_str_lossy().into_owned()),
            None => snapshot.boolean(key).filter(|on| *on).map(|on| on.to_string()),
        }
    }

    /// Where the user's hooks are: `core.hooksPath`, from the main checkout, or `hooks`.
    pub fn hooks_dir(&self) -> PathBuf {
        match self.gix().config_snapshot().trusted_path("core.hooksPath") {
            Ok(Some(path)) => {
                let main = self.main_work_dir();
                main.unwrap_or_else(|| self.common_dir().to_owned()).join(path)
            }
            _ => self.common_dir().join("hooks"),
        }
    }

    /// Adds one more value of a key to the repository's own settings.
    ///
    /// # Errors
    /// git cannot write them.
    pub fn add_config(&self, key: &str, value: &str) -> Result<(), GitError> {
        let add = self.git().args(["config", "--local", "--add", key, value]);
        command::succeed(&add).map(drop)
    }

    /// The truth of a key, in any of git's spellings. `None` where it is not set or says neither.
    pub fn config_bool(&self, key: &str) -> Option<bool> {
        self.gix().config_snapshot().boolean(key)
    }
}

fn scope_of(source: gix::config::Source) -> Option<Scope> {
    use gix::config::Source;
    match source {
        Source::GitInstallation | Source::System => Some(Scope::System),
        Source::Git | Source::User => Some(Scope::Global),
        Source::Local => Some(Scope::Local),
        Source::Worktree => Some(Scope::Worktree),
        Source::Env | Source::Cli => Some(Scope::Command),
        // Of gix's own making, never a person's.
        Source::Api | Source::EnvOverride => None,
    }
}

fn entries(section: &gix::config::file::SectionRef<'_>, scope: Scope) -> Vec<ConfigEntry> {
    let header = section.header();
    let mut prefix = header.name().to_str_lossy().to_lowercase();
    if let Some(subsection) = header.subsection_name() {
        prefix.push('.');
        prefix.push_str(&subsection.to_str_lossy());
    }
    let origin = match &section.meta().path {
        Some(path) => format!("file:{}", path.display()),
        None => "command line:".to_owned(),
    };
    let body = section.body();
    body.into_iter()
        .map(|(name, value)| {
            // gix gives a key without `=` an empty value here; only its last mention tells.
            let is_bare = value.is_empty() && body.value_implicit(&name) == Some(None);
            let value = if is_bare { "true".into() } else { value.to_str_lossy().into_owned() };
            let key = format!("{prefix}.{}", name.to_lowercase());
            ConfigEntry { key, value, scope, origin: origin.clone() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;
    use fs_err as fs;

    #[test]
    fn every_level_is_seen_and_the_last_one_holds() {
        let fixture = Fixture::with_commit(&[]);
        let (config, more) = (fixture.root.join(".git/config"), fixture.beside("more"));
        fs::write(&more, "[agent]\n\tModel = included\n").unwrap();
        let text = format!(
            "{}[agent]\n\tmodel = one ; comment\n\tverify = \"a;\\\"b\\\" \" c\n\tverify = d\n\tflag\n\
             [agent \"Olla.ma\"]\n\tbaseUrl = http://x\n[include]\n\tpath = {}\n[extensions]\n\tworktreeConfig = true\n",
            fs::read_to_string(&config).unwrap(),
            more.display(),
        );
        fs::write(&config, text).unwrap();
        fixture.git(&["config", "--worktree", "agent.model", "here"]);
        let given = [
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "agent.budget"),
            ("GIT_CONFIG_VALUE_0", "5"),
            ("GIT_CONFIG_PARAMETERS", "'agent.model'='last one' 'agent.bare'="),
        ];
        let repo = fixture.repo_at(&fixture.root, &given);
        let own = format!("file:{}", config.display());
        let (included, worktree) = (
            format!("file:{}", more.display()),
            format!("file:{}", fixture.root.join(".git/config.worktree").display()),
        );
        let expected = [
            ("agent.model", "one", Scope::Local, own.as_str()),
            ("agent.verify", "a;\"b\"  c", Scope::Local, &own),
            ("agent.verify", "d", Scope::Local, &own),
            ("agent.flag", "true", Scope::Local, &own),
            ("agent.Olla.ma.baseurl", "http://x", Scope::Local, &own),
            ("agent.model", "included", Scope::Local, &included),
            ("agent.model", "here", Scope::Worktree, &worktree),
            ("agent.budget", "5", Scope::Command, "command line:"),
            ("agent.model", "last one", Scope::Command, "command line:"),
            ("agent.bare", "true", Scope::Command, "command line:"),
        ]
        .map(|(key, value, scope, origin)| ConfigEntry {
            key: key.into(),
            value: value.into(),
            scope,
            origin: origin.into(),
        });
        assert_eq!(repo.config("agent"), expected);
        assert_eq!(repo.config_value("agent.model").as_deref(), Some("last one"));
        assert_eq!(repo.config_value("agent.Olla.ma.baseUrl").as_deref(), Some("http://x"));
        assert_eq!(repo.config_value("agent.nothing"), None);
        assert_eq!(repo.config_bool("agent.flag"), Some(true));
        // What was given holds for git children too, and nowhere else.
        let asked = repo.user_git().args(["config", "agent.model"]).run().unwrap();
        assert_eq!(asked.stdout, b"last one\n");
    }

    #[test]
    fn a_setting_of_another_repository_does_not_move_this_ones_checkout() {
        let fixture = Fixture::with_commit(&[]);
        let moved = [("GIT_CONFIG_PARAMETERS", "'core.worktree'='/nowhere'")];
        let repo = fixture.repo_at(&fixture.root, &moved);
        assert_eq!(repo.work_dir(), Some(&*fixture.root));
    }
}
