//! Which remote a pull request goes to, and which branches there.
//!
//! Invariant: its own branch is called after the session's id, which has a random tail: no branch
//! of a person's has that name.

use super::PullError;
use crate::config::Config;
use crate::forge::place::Address;
use crate::git::{ObjectId, Repo};
use crate::land::apply::short_id;
use crate::plan::target;
use crate::process::Finished;
use crate::session::spec::Spec;

/// The way of a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The remote that has the branch it is for.
    pub remote: String,
    /// That remote's address.
    pub url: String,
    /// The branch it is for, there.
    pub into: String,
    /// The remote that it is pushed to.
    pub push_remote: String,
    /// That remote's address, for pushes.
    pub push_url: String,
    /// Its own branch, there.
    pub branch: String,
    /// The commit that the work began at, in hex; in a stack that of the lowest.
    pub start: String,
    /// The session below it in its stack.
    pub stands_on: Option<String>,
    /// The commits whose work that branch has in another shape: those of the stack below.
    pub below: Vec<ObjectId>,
    /// Where that branch must be; none where the remote is asked.
    pub at: Option<ObjectId>,
}

/// Where the two branches are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tips {
    /// The branch it is for.
    pub into: ObjectId,
    /// Its own; none where it is not there yet.
    pub branch: Option<ObjectId>,
}

impl Route {
    /// Finds it: the remote that is named, else the one that the branch follows, else the only one,
    /// else `origin`. A push goes to `remote.pushDefault`, as git's would.
    ///
    /// # Errors
    /// There is no remote, several may be meant, or no branch is known.
    pub fn find(
        repo: &Repo,
        config: &Config,
        spec: &Spec,
        remote: Option<&str>,
        into: Option<&str>,
    ) -> Result<Self, PullError> {
        let remotes = remotes(repo)?;
        if remotes.is_empty() {
            return Err(PullError::NoRemote);
        }
        let is_there = |name: &str| remotes.iter().any(|it| it == name);
        if let Some(name) = remote.filter(|name| !is_there(name)) {
            return Err(PullError::NotARemote { name: name.to_owned(), there: remotes });
        }
        let (own, local) = branch(repo, spec, into, &remotes)?;
        let setting = |key: &str| repo.config_value(&format!("branch.{local}.{key}"));
        let follows = setting("remote").filter(|name| is_there(name));
        let remote = match (remote.map(str::to_owned).or(own).or(follows.clone()), &*remotes) {
            (Some(remote), _) => remote,
            (None, [only]) => only.clone(),
            (None, _) if is_there("origin") => "origin".to_owned(),
            (None, _) => return Err(PullError::WhichRemote(remotes)),
        };
        let merge = setting("merge").filter(|_| follows.as_ref() == Some(&remote));
        let merge = merge.filter(|_| into.is_none_or(|into| into == local));
        let into = merge.as_deref().map_or(local.as_str(), target::short).to_owned();
        let default = repo.config_value("remote.pushDefault").filter(|name| is_there(name));
        let push_remote = default.unwrap_or_else(|| remote.clone());
        Ok(Self {
            url: address(repo, &remote, &[])?,
            push_url: address(repo, &push_remote, &["--push"])?,
            remote,
            into,
            push_remote,
            branch: branch_of(config, &spec.id),
            start: spec.first_commit().to_owned(),
            stands_on: None,
            below: Vec::new(),
            at: None,
        })
    }

    /// The branch it is for, as people say it: `origin/main`.
    pub fn base(&self) -> String {
        format!("{}/{}", self.remote, self.into)
    }

    /// Whether it is pushed to another project than the one that it is for.
    pub(super) fn is_from_fork(&self) -> bool {
        let project = |url: &str| Address::parse(url).map(|it| (it.host, it.path));
        match (project(&self.url), project(&self.push_url)) {
            (Some(here), Some(there)) => here != there,
            _ => self.url != self.push_url,
        }
    }

