//! `git agent diagnose`: one report on a session, to be given to who is to find out what went wrong.
//!
//! Invariant: only read; what looks like a secret is taken out of the whole text, last of all, so no
//! section can forget it.

mod measure;
mod report;

use std::path::PathBuf;

use clap::{ValueEnum, ValueHint};

use super::context::{Context, SessionArg};
use crate::error::{Result, ResultExt};
use crate::file;
use crate::redact;
use crate::ui::{Ui, units};

/// Write one report on a session, with secrets taken out, for a bug report
///
/// Versions, what was asked, where the session is, its last events by their titles, the end of its
/// supervisor's log, what git says of it. Keys, passwords in addresses and the path of your home are
/// taken out; no content of files is in it. Read it through before you give it away all the same.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    session: SessionArg,
    /// Sections to add
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SECTIONS")]
    include: Vec<Section>,
    /// Write to a file
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

/// A section that is there only if it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Section {
    /// How long each step took, and what for
    Performance,
    /// Sizes on disk, memory, free space
    Resources,
    /// Whether it merges with its target
    Conflicts,
}

/// Writes the report.
///
/// # Errors
/// There is no such session, or its files cannot be read.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let session = context.session(&args.session.session)?;
    let mut report = report::of(&context, &session)?;
    for section in &args.include {
        report += &match section {
            Section::Performance => measure::performance(&session)?,
            Section::Resources => measure::resources(&context, &session)?,
            Section::Conflicts => report::conflicts(&context, &session),
        };
    }
    let report = without_home(&redact::eagerly(&report));
    let Some(path) = &args.output else { return Ok(ui.answer(report.trim_end())?) };
    file::replace(path, report.as_bytes())
        .while_doing(&format!("cannot write {}", path.display()))?;
    let size = units::bytes(report.len() as u64);
    ui.narrate(&format!("Wrote {size} on {} to {}", session.id, path.display()));
    ui.hint("Read it through before you give it away");
    Ok(())
}

/// The name of a person is in the path of their home.
fn without_home(text: &str) -> String {
    match std::env::var("HOME").as_deref().map(|home| home.trim_end_matches('/')) {
        Ok(home) if !home.is_empty() => text.replace(home, "~"),
        _ => text.to_owned(),
    }
}
