//! Our hooks in git's configuration: `hook.<name>.event` and `hook.<name>.command`, which git reads
//! from version 2.54 (git-hook(1)) and runs before the file of the same hook.
//!
//! Invariant: the sections are ours by their names, and whole: what is taken out is what was put in.

use super::{HOOKS, Hook, HookError};
use crate::git::Repo;

/// The first version that knows them.
const SINCE: (u32, u32) = (2, 54);

/// Whether the git on `PATH` runs hooks of its configuration.
///
/// # Errors
/// [`HookError::TooOld`] with its version, or git cannot be asked.
pub fn knows_config_hooks(repo: &Repo) -> Result<(), HookError> {
    let said = repo.git().arg("version").run()?;
    let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    match version_of(&said) {
        Some(version) if version >= SINCE => Ok(()),
        _ => Err(HookError::TooOld(said)),
    }
}

/// Puts ours into the repository's own configuration.
///
/// # Errors
/// git is too old, or does not write.
pub fn configure(repo: &Repo) -> Result<(), HookError> {
    knows_config_hooks(repo)?;
    for hook in &HOOKS {
        set(repo, hook, "event", hook.name)?;
        // git puts the arguments behind it; a program that is gone stops nobody.
        let command = format!("! command -v git-agent >/dev/null || git agent hook {}", hook.name);
        set(repo, hook, "command", &command)?;
    }
    Ok(())
}

/// The names of ours that are in the repository's configuration.
pub fn configured(repo: &Repo) -> Vec<&'static str> {
    let entries = repo.config("hook");
    let is_in =
        |hook: &&Hook| entries.iter().any(|it| it.key == format!("{}.command", section(hook)));
    HOOKS.iter().filter(is_in).map(|hook| hook.name).collect()
}

/// Takes ours out of it; gives how many there were.
///
/// # Errors
/// git does not write.
pub fn unconfigure(repo: &Repo) -> Result<usize, HookError> {
    let mut removed = 0;
    for hook in HOOKS.iter().filter(|hook| configured(repo).contains(&hook.name)) {
        let remove = ["config", "--local", "--remove-section"];
        if repo.git().args(remove).arg(section(hook)).run()?.exit == 0 {
            removed += 1;
        }
    }
    Ok(removed)
}

fn set(repo: &Repo, hook: &Hook, key: &str, value: &str) -> Result<(), HookError> {
    let key = format!("{}.{key}", section(hook));
    let done = repo.git().args(["config", "--local", &key, value]).run()?;
    if done.exit != 0 {
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(crate::git::GitError::Refused { exit: done.exit, said }.into());
    }
    Ok(())
}

fn section(hook: &Hook) -> String {
    format!("hook.git-agent-{}", hook.name)
}

fn version_of(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.strip_prefix("git version ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let of = |said| version_of(said).is_some_and(|version| version >= SINCE);
        assert!(of("git version 2.54.0") && of("git version 2.100.1.windows.1"));
        assert!(!of("git version 2.47.3") && !of("git version 2.6") && !of("nonsense"));
    }
}
