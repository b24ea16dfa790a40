//! Notes: what is said of a commit without changing it.
//!
//! Invariant: many notes are one commit on their ref, and a note that another wrote meanwhile is
//! kept: the ref moves only from what was read.

use std::collections::HashMap;

use gix::bstr::ByteSlice;
use gix::note::plumbing::State;

use crate::git::object::{Draft, Mode, ObjectError};
use crate::git::refs::{Expected, RefError, RefUpdate};
use crate::git::repo::Repo;
use crate::git::{Identity, ObjectId};
use crate::redact;

/// Why notes were not read or written.
#[derive(Debug, thiserror::Error)]
pub enum NotesError {
    /// Their ref was not read or moved.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// An object was not read or written.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

/// How often the ref may have moved under our hands before we give up.
const TRIES: u32 = 10;

impl Repo {
    /// Sets the note of each of these commits, as one commit on `notes_ref` (full name). A note
    /// that is there is replaced. Nothing to say makes no commit.
    ///
    /// # Errors
    /// The objects or the ref cannot be written, or others move the ref faster than we can.
    pub fn write_notes(
        &self,
        notes_ref: &str,
        notes: &[(ObjectId, String)],
        who: &Identity,
        message: &str,
    ) -> Result<(), NotesError> {
        if notes.is_empty() {
            return Ok(());
        }
        let clean =
            |(commit, text): &(ObjectId, String)| (*commit, redact::text(text).into_owned());
        let notes: Vec<_> = notes.iter().map(clean).collect();
        let mut tries = 0;
        loop {
            let tip = self.ref_id(notes_ref)?;
            let tree = self.tree_with_notes(tip, &notes)?;
            let commit = self.write_commit(&Draft {
                tree,
                parents: tip.into_iter().collect(),
                author: who.clone(),
                committer: who.clone(),
                time: None,
                message: message.to_owned(),
            })?;
            let moved = self.update_refs(&[RefUpdate {
                name: notes_ref.to_owned(),
                old: tip.map_or(Expected::Absent, Expected::Is),
                new: Some(commit),
                reason: format!("notes: {message}"),
            }]);
            tries += 1;
            match moved {
                Err(RefError::Moved { .. }) if tries < TRIES => {}
                other => return Ok(other?),
            }
        }
    }

    /// The note of a commit under `notes_ref` (full name).
    ///
    /// # Errors
    /// The ref or the note cannot be read.
    pub fn read_note(
        &self,
        notes_ref: &str,
        commit: ObjectId,
    ) -> Result<Option<String>, NotesError> {
        let Some(tip) = self.ref_id(notes_ref)? else { return Ok(None) };
        let unread = || ObjectError::new(format!("read the note of {commit}"));
        let tree = self.tree_of(tip)?;
        let mut state = State::new(tree, self.gix()).map_err(unread())?;
        let Some(blob) = state.get(&commit, self.gix()).map_err(unread())? else {
            return Ok(None);
        };
        Ok(Some(self.read_blob(blob)?.to_str_lossy().into_owned()))
    }

    /// The notes under `notes_ref` (full name), each as the commit it is of and the blob that holds
    /// it, however deep its folders are.
    ///
    /// # Errors
    /// The ref or its trees cannot be read.
    pub fn notes(&self, notes_ref: &str) -> Result<HashMap<ObjectId, ObjectId>, NotesError> {
        let mut notes = HashMap::new();
        let tip = self.ref_id(notes_ref)?;
        let mut folders: Vec<_> = match tip {
            Some(tip) => vec![(String::new(), self.tree_of(tip)?)],
            None => Vec::new(),
        };
        while let Some((beginning, tree)) = folders.pop() {
            for entry in self.list_tree(tree)? {
                let name = format!("{beginning}{}", entry.path);
                match entry.mode {
                    Mode::Tree => folders.push((name, entry.id)),
                    // What is no id is no note.
                    _ => notes.extend(ObjectId::from_hex(name.as_bytes()).map(|id| (id, entry.id))),
                }
            }
        }
        Ok(notes)
    }

