//! What the user has changed and not committed, taken along into a new session.
//!
//! Invariant: the user's checkout and index stay as they are; what holds a secret stays there too.

use super::{Args, Plan};
use crate::check::Changes;
use crate::check::secret::NoSecrets;
use crate::commands::context::Context;
use crate::error::{CommandError, Kind, Result};
use crate::session::carry;
use crate::ui::units;

/// Puts what is in no commit here into one that the session starts from.
pub(super) fn along(context: &Context<'_>, args: &Args, plan: &mut Plan) -> Result {
    let Some(what) = args.given.carry else { return Ok(()) };
    let (repo, ui) = (&context.repo, context.ui);
    if repo.resolve_commit("HEAD")? != plan.base {
        let message = format!("what is changed here is not on top of {}", plan.base_name);
        return Err(CommandError::usage(message).hint("--carry starts from HEAD: leave --base out"));
    }
    let Some(carried) = carry::carry(repo, plan.base, what, plan.config.max_file_size)? else {
        ui.narrate("  nothing to carry along: all is committed");
        return Ok(());
    };
    let [before, after] = carried.trees;
    let found = Changes::between(repo, before, after)?.judged_by(&[&NoSecrets])?;
    if let Some(finding) = found.first() {
        let message = format!("not carried along: {} {}", finding.path, finding.why);
        return Err(CommandError::new(Kind::Blocked, message)
            .hint("Let git ignore it, or take along less: --carry staged"));
    }
    let files = units::counted(carried.stat.paths.len() as u64, "file");
    ui.narrate(&format!("  carried along {files} that you changed, in a commit of yours"));
    carried.left_out.iter().for_each(|it| ui.warning(&format!("not carried along: {it}")));
    plan.carried_on = Some(std::mem::replace(&mut plan.base, carried.commit));
    Ok(())
}
