//! Which commits are judged: those that the other side does not have yet.
//!
//! What a remote has is known from its remote-tracking refs and from what it says in a push, never
//! from a local branch, which may be old or ahead.
//!
//! Invariant: a ref that is deleted, or that is no branch of commits, brings nothing.

use super::PushError;
use crate::git::{ObjectId, Repo};
use crate::session::note::NOTES_REF;
use crate::session::record;

/// Commits that arrive together under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The last one.
    pub tip: ObjectId,
    /// All of them, none before one of its children.
    pub commits: Vec<ObjectId>,
    /// The full names that the tip is known by, here and there.
    pub names: Vec<String>,
}

/// One line that git gives to a `pre-push` hook (githooks(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The ref here; `(delete)`, or any revision, where it is none.
    pub local: String,
    /// What it points to; none where the remote's ref is deleted.
    pub new: Option<ObjectId>,
    /// The ref there.
    pub remote: String,
    /// What that points to; none where it is new.
    pub old: Option<ObjectId>,
}

/// Where a push goes.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The remote's name, or its address where it has none.
    pub name: &'a str,
    /// Its address.
    pub url: &'a str,
}

/// What the main branch of a remote may be called.
const MAIN: [&str; 3] = ["HEAD", "main", "master"];
/// How many commits are looked at before the remote-tracking refs are.
const FEW: usize = 256;

impl Pushed {
    /// Reads what git says on the hook's standard input.
    ///
    /// # Errors
    /// A line is not as githooks(5) has it.
    pub fn parse(text: &str) -> Result<Vec<Self>, PushError> {
        text.lines().filter(|line| !line.is_empty()).map(Self::line).collect()
    }

    fn line(line: &str) -> Result<Self, PushError> {
        let bad = || PushError::BadLine(line.to_owned());
        let id = |hex: &str| {
            let id = ObjectId::from_hex(hex.as_bytes()).map_err(|_| bad())?;
            Ok::<_, PushError>(Some(id).filter(|id| !id.is_null()))
        };
        // What is pushed may be any revision, `HEAD^{/some words}` too.
        let mut words = line.rsplitn(4, ' ');
        let mut word = || words.next().ok_or_else(bad);
        let (old, remote, new, local) = (id(word()?)?, word()?, id(word()?)?, word()?);
        Ok(Self { local: local.to_owned(), new, remote: remote.to_owned(), old })
    }

    /// The commit that arrives. None of what a session keeps for itself counts: a record is no
    /// branch, and notes are not code.
    pub fn tip(&self, repo: &Repo) -> Option<ObjectId> {
        let is_kept = |name: &str| name.starts_with(record::PREFIX) || name == NOTES_REF;
        let id = self.new.filter(|_| !is_kept(&self.remote))?;
        repo.peel_to_commit(id)
    }
}

