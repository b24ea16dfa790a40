//! Our hooks in a repository's own: which there are, where they go, how they are put in and out.
//!
//! | file | what |
//! |---|---|
//! | `block.rs` | our lines in a hook's text: put in, found, taken out |
//! | `place.rs` | where git looks for hooks here, and whose place that is |
//! | `install.rs` | the files: ours alone, ours in a shell script of the user's, ours before any other |
//! | `configured.rs` | the same without a file, by `hook.<name>.command`, which git knows from 2.54 |
//!
//! Invariant: what the user had runs as before, after ours, with the same arguments and input; and
//! taken out again, every file of theirs is byte for byte what it was, its mode too.

mod block;
mod configured;
mod install;
mod place;

pub use configured::{configure, configured, knows_config_hooks, unconfigure};
pub use install::{Standing, Stands, install, look, uninstall};
pub use place::{Place, Problem, Tool};

use std::path::PathBuf;

use crate::git::GitError;

/// A hook that we have something to do in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its name, as in githooks(5).
    pub name: &'static str,
    /// What ours does, for people.
    pub about: &'static str,
    /// The line that runs ours, as shipped in `hooks/`.
    stub: &'static str,
    /// Whether git gives it something to read.
    reads: bool,
}

/// All of them.
pub const HOOKS: [Hook; 5] = [
    Hook {
        name: "pre-push",
        about: "checks agents' commits",
        stub: include_str!("../../hooks/pre-push"),
        reads: true,
    },
    Hook {
        name: "prepare-commit-msg",
        about: "names the session in what you commit",
        stub: include_str!("../../hooks/prepare-commit-msg"),
        reads: false,
    },
    Hook {
        name: "commit-msg",
        about: "the same, after the editor",
        stub: include_str!("../../hooks/commit-msg"),
        reads: false,
    },
    Hook {
        name: "post-rewrite",
        about: "lets notes follow amend and rebase",
        stub: include_str!("../../hooks/post-rewrite"),
        reads: true,
    },
    Hook {
        name: "reference-transaction",
        about: "keeps sessions' refs from deletion",
        stub: include_str!("../../hooks/reference-transaction"),
        reads: true,
    },
];

/// Why hooks were not put in or out.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Where they would go is not for us to change unasked.
    #[error(transparent)]
    Place(#[from] Problem),
    /// git is too old for hooks in its configuration.
    #[error("{0} has no hooks in its configuration: that came with 2.54")]
    TooOld(String),
    /// Somebody has put a file where the user's own hook was kept.
    #[error("{} is in the way", .0.display())]
    InTheWay(PathBuf),
    /// git refused.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<crate::process::ProcessError> for HookError {
    fn from(error: crate::process::ProcessError) -> Self {
        Self::Git(error.into())
    }
}
