//! What somebody else has done to a session's branch and worktree, and how the session goes on.
//!
//! | found | what follows |
//! |---|---|
//! | commits made in the worktree, an amend, rebase or reset made there too | the branch is theirs; the next commit goes on top of it, with the files that are there |
//! | commits on top of ours, made elsewhere | they are merged into the worktree, and the session goes on on top of them |
//! | the same, and they conflict with what the session has done since | the session rests until a person has merged them in the worktree |
//! | a branch that lost commits of ours, moved elsewhere | the session rests, once; resumed, it goes on on top of what is there |
//! | a branch that is gone | the session rests; resumed, it is made again from the session's ref |
//! | files edited while the session rests | a commit of the user's, before the agent begins again |
//!
//! Whatever was on the branch before stays reachable from the session's ref. Where the strategy
//! holds commits back there is no place for a commit of the user's: their edits are held too.
//!
//! Invariant: no commit of a person's is ever moved back or written over, and none of their work is
//! called the agent's.

use std::path::Path;

use super::{CheckpointError, Checkpoints, note_left_out};
use crate::config::CommitStrategy;
use crate::file::Changed;
use crate::git::operation;
use crate::git::{
    self, Draft, Expected, Merge, MergeError, ObjectId, RefUpdate, Repo, RevisionError,
    WorktreeError,
};
use crate::session::record::{self, Record};
use crate::session::spec::Spec;
use crate::session::state::State;

/// What a commit of a person's edits is called.
const SUBJECT: &str = "Edit by hand";

/// What a person has done, as the model is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The branch's commit that holds it; none where it is held back.
    pub commit: Option<ObjectId>,
    /// Whether they committed it themselves, or only changed the files.
    pub by_commit: bool,
    /// The paths that changed, `/`-separated.
    pub paths: Vec<String>,
}

impl Foreign {
    /// In words, for the model.
    pub fn words(&self) -> String {
        const SHOWN: usize = 20;
        let mut paths = self.paths.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        if self.paths.len() > SHOWN {
            paths = format!("{paths} and {} more", self.paths.len() - SHOWN);
        }
        let commit = self.commit.map(|id| id.to_string());
        let commit = commit.as_deref().and_then(|hex| hex.get(..12)).unwrap_or("no commit yet");
        let what = match self.by_commit {
            true => format!("A person has moved your branch: it is at {commit} now."),
            false => {
                format!("A person has edited files in your worktree meanwhile ({commit}).")
            }
        };
        match paths.is_empty() {
            true => what,
            false => format!("{what} Changed: {paths}. Read them again before you edit them."),
        }
    }
}

/// How a moved branch is gone on from.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// What was done is in the files already.
    OnTop,
    /// The files are to become this tree.
    Merge(ObjectId),
    /// It conflicts with the session's own work in these paths.
    Conflicts(Vec<String>),
    /// Commits of the session are no longer in it.
    Rewritten,
}

/// Why the session cannot go on on top of what somebody else did.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// The branch has lost commits of the session; resumed, it goes on from there.
    #[error("{branch} was moved to {found} by somebody else; resume goes on from there")]
    Rewritten {
        /// The branch.
        branch: String,
        /// Where it is now.
        found: ObjectId,
    },
    /// Their commits and the session's work do not merge.
    #[error("{branch} was moved by somebody else and conflicts with the session in {}; merge and commit that in the worktree, then resume", paths.join(", "))]
    Conflicts {
        /// The branch.
        branch: String,
        /// The paths.
        paths: Vec<String>,
    },
    /// A history cannot be read.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// The two histories cannot be merged.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// The files cannot follow.
    #[error("their commits cannot be brought into the worktree")]
    Files(#[from] WorktreeError),
}

impl Checkpoints {
    /// Takes what was changed in the worktree while nobody of ours was at work: into a commit of
    /// the user's, where the strategy has commits and none of the session's work is held back.
    ///
    /// # Errors
    /// See [`CheckpointError`]; the state has not changed then.
    pub fn take_edits(
        &mut self,
        state: &mut State,
        journal: &Path,
    ) -> Result<Vec<Foreign>, CheckpointError> {
        self.despite_gc(|it| it.take_edits_once(state, journal))
    }

