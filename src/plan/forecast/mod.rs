//! Which sessions will collide, with each other and with the branch they are for.
//!
//! `side` says what is to be merged, `meeting` merges two of them in memory and looks at what
//! does not merge, `known` remembers it by the ids of what was merged, and `order` says which
//! to land first.
//!
//! Invariant: it says of each pair what `git merge-tree` says; nothing is written but what is
//! known, and that is asked only for the very commits it was found for.

mod known;
mod meeting;
mod order;
mod side;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::LandError;
use crate::git::{ObjectId, Repo};
use crate::session::state::{Phase, State};
use crate::session::store::Session;

use known::Known;
pub use known::{Standing, standing};
use meeting::Meetings;
pub use meeting::clashes;
use side::Side;

/// What is to be expected of a number of sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Every two of them.
    pub pairs: Vec<Pair>,
    /// Each of them, with the branch that it is for.
    pub targets: Vec<Pair>,
    /// Their ids, in the order of landing that conflicts least.
    pub order: Vec<String>,
    /// Sessions whose work somebody else has brought to its target: collides with nobody.
    pub landed: Vec<Brought>,
    /// Sessions that cannot be looked at, each with the reason.
    pub left_out: Vec<(String, String)>,
}

/// Work that is where it was to go, though nobody landed it here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brought {
    /// The session's id.
    pub session: String,
    /// The branch, in full.
    pub branch: String,
    /// The commit, in hex.
    pub commit: String,
}

/// Two that are to come together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// A session's id.
    pub a: String,
    /// Another's, or the name of a branch.
    pub b: String,
    /// Where they do not merge; none where they do.
    pub conflict: Option<Vec<Clashing>>,
}

/// A file that does not merge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clashing {
    /// Its path.
    pub path: String,
    /// Why: `lines`, `binary`, `both-added`, `one-gone`, `submodule`, `kinds`.
    pub kind: String,
    /// The lines that both changed, where it is about lines.
    pub hunks: Vec<Lines>,
    /// Who changed it last on the one side; none where nobody is known.
    pub a_by: Option<By>,
    /// And on the other.
    pub b_by: Option<By>,
}

/// The same lines in two versions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// In the one.
    pub a: Span,
    /// In the other.
    pub b: Span,
}

/// Some lines of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first, counted from 1; where there are none, the one before which they would be.
    pub start: u32,
    /// How many.
    pub lines: u32,
}

/// Who made a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// The commit, in hex.
    pub commit: String,
    /// Its author.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
}

/// Whether a session has something that is still to come together with others.
pub fn is_unfinished(state: &State) -> bool {
    !matches!(state.phase, Phase::Landed | Phase::Archived)
}

/// Looks at every two of these sessions, and at each with its target. What is known of commits that
/// have not moved is not found out again.
///
/// # Errors
/// An object cannot be read.
pub fn look(repo: &Repo, sessions: &[(Session, State)]) -> Result<Forecast, LandError> {
    let repo = repo.in_memory();
    let mut forecast = Forecast::default();
    let (mut sides, mut branches) = (Vec::new(), BTreeMap::new());
    for (session, state) in sessions {
        let found = Side::of(&repo, session, state).and_then(|side| {
            let branch = Side::target(&repo, session)?;
            Ok((side, branch))
        });
        match found {
            Ok((side, target)) => {
                if let Some(target) = &target {
                    branches.insert(target.id.clone(), target.clone());
                }
                sides.push((side, target.map(|target| target.id), session));
            }
            Err(LandError::Nothing(_)) => {}
            Err(error) => forecast.left_out.push((session.id.clone(), error.to_string())),
        }
    }
    let mut known = Known::open(&repo);
    let all = sides.iter().map(|(side, ..)| side).chain(branches.values());
    known.now(all, false);
    let mut meetings = Meetings::new(&repo);
    let mut unlanded = Vec::new();
    for (side, target, session) in sides {
        let branch = target.as_ref().and_then(|name| branches.get(name));
        match branch.map(|branch| meetings.brought(&mut known, &side, branch, session)) {
            Some(brought) => match brought? {
                Some(brought) => forecast.landed.push(brought),
                None => unlanded.push((side, target)),
            },
            None => unlanded.push((side, target)),
        }
    }
    let sides = unlanded;
    for (at, (a, _)) in sides.iter().enumerate() {
        for (b, _) in &sides[at + 1..] {
            forecast.pairs.push(meetings.of(&mut known, a, b)?);
        }
    }
    for (side, target) in &sides {
        if let Some(target) = target.as_ref().and_then(|name| branches.get(name)) {
            let pair = meetings.of(&mut known, side, target)?;
            forecast.targets.push(Pair { b: super::target::short(&pair.b).to_owned(), ..pair });
        }
    }
    known.write(&repo);
    let ids: Vec<_> = sides.iter().map(|(side, _)| side.id.clone()).collect();
    forecast.order = order::least(&ids, &forecast.pairs, &forecast.targets);
    Ok(forecast)
}

/// The unfinished sessions that change the same lines as this one, each with the files.
///
/// # Errors
/// An object cannot be read.
pub fn neighbours(
    repo: &Repo,
    session: &Session,
    others: &[Session],
) -> Result<Vec<Pair>, LandError> {
    let repo = repo.in_memory();
    let mut known = Known::open(&repo);
    let mut meetings = Meetings::new(&repo);
    let own = match Side::of(&repo, session, &session.state()?) {
        Err(LandError::Nothing(_)) => return Ok(Vec::new()),
        own => own?,
    };
    let mut sides = Vec::new();
    for other in others.iter().filter(|other| other.id != session.id) {
        // What cannot be read is no neighbour; `list` and `doctor` tell of it.
        let Ok(state) = other.state() else { continue };
        if !is_unfinished(&state) {
            continue;
        }
        if let Ok(side) = Side::of(&repo, other, &state) {
            sides.push(side);
        }
    }
    known.now(sides.iter().chain([&own]), false);
    let mut found = Vec::new();
    for side in &sides {
        let pair = meetings.of(&mut known, &own, side)?;
        if pair.conflict.is_some() {
            found.push(pair);
        }
    }
    known.write(&repo);
    Ok(found)
}

impl Pair {
    /// The same, seen from the other side.
    #[must_use]
    pub fn turned(self) -> Self {
        let turned = |files: Vec<Clashing>| files.into_iter().map(Clashing::turned).collect();
        Self { a: self.b, b: self.a, conflict: self.conflict.map(turned) }
    }
}

/// `src/shop.rs:10-14,20`, in the lines of the one side.
impl fmt::Display for Clashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        for (at, Lines { a: Span { start, lines }, .. }) in self.hunks.iter().enumerate() {
            f.write_str(if at == 0 { ":" } else { "," })?;
            write!(f, "{start}")?;
            if *lines > 1 {
                write!(f, "-{}", start + lines - 1)?;
            }
        }
        Ok(())
    }
}

impl By {
    fn of(repo: &Repo, commit: ObjectId) -> Result<Self, LandError> {
        let info = repo.read_commit(commit)?;
        let subject = info.message.lines().next().unwrap_or_default().to_owned();
        Ok(Self { commit: commit.to_string(), author: info.author.name, subject })
    }
}
