//! Whether verify has passed on a tree.
//!
//! Invariant: pure; a pass counts for the tree it ran on and for no other.

use crate::session::provenance::Run;

/// What is known of a session's verify commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// Nothing is here that tells.
    Unknown,
    /// It has none.
    Nothing,
    /// It has this one, and maybe others before it.
    Command(&'a str),
}

/// Why a tree does not count as verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// No note and no record tells.
    #[error("no note here says whether it was verified")]
    Unknown,
    /// It never ran.
    #[error("'{0}' has not run on it")]
    NotRun(String),
    /// It passed on another tree.
    #[error("'{0}' passed on another tree")]
    OtherTree(String),
    /// It failed.
    #[error("'{command}' failed with exit code {exit}")]
    Failed {
        /// The command.
        command: String,
        /// Its exit code.
        exit: i32,
    },
}

/// Judges a tree, in hex, by the runs that are on record, the latest first.
///
/// # Errors
/// Why it is not verified.
pub fn judge(tree: &str, asked: Asked<'_>, runs: &[Run]) -> Result<(), Unverified> {
    let on_it = runs.iter().find(|run| run.tree == tree);
    match (on_it.or(runs.first()), asked) {
        (Some(Run { exit: 0, .. }), _) if on_it.is_some() => Ok(()),
        (Some(Run { command, exit: 0, .. }), _) => Err(Unverified::OtherTree(command.clone())),
        (Some(Run { command, exit, .. }), _) => {
            Err(Unverified::Failed { command: command.clone(), exit: *exit })
        }
        (None, Asked::Nothing) => Ok(()),
        (None, Asked::Command(command)) => Err(Unverified::NotRun(command.to_owned())),
        (None, Asked::Unknown) => Err(Unverified::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_counts_for_its_own_tree_and_the_latest_run_on_it_decides() {
        let run = |exit, tree: &str| Run { command: "make".into(), exit, tree: tree.into() };
        let failed = |exit| Err(Unverified::Failed { command: "make".into(), exit });
        let other = Err(Unverified::OtherTree("make".into()));
        let asked = Asked::Command("make");
        let cases = [
            (vec![run(0, "t")], asked, Ok(())),
            (vec![run(1, "x"), run(0, "t")], asked, Ok(())),
            (vec![run(0, "t"), run(1, "t")], Asked::Unknown, Ok(())),
            (vec![run(1, "t"), run(0, "t")], asked, failed(1)),
            (vec![run(0, "x")], asked, other.clone()),
            (vec![run(0, "x"), run(2, "y")], Asked::Nothing, other),
            (vec![run(2, "x")], asked, failed(2)),
            (vec![], asked, Err(Unverified::NotRun("make".into()))),
            (vec![], Asked::Nothing, Ok(())),
            (vec![], Asked::Unknown, Err(Unverified::Unknown)),
        ];
        for (runs, asked, verdict) in cases {
            assert_eq!(judge("t", asked, &runs), verdict, "{asked:?} {runs:?}");
        }
    }
}
