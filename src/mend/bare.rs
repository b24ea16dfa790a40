//! A repository with a checkout that calls itself bare: `git init` with `GIT_DIR` set to the git
//! dir of a linked worktree does that to the shared configuration.
//!
//! Invariant: only a git dir named `.git` that has an index of its own is taken for one.

use super::{Ground, Problem};
use crate::process::Cmd;

pub(super) fn find<'a>(ground: &Ground<'a>) -> Option<Problem<'a>> {
    let dir = ground.repo.common_dir();
    let has_checkout =
        dir.file_name().is_some_and(|name| name == ".git") && dir.join("index").exists();
    if !has_checkout || ground.repo.config_bool("core.bare") != Some(true) {
        return None;
    }
    let file = dir.join("config");
    let what = format!("core.bare is set in {}, which has a checkout", file.display());
    Some(Problem::new("config", what).cure(move || {
        let git = Cmd::new("git").arg("config").arg("--file").arg(&file);
        let done = git.args(["core.bare", "false"]).run()?;
        match done.exit {
            0 => Ok(format!("core.bare is false again in {}", file.display())),
            _ => Err(String::from_utf8_lossy(&done.stderr).trim().into()),
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::git::testing::Fixture;
    use crate::session::store::Store;

    #[test]
    fn s08_a_checkout_is_no_bare_repository() {
        let git = Fixture::with_commit(&[]);
        let look = || {
            let repo = git.repo();
            let store = Store::open(repo.common_dir());
            let ground = Ground { repo: &repo, store: &store, system: Path::new("/nowhere") };
            find(&ground).map(|mut problem| problem.mend().unwrap().unwrap())
        };
        assert_eq!(look(), None);
        let dir = git.repo().common_dir().to_owned();
        git.git(&["config", "core.bare", "true"]);
        let want = format!("core.bare is false again in {}/config", dir.display());
        assert_eq!((look(), look()), (Some(want), None));
        assert_eq!(git.git(&["status", "--porcelain"]), "");
    }
}
