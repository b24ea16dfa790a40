//! Each error of the lower layers as a [`CommandError`]: its kind, and what to do next.
//!
//! Invariant: one arm an error, and the message is the error's own; a command may add hints that
//! only it can know.

use std::error::Error;
use std::io;

use super::cage;
use super::{CommandError, Kind};
use crate::agent::permission::BadRule;
use crate::config::ConfigError;
use crate::git::{
    BadOverride, GitError, ObjectError, OpenError, RefError, RevisionError, Tampered, WorktreeError,
};
use crate::model::{ChoiceError, EndpointError, ModelError};
use crate::policy::PolicyError;
use crate::process::ProcessError;
use crate::queue::{QueueError, SpawnError};
use crate::runner::RunError;
use crate::runner::settle::SettleError;
use crate::session::create::CreateError;
use crate::session::format::FormatError;
use crate::session::id::NameError;
use crate::session::inbox::SendError;
use crate::session::lock::LockError;
use crate::session::state::IllegalMove;
use crate::session::store::{Broken, FindError, SessionError};
use crate::session::submodule::SubmoduleError;
use crate::session::worktree::PlaceError;
use crate::trust::team::{FILE, TeamError};

fn no(error: &dyn Error) -> CommandError {
    CommandError::from_error(Kind::No, error)
}

fn usage(error: &dyn Error) -> CommandError {
    CommandError::from_error(Kind::Usage, error)
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Kind::BrokenPipe, ""),
            io::ErrorKind::StorageFull => Self::from_error(Kind::No, &error)
                .hint("Free some space; sessions that wait for it go on with git agent resume"),
            _ => Self::from_error(Kind::No, &error),
        }
    }
}

impl From<serde_json::Error> for CommandError {
    fn from(error: serde_json::Error) -> Self {
        if error.is_io() {
            io::Error::from(error).into()
        } else {
            Self::from_error(Kind::Bug, &error)
        }
    }
}

impl From<ProcessError> for CommandError {
    fn from(error: ProcessError) -> Self {
        let missing = error.source.kind() == io::ErrorKind::NotFound;
        let said = no(&error);
        if missing {
            said.hint(format!("Is {} installed and on PATH?", error.program))
        } else {
            said
        }
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        let hint = format!("git config --show-origin --get-all {}", error.key);
        usage(&error).hint(hint)
    }
}

impl From<PolicyError> for CommandError {
    fn from(error: PolicyError) -> Self {
        Self::from_error(Kind::Blocked, &error).hint(
            "git agent doctor shows the policy in force; who looks after this machine sets it",
        )
    }
}

impl From<TeamError> for CommandError {
    fn from(error: TeamError) -> Self {
        match error {
            TeamError::Malformed { commit, .. } => {
                usage(&error).hint(format!("git show {commit}:{FILE}"))
            }
            TeamError::Config(error) if error.origin.starts_with(FILE) => {
                usage(&error).hint("git agent trust --show")
            }
            TeamError::Config(error) => error.into(),
            TeamError::Object(error) => error.into(),
        }
    }
}

impl From<BadRule> for CommandError {
    fn from(error: BadRule) -> Self {
        usage(&error).hint("git config --show-origin --get-all agent.permission")
    }
}

impl From<OpenError> for CommandError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NotARepository(_) => {
                usage(&error).hint("cd to a repository, or name it with -C DIR; git init makes one")
            }
            OpenError::NotSafe { ref said } => {
                let path = said.split('\'').nth(1).unwrap_or("PATH");
                let hint = format!("git config --global --add safe.directory '{path}'");
                usage(&error).hint(hint)
            }
            // git's own words hold git's own advice.
            OpenError::Unsupported { .. } => usage(&error),
            OpenError::Override(error) => error.into(),
            OpenError::Git(error) => error.into(),
            OpenError::Io(error) => Self::from(error).while_doing("cannot read the repository"),
            OpenError::NotLinked(_) => no(&error).hint("git worktree repair"),
            OpenError::Tampered(error) => error.into(),
            OpenError::Broken { .. } => no(&error).hint("git fsck"),
        }
    }
}

impl From<Tampered> for CommandError {
    fn from(error: Tampered) -> Self {
        // What to do with the file is for a person who has looked at it.
        no(&error).hint(format!("cat {}", error.file.display()))
    }
}

impl From<BadOverride> for CommandError {
    fn from(error: BadOverride) -> Self {
        usage(&error)
    }
}

impl From<GitError> for CommandError {
    fn from(error: GitError) -> Self {
        match error {
            GitError::Process(error) => error.into(),
            GitError::Refused { .. } => no(&error),
        }
    }
}

impl From<ObjectError> for CommandError {
    fn from(error: ObjectError) -> Self {
        no(&error).hint("git fsck")
    }
}

