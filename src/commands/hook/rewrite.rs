//! After an amend or a rebase: notes follow what they are about.
//!
//! git says which commit was made from which. What verify passed on stays as it was noted, so a
//! commit whose tree has changed does not count as verified.
//!
//! git can copy notes itself (`notes.rewriteRef`), but puts those of a squash one below the other, and
//! asks each user to set it; where one has, nothing is noted twice. A cherry-pick runs no hook and
//! copies no note: its trailers stay, and `credit` knows it by what it changes.
//!
//! Invariant: a commit made from several has the notes of all; no note is lost or written twice.

use std::collections::BTreeMap;

use crate::error::{CommandError, Kind, Result};
use crate::git::{ObjectId, Repo};
use crate::session::note::{NOTES_REF, keys};
use crate::ui::{Ui, units};

/// Copies notes; `input` has a line `old new` for each commit.
///
/// # Errors
/// Notes cannot be read or written. git goes on all the same: it has rewritten by then.
pub(super) fn run(ui: &Ui, input: &str) -> Result {
    let repo = super::repo()?;
    let mut made: BTreeMap<ObjectId, Vec<ObjectId>> = BTreeMap::new();
    for line in input.lines() {
        let mut ids = line.split(' ').map(|hex| ObjectId::from_hex(hex.as_bytes()).ok());
        if let (Some(Some(old)), Some(Some(new))) = (ids.next(), ids.next()) {
            made.entry(new).or_default().push(old);
        }
    }
    let mut notes = Vec::new();
    for (new, olds) in made {
        let own = note(&repo, new)?;
        let mut merged = own.clone();
        for old in olds {
            if let Some(old) = note(&repo, old)? {
                merged = Some(match merged {
                    None => old,
                    Some(notes) => both(&notes, &old),
                });
            }
        }
        if let Some(merged) = merged.filter(|merged| own.as_ref() != Some(merged)) {
            notes.push((new, merged));
        }
    }
    if notes.is_empty() {
        return Ok(());
    }
    let who = repo.identity()?;
    repo.write_notes(NOTES_REF, &notes, &who, "notes follow rewritten commits\n")
        .map_err(|error| CommandError::from_error(Kind::No, &error))?;
    let count = units::counted(notes.len() as u64, "commit");
    ui.narrate(&format!("git agent: the notes of {count} came along"));
    Ok(())
}

fn note(repo: &Repo, commit: ObjectId) -> Result<Option<String>> {
    let note = repo.read_note(NOTES_REF, commit);
    note.map_err(|error| CommandError::from_error(Kind::No, &error))
}

/// One note that says what both say: the titles, then one block of trailers. The same note twice is
/// once, also where git itself has joined them (`notes.rewriteRef`).
fn both(one: &str, other: &str) -> String {
    let has_it = other.lines().all(|line| one.lines().any(|known| known == line));
    if has_it {
        return one.to_owned();
    }
    let (one_title, other_title) = (title(one), title(other));
    let line = |(key, value): (String, String)| format!("{key}: {value}\n");
    let trailers = keys(one).into_iter().chain(keys(other)).map(line);
    format!("{one_title}\n{other_title}\n\n{}", trailers.collect::<String>())
}

/// The first paragraph.
fn title(note: &str) -> &str {
    note.split("\n\n").next().unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n01_a_commit_made_from_two_tells_of_both() {
        let one = "Step 1 of a-1\n\nAgent-Session: a-1\nStep: 1\n";
        let two = "Step 2 of b-2\n\nAgent-Session: b-2\nStep: 2\n";
        let merged = both(one, two);
        assert_eq!(
            merged,
            "Step 1 of a-1\nStep 2 of b-2\n\nAgent-Session: a-1\nStep: 1\nAgent-Session: b-2\nStep: 2\n"
        );
        assert_eq!(both(&merged, one), merged);
        assert_eq!(both(&merged, two), merged);
        assert_eq!(both(one, one), one);
        let joined = format!("{one}\n{two}");
        assert_eq!(both(&joined, one), joined);
        assert_eq!(both(&joined, two), joined);
        let three = "Step 3 of c-3\n\nAgent-Session: c-3\n";
        let sessions = ["a-1", "b-2", "c-3"].map(|id| ("Agent-Session".to_owned(), id.to_owned()));
        let mut all = keys(&both(&joined, three));
        all.retain(|(key, _)| key == "Agent-Session");
        assert_eq!(all, sessions);
    }
}
