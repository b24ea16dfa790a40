//! What a landing would do: decided whole before anything moves.
//!
//! Invariant: deciding moves no ref and touches no file; through [`Repo::in_memory`] it writes
//! nothing at all.

use super::forecast;
use super::target::Target;
use super::work::{self, Leftover, Work};
use super::{LandError, Unverified};
use crate::git::{self, DiffStat, Merge, ObjectId, Repo};
use crate::session::state::{Phase, State};
use crate::session::store::Session;

/// How work becomes commits of the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// One commit with all of it.
    #[default]
    Squash,
    /// A merge commit, with the session's branch as its second parent.
    Merge,
    /// The session's own commits; only where the target has none that they lack.
    FastForward,
}

impl Way {
    /// The word for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Squash => "squash",
            Self::Merge => "merge",
            Self::FastForward => "fast-forward",
        }
    }
}

/// How a landing is wished for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// The branch to land on, if not the one the session started from.
    pub into: Option<&'a str>,
    /// How.
    pub way: Way,
    /// Land also what was not verified, or not verified together with what is new on the target.
    pub unverified: bool,
}

/// A landing, decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where to.
    pub target: Target,
    /// What.
    pub work: Work,
    /// How.
    pub way: Way,
    /// The tree that the target will have.
    pub tree: ObjectId,
    /// How many commits of the session are in it.
    pub commits: usize,
    /// What changes on the target.
    pub stat: DiffStat,
    /// Whether this very tree was verified.
    pub verified: bool,
    /// Why it was not, where it should have been and the wish was to land it all the same.
    pub unverified: Option<Unverified>,
    /// New files in the worktree that no commit holds: they stay there.
    pub left_behind: Vec<String>,
}

impl Plan {
    /// Decides a landing.
    ///
    /// # Errors
    /// Every reason not to land.
    pub fn decide(
        repo: &Repo,
        session: &Session,
        state: &State,
        wish: &Wish<'_>,
    ) -> Result<Self, LandError> {
        let id = &session.id;
        if state.phase != Phase::Landed && !state.phase.may_become(Phase::Landed) {
            return Err(LandError::NotAtRest { id: id.clone(), phase: state.phase });
        }
        let target = Target::find(repo, &session.spec, wish.into)?;
        let work = Work::of(repo, session, state)?;
        let base = repo.merge_base(target.tip, work.commit)?;
        let base = base.ok_or(git::RevisionError::Unrelated(target.tip, work.commit))?;
        let span = Span { repo, session, target: &target, work: &work, base };
        let tree = span.merge(wish.way)?;
        let left_behind = left_behind(repo, session, &work)?;
        let verified = work.verified(&session.spec, state).and_then(|verified| {
            if !verified || tree == work.tree {
                return Ok(verified);
            }
            let command = state.verify.as_ref().map(|record| record.command.clone());
            let branch = target.name().to_owned();
            Err(Unverified::TargetMoved { command: command.unwrap_or_default(), branch })
        });
        let (verified, unverified) = match verified {
            Ok(verified) => (verified, None),
            Err(why) if wish.unverified => (false, Some(why)),
            Err(why) => return Err(LandError::Unverified { id: id.clone(), why }),
        };
        let old_tree = repo.tree_of(target.tip)?;
        for checkout in &target.checkouts {
            checkout.rehearse(repo, old_tree, tree)?;
        }
        repo.identity().map_err(LandError::Identity)?;
        let mut commits = repo.commits_between(target.tip, work.commit)?.len();
        if !work.on_branch && repo.ref_id(&session.spec.branch)?.is_some() {
            // What holds the work that the branch never got is none of its commits.
            commits = commits.saturating_sub(1);
        }
        let stat = repo.diff_stat(old_tree, tree)?;
        let way = wish.way;
        Ok(Self { target, work, way, tree, commits, stat, verified, unverified, left_behind })
    }
}

