//! From what a person types to a commit, and how commits lie to each other.
//!
//! Invariant: what is typed is never taken for an option.

use gix::bstr::ByteSlice;

use crate::git::ObjectId;
use crate::git::cause::Cause;
use crate::git::command::{self, GitError};
use crate::git::repo::Repo;

/// Why a revision was not found, or a history not walked.
#[derive(Debug, thiserror::Error)]
pub enum RevisionError {
    /// It names no commit.
    #[error("'{0}' is not a commit")]
    NotACommit(String),
    /// The two share no commit that is here.
    #[error("{0} and {1} have no commit in common")]
    Unrelated(ObjectId, ObjectId),
    /// git could not be asked.
    #[error(transparent)]
    Git(GitError),
    /// The history could not be read; in a shallow clone it may end too early.
    #[error("cannot read the history of {tip}")]
    History {
        /// Where the walk began.
        tip: ObjectId,
        /// What stood in the way.
        #[source]
        source: Cause,
    },
}

impl Repo {
    /// The commit that a revision names, in any form of gitrevisions(7), tags peeled.
    ///
    /// # Errors
    /// [`RevisionError::NotACommit`] if it names none, or more than one.
    pub fn resolve_commit(&self, revision: &str) -> Result<ObjectId, RevisionError> {
        // A whole id needs no search, and where the object is a commit, no git.
        if let Ok(id) = ObjectId::from_hex(revision.as_bytes())
            && id.kind() == self.gix().object_hash()
            && let Ok(commit) = self.gix().find_commit(id)
        {
            return Ok(commit.id);
        }
        // git itself, since its forms are many (`@{-1}`, `:/text`, `@{yesterday}`) and this is for
        // what a person types: once a command.
        let cmd = self.git().args(["rev-parse", "--verify", "--quiet", "--end-of-options"]);
        let not_a_commit = || RevisionError::NotACommit(revision.to_owned());
        let id = match command::succeed(&cmd.arg(revision)) {
            Ok(line) => ObjectId::from_hex(line.trim_end()).map_err(|_| not_a_commit())?,
            Err(GitError::Refused { .. }) => return Err(not_a_commit()),
            Err(error) => return Err(RevisionError::Git(error)),
        };
        // Peeled here and not by `^{commit}`: behind `:/text` that would be text as well.
        let object = self.gix().find_object(id).map_err(|_| not_a_commit())?;
        object.peel_to_commit().map(|commit| commit.id).map_err(|_| not_a_commit())
    }

