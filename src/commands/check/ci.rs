//! `git agent check --install-ci`: the workflow that checks agents' commits on a forge.
//!
//! Invariant: a file that is there and says something else is left alone.

use std::path::Path;

use fs_err as fs;

use crate::error::{CommandError, Result};
use crate::file;
use crate::git::Repo;
use crate::ui::Ui;

/// A forge, by whose rules CI runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Forge {
    /// GitHub Actions
    Github,
    /// GitLab CI
    Gitlab,
    /// Forgejo and Gitea Actions
    Forgejo,
}

/// The file that GitLab reads; ours is included from there.
const GITLAB_ROOT: &str = ".gitlab-ci.yml";

impl Forge {
    fn path(self) -> &'static str {
        match self {
            Self::Github => ".github/workflows/git-agent.yml",
            Self::Gitlab => ".gitlab/git-agent.yml",
            Self::Forgejo => ".forgejo/workflows/git-agent.yml",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Github => include_str!("ci/github.yml"),
            Self::Gitlab => include_str!("ci/gitlab.yml"),
            Self::Forgejo => include_str!("ci/forgejo.yml"),
        }
    }
}

/// Writes the workflow into the checkout.
///
/// # Errors
/// There is no checkout, or a file that says something else.
pub(super) fn install(ui: &Ui, repo: &Repo, forge: Forge) -> Result {
    let top = repo.work_dir().ok_or_else(|| {
        CommandError::usage("a bare repository has no files").hint("Do it in a checkout of it")
    })?;
    let is_new = write(top, forge.path(), forge.text())?;
    let path = forge.path();
    if !is_new {
        ui.answer(&format!("{path} is there already, and as it should be"))?;
    } else {
        ui.answer(&format!("Wrote {path}"))?;
    }
    if forge == Forge::Gitlab {
        let include = format!("include:\n  - local: {path}\n");
        let root = top.join(GITLAB_ROOT);
        match fs::read_to_string(&root) {
            Ok(text) if text.contains(path) => {}
            Ok(_) => ui.hint(&format!("Add to {GITLAB_ROOT}: include: [{{local: {path}}}]")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                file::replace_with_mode(&root, include.as_bytes(), 0o644)?;
                ui.answer(&format!("Wrote {GITLAB_ROOT}"))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    ui.hint("Commit it, and have notes there too: git push origin refs/notes/agent");
    Ok(())
}

/// Whether it was not there.
fn write(top: &Path, path: &str, text: &str) -> Result<bool> {
    let file = top.join(path);
    match fs::read(&file) {
        Ok(found) if found == text.as_bytes() => return Ok(false),
        Ok(_) => {
            let said = CommandError::no(format!("{path} is there, and says something else"));
            return Err(said.hint("Move it away, then try again"));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    file::replace_with_mode(&file, text.as_bytes(), 0o644)?;
    Ok(true)
}
