//! Making a worktree: an ordinary linked one, whole or not at all.
//!
//! Invariant: until the last step succeeds, everything made so far is owned by a guard that takes
//! it away again, and nothing that was there before is ever part of it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use fs_err as fs;

use crate::git::ObjectId;
use crate::git::checkout::{CheckoutError, fill};
use crate::git::command;
use crate::git::filter::{FilterError, flag};
use crate::git::index::Folder;
use crate::git::index_file::{self, WriteError};
use crate::git::refs::{Expected, RefError, RefUpdate};
use crate::git::repo::Repo;
use crate::git::smudge::Attributes;
use crate::git::worktree::{WorktreeError, git_dir_of};

/// A worktree to make.
#[derive(Clone, Copy, Debug)]
pub struct AddWorktree<'a> {
    /// Where: an absolute path at which nothing is, or an empty folder.
    pub path: &'a Path,
    /// The branch to be on, by its full name `refs/heads/…`.
    pub branch: &'a str,
    /// The commit to start from; for an existing branch, where it must be.
    pub commit: ObjectId,
    /// Create the branch, which must not exist; else it must.
    pub create_branch: bool,
}

/// What was made so far, and goes again unless it is kept.
struct Made<'a> {
    repo: &'a Repo,
    folders: Vec<PathBuf>,
    worktree: Option<PathBuf>,
    git_dir: Option<PathBuf>,
    branch: Option<(&'a str, ObjectId)>,
}

impl Repo {
    /// Makes a worktree and returns its git dir. Files that the checkout this repository was
    /// opened in has unchanged are copied from there, others come from objects. No hook is run,
    /// and the branch gets no upstream.
    ///
    /// # Errors
    /// Something is in the way, or a file cannot be made. Nothing is left behind then: no branch,
    /// no folder, no registration.
    pub fn add_worktree(&self, add: &AddWorktree<'_>) -> Result<PathBuf, WorktreeError> {
        let _lock = self.lock_worktrees()?;
        let path = self.place_for(add.path)?;
        self.check_branch(add)?;
        let mut made =
            Made { repo: self, folders: Vec::new(), worktree: None, git_dir: None, branch: None };
        made.parents_of(&path)?;
        let tree =
            self.gix().find_commit(add.commit).and_then(|commit| Ok(commit.tree_id()?.detach()));
        let tree = tree.map_err(io::Error::other)?;
        let mut root = Folder::read(self, tree)?;
        let attributes = Attributes::of(self, &root)?;
        let git_dir = if self.needs_git() || attributes.want_git(self)? {
            made.by_git(add, &path)?
        } else {
            made.by_hand(add, &path, &mut root, &attributes)?
        };
        made.keep();
        Ok(git_dir)
    }

    /// Registers a worktree again whose files are there, and whose registration `git_dir` is gone.
    /// It is on this branch (full name) then; the files stay as they are, and what of them was
    /// staged is not known any more.
    ///
    /// # Errors
    /// There is such a registration, or the branch is checked out elsewhere; or git fails.
    pub fn register_again(
        &self,
        path: &Path,
        git_dir: &Path,
        branch: &str,
    ) -> Result<(), WorktreeError> {
        let _lock = self.lock_worktrees()?;
        if let Some(at) = self.checked_out_at(branch)? {
            return Err(WorktreeError::BranchCheckedOut { branch: branch.to_owned(), at });
        }
        fs::create_dir_all(self.common_dir().join("worktrees"))?;
        fs::create_dir(git_dir)?;
        let indexed = describe(git_dir, path, branch).map_err(WorktreeError::from).and_then(|()| {
            let view = self.view_of(git_dir)?;
            command::succeed(&view.git().args(["reset", "--quiet"]))?;
            Ok(())
        });
        if indexed.is_err() {
            fs::remove_dir_all(git_dir)?;
        }
        indexed
    }

