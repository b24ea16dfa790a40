//! A repository, opened once and seen from one folder.
//!
//! Invariant: all paths are absolute and free of symbolic links, so one repository has one name;
//! what the environment says of another repository or index has no effect on this one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use gix::bstr::ByteSlice;

use crate::git::branch;
use crate::git::cause::Cause;
use crate::git::command::{self, GitError};
use crate::git::durable::Unsynced;
use crate::git::environment::{BadOverride, Environment};
use crate::git::keep::Keep;
use crate::git::recall::Recall;
use crate::git::refs::RefError;
use crate::git::registration::{self, Tampered};
use crate::git::{Identity, ObjectId};
use crate::process::ProcessError;

/// One opened repository. A clone shares everything but its object cache, and is cheap; it may be
/// sent to another thread.
#[derive(Clone, Debug)]
pub struct Repo {
    gix: gix::Repository,
    git_dir: PathBuf,
    common_dir: PathBuf,
    work_dir: Option<PathBuf>,
    reftable: bool,
    environment: Arc<Environment>,
    unsynced: Unsynced,
    keep: Keep,
    /// What was read through a view in memory.
    recall: Option<Recall>,
}

/// What `HEAD` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// On a branch.
    Branch {
        /// Full name, `refs/heads/…`.
        name: String,
        /// Its commit.
        id: ObjectId,
    },
    /// On a commit, without a branch.
    Detached(ObjectId),
    /// On a branch that has no commit yet, by its full name.
    Unborn(String),
}