impl From<RefError> for CommandError {
    fn from(error: RefError) -> Self {
        match error {
            RefError::Git(error) => error.into(),
            RefError::Locked { .. } => no(&error)
                .hint("Another git works there, or one crashed: git agent doctor tells which"),
            RefError::Moved { .. } => {
                no(&error).hint("Something else moved it meanwhile: nothing was changed; try again")
            }
            error => no(&error),
        }
    }
}

impl From<RevisionError> for CommandError {
    fn from(error: RevisionError) -> Self {
        match error {
            RevisionError::Git(error) => error.into(),
            RevisionError::NotACommit(_) => usage(&error).hint("git log --oneline --all"),
            error => no(&error),
        }
    }
}

impl From<FormatError> for CommandError {
    fn from(error: FormatError) -> Self {
        match error {
            FormatError::Io(error) => error.into(),
            FormatError::Newer { .. } => {
                no(&error).hint("A newer git-agent wrote it: update this one. Nothing was changed")
            }
            FormatError::Malformed { .. } => no(&error).hint("git agent doctor --fix"),
        }
    }
}

impl From<Broken> for CommandError {
    fn from(error: Broken) -> Self {
        let said = no(&error);
        match error.source {
            FormatError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                said.hint("git agent doctor --fix")
            }
            source => Self { hints: Self::from(source).hints, ..said },
        }
    }
}

impl From<FindError> for CommandError {
    fn from(error: FindError) -> Self {
        match error {
            FindError::NotFound { ref near, .. } => match near.as_slice() {
                [] => usage(&error).hint("git agent list"),
                near => usage(&error)
                    .hint(format!("Did you mean {}?", near.join(", ")))
                    .hint("git agent list"),
            },
            FindError::Ambiguous { .. } => usage(&error).hint("Give more of its id"),
            FindError::Broken(error) => error.into(),
            FindError::Io(error) => error.into(),
        }
    }
}

impl From<SessionError> for CommandError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Format(error) => error.into(),
            SessionError::Send(SendError::Io(error)) => {
                Self::from(error).while_doing("the message was not sent")
            }
            SessionError::Send(_) => no(&error),
            SessionError::Io(error) => error.into(),
            SessionError::Lock { error: LockError::Held { holder }, .. }
                if holder.pid.is_some() && !holder.listens =>
            {
                no(&error).hint("Try again in a moment")
            }
            SessionError::Lock { error: LockError::Held { .. }, ref id } => {
                let hint = format!("git agent status {id}    git agent stop --kill {id}");
                no(&error).hint(hint)
            }
            SessionError::Lock { .. } => no(&error),
            SessionError::Over { .. } => no(&error).hint("git agent start \"…\" begins another"),
        }
    }
}

impl From<NameError> for CommandError {
    fn from(error: NameError) -> Self {
        usage(&error).hint("Letters, digits, - and . are always fine")
    }
}

impl From<IllegalMove> for CommandError {
    fn from(error: IllegalMove) -> Self {
        no(&error)
    }
}

impl From<SpawnError> for CommandError {
    fn from(error: SpawnError) -> Self {
        match error {
            SpawnError::Start(error) => error.into(),
            error => no(&error),
        }
    }
}

impl From<SettleError> for CommandError {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Session(error) => error.into(),
            SettleError::Rewind(error) => error.into(),
            SettleError::Format(error) => error.into(),
            SettleError::Io(error) => error.into(),
        }
    }
}

impl From<QueueError> for CommandError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Session(error) => error.into(),
            QueueError::Rewind(error) => error.into(),
            QueueError::Format(error) => error.into(),
            QueueError::Move(error) => error.into(),
            QueueError::Repo(error) => error.into(),
            QueueError::Config(error) => error.into(),
            QueueError::Policy(error) => error.into(),
            QueueError::Spawn(error) => error.into(),
            QueueError::Io(error) => error.into(),
            QueueError::Busy(_) => no(&error).hint("git agent list starts who waits"),
        }
    }
}

impl From<ChoiceError> for CommandError {
    fn from(error: ChoiceError) -> Self {
        let hint = match &error {
            ChoiceError::UnknownProvider { nearest: Some(nearest), .. } => {
                format!("Did you mean {nearest}/…?")
            }
            _ => "git config --global agent.model anthropic/<model>, or --model".to_owned(),
        };
        usage(&error).hint(hint)
    }
}

impl From<EndpointError> for CommandError {
    fn from(error: EndpointError) -> Self {
        match &error {
            EndpointError::NoKey { looked_for, .. } => {
                let first = looked_for.first().cloned().unwrap_or_default();
                no(&error).hint(format!("Set {first}; git agent doctor shows what there is"))
            }
            EndpointError::BadAddress { .. } | EndpointError::PlainHttp { .. } => {
                usage(&error).hint("An address begins with https://, or http:// on this machine")
            }
            EndpointError::KeyCommand { source_name, .. } => {
                no(&error).hint(format!("git config --show-origin --get {source_name}"))
            }
            _ => no(&error),
        }
    }
}

