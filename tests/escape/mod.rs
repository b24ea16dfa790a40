//! What an agent tries in order to get out: of its worktree, its sandbox, its place.
//!
//! Invariant: each attempt is shown to work where nothing holds it, so that a test cannot pass
//! because its attempt was a dud.

mod our_git;
