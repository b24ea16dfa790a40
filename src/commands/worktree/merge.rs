//! `git agent worktree merge`: a session's work, on the branch it is for.
//!
//! Invariant: what is printed as landed is landed; a refusal names what is in the way and moves
//! nothing.

use serde::Serialize;

use crate::commands::context::{Context, SessionArg};
use crate::error::Result;
use crate::land::apply::{self, Landed, short_id};
use crate::land::plan::{Plan, Way, Wish};
use crate::land::target;
use crate::session::store::Session;
use crate::ui::{Ui, json, text, units};

/// Land a session's work on the branch it started from
///
/// The work is merged without a checkout, and the branch moves only from the very commit that was
/// merged. Where it is checked out, its files follow; a file that you changed there refuses the
/// landing before anything moves. Hooks for commits and merges do not run: nothing is committed in
/// your checkout. Your name, your signature (commit.gpgSign) and your reference-transaction hook
/// apply.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  git agent worktree merge add-rate
  git agent worktree merge add-rate --dry-run
  git agent worktree merge add-rate --merge --into release-2")]
pub struct Args {
    #[command(flatten)]
    session: SessionArg,
    /// One commit with all of it (the default)
    #[arg(long, group = "way")]
    squash: bool,
    /// A merge commit that keeps the session's own commits
    #[arg(long, group = "way")]
    merge: bool,
    /// The session's own commits, if the branch has no others since
    #[arg(long, group = "way")]
    ff_only: bool,
    /// Branch to land on (default: the one it started from, else that of the main checkout)
    #[arg(long, value_name = "BRANCH", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    into: Option<String>,
    /// Land it even if its verify command did not pass on what will be landed
    #[arg(long)]
    no_verify: bool,
    /// Say what would be done, and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Print JSON: {"format":1,"landing":{…}}
    #[arg(long)]
    json: bool,
}

/// A landing, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct View<'a> {
    session: &'a str,
    branch: &'a str,
    /// None in a dry run.
    commit: Option<String>,
    dry_run: bool,
    /// What follows is none where a landing that was cut off before is now finished.
    way: Option<&'static str>,
    commits: Option<usize>,
    files: Option<u64>,
    insertions: Option<u64>,
    deletions: Option<u64>,
    verified: Option<bool>,
    unverified: Option<String>,
    checkouts: Vec<String>,
    left_behind: &'a [String],
}

/// Lands the work, or says what would be done.
///
/// # Errors
/// Every reason not to land.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let session = context.session(&args.session.session)?;
    let way = match (args.merge, args.ff_only) {
        (true, _) => Way::Merge,
        (_, true) => Way::FastForward,
        _ => Way::Squash,
    };
    let wish = Wish { into: args.into.as_deref(), way, unverified: args.no_verify };
    if args.dry_run {
        let plan = apply::rehearse(&context.repo, &session, &wish)?;
        return would_land(ui, args, &session, &plan);
    }
    let landed = apply::land(&context.repo, &session, &wish)?;
    if args.json {
        return print(ui, &session, &landed.branch, Some(&landed), landed.plan.as_ref());
    }
    let (id, branch) = (&session.id, target::short(&landed.branch));
    let commit = short_id(landed.commit);
    match &landed.plan {
        Some(plan) => {
            ui.answer(&format!("Landed {id} on {branch} as {commit} ({})", sum(plan)))?;
            caveats(ui, &session, plan);
        }
        None => ui.answer(&format!(
            "Landed {id} on {branch} as {commit} (a landing that was cut off is finished)"
        ))?,
    }
    if session.spec.worktree.is_dir() {
        ui.hint(&format!("git agent worktree remove {id}"));
    }
    Ok(())
}

fn would_land(ui: &Ui, args: &Args, session: &Session, plan: &Plan) -> Result {
    if args.json {
        return print(ui, session, &plan.target.branch, None, Some(plan));
    }
    let mut lines =
        vec![format!("Would land {} on {} ({})", session.id, plan.target.name(), sum(plan))];
    for file in &plan.stat.paths {
        let path = file.path.to_string();
        lines.push(format!("  {} +{} -{}", text::neutral(&path), file.insertions, file.deletions));
    }
    for checkout in &plan.target.checkouts {
        let path = checkout.path.to_string_lossy();
        lines.push(format!("The files in {} would follow", text::neutral(&path)));
    }
    ui.answer(&lines.join("\n"))?;
    caveats(ui, session, plan);
    Ok(())
}

/// `squash of 6 commits, 4 files +182 -3`.
fn sum(plan: &Plan) -> String {
    let commits = units::counted(plan.commits as u64, "commit");
    let files = units::counted(plan.stat.files, "file");
    let stat = format!("{files} +{} -{}", plan.stat.insertions, plan.stat.deletions);
    match plan.way {
        Way::FastForward => format!("fast-forward by {commits}, {stat}"),
        // Work that the branch never got has no commits to count.
        Way::Squash | Way::Merge if plan.commits == 0 => format!("{}, {stat}", plan.way.as_str()),
        Way::Squash | Way::Merge => format!("{} of {commits}, {stat}", plan.way.as_str()),
    }
}

fn caveats(ui: &Ui, session: &Session, plan: &Plan) {
    match &plan.unverified {
        Some(why) => ui.warning(&format!("not verified: {why}")),
        None if !plan.verified => ui.narrate("  unverified: the session has no verify command"),
        None => {}
    }
    if !plan.left_behind.is_empty() {
        let files = units::counted(plan.left_behind.len() as u64, "new file");
        let files = format!("{files} in no commit: {}", plan.left_behind.join(", "));
        let worktree = session.spec.worktree.display();
        ui.warning(&format!("not landed, and still in {worktree}: {files}"));
    }
}

fn print(
    ui: &Ui,
    session: &Session,
    branch: &str,
    landed: Option<&Landed>,
    plan: Option<&Plan>,
) -> Result {
    let checkouts = plan.map(|plan| plan.target.checkouts.as_slice()).unwrap_or_default();
    let view = View {
        session: &session.id,
        branch: target::short(branch),
        commit: landed.map(|landed| landed.commit.to_string()),
        dry_run: landed.is_none(),
        way: plan.map(|plan| plan.way.as_str()),
        commits: plan.map(|plan| plan.commits),
        files: plan.map(|plan| plan.stat.files),
        insertions: plan.map(|plan| plan.stat.insertions),
        deletions: plan.map(|plan| plan.stat.deletions),
        verified: plan.map(|plan| plan.verified),
        unverified: plan.and_then(|plan| plan.unverified.as_ref()).map(ToString::to_string),
        checkouts: checkouts.iter().map(|at| at.path.to_string_lossy().into_owned()).collect(),
        left_behind: plan.map(|plan| plan.left_behind.as_slice()).unwrap_or_default(),
    };
    Ok(ui.answer(&json::named("landing", &view)?)?)
}
