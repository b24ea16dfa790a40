//! The verify commands of sessions, run where they have not passed.
//!
//! Invariant: only commands of sessions that are here are run: what a remote's record names is
//! nothing that anybody here has asked for. A note is written of what passed alone.

use super::super::context::Context;
use crate::check::push::{Fault, Report};
use crate::error::{CommandError, Kind, Result};
use crate::land::check;
use crate::session::note::{self, NOTES_REF};

/// Runs them for each commit of the report that is not verified; says whether any has passed.
///
/// # Errors
/// They cannot be run, or what came of it not be noted. One that fails is told.
pub(super) fn run(context: &Context<'_>, report: &Report) -> Result<bool> {
    let (ui, repo) = (context.ui, &context.repo);
    let program = std::env::current_exe()?;
    let unread = |error| CommandError::from_error(Kind::No, &error);
    let mut has_passed = false;
    for finding in &report.findings {
        let (Fault::Unverified(_), Some(id)) = (&finding.fault, &finding.session) else { continue };
        let Ok(session) = context.store.session(id) else {
            ui.warning(&format!("{id} is not here: nothing of it is run"));
            continue;
        };
        for commit in &finding.commits {
            let short = commit.to_hex_with_len(7);
            ui.narrate(&format!("Running {} on {short}", session.spec.verify.join("; ")));
            let record = match check::again(repo, &session.spec, *commit, &program) {
                Ok(Some(record)) => record,
                Ok(None) => continue,
                Err(error) => {
                    ui.warning(&CommandError::from(error).line());
                    continue;
                }
            };
            let before = repo.read_note(NOTES_REF, *commit).map_err(unread)?;
            let text = note::verified_again(before.as_deref(), id, &record);
            let who = repo.identity()?;
            repo.write_notes(NOTES_REF, &[(*commit, text)], &who, "verified again\n")
                .map_err(unread)?;
            ui.narrate(&format!("'{}' passed on {short}", record.command));
            has_passed = true;
        }
    }
    Ok(has_passed)
}
