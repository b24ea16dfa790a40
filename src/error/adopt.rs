//! What keeps a session from elsewhere out, for a person.
//!
//! Invariant: each refusal says what to do next, and that nothing was kept goes without saying.

use super::{CommandError, Kind};
use crate::check::CheckError;
use crate::git::{BundleError, DiffError};
use crate::session::adopt::AdoptError;
use crate::session::carry::CarryError;
use crate::session::disk::LowDisk;

impl From<DiffError> for CommandError {
    fn from(error: DiffError) -> Self {
        Self::from_error(Kind::No, &error).hint("git fsck")
    }
}

impl From<CheckError> for CommandError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Diff(error) => error.into(),
            CheckError::Object(error) => error.into(),
        }
    }
}

impl From<LowDisk> for CommandError {
    fn from(error: LowDisk) -> Self {
        Self::from_error(Kind::No, &error).hint("git agent gc frees space")
    }
}

impl From<CarryError> for CommandError {
    fn from(error: CarryError) -> Self {
        let said = Self::from_error(Kind::No, &error);
        match error {
            CarryError::NoCheckout => {
                Self { kind: Kind::Usage, ..said }.hint("Leave --carry out, or cd to a checkout")
            }
            CarryError::Index(_) => said.hint("git status tells what is unmerged"),
            CarryError::Snapshot(_) => {
                said.hint("git status; --carry staged takes the index alone")
            }
            CarryError::Git(error) => error.into(),
            CarryError::Object(error) => error.into(),
            CarryError::Diff(error) => error.into(),
            CarryError::Io(error) => error.into(),
        }
    }
}

impl From<BundleError> for CommandError {
    fn from(error: BundleError) -> Self {
        let said = Self::from_error(Kind::No, &error);
        match error {
            BundleError::NotABundle { .. } => {
                let said = Self { kind: Kind::Usage, ..said };
                said.hint("git agent export SESSION makes one, in the repository it is in")
            }
            BundleError::Lacks(_) => said
                .hint("git fetch --all may bring them")
                .hint("git agent export --whole SESSION leaves nothing out, where it is"),
            BundleError::TooLarge { .. } => {
                said.hint("A session travels by git push and git fetch of its ref as well")
            }
            BundleError::Damaged { .. } => said.hint("Have it exported again"),
            BundleError::Git(error) => error.into(),
            BundleError::Open(error) => error.into(),
            BundleError::Io(error) => error.into(),
        }
    }
}

impl From<AdoptError> for CommandError {
    fn from(error: AdoptError) -> Self {
        let said = Self::from_error(Kind::No, &error);
        match error {
            AdoptError::NotASession(_) => Self { kind: Kind::Usage, ..said }
                .hint("git agent export SESSION makes a file of one"),
            AdoptError::Here(id) => said
                .hint(format!("git agent status {id}"))
                .hint(format!("git agent remove {id} makes room for it, if it goes on from there")),
            AdoptError::Diverged(id) => said
                .hint(format!("git agent restore {id}    git agent audit {id}"))
                .hint(format!("git update-ref -d refs/agent/{id} gives up what is here")),
            AdoptError::NotProven { .. } => said.hint("Ask who made it; nothing of it was kept"),
            AdoptError::Bundle(error) => error.into(),
            AdoptError::Name(error) => error.into(),
            AdoptError::Audit(error) => error.into(),
            AdoptError::Record(error) => error.into(),
            AdoptError::Place(error) => error.into(),
            AdoptError::Format(error) => error.into(),
            AdoptError::Ref(error) => error.into(),
            AdoptError::Revision(error) => error.into(),
            AdoptError::Io(error) => error.into(),
        }
    }
}
