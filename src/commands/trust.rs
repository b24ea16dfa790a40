//! `git agent trust`: consent to what a repository shares for its sessions.
//!
//! Invariant: nothing else gives consent; what is consented to is shown, and is for these bytes in
//! this repository.

use clap::builder::NonEmptyStringValueParser;

use super::context::Context;
use crate::error::{CommandError, Result};
use crate::trust::Trust;
use crate::trust::team::{FILE, Team, settings};
use crate::ui::{Ui, card};

/// Consent to what .gitagent.toml may run or loosen
///
/// A team shares settings for its sessions in .gitagent.toml, in the words of git config without
/// `agent.`. Those that restrict hold at once; those that could run something or loosen something
/// wait for your consent, which is for the file as it is in this commit and for this repository.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The commit to read it from
    #[arg(long, value_name = "REV", default_value = "HEAD", value_parser = NonEmptyStringValueParser::new())]
    base: String,
    /// Show it, and whether you have consented; consent to nothing
    #[arg(long, conflicts_with = "revoke")]
    show: bool,
    /// Take back what you have consented to
    #[arg(long)]
    revoke: bool,
}

/// Shows, gives or takes back a consent.
///
/// # Errors
/// There is no such file in the commit, or it makes no sense.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let repo = &context.repo;
    let trust = Trust::open(repo.common_dir())?;
    if args.revoke {
        match trust.take_back(FILE)? {
            0 => ui.narrate(&format!("Nothing to revoke: {FILE} has no consent of yours here")),
            _ => ui.narrate(&format!("Revoked your consent to {FILE} in this repository")),
        }
        return Ok(());
    }
    let commit = repo.resolve_commit(&args.base)?;
    let short = card::short(&commit.to_string()).to_owned();
    let Some(team) = Team::of(repo, commit)? else {
        return Err(CommandError::no(format!("there is no {FILE} in {short}"))
            .hint("git agent trust --base REV reads another commit"));
    };
    // A value that makes no sense is said before anybody consents to it.
    let waiting = settings(repo, commit)?.waiting;
    let lines: Vec<_> = team.lines().map(|line| format!("  {line}")).collect();
    ui.answer(&lines.join("\n"))?;
    let is_trusted = team.is_trusted(&trust);
    if args.show {
        ui.narrate(&match (is_trusted, waiting.is_empty()) {
            (true, _) => format!("You have consented to {FILE} in {short}"),
            (false, true) => format!("Nothing in {FILE} in {short} needs your consent"),
            (false, false) => format!("Not before you consent: {}", waiting.join(", ")),
        });
        if !is_trusted && !waiting.is_empty() {
            ui.hint("git agent trust");
        }
        return Ok(());
    }
    team.trust(&trust)?;
    ui.narrate(&format!("Trusted {FILE} as it is in {short}, in this repository"));
    ui.hint("git agent trust --revoke takes it back");
    Ok(())
}
