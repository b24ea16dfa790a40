//! What a person is told of a pull request that nobody has looked on at.
//!
//! Invariant: it stands in the session, where `status` and `log` show it.

use crate::commands::context::Context;
use crate::error::{CommandError, Kind, Result};
use crate::plan::work;
use crate::session::pull::NEEDS_PERSON;
use crate::session::store::Session;
use crate::session::tell;

/// Notes why it went no further.
///
/// # Errors
/// The session's files cannot be written.
pub(super) fn note(context: &Context<'_>, session: &Session, error: &CommandError) -> Result {
    let id = &session.id;
    let why = match error.kind {
        Kind::Told(_) if error.message.is_empty() => {
            format!("git agent pr {id} says how it stands")
        }
        _ => error.line(),
    };
    let text = format!("{NEEDS_PERSON}{why}");
    let (_lock, mut state) = work::hold(&context.repo, session)?;
    Ok(tell::notice(session, &mut state, text)?)
}
