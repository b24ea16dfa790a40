//! What half-done removals have left: folders with a name that only they have.
//!
//! Invariant: only old ones are named; one that is young may be in use by who made it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;

use crate::file;
use crate::session::store::Store;

/// How old a left-over must be to be nobody's.
const OLD: Duration = Duration::from_secs(3600);

/// What removals have left beside these worktrees and among the sessions.
///
/// # Errors
/// A folder cannot be read.
pub fn trash<'a>(
    store: &Store,
    worktrees: impl Iterator<Item = &'a Path>,
) -> io::Result<Vec<PathBuf>> {
    let folders: BTreeSet<&Path> = worktrees.filter_map(Path::parent).collect();
    let mut found = Vec::new();
    for folder in folders {
        found.extend(named(folder, |name| {
            name.strip_prefix(".trash-")
                .is_some_and(|it| it.len() == 16 && u64::from_str_radix(it, 16).is_ok())
        })?);
    }
    found.extend(named(&store.root().join("sessions"), |name| name.starts_with(".old-"))?);
    Ok(found)
}

/// Old folders with such a name.
fn named(folder: &Path, is_meant: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let Some(entries) = file::if_there(fs::read_dir(folder))? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        // One that is gone by now is no left-over.
        let Ok(meta) = entry.metadata() else { continue };
        let age = meta.modified()?.elapsed().unwrap_or_default();
        if meta.is_dir() && age > OLD && entry.file_name().to_str().is_some_and(&is_meant) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
