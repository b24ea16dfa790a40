//! What git's attributes and ignore rules say about a path, and the form in which its content is
//! stored.
//!
//! Invariant: content is stored as every filter named for it left it, or not at all; a filter that
//! is missing or fails is an error, whether or not it calls itself required.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use gix::Repository;
use gix::attrs::StateRef;
use gix::attrs::search::Outcome;
use gix::bstr::{BStr, BString, ByteSlice};
use gix::filter::plumbing::{Driver, Pipeline};
use gix::index::entry::Mode as IndexMode;
use gix::objs::FindExt;
use gix::worktree::Stack;
use gix::worktree::stack::state::{attributes, ignore};

use crate::git::ObjectId;
use crate::git::index::as_path;

/// The ignore rules and attributes of one worktree, read from its files as paths are asked for.
/// What is read is kept, so it is made anew for each snapshot.
#[derive(Clone)]
pub(super) struct Rules {
    repo: Repository,
    stack: Stack,
}

/// The way of content into the object database.
pub(super) struct Filter {
    rules: Rules,
    pipeline: Pipeline,
    drivers: Vec<Driver>,
    root: PathBuf,
    /// The `filter` attribute of the last path asked for.
    outcome: Outcome,
}

/// Content that could not be brought into the form to store.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilterError {
    #[error("filter {0} is not configured")]
    Missing(String),
    #[error("filter {driver} runs {program} of the checkout, which an agent may write")]
    OfCheckout { driver: String, program: String },
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Rules {
    /// The rules of the worktree at `root`. Rule files outside its sparse checkout are
    /// `absent`: their paths and content.
    ///
    /// # Errors
    /// A rule file of the user or the repository cannot be read.
    pub(super) fn open(
        repo: &Repository,
        root: &Path,
        absent: &[(BString, ObjectId)],
    ) -> io::Result<Self> {
        let stack = repo
            .attributes(
                &gix::index::State::new(repo.object_hash()),
                attributes::Source::WorktreeThenIdMapping,
                ignore::Source::WorktreeThenIdMappingIfNotSkipped,
                None,
            )
            .map_err(io::Error::other)?
            .detach();
        let case = if flag(repo, "core.ignoreCase", false) {
            gix::glob::pattern::Case::Fold
        } else {
            gix::glob::pattern::Case::Sensitive
        };
        let mut absent = absent.to_vec();
        absent.sort();
        let state = stack.state().clone();
        Ok(Self { repo: repo.clone(), stack: Stack::new(root, state, case, Vec::new(), absent) })
    }

    /// Whether an untracked file or folder at `path` is to be ignored.
    ///
    /// # Errors
    /// A rule file cannot be read.
    pub(super) fn is_excluded(&mut self, path: &BStr, is_folder: bool) -> io::Result<bool> {
        let mode = if is_folder { IndexMode::DIR } else { IndexMode::FILE };
        Ok(self.stack.at_entry(path, Some(mode), &self.repo.objects)?.is_excluded())
    }
}

impl Filter {
    /// Filters as the user's own configuration has them, for paths under `rules`.
    ///
    /// # Errors
    /// The configuration of a filter makes no sense.
    pub(super) fn open(rules: Rules, root: &Path) -> io::Result<Self> {
        let mut options = gix::filter::Pipeline::options(&rules.repo).map_err(io::Error::other)?;
        for driver in &mut options.drivers {
            // An optional filter that fails would else leave the content as it is, in silence.
            driver.required |= driver.clean.is_some() || driver.process.is_some();
        }
        let drivers = options.drivers.clone();
        let mut context = rules.repo.command_context().map_err(io::Error::other)?;
        context.worktree_dir = Some(root.to_owned());
        let pipeline = Pipeline::new(context, rules.repo.object_hash(), options);
        let mut outcome = Outcome::default();
        outcome.initialize_with_selection(&Default::default(), ["filter"]);
        Ok(Self { rules, pipeline, drivers, root: root.to_owned(), outcome })
    }

    /// The rules that this filter goes by.
    pub(super) fn rules(&mut self) -> &mut Rules {
        &mut self.rules
    }

    /// Whether a program of the user's stands between the file at `path` and what is stored.
    ///
    /// # Errors
    /// A filter is named that nobody configured, that is required and cannot clean, or that is a
    /// program of the worktree.
    pub(super) fn has_driver(&mut self, path: &BStr) -> Result<bool, FilterError> {
        let entry = self.rules.stack.at_entry(path, None, &self.rules.repo.objects)?;
        self.outcome.reset();
        entry.matching_attributes(&mut self.outcome);
        let Some(name) =
            self.outcome.iter_selected().find_map(|found| match found.assignment.state {
                StateRef::Value(name) => Some(name.as_bstr().to_owned()),
                _ => None,
            })
        else {
            return Ok(false);
        };
        match self.drivers.iter().find(|driver| driver.name == name) {
            None => Err(FilterError::Missing(name.to_string())),
            Some(driver) if driver.clean.is_none() && driver.process.is_none() => {
                if driver.required {
                    return Err(FilterError::Missing(name.to_string()));
                }
                Ok(false)
            }
            Some(driver) => is_trusted(driver, &self.root).map(|()| true),
        }
    }