impl From<ModelError> for CommandError {
    fn from(error: ModelError) -> Self {
        match &error {
            ModelError::NotThere { .. } => {
                no(&error).hint("Is the server running? git agent doctor shows which answer here")
            }
            ModelError::KeyRefused { .. } => {
                no(&error).hint("git agent doctor shows where the key comes from")
            }
            ModelError::Transcript(_) => {
                usage(&error).hint("git agent log SESSION --record FILE writes one")
            }
            _ => no(&error),
        }
    }
}

impl From<RunError> for CommandError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Repo(error) => error.into(),
            RunError::Session(error) => error.into(),
            RunError::Lock(error) => error.into(),
            error => no(&error),
        }
    }
}

impl From<CreateError> for CommandError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Place(error) => error.into(),
            CreateError::Submodule(error) => error.into(),
            CreateError::Past(error) => error.into(),
            CreateError::Disk(_) => no(&error).hint("git agent gc frees space"),
            CreateError::Open(error) => error.into(),
            CreateError::Process(error) => error.into(),
            CreateError::Object(error) => error.into(),
            CreateError::Ref(error) => error.into(),
            CreateError::Io(error) | CreateError::Format(FormatError::Io(error)) => unmade(error),
            CreateError::Format(error) => error.into(),
            CreateError::Identity(_) => no(&error)
                .hint("git config --global user.name \"…\"; git config --global user.email …"),
            CreateError::Busy(_) => no(&error).hint("Try again in a moment"),
            CreateError::Cage(error) => error.into(),
            CreateError::Setup { ref said, ref blocked, is_held, .. } => {
                let failed = cage::set_up(no(&error), said, blocked, is_held);
                failed.hint("git config --show-origin --get agent.setup; nothing was kept")
            }
            CreateError::Worktree(WorktreeError::Io(error)) => unmade(error),
            CreateError::Worktree(error) => error.into(),
            error => no(&error),
        }
    }
}

/// The disk said no while a session was made: whatever had been made of it is gone again.
fn unmade(error: io::Error) -> CommandError {
    let is_full = error.kind() == io::ErrorKind::StorageFull;
    let mut said = CommandError::from(error).while_doing("the session cannot be made");
    if is_full {
        said.hints = vec!["Free some space, then start it again; nothing was kept".to_owned()];
    }
    said
}

impl From<WorktreeError> for CommandError {
    fn from(error: WorktreeError) -> Self {
        match error {
            WorktreeError::Git(error) => error.into(),
            WorktreeError::Ref(error) => error.into(),
            WorktreeError::Open(error) => error.into(),
            WorktreeError::Io(error) => error.into(),
            WorktreeError::Filter { .. } => no(&error).hint(
                "Install what the filter runs (git lfs install?), or unset it; nothing was kept",
            ),
            WorktreeError::FilterOfCheckout(_) => no(&error)
                .hint("Name the filter's program by an absolute path, outside the checkout"),
            WorktreeError::Locked { ref path, .. } => {
                let hint = format!("git worktree unlock {}", path.display());
                no(&error).hint(hint)
            }
            WorktreeError::HasSubmodules(ref path) => {
                let hint = format!("git -C {} submodule status", path.display());
                no(&error).hint(hint)
            }
            WorktreeError::PathThroughLink(_) => {
                no(&error).hint("git config agent.worktreePath names a place outside the checkout")
            }
            WorktreeError::Dirty { .. } => no(&error).hint("Commit or stash them first"),
            _ => no(&error).hint("git worktree list shows what there is"),
        }
    }
}

impl From<PlaceError> for CommandError {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::Ref(error) => error.into(),
            PlaceError::Io(error) => error.into(),
            PlaceError::Name(_) => usage(&error).hint("Letters, digits, - and . are always fine"),
            PlaceError::BranchExists { .. } => {
                usage(&error).hint("--branch NAME names another; git branch --list shows them")
            }
            PlaceError::BranchInTheWay { .. } => usage(&error)
                .hint("--branch NAME names another; agent.branchPrefix sets one for all sessions"),
            PlaceError::PathExists { .. } => {
                usage(&error).hint("--worktree NAME names another; nothing there was touched")
            }
            PlaceError::ThroughLink { .. } => {
                no(&error).hint("git config agent.worktreePath names a place outside the checkout")
            }
            PlaceError::Template { .. } => usage(&error).hint(
                "git config agent.worktreePath \"../{repo}.worktrees/{name}\" is the default",
            ),
            PlaceError::Random(_) => no(&error),
        }
    }
}

impl From<SubmoduleError> for CommandError {
    fn from(error: SubmoduleError) -> Self {
        match error {
            SubmoduleError::Object(error) => error.into(),
            SubmoduleError::Open(error) => error.into(),
            SubmoduleError::Process(error) => error.into(),
            SubmoduleError::Absent { .. } => {
                no(&error).hint("git submodule update --init --recursive, then start again")
            }
            error => no(&error),
        }
    }
}
