//! Some of a session's work, or its commits one by one.
//!
//! Invariant: what is picked is merged as if the session had made nothing else.

use super::LandError;
use super::forecast;
use super::target::Target;
use super::work::Work;
use crate::git::{CommitInfo, Draft, Merge, ObjectId, Repo};

/// What of a session's work is to land.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pick<'a> {
    /// All of it.
    #[default]
    All,
    /// What it changed at these paths, as git reads pathspecs.
    Paths(&'a [String]),
    /// These of its commits, by id or by their place from 1: `1,3-5,7f3a2b1`.
    Commits(&'a str),
}

/// A commit of the session that is made again on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The session's commit.
    pub commit: ObjectId,
    /// The tree of the one that is made of it.
    pub tree: ObjectId,
}

/// The work with nothing but what it changed at these paths; and whether that is all of it.
///
/// # Errors
/// It changed nothing there.
pub(super) fn paths(
    repo: &Repo,
    id: &str,
    work: &Work,
    base: ObjectId,
    pathspecs: &[String],
) -> Result<(Work, bool), LandError> {
    let base_tree = repo.tree_of(base)?;
    let list = |pathspecs: &[String]| -> Result<Vec<Vec<u8>>, LandError> {
        let git = repo.git().args(["diff-tree", "-r", "-z", "--name-only", "--no-renames"]);
        let git = git.args([base_tree.to_string(), work.tree.to_string()]);
        let done = git.arg("--").args(pathspecs).run()?;
        if done.exit != 0 {
            let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            return Err(LandError::BadPick { id: id.to_owned(), said });
        }
        let paths = done.stdout.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        Ok(paths.map(<[u8]>::to_vec).collect())
    };
    let picked = list(pathspecs)?;
    if picked.is_empty() {
        let said = format!("it changed nothing at {}", pathspecs.join(" "));
        return Err(LandError::BadPick { id: id.to_owned(), said });
    }
    let is_all = picked.len() == list(&[])?.len();
    let mut edits = Vec::new();
    for path in picked {
        let entry = repo.entry(work.tree, &path)?.map(|entry| (entry.mode, entry.id));
        edits.push((path, entry));
    }
    // What goes first, so that a folder can take the place of a file.
    edits.sort_by_key(|(_, entry)| entry.is_some());
    let tree = repo.edit_tree(Some(base_tree), &edits)?;
    let commit = like(repo, work.commit, tree, &[base])?;
    Ok((Work { commit, tree, on_branch: false }, is_all))
}

/// The session's commits that are meant, oldest first; and whether these are all.
///
/// # Errors
/// One is none of the session's.
pub(super) fn commits(
    repo: &Repo,
    id: &str,
    work: &Work,
    base: ObjectId,
    pick: Pick<'_>,
) -> Result<(Vec<ObjectId>, bool), LandError> {
    if !work.on_branch {
        return Err(LandError::NoCommits(id.to_owned()));
    }
    let all = repo.commits_between(base, work.commit)?;
    let Pick::Commits(list) = pick else { return Ok((all, true)) };
    let bad = |said: String| LandError::BadPick { id: id.to_owned(), said };
    let place = |text: &str| -> Option<usize> {
        let place = text.parse::<usize>().ok()?.checked_sub(1)?;
        (place < all.len()).then_some(place)
    };
    let mut wanted = vec![false; all.len()];
    for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let range = item.split_once('-').and_then(|(from, to)| Some((place(from)?, place(to)?)));
        let by_id = || {
            let commit = repo.resolve_commit(item).ok()?;
            all.iter().position(|id| *id == commit)
        };
        match (range, place(item).or_else(by_id)) {
            (Some((from, to)), _) if from <= to => wanted[from..=to].fill(true),
            (_, Some(at)) => wanted[at] = true,
            _ => return Err(bad(format!("'{item}' is none of its {} commits", all.len()))),
        }
    }
    let is_all = wanted.iter().all(|wanted| *wanted);
    let picked = all.into_iter().zip(wanted).filter_map(|(id, wanted)| wanted.then_some(id));
    match picked.collect::<Vec<_>>() {
        picked if picked.is_empty() => Err(bad("no commit is named".to_owned())),
        picked => Ok((picked, is_all)),
    }
}

/// What becomes of these commits on the target, one after the other; what is there already is left
/// out.
///
/// # Errors
/// One conflicts.
pub(super) fn replay(
    repo: &Repo,
    id: &str,
    target: &Target,
    commits: &[ObjectId],
) -> Result<Vec<Replay>, LandError> {
    let mut tree = repo.tree_of(target.tip)?;
    let mut replayed = Vec::new();
    for &commit in commits {
        let Some(parent) = repo.read_commit(commit)?.parents.first().copied() else { continue };
        // A merge with this commit's own parent as the base.
        let here = like(repo, commit, tree, &[parent])?;
        match repo.merge_commits(here, commit)? {
            Merge::Clean(same) if same == tree => {}
            Merge::Clean(next) => {
                tree = next;
                replayed.push(Replay { commit, tree });
            }
            Merge::Conflicts(found) => {
                return Err(LandError::Conflicts {
                    branch: target.name().to_owned(),
                    id: id.to_owned(),
                    files: forecast::clashes(repo, &found, parent, here, commit)?,
                });
            }
        }
    }
    Ok(replayed)
}

/// A commit for a merge alone: as another, but with this tree and these parents.
///
/// # Errors
/// An object cannot be read or written.
pub fn like(
    repo: &Repo,
    other: ObjectId,
    tree: ObjectId,
    parents: &[ObjectId],
) -> Result<ObjectId, LandError> {
    let CommitInfo { author, committer, time, message, .. } = repo.read_commit(other)?;
    let (parents, time) = (parents.to_vec(), Some(time));
    Ok(repo.write_commit(&Draft { tree, parents, author, committer, time, message })?)
}