    /// The path with all links resolved, at which a worktree can be made.
    fn place_for(&self, path: &Path) -> Result<PathBuf, WorktreeError> {
        let bad = || WorktreeError::BadPath(path.to_owned());
        if !path.is_absolute() || path.file_name().is_none() {
            return Err(bad());
        }
        let checkouts: Vec<PathBuf> =
            self.work_dir().map(Path::to_owned).into_iter().chain(self.main_work_dir()).collect();
        let mut resolved = PathBuf::from("/");
        for component in path.components() {
            match component {
                Component::Normal(name) => resolved.push(name),
                Component::ParentDir => drop(resolved.pop()),
                _ => continue,
            }
            match fs::symlink_metadata(&resolved) {
                Ok(meta) if meta.is_symlink() => {
                    if checkouts.iter().any(|checkout| resolved.starts_with(checkout)) {
                        return Err(WorktreeError::PathThroughLink(resolved));
                    }
                    resolved = fs::canonicalize(&resolved)?;
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        match fs::read_dir(&resolved).map(|mut listing| listing.next().is_none()) {
            Ok(true) => Ok(resolved),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(resolved),
            _ => Err(WorktreeError::PathExists(resolved)),
        }
    }

    fn check_branch(&self, add: &AddWorktree<'_>) -> Result<(), WorktreeError> {
        let branch = add.branch.to_owned();
        if !branch.starts_with("refs/heads/") {
            return Err(RefError::BadName(branch).into());
        }
        match self.ref_id(add.branch)? {
            Some(_) if add.create_branch => return Err(WorktreeError::BranchExists(branch)),
            None if add.create_branch => {}
            found if found == Some(add.commit) => {}
            _ => return Err(WorktreeError::BranchMoved { branch, expected: add.commit }),
        }
        match self.checked_out_at(add.branch)? {
            Some(at) => Err(WorktreeError::BranchCheckedOut { branch, at }),
            None => Ok(()),
        }
    }

    /// Whether the repository has something that only git knows how to set up.
    fn needs_git(&self) -> bool {
        let config = self.gix().config_snapshot();
        let is_promised = config
            .plumbing()
            .sections_by_name("remote")
            .into_iter()
            .flatten()
            .any(|remote| remote.value("promisor").is_some());
        self.is_reftable()
            || self.is_sparse()
            || is_promised
            || config.string("extensions.partialClone").is_some()
            || flag(self.gix(), "extensions.worktreeConfig", false)
            || flag(self.gix(), "extensions.relativeWorktrees", false)
            || flag(self.gix(), "worktree.useRelativePaths", false)
    }
}

impl<'a> Made<'a> {
    /// Makes the folders above `path` that are missing.
    fn parents_of(&mut self, path: &Path) -> io::Result<()> {
        let missing: Vec<&Path> =
            path.ancestors().skip(1).take_while(|folder| !folder.exists()).collect();
        for folder in missing.into_iter().rev() {
            fs::create_dir(folder)?;
            self.folders.push(folder.to_owned());
        }
        Ok(())
    }

    /// git itself takes away what it made when it fails.
    fn by_git(&mut self, add: &AddWorktree<'a>, path: &Path) -> Result<PathBuf, WorktreeError> {
        self.create_branch(add)?;
        if !path.exists() {
            self.folders.push(path.to_owned());
        }
        let short = add.branch.strip_prefix("refs/heads/").unwrap_or(add.branch);
        let git = self.repo.without_configured_hooks(self.repo.user_git());
        let git = git.args(["-c", "core.hooksPath=/dev/null"]);
        let git = git.args(["-c", "submodule.recurse=false", "worktree", "add", "--quiet", "--"]);
        command::succeed(&git.arg(path).arg(short))?;
        Ok(fs::canonicalize(git_dir_of(path)?)?)
    }

    fn by_hand(
        &mut self,
        add: &AddWorktree<'a>,
        path: &Path,
        root: &mut Folder,
        attributes: &Attributes,
    ) -> Result<PathBuf, WorktreeError> {
        let repo = self.repo;
        let hash = repo.gix().object_hash();
        let git_dir = self.register(add, path)?;
        if !path.exists() {
            fs::create_dir(path)?;
            self.folders.push(path.to_owned());
        }
        self.worktree = Some(path.to_owned());
        let source = repo.work_dir();
        if source.is_some() {
            let index = repo.git_dir().join("index");
            let options = gix::index::decode::Options::default();
            // Without a readable index nothing is known of the files, and all come from objects.
            if let Ok(index) = gix::index::File::at_or_default(index, hash, false, options) {
                root.adopt(&index);
            }
        }
        fill(repo, root, attributes, source, path)?;
        let dot_git = [b"gitdir: ", git_dir.as_os_str().as_bytes(), b"\n"].concat();
        fs::write(path.join(".git"), dot_git)?;
        index_file::write(&git_dir, root, hash).map_err(|error| match error {
            WriteError::Io(error) => error,
            WriteError::Locked(lock) => io::Error::other(format!("{} exists", lock.display())),
        })?;
        self.create_branch(add)?;
        fs::remove_file(git_dir.join("locked"))?;
        Ok(git_dir)
    }

    /// Writes the registration, locked for as long as it is not whole, as git does.
    fn register(&mut self, add: &AddWorktree<'_>, path: &Path) -> io::Result<PathBuf> {
        let worktrees = self.repo.common_dir().join("worktrees");
        fs::create_dir_all(&worktrees)?;
        let name = id_for(path);
        let mut tries = 0;
        let git_dir = loop {
            let id = if tries == 0 { name.clone() } else { format!("{name}{tries}") };
            let git_dir = worktrees.join(id);
            match fs::create_dir(&git_dir) {
                Ok(()) => break git_dir,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => tries += 1,
                Err(error) => return Err(error),
            }
        };
        self.git_dir = Some(git_dir.clone());
        fs::write(git_dir.join("locked"), "initializing\n")?;
        describe(&git_dir, path, add.branch)?;
        if flag(self.repo.gix(), "core.logAllRefUpdates", true) {
            fs::create_dir(git_dir.join("logs"))?;
            fs::write(git_dir.join("logs/HEAD"), self.first_log_line(add))?;
        }
        Ok(git_dir)
    }

    fn first_log_line(&self, add: &AddWorktree<'_>) -> String {
        let (old, new) = (self.repo.null_id(), add.commit);
        let who = self.repo.reflog_identity();
        let time = gix::date::Time::now_local_or_utc();
        let time = time.format_or_unix(gix::date::time::format::RAW);
        format!("{old} {new} {} <{}> {time}\tworktree add\n", who.name, who.email)
    }

    fn create_branch(&mut self, add: &AddWorktree<'a>) -> Result<(), WorktreeError> {
        if !add.create_branch {
            return Ok(());
        }
        self.repo.update_refs(&[RefUpdate {
            name: add.branch.to_owned(),
            old: Expected::Absent,
            new: Some(add.commit),
            reason: format!("branch: Created from {}", add.commit),
        }])?;
        self.branch = Some((add.branch, add.commit));
        Ok(())
    }

    fn keep(mut self) {
        (self.worktree, self.git_dir, self.branch) = (None, None, None);
        self.folders.clear();
    }

    fn undo(&mut self) -> Result<(), WorktreeError> {
        if let Some((name, id)) = self.branch.take() {
            self.repo.update_refs(&[RefUpdate {
                name: name.to_owned(),
                old: Expected::Is(id),
                new: None,
                reason: "worktree not made".to_owned(),
            }])?;
        }
        if let Some(worktree) = self.worktree.take()
            && worktree.exists()
        {
            empty(&worktree)?;
        }
        if let Some(git_dir) = self.git_dir.take()
            && git_dir.exists()
        {
            fs::remove_dir_all(&git_dir)?;
        }
        // git drops the folder of registrations with the last one; it is refused while others are.
        drop(fs::remove_dir(self.repo.common_dir().join("worktrees")));
        for folder in self.folders.drain(..).rev() {
            if folder.exists() {
                fs::remove_dir(&folder)?;
            }
        }
        Ok(())
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.undo() {
            tracing::error!(%error, "a half-made worktree could not be taken away");
        }
    }
}

impl From<CheckoutError> for WorktreeError {
    fn from(CheckoutError { path, error }: CheckoutError) -> Self {
        match error {
            FilterError::Io(source) => Self::Checkout { path, source },
            FilterError::Failed(reason) => Self::Filter { path, reason },
            FilterError::Missing(_) | FilterError::OfCheckout { .. } => {
                Self::Filter { path, reason: error.to_string() }
            }
        }
    }
}

/// Writes what a registration says, as in gitrepository-layout(5).
fn describe(git_dir: &Path, path: &Path, branch: &str) -> io::Result<()> {
    let dot_git = [path.as_os_str().as_bytes(), b"/.git\n"].concat();
    fs::write(git_dir.join("gitdir"), dot_git)?;
    fs::write(git_dir.join("commondir"), "../..\n")?;
    fs::write(git_dir.join("HEAD"), format!("ref: {branch}\n"))
}

/// Deletes all in a folder, but not the folder.
fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A name for the registration of a worktree, safe as a part of a ref name.
fn id_for(path: &Path) -> String {
    let name = path.file_name().unwrap_or_else(|| OsStr::new("worktree")).to_string_lossy();
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
    name.chars().map(safe).collect()
}
