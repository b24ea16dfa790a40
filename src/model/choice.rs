//! Which model: `provider/model`, and the table of providers.
//!
//! Invariant: a name that is not in the table is refused with the names that are; no provider is
//! ever guessed.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A model, named as `--model` and `agent.model` name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub(super) provider: &'static Provider,
    pub(super) model: String,
}

/// Whose server speaks what, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Provider {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Address where nothing else is said, in the form of the vendor's own variable.
    pub(super) base: &'static str,
    /// The variable that holds the address.
    pub(super) base_env: Option<&'static str>,
    /// The variables that hold the key, and whether it is a bearer token.
    pub(super) key_env: &'static [(&'static str, bool)],
    /// Whose prices hold, if anybody's.
    pub(super) prices: Option<&'static str>,
}

/// What answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Server(Wire),
    /// A file that says what was answered before.
    Transcript,
    /// A command that does the work by itself.
    Command,
}

/// The wire formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// Anthropic Messages.
    Anthropic,
    /// `OpenAI` Responses.
    Responses,
    /// `OpenAI` Chat Completions.
    Chat,
}

/// All providers. Ports are those that the servers listen on by default.
pub(super) const PROVIDERS: [Provider; 10] = [
    Provider {
        name: "anthropic",
        kind: Kind::Server(Wire::Anthropic),
        base: "https://api.anthropic.com",
        base_env: Some("ANTHROPIC_BASE_URL"),
        key_env: &[("ANTHROPIC_API_KEY", false), ("ANTHROPIC_AUTH_TOKEN", true)],
        prices: Some("anthropic"),
    },
    Provider {
        name: "openai",
        kind: Kind::Server(Wire::Responses),
        base: "https://api.openai.com/v1",
        base_env: Some("OPENAI_BASE_URL"),
        key_env: &[("OPENAI_API_KEY", false)],
        prices: Some("openai"),
    },
    Provider {
        name: "chat",
        kind: Kind::Server(Wire::Chat),
        base: "https://api.openai.com/v1",
        base_env: Some("OPENAI_BASE_URL"),
        key_env: &[("OPENAI_API_KEY", false)],
        prices: Some("openai"),
    },
    Provider {
        name: "openrouter",
        kind: Kind::Server(Wire::Chat),
        base: "https://openrouter.ai/api/v1",
        base_env: None,
        key_env: &[("OPENROUTER_API_KEY", false)],
        prices: None,
    },
    local("ollama", "http://127.0.0.1:11434/v1", Some("OLLAMA_HOST")),
    local("lmstudio", "http://127.0.0.1:1234/v1", None),
    local("llamacpp", "http://127.0.0.1:8080/v1", None),
    local("vllm", "http://127.0.0.1:8000/v1", None),
    here("replay", Kind::Transcript),
    here("exec", Kind::Command),
];

const fn here(name: &'static str, kind: Kind) -> Provider {
    Provider { name, kind, base: "", base_env: None, key_env: &[], prices: None }
}

const fn local(name: &'static str, base: &'static str, base_env: Option<&'static str>) -> Provider {
    Provider { name, kind: Kind::Server(Wire::Chat), base, base_env, key_env: &[], prices: None }
}

/// A name that names no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// There is no provider in it.
    #[error("model '{given}' names no provider; write it as provider/model, e.g. {example}")]
    NoProvider {
        /// What was given.
        given: String,
        /// What may be meant.
        example: String,
    },
    /// The provider is not known.
    #[error("provider '{given}' is not known; the known ones are {known}")]
    UnknownProvider {
        /// What was given.
        given: String,
        /// The known ones, listed.
        known: String,
        /// The nearest of them, if one is near.
        nearest: Option<&'static str>,
    },
    /// There is nothing after the provider.
    #[error("'{provider}/' names no model")]
    NoModel {
        /// The provider.
        provider: &'static str,
    },
}

