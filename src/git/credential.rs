//! git's own credential helpers: passwords and keys that the user keeps where git keeps them.
//!
//! Invariant: nobody is prompted, and what is found is no argument of a program.

use secrecy::{ExposeSecret, SecretString};

use crate::process::{Cmd, ProcessError};

/// What the helpers have for this address; `git` is a git with nothing asked of it yet.
///
/// # Errors
/// git cannot be run.
pub fn fill(git: Cmd, url: &str) -> Result<Option<SecretString>, ProcessError> {
    let done = git
        .args(["-c", "credential.interactive=false", "-c", "core.askPass=", "credential", "fill"])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env_remove("GIT_ASKPASS")
        .env_remove("SSH_ASKPASS")
        .env("GCM_INTERACTIVE", "never")
        .stdin(format!("url={url}\n\n"))
        .run()?;
    if done.exit != 0 {
        return Ok(None);
    }
    let answer = SecretString::from(String::from_utf8_lossy(&done.stdout).into_owned());
    // An askpass that prints nothing yields an empty password: as good as none.
    let password = answer.expose_secret().lines().find_map(|line| line.strip_prefix("password="));
    Ok(password.filter(|password| !password.is_empty()).map(SecretString::from))
}
