//! A person's changes that are in no commit, taken along into a session.
//!
//! Invariant: the person's checkout, index and stash are only read; what is carried is theirs, in a
//! commit of theirs.

use fs_err as fs;

use crate::file::{self, Changed};
use crate::git::{
    DiffError, DiffStat, Draft, GitError, ObjectError, ObjectId, Repo, Snapshot, SnapshotError,
};

/// The first line of the commit.
const SUBJECT: &str = "Carry along what was in no commit";

/// What is taken along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Carry {
    /// What is staged
    Staged,
    /// All of it, new files too, but none that git ignores
    All,
}

/// What was taken along.
#[derive(Clone, Debug)]
pub struct Carried {
    /// The commit that holds it.
    pub commit: ObjectId,
    /// The tree before it, and its own.
    pub trees: [ObjectId; 2],
    /// What differs.
    pub stat: DiffStat,
    /// Files that were left behind, each with the reason.
    pub left_out: Vec<String>,
}

/// Nothing can be taken along.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// There is no checkout.
    #[error("there is no checkout here to carry changes from")]
    NoCheckout,
    /// git cannot read the index.
    #[error("the index cannot be carried")]
    Index(#[source] GitError),
    /// git does not know the person, or cannot run.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file cannot be taken.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// An object cannot be read or written.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The two trees cannot be compared.
    #[error(transparent)]
    Diff(#[from] DiffError),
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Puts the changes of the checkout of `repo` since `head`, which it is on, into a commit on top;
/// none where there are none.
///
/// # Errors
/// See [`CarryError`]; nothing but objects was written.
pub fn carry(
    repo: &Repo,
    head: ObjectId,
    what: Carry,
    max_file_size: u64,
) -> Result<Option<Carried>, CarryError> {
    if repo.work_dir().is_none() {
        return Err(CarryError::NoCheckout);
    }
    let before = repo.tree_of(head)?;
    let (tree, left_out) = match what {
        Carry::Staged => (staged(repo)?, Vec::new()),
        Carry::All => {
            let taken = Snapshot::open(repo, before, max_file_size)?.take(&Changed::Anything)?;
            let left_out = taken.left_out.iter();
            (taken.tree, left_out.map(|it| format!("{}: {}", it.path, it.why)).collect())
        }
    };
    if tree == before {
        return Ok(None);
    }
    let who = repo.identity()?;
    let commit = repo.write_commit(&Draft {
        tree,
        parents: vec![head],
        author: who.clone(),
        committer: who,
        time: None,
        message: format!("{SUBJECT}\n"),
    })?;
    let stat = repo.diff_stat(before, tree)?;
    Ok(Some(Carried { commit, trees: [before, tree], stat, left_out }))
}

/// The tree of the index, made from a copy of it: git may else write to it.
fn staged(repo: &Repo) -> Result<ObjectId, CarryError> {
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("index");
    // Without one all is deleted, as git has it.
    file::if_there(fs::copy(repo.git_dir().join("index"), &copy))?;
    repo.tree_of_index(&copy).map_err(CarryError::Index)
}
