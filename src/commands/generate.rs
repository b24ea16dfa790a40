//! `git agent generate`: hidden; writes `man/` and `completions/` from the tree of verbs.
//!
//! Invariant: the same program gives the same bytes, so a test can tell that the committed files
//! are fresh.

mod man;
mod shell;

use std::path::PathBuf;

use fs_err as fs;

use crate::error::Result;
use crate::file;
use crate::ui::{Ui, units};

/// Write man pages and completions
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write into
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// A file made from the tree of verbs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What a generated file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A page for `man`.
    Man,
    /// Completion for bash.
    Bash,
    /// Completion for zsh.
    Zsh,
    /// Completion for fish.
    Fish,
}

impl Kind {
    /// The folder it is committed in.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Man => "man",
            Self::Bash | Self::Zsh | Self::Fish => "completions",
        }
    }
}

/// All generated files of this tree of verbs.
///
/// # Errors
/// Never for the tree of this program; the writers' signatures have one.
pub fn files(tree: clap::Command) -> Result<Vec<Generated>> {
    let mut files = man::pages(tree)?;
    files.extend(shell::completions()?);
    Ok(files)
}

/// Writes all of them.
///
/// # Errors
/// A file cannot be written.
pub fn run(ui: &Ui, args: &Args, tree: clap::Command) -> Result {
    let files = files(tree)?;
    for generated in &files {
        let folder = args.dir.join(generated.kind.folder());
        fs::create_dir_all(&folder)?;
        file::replace_unsynced(&folder.join(&generated.name), &generated.bytes)?;
    }
    ui.narrate(&format!("Wrote {}", units::counted(files.len() as u64, "file")));
    Ok(())
}
