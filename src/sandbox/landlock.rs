//! What a tool may open, by Landlock: the second wall around the first, and where there are no
//! namespaces the only one.
//!
//! Invariant: a path that is not listed is refused; the rules hold for all that the process starts
//! and cannot be taken back.

use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::Level;

/// The version that the rules are written for; an older kernel holds what it knows of them.
const VERSION: ABI = ABI::V7;

/// Keeps this process, and all that it starts, to these paths: to read and run what is in the
/// first, to change what is in the second too. Without namespaces also from the network.
///
/// # Errors
/// The kernel has no Landlock.
pub(super) fn apply(level: Level, readable: &[PathBuf], writable: &[PathBuf]) -> io::Result<()> {
    restrict(level, readable, writable)
        .map_err(io::Error::other)?
        .then_some(())
        .ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "this kernel has no Landlock"))
}

fn restrict(
    level: Level,
    readable: &[PathBuf],
    writable: &[PathBuf],
) -> Result<bool, landlock::RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(VERSION))?
        .scope(Scope::from_all(VERSION))?;
    if level == Level::Reduced {
        rules = rules.handle_access(AccessNet::from_all(VERSION))?;
    }
    let mut rules = rules.create()?;
    let lists = [(readable, AccessFs::from_read(VERSION)), (writable, AccessFs::from_all(VERSION))];
    for (paths, access) in lists {
        for path in paths {
            // What is not there cannot be opened either.
            let Ok(fd) = PathFd::new(path) else { continue };
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(VERSION) };
            rules = rules.add_rule(PathBeneath::new(fd, access))?;
        }
    }
    let status = rules.restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}