    fn take_edits_once(
        &mut self,
        state: &mut State,
        journal: &Path,
    ) -> Result<Vec<Foreign>, CheckpointError> {
        self.check_worktree()?;
        // What is half merged is no edit, and has conflict marks in it.
        if let Some(operation) = operation::in_git_dir(self.repo.git_dir()) {
            return Err(CheckpointError::Busy { operation });
        }
        let before = self.snapshot.tree();
        let is_held = self.code != self.head || self.spec.commit_strategy == CommitStrategy::None;
        let taken = self.snapshot.take(&Changed::Anything)?;
        let mut next = state.clone();
        note_left_out(&mut next, &taken.left_out, &Changed::Anything);
        let moved = self.follow(&mut next, journal);
        state.moved_to.clone_from(&next.moved_to);
        let moved = moved?;
        let before = if moved.is_some() { self.repo.tree_of(self.head)? } else { before };
        let tree = self.snapshot.tree();
        if moved.is_none() && tree == before {
            return Ok(Vec::new());
        }
        let mut found: Vec<_> = moved.into_iter().collect();
        let (mut commit, mut code) = (None, self.code);
        if tree != before {
            let stat = self.repo.diff_stat(before, tree)?;
            if is_held {
                code = self.hold(tree, next.step)?;
            } else {
                code = self.commit_of_the_user(tree)?;
                commit = Some(code);
            }
            let paths = stat.paths.iter().map(|change| change.path.to_string()).collect();
            found.push(Foreign { commit, by_commit: false, paths });
        }
        next.changes = self.changes()?;
        next.settled = false;
        self.settle(commit, code, &mut next, journal)?;
        *state = next;
        Ok(found)
    }

    /// Goes on from where somebody else has moved the branch, if somebody has: the files then hold
    /// what is theirs. The state is for the record of a session that cannot.
    pub(super) fn follow(
        &mut self,
        state: &mut State,
        journal: &Path,
    ) -> Result<Option<Foreign>, CheckpointError> {
        let branch = self.spec.branch.clone();
        let tip = self.repo.ref_id(&branch)?;
        let Some(theirs) = tip.filter(|tip| *tip != self.head) else {
            state.moved_to = None;
            return Ok(None);
        };
        // What they committed in the worktree is nothing that a call has changed.
        self.snapshot.take(&Changed::Anything)?;
        let code = self.code_for(self.snapshot.tree(), state.step)?;
        match way(&self.repo, &branch, self.head, code, theirs).map_err(Box::new)? {
            Way::OnTop => {}
            Way::Merge(tree) => self.bring_in(tree)?,
            Way::Conflicts(paths) => {
                self.keep_work(code, state, journal)?;
                return Err(Box::new(ForeignError::Conflicts { branch, paths }).into());
            }
            Way::Rewritten => {
                state.moved_to = Some(theirs.to_string());
                self.keep_work(code, state, journal)?;
                return Err(Box::new(ForeignError::Rewritten { branch, found: theirs }).into());
            }
        }
        let is_ours = self.is_ours(theirs)?;
        let stat =
            self.repo.diff_stat(self.repo.tree_of(self.head)?, self.repo.tree_of(theirs)?)?;
        let paths = stat.paths.iter().map(|change| change.path.to_string()).collect();
        (self.head, self.code) = (theirs, theirs);
        state.moved_to = None;
        let found = Foreign { commit: Some(theirs), by_commit: true, paths };
        Ok(Some(found).filter(|_| !is_ours))
    }

    /// Takes the branch as it is, wherever somebody else has moved it: for who is about to move it
    /// by a person's own wish. What is left stays reachable from the session's ref.
    pub(super) fn take_branch(&mut self) -> Result<(), CheckpointError> {
        if let Some(tip) = self.repo.ref_id(&self.spec.branch)?.filter(|tip| *tip != self.head) {
            (self.head, self.code) = (tip, tip);
        }
        Ok(())
    }

    /// A commit that the session made itself, by a run that died before it could know.
    fn is_ours(&self, commit: ObjectId) -> Result<bool, CheckpointError> {
        let commit = self.repo.read_commit(commit)?;
        let trailer = ("Agent-Session".to_owned(), self.spec.id.clone());
        let is_next = commit.parents.first() == Some(&self.head);
        Ok(is_next && git::parse(&commit.message).contains(&trailer))
    }

    /// Makes the worktree's files those of a tree.
    fn bring_in(&mut self, tree: ObjectId) -> Result<(), CheckpointError> {
        let now = self.snapshot.tree();
        if tree == now {
            return Ok(());
        }
        self.snapshot.refresh_worktree_index()?;
        self.repo.update_checkout(now, tree).map_err(|it| Box::new(ForeignError::Files(it)))?;
        self.snapshot.take(&Changed::Anything)?;
        Ok(())
    }

    fn commit_of_the_user(&self, tree: ObjectId) -> Result<ObjectId, CheckpointError> {
        Ok(self.repo.write_commit(&Draft {
            tree,
            parents: vec![self.head],
            author: self.who.clone(),
            committer: self.who.clone(),
            time: None,
            message: format!("{SUBJECT}\n"),
        })?)
    }
}

