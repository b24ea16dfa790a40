//! The gate of one session: what a person must look at before it is written or committed.
//!
//! Invariant: a tool that is about to write a path and the commit of a change ask the same rules.

use crate::check::scope::Scope;
use crate::check::secret::NoSecrets;
use crate::check::{Changes, Judge, later};
use crate::config::Config;
use crate::event::Finding;
use crate::git::{ObjectId, Repo};
use crate::pattern::BadPattern;
use crate::session::checkpoint::Unjudged;
use crate::session::spec::Spec;

/// The rules of one session on paths and their content.
pub(super) struct Gate {
    scope: Scope,
}

impl Gate {
    /// The rules of this session; `base` is the tree that it began with.
    ///
    /// # Errors
    /// A pattern is none.
    pub(super) fn new(spec: &Spec, config: &Config, base: ObjectId) -> Result<Self, BadPattern> {
        let bounds = &spec.bounds;
        let protect = [&bounds.protect[..], &config.protect[..]].concat();
        let scope = Scope::new(&bounds.scope, &bounds.exclude, &protect)?;
        Ok(Self { scope: scope.at_most(bounds.max_files, base) })
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
        let judges: [&dyn Judge; 3] = [&self.scope, &later::RunsLater, &NoSecrets];
        let judged =
            Changes::between(repo, before, after).and_then(|changes| changes.judged_by(&judges));
        judged.map_err(|error| Unjudged(Box::new(error)))
    }
}
