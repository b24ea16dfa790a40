//! What keeps work from landing and worktrees from going or coming, for a person.
//!
//! Invariant: each refusal says what to do next; none suggests what could lose work.

use super::{CommandError, Kind};
use crate::land::apply::short_id;
use crate::plan::{LandError, Unverified};
use crate::session::audit::AuditError;
use crate::session::record::{FindRecordError, RecordError};
use crate::session::state::Phase;

impl From<LandError> for CommandError {
    fn from(error: LandError) -> Self {
        let said = Self::from_error(kind(&error), &error);
        match error {
            LandError::NotAtRest { id, phase: Phase::Queued } => {
                said.hint(format!("git agent stop {id}"))
            }
            LandError::NotAtRest { id, .. } => {
                said.hint(format!("git agent pause {id}    git agent status {id}"))
            }
            LandError::NoTarget => said.hint("Name it: --into BRANCH"),
            LandError::NotABranch(_) => said.hint("git branch --list"),
            LandError::OwnBranch(_) => said.hint("Name another: --into BRANCH"),
            LandError::Busy { path, .. } => said.hint(format!("git -C {} status", path.display())),
            LandError::Nothing(id) => said.hint(format!("git agent log {id}")),
            LandError::AlreadyLanded { commit: Some(commit), .. } => {
                said.hint(format!("git show {}", short_id(commit)))
            }
            LandError::Unverified { id, why } => unverified(said, &id, &why),
            LandError::Uncommitted { worktree, .. } => said
                .hint(format!("git -C {} commit -a", worktree.display()))
                .hint(format!("git -C {} restore .", worktree.display())),
            LandError::Conflicts { id, .. } => said
                .hint(format!("git agent merge {id} --resolve gives them back to the session"))
                .hint(format!("git agent conflicts {id}")),
            LandError::Red { id, .. } => said
                .hint(format!("git agent say {id} \"…\" tells it what is wrong"))
                .hint(format!("git agent merge {id} --no-verify lands it as it is")),
            LandError::SetUp { .. } => said
                .hint("It runs behind the session's sandbox there; --allow-net opens hosts at the start")
                .hint("--no-verify lands it without the checks"),
            LandError::Experiment(id) => {
                said.hint(format!("git agent merge {id} --force lands it all the same"))
            }
            LandError::Hook { .. } => said.hint("--no-hooks lands it without them"),
            LandError::BadPick { id, .. } => said.hint(format!("git agent status {id}")),
            LandError::NoBackup(id) => said.hint(format!("git agent status {id}")),
            LandError::MovedSince { branch, revert, .. } => {
                said.hint(format!("git revert {revert} takes it back on top of {branch}"))
            }
            LandError::TakenBack { id, .. } => said.hint(format!("git agent merge {id}")),
            LandError::IndexLocked { .. } => {
                said.hint("Another git works there, or one crashed: git agent doctor tells which")
            }
            LandError::Config(error) => error.into(),
            LandError::Cage(error) => error.into(),
            LandError::NotFastForward { .. } | LandError::NoCommits(_) => {
                said.hint("Land it with --squash, --rebase or --merge")
            }
            LandError::InTheWay { path, .. } => {
                said.hint(format!("Commit or stash them in {}", path.display()))
            }
            LandError::TargetMoved { .. }
            | LandError::RolledBack { .. }
            | LandError::HalfWay { .. }
            | LandError::Changing(_)
            | LandError::Unsealed { .. } => said.hint("Try again"),
            LandError::Commit { .. } => {
                said.hint("git config --show-origin --get-regexp 'gpg|sign'")
            }
            LandError::Identity(_) => {
                said.hint("git config --global user.name \"…\"; git config --global user.email …")
            }
            LandError::NoWorktree(id) => said.hint(format!("git agent worktree restore {id}")),
            LandError::WorktreeExists { id, .. } => {
                said.hint(format!("git agent worktree switch {id}"))
            }
            LandError::NotLanded(id) => said
                .hint(format!("git agent worktree merge {id}"))
                .hint(format!("git agent remove --force {id} keeps it in the session's ref alone")),
            LandError::Elsewhere { path, .. } => {
                said.hint(format!("git worktree remove {}", path.display()))
            }
            LandError::Occupied { .. } => {
                said.hint("Leave it in each shell, or remove it all the same with --force")
            }
            LandError::CannotKeep { .. } => {
                said.hint("Move them away, or give them up with --force")
            }
            LandError::Create(error) => (*error).into(),
            LandError::Rewind(error) => (*error).into(),
            LandError::Session(error) => error.into(),
            LandError::Format(error) => error.into(),
            LandError::Ref(error) => error.into(),
            LandError::Revision(error) => error.into(),
            LandError::Object(error) => error.into(),
            LandError::Worktree(error) => error.into(),
            LandError::Open(error) => error.into(),
            LandError::Git(error) => error.into(),
            LandError::Process(error) => error.into(),
            LandError::Io(error) => error.into(),
            LandError::AlreadyLanded { .. }
            | LandError::NoRecord(_)
            | LandError::Move(_)
            | LandError::Record(_)
            | LandError::Merge(_)
            | LandError::Diff(_)
            | LandError::Notes(_)
            | LandError::Snapshot(_) => said,
        }
    }
}

fn kind(error: &LandError) -> Kind {
    match error {
        LandError::NoTarget | LandError::NotABranch(_) | LandError::OwnBranch(_) => Kind::Usage,
        _ => Kind::No,
    }
}

fn unverified(said: CommandError, id: &str, why: &Unverified) -> CommandError {
    let said = match why {
        Unverified::TargetMoved { branch, .. } => said.hint(format!(
            "git agent say {id} \"Bring in what is new on {branch}\" verifies them together"
        )),
        Unverified::NotRun(_) | Unverified::Changed(_) | Unverified::Failed { .. } => {
            said.hint(format!("git agent resume {id} verifies it again"))
        }
        Unverified::HalfDone(_) => said.hint(format!("git agent log {id} shows what it said")),
    };
    said.hint(format!("git agent worktree merge {id} --no-verify lands it as it is"))
}

impl From<RecordError> for CommandError {
    fn from(error: RecordError) -> Self {
        Self::from_error(Kind::No, &error)
    }
}

impl From<AuditError> for CommandError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Record(error) => error.into(),
            AuditError::Revision(error) => error.into(),
            AuditError::Io(error) => error.into(),
            AuditError::Process(error) => error.into(),
        }
    }
}

impl From<FindRecordError> for CommandError {
    fn from(error: FindRecordError) -> Self {
        match error {
            FindRecordError::Find(error) => error.into(),
            FindRecordError::Ref(error) => error.into(),
            FindRecordError::Record(error) => error.into(),
        }
    }
}
