//! A session whose worktree or branch a person has moved, by git's own means.
//!
//! Invariant: of all that was asked only these two follow git; who runs the session, and who answers
//! it just now, is waited for or refused.

use std::path::Path;

use super::asked;
use super::format;
use super::spec::Spec;
use super::store::{Session, SessionError};
use crate::event::{Event, Update};
use crate::file;
use crate::session::journal::Journal;

impl Session {
    /// The same, as it is now: its place and its branch may have moved since it was read.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn again(&self) -> Result<Self, SessionError> {
        let spec = format::read(&self.dir.join(Spec::FILE))?;
        Ok(Self { spec, ..self.clone() })
    }

    /// Writes down where its worktree is and on which branch (full name), and says so in its
    /// journal, in these words.
    ///
    /// # Errors
    /// Somebody runs it, or it cannot be written.
    pub fn follow(&self, worktree: &Path, branch: &str, said: &str) -> Result<(), SessionError> {
        let (_lock, state) = self.lock()?;
        // Whoever answers holds on to this very file.
        let _asked = asked::lock(self)?;
        let path = self.dir.join(Spec::FILE);
        let spec = self.spec.at(worktree, branch);
        let text = spec.text_from(&file::read_text(&path)?).map_err(std::io::Error::other)?;
        file::replace(&path, text.as_bytes())?;
        let (mut journal, _) = Journal::open(&self.journal_path())?;
        Ok(journal.append(&[Event::now(state.step, Update::Notice(said.to_owned()))])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::spec::tests::sample;
    use crate::session::store::Store;

    #[test]
    fn only_place_and_branch_follow() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        let (place, branch) = (Path::new("/else where/ü"), "refs/heads/mine");
        // A task may hold lines like those of the file, and a newer program know more.
        let lines = "one\nbranch = \"refs/heads/agent/add-rate\"\nworktree = \"/w\"\n";
        for (id, task) in [("add-rate-7f3k", lines), ("docs-k92d", "one")] {
            let session = store.create(Spec { task: task.to_owned(), ..sample(id) }).unwrap();
            let path = session.dir.join(Spec::FILE);
            let newer = file::read_text(&path).unwrap().replacen("model", "hue = 7\nmodel", 1);
            file::replace(&path, newer.as_bytes()).unwrap();
            session.follow(place, branch, "it moved").unwrap();
            let followed = session.again().unwrap();
            assert_eq!(followed.spec, session.spec.at(place, branch));
            let is_kept = file::read_text(&path).unwrap().contains("hue = 7\n");
            assert_eq!(is_kept, task == "one", "it is kept where the lines are found");
            let told = crate::session::journal::events(&session.journal_path()).unwrap();
            assert!(matches!(&told[0].update, Update::Notice(said) if said == "it moved"));
        }
    }
}
