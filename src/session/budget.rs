//! A budget that several sessions share.
//!
//! Invariant: each file has one writer (a session its own spending, an approval its own grant), so
//! nothing is lost without a lock; what a session has spent stays when it is removed.

use std::io::{self, Write};
use std::path::PathBuf;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::format::{self, FORMAT, FormatError};
use crate::file;

/// The file of what was given at first.
const FIRST: &str = "budget.toml";
/// How the files end that say what a session has spent.
const SPENT: &str = ".spent.toml";
/// How the files end that say what an approval has added.
const MORE: &str = ".more.toml";

/// A shared budget: a folder below `agent/budgets/` in the common git dir.
#[derive(Clone, Debug)]
pub struct Budget {
    name: String,
    folder: PathBuf,
}

/// How a shared budget stands, in US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Balance {
    /// What it was at first; an approval adds as much again.
    pub first: f64,
    /// What there may be by now.
    pub to: f64,
    /// What all its sessions have spent.
    pub spent: f64,
}

/// What each of its files says.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    format: u32,
    dollars: f64,
}

impl Budget {
    /// The budget of this name among what is kept for the repository; it need not be there yet.
    pub fn at(root: &std::path::Path, name: &str) -> Self {
        Self { name: name.to_owned(), folder: root.join("budgets").join(name) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it was at first; none where there is no such budget.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn first(&self) -> Result<Option<f64>, FormatError> {
        let entry = format::read_if_there::<Entry>(&self.folder.join(FIRST))?;
        Ok(entry.map(|entry| entry.dollars))
    }

    /// Makes it, if nobody has, and gives what it is.
    ///
    /// # Errors
    /// It cannot be written or read.
    pub fn make(&self, dollars: f64) -> Result<f64, FormatError> {
        fs::create_dir_all(&self.folder)?;
        let mut draft =
            tempfile::NamedTempFile::new_in(&self.folder).map_err(|error| file::unnamed(&error))?;
        draft.write_all(text(dollars).as_bytes())?;
        draft.as_file().sync_data()?;
        match draft.persist_noclobber(self.folder.join(FIRST)) {
            // Two who start at once agree on what the first of them gave.
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
                Err(error.error.into())
            }
            _ => Ok(self.first()?.unwrap_or(dollars)),
        }
    }

    /// Books what a session has spent in all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn book(&self, session: &str, dollars: f64) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        // A power cut must leave no empty file: all who share the budget read it.
        let path = self.folder.join(format!("{session}{SPENT}"));
        file::replace(&path, text(dollars).as_bytes())
    }

    /// Adds as much as it was at first, for this question of a session; again for the same question
    /// adds nothing.
    ///
    /// # Errors
    /// It cannot be written or read.
    pub fn raise(&self, session: &str, question: u32) -> Result<(), FormatError> {
        let path = self.folder.join(format!("{session}.{question}{MORE}"));
        let first = self.first()?.unwrap_or_default();
        Ok(file::replace(&path, text(first).as_bytes())?)
    }

    /// How it stands.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn balance(&self) -> Result<Balance, FormatError> {
        let first = self.first()?.unwrap_or_default();
        let mut balance = Balance { first, to: first, spent: 0.0 };
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let sum = match &*name {
                name if name.ends_with(SPENT) => &mut balance.spent,
                name if name.ends_with(MORE) => &mut balance.to,
                _ => continue,
            };
            *sum += format::read::<Entry>(&path)?.dollars;
        }
        Ok(balance)
    }
}

fn text(dollars: f64) -> String {
    format!("format = {FORMAT}\ndollars = {dollars:?}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_add_up_and_each_question_raises_it_once() {
        let root = tempfile::tempdir().unwrap();
        let budget = Budget::at(root.path(), "shop");
        assert_eq!(budget.first().unwrap(), None);
        assert_eq!(budget.make(5.0).unwrap(), 5.0);
        assert_eq!(budget.make(9.0).unwrap(), 5.0, "it is what it was first made");
        assert_eq!(budget.balance().unwrap(), Balance { first: 5.0, to: 5.0, spent: 0.0 });
        for (session, dollars) in [("a-1111", 0.5), ("b-2222", 2.0), ("a-1111", 1.25)] {
            budget.book(session, dollars).unwrap();
        }
        budget.raise("a-1111", 1).unwrap();
        budget.raise("a-1111", 1).unwrap();
        budget.raise("b-2222", 1).unwrap();
        assert_eq!(budget.balance().unwrap(), Balance { first: 5.0, to: 15.0, spent: 3.25 });
        let text = fs::read_to_string(root.path().join("budgets/shop/budget.toml")).unwrap();
        assert_eq!(text, "format = 1\ndollars = 5.0\n");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_no_money_of_nought() {
        let root = tempfile::tempdir().unwrap();
        let budget = Budget::at(root.path(), "shop");
        budget.make(5.0).unwrap();
        budget.book("a-1111", 1.0).unwrap();
        fs::write(root.path().join("budgets/shop/a-1111.spent.toml"), "dollars").unwrap();
        assert!(budget.balance().is_err());
    }
}
