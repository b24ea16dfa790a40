//! The part of the environment that decides which repository and which settings git sees.
//!
//! Invariant: read once, when a repository is opened; what `git -c key=value agent …` set holds for
//! us and for every git child of ours, and what points at a repository reaches no child.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use gix::bstr::{BString, ByteSlice};

/// The variables that matter to git, taken from the process or made up by a test.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

/// A setting in the environment that git would refuse too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOverride {
    /// `GIT_CONFIG_PARAMETERS` is not quoted as git quotes it.
    #[error("bogus format in GIT_CONFIG_PARAMETERS")]
    Parameters,
    /// `GIT_CONFIG_COUNT` is not a number.
    #[error("bogus count in GIT_CONFIG_COUNT")]
    Count,
    /// A variable that the count promises is not there.
    #[error("missing config variable {0}")]
    Missing(String),
}

/// A setting from the command line or the environment; no value means "true".
type Setting = (BString, Option<BString>);

/// Variables that point at a repository, or a part of one: what `git rev-parse --local-env-vars`
/// names in git 2.47, but for those that hold settings, and the namespace.
const GIT_LOCAL: [&str; 14] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// Variables that decide where git finds a repository. While one is set, git itself is asked.
const WHERE: [&str; 5] = [
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
    "GIT_WORK_TREE",
];

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        Self::new(std::env::vars_os())
    }

    /// The environment that these variables make.
    pub fn new(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let matters = |key: &OsStr| {
            key.as_bytes().starts_with(b"GIT_") || key == "HOME" || key == "XDG_CONFIG_HOME"
        };
        Self(vars.into_iter().filter(|(key, _)| matters(key)).collect())
    }

    /// Whether something here tells git where to look for a repository.
    pub(super) fn points_somewhere(&self) -> bool {
        WHERE.iter().any(|key| self.value(key).is_some())
    }

    /// Whether the checkout is chosen here, whatever the repository says.
    pub(super) fn sets_work_tree(&self) -> bool {
        self.value("GIT_WORK_TREE").is_some()
    }

    /// The variables that point somewhere, for the one git child that finds out where.
    pub(super) fn pointers(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0
            .iter()
            .filter(|(key, _)| WHERE.iter().any(|name| *key == name))
            .map(|(key, value)| (key.as_os_str(), value.as_os_str()))
    }

    /// What git children of ours get besides: all but what points at a repository. The process
    /// module takes some of it away, rightly for children that are not git.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0
            .iter()
            .filter(|(key, _)| !GIT_LOCAL.iter().any(|name| *key == name))
            .map(|(key, value)| (key.as_os_str(), value.as_os_str()))
    }

    /// The folder of the user's configuration files.
    pub(super) fn config_home(&self) -> Option<PathBuf> {
        match (self.value("XDG_CONFIG_HOME"), self.value("HOME")) {
            (Some(home), _) if !home.is_empty() => Some(PathBuf::from(home)),
            (_, home) => home.map(|home| Path::new(home).join(".config")),
        }
    }

    /// Whether the user's own configuration files are to be read. gix would open `/dev/null` too,
    /// but looks at the process, not at this environment.
    pub(super) fn reads_user_config(&self) -> bool {
        self.value("GIT_CONFIG_GLOBAL").is_none_or(|path| path != "/dev/null")
    }

    /// Whether the machine's configuration file is to be read.
    pub(super) fn reads_system_config(&self) -> bool {
        let off = self.value("GIT_CONFIG_NOSYSTEM").is_some_and(|value| {
            !matches!(value.as_bytes(), b"" | b"0" | b"false" | b"no" | b"off")
        });
        let elsewhere = self.value("GIT_CONFIG_SYSTEM").is_some_and(|path| path == "/dev/null");
        !off && !elsewhere
    }

    /// The settings of `GIT_CONFIG_COUNT` and, over them, of `git -c`, in git's order
    /// (`git_config_from_parameters` in git's config.c).
    pub(super) fn overrides(&self) -> Result<Vec<Setting>, BadOverride> {
        let mut settings = self.counted()?;
        if let Some(parameters) = self.value("GIT_CONFIG_PARAMETERS") {
            settings.extend(parse_parameters(parameters.as_bytes())?);
        }
        Ok(settings)
    }

    fn counted(&self) -> Result<Vec<Setting>, BadOverride> {
        let count = match self.value("GIT_CONFIG_COUNT").map(OsStrExt::as_bytes) {
            None | Some(b"") => return Ok(Vec::new()),
            Some(count) => count.to_str().ok().and_then(|count| count.parse::<u32>().ok()),
        };
        let numbered = |name: &str, n: u32| {
            let name = format!("{name}_{n}");
            let value = self.value(&name).map(|value| BString::from(value.as_bytes()));
            value.ok_or(BadOverride::Missing(name))
        };
        (0..count.ok_or(BadOverride::Count)?)
            .map(|n| Ok((numbered("GIT_CONFIG_KEY", n)?, Some(numbered("GIT_CONFIG_VALUE", n)?))))
            .collect()
    }

    fn value(&self, key: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(key)).map(OsString::as_os_str)
    }
}

