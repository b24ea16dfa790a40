//! Finding the repository of a folder, as git does.
//!
//! Invariant: a repository that git would refuse (owner, format, bare by policy) is refused, in
//! git's own words.

use std::path::{Path, PathBuf};

use gix::bstr::ByteSlice;

use crate::git::command::{self, GitError};
use crate::git::environment::Environment;
use crate::git::repo::{OpenError, Repo};

/// Repository extensions that git 2.47 and gix both know; with any other, git decides.
const EXTENSIONS: [&str; 6] =
    ["noop", "objectformat", "partialclone", "preciousobjects", "refstorage", "worktreeconfig"];

impl Repo {
    /// Opens the repository of `dir` as git finds it: upwards from `dir`, or where `GIT_DIR` and
    /// its kin point, and only if git would trust it.
    ///
    /// # Errors
    /// There is none, git refuses it, or it cannot be read.
    pub fn discover(dir: &Path) -> Result<Self, OpenError> {
        Self::discover_in(dir, Environment::of_process())
    }

    /// As [`Repo::discover`], in a given environment.
    ///
    /// # Errors
    /// As [`Repo::discover`].
    pub fn discover_in(dir: &Path, environment: Environment) -> Result<Self, OpenError> {
        if !environment.points_somewhere()
            && let Some(found) = plain(dir)
            && let Ok(repo) =
                Self::open_in(&found.git_dir, Some(&found.work_dir), environment.clone())
            && knows_format(&repo)
        {
            return Ok(repo);
        }
        asked(dir, environment)
    }
}

struct Found {
    git_dir: PathBuf,
    work_dir: PathBuf,
}

/// The everyday case, without a git process: a checkout owned by the user, nothing special.
fn plain(dir: &Path) -> Option<Found> {
    let (path, trust) = gix::discover::upwards(dir).ok()?;
    let (git_dir, work_dir) = path.into_repository_and_work_tree_directories();
    (trust == gix::sec::Trust::Full).then_some(Found { git_dir, work_dir: work_dir? })
}

/// Every other case: git is asked, and what it refuses is refused in its words.
fn asked(dir: &Path, environment: Environment) -> Result<Repo, OpenError> {
    let ask = |what| command::asking_git(dir, &environment).args(["rev-parse", what]);
    let git_dir = match command::succeed(&ask("--absolute-git-dir")) {
        Ok(line) => command::path(&line),
        Err(GitError::Refused { said, .. }) if said.contains("not a git repository") => {
            return Err(OpenError::NotARepository(dir.to_owned()));
        }
        Err(GitError::Refused { said, .. }) if said.contains("dubious ownership") => {
            return Err(OpenError::NotSafe { said });
        }
        Err(GitError::Refused { said, .. })
            if said.contains("repository version") || said.contains("repository extension") =>
        {
            return Err(OpenError::Unsupported { said });
        }
        Err(error) => return Err(error.into()),
    };
    // Fails in a bare repository and inside a `.git`: then the git dir itself tells.
    let work_dir = command::succeed(&ask("--show-toplevel")).ok().map(|line| command::path(&line));
    Repo::open_in(&git_dir, work_dir.as_deref(), environment)
}

fn knows_format(repo: &Repo) -> bool {
    let config = repo.gix().config_snapshot();
    let version = config.integer("core.repositoryFormatVersion").unwrap_or(0);
    let known = config.plumbing().sections_by_name("extensions").is_none_or(|mut sections| {
        sections.all(|section| {
            section.value_names().all(|name| {
                EXTENSIONS.contains(&name.as_bytes().to_str_lossy().to_lowercase().as_str())
            })
        })
    });
    version == 0 || (version == 1 && known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::{Fixture, environment};

    #[test]
    fn the_environment_points_as_git_says() {
        let fixture = Fixture::with_commit(&[]);
        let other = fixture.beside("other");
        fixture.git(&["init", "-q", other.to_str().unwrap()]);
        let git_dir = other.join(".git");
        let pointed = [("GIT_DIR", git_dir.to_str().unwrap())];
        let tree = fixture.root.join("dir");
        let apart = [pointed[0], ("GIT_WORK_TREE", tree.to_str().unwrap())];
        // With a git dir alone git takes any folder for its checkout; we keep to its own.
        let repo = fixture.repo_at(&fixture.root, &pointed);
        assert_eq!((repo.git_dir(), repo.work_dir()), (&*git_dir, Some(&*other)));
        let repo = fixture.repo_at(&fixture.root, &apart);
        assert_eq!((repo.git_dir(), repo.work_dir()), (&*git_dir, Some(&*tree)));
        // Opened by its git dir, the same environment has no effect.
        let repo = Repo::open_in(&fixture.root.join(".git"), None, environment(&apart)).unwrap();
        assert_eq!(repo.work_dir(), Some(&*fixture.root));
        let told = repo.git().args(["rev-parse", "--absolute-git-dir"]);
        let told = command::succeed(&told).unwrap();
        assert_eq!(command::path(&told), fixture.root.join(".git"));
    }

    #[test]
    fn a_ceiling_and_an_empty_folder_are_no_repository() {
        let fixture = Fixture::with_commit(&[]);
        let root = fixture.root.to_str().unwrap();
        let ceiling = environment(&[("GIT_CEILING_DIRECTORIES", root)]);
        let (dir, outside) = (fixture.root.join("dir"), fixture.beside(""));
        for (dir, environment) in [(&dir, ceiling), (&outside, environment(&[]))] {
            let found = Repo::discover_in(dir, environment);
            assert!(matches!(&found, Err(OpenError::NotARepository(at)) if at == dir), "{found:?}");
        }
    }

    #[test]
    fn what_git_refuses_is_refused_in_its_words() {
        let fixture = Fixture::with_commit(&[]);
        let bare = fixture.beside("bare.git");
        fixture.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
        let explicit = [("GIT_CONFIG_PARAMETERS", "'safe.bareRepository'='explicit'")];
        let refused = Repo::discover_in(&bare, environment(&explicit)).unwrap_err().to_string();
        assert_eq!(
            refused,
            format!(
                "cannot use bare repository '{}' (safe.bareRepository is 'explicit')",
                bare.display()
            )
        );

        // git's own switch for its tests; a pointer makes us ask git.
        let foreign = [("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1"), ("GIT_CEILING_DIRECTORIES", "/")];
        let refused = Repo::discover_in(&fixture.root, environment(&foreign));
        assert!(
            matches!(&refused, Err(OpenError::NotSafe { said }) if said.contains("dubious ownership")),
            "{refused:?}"
        );

        fixture.git(&["config", "core.repositoryFormatVersion", "1"]);
        fixture.git(&["config", "extensions.unheardOf", "true"]);
        let refused = Repo::discover_in(&fixture.root, environment(&[]));
        assert!(
            matches!(&refused, Err(OpenError::Unsupported { said }) if said.contains("unheardof")),
            "{refused:?}"
        );
    }

    #[test]
    fn the_everyday_case_needs_no_git_process() {
        let fixture = Fixture::with_commit(&[]);
        let found = plain(&fixture.root.join("dir")).unwrap();
        assert_eq!(
            (found.git_dir, found.work_dir),
            (fixture.root.join(".git"), fixture.root.clone())
        );
    }
}
