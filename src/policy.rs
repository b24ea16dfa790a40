//! What an organisation allows on this machine: `/etc/git-agent/policy.toml`.
//!
//! ```toml
//! sessions = 3                        # at once, for each user
//! [limits]                            # of one session
//! budget = 10.0                       # US dollars
//! max_steps = 500
//! max_tokens = 5_000_000
//! timeout = 14_400                    # seconds at work
//! [models]
//! allow = ["anthropic/*"]
//! deny = ["*/*-preview"]
//! [hosts]                             # of models and of the network
//! allow = ["api.anthropic.com"]
//! [repositories]                      # by their folders
//! deny = ["/srv/secret"]
//! [capabilities]                      # false switches one off
//! network = false
//! pr = false
//! in_place = false
//! external_agents = false
//! [sandbox]
//! level = "full"                      # the least
//! [verify]
//! required = ["make check"]
//! ```
//!
//! There is one place for it: what a user's environment or settings could move would be no policy.
//!
//! Invariant: a policy that cannot be read, or says what is not known here, allows nothing.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::pattern::{BadPattern, Names};

/// Where it is.
pub const PATH: &str = "/etc/git-agent/policy.toml";

/// Levels of the sandbox, from the weakest.
const LEVELS: [&str; 3] = ["none", "reduced", "full"];

/// A policy in force.
#[derive(Clone, Debug)]
pub struct Policy {
    path: PathBuf,
    rules: Rules,
    models: Named,
    hosts: Named,
    repositories: Named,
}

/// Patterns of names, to allow alone and to deny.
#[derive(Clone, Debug)]
struct Named {
    allow: Option<Names>,
    deny: Names,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rules {
    sessions: Option<u32>,
    limits: Caps,
    models: Lists,
    hosts: Lists,
    repositories: Lists,
    capabilities: Capabilities,
    sandbox: Sandbox,
    verify: Verify,
}

/// How much one session may use up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Caps {
    /// US dollars.
    pub budget: Option<f64>,
    /// Steps.
    pub max_steps: Option<u32>,
    /// Tokens, in and out.
    pub max_tokens: Option<u64>,
    /// Seconds at work.
    pub timeout: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Lists {
    allow: Option<Vec<String>>,
    deny: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Capabilities {
    network: Option<bool>,
    pr: Option<bool>,
    in_place: Option<bool>,
    external_agents: Option<bool>,
}

/// What can be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// The network, for what tools run.
    Network,
    /// Pull requests.
    Pr,
    /// Work in the checkout of a person.
    InPlace,
    /// Agents other than the one built in.
    ExternalAgents,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sandbox {
    level: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Verify {
    required: Vec<String>,
}

/// What a session is to be, as far as a policy asks.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// The repository's folder, links followed.
    pub folder: &'a Path,
    /// Its models, `provider/name`.
    pub models: Vec<&'a str>,
    /// The level of its sandbox.
    pub sandbox: &'a str,
    /// What it may use up.
    pub limits: Caps,
}

/// What the policy says no to.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It is there and cannot be read.
    #[error("the policy {} cannot be read, so nothing is allowed", path.display())]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It makes no sense.
    #[error("the policy {} makes no sense, so nothing is allowed: {why}", path.display())]
    Malformed {
        /// Where it is.
        path: PathBuf,
        /// What is wrong, in one line.
        why: String,
    },
    /// One of its rules forbids this.
    #[error("{what}, by {rule} in {}", path.display())]
    Forbidden {
        /// What is forbidden, and how it would do.
        what: String,
        /// The rule, as in `models.allow`.
        rule: &'static str,
        /// Where it stands.
        path: PathBuf,
    },
}

impl Policy {
    /// The policy of this machine; none where there is none.
    ///
    /// # Errors
    /// It cannot be read, or makes no sense.
    pub fn of_machine() -> Result<Option<Self>, PolicyError> {
        Self::read(&place())
    }

    /// The policy in this file; none where there is no such file.
    ///
    /// # Errors
    /// It cannot be read, or makes no sense.
    pub fn read(path: &Path) -> Result<Option<Self>, PolicyError> {
        let path = path.to_owned();
        let text = match fs_err::read_to_string(&path) {
            Ok(text) => text,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(source) => return Err(PolicyError::Unreadable { path, source }),
        };
        let malformed = |why: String| PolicyError::Malformed { path: path.clone(), why };
        let rules: Rules =
            toml::from_str(&text).map_err(|error| malformed(in_line(&text, &error)))?;
        if let Some(level) = rules.sandbox.level.as_deref().filter(|it| !LEVELS.contains(it)) {
            return Err(malformed(format!("there is no level {level}; {}", LEVELS.join(", "))));
        }
        let caps = [rules.limits.budget.is_some_and(|it| !it.is_finite() || it < 0.0)];
        if caps.contains(&true) {
            return Err(malformed("limits.budget is an amount of US dollars".to_owned()));
        }
        let named = |lists: &Lists| Named::new(lists).map_err(|bad| malformed(bad.to_string()));
        let (models, hosts) = (named(&rules.models)?, named(&rules.hosts)?);
        let repositories = named(&rules.repositories)?;
        Ok(Some(Self { path, models, hosts, repositories, rules }))
    }

