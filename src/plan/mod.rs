//! What a landing would do: decided whole before anything moves.
//!
//! [`work`] says what there is to land and whether it was verified, [`target`] where to, with the
//! [`checkout`]s that follow it; [`pick`] takes some of it, and [`resolve`] gives conflicts back to
//! the session. What comes of them is a [`Plan`]. [`forecast`] says of all sessions at once what
//! will collide.
//!
//! Invariant: deciding moves no ref and touches no file; through [`Repo::in_memory`] it writes
//! nothing at all.

pub mod checkout;
pub mod error;
pub mod forecast;
pub mod pick;
pub mod resolve;
mod same;
pub mod target;
pub mod work;

use std::path::Path;

pub use error::{LandError, Unverified};
use pick::{Pick, Replay};
use resolve::Resolution;
use target::Target;
use work::{Leftover, Work};

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
    /// The session's commits, each made again on top of the target.
    Rebase,
    /// The session's own commits; only where the target has none that they lack.
    FastForward,
}

impl Way {
    /// The word for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Squash => "squash",
            Self::Merge => "merge",
            Self::Rebase => "rebase",
            Self::FastForward => "fast-forward",
        }
    }

    /// Whether it makes one commit of its own, as `git commit` and `git merge` do.
    pub fn makes_commit(self) -> bool {
        matches!(self, Self::Squash | Self::Merge)
    }
}

/// How a landing is wished for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// The branch to land on, if not the one the session started from.
    pub into: Option<&'a str>,
    /// How.
    pub way: Way,
    /// What of it.
    pub pick: Pick<'a>,
    /// Land it without a run of its verify commands on what will be landed.
    pub unverified: bool,
    /// Run none of the user's hooks for commits.
    pub no_hooks: bool,
    /// Land the work of an experiment too.
    pub forced: bool,
    /// Commits whose work the target has in another shape, squashed or made again: those of the
    /// sessions that this one stands on.
    pub below: &'a [ObjectId],
    /// What the session has done about conflicts that it was told of.
    pub resolution: Option<&'a Resolution>,
    /// This program, which ends what it has started should it be killed.
    pub program: Option<&'a Path>,
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
    /// The commits that are made again, where each is.
    pub replays: Vec<Replay>,
    /// Whether that is all that the session has to land.
    pub is_all: bool,
    /// What changes on the target.
    pub stat: DiffStat,
    /// Whether this very tree was verified.
    pub verified: bool,
    /// Why it is verified first, where it must be.
    pub due: Option<Unverified>,
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
        Self::check_rests(session, state)?;
        let target = Target::find(repo, &session.spec, wish.into)?;
        Self::decide_for(repo, session, state, target, wish)
    }

    /// Refuses a session whose work nobody may take.
    ///
    /// # Errors
    /// It is not at rest.
    pub fn check_rests(session: &Session, state: &State) -> Result<(), LandError> {
        if state.phase == Phase::Landed || state.phase.may_become(Phase::Landed) {
            return Ok(());
        }
        Err(LandError::NotAtRest { id: session.id.clone(), phase: state.phase })
    }

    /// As [`Plan::decide`], for this target.
    ///
    /// # Errors
    /// Every reason not to land there.
    pub fn decide_for(
        repo: &Repo,
        session: &Session,
        state: &State,
        target: Target,
        wish: &Wish<'_>,
    ) -> Result<Self, LandError> {
        let id = &session.id;
        let whole = Work::of(repo, session, state)?;
        let known = stand_in(repo, target.tip, repo.tree_of(target.tip)?, wish)?;
        let base = repo.merge_base(known, whole.commit)?;
        let base = base.ok_or(git::RevisionError::Unrelated(target.tip, whole.commit))?;
        let span = Span { repo, session, target: &target, work: &whole, base, wish };
        span.check_new()?;
        let (work, mut is_all) = match wish.pick {
            Pick::Paths(paths) => pick::paths(repo, id, &whole, base, paths)?,
            Pick::All | Pick::Commits(_) => (whole.clone(), true),
        };
        let span = Span { work: &work, ..span };
        let (mut way, mut replays) = (wish.way, Vec::new());
        let tree = if way == Way::Rebase || matches!(wish.pick, Pick::Commits(_)) {
            let (commits, all) = pick::commits(repo, id, &work, base, wish.pick)?;
            is_all &= all;
            replays = match pick::replay(repo, id, &target, &commits) {
                Err(error @ LandError::Conflicts { .. }) => {
                    return Err(match span.brought()? {
                        landed @ Some(_) => span.landed(landed),
                        None => error,
                    });
                }
                replays => replays?,
            };
            let Some(last) = replays.last() else { return Err(span.landed(span.landing()?)) };
            let tree = last.tree;
            match way {
                // They are where they would be made again.
                Way::Rebase if is_all && base == target.tip => {
                    (way, replays) = (Way::FastForward, Vec::new());
                }
                Way::Rebase => {}
                _ => replays.clear(),
            }
            tree
        } else {
            span.merge(way)?
        };
        if session.spec.experiment && !wish.forced {
            return Err(LandError::Experiment(id.clone()));
        }
        let left_behind = left_behind(repo, session, &whole)?;
        let branch = target.name();
        let (verified, due) = match whole.standing(&session.spec, state, tree, branch) {
            Err(why) if !wish.unverified => {
                return Err(LandError::Unverified { id: id.clone(), why });
            }
            Err(why) => (false, Some(why)),
            Ok(standing) => standing,
        };
        let (due, unverified) = if wish.unverified { (None, due) } else { (due, None) };
        let commits = match replays.len() {
            0 => {
                let commits = repo.commits_between(known, work.commit)?.len();
                // What holds the work that the branch never got is none of its commits.
                let is_apart = !work.on_branch && repo.ref_id(&session.spec.branch)?.is_some();
                commits.saturating_sub(usize::from(is_apart))
            }
            replayed => replayed,
        };
        let mut plan = Self {
            target,
            work,
            way,
            tree,
            commits,
            replays,
            is_all,
            stat: DiffStat::default(),
            verified,
            due,
            unverified,
            left_behind,
        };
        plan.land_on(repo, tree)?;
        repo.identity().map_err(LandError::Identity)?;
        Ok(plan)
    }

    /// Takes this tree for the one that lands, if the checkouts of the target can follow.
    ///
    /// # Errors
    /// Files there are in the way.
    pub fn land_on(&mut self, repo: &Repo, tree: ObjectId) -> Result<(), LandError> {
        let old_tree = repo.tree_of(self.target.tip)?;
        for checkout in &self.target.checkouts {
            checkout.rehearse(repo, old_tree, tree)?;
        }
        self.stat = repo.diff_stat(old_tree, tree)?;
        self.tree = tree;
        Ok(())
    }
}

