//! The settings of a repository: git's entries, typed.
//!
//! Invariant: every room reads them here, so that one value has one meaning.

use crate::config::{Config, ConfigError, Entry, UnknownKey};
use crate::git::Repo;

/// The settings of a repository, and those that we do not know.
///
/// # Errors
/// A value is not what its key asks for.
pub fn of(repo: &Repo) -> Result<(Config, Vec<UnknownKey>), ConfigError> {
    let entries = repo.config("agent").into_iter();
    let entry = |entry: crate::git::ConfigEntry| Entry {
        key: entry.key,
        value: entry.value,
        origin: entry.origin,
    };
    Config::read(entries.map(entry))
}
