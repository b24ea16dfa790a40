//! Which repositories are meant.
//!
//! Invariant: each is named once, in the order in which it was named first.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::ValueHint;

use crate::error::{Result, ResultExt};
use crate::git::Repo;

/// Repositories, by folders in them.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct FolderArgs {
    /// Repositories, each by a folder in it
    #[arg(long, value_name = "DIR,DIR", value_delimiter = ',', value_hint = ValueHint::DirPath)]
    repos: Vec<PathBuf>,
    /// File with a repository a line; - reads standard input
    #[arg(short = 'F', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
}

impl FolderArgs {
    /// The folders that were named, each repository once.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn named(&self) -> Result<Vec<PathBuf>> {
        let mut named = self.repos.clone();
        if let Some(file) = &self.file {
            let text = match file.as_os_str() == "-" {
                true => std::io::read_to_string(std::io::stdin())?,
                false => fs_err::read_to_string(file).while_doing("cannot read the list")?,
            };
            let lines = text.lines().map(str::trim);
            let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
            named.extend(lines.map(PathBuf::from));
        }
        let mut seen = BTreeSet::new();
        let mut folders = Vec::new();
        for path in named.into_iter().filter(|path| !path.as_os_str().is_empty()) {
            let path = std::path::absolute(&path)?;
            // One that is no repository has a row of its own, which says so.
            let key = Repo::discover(&path)
                .map_or_else(|_| path.clone(), |it| it.common_dir().to_owned());
            if seen.insert(key) {
                folders.push(path);
            }
        }
        Ok(folders)
    }
}
