//! Stand-in until the room of worktrees is merged.
#![allow(missing_docs)]
use crate::git::*;
use std::path::{Path, PathBuf};
#[derive(Debug, thiserror::Error)]
#[error("worktree: {0}")]
pub struct WorktreeError(pub String);
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorktreeEntry {
    pub path: PathBuf,
    pub git_dir: PathBuf,
    pub id: String,
    pub head: Option<ObjectId>,
    pub branch: Option<String>,
    pub locked: Option<String>,
    pub missing: bool,
    pub broken: Option<String>,
    pub main: bool,
}
impl Repo {
    pub fn worktrees(&self) -> Result<Vec<WorktreeEntry>, WorktreeError> {
        let out = self.git().args(["worktree", "list", "--porcelain"]).run().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        let mut all: Vec<WorktreeEntry> = vec![];
        for line in text.lines() {
            if let Some(p) = line.strip_prefix("worktree ") {
                let main = all.is_empty();
                let path = PathBuf::from(p);
                let git_dir = if main {
                    self.common_dir().to_owned()
                } else {
                    fs_err::read_to_string(path.join(".git")).map(|t| PathBuf::from(t.trim().strip_prefix("gitdir: ").unwrap_or(""))).unwrap_or_default()
                };
                all.push(WorktreeEntry { missing: !Path::new(&path).exists(), path, id: String::new(), git_dir, head: None, branch: None, locked: None, broken: None, main });
            } else if let Some(b) = line.strip_prefix("branch ") {
                all.last_mut().unwrap().branch = Some(b.to_owned());
            }
        }
        Ok(all)
    }
}