/// What lies between the target and the work.
struct Span<'a> {
    repo: &'a Repo,
    session: &'a Session,
    target: &'a Target,
    work: &'a Work,
    base: ObjectId,
}

impl Span<'_> {
    /// The tree that the target will have.
    fn merge(&self, way: Way) -> Result<ObjectId, LandError> {
        let Self { repo, session, target, work, base } = self;
        if repo.tree_of(*base)? == work.tree {
            // The branch may have been fast-forwarded to, or have moved nowhere.
            let start = repo.resolve_commit(&session.spec.base.commit)?;
            let moved = repo.tree_of(start)? != work.tree;
            return Err(if moved { self.landed(Some(work.commit)) } else { self.nothing() });
        }
        if way == Way::FastForward {
            if *base != target.tip {
                let (branch, id) = (target.name().to_owned(), session.id.clone());
                return Err(LandError::NotFastForward { branch, id });
            }
            if !work.on_branch {
                return Err(LandError::NoCommits(session.id.clone()));
            }
        }
        match repo.merge_commits(target.tip, work.commit)? {
            Merge::Clean(tree) if tree == repo.tree_of(target.tip)? => {
                Err(self.landed(self.landing()?))
            }
            Merge::Clean(tree) => Ok(tree),
            Merge::Conflicts(found) => Err(match self.landing()? {
                Some(commit) => self.landed(Some(commit)),
                None => LandError::Conflicts {
                    branch: target.name().to_owned(),
                    id: session.id.clone(),
                    files: forecast::clashes(repo, &found, *base, target.tip, work.commit)?,
                },
            }),
        }
    }

    /// The commit of the target that brought the work, recognised by content: the first in which
    /// every path that the session changed is as the session left it. Neither ancestry nor a
    /// message decides, since a squash or a rebase elsewhere changes both.
    fn landing(&self) -> Result<Option<ObjectId>, LandError> {
        // So far back is it looked for.
        const COMMITS: usize = 500;
        let Self { repo, target, work, base, .. } = self;
        let mut entries = Vec::new();
        for file in repo.diff_stat(repo.tree_of(*base)?, work.tree)?.paths {
            if let git::Status::Renamed(from) = file.status {
                entries.push((from, None));
            }
            let entry = repo.entry(work.tree, &file.path)?;
            entries.push((file.path, entry));
        }
        for commit in repo.commits_between(*base, target.tip)?.into_iter().take(COMMITS) {
            let tree = repo.tree_of(commit)?;
            let mut same = true;
            for (path, entry) in &entries {
                same &= repo.entry(tree, path)? == *entry;
                if !same {
                    break;
                }
            }
            if same {
                return Ok(Some(commit));
            }
        }
        Ok(None)
    }

    fn landed(&self, commit: Option<ObjectId>) -> LandError {
        let (id, branch) = (self.session.id.clone(), self.target.name().to_owned());
        LandError::AlreadyLanded { id, branch, commit }
    }

    fn nothing(&self) -> LandError {
        LandError::Nothing(self.session.id.clone())
    }
}

/// Refuses where tracked files of the worktree differ from the work; says which new files it has.
fn left_behind(repo: &Repo, session: &Session, work: &Work) -> Result<Vec<String>, LandError> {
    let Some(worktree) = work::worktree(repo, session)? else { return Ok(Vec::new()) };
    let on_branch = match worktree.head()? {
        git::Head::Branch { name, .. } => name == session.spec.branch,
        // Where a person has taken it elsewhere, its files are not the session's.
        git::Head::Unborn(_) | git::Head::Detached(_) => false,
    };
    if !on_branch {
        return Ok(Vec::new());
    }
    let Leftover { changed, untracked } = Leftover::of(&worktree, work.tree)?;
    if changed.is_empty() {
        return Ok(untracked);
    }
    Err(LandError::Uncommitted { worktree: session.spec.worktree.clone(), paths: changed })
}
