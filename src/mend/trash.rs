//! What half-done removals have left, which `gc` would take away too.
//!
//! Invariant: only old ones go; one that is young may be in use by who made it.

use std::io;

use super::{Ground, Problem};
use crate::file::remove_tree;
use crate::session::store::Session;
use crate::stow::trash;

pub(super) fn find<'a>(ground: &Ground<'a>, sessions: &[Session]) -> io::Result<Vec<Problem<'a>>> {
    let worktrees = sessions.iter().map(|session| session.spec.worktree.as_path());
    let left = trash(ground.store, worktrees)?.into_iter();
    let problem = |path: std::path::PathBuf| {
        let what = format!("{} is left of something that was removed", path.display());
        Problem::new("trash", what).cure(move || {
            remove_tree(&path)?;
            Ok(format!("took away {}", path.display()))
        })
    };
    Ok(left.map(problem).collect())
}
