//! The gate before a checkpoint: what a person must look at first is neither committed nor recorded,
//! and what they do not allow is put back.
//!
//! Invariant: what is put back is kept by the session's ref before a file changes; cut off anywhere,
//! doing it again ends the same.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use super::{CheckpointError, Checkpoints};
use crate::event::Finding;
use crate::file::Changed;
use crate::git::{Difference, Mode, ObjectError, ObjectId, Repo};
use crate::redact;
use crate::session::state::State;

/// Looks at what has changed from one tree to another, before a ref moves.
pub type Gate<'a> = &'a dyn Fn(&Repo, ObjectId, ObjectId) -> Result<Vec<Finding>, Unjudged>;

/// What has changed cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[error("what has changed cannot be looked at")]
pub struct Unjudged(#[source] pub Box<dyn std::error::Error + Send + Sync>);

impl Checkpoints {
    /// Makes these paths what they were after the last checkpoint, and gives the commit that holds
    /// what they are now; none where nothing is left to put back.
    ///
    /// # Errors
    /// See [`CheckpointError`]; the files may have changed then, and what they held is kept.
    pub fn put_back(
        &mut self,
        paths: &[String],
        state: &mut State,
        journal: &Path,
    ) -> Result<Option<ObjectId>, CheckpointError> {
        self.check_worktree()?;
        let before = self.repo.tree_of(self.code)?;
        let tree = self.snapshot.take(&Changed::Anything)?.tree;
        let paths: HashSet<&str> = paths.iter().map(String::as_str).collect();
        let mut edits = Vec::new();
        let mut clean = Vec::new();
        for Difference { path, old, new } in self.repo.differences(before, tree)? {
            if paths.contains(path.to_string().as_str()) {
                if let Some((mode @ (Mode::File | Mode::Executable), blob)) = new
                    && let Some(blob) = self.without_secrets(blob)?
                {
                    clean.push((path.clone(), Some((mode, blob))));
                }
                edits.push((path, old));
            }
        }
        // What goes makes room for what comes: a file where a folder was, or the other way round.
        edits.sort_by_key(|(_, old)| old.is_some());
        if edits.is_empty() {
            return Ok(None);
        }
        let back = self.repo.edit_tree(Some(tree), &edits)?;
        let message = format!("Snapshot of step {}\n", state.step);
        // The session's ref may be pushed, and these were not allowed.
        let to_keep = self.repo.edit_tree(Some(tree), &clean)?;
        let kept = self.snapshot_on(&[self.head], to_keep, &message)?;
        let message = format!("Snapshot before step {}\n", state.step);
        let code = self.snapshot_on(&[self.head, kept], before, &message)?;
        self.repo.sync_with_objects(journal);
        let mut next = state.clone();
        next.tree = Some(before.to_string());
        let (repo, spec) = (&self.repo, &self.spec);
        let written = self.recorder.write(repo, spec, &mut next, journal, code, &self.who)?;
        self.repo.update_refs(std::slice::from_ref(&written.update))?;
        self.recorder.advance(&written);
        (self.code, *state) = (code, next);
        self.check_out(back)?;
        Ok(Some(kept))
    }

    /// The content without secrets; none where it has none.
    fn without_secrets(&self, blob: ObjectId) -> Result<Option<ObjectId>, ObjectError> {
        match redact::secrets().take_out_of_bytes(&self.repo.read_blob(blob)?) {
            Cow::Borrowed(_) => Ok(None),
            Cow::Owned(clean) => self.repo.write_blob(&clean).map(Some),
        }
    }
}