/// The commit that brought a session's work to a branch at `tip`, where somebody else did.
///
/// # Errors
/// An object cannot be read.
pub(super) fn brought_by(
    repo: &Repo,
    session: &Session,
    commit: ObjectId,
    branch: &str,
    tip: ObjectId,
) -> Result<Option<ObjectId>, LandError> {
    let Some(base) = repo.merge_base(tip, commit)? else { return Ok(None) };
    let (base_tree, tree) = (repo.tree_of(base)?, repo.tree_of(commit)?);
    // Only where each of its paths has changed there can all of it be there.
    let ours = repo.changed_paths(base_tree, repo.tree_of(tip)?)?;
    if base != commit && !ours.covers(&repo.changed_paths(base_tree, tree)?) {
        return Ok(None);
    }
    let target = Target { branch: branch.to_owned(), tip, checkouts: Vec::new() };
    let work = Work { commit, tree, on_branch: true };
    let wish = Wish::default();
    let span = Span { repo, session, target: &target, work: &work, base, wish: &wish };
    match span.check_new().and_then(|()| span.merge(Way::Squash)) {
        Err(LandError::AlreadyLanded { commit, .. }) => Ok(commit),
        Ok(_) | Err(LandError::Nothing(_) | LandError::Conflicts { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The target for a merge alone: with this tree, and as if all that it has in another shape were
/// in its history.
fn stand_in(
    repo: &Repo,
    tip: ObjectId,
    tree: ObjectId,
    wish: &Wish<'_>,
) -> Result<ObjectId, LandError> {
    if wish.below.is_empty() && tree == repo.tree_of(tip)? {
        return Ok(tip);
    }
    pick::like(repo, tip, tree, &[&[tip], wish.below].concat())
}

/// What lies between the target and the work.
struct Span<'a> {
    repo: &'a Repo,
    session: &'a Session,
    target: &'a Target,
    work: &'a Work,
    base: ObjectId,
    wish: &'a Wish<'a>,
}

impl Span<'_> {
    /// Refuses where the target has all of it already.
    fn check_new(&self) -> Result<(), LandError> {
        let Self { repo, session, work, base, .. } = self;
        if repo.tree_of(*base)? == work.tree {
            // The branch may have been fast-forwarded to, or have moved nowhere.
            let start = repo.resolve_commit(session.spec.first_commit())?;
            let moved = repo.tree_of(start)? != work.tree;
            return Err(if moved { self.landed(Some(work.commit)) } else { self.nothing() });
        }
        Ok(())
    }

    /// The tree that the target will have.
    fn merge(&self, way: Way) -> Result<ObjectId, LandError> {
        let Self { repo, session, target, work, base, wish } = self;
        if way == Way::FastForward {
            if *base != target.tip {
                let (branch, id) = (target.name().to_owned(), session.id.clone());
                return Err(LandError::NotFastForward { branch, id });
            }
            if !work.on_branch {
                return Err(LandError::NoCommits(session.id.clone()));
            }
        }
        let side = match wish.resolution {
            Some(resolution) => resolution.side(repo, target.tip, work)?,
            None => repo.tree_of(target.tip)?,
        };
        let ours = stand_in(repo, target.tip, side, wish)?;
        match repo.merge_commits(ours, work.commit)? {
            Merge::Clean(tree) if tree == repo.tree_of(target.tip)? => {
                Err(self.landed(self.landing()?))
            }
            Merge::Clean(tree) => Ok(tree),
            Merge::Conflicts(found) => Err(match self.landing_under(&found)? {
                Some(commit) => self.landed(Some(commit)),
                None => LandError::Conflicts {
                    branch: target.name().to_owned(),
                    id: session.id.clone(),
                    files: forecast::clashes(repo, &found, *base, target.tip, work.commit)?,
                },
            }),
        }
    }

    /// The commit of the target that brought the work, where nothing of it is left to land.
    fn brought(&self) -> Result<Option<ObjectId>, LandError> {
        let Self { repo, target, work, .. } = self;
        match repo.merge_commits(target.tip, work.commit)? {
            Merge::Clean(tree) if tree == repo.tree_of(target.tip)? => self.landing(),
            Merge::Clean(_) => Ok(None),
            Merge::Conflicts(found) => self.landing_under(&found),
        }
    }

    /// As [`Span::landing`], where the target has changed so since that these paths conflict. A
    /// path that the session did not change is one that its work has moved to on the target, a file
    /// that it deleted, say: that work is not there.
    fn landing_under(&self, found: &[git::Clash]) -> Result<Option<ObjectId>, LandError> {
        let entries = self.entries()?;
        let is_known = |clash: &git::Clash| {
            entries.iter().any(|(path, _)| String::from_utf8_lossy(path) == clash.path)
        };
        if found.iter().all(is_known) { self.landing() } else { Ok(None) }
    }

    /// Every path that the session changed, as the session left it.
    fn entries(&self) -> Result<Vec<(git::BString, Option<git::TreeEntry>)>, LandError> {
        let Self { repo, work, base, .. } = self;
        let mut entries = Vec::new();
        for file in repo.diff_stat(repo.tree_of(*base)?, work.tree)?.paths {
            if let git::Status::Renamed(from) = file.status {
                entries.push((from, None));
            }
            let entry = repo.entry(work.tree, &file.path)?;
            entries.push((file.path, entry));
        }
        Ok(entries)
    }

    /// The commit of the target that brought the work, recognised by content: the first in which
    /// every path that the session changed is as the session left it. Neither ancestry nor a
    /// message decides, since a squash or a rebase elsewhere changes both.
    fn landing(&self) -> Result<Option<ObjectId>, LandError> {
        // So far back is it looked for.
        const COMMITS: usize = 500;
        let Self { repo, target, base, .. } = self;
        let entries = self.entries()?;
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
