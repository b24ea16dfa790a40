//! What a pull request says of the others of its batch.
//!
//! Invariant: a description that says so already is not written again.

use super::{HowArgs, Job, way};
use crate::commands::context::Context;
use crate::commands::control;
use crate::error::Result;
use crate::forge::{Change, ForgeError, Standing};
use crate::land::pull;
use crate::session::store::Session;

/// Writes this text of [`pull::Siblings`] into the pull request of a session, if it is open.
///
/// # Errors
/// The forge cannot be asked, or refuses.
pub(in crate::commands) fn link(
    context: &Context<'_>,
    session: &Session,
    number: u64,
    text: &str,
) -> Result {
    let how = HowArgs::default();
    let forge = way::forge(&Job::new(context, &how)?, session)?;
    control::block_on(async {
        let there = forge.pull(number).await?;
        if there.standing == Standing::Open
            && let Some(body) = pull::joined(&there.body, text)
        {
            let change = Change { body: Some(&body), ..Change::default() };
            forge.change(number, &change).await?;
        }
        Ok::<_, ForgeError>(())
    })??;
    Ok(())
}