    /// The full name of its branch at the remote.
    pub(super) fn full_branch(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    /// Asks the remotes where the branches are.
    ///
    /// # Errors
    /// One cannot be reached, or has no such branch.
    pub fn tips(&self, repo: &Repo) -> Result<Tips, PullError> {
        let (into, branch) = (format!("refs/heads/{}", self.into), self.full_branch());
        let (found, own) = match self.push_url == self.url {
            true => {
                let found = list(repo, &self.remote, &[&into, &branch])?;
                (found.clone(), found)
            }
            false => (list(repo, &self.remote, &[&into])?, list(repo, &self.push_url, &[&branch])?),
        };
        let of = |refs: &[(String, ObjectId)], wanted: &str| {
            refs.iter().find(|(name, _)| name == wanted).map(|it| it.1)
        };
        let no_base =
            || PullError::NoBase { remote: self.remote.clone(), branch: self.into.clone() };
        let into = of(&found, &into).ok_or_else(no_base)?;
        match self.at {
            Some(at) if at != into => Err(self.foreign(&self.into, into)),
            _ => Ok(Tips { into, branch: of(&own, &branch) }),
        }
    }

    /// Somebody else has been on a branch of ours.
    pub(super) fn foreign(&self, branch: &str, found: ObjectId) -> PullError {
        PullError::Foreign {
            remote: self.push_remote.clone(),
            branch: branch.to_owned(),
            found: short_id(found),
        }
    }

    /// Brings the commits of the branch it is for here, unless they are.
    ///
    /// # Errors
    /// The remote cannot be reached.
    pub fn fetch(&self, repo: &Repo, tip: ObjectId) -> Result<(), PullError> {
        if repo.has_object(tip) {
            return Ok(());
        }
        let git = repo.user_git_in_main().args(["-c", "fetch.recurseSubmodules=no", "fetch"]);
        let git =
            git.args(["--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"]);
        let done =
            git.arg("--").arg(&self.remote).arg(format!("refs/heads/{}", self.into)).run()?;
        match done.exit {
            0 => Ok(()),
            _ => Err(unreachable(&self.remote, &done)),
        }
    }
}

/// The branch of a session's pull request: not below the prefix itself, where the session's ref
/// would answer to the same short name.
pub(super) fn branch_of(config: &Config, id: &str) -> String {
    match config.branch_prefix.trim_end_matches('/') {
        "" => format!("pr/{id}"),
        prefix => format!("{prefix}-pr/{id}"),
    }
}

/// Whether a local branch is called so.
pub(super) fn is_local(repo: &Repo, named: &str) -> bool {
    matches!(repo.ref_id(&format!("refs/heads/{named}")), Ok(Some(_)))
}

/// The remotes, by name.
fn remotes(repo: &Repo) -> Result<Vec<String>, PullError> {
    let done = repo.user_git_in_main().arg("remote").run()?;
    Ok(String::from_utf8_lossy(&done.stdout).lines().map(str::to_owned).collect())
}

/// The branch that is meant: its remote, where the name says so, and its name.
fn branch(
    repo: &Repo,
    spec: &Spec,
    into: Option<&str>,
    remotes: &[String],
) -> Result<(Option<String>, String), PullError> {
    let named = into.unwrap_or(&spec.base.name);
    let of_remote = remotes.iter().find_map(|remote| {
        let branch = named.strip_prefix(remote.as_str())?.strip_prefix('/')?;
        Some((Some(remote.clone()), branch.to_owned()))
    });
    match (of_remote, into) {
        (Some(found), _) if !is_local(repo, named) => Ok(found),
        // It need not be here.
        (_, Some(into)) => Ok((None, target::short(into).to_owned())),
        (_, None) => {
            let (branch, _) = target::meant(repo, spec, None)?;
            Ok((None, target::short(&branch).to_owned()))
        }
    }
}

fn address(repo: &Repo, remote: &str, how: &[&str]) -> Result<String, PullError> {
    let git = repo.user_git_in_main().args(["remote", "get-url"]).args(how);
    let done = git.arg("--").arg(remote).run()?;
    match done.exit {
        0 => Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned()),
        _ => Err(unreachable(remote, &done)),
    }
}

/// What a remote has of these refs.
fn list(repo: &Repo, remote: &str, refs: &[&str]) -> Result<Vec<(String, ObjectId)>, PullError> {
    let git = repo.user_git_in_main().args(["ls-remote", "--quiet", "--", remote]);
    let done = git.args(refs).run()?;
    if done.exit != 0 {
        return Err(unreachable(remote, &done));
    }
    let line = |line: &str| {
        let (hex, name) = line.split_once('\t')?;
        Some((name.to_owned(), ObjectId::from_hex(hex.as_bytes()).ok()?))
    };
    Ok(String::from_utf8_lossy(&done.stdout).lines().filter_map(line).collect())
}

fn unreachable(remote: &str, done: &Finished) -> PullError {
    PullError::Unreachable { remote: remote.to_owned(), said: super::push::verdict(&done.stderr) }
}