/// Reads what git writes for its children: `'key'='value'`, `'key'=` for a bare key, and, from
/// before git 2.31, `'key=value'`.
fn parse_parameters(text: &[u8]) -> Result<Vec<Setting>, BadOverride> {
    let mut settings = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (first, after) = unquote(rest).ok_or(BadOverride::Parameters)?;
        let setting;
        (setting, rest) = match after.strip_prefix(b"=") {
            Some(after) if after.first() == Some(&b'\'') => {
                let (value, after) = unquote(after).ok_or(BadOverride::Parameters)?;
                ((first, Some(value)), after)
            }
            Some(after) => ((first, None), after),
            None => match first.split_once_str("=") {
                Some((key, value)) => ((key.into(), Some(value.into())), after),
                None => ((first, None), after),
            },
        };
        if !rest.is_empty() && !rest[0].is_ascii_whitespace() {
            return Err(BadOverride::Parameters);
        }
        rest = rest.trim_start();
        settings.push(setting);
    }
    Ok(settings)
}

/// Takes one word in single quotes off the front, as `sq_dequote_step` in git's quote.c.
fn unquote(text: &[u8]) -> Option<(BString, &[u8])> {
    let mut word = BString::default();
    let mut rest = text.strip_prefix(b"'")?;
    loop {
        let (part, after) = rest.split_once_str("'")?;
        word.extend_from_slice(part);
        // Outside the quotes git writes only these two characters, each behind a backslash.
        match after {
            [b'\\', escaped @ (b'\'' | b'!'), b'\'', tail @ ..] => {
                word.push(*escaped);
                rest = tail;
            }
            _ => return Some((word, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Cmd;

    fn environment(vars: &[(&str, &str)]) -> Environment {
        Environment::new(vars.iter().map(|(key, value)| (key.into(), value.into())))
    }

    fn pair(key: &str, value: Option<&str>) -> Setting {
        (key.into(), value.map(BString::from))
    }

    #[test]
    fn parameters_are_read_as_git_writes_them() {
        // An alias hands us the environment that git makes for a child.
        let script = "!printf %s \"$GIT_CONFIG_PARAMETERS\"";
        let written = Cmd::new("git")
            .args(["-c", "agent.task=it's a=b!", "-c", "agent.flag", "-c", "agent.empty="])
            .args(["-c", "url.a=b.insteadOf=c", "-c", &format!("alias.print={script}"), "print"])
            .run()
            .unwrap();
        let parameters = String::from_utf8(written.stdout).unwrap();
        let read = environment(&[("GIT_CONFIG_PARAMETERS", &parameters)]).overrides();
        let read = read.unwrap_or_else(|error| panic!("{error}: {parameters}"));
        assert_eq!(
            read[..4],
            [
                pair("agent.task", Some("it's a=b!")),
                pair("agent.flag", None),
                pair("agent.empty", Some("")),
                pair("url.a", Some("b.insteadOf=c")),
            ]
        );
    }

    #[test]
    fn old_parameters_and_counted_settings_are_read_in_order() {
        let read = environment(&[
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "agent.model"),
            ("GIT_CONFIG_VALUE_0", "a"),
            ("GIT_CONFIG_PARAMETERS", " 'agent.model=b'  'agent.flag' "),
        ])
        .overrides();
        assert_eq!(
            read,
            Ok(vec![
                pair("agent.model", Some("a")),
                pair("agent.model", Some("b")),
                pair("agent.flag", None)
            ])
        );
    }

    #[test]
    fn what_git_refuses_is_refused() {
        let parameters = |text| environment(&[("GIT_CONFIG_PARAMETERS", text)]).overrides();
        assert_eq!(parameters("agent.model=b"), Err(BadOverride::Parameters));
        assert_eq!(parameters("'agent.model=b"), Err(BadOverride::Parameters));
        assert_eq!(parameters("'a.b'='c''d'"), Err(BadOverride::Parameters));
        let count = |text| environment(&[("GIT_CONFIG_COUNT", text)]).overrides();
        assert_eq!(count("x"), Err(BadOverride::Count));
        assert_eq!(count("1"), Err(BadOverride::Missing("GIT_CONFIG_KEY_0".into())));
    }
}