    /// The commits from `base`, exclusive, to `tip`, oldest first, along first parents.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn commits_between(
        &self,
        base: ObjectId,
        tip: ObjectId,
    ) -> Result<Vec<ObjectId>, RevisionError> {
        let failed = |source: gix::Error| RevisionError::History { tip, source: source.into() };
        let walk = self.gix().rev_walk([tip]).with_hidden([base]).first_parent_only();
        let mut commits = Vec::new();
        for info in walk.all().map_err(failed)? {
            commits.push(info.map_err(failed)?.id);
        }
        commits.reverse();
        Ok(commits)
    }

    /// All commits in the history of `tip` and not in that of `known`, no commit before one of its
    /// children. What of `known` is not here is left out.
    ///
    /// # Errors
    /// git cannot be asked, or an object is missing.
    pub fn commits_beyond(
        &self,
        tip: ObjectId,
        known: &[ObjectId],
    ) -> Result<Vec<ObjectId>, RevisionError> {
        let mut lines = format!("{tip}\n");
        let here = known.iter().filter(|id| self.has_object(**id));
        lines.extend(here.map(|id| format!("^{id}\n")));
        // git itself: it walks thousands of known tips at once.
        let cmd = self.git().args(["rev-list", "--topo-order", "--stdin"]).stdin(lines);
        let listed = command::succeed(&cmd).map_err(RevisionError::Git)?;
        let ids = listed.lines().map(ObjectId::from_hex).collect::<Result<_, _>>();
        ids.map_err(|source| RevisionError::History { tip, source: source.into() })
    }

    /// As [`Repo::commits_beyond`], in any order, for a few known commits; none where there are
    /// more than `limit`.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn few_beyond(
        &self,
        tip: ObjectId,
        known: &[ObjectId],
        limit: usize,
    ) -> Result<Option<Vec<ObjectId>>, RevisionError> {
        let failed = |source: gix::Error| RevisionError::History { tip, source: source.into() };
        let known = known.iter().copied().filter(|id| self.has_object(*id));
        let walk = self.gix().rev_walk([tip]).with_hidden(known);
        let mut commits = Vec::new();
        for info in walk.all().map_err(failed)? {
            if commits.len() == limit {
                return Ok(None);
            }
            commits.push(info.map_err(failed)?.id);
        }
        Ok(Some(commits))
    }

    /// The full name of the ref that a revision is called by; none where it is no ref's name.
    ///
    /// # Errors
    /// git cannot be asked.
    pub fn full_name(&self, revision: &str) -> Result<Option<String>, RevisionError> {
        let ask = ["rev-parse", "--symbolic-full-name", "--verify", "--quiet", "--end-of-options"];
        match command::succeed(&self.git().args(ask).arg(revision)) {
            Ok(line) => {
                // Some versions of git print the marker too.
                let name = line.lines().next_back().unwrap_or_default().to_str_lossy().into_owned();
                Ok(Some(name).filter(|name| name.starts_with("refs/")))
            }
            Err(GitError::Refused { .. }) => Ok(None),
            Err(error) => Err(RevisionError::Git(error)),
        }
    }

    /// The commit that an object is or, as a tag, stands for; none for trees and blobs.
    pub fn peel_to_commit(&self, id: ObjectId) -> Option<ObjectId> {
        let object = self.gix().find_object(id).ok()?;
        object.peel_to_commit().ok().map(|commit| commit.id)
    }

    /// Whether `ancestor` is `descendant` itself or in its history.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn is_ancestor(
        &self,
        ancestor: ObjectId,
        descendant: ObjectId,
    ) -> Result<bool, RevisionError> {
        Ok(ancestor == descendant || self.merge_base(ancestor, descendant)? == Some(ancestor))
    }

    /// All best common ancestors: more than one where histories were merged crosswise.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn merge_bases(
        &self,
        one: ObjectId,
        other: ObjectId,
    ) -> Result<Vec<ObjectId>, RevisionError> {
        match self.gix().merge_bases_many(one, &[other]) {
            Ok(ids) => Ok(ids.into_iter().map(gix::Id::detach).collect()),
            Err(source) => Err(RevisionError::History { tip: other, source: source.into() }),
        }
    }

    /// The best common ancestor; none if the two share no history that is here.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn merge_base(
        &self,
        one: ObjectId,
        other: ObjectId,
    ) -> Result<Option<ObjectId>, RevisionError> {
        match self.gix().merge_base(one, other) {
            Ok(id) => Ok(id.map(gix::Id::detach)),
            Err(source) => Err(RevisionError::History { tip: other, source: source.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    #[test]
    fn what_a_person_types_is_a_commit_or_refused() {
        for kind in [&[][..], &["--object-format=sha256"], &["--ref-format=reftable"]] {
            let fixture = Fixture::with_commit(kind);
            let one = fixture.id("HEAD");
            fixture.git(&["tag", "-m", "a tag", "v1"]);
            fixture.git(&["update-ref", "refs/heads/--all", "HEAD"]);
            let two = fixture.commit(&[("a", "two\n")]);
            let repo = fixture.repo();
            for (typed, id) in [
                ("HEAD", two),
                ("main", two),
                ("v1", one),
                ("HEAD~1", one),
                ("@{1}", one),
                (":/a commit", fixture.id(":/a commit")),
                ("--all", one),
                (&one.to_string()[..8], one),
            ] {
                assert_eq!(repo.resolve_commit(typed).unwrap(), id, "{kind:?} {typed}");
            }
            for typed in [
                "",
                "nothing",
                "HEAD^{tree}",
                "HEAD:a",
                "--help",
                "-x",
                "HEAD~9",
                "HEAD\nmain",
                "HEAD..v1",
            ] {
                let refused = repo.resolve_commit(typed);
                assert!(
                    matches!(&refused, Err(RevisionError::NotACommit(what)) if what == typed),
                    "{kind:?} {typed:?}: {refused:?}"
                );
            }
        }
    }

    #[test]
    fn history_is_walked_along_first_parents() {
        for kind in [&[][..], &["--ref-format=reftable"]] {
            let fixture = Fixture::with_commit(kind);
            let base = fixture.id("HEAD");
            fixture.git(&["checkout", "-q", "-b", "side"]);
            let side = fixture.commit(&[("s", "s")]);
            fixture.git(&["checkout", "-q", "main"]);
            let one = fixture.commit(&[("m", "m")]);
            fixture.git(&["merge", "-q", "--no-edit", "side"]);
            let merge = fixture.id("HEAD");
            let repo = fixture.repo();
            assert_eq!(repo.commits_between(base, merge).unwrap(), [one, merge]);
            assert!(repo.commits_between(merge, merge).unwrap().is_empty());
            assert_eq!(repo.merge_base(one, side).unwrap(), Some(base));
            assert!(repo.is_ancestor(side, merge).unwrap());
            assert!(repo.is_ancestor(side, side).unwrap());
            assert!(!repo.is_ancestor(merge, side).unwrap());
            fixture.git(&["checkout", "-q", "--orphan", "alone"]);
            let alone = fixture.commit(&[]);
            assert_eq!(repo.merge_base(alone, merge).unwrap(), None);
            assert!(!repo.is_ancestor(alone, merge).unwrap());
        }
    }

    #[test]
    fn a_shallow_history_ends_early_and_says_so() {
        let fixture = Fixture::with_commit(&[]);
        fixture.git(&["branch", "other"]);
        fixture.commit(&[("a", "two\n")]);
        fixture.commit(&[("a", "three\n")]);
        let clone = fixture.beside("clone");
        let source = format!("file://{}", fixture.root.display());
        fixture.git(&[
            "clone",
            "-q",
            "--depth=1",
            "--no-single-branch",
            &source,
            clone.to_str().unwrap(),
        ]);
        let repo = fixture.repo_at(&clone, &[]);
        let (main, other) = (fixture.id("main"), fixture.id("other"));
        assert_eq!(repo.merge_base(main, other).unwrap(), None);
        assert_eq!(repo.commits_between(other, main).unwrap(), [main]);
    }
}
