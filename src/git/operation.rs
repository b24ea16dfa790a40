//! What a checkout is in the middle of.
//!
//! Invariant: a branch that an unfinished operation of git's will come back to is never moved under
//! it, even while `HEAD` is detached for its duration.

use std::path::Path;

use fs_err as fs;

/// An operation of git's that waits for its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `git rebase`.
    Rebase,
    /// `git am`.
    Am,
    /// `git merge`.
    Merge,
    /// `git cherry-pick`.
    CherryPick,
    /// `git revert`.
    Revert,
    /// `git bisect`.
    Bisect,
    /// None that left a mark, but paths in the index are unmerged, as after `git stash pop`.
    Unmerged,
}

impl Operation {
    /// The command of git that goes on with it, or ends it.
    pub fn command(self) -> &'static str {
        match self {
            Self::Rebase => "rebase",
            Self::Am => "am",
            Self::Merge => "merge",
            Self::CherryPick => "cherry-pick",
            Self::Revert => "revert",
            Self::Bisect => "bisect",
            Self::Unmerged => "status",
        }
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rebase => "a rebase",
            Self::Am => "git am",
            Self::Merge => "a merge",
            Self::CherryPick => "a cherry-pick",
            Self::Revert => "a revert",
            Self::Bisect => "a bisect",
            Self::Unmerged => "unmerged paths",
        })
    }
}

/// The operation that left its mark in this git dir (`wt_status_get_state` in git's wt-status.c).
/// Unmerged paths are not looked for: they are in the index.
pub fn in_git_dir(git_dir: &Path) -> Option<Operation> {
    let marks = [
        ("MERGE_HEAD", Operation::Merge),
        ("rebase-apply/applying", Operation::Am),
        ("rebase-apply", Operation::Rebase),
        ("rebase-merge", Operation::Rebase),
        ("CHERRY_PICK_HEAD", Operation::CherryPick),
        ("REVERT_HEAD", Operation::Revert),
        ("BISECT_LOG", Operation::Bisect),
    ];
    marks.into_iter().find(|(mark, _)| git_dir.join(mark).exists()).map(|(_, operation)| operation)
}

/// The branches, by full name, that the operation in this git dir will come back to or move.
pub fn held_branches(git_dir: &Path) -> Vec<String> {
    let mut branches = Vec::new();
    for file in ["rebase-merge/head-name", "rebase-apply/head-name", "BISECT_START"] {
        // A missing file says that there is no such operation; an unreadable one holds nothing.
        let Ok(name) = fs::read_to_string(git_dir.join(file)) else { continue };
        branches.push(full_name(name.trim()));
    }
    // `git rebase --update-refs`: three lines for each, the name first.
    if let Ok(text) = fs::read_to_string(git_dir.join("rebase-merge/update-refs")) {
        branches.extend(text.lines().step_by(3).map(str::to_owned));
    }
    branches
}

/// `BISECT_START` has the short name.
fn full_name(name: &str) -> String {
    if name.starts_with("refs/") { name.to_owned() } else { format!("refs/heads/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    /// A repository on `main` that conflicts with its branch `side`.
    fn conflicting() -> Fixture {
        let fixture = Fixture::with_commit(&[]);
        fixture.git(&["checkout", "-q", "-b", "side"]);
        fixture.commit(&[("a", "side\n")]);
        fixture.git(&["checkout", "-q", "main"]);
        fixture.commit(&[("a", "main\n")]);
        fixture
    }

    #[test]
    fn l02_each_operation_is_known_by_its_mark() {
        let cases: [(&[&str], Operation, &[&str]); 5] = [
            (&["merge", "side"], Operation::Merge, &[]),
            (&["cherry-pick", "side"], Operation::CherryPick, &[]),
            (&["revert", "HEAD~1", "--no-edit"], Operation::Revert, &[]),
            (&["rebase", "side"], Operation::Rebase, &["refs/heads/main"]),
            (&["rebase", "--apply", "side"], Operation::Rebase, &["refs/heads/main"]),
        ];
        for (args, operation, held) in cases {
            let fixture = conflicting();
            let git_dir = fixture.root.join(".git");
            assert_eq!(in_git_dir(&git_dir), None);
            assert_ne!(fixture.try_git(&fixture.root, args).exit, 0, "{args:?}");
            assert_eq!(in_git_dir(&git_dir), Some(operation), "{args:?}");
            assert_eq!(held_branches(&git_dir), held, "{args:?}");
        }
    }

    #[test]
    fn l02_a_bisect_holds_the_branch_it_began_on() {
        let fixture = conflicting();
        fixture.git(&["bisect", "start", "HEAD", "HEAD~1"]);
        let git_dir = fixture.root.join(".git");
        assert_eq!(in_git_dir(&git_dir), Some(Operation::Bisect));
        assert_eq!(held_branches(&git_dir), ["refs/heads/main"]);
    }

    #[test]
    fn l02_a_rebase_holds_every_branch_that_it_will_move() {
        let fixture = conflicting();
        fixture.git(&["branch", "stacked"]);
        fixture.commit(&[("a", "more\n")]);
        assert_ne!(fixture.try_git(&fixture.root, &["rebase", "--update-refs", "side"]).exit, 0);
        let held = held_branches(&fixture.root.join(".git"));
        assert_eq!(held, ["refs/heads/main", "refs/heads/stacked"]);
    }
}
