//! Points at which a test lets this process die, named after the order of a step.
//!
//! `GIT_AGENT_FAIL_POINT=refs:2` kills it, as `kill -9` does, when it comes to `refs` for the
//! second time.
//!
//! Invariant: a release build has no such points; there [`is_due`] is never true.

/// The points of every session, in their order: its task, a step, the checks, the rest. Beside them
/// is `put-back`: what a person has denied is out of the worktree, and the journal does not say so.
pub const POINTS: [&str; 17] = [
    // Its task is in the journal.
    "task",
    // An answer of the model is in the journal.
    "answer",
    // A call is in the journal as begun.
    "call",
    // A call has ended, and the journal does not say so yet.
    "ran",
    // The result of a call is in the journal.
    "result",
    // The tree of a step is written.
    "tree",
    // Its commit is written.
    "commit",
    // Its record is written; branch and session ref have not moved yet.
    "record",
    // The session ref has moved; the branch has not.
    "one-ref",
    // They have moved.
    "refs",
    // The journal tells of the commit.
    "checkpoint",
    // The state's file tells of the step.
    "state",
    // What a person has edited is on branch and record; the journal does not say so yet.
    "edits",
    // The checks have run, and the journal does not say so yet.
    "verified",
    // The session rests: its notes and its worktree's index are written.
    "notes",
    // The journal tells why it rests.
    "rest",
    // The last record tells of it; the state's file does not.
    "last-record",
];

/// Dies here if a test wishes so.
pub fn reach(point: &str) {
    if is_due(point) {
        die(point);
    }
}

/// Dies, as `kill -9` lets a process die.
pub fn die(point: &str) {
    let killed =
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    tracing::error!(point, ?killed, "not dead");
}

/// Whether a test wishes the death here; for who has to do half of something before it.
#[cfg(debug_assertions)]
pub fn is_due(point: &str) -> bool {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WISH: OnceLock<Option<(String, AtomicU32)>> = OnceLock::new();
    let wish = WISH.get_or_init(|| {
        let wish = std::env::var("GIT_AGENT_FAIL_POINT").ok()?;
        let (name, times) = wish.split_once(':')?;
        Some((name.to_owned(), AtomicU32::new(times.parse().ok()?)))
    });
    let Some((name, left)) = wish else { return false };
    name == point && left.fetch_sub(1, Ordering::Relaxed) == 1
}

/// Never.
#[cfg(not(debug_assertions))]
#[inline]
pub fn is_due(_: &str) -> bool {
    false
}
