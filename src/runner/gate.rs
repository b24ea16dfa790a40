//! The gate of one session: what a person must look at before it is written or committed.
//!
//! Invariant: a tool that is about to write a path and the commit of a change ask the same rules.

use crate::agent::permission::{self, BadRule, Ruling};
use crate::agent::{Guarded, Rules};
use crate::check::scope::{self, Scope};
use crate::check::secret::NoSecrets;
use crate::check::{Changes, CheckError, Judge, finding, later};
use crate::config::Config;
use crate::event::Finding;
use crate::git::{ObjectId, Repo};
use crate::pattern::BadPattern;
use crate::session::checkpoint::Unjudged;
use crate::session::spec::Spec;
use crate::tool::{self, Aim, Target};

/// The rules of one session on paths and their content.
pub(super) struct Gate {
    scope: Scope,
    /// The rules on calls: a change by a command is a write too.
    pub(super) rules: Rules,
}

/// A rule that makes no sense.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadGate {
    /// On paths.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// On calls.
    #[error(transparent)]
    Rule(#[from] BadRule),
}

impl Gate {
    /// The rules of this session; `base` is the tree that it began with.
    ///
    /// # Errors
    /// A pattern or a rule is none.
    pub(super) fn new(spec: &Spec, config: &Config, base: ObjectId) -> Result<Self, BadGate> {
        let bounds = &spec.bounds;
        let protect = [&bounds.protect[..], &config.protect[..]].concat();
        let scope = Scope::new(&bounds.scope, &bounds.exclude, &protect)?;
        let rules = Rules::parse(&config.permission, &tool::names())?;
        Ok(Self { scope: scope.at_most(bounds.max_files, base), rules })
    }

    /// What they say of a path that a tool is about to write.
    pub(super) fn guard(&self, path: &str) -> Option<Guarded> {
        let (rule, why) = match self.scope.why(path) {
            Some(found) => found,
            None => (later::RULE, later::why(path)?.to_owned()),
        };
        let (path, content) = (path.to_owned(), None);
        let is_denied = matches!(rule, scope::SCOPE | scope::EXCLUDE);
        Some(Guarded { finding: Finding { rule: rule.to_owned(), path, why, content }, is_denied })
    }

    /// What a person must look at of what has changed between two trees.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn findings(
        &self,
        repo: &Repo,
        before: ObjectId,
        after: ObjectId,
    ) -> Result<Vec<Finding>, Unjudged> {
        let judges: [&dyn Judge; 4] = [&self.scope, &later::RunsLater, &NoSecrets, self];
        let judged =
            Changes::between(repo, before, after).and_then(|changes| changes.judged_by(&judges));
        judged.map_err(|error| Unjudged(Box::new(error)))
    }
}

impl Judge for Gate {
    fn judge(&self, changes: &Changes<'_>) -> Result<Vec<Finding>, CheckError> {
        if self.rules.is_empty() {
            return Ok(Vec::new());
        }
        let held = changes.paths.iter().filter_map(|change| {
            let path = change.path.to_string();
            let aim = Aim { tool: "write", target: Target::Write(path.clone()) };
            let (Ruling::Ask(rule) | Ruling::Deny(rule)) = self.rules.judge(&aim) else {
                return None;
            };
            let Finding { rule, why, .. } = permission::finding(&rule, &path);
            Some(finding(&rule, change, why))
        });
        Ok(held.collect())
    }
}