impl Choice {
    /// The names of all providers, in the order they are listed in.
    pub fn providers() -> impl Iterator<Item = &'static str> {
        PROVIDERS.iter().map(|provider| provider.name)
    }

    /// Local servers with the address they are at by default: preset and base address.
    pub fn local_servers() -> impl Iterator<Item = (&'static str, &'static str)> {
        PROVIDERS
            .iter()
            .filter(|provider| provider.base.starts_with("http:"))
            .map(|provider| (provider.name, provider.base))
    }

    /// The provider's name.
    pub fn provider(&self) -> &'static str {
        self.provider.name
    }

    /// The variable that may hold the server's address.
    pub fn address_variable(&self) -> Option<&'static str> {
        self.provider.base_env
    }

    /// The variables that may hold the key.
    pub fn key_variables(&self) -> impl Iterator<Item = &'static str> {
        self.provider.key_env.iter().map(|(name, _)| *name)
    }

    /// The model as the provider names it; for `replay` the path of the transcript, for `exec` the
    /// command.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The choice as people read it: of a transcript its file's name, not where it lies here; of a
    /// command the program's.
    pub fn label(&self) -> String {
        let path = match self.provider.kind {
            Kind::Server(_) => None,
            Kind::Transcript => Some(self.model.as_str()),
            Kind::Command => self.model.split_whitespace().next(),
        };
        let file = path.and_then(|path| Path::new(path).file_name());
        let model = file.map_or_else(|| self.model.as_str().into(), |file| file.to_string_lossy());
        format!("{}/{model}", self.provider.name)
    }

    /// The command that does the work, where no model does.
    pub fn command(&self) -> Option<&str> {
        (self.provider.kind == Kind::Command).then_some(&self.model)
    }

    /// The same choice seen from any folder: the path of a transcript is made absolute.
    #[must_use]
    pub fn anchored(mut self, cwd: &Path) -> Self {
        if self.provider.kind == Kind::Transcript {
            self.model = cwd.join(&self.model).to_string_lossy().into_owned();
        }
        self
    }
}

impl FromStr for Choice {
    type Err = ChoiceError;

    fn from_str(given: &str) -> Result<Self, ChoiceError> {
        let given = given.trim();
        let Some((name, model)) = given.split_once('/') else {
            let example = format!("{}/{given}", likely_provider(given));
            return Err(ChoiceError::NoProvider { given: given.to_owned(), example });
        };
        let Some(provider) = PROVIDERS.iter().find(|provider| provider.name == name) else {
            let known = Self::providers().collect::<Vec<_>>().join(", ");
            return Err(ChoiceError::UnknownProvider {
                given: name.to_owned(),
                known,
                nearest: nearest(name),
            });
        };
        if model.trim().is_empty() {
            return Err(ChoiceError::NoModel { provider: provider.name });
        }
        Ok(Self { provider, model: model.to_owned() })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider.name, self.model)
    }
}

fn nearest(name: &str) -> Option<&'static str> {
    Choice::providers()
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

fn likely_provider(model: &str) -> &'static str {
    let openai = model.starts_with("gpt") || model.starts_with("codex");
    let reasoning = model.strip_prefix('o').is_some_and(|rest| rest.starts_with(char::is_numeric));
    if openai || reasoning {
        "openai"
    } else if model.starts_with("claude") || model.is_empty() {
        "anthropic"
    } else {
        "ollama"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_at_the_first_slash() {
        let choice: Choice = "openrouter/anthropic/claude-x".parse().unwrap();
        assert_eq!((choice.provider(), choice.model()), ("openrouter", "anthropic/claude-x"));
        assert_eq!(choice.to_string(), "openrouter/anthropic/claude-x");
        let replay: Choice = "replay/a b.jsonl".parse().unwrap();
        assert_eq!(replay.anchored(Path::new("/x")).to_string(), "replay//x/a b.jsonl");
        let exec: Choice = "exec/./a/mod -x b/c".parse().unwrap();
        assert_eq!(exec.command(), Some("./a/mod -x b/c"));
        assert_eq!(exec.label(), "exec/mod");
        assert_eq!(exec.anchored(Path::new("/x")).to_string(), "exec/./a/mod -x b/c");
    }

    #[test]
    fn a_wrong_name_says_which_are_right() {
        let error = |given: &str| given.parse::<Choice>().unwrap_err();
        let known = "anthropic, openai, chat, openrouter, ollama, lmstudio, llamacpp, vllm, replay, \
                     exec";
        let unknown = |given: &str, nearest| ChoiceError::UnknownProvider {
            given: given.to_owned(),
            known: known.to_owned(),
            nearest,
        };
        assert_eq!(error("antropic/x"), unknown("antropic", Some("anthropic")));
        assert_eq!(error("llama.cpp/x"), unknown("llama.cpp", Some("llamacpp")));
        assert_eq!(error("zzz/x"), unknown("zzz", None));
        assert_eq!(error("openai/ "), ChoiceError::NoModel { provider: "openai" });
        assert_eq!(
            error("gpt-x").to_string(),
            "model 'gpt-x' names no provider; write it as provider/model, e.g. openai/gpt-x"
        );
    }
}
