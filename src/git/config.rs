//! Settings of git config, every level of it.
//!
//! Invariant: what `git config --list` would say in the same place at the time the repository was
//! opened, the environment's and the command line's settings last.

use gix::bstr::ByteSlice;

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
