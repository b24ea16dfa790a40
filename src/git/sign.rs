//! Signatures on commits: made and judged by git, with the user's own set-up.
//!
//! Invariant: no key is ever seen here; `gpg.format` and `user.signingKey` decide how it is done.

use crate::git::ObjectId;
use crate::git::command::{GitError, refusal, succeed};
use crate::git::object::{Draft, ObjectError};
use crate::git::repo::Repo;
use crate::process::ProcessError;
use crate::redact;

impl Repo {
    /// Writes a commit signed as `git commit -S` would.
    ///
    /// # Errors
    /// There is no key, or git cannot run; nothing is written then.
    pub fn write_signed_commit(&self, draft: &Draft) -> Result<ObjectId, GitError> {
        let mut cmd = self.user_git().args(["commit-tree", "-S"]);
        for parent in &draft.parents {
            cmd = cmd.arg("-p").arg(parent.to_string());
        }
        for (role, who) in [("AUTHOR", &draft.author), ("COMMITTER", &draft.committer)] {
            cmd = cmd
                .env(format!("GIT_{role}_NAME"), &who.name)
                .env(format!("GIT_{role}_EMAIL"), &who.email);
        }
        let message = redact::text(&draft.message).into_owned();
        let said = succeed(&cmd.arg(draft.tree.to_string()).stdin(message))?;
        let said = String::from_utf8_lossy(&said);
        ObjectId::from_hex(said.trim().as_bytes())
            .map_err(|error| GitError::Refused { exit: 0, said: error.to_string() })
    }

    /// Whether a commit carries a signature, whosoever.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_signed(&self, commit: ObjectId) -> Result<bool, ObjectError> {
        let failed = || ObjectError::new(format!("read commit {commit}"));
        let commit = self.gix().find_commit(commit).map_err(failed())?;
        let decoded = commit.decode().map_err(failed())?;
        Ok(decoded.extra_headers().find("gpgsig").is_some()
            || decoded.extra_headers().find("gpgsig-sha256").is_some())
    }

    /// Lets git judge the signature of a commit; its own words where it does not hold.
    ///
    /// # Errors
    /// git cannot run.
    pub fn verify_signature(&self, commit: ObjectId) -> Result<Result<(), String>, ProcessError> {
        let judged = self.user_git().args(["verify-commit", &commit.to_string()]).run()?;
        match judged.exit {
            0 => Ok(Ok(())),
            _ => match refusal(&judged) {
                GitError::Refused { said, .. } => Ok(Err(said)),
                GitError::Process(error) => Err(error),
            },
        }
    }
}