    /// Refuses a session that it does not allow.
    ///
    /// # Errors
    /// The first rule that forbids it.
    pub fn check(&self, wish: &Wish<'_>) -> Result<(), PolicyError> {
        self.check_repository(wish.folder)?;
        wish.models.iter().try_for_each(|model| self.check_model(model))?;
        self.check_sandbox(wish.sandbox)?;
        self.check_limits(wish.limits)
    }

    /// Where it stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many sessions may run at once for a user; none is not capped.
    pub fn sessions(&self) -> Option<u32> {
        self.rules.sessions
    }

    /// How much one session may use up.
    pub fn caps(&self) -> Caps {
        self.rules.limits
    }

    /// Checks that every session must pass.
    pub fn required_checks(&self) -> &[String] {
        &self.rules.verify.required
    }

    /// The refusal to land without a check that it requires.
    pub fn requires(&self, command: &str) -> PolicyError {
        self.forbids(format!("nothing lands before {command} has passed"), "verify.required")
    }

    /// Refuses a model, `provider/name`.
    ///
    /// # Errors
    /// It is denied, or others alone are allowed.
    pub fn check_model(&self, model: &str) -> Result<(), PolicyError> {
        let no = |rule| self.forbids(format!("the model {model} is not allowed"), rule);
        self.models.check(model, ["models.allow", "models.deny"]).map_err(no)
    }

    /// Refuses a host.
    ///
    /// # Errors
    /// It is denied, or others alone are allowed.
    pub fn check_host(&self, host: &str) -> Result<(), PolicyError> {
        let no = |rule| self.forbids(format!("the host {host} is not allowed"), rule);
        self.hosts.check(host, ["hosts.allow", "hosts.deny"]).map_err(no)
    }

    /// Refuses a host to the commands of a session.
    ///
    /// # Errors
    /// The network is switched off, or the host not allowed.
    pub fn check_network(&self, host: &str) -> Result<(), PolicyError> {
        self.check_capability(Capability::Network)?;
        self.check_host(host)
    }

    /// Refuses a repository, by its folder with links followed.
    ///
    /// # Errors
    /// It is denied, or others alone are allowed.
    pub fn check_repository(&self, folder: &Path) -> Result<(), PolicyError> {
        let shown = folder.display();
        let no = |rule| self.forbids(format!("no session may run in {shown}"), rule);
        let rules = ["repositories.allow", "repositories.deny"];
        self.repositories.check(&folder.to_string_lossy(), rules).map_err(no)
    }

    /// Refuses what is switched off.
    ///
    /// # Errors
    /// It is switched off.
    pub fn check_capability(&self, capability: Capability) -> Result<(), PolicyError> {
        let Capabilities { network, pr, in_place, external_agents } = self.rules.capabilities;
        let (is_on, what, rule) = match capability {
            Capability::Network => (network, "the network is off", "capabilities.network"),
            Capability::Pr => (pr, "pull requests are off", "capabilities.pr"),
            Capability::InPlace => {
                (in_place, "work in your own checkout is off", "capabilities.in_place")
            }
            Capability::ExternalAgents => {
                (external_agents, "other agents are off", "capabilities.external_agents")
            }
        };
        if is_on == Some(false) { Err(self.forbids(what.to_owned(), rule)) } else { Ok(()) }
    }

