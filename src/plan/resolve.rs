//! Conflicts given back to the session as a task, and what it has made of them.
//!
//! Invariant: a file counts as resolved only if the session has changed it since it was told, and
//! left no conflict marker in it; all else that conflicts still stops the landing.

use std::collections::BTreeMap;

use super::LandError;
use super::forecast::{Clashing, Span};
use super::work::Work;
use crate::git::{ObjectId, Repo};
use crate::session::store::Session;

/// A file that is longer than this is not told whole, in bytes.
const TOLD_WHOLE: usize = 8 << 10;

/// The files that a session was told of, each with what it had there then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    told: BTreeMap<String, Option<ObjectId>>,
}

impl Resolution {
    /// Notes the files that do not merge, and gives the words for the session: both sides of each.
    ///
    /// # Errors
    /// Its work or the target cannot be read.
    pub fn tell(
        &mut self,
        repo: &Repo,
        session: &Session,
        (branch, tip): (&str, ObjectId),
        files: &[Clashing],
    ) -> Result<String, LandError> {
        let repo = repo.in_memory();
        let theirs = repo.tree_of(tip)?;
        let own = Work::of(&repo, session, &session.state()?)?.tree;
        let mut words = format!(
            "Your work is to land on {branch}, which has moved since you began, and the two do not \
             merge. Edit each file below in your worktree so that it holds what both sides meant, \
             without conflict markers. Change nothing else: what does not conflict is merged \
             afterwards, and your checks run on the result.\n"
        );
        for file in files {
            let path = file.path.as_str();
            self.told.insert(path.to_owned(), repo.entry(own, path)?.map(|entry| entry.id));
            let text = |tree| -> Result<Option<String>, LandError> {
                let bytes = repo.read_path(tree, path)?;
                Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
            };
            let (theirs, own) = (text(theirs)?, text(own)?);
            let by = file.a_by.as_ref().map(|by| format!(" ({}: {})", by.author, by.subject));
            words += &format!("\n{path}, on {branch} changed by{}\n", by.unwrap_or_default());
            match (theirs, own) {
                (Some(theirs), Some(own)) if !file.hunks.is_empty() => {
                    for hunk in &file.hunks {
                        let (a, b) = (lines(&theirs, hunk.a), lines(&own, hunk.b));
                        let at = hunk.b.start;
                        words += &format!("{branch} has:\n{a}yours has, from line {at}:\n{b}");
                    }
                }
                (Some(theirs), _) if theirs.len() <= TOLD_WHOLE && !theirs.contains('\0') => {
                    words += &format!("{branch} has:\n{theirs}\n");
                }
                (Some(_), _) => {
                    words += &format!("git show {tip}:{path} prints what {branch} has\n");
                }
                (None, _) => words += &format!("{branch} has no such file any more\n"),
            }
        }
        Ok(words)
    }

    /// The target's tree with the files that the session has resolved as the session has them:
    /// merged with its work, these do not conflict.
    ///
    /// # Errors
    /// An object cannot be read or written.
    pub(super) fn side(
        &self,
        repo: &Repo,
        tip: ObjectId,
        work: &Work,
    ) -> Result<ObjectId, LandError> {
        let mut edits = Vec::new();
        for (path, had) in &self.told {
            let entry = repo.entry(work.tree, path)?;
            let is_left = entry.as_ref().map(|entry| entry.id) == *had;
            let marked = match &entry {
                Some(_) => repo.read_path(work.tree, path)?.is_some_and(|text| has_markers(&text)),
                None => false,
            };
            if !is_left && !marked {
                edits.push((path, entry.map(|entry| (entry.mode, entry.id))));
            }
        }
        Ok(repo.edit_tree(Some(repo.tree_of(tip)?), &edits)?)
    }
}

/// Whether a text has lines as git writes them around a conflict.
fn has_markers(text: &[u8]) -> bool {
    let begins = |mark: &[u8]| text.split(|byte| *byte == b'\n').any(|line| line.starts_with(mark));
    begins(b"<<<<<<< ") && begins(b">>>>>>> ")
}

fn lines(text: &str, span: Span) -> String {
    let first = span.start.saturating_sub(1) as usize;
    let lines = text.lines().skip(first).take(span.lines as usize);
    lines.map(|line| format!("    {line}\n")).collect()
}
