//! Where a new session's worktree is and what its branch is called.
//!
//! Invariant: nothing is made here; what is answered was free when it was asked, so who acts on it
//! holds the lock of creation meanwhile.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use fs_err as fs;

use super::id::{self, NameError, RandomError};
use crate::git::{OpenError, RefError, Repo};

/// The user's wishes for all worktrees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// `agent.worktreePath`: the path with `{repo}` and `{name}` in it, relative to the main
    /// checkout; `~/` is the home folder.
    pub path: String,
    /// `agent.branchPrefix`: what branches begin with, `agent/`.
    pub branch_prefix: String,
    /// The home folder, where there is one.
    pub home: Option<PathBuf>,
}

/// The wishes for one session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// The task's slug, for what is not named.
    pub slug: &'a str,
    /// The name of worktree and session: `--worktree`.
    pub name: Option<&'a str>,
    /// The branch, without `refs/heads/`: `--branch`.
    pub branch: Option<&'a str>,
}

/// What a new session is called and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its branch, whole: `refs/heads/…`.
    pub branch: String,
    /// The worktree's path: absolute, no symbolic link on the way.
    pub path: PathBuf,
}

/// Why there is no place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A name that git or a file system would refuse.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is such a branch.
    #[error("branch '{branch}' exists{}", at.as_ref().map(|at| format!(", checked out at {}", at.display())).unwrap_or_default())]
    BranchExists {
        /// The branch, without `refs/heads/`.
        branch: String,
        /// The worktree in which it is checked out, if it is in one.
        at: Option<PathBuf>,
    },
    /// There is a branch in whose way it would be: git cannot hold both.
    #[error("branch '{branch}' cannot be made beside branch '{other}'")]
    BranchInTheWay {
        /// The branch asked for.
        branch: String,
        /// The one that exists.
        other: String,
    },
    /// There is something at the worktree's path.
    #[error("{} exists", path.display())]
    PathExists {
        /// The path.
        path: PathBuf,
    },
    /// The path leads out of the checkout through a link that the repository may have brought.
    #[error("{} is a symbolic link inside the checkout", link.display())]
    ThroughLink {
        /// The link.
        link: PathBuf,
    },
    /// The template cannot be used.
    #[error("agent.worktreePath is '{template}': {why}")]
    Template {
        /// The template.
        template: String,
        /// Why.
        why: &'static str,
    },
    /// Refs cannot be read.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// The id needs random numbers.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How many sessions may be named after the same words.
const MOST_ALIKE: u32 = 10_000;

/// Finds a place that is free. A name that was asked for is used or refused; one that was not is
/// made unique.
///
/// # Errors
/// See [`PlaceError`].
pub fn place(repo: &Repo, layout: &Layout, wish: &Wish<'_>) -> Result<Place, PlaceError> {
    if let Some(name) = wish.name {
        id::check_name(name)?;
    }
    if let Some(branch) = wish.branch {
        id::check_branch(branch)?;
    }
    let slug = wish.name.map_or_else(|| wish.slug.to_owned(), id::slug);
    let id = id::fresh(&slug)?;
    if let Some(name) = wish.name {
        return at(repo, layout, name, wish.branch, id);
    }
    // Not the id, as unique as it is: git would take `agent/<id>` for `refs/agent/<id>`, the record.
    let mut names = (2..MOST_ALIKE).map(|number| format!("{slug}-{number}"));
    let mut name = slug.clone();
    loop {
        let is_taken = |error: &PlaceError| match error {
            PlaceError::PathExists { .. } => true,
            PlaceError::BranchExists { .. } | PlaceError::BranchInTheWay { .. } => {
                wish.branch.is_none()
            }
            _ => false,
        };
        match (at(repo, layout, &name, wish.branch, id.clone()), names.next()) {
            (Err(error), Some(next)) if is_taken(&error) => name = next,
            (placed, _) => return placed,
        }
    }
}

/// The view of the linked worktree of `repo` that stands at this path. What its `.git` file leads
/// to is opened only if it is registered in `repo`, for this very path: who works there could have
/// made it lead to settings of their own.
///
/// # Errors
/// It is no such worktree, or cannot be opened.
pub fn open(repo: &Repo, path: &Path) -> Result<Repo, OpenError> {
    let registered = repo.common_dir().join("worktrees");
    let git_dir = git_dir(path).filter(|found| found.parent() == Some(&registered));
    let not_linked = || OpenError::NotLinked(path.to_owned());
    let view = repo.view_of(&git_dir.ok_or_else(not_linked)?)?;
    let path = fs::canonicalize(path)?;
    if view.common_dir() == repo.common_dir() && view.work_dir() == Some(&*path) {
        return Ok(view);
    }
    Err(not_linked())
}

/// The git dir that a linked worktree's `.git` leads to, symbolic links resolved; none where that
/// is no such file, or leads nowhere.
pub fn git_dir(path: &Path) -> Option<PathBuf> {
    let link = fs::read(path.join(".git")).ok()?;
    let dir = link.strip_prefix(b"gitdir: ")?.trim_ascii_end();
    fs::canonicalize(path.join(OsStr::from_bytes(dir))).ok()
}

