//! Sessions whose supervisor died.
//!
//! Invariant: none goes on by itself: that costs money, and is a person's to say.

use super::Problem;
use crate::session::state::Phase;
use crate::session::store::Session;

pub(super) fn find<'a>(sessions: &[Session]) -> Vec<Problem<'a>> {
    let mut found = Vec::new();
    for session in sessions {
        // One that cannot be read is told of by whoever lists the sessions.
        let Ok(state) = session.state() else { continue };
        if state.phase == Phase::Interrupted {
            let what = format!("{} is interrupted: {}", session.id, state.reason);
            found.push(
                Problem::new("session", what).hint(format!("git agent resume {}", session.id)),
            );
        }
    }
    found
}
