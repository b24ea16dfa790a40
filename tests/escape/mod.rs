//! What an agent tries in order to get out: of its worktree, its sandbox, its place.
//!
//! Invariant: each attempt is shown to work where nothing holds it, so that a test cannot pass
//! because its attempt was a dud.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod hostile;
#[cfg(target_os = "linux")]
mod network;
mod our_git;
// The attempts name system calls by their numbers.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod probes;
#[cfg(target_os = "linux")]
mod session;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod stage;
#[cfg(target_os = "linux")]
mod trap;
