//! Other sessions that change the same lines: the person of each of the two is told once, while
//! there is time to steer one of them.
//!
//! Invariant: looking costs the session nothing but time, and not much of that; what cannot be
//! looked at is left to `conflicts`.

use std::time::{Duration, Instant};

use super::world::SessionWorld;
use crate::agent::{Fault, Moment, World};
use crate::event::Update;
use crate::plan::LandError;
use crate::plan::forecast::{self, Pair};
use crate::session::lock::LockError;
use crate::session::state::Phase;
use crate::session::store::{SessionError, Store};
use crate::session::tell;

/// How often a session looks around while a turn goes on.
const LOOK: Duration = Duration::from_secs(60);
/// So many files are named.
const FILES: usize = 3;

impl SessionWorld<'_> {
    /// Tells of sessions that collide with this one, unless it is known: at the end of each turn,
    /// and now and then before.
    pub(super) fn look_around(&mut self, at: Moment) -> Result<(), Fault> {
        if at == Moment::Step && self.looked.elapsed() < LOOK {
            return Ok(());
        }
        self.looked = Instant::now();
        let found = match self.neighbours() {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "who collides with this session is not known");
                return Ok(());
            }
        };
        let news: Vec<_> =
            found.into_iter().filter(|pair| !self.state.neighbours.contains(&pair.b)).collect();
        if news.is_empty() {
            return Ok(());
        }
        self.state.neighbours.extend(news.iter().map(|pair| pair.b.clone()));
        let notices = news.iter().map(|pair| Update::Notice(words(pair))).collect();
        self.record(self.state.step, notices)?;
        for pair in news {
            let id = pair.b.clone();
            if let Err(error) = self.tell_at_rest(pair) {
                tracing::warn!(session = id, %error, "it is not told of this one");
            }
        }
        self.write_state()
    }

    /// Tells the other session, where it rests; one that is at work looks around by itself.
    fn tell_at_rest(&self, pair: Pair) -> Result<(), SessionError> {
        let rests = |phase: Phase| {
            use Phase::{Done, Failed, NeedsInput, Paused, Stopped};
            matches!(phase, Done | Failed | NeedsInput | Paused | Stopped)
        };
        let store = Store::open(self.checkpoints.repo().common_dir());
        let Ok(other) = store.session(&pair.b) else { return Ok(()) };
        if !rests(other.state()?.phase) || other.holder()?.is_some() {
            return Ok(());
        }
        let (_lock, mut state) = match other.lock() {
            Err(SessionError::Lock { error: LockError::Held { .. }, .. }) => return Ok(()),
            held => held?,
        };
        if rests(state.phase) && !state.neighbours.contains(&pair.a) {
            state.neighbours.push(pair.a.clone());
            tell::notice(&other, &mut state, words(&pair.turned()))?;
        }
        Ok(())
    }

    /// Other attempts at the same task are none: they are to be alike.
    fn neighbours(&self) -> Result<Vec<Pair>, LandError> {
        let repo = self.checkpoints.repo();
        let mut others = Store::open(repo.common_dir()).list()?.sessions;
        if let Some(attempt) = &self.session.spec.attempt {
            others.retain(|other| {
                other.spec.attempt.as_ref().is_none_or(|its| its.group != attempt.group)
            });
        }
        forecast::neighbours(repo, self.session, &others)
    }
}

/// `changes the same as fix-login-7f3k: src/login.rs:10-14`.
fn words(pair: &Pair) -> String {
    let files = pair.conflict.iter().flatten();
    let named: Vec<_> = files.clone().take(FILES).map(ToString::to_string).collect();
    let more = match files.count().saturating_sub(FILES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("changes the same as {}: {}{more}", pair.b, named.join(", "))
}
