//! What half-done removals have left: folders with a name that only they have.
//!
//! Invariant: only old ones go; one that is young may be in use by who made it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;

use super::{Ground, Problem};
use crate::session::store::Session;

/// How old a left-over must be to be nobody's.
const OLD: Duration = Duration::from_secs(3600);

pub(super) fn find<'a>(ground: &Ground<'a>, sessions: &[Session]) -> io::Result<Vec<Problem<'a>>> {
    let beside = sessions.iter().filter_map(|session| session.spec.worktree.parent());
    let folders: BTreeSet<&Path> = beside.collect();
    let mut found = Vec::new();
    for folder in folders {
        found.extend(named(folder, |name| {
            name.strip_prefix(".trash-")
                .is_some_and(|it| it.len() == 16 && u64::from_str_radix(it, 16).is_ok())
        })?);
    }
    found.extend(named(&ground.store.root().join("sessions"), |name| name.starts_with(".old-"))?);
    let problem = |path: PathBuf| {
        let what = format!("{} is left of something that was removed", path.display());
        Problem::new("trash", what).cure(move || {
            fs::remove_dir_all(&path)?;
            Ok(format!("took away {}", path.display()))
        })
    };
    Ok(found.into_iter().map(problem).collect())
}

/// Old folders with such a name.
fn named(folder: &Path, is_meant: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
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
