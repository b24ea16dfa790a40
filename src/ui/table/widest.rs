//! How wide the columns of a table are, in each form that a layout may give them.
//!
//! Invariant: each session is measured once, however many layouts are tried.

use jiff::Timestamp;

use super::{BARS, changes, cost, progress, size};
use crate::ui::text::neutral;
use crate::ui::view::SessionView;
use crate::ui::{Look, units, width};

/// The widest cell of each column: measured once, since of a thousand sessions nothing else takes as
/// long.
pub(super) struct Widest {
    pub(super) session: usize,
    pub(super) state: usize,
    pub(super) progress: [usize; BARS.len()],
    pub(super) changes: [usize; 2],
    pub(super) cost: usize,
    pub(super) size: usize,
    pub(super) age: usize,
}

impl Widest {
    pub(super) fn of(sessions: &[SessionView], now: Timestamp, look: &Look) -> Self {
        let of = |cell: &dyn Fn(&SessionView) -> String| {
            sessions.iter().map(|session| width(&cell(session))).max().unwrap_or(0)
        };
        Self {
            session: of(&|session| neutral(&session.id).into_owned()),
            state: of(&|session| neutral(&session.state).into_owned()),
            progress: BARS.map(|bar| of(&|session| progress(session.progress, bar, look))),
            changes: [false, true].map(|short| of(&|session| changes(session, short, look))),
            cost: of(&cost),
            size: of(&size),
            age: of(&|session| units::ago(session.created, now)),
        }
    }
}
