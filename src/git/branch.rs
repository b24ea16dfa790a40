//! Branches, and which checkout holds one.
//!
//! Invariant: a branch counts as checked out while a rebase or a bisect has it in hand, as git
//! itself counts it (`prepare_checked_out_branches` in its branch.c).

use std::path::{Path, PathBuf};

use fs_err as fs;
use gix::bstr::ByteSlice;

use crate::file;
use crate::git::command;
use crate::git::refs::RefError;
use crate::git::repo::Repo;

impl Repo {
    /// The checkout that holds a branch (full name): the main one or a linked worktree. A worktree
    /// whose folder is gone still holds its branch.
    ///
    /// # Errors
    /// The worktrees cannot be listed.
    pub fn checked_out_at(&self, branch: &str) -> Result<Option<PathBuf>, RefError> {
        if self.is_reftable() {
            return self.checked_out_by_git(branch);
        }
        let failed = |error: std::io::Error| RefError::Store {
            what: "list the worktrees".into(),
            source: gix::Error::from_error(error).into(),
        };
        if let Some(checkout) = self.main_work_dir()
            && holds(self.common_dir(), branch).map_err(failed)?
        {
            return Ok(Some(checkout));
        }
        let Some(entries) =
            file::if_there(fs::read_dir(self.common_dir().join("worktrees"))).map_err(failed)?
        else {
            return Ok(None);
        };
        for entry in entries {
            let git_dir = entry.map_err(failed)?.path();
            if holds(&git_dir, branch).map_err(failed)? {
                return checkout_of(&git_dir).map(Some).map_err(failed);
            }
        }
        Ok(None)
    }

    fn checked_out_by_git(&self, branch: &str) -> Result<Option<PathBuf>, RefError> {
        let listed = command::succeed(&self.git().args(["worktree", "list", "--porcelain", "-z"]))?;
        let field = |worktree: &[u8], name: &str| {
            let mut fields = worktree.split_str("\0");
            fields.find_map(|field| field.strip_prefix(name.as_bytes()).map(<[u8]>::to_vec))
        };
        let mut worktrees = listed.split_str("\0\0");
        let holder = worktrees.find(|worktree| {
            field(worktree, "branch ").is_some_and(|held| held == branch.as_bytes())
        });
        let path = holder.and_then(|worktree| field(worktree, "worktree "));
        Ok(path.map(|path| command::path(&path)))
    }
}

/// Whether the checkout with this git dir is on the branch, rebases or bisects it.
fn holds(git_dir: &Path, branch: &str) -> std::io::Result<bool> {
    let head = format!("ref: {branch}");
    let short = branch.strip_prefix("refs/heads/").unwrap_or(branch);
    let in_hand = [
        ("HEAD", head.as_str()),
        ("rebase-merge/head-name", branch),
        ("rebase-apply/head-name", branch),
        ("BISECT_START", short),
    ];
    for (name, content) in in_hand {
        let bytes = file::if_there(fs::read(git_dir.join(name)))?;
        if bytes.is_some_and(|bytes| bytes.trim() == content.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The checkout of a linked worktree's git dir.
pub(super) fn checkout_of(git_dir: &Path) -> std::io::Result<PathBuf> {
    let bytes = fs::read(git_dir.join("gitdir"))?;
    let dot_git = git_dir.join(command::path(&bytes));
    let checkout = dot_git.parent().unwrap_or(&dot_git);
    // Named as all our paths are, where it is still there.
    Ok(fs::canonicalize(checkout).unwrap_or_else(|_| checkout.to_owned()))
}

#[cfg(test)]
mod tests {
    use crate::git::testing::Fixture;

    #[test]
    fn a_branch_is_found_where_it_is_checked_out() {
        for kind in [&[][..], &["--ref-format=reftable"]] {
            let fixture = Fixture::with_commit(kind);
            let linked = fixture.beside("linked tree");
            fixture.git(&["worktree", "add", "-q", "-b", "a/b", linked.to_str().unwrap()]);
            fixture.git(&["branch", "free"]);
            for repo in [fixture.repo(), fixture.repo_at(&linked, &[])] {
                let at = |name: &str| repo.checked_out_at(&format!("refs/heads/{name}")).unwrap();
                assert_eq!(at("main"), Some(fixture.root.clone()), "{kind:?}");
                assert_eq!(at("a/b"), Some(linked.clone()));
                assert_eq!((at("free"), at("b"), at("none")), (None, None, None));
                assert!(repo.ref_id("refs/heads/free").unwrap().is_some());
                assert_eq!(repo.ref_id("refs/heads/none").unwrap(), None);
            }
            std::fs::remove_dir_all(&linked).unwrap();
            let held = fixture.repo().checked_out_at("refs/heads/a/b").unwrap();
            assert_eq!(held, Some(linked));
        }
    }

    #[test]
    fn a_rebase_and_a_bisect_hold_their_branch() {
        let fixture = Fixture::with_commit(&[]);
        fixture.git(&["checkout", "-q", "-b", "topic"]);
        fixture.commit(&[("a", "topic\n")]);
        fixture.git(&["checkout", "-q", "main"]);
        fixture.commit(&[("a", "main\n")]);
        fixture.try_git(&fixture.root, &["rebase", "-q", "main", "topic"]);
        let at = |name: &str| fixture.repo().checked_out_at(name).unwrap();
        assert_eq!(at("refs/heads/topic"), Some(fixture.root.clone()));
        fixture.git(&["rebase", "--abort"]);
        fixture.git(&["checkout", "-q", "main"]);
        assert_eq!(at("refs/heads/topic"), None);
        fixture.git(&["bisect", "start", "HEAD", "HEAD~1"]);
        fixture.git(&["checkout", "-q", "--detach"]);
        assert_eq!(at("refs/heads/main"), Some(fixture.root.clone()));
    }

    #[test]
    fn a_bare_repositorys_head_is_no_checkout() {
        let fixture = Fixture::with_commit(&[]);
        let bare = fixture.beside("bare.git");
        fixture.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
        assert_eq!(fixture.repo_at(&bare, &[]).checked_out_at("refs/heads/main").unwrap(), None);
    }
}