/// Whether anything in this push may be an agent's: asked at each push, so by as little as tells.
/// `is_ours` looks at one commit.
///
/// # Errors
/// A history cannot be read.
pub fn any_ours(
    repo: &Repo,
    pushed: &[Pushed],
    to: Destination<'_>,
    mut is_ours: impl FnMut(ObjectId) -> Result<bool, PushError>,
) -> Result<bool, PushError> {
    let mut known: Vec<_> = pushed.iter().filter_map(|line| line.old).collect();
    // What most branches begin at; the thousands of other refs of a large remote can wait.
    for name in MAIN {
        known.extend(repo.ref_id(&format!("refs/remotes/{}/{name}", to.name)).ok().flatten());
    }
    let mut tips: Vec<_> = pushed.iter().filter_map(|line| line.tip(repo)).collect();
    tips.sort_unstable();
    tips.dedup();
    let mut all = None;
    for tip in tips {
        if known.contains(&tip) {
            continue;
        }
        let few = match known.is_empty() {
            true => None,
            false => repo.few_beyond(tip, &known, FEW)?,
        };
        let commits = match few {
            Some(few) => few,
            None => {
                let all = match &all {
                    Some(all) => all,
                    None => all.insert([known.clone(), on_remote(repo, to)?].concat()),
                };
                repo.commits_beyond(tip, all)?
            }
        };
        // What has been looked at needs no second look under another name.
        known.push(tip);
        for commit in commits {
            if is_ours(commit)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// What each ref of a push brings, in the order of the push.
///
/// # Errors
/// A history cannot be read.
pub fn of_push(
    repo: &Repo,
    pushed: &[Pushed],
    to: Destination<'_>,
) -> Result<Vec<Range>, PushError> {
    let mut known = on_remote(repo, to)?;
    known.extend(pushed.iter().filter_map(|line| line.old));
    let mut ranges = Vec::new();
    for line in pushed {
        let Some(tip) = line.tip(repo) else { continue };
        let commits = repo.commits_beyond(tip, &known)?;
        ranges.push(Range { tip, commits, names: vec![line.local.clone(), line.remote.clone()] });
    }
    Ok(ranges)
}

/// What is written `A..B` or `A...B`, either side `HEAD` where it is left out. A null id for `A`, as
/// CI has it for a new branch, stands for what main branches of remotes have: the new branch itself
/// may be among the others.
///
/// # Errors
/// It is neither, or a side is no commit that is here.
pub fn of_words(repo: &Repo, words: &str) -> Result<Range, PushError> {
    let split = words.split_once("...").or_else(|| words.split_once(".."));
    let (from, to) = split.ok_or_else(|| PushError::NotARange(words.to_owned()))?;
    let side = |side: &str| {
        let side = if side.is_empty() { "HEAD" } else { side };
        repo.resolve_commit(side).map_err(|error| match repo.is_shallow() {
            true => PushError::Shallow(side.to_owned()),
            false => error.into(),
        })
    };
    let is_null = !from.is_empty() && from.bytes().all(|c| c == b'0');
    let tip = side(to)?;
    let known = if is_null { all_main(repo, tip)? } else { vec![side(from)?] };
    let mut names = Vec::from_iter(repo.full_name(if to.is_empty() { "HEAD" } else { to })?);
    if let Some((_, branch)) = names.first().and_then(|name| of_remote(name)) {
        names.push(format!("refs/heads/{branch}"));
    }
    Ok(Range { tip, commits: repo.commits_beyond(tip, &known)?, names })
}

/// What `HEAD` has and no remote.
///
/// # Errors
/// `HEAD` is no commit, or a history cannot be read.
pub fn of_head(repo: &Repo) -> Result<Range, PushError> {
    let tip = repo.resolve_commit("HEAD")?;
    let names = Vec::from_iter(repo.full_name("HEAD")?);
    Ok(Range { tip, commits: repo.commits_beyond(tip, &all_tracked(repo)?)?, names })
}

/// The tips of what the remote is known to have.
fn on_remote(repo: &Repo, to: Destination<'_>) -> Result<Vec<ObjectId>, PushError> {
    let entries = repo.config("remote");
    let is_same = |name: &str| {
        name == to.name
            || entries.iter().any(|entry| {
                let is_address = |key| entry.key == format!("remote.{name}.{key}");
                (is_address("url") || is_address("pushurl")) && entry.value == to.url
            })
    };
    let mut tips = Vec::new();
    for entry in &entries {
        let name = entry.key.strip_prefix("remote.").and_then(|key| key.strip_suffix(".fetch"));
        let tracked = entry.value.split_once(':').map(|(_, there)| there);
        if let (Some(name), Some(tracked)) = (name, tracked)
            && is_same(name)
            // A mirror's refs are here and there the same: they say nothing of what it has.
            && tracked.starts_with("refs/remotes/")
        {
            match tracked.split_once('*') {
                Some((prefix, _)) => {
                    let folder = prefix.rfind('/').map_or(prefix, |at| &prefix[..=at]);
                    let refs = repo.refs(folder)?.into_iter();
                    tips.extend(refs.filter(|(name, _)| name.starts_with(prefix)).map(|it| it.1));
                }
                None => tips.extend(repo.ref_id(tracked)?),
            }
        }
    }
    Ok(commits(repo, tips))
}

/// The tips of the main branches of all remotes, but for one that has just come to be.
fn all_main(repo: &Repo, new: ObjectId) -> Result<Vec<ObjectId>, PushError> {
    let is_main = |name: &str| of_remote(name).is_some_and(|(_, branch)| MAIN.contains(&branch));
    let refs = repo.refs("refs/remotes/")?.into_iter();
    Ok(commits(
        repo,
        refs.filter(|(name, id)| is_main(name) && *id != new).map(|it| it.1).collect(),
    ))
}

/// The tips of what any remote is known to have.
fn all_tracked(repo: &Repo) -> Result<Vec<ObjectId>, PushError> {
    Ok(commits(repo, repo.refs("refs/remotes/")?.into_iter().map(|(_, id)| id).collect()))
}

fn commits(repo: &Repo, mut ids: Vec<ObjectId>) -> Vec<ObjectId> {
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|id| repo.has_object(*id));
    ids
}

/// Remote and branch of a remote-tracking ref.
fn of_remote(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("refs/remotes/")?.split_once('/')
}
