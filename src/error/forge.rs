//! What keeps work from a pull request, for a person.
//!
//! Invariant: each refusal says what to do next.

use super::{CommandError, Kind};
use crate::forge::ForgeError;
use crate::land::pull::PullError;
use crate::plan::LandError;

impl From<ForgeError> for CommandError {
    fn from(error: ForgeError) -> Self {
        let said = Self::from_error(kind(&error), &error);
        match error {
            ForgeError::BadAddress { key, .. } => {
                said.hint(format!("git config --show-origin --get-all {key}"))
            }
            ForgeError::BadToken(_) | ForgeError::Unauthorized { .. } => {
                said.hint("The branch is pushed; with a token that may write, try again")
            }
            ForgeError::Refused { .. } | ForgeError::NotFound { .. } => {
                said.hint("The branch is pushed; what the token may do is set at the forge")
            }
            ForgeError::Moved { .. } => said.hint("git remote set-url names where it is by now"),
            ForgeError::Limited { .. } | ForgeError::Away { .. } => {
                said.hint("The branch is pushed; try again later")
            }
            ForgeError::Odd { host, .. } => {
                said.hint(format!("git config agent.forge.{host}.api names its interface"))
            }
            ForgeError::Client(_) => said,
            ForgeError::Process(error) => error.into(),
        }
    }
}

/// What keeps work from landing keeps it from a pull request too; the ways out are other ones.
fn landed(said: CommandError, error: LandError) -> CommandError {
    match error {
        LandError::Conflicts { id, .. } => {
            said.hint(format!("git agent pr {id} --resolve gives them back to the session"))
        }
        LandError::Red { id, .. } => said
            .hint(format!("git agent say {id} \"…\" tells it what is wrong"))
            .hint(format!("git agent pr {id} --no-verify pushes it as it is")),
        LandError::Unverified { id, .. } => said
            .hint(format!("git agent resume {id} verifies it again"))
            .hint(format!("git agent pr {id} --no-verify pushes it as it is")),
        LandError::SetUp { .. } => said.hint("--no-verify pushes it without the checks"),
        LandError::Experiment(id) => {
            said.hint(format!("git agent pr {id} --force opens one all the same"))
        }
        LandError::Hook { .. } => said.hint("--no-hooks pushes it without them"),
        error => error.into(),
    }
}

fn kind(error: &ForgeError) -> Kind {
    match error {
        ForgeError::BadAddress { .. } => Kind::Usage,
        ForgeError::BadToken(_) | ForgeError::Unauthorized { .. } => Kind::NeedsPerson,
        _ => Kind::No,
    }
}

impl From<PullError> for CommandError {
    fn from(error: PullError) -> Self {
        let usage = matches!(
            error,
            PullError::NotARemote { .. } | PullError::WhichRemote(_) | PullError::NoBase { .. }
        );
        let said = Self::from_error(if usage { Kind::Usage } else { Kind::No }, &error);
        match error {
            PullError::NoRemote => said.hint("git remote add origin URL"),
            PullError::NotARemote { .. } => said.hint("git remote -v"),
            PullError::WhichRemote(_) => said.hint("Name it: --remote NAME"),
            PullError::NoBase { .. } => said.hint("Name another: --into BRANCH"),
            PullError::NotPushed { base, .. } => {
                let (remote, branch) = base.split_once('/').unwrap_or(("origin", &base));
                said.hint(format!("git push {remote} {branch}"))
            }
            PullError::Foreign { remote, branch, .. } => said
                .hint(format!("git fetch {remote} {branch} shows what they did"))
                .hint(format!("git push {remote} --delete {branch} gives it up")),
            PullError::Push { .. } => said.hint("git agent check says what the hook asks for"),
            PullError::Unreachable { remote, .. } => said.hint(format!("git ls-remote {remote}")),
            PullError::NoStack { id } => {
                said.hint(format!("git agent pr {id} opens one by itself"))
            }
            PullError::Apart { one, .. } => {
                said.hint(format!("git agent pr {one} opens one by itself"))
            }
            PullError::Stands { id, .. } => {
                said.hint(format!("git agent pr {id} --stack opens one for each"))
            }
            PullError::StackOfFork { remote, .. } => said
                .hint(format!("git config remote.pushDefault {remote}, if you may push there"))
                .hint("Without --stack it is opened by itself"),
            PullError::Closed { id, below, .. } => said
                .hint(format!("git agent pr {below} opens a new one"))
                .hint(format!("git agent pr {id} --into BRANCH opens it by itself")),
            PullError::Removed { id } => said.hint(format!("git agent restore {id}")),
            PullError::Land(error) => landed(said, error),
        }
    }
}