    /// Refuses a level of the sandbox that is weaker than the least.
    ///
    /// # Errors
    /// It is.
    pub fn check_sandbox(&self, level: &str) -> Result<(), PolicyError> {
        let rank = |level: &str| LEVELS.iter().position(|it| *it == level);
        match &self.rules.sandbox.level {
            Some(least) if rank(level) < rank(least) => {
                let what = format!("the sandbox is {level}, and {least} is the least");
                Err(self.forbids(what, "sandbox.level"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses limits above the caps; what is not limited is above each.
    ///
    /// # Errors
    /// One is.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn check_limits(&self, given: Caps) -> Result<(), PolicyError> {
        let caps = self.rules.limits;
        let count = |it: Option<u64>| it.map(|it| it as f64);
        let steps = |it: Option<u32>| it.map(f64::from);
        for (cap, given, noun, rule) in [
            (caps.budget, given.budget, "US dollars", "limits.budget"),
            (steps(caps.max_steps), steps(given.max_steps), "steps", "limits.max_steps"),
            (count(caps.max_tokens), count(given.max_tokens), "tokens", "limits.max_tokens"),
            (count(caps.timeout), count(given.timeout), "seconds", "limits.timeout"),
        ] {
            let Some(cap) = cap else { continue };
            if given.is_none_or(|given| given > cap) {
                let what = format!("a session may have {cap} {noun} at most");
                return Err(self.forbids(what, rule));
            }
        }
        Ok(())
    }

    fn forbids(&self, what: String, rule: &'static str) -> PolicyError {
        PolicyError::Forbidden { what, rule, path: self.path.clone() }
    }
}

impl Named {
    fn new(lists: &Lists) -> Result<Self, BadPattern> {
        let allow = lists.allow.as_ref().map(|allow| Names::new(allow)).transpose()?;
        Ok(Self { allow, deny: Names::new(&lists.deny)? })
    }

    /// The rule that says no.
    fn check(&self, name: &str, [allow, deny]: [&'static str; 2]) -> Result<(), &'static str> {
        if self.deny.matches(name) {
            return Err(deny);
        }
        match &self.allow {
            Some(names) if !names.matches(name) => Err(allow),
            _ => Ok(()),
        }
    }
}

/// Where the policy is. A test may keep its own elsewhere; a release build knows one place.
fn place() -> PathBuf {
    #[cfg(debug_assertions)]
    if let Some(path) = std::env::var_os("GIT_AGENT_TEST_POLICY") {
        return path.into();
    }
    PathBuf::from(PATH)
}

/// The line and what is wrong there.
fn in_line(text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    let why = error.message().lines().next().unwrap_or_default().to_owned();
    format!("line {line}: {why}")
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    fn policy(text: &str) -> Result<Option<Policy>, PolicyError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        fs::write(&path, text).unwrap();
        Policy::read(&path)
    }

    fn said<T>(checked: Result<T, PolicyError>) -> String {
        let error = checked.err().map(|error| error.to_string()).unwrap_or_default();
        error.rsplit_once(" in /").map(|(said, _)| said.to_owned()).unwrap_or(error)
    }

    #[test]
    fn each_rule_says_no_to_what_it_names() {
        let policy = policy(
            "sessions = 2\n[limits]\nbudget = 3.5\nmax_steps = 10\n[models]\nallow = [\"anthropic/*\"]\n\
             deny = [\"*/old\"]\n[hosts]\nallow = [\"*.example.org\"]\n[repositories]\ndeny = [\"/srv/secret\"]\n\
             [capabilities]\nnetwork = false\npr = true\n[sandbox]\nlevel = \"reduced\"\n\
             [verify]\nrequired = [\"make check\"]\n",
        );
        let policy = policy.unwrap().unwrap();
        assert_eq!(
            (policy.sessions(), policy.required_checks()),
            (Some(2), &["make check".to_owned()][..])
        );
        let caps = |budget, max_steps| Caps { budget, max_steps, ..Caps::default() };
        for (checked, wanted) in [
            (policy.check_model("anthropic/new"), ""),
            (
                policy.check_model("anthropic/old"),
                "the model anthropic/old is not allowed, by models.deny",
            ),
            (
                policy.check_model("openai/new"),
                "the model openai/new is not allowed, by models.allow",
            ),
            (policy.check_host("API.example.org"), ""),
            (
                policy.check_host("example.org"),
                "the host example.org is not allowed, by hosts.allow",
            ),
            (policy.check_repository(Path::new("/srv/shop")), ""),
            (
                policy.check_repository(Path::new("/srv/secret/x")),
                "no session may run in /srv/secret/x, by repositories.deny",
            ),
            (
                policy.check_capability(Capability::Network),
                "the network is off, by capabilities.network",
            ),
            (policy.check_capability(Capability::Pr), ""),
            (policy.check_capability(Capability::InPlace), ""),
            (policy.check_sandbox("full"), ""),
            (
                policy.check_sandbox("none"),
                "the sandbox is none, and reduced is the least, by sandbox.level",
            ),
            (
                policy.check_sandbox("?"),
                "the sandbox is ?, and reduced is the least, by sandbox.level",
            ),
            (policy.check_limits(caps(Some(3.5), Some(10))), ""),
            (
                policy.check_limits(caps(Some(4.0), Some(10))),
                "a session may have 3.5 US dollars at most, by limits.budget",
            ),
            (
                policy.check_limits(caps(Some(1.0), None)),
                "a session may have 10 steps at most, by limits.max_steps",
            ),
        ] {
            assert_eq!(said(checked), wanted);
        }
    }

    #[test]
    fn what_is_not_understood_allows_nothing() {
        for (text, why) in [
            ("session = 3", "line 1: unknown field `session`"),
            ("sessions = 3\n[limits]\nbuget = 3", "line 3: unknown field `buget`"),
            ("sessions = \"many\"", "line 1: invalid type: string \"many\", expected u32"),
            ("[sandbox]\nlevel = \"high\"", "there is no level high; none, reduced, full"),
            ("[models]\nallow = [\"a[\"]", "bad pattern 'a['"),
            ("sessions =", "line 1: "),
        ] {
            let error = policy(text).unwrap_err().to_string();
            assert!(error.contains(&format!("so nothing is allowed: {why}")), "{error}");
        }
        assert!(policy("").unwrap().is_some(), "an empty one allows all");
        let folder = tempfile::tempdir().unwrap();
        assert!(Policy::read(&folder.path().join("none")).unwrap().is_none());
        let error = Policy::read(folder.path()).unwrap_err();
        assert!(matches!(error, PolicyError::Unreadable { .. }), "{error}");
    }
}
