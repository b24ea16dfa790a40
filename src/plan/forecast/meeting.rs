//! Two sides merged in memory, and what does not merge looked at.
//!
//! Invariant: two that change no path in common are clean without a merge; any other pair is
//! merged as git merges it.

use std::collections::HashMap;
use std::rc::Rc;

use super::known::Known;
use super::side::Side;
use super::{Brought, By, Clashing, LandError, Lines, Pair, Span};
use crate::git::{ChangedPaths, Clash, Merge, ObjectId, Repo};
use crate::plan::brought_by;
use crate::session::store::Session;

/// Merges many pairs, and reads what they have in common once.
pub(super) struct Meetings<'a> {
    repo: &'a Repo,
    /// By base and tip.
    changed: HashMap<(ObjectId, ObjectId), Rc<ChangedPaths>>,
}

impl<'a> Meetings<'a> {
    pub(super) fn new(repo: &'a Repo) -> Self {
        Self { repo, changed: HashMap::new() }
    }

    /// What becomes of these two.
    ///
    /// # Errors
    /// An object cannot be read.
    pub(super) fn of(&mut self, known: &mut Known, a: &Side, b: &Side) -> Result<Pair, LandError> {
        let conflict = match known.of(a, b) {
            Some(conflict) => conflict,
            None => {
                let conflict = self.find(a, b)?;
                known.learn(a, b, conflict.clone());
                conflict
            }
        };
        Ok(Pair { a: a.id.clone(), b: b.id.clone(), conflict })
    }

    /// Who brought the work to its branch, where somebody else did.
    ///
    /// # Errors
    /// An object cannot be read.
    pub(super) fn brought(
        &mut self,
        known: &mut Known,
        side: &Side,
        branch: &Side,
        session: &Session,
    ) -> Result<Option<Brought>, LandError> {
        if known.of(side, branch).is_some() {
            return Ok(known.brought(side));
        }
        let (tip, short) = (branch.commit, &branch.id);
        let commit = brought_by(self.repo, session, side.commit, short, tip)?;
        let Some(commit) = commit else { return Ok(None) };
        let (session, branch_name) = (side.id.clone(), branch.id.clone());
        let brought = Brought { session, branch: branch_name, commit: commit.to_string() };
        known.learn(side, branch, None);
        known.learn_brought(brought.clone());
        Ok(Some(brought))
    }

    fn find(&mut self, a: &Side, b: &Side) -> Result<Option<Vec<Clashing>>, LandError> {
        let bases = self.repo.merge_bases(a.commit, b.commit)?;
        match bases.as_slice() {
            // Nothing in common: no merge brings them together.
            [] => return Ok(Some(Vec::new())),
            [base] if *base == a.commit || *base == b.commit => return Ok(None),
            [base] => {
                let ours = self.changed(*base, a.commit)?;
                if !ours.meets(&*self.changed(*base, b.commit)?) {
                    return Ok(None);
                }
            }
            _ => {}
        }
        match self.repo.merge_commits(a.commit, b.commit)? {
            Merge::Clean(_) => Ok(None),
            Merge::Conflicts(found) => {
                clashes(self.repo, &found, bases[0], a.commit, b.commit).map(Some)
            }
        }
    }

    fn changed(&mut self, base: ObjectId, tip: ObjectId) -> Result<Rc<ChangedPaths>, LandError> {
        if let Some(known) = self.changed.get(&(base, tip)) {
            return Ok(Rc::clone(known));
        }
        let (old, new) = (self.repo.tree_of(base)?, self.repo.tree_of(tip)?);
        let changed = Rc::new(self.repo.changed_paths(old, new)?);
        self.changed.insert((base, tip), Rc::clone(&changed));
        Ok(changed)
    }
}

/// What a person needs to know of files that do not merge: which lines, and who changed them on
/// the two sides since their common base.
///
/// # Errors
/// An object cannot be read.
pub fn clashes(
    repo: &Repo,
    found: &[Clash],
    base: ObjectId,
    a: ObjectId,
    b: ObjectId,
) -> Result<Vec<Clashing>, LandError> {
    let histories = [History::of(repo, base, a)?, History::of(repo, base, b)?];
    let mut clashing = Vec::new();
    for clash in found {
        let (kind, hunks) = clash.look(repo)?;
        let span = |range: std::ops::Range<u32>| Span {
            start: range.start + 1,
            lines: range.end - range.start,
        };
        let hunks = hunks.into_iter();
        let [a_by, b_by] = &histories;
        clashing.push(Clashing {
            path: clash.path.clone(),
            kind: kind.as_str().to_owned(),
            hunks: hunks.map(|it| Lines { a: span(it.ours), b: span(it.theirs) }).collect(),
            a_by: a_by.last_to_change(repo, &clash.path)?,
            b_by: b_by.last_to_change(repo, &clash.path)?,
        });
    }
    Ok(clashing)
}

/// The trees of one side, from the base on.
struct History(Vec<(ObjectId, ObjectId)>);

impl History {
    fn of(repo: &Repo, base: ObjectId, tip: ObjectId) -> Result<Self, LandError> {
        // So far back is it looked for.
        const COMMITS: usize = 200;
        let commits = repo.commits_between(base, tip)?;
        let late = commits.len().saturating_sub(COMMITS);
        let commits = [base].into_iter().chain(commits[late..].iter().copied());
        let trees = commits.map(|commit| Ok((commit, repo.tree_of(commit)?)));
        trees.collect::<Result<_, LandError>>().map(Self)
    }

    fn last_to_change(&self, repo: &Repo, path: &str) -> Result<Option<By>, LandError> {
        for pair in self.0.windows(2).rev() {
            let [(_, before), (commit, after)] = pair else { continue };
            if before != after && repo.entry(*before, path)? != repo.entry(*after, path)? {
                return By::of(repo, *commit).map(Some);
            }
        }
        Ok(None)
    }
}