    /// The stored form of `content`, cut off behind `limit` bytes. `old` is what is stored for
    /// `path` so far: by it, `text=auto` leaves a file alone that has always had carriage returns.
    ///
    /// # Errors
    /// A filter fails, or `content` cannot be read.
    pub(super) fn clean(
        &mut self,
        path: &BStr,
        content: impl Read,
        old: Option<ObjectId>,
        limit: u64,
    ) -> Result<Vec<u8>, FilterError> {
        let entry = self.rules.stack.at_entry(path, None, &self.rules.repo.objects)?;
        let objects = &self.rules.repo.objects;
        let outcome =
            self.pipeline
                .convert_to_git(
                    content,
                    as_path(path),
                    &mut |_, attributes| {
                        entry.matching_attributes(attributes);
                    },
                    &mut |buffer| {
                        Ok(old.and_then(|id| objects.find_blob(&id, buffer).ok().map(|_| ())))
                    },
                )
                .map_err(|error| FilterError::Failed(chain(&error)))?;
        let mut stored = Vec::new();
        let read = outcome.take(limit.saturating_add(1)).read_to_end(&mut stored);
        read.map_err(|error| FilterError::Failed(chain(&error)))?;
        Ok(stored)
    }
}

/// Whether a filter is no program of the checkout at `root`: one that a relative path leads to, or
/// one found from the top of the checkout. What the user has configured is the user's, but that
/// file would be the agent's.
///
/// # Errors
/// [`FilterError::OfCheckout`].
pub(super) fn is_trusted(driver: &Driver, root: &Path) -> Result<(), FilterError> {
    let commands = [&driver.clean, &driver.smudge, &driver.process].into_iter().flatten();
    match commands.filter_map(|command| program_in(&command.to_str_lossy(), root)).next() {
        None => Ok(()),
        Some(program) => Err(FilterError::OfCheckout { driver: driver.name.to_string(), program }),
    }
}

fn program_in(command: &str, root: &Path) -> Option<String> {
    const INTERPRETERS: [&str; 9] =
        ["sh", "bash", "dash", "zsh", "python", "python3", "node", "perl", "ruby"];
    let is_there = |path: &str| !path.is_empty() && root.join(path).is_file();
    let mut is_script = false;
    let words = command.split(|c: char| c.is_whitespace() || "'\"`;|&()".contains(c));
    for word in words.filter(|word| !word.is_empty()) {
        let (first, rest) = word.split_once('/').unwrap_or((word, ""));
        let found = match first {
            // `$PWD/x`, or what is behind `$(git rev-parse --show-toplevel)`.
            _ if first.starts_with('$') => is_there(rest),
            "" => !Path::new(word).exists() && is_there(rest),
            "." | ".." => true,
            _ if word.contains('/') => is_there(word),
            _ => is_script && is_there(word),
        };
        if found {
            return Some(word.to_owned());
        }
        is_script |= INTERPRETERS.contains(&word.rsplit('/').next().unwrap_or(word));
    }
    None
}

/// A boolean of the repository's configuration.
pub(super) fn flag(repo: &Repository, key: &str, default: bool) -> bool {
    repo.config_snapshot().boolean(key).unwrap_or(default)
}

/// Whether the last component of `path` is `name`.
pub(super) fn is_named(path: &BStr, name: &str) -> bool {
    path.strip_suffix(name.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.ends_with(b"/"))
}

/// An error and what caused it, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line = format!("{line}: {cause}");
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_the_checkout_is_known_by_its_path() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("tools")).unwrap();
        for file in ["tools/clean", "clean", "lfs"] {
            std::fs::write(root.path().join(file), "").unwrap();
        }
        for (command, program) in [
            ("git lfs clean -- %f", None),
            ("tr a-z A-Z", None),
            ("sed -e s/a/b/", None),
            ("/bin/sh -c 'tr a b'", None),
            ("sh -c 'exec cat'", None),
            ("clean", None),
            ("other/clean", None),
            ("./anything", Some("./anything")),
            ("../x", Some("../x")),
            ("tools/clean %f", Some("tools/clean")),
            ("sh tools/clean", Some("tools/clean")),
            ("/usr/bin/python3 clean", Some("clean")),
            ("$PWD/tools/clean", Some("$PWD/tools/clean")),
            ("\"$(git rev-parse --show-toplevel)/tools/clean\"", Some("/tools/clean")),
        ] {
            assert_eq!(program_in(command, root.path()).as_deref(), program, "{command}");
        }
    }
}
