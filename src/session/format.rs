//! Format numbers: what each stored thing begins with, and what follows from one that is newer.
//!
//! Invariant: a reader takes from a newer file what it understands; nothing is ever written over
//! one.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The newest format that this program writes, of every file of a session.
pub const FORMAT: u32 = 1;

/// A stored thing that cannot be read, or must not be written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A newer program wrote it: it is not ours to change, and maybe not to understand.
    #[error("{} is in format {found}; this git-agent knows format {known}", path.display())]
    Newer {
        /// The file, or what stands for one in a ref.
        path: PathBuf,
        /// Its format number.
        found: u32,
        /// The newest number known here.
        known: u32,
    },
    /// It is not what it should be.
    #[error("{} is damaged", path.display())]
    Malformed {
        /// The file, or what stands for one in a ref.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads a TOML file that begins with `format`.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, FormatError> {
    parse(&fs::read_to_string(path)?, path)
}

/// Reads TOML text that begins with `format`; `path` names it in errors.
pub(super) fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, FormatError> {
    #[derive(Deserialize)]
    struct Frame {
        format: u32,
    }
    let malformed = |source: toml::de::Error| FormatError::Malformed {
        path: path.to_owned(),
        source: source.into(),
    };
    let Frame { format } = toml::from_str(text).map_err(malformed)?;
    match toml::from_str(text) {
        Ok(value) => Ok(value),
        Err(_) if format > FORMAT => Err(newer(path, format)),
        Err(error) => Err(malformed(error)),
    }
}

/// Refuses to go on where a newer program wrote.
pub(super) fn writable(path: &Path, found: u32) -> Result<(), FormatError> {
    if found > FORMAT { Err(newer(path, found)) } else { Ok(()) }
}

fn newer(path: &Path, found: u32) -> FormatError {
    FormatError::Newer { path: path.to_owned(), found, known: FORMAT }
}