fn at(
    repo: &Repo,
    layout: &Layout,
    name: &str,
    branch: Option<&str>,
    id: String,
) -> Result<Place, PlaceError> {
    let branch = match branch {
        Some(branch) => branch.to_owned(),
        None => branch_of(repo, &layout.branch_prefix, name)?,
    };
    check_free(repo, &branch)?;
    let path = path_of(repo, layout, name)?;
    if fs::symlink_metadata(&path).is_ok() {
        return Err(PlaceError::PathExists { path });
    }
    Ok(Place { id, name: name.to_owned(), branch: format!("refs/heads/{branch}"), path })
}

/// `agent/<name>`; where there is a branch `agent`, beside which git can hold no `agent/…`,
/// `agent-<name>`.
fn branch_of(repo: &Repo, prefix: &str, name: &str) -> Result<String, PlaceError> {
    let branch = format!("{prefix}{name}");
    match above(repo, &branch)? {
        Some(_) => Ok(format!("{}{name}", prefix.replace('/', "-"))),
        None => Ok(branch),
    }
}

fn check_free(repo: &Repo, branch: &str) -> Result<(), PlaceError> {
    id::check_branch(branch)?;
    let branch = branch.to_owned();
    let whole = format!("refs/heads/{branch}");
    if repo.ref_id(&whole)?.is_some() {
        return Err(PlaceError::BranchExists { branch, at: repo.checked_out_at(&whole)? });
    }
    // git would understand the short name as that ref.
    let other = format!("refs/{branch}");
    if repo.ref_id(&other)?.is_some() {
        return Err(PlaceError::BranchInTheWay { branch, other });
    }
    let below = repo.refs(&format!("refs/heads/{branch}/"))?.into_iter().next();
    let other = match above(repo, &branch)? {
        Some(other) => other,
        None => match below {
            Some((other, _)) => other.trim_start_matches("refs/heads/").to_owned(),
            None => return Ok(()),
        },
    };
    Err(PlaceError::BranchInTheWay { branch, other })
}

/// The branch that is named like one of the folders this branch would be in.
fn above(repo: &Repo, branch: &str) -> Result<Option<String>, PlaceError> {
    for (at, _) in branch.match_indices('/') {
        if repo.ref_id(&format!("refs/heads/{}", &branch[..at]))?.is_some() {
            return Ok(Some(branch[..at].to_owned()));
        }
    }
    Ok(None)
}

/// The worktree's path of a session with this name, whether it is free or not.
///
/// # Errors
/// The template cannot be used, or leads through a link.
pub fn path_of(repo: &Repo, layout: &Layout, name: &str) -> Result<PathBuf, PlaceError> {
    let bad = |why| PlaceError::Template { template: layout.path.clone(), why };
    if !layout.path.contains("{name}") {
        return Err(bad("it lacks '{name}'"));
    }
    let filled = layout.path.replace("{repo}", &repo.name()).replace("{name}", name);
    let checkout = repo.main_work_dir();
    let path = match filled.strip_prefix("~/") {
        Some(rest) => layout.home.clone().ok_or_else(|| bad("there is no home folder"))?.join(rest),
        None => anchor(repo, checkout.as_deref()).join(&filled),
    };
    let path = without_dots(&path);
    if let Some(inside) = checkout.as_deref().and_then(|root| path.strip_prefix(root).ok()) {
        let mut link = checkout.clone().unwrap_or_default();
        for part in inside {
            link.push(part);
            if fs::symlink_metadata(&link).is_ok_and(|meta| meta.is_symlink()) {
                return Err(PlaceError::ThroughLink { link });
            }
        }
    }
    Ok(resolved(&path)?)
}

/// What a relative path is relative to: the main checkout; in a bare repository the folder that
/// stands for one, which is the git dir itself, or the folder around `.git` and `.bare`.
fn anchor(repo: &Repo, checkout: Option<&Path>) -> PathBuf {
    let common = repo.common_dir();
    let hidden = common.file_name().is_some_and(|name| name == ".git" || name == ".bare");
    match (checkout, common.parent()) {
        (Some(checkout), _) => checkout.to_owned(),
        (None, Some(parent)) if hidden => parent.to_owned(),
        _ => common.to_owned(),
    }
}