/// Where a session begins behind its last record: the branch's commit as it left it, and the
/// commit that holds its code.
pub(super) fn begin(
    repo: &Repo,
    branch: &str,
    record: Option<&Record>,
) -> Result<(ObjectId, ObjectId), CheckpointError> {
    let tip = repo.ref_id(branch)?;
    let gone = || CheckpointError::BranchGone { branch: branch.to_owned() };
    let Some(record) = record else {
        return tip.map(|tip| (tip, tip)).ok_or_else(gone);
    };
    let on_top_of = |head: ObjectId| -> Result<bool, CheckpointError> {
        let code = record.code;
        Ok(code == head || repo.read_commit(code)?.parents.first() == Some(&head))
    };
    match (tip, left(repo, record)) {
        (Some(tip), _) if on_top_of(tip)? => Ok((tip, record.code)),
        // A person has moved it: the first checkpoint finds out how to go on.
        (Some(tip), Some(left))
            if record.state.moved_to.as_deref() != Some(tip.to_string().as_str()) =>
        {
            Ok((left, if on_top_of(left)? { record.code } else { left }))
        }
        // They were told, or nothing is left of how it was.
        (Some(tip), _) => Ok((tip, tip)),
        (None, _) => Err(gone()),
    }
}

/// Makes a session's branch again where it is gone, from the last record; says whether it did.
///
/// # Errors
/// The record cannot be read, or the ref not be written.
pub fn make_branch_again(repo: &Repo, spec: &Spec) -> Result<bool, CheckpointError> {
    if repo.ref_id(&spec.branch)?.is_some() {
        return Ok(false);
    }
    let Some(tip) = repo.ref_id(&format!("{}{}", record::PREFIX, spec.id))? else {
        return Ok(false);
    };
    let record = Record::read(repo, tip)?;
    let head = left(repo, &record).unwrap_or(record.code);
    repo.update_refs(&[RefUpdate {
        name: spec.branch.clone(),
        old: Expected::Absent,
        new: Some(head),
        reason: "agent: made again".to_owned(),
    }])?;
    Ok(true)
}

/// Where the session left its branch, if that commit is still there.
fn left(repo: &Repo, record: &Record) -> Option<ObjectId> {
    let hex = record.state.head.as_deref().unwrap_or(&record.spec.base.commit);
    ObjectId::from_hex(hex.as_bytes()).ok().filter(|id| repo.has_object(*id))
}

/// How to go on from a branch that was at `head` and is at `theirs`, with `code` the commit on top
/// of `head` that holds the files as they are.
fn way(
    repo: &Repo,
    branch: &str,
    head: ObjectId,
    code: ObjectId,
    theirs: ObjectId,
) -> Result<Way, ForeignError> {
    if was_made_here(repo, branch, theirs) {
        return Ok(Way::OnTop);
    }
    if !repo.is_ancestor(head, theirs)? {
        return Ok(Way::Rewritten);
    }
    Ok(match repo.merge_commits(code, theirs)? {
        Merge::Clean(tree) => Way::Merge(tree),
        Merge::Conflicts(files) => Way::Conflicts(files.into_iter().map(|it| it.path).collect()),
    })
}

/// Whether the last thing that git did to `HEAD` in this worktree led to this commit: then its
/// files are what whoever did it has left there.
///
/// git tells `HEAD` of a worktree and its branch the same, where it moves both from there, save at
/// the end of a rebase. Without a reflog nobody knows, and it counts as made elsewhere.
fn was_made_here(repo: &Repo, branch: &str, commit: ObjectId) -> bool {
    let last = |name: &str| {
        let log = ["reflog", "-1", "--date=raw", "--format=%H %gs %gd", name, "--"];
        let done = repo.git().args(log).run().ok()?;
        let line = String::from_utf8_lossy(&done.stdout).into_owned();
        let (said, date) = line.rsplit_once('@')?;
        let said = said.rsplit_once(' ').map_or(said, |(said, _name)| said);
        Some((said.to_owned(), date.to_owned()))
    };
    let Some(here) = last("HEAD") else { return false };
    let commit = commit.to_string();
    let led_there = here.0.split(' ').next() == Some(commit.as_str());
    let is_rebase = here.0.strip_prefix(&commit).is_some_and(|it| it.starts_with(" rebase"));
    led_there && (is_rebase || last(branch) == Some(here))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_model_is_told() {
        let id = ObjectId::from_hex(b"00112233445566778899aabbccddeeff00112233").unwrap();
        let paths = vec!["a".to_owned(), "b/c".to_owned()];
        let edits = Foreign { commit: Some(id), by_commit: false, paths };
        assert_eq!(
            edits.words(),
            "A person has edited files in your worktree meanwhile (001122334455). \
             Changed: a, b/c. Read them again before you edit them."
        );
        let many = (0..30).map(|n| n.to_string()).collect();
        let moved = Foreign { by_commit: true, paths: many, ..edits };
        let words = moved.words();
        assert!(words.starts_with("A person has moved your branch: it is at 001122334455 now."));
        assert!(words.contains("18, 19 and 10 more. Read"), "{words}");
    }
}