    fn tree_with_notes(
        &self,
        tip: Option<ObjectId>,
        notes: &[(ObjectId, String)],
    ) -> Result<ObjectId, ObjectError> {
        let failed = || ObjectError::new("write notes");
        let tree = tip.map(|tip| self.tree_of(tip)).transpose()?;
        let tree = tree.unwrap_or_else(|| self.empty_tree());
        let mut memory = self.gix().clone().with_object_memory();
        let mut state = State::new(tree, &memory).map_err(failed())?;
        for (commit, text) in notes {
            let blob = self.write_blob(text.as_bytes())?;
            state.edit(*commit, Some(blob), &memory).map_err(failed())?;
        }
        let tree = state.write(&memory).map_err(failed())?;
        let written = memory.objects.take_object_memory().unwrap_or_default();
        self.write_from(written, tree).map_err(failed())?;
        Ok(tree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    const NOTES: &str = "refs/notes/agent";

    fn ada() -> Identity {
        Identity { name: "Ada Person".into(), email: "ada@example.org".into() }
    }

    #[test]
    fn a_batch_is_one_commit_that_git_reads() {
        for kind in [&[][..], &["--object-format=sha256"], &["--ref-format=reftable"]] {
            let fixture = Fixture::with_commit(kind);
            let (one, two) = (fixture.id("HEAD"), fixture.commit(&[]));
            let repo = fixture.repo();
            let notes = [(one, "Session: x\nStep: 1\n".to_owned()), (two, "Step: 2\n".to_owned())];
            repo.write_notes(NOTES, &notes, &ada(), "steps 1 and 2").unwrap();
            repo.write_notes(NOTES, &[(two, "Step: two\n".to_owned())], &ada(), "again").unwrap();
            repo.write_notes(NOTES, &[], &ada(), "nothing").unwrap();
            let show =
                |id: ObjectId| fixture.git(&["notes", "--ref=agent", "show", &id.to_string()]);
            assert_eq!((show(one), show(two)), ("Session: x\nStep: 1".into(), "Step: two".into()));
            assert_eq!(
                repo.read_note(NOTES, one).unwrap().as_deref(),
                Some("Session: x\nStep: 1\n")
            );
            let log = fixture.git(&["log", "--format=%an %s", NOTES]);
            assert_eq!(log, "Ada Person again\nAda Person steps 1 and 2");
            assert_eq!(repo.read_note("refs/notes/none", one).unwrap(), None);
            fixture.fsck();
        }
    }

    #[test]
    fn many_notes_fan_out_and_git_and_we_read_each_others() {
        let fixture = Fixture::with_commit(&[]);
        let repo = fixture.repo();
        let ids: Vec<_> =
            (0..600).map(|n| repo.write_blob(format!("{n}").as_bytes()).unwrap()).collect();
        let notes: Vec<_> = ids.iter().map(|id| (*id, format!("note of {id}\n"))).collect();
        repo.write_notes(NOTES, &notes, &ada(), "many").unwrap();
        fixture.git(&["notes", "--ref=agent", "add", "-m", "by git", "HEAD"]);
        assert_eq!(repo.read_note(NOTES, fixture.id("HEAD")).unwrap().as_deref(), Some("by git\n"));
        assert_eq!(fixture.git(&["notes", "--ref=agent", "list"]).lines().count(), 601);
        let last = ids[599].to_string();
        assert_eq!(
            fixture.git(&["notes", "--ref=agent", "show", &last]),
            format!("note of {last}")
        );
        fixture.fsck();
    }

    #[test]
    fn two_who_write_at_once_both_keep_their_notes() {
        let fixture = Fixture::with_commit(&[]);
        let repo = fixture.repo();
        let ids: Vec<_> = (0..8).map(|n| repo.write_blob(&[n]).unwrap()).collect();
        std::thread::scope(|scope| {
            for id in &ids {
                let repo = repo.clone();
                scope.spawn(move || {
                    repo.write_notes(NOTES, &[(*id, "mine\n".into())], &ada(), "one").unwrap();
                });
            }
        });
        for id in ids {
            assert_eq!(repo.read_note(NOTES, id).unwrap().as_deref(), Some("mine\n"));
        }
    }
}