/// The path without `.` and `..`, by its words alone.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// The path with the links in what exists of it followed.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let mut missing = Vec::new();
    for folder in path.ancestors() {
        match fs::canonicalize(folder) {
            Ok(folder) => {
                return Ok(missing.iter().rev().fold(folder, |path, part| path.join(part)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing.extend(folder.file_name());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    fn layout(path: &str) -> Layout {
        Layout {
            path: path.to_owned(),
            branch_prefix: "agent/".to_owned(),
            home: Some("/nonexistent/home".into()),
        }
    }

    const DEFAULT: &str = "../{repo}.worktrees/{name}";

    fn placed(git: &Fixture, layout: &Layout, wish: &Wish<'_>) -> Result<Place, String> {
        place(&git.repo(), layout, wish).map_err(|error| error.to_string())
    }

    #[test]
    fn a_place_is_beside_the_main_checkout_wherever_one_stands() {
        let git = Fixture::with_commit(&[]);
        let wish = Wish { slug: "add-rate", ..Wish::default() };
        let at = placed(&git, &layout(DEFAULT), &wish).unwrap();
        assert_eq!(at.path, git.beside("my dépôt.worktrees/add-rate"));
        assert_eq!(
            (at.name.as_str(), at.branch.as_str()),
            ("add-rate", "refs/heads/agent/add-rate")
        );
        assert!(at.id.starts_with("add-rate-"), "{}", at.id);
        let linked = git.beside("linked");
        git.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
        let inner = git.repo_at(&linked, &[]);
        let same = place(&inner, &layout(DEFAULT), &wish).unwrap();
        assert_eq!(Place { id: at.id.clone(), ..same }, at);
        let at = placed(&git, &layout("~/w/{repo}/{name}"), &wish).unwrap();
        assert_eq!(at.path, Path::new("/nonexistent/home/w/my dépôt/add-rate"));
        let error = placed(&git, &layout("../w"), &wish).unwrap_err();
        assert_eq!(error, "agent.worktreePath is '../w': it lacks '{name}'");
    }

    #[test]
    fn w12_a_bare_repository_has_its_worktrees_beside_it() {
        let git = Fixture::with_commit(&[]);
        let wish = Wish { slug: "x", ..Wish::default() };
        for (bare, want) in [("shop.git", "shop.worktrees/x"), ("proj/.bare", "proj.worktrees/x")] {
            let bare = git.beside(bare);
            git.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
            let at = place(&git.repo_at(&bare, &[]), &layout(DEFAULT), &wish).unwrap();
            assert_eq!(at.path, git.beside(want));
        }
    }

    #[test]
    fn w10_a_name_that_is_taken_is_made_unique_and_one_that_was_asked_for_refused() {
        let git = Fixture::with_commit(&[]);
        git.git(&["branch", "agent/x"]);
        fs::create_dir_all(git.beside("my dépôt.worktrees/y")).unwrap();
        for slug in ["x", "y"] {
            let at = placed(&git, &layout(DEFAULT), &Wish { slug, ..Wish::default() }).unwrap();
            assert_eq!(at.name, format!("{slug}-2"));
            assert_eq!(at.branch, format!("refs/heads/agent/{slug}-2"));
        }
        git.git(&["update-ref", "refs/agent/fix-7f3k", "HEAD"]);
        let at = placed(&git, &layout(DEFAULT), &Wish { slug: "fix-7f3k", ..Wish::default() });
        assert_eq!(at.unwrap().name, "fix-7f3k-2", "git reads agent/fix-7f3k as that ref");
        let asked = |name, branch| Wish { slug: "z", name, branch };
        let refused = [
            (asked(Some("x"), None), "branch 'agent/x' exists"),
            (asked(Some("y"), None), "my dépôt.worktrees/y exists"),
            (asked(None, Some("main")), "/my dépôt"),
            (asked(None, Some("main/x")), "branch 'main/x' cannot be made beside branch 'main'"),
            (asked(None, Some("agent")), "branch 'agent' cannot be made beside branch 'agent/x'"),
            (asked(Some("-x"), None), "\"-x\" is not a valid name: it begins with '-'"),
            (asked(Some("a/b"), None), "\"a/b\" is not a valid name: it contains '/'"),
            (asked(None, Some("a..b")), "\"a..b\" is not a valid name: it contains '..'"),
        ];
        for (wish, want) in refused {
            let error = placed(&git, &layout(DEFAULT), &wish).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
        let at = placed(&git, &layout(DEFAULT), &asked(Some("Ünï"), Some("feature/x"))).unwrap();
        assert_eq!((at.name.as_str(), at.branch.as_str()), ("Ünï", "refs/heads/feature/x"));
        assert!(at.id.starts_with("uenie-") || at.id.starts_with("ueni-"), "{}", at.id);
    }

    #[test]
    fn b01_beside_a_branch_named_agent_ours_are_named_otherwise() {
        let git = Fixture::with_commit(&[]);
        git.git(&["branch", "agent"]);
        let at = placed(&git, &layout(DEFAULT), &Wish { slug: "x", ..Wish::default() }).unwrap();
        assert_eq!(at.branch, "refs/heads/agent-x");
    }

    #[test]
    fn w03_a_link_that_the_repository_brought_leads_nowhere() {
        let git = Fixture::with_commit(&[]);
        std::os::unix::fs::symlink(git.beside("elsewhere"), git.root.join("trees")).unwrap();
        let wish = Wish { slug: "x", ..Wish::default() };
        let error = placed(&git, &layout("trees/{name}"), &wish).unwrap_err();
        assert!(error.ends_with("trees is a symbolic link inside the checkout"), "{error}");
    }
}
