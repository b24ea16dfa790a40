//! What a user has consented to: files of a repository that could run something or loosen something.
//!
//! A consent is for one repository and one content. It lies with the user's state, outside of every
//! repository, so that none can bring its own; and it names the repository by where its git dir is
//! and which folder that is, so that its worktrees have it and a look-alike, a copy or what is put
//! in its place has not.
//!
//! Invariant: what was not consented to, byte for byte, has no consent; each consent is a file of
//! its own, so two that are given at once are both there.

pub mod team;

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use ring::digest::{Context, SHA256};

use crate::file;

/// The consents of a user for one repository.
#[derive(Clone, Debug)]
pub struct Trust {
    folder: PathBuf,
    repository: String,
}

impl Trust {
    /// The consents for the repository with this common git dir, in the user's folder of state.
    ///
    /// # Errors
    /// There is no home to keep them in, or the git dir is gone.
    pub fn open(common_dir: &Path) -> io::Result<Self> {
        let state = crate::file::state_folder()
            .ok_or_else(|| io::Error::other("there is no home to keep a consent in"))?;
        Self::open_in(&state, common_dir)
    }

    fn open_in(state: &Path, common_dir: &Path) -> io::Result<Self> {
        let real = fs::canonicalize(common_dir)?;
        let folder = fs::metadata(&real)?.ino();
        let repository = hash(&[real.as_os_str().as_bytes(), &folder.to_le_bytes()]);
        Ok(Self { folder: state.join("trust"), repository })
    }

    /// Whether the user has consented to this content of this file.
    pub fn is_given(&self, file: &str, content: &[u8]) -> bool {
        self.path(file, content).exists()
    }

    /// Writes a consent down.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn give(&self, file: &str, content: &[u8]) -> io::Result<()> {
        let path = self.path(file, content);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        crate::file::replace(&path, format!("{file}\n").as_bytes())
    }

    /// Takes back all consents to any content of this file; how many there were.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn take_back(&self, file: &str) -> io::Result<usize> {
        let entries = file::if_there(fs::read_dir(self.folder.join(&self.repository)))?;
        let Some(entries) = entries else { return Ok(0) };
        let mut taken = 0;
        for entry in entries {
            let path = entry?.path();
            if fs::read_to_string(&path)?.trim_end() == file {
                fs::remove_file(&path)?;
                taken += 1;
            }
        }
        Ok(taken)
    }

    fn path(&self, file: &str, content: &[u8]) -> PathBuf {
        self.folder.join(&self.repository).join(hash(&[file.as_bytes(), content]))
    }
}

/// SHA-256 of parts, each with its length, in hex.
fn hash(parts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c02_a_consent_is_for_one_repository_and_one_content() {
        let root = tempfile::tempdir().unwrap();
        let [one, other, state] = ["one", "other", "state"].map(|name| root.path().join(name));
        fs::create_dir(&one).unwrap();
        fs::create_dir(&other).unwrap();
        let open = |dir: &Path| Trust::open_in(&state, dir).unwrap();
        let trust = open(&one);
        assert!(!trust.is_given("f", b"a"));
        trust.give("f", b"a").unwrap();
        trust.give("f", b"b").unwrap();
        let given = |trust: &Trust| {
            [("f", "a"), ("f", "b"), ("f", "c"), ("g", "a")]
                .map(|(file, content)| trust.is_given(file, content.as_bytes()))
        };
        assert_eq!(given(&trust), [true, true, false, false]);
        assert_eq!(given(&open(&other)), [false; 4], "a look-alike");
        std::os::unix::fs::symlink(&one, root.path().join("link")).unwrap();
        assert_eq!(given(&open(&root.path().join("link"))), given(&trust), "the same by a link");
        // Another folder in its place.
        fs::rename(&one, root.path().join("moved")).unwrap();
        fs::create_dir(&one).unwrap();
        assert_eq!(given(&open(&one)), [false; 4], "what is put in its place");
        assert_eq!((trust.take_back("f").unwrap(), trust.take_back("f").unwrap()), (2, 0));
        assert_eq!(given(&trust), [false; 4]);
    }
}