/// Why a repository could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is none at or above the folder.
    #[error("not a git repository: {}", .0.display())]
    NotARepository(PathBuf),
    /// git does not trust its owner, in git's words.
    #[error("{said}")]
    NotSafe {
        /// What git said.
        said: String,
    },
    /// Its format is newer than git or we know.
    #[error("{said}")]
    Unsupported {
        /// What git said.
        said: String,
    },
    /// git itself refused for another reason.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A setting in the environment is malformed.
    #[error(transparent)]
    Override(#[from] BadOverride),
    /// It is a linked worktree whose own git dir was rewritten.
    #[error(transparent)]
    Tampered(#[from] Tampered),
    /// It is not the linked worktree of this repository that it was taken for.
    #[error("{} is not linked to the repository", .0.display())]
    NotLinked(PathBuf),
    /// A file of it cannot be read.
    #[error("cannot read the repository")]
    Io(#[from] std::io::Error),
    /// What was found cannot be opened.
    #[error("cannot open {}", .git_dir.display())]
    Broken {
        /// The git dir.
        git_dir: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
}

impl From<ProcessError> for OpenError {
    fn from(error: ProcessError) -> Self {
        Self::Git(GitError::Process(error))
    }
}

impl Repo {
    /// Opens the repository with this git dir: a bare one, a checkout's `.git`, or
    /// `worktrees/<id>` for the view of a linked worktree. `GIT_DIR` and its kin have no effect.
    ///
    /// # Errors
    /// It is not a git dir, or cannot be read.
    pub fn open(git_dir: &Path) -> Result<Self, OpenError> {
        Self::open_in(git_dir, None, Environment::of_process())
    }

    /// The repository with another git dir, most often that of another worktree of this one, under
    /// the same settings.
    ///
    /// # Errors
    /// As [`Repo::open`].
    pub fn view_of(&self, git_dir: &Path) -> Result<Self, OpenError> {
        // What the environment says of the checkout holds for the git dir it was said of.
        if git_dir == self.git_dir {
            return Ok(self.clone());
        }
        Self::open_in(git_dir, None, (*self.environment).clone())
    }

    /// As [`Repo::open`], in a given environment. `found` is where the repository was found from:
    /// its checkout if nothing in it says otherwise.
    pub(super) fn open_in(
        git_dir: &Path,
        found: Option<&Path>,
        environment: Environment,
    ) -> Result<Self, OpenError> {
        let options = options(&environment)?;
        Self::open_with(git_dir, found, environment, options)
    }

    /// A repository whose own settings were within an agent's reach, that of a submodule in its
    /// worktree say: no program that they name is known to us. For what is read by gix alone; a git
    /// child of it obeys them.
    ///
    /// # Errors
    /// As [`Repo::open`].
    pub fn view_of_foreign(&self, git_dir: &Path) -> Result<Self, OpenError> {
        use gix::config::Source;

        let options = options(&self.environment)?.filter_config_section(|meta| {
            meta.trust == gix::sec::Trust::Full
                && !matches!(meta.source, Source::Local | Source::Worktree)
        });
        Self::open_with(git_dir, None, (*self.environment).clone(), options)
    }

    fn open_with(
        git_dir: &Path,
        found: Option<&Path>,
        environment: Environment,
        options: gix::open::Options,
    ) -> Result<Self, OpenError> {
        let git_dir = fs::canonicalize(git_dir)?;
        let broken = |source| OpenError::Broken { git_dir: git_dir.clone(), source };
        let mut gix = gix::open_opts(&git_dir, options).map_err(|error| {
            if error.is_not_found() {
                OpenError::NotARepository(git_dir.clone())
            } else {
                broken(error.into())
            }
        })?;
        gix.object_cache_size_if_unset(OBJECT_CACHE_BYTES);
        gix.clear_namespace();
        let common_dir = fs::canonicalize(gix.common_dir())?;
        if git_dir != common_dir {
            registration::check_opened(&gix, &git_dir, &common_dir)?;
        }
        let work_dir = match (checkout_of(&gix, &git_dir, &common_dir)?, found) {
            (_, Some(found)) if environment.sets_work_tree() => Some(found.to_owned()),
            (Checkout::At(path), _) => Some(path),
            (Checkout::Unsaid, found) => found.map(Path::to_owned),
            (Checkout::Bare, _) => None,
        };
        // A checkout that was deleted leaves its git dir behind: that is still opened, bare.
        let work_dir = match work_dir.map(fs::canonicalize) {
            Some(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => None,
            other => other.transpose()?,
        };
        gix.set_workdir(work_dir.clone()).map_err(|error| broken(error.into()))?;
        let storage = gix.config_snapshot().string("extensions.refStorage");
        let reftable = match storage.as_ref().map(|name| name.to_str_lossy()) {
            None => false,
            Some(name) if name == "files" => false,
            Some(name) if name == "reftable" => true,
            Some(name) => {
                let said = format!("unknown ref storage format '{name}'");
                return Err(OpenError::Unsupported { said });
            }
        };
        let (unsynced, keep) = (Unsynced::default(), Keep::default());
        let environment = Arc::new(environment);
        let recall = None;
        Ok(Self {
            gix,
            git_dir,
            common_dir,
            work_dir,
            reftable,
            environment,
            unsynced,
            keep,
            recall,
        })
    }

    /// Whether what leads from this linked worktree to its repository, and the settings it has of
    /// its own, are still such that git may be run on it: it reads them anew each time.
    ///
    /// # Errors
    /// They are not.
    pub fn check_registration(&self) -> Result<(), Tampered> {
        match self.is_linked() {
            true => registration::check(&self.git_dir, &self.common_dir),
            false => Ok(()),
        }
    }

    /// The git dir of this view: for a linked worktree `worktrees/<id>` in [`Repo::common_dir`].
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// The git dir that all worktrees share.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// The checkout of this view; none in a bare repository, or where the checkout is gone.
    pub fn work_dir(&self) -> Option<&Path> {
        self.work_dir.as_deref()
    }

    /// Whether this view is a linked worktree.
    pub fn is_linked(&self) -> bool {
        self.git_dir != self.common_dir
    }

    /// The main checkout. None in a bare repository, and for a separate git dir that does not say
    /// where its checkout is and is seen from a linked worktree.
    pub fn main_work_dir(&self) -> Option<PathBuf> {
        if !self.is_linked() {
            return self.work_dir.clone();
        }
        let main = self.gix.main_repo().ok()?;
        match checkout_of(&main, &self.common_dir, &self.common_dir) {
            Ok(Checkout::At(path)) => fs::canonicalize(path).ok(),
            _ => None,
        }
    }

    /// What people call the repository: the folder of the main checkout; `x` for a bare `x.git`;
    /// the folder around it for a git dir named `.git` or `.bare`.
    pub fn name(&self) -> String {
        let file_name = |path: &Path| {
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        if let Some(checkout) = self.main_work_dir() {
            return file_name(&checkout);
        }
        let name = file_name(&self.common_dir);
        match name.strip_suffix(".git").unwrap_or(&name) {
            "" | ".bare" => self.common_dir.parent().map(file_name).unwrap_or_default(),
            stem => stem.to_owned(),
        }
    }

    /// What `HEAD` is in this view.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn head(&self) -> Result<Head, RefError> {
        let (name, id) = self.head_target()?;
        Ok(match (name, id) {
            (Some(name), Some(id)) => Head::Branch { name, id },
            (Some(name), None) => Head::Unborn(name),
            (None, Some(id)) => Head::Detached(id),
            (None, None) => return Err(RefError::NoHead),
        })
    }

    /// The user, as authors of commits are called: the answer of `git var GIT_AUTHOR_IDENT`.
    ///
    /// # Errors
    /// git does not know who the user is; it says so in its own words.
    pub fn identity(&self) -> Result<Identity, GitError> {
        let line = command::succeed(&self.user_git().args(["var", "GIT_AUTHOR_IDENT"]))?;
        let line = line.to_str_lossy();
        let (name, rest) = line.split_once(" <").unwrap_or((&line, ""));
        let email = rest.split_once('>').map_or("", |(email, _)| email);
        Ok(Identity { name: name.to_owned(), email: email.to_owned() })
    }

    /// The person at work, `Ada <ada@example.org>`; none where git knows none.
    pub fn who(&self) -> Option<String> {
        self.identity().ok().map(|who| who.to_string())
    }

    /// Whether refs are kept in reftables, which only the git command reads.
    pub fn is_reftable(&self) -> bool {
        self.reftable
    }

    /// Whether the history ends early here: a shallow clone.
    pub fn is_shallow(&self) -> bool {
        // Not gix's own answer, which follows GIT_SHALLOW_FILE.
        fs::metadata(self.common_dir.join("shallow")).is_ok_and(|file| file.len() > 0)
    }

    /// Whether the checkout of this view holds only some of the paths.
    pub fn is_sparse(&self) -> bool {
        self.gix.config_snapshot().boolean("core.sparseCheckout").unwrap_or(false)
    }

    /// The null id of the repository's hash: 40 or 64 zeros.
    pub fn null_id(&self) -> ObjectId {
        ObjectId::null(self.gix.object_hash())
    }

    /// The same repository, but objects written through it stay in memory and go with it: for
    /// finding out what would be. What is read through one such view of another is read once.
    #[must_use]
    pub fn in_memory(&self) -> Self {
        let mut gix = self.gix.clone().with_object_memory();
        let recall = self.recall.clone().unwrap_or_else(|| Recall::of(OBJECT_CACHE_BYTES));
        recall.serve(&mut gix);
        let (unsynced, keep, recall) = (Unsynced::default(), Keep::default(), Some(recall));
        Self { gix, unsynced, keep, recall, ..self.clone() }
    }

    /// gix's view, for the files of this room.
    pub(super) fn gix(&self) -> &gix::Repository {
        &self.gix
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(super) fn unsynced(&self) -> &Unsynced {
        &self.unsynced
    }

    pub(super) fn kept(&self) -> &Keep {
        &self.keep
    }
}

/// Memory for objects read more than once: trees and commits of one step, many times over.
const OBJECT_CACHE_BYTES: usize = 4 * 1024 * 1024;

fn options(environment: &Environment) -> Result<gix::open::Options, BadOverride> {
    let overrides = environment.overrides()?.into_iter().map(|(mut key, value)| {
        if let Some(value) = value {
            key.push(b'=');
            key.extend_from_slice(&value);
        }
        key
    });
    let mut permissions = gix::open::Permissions::all();
    permissions.config.user = environment.reads_user_config();
    permissions.config.git = environment.reads_user_config();
    permissions.config.system = environment.reads_system_config();
    permissions.config.env = false;
    // Whoever comes here has found the repository as git does, its owner checked, or opens one
    // that was found so before.
    Ok(gix::open::Options::default()
        .permissions(permissions)
        .with(gix::sec::Trust::Full)
        .open_path_as_is(true)
        .cli_overrides(overrides))
}

/// What a repository itself says of its checkout.
enum Checkout {
    At(PathBuf),
    Bare,
    /// A separate git dir: only the `.git` file that points to it knows.
    Unsaid,
}

/// The checkout that belongs to a git dir, by git's rules in gitrepository-layout(5): for a linked
/// worktree what its `gitdir` file says, else `core.worktree`, else the folder around a `.git`.
///
/// gix answers this too, but lets `GIT_WORK_TREE` decide.
fn checkout_of(
    gix: &gix::Repository,
    git_dir: &Path,
    common_dir: &Path,
) -> std::io::Result<Checkout> {
    if git_dir != common_dir {
        return branch::checkout_of(git_dir).map(Checkout::At);
    }
    let config = gix.config_snapshot();
    if config.boolean("core.bare").unwrap_or(false) {
        return Ok(Checkout::Bare);
    }
    let configured = config.plumbing().string_filter("core.worktree", |meta| {
        // git takes this one from the repository's own files only (setup.c).
        matches!(meta.source, gix::config::Source::Local | gix::config::Source::Worktree)
    });
    let is_dot_git = git_dir.file_name().is_some_and(|name| name == ".git");
    Ok(match (configured, git_dir.parent()) {
        (Some(path), _) => Checkout::At(git_dir.join(command::path(&path))),
        (None, Some(parent)) if is_dot_git => Checkout::At(parent.to_owned()),
        _ => Checkout::Unsaid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::{Fixture, environment};

    fn places(repo: &Repo) -> (&Path, &Path, Option<&Path>) {
        (repo.git_dir(), repo.common_dir(), repo.work_dir())
    }

    #[test]
    fn a_checkout_a_linked_worktree_and_a_bare_clone_know_their_places() {
        for kind in [&[][..], &["--ref-format=reftable"]] {
            let fixture = Fixture::with_commit(kind);
            let (git, linked) = (fixture.root.join(".git"), fixture.beside("linked tree"));
            let bare = fixture.beside("the bare.git");
            fixture.git(&["worktree", "add", "-q", "-b", "side", linked.to_str().unwrap()]);
            fixture.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);

            let main = fixture.repo_at(&fixture.root.join("dir"), &[]);
            assert_eq!(places(&main), (&*git, &*git, Some(&*fixture.root)));
            assert_eq!(main.name(), "my dépôt");
            assert_eq!(main.main_work_dir(), Some(fixture.root.clone()));

            let side = fixture.repo_at(&linked, &[]);
            let admin = git.join("worktrees/linked-tree");
            assert_eq!(places(&side), (&*admin, &*git, Some(&*linked)));
            assert_eq!((side.name(), side.is_linked()), ("my dépôt".to_owned(), true));
            assert_eq!(side.main_work_dir(), Some(fixture.root.clone()));
            let opened = Repo::open_in(&admin, None, environment(&[])).unwrap();
            assert_eq!(places(&opened), places(&side));
            let id = fixture.id("HEAD");
            let on = |name: &str| Head::Branch { name: format!("refs/heads/{name}"), id };
            assert_eq!((main.head().unwrap(), side.head().unwrap()), (on("main"), on("side")));

            let repo = fixture.repo_at(&bare, &[]);
            assert_eq!(places(&repo), (&*bare, &*bare, None));
            assert_eq!((repo.name(), repo.main_work_dir()), ("the bare".to_owned(), None));

            std::fs::remove_dir_all(&linked).unwrap();
            let gone = Repo::open_in(&admin, None, environment(&[])).unwrap();
            assert_eq!(gone.work_dir(), None);
        }
    }

    #[test]
    fn head_is_a_branch_a_commit_or_unborn() {
        for kind in [&[][..], &["--object-format=sha256"], &["--ref-format=reftable"]] {
            let fixture = Fixture::new(kind);
            let unborn = Head::Unborn("refs/heads/main".into());
            assert_eq!(fixture.repo().head().unwrap(), unborn);
            let id = fixture.commit(&[("a", "a")]);
            fixture.git(&["checkout", "-q", "--detach"]);
            assert_eq!(fixture.repo().head().unwrap(), Head::Detached(id));
        }
    }

    #[test]
    fn a_separate_git_dir_and_a_submodule_are_repositories_of_their_own() {
        let fixture = Fixture::with_commit(&[]);
        let (work, git) = (fixture.beside("work"), fixture.beside("kept apart"));
        let paths = [git.to_str().unwrap(), work.to_str().unwrap()];
        fixture.git(&["init", "-q", "--separate-git-dir", paths[0], paths[1]]);
        let repo = fixture.repo_at(&work, &[]);
        assert_eq!(places(&repo), (&*git, &*git, Some(&*work)));

        let allow = ["-c", "protocol.file.allow=always"];
        fixture.git_in(
            &work,
            &[&allow[..], &["submodule", "add", "-q", "../my dépôt", "sub"]].concat(),
        );
        let sub = work.join("sub");
        let repo = fixture.repo_at(&sub, &[]);
        assert_eq!(
            places(&repo),
            (&*git.join("modules/sub"), &*git.join("modules/sub"), Some(&*sub))
        );
        assert_eq!(repo.name(), "sub");
        let opened = Repo::open_in(&git.join("modules/sub"), None, environment(&[])).unwrap();
        assert_eq!(opened.work_dir(), Some(&*sub));
    }

    #[test]
    fn a_bare_clone_in_a_dot_folder_is_called_after_the_folder_around_it() {
        let fixture = Fixture::with_commit(&[]);
        let project = fixture.beside("project");
        let bare = project.join(".bare");
        fixture.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
        std::fs::write(project.join(".git"), "gitdir: ./.bare\n").unwrap();
        let repo = fixture.repo_at(&project, &[]);
        assert_eq!((repo.name(), places(&repo)), ("project".into(), (&*bare, &*bare, None)));
        let tree = project.join("tree");
        fixture.git_in(&project, &["worktree", "add", "-q", "-b", "t", tree.to_str().unwrap()]);
        let linked = fixture.repo_at(&tree, &[]);
        assert_eq!((linked.name(), linked.main_work_dir()), ("project".to_owned(), None));
    }

    #[test]
    fn shallow_and_sparse_are_seen() {
        let fixture = Fixture::with_commit(&[]);
        fixture.commit(&[("a", "two\n")]);
        let clone = fixture.beside("clone");
        let source = format!("file://{}", fixture.root.display());
        fixture.git(&["clone", "-q", "--depth=1", &source, clone.to_str().unwrap()]);
        fixture.git_in(&clone, &["sparse-checkout", "set", "--cone", "dir"]);
        let (full, thin) = (fixture.repo(), fixture.repo_at(&clone, &[]));
        assert_eq!((full.is_shallow(), full.is_sparse()), (false, false));
        assert_eq!((thin.is_shallow(), thin.is_sparse()), (true, true));
    }

    #[test]
    fn the_identity_is_gits_or_its_refusal() {
        let fixture = Fixture::with_commit(&[]);
        let identity = fixture.repo().identity().unwrap();
        let ada = Identity { name: "Ada Person".into(), email: "ada@example.org".into() };
        assert_eq!(identity, ada);
        fixture.git(&["config", "--unset", "user.email"]);
        fixture.git(&["config", "user.useConfigOnly", "true"]);
        let unknown = fixture.repo().identity().unwrap_err().to_string();
        assert_eq!(unknown, "no email was given and auto-detection is disabled");
    }

    #[test]
    fn an_unknown_storage_is_refused_and_so_is_a_folder_that_is_no_git_dir() {
        let fixture = Fixture::with_commit(&[]);
        let open = |dir: &Path| Repo::open_in(dir, None, environment(&[]));
        assert!(matches!(open(&fixture.beside("")), Err(OpenError::NotARepository(_))));
        fixture.git(&["config", "core.repositoryFormatVersion", "1"]);
        fixture.git(&["config", "extensions.refStorage", "stone"]);
        let refused = open(&fixture.root.join(".git"));
        assert!(matches!(refused, Err(OpenError::Unsupported { .. })), "{refused:?}");
    }
}
