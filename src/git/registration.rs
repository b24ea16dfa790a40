//! What leads from a linked worktree to its repository, and could have been rewritten by who works
//! in it: `commondir` and `config.worktree` in the worktree's own git dir.
//!
//! Invariant: a linked worktree is opened only as part of the repository whose `worktrees/` holds
//! its git dir, and only while its own configuration says nothing that the repository's does not
//! say too, but for a few words that no program is run by.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use gix::bstr::{BString, ByteSlice};
use gix::config::file::SectionRef;
use gix::config::{File, Source};

use crate::git::worktree::path_in;

/// A worktree's own git dir is not as git made it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {what}", file.display())]
pub struct Tampered {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

/// Settings of a worktree of its own, as far as they run nothing and lead nowhere. No second name:
/// any key of the section.
const HARMLESS: [(&str, Option<&str>); 5] = [
    ("core", Some("bare")),
    ("core", Some("sparsecheckout")),
    ("core", Some("sparsecheckoutcone")),
    ("index", None),
    ("user", None),
];

/// Checks the git dir of a linked worktree that is part of the repository at `common_dir`, as it
/// is on the disk now. Both paths have no symbolic link in them.
pub(super) fn check(git_dir: &Path, common_dir: &Path) -> Result<(), Tampered> {
    check_place(git_dir, common_dir)?;
    let file = git_dir.join("commondir");
    let bad = |what: String| Tampered { file: file.clone(), what };
    let line = fs::read(&file).map_err(|error| bad(format!("cannot be read: {error}")))?;
    let found = fs::canonicalize(git_dir.join(path_in(&line))).ok();
    if found.as_deref() != Some(common_dir) {
        return Err(bad("leads to another repository".to_owned()));
    }
    match read(&git_dir.join(CONFIG))? {
        Some(config) => check_config(&config, git_dir, common_dir),
        None => Ok(()),
    }
}

/// Checks the same of a repository as it was opened.
pub(super) fn check_opened(
    gix: &gix::Repository,
    git_dir: &Path,
    common_dir: &Path,
) -> Result<(), Tampered> {
    check_place(git_dir, common_dir)?;
    let config = gix.config_snapshot();
    check_config(config.plumbing(), git_dir, common_dir)
}

const CONFIG: &str = "config.worktree";

/// git makes these git dirs in `worktrees` of the repository that they belong to, and nowhere else.
fn check_place(git_dir: &Path, common_dir: &Path) -> Result<(), Tampered> {
    if git_dir.parent() == Some(&common_dir.join("worktrees")) {
        return Ok(());
    }
    let what = "leads to another repository".to_owned();
    Err(Tampered { file: git_dir.join("commondir"), what })
}

fn check_config(config: &File, git_dir: &Path, common_dir: &Path) -> Result<(), Tampered> {
    let own = config.sections().filter(|section| section.meta().source == Source::Worktree);
    let suspect: Vec<_> = own.flat_map(|section| settings(&section)).filter(is_suspect).collect();
    if suspect.is_empty() {
        return Ok(());
    }
    // `git worktree add` copies what the repository's own checkout has there.
    let ours = read(&common_dir.join(CONFIG))?;
    let ours: Vec<_> = ours.iter().flat_map(File::sections).flat_map(|it| settings(&it)).collect();
    match suspect.into_iter().find(|setting| !ours.contains(setting)) {
        None => Ok(()),
        Some(Setting { section, subsection, name, .. }) => {
            let middle = subsection.map(|it| format!("{it}.")).unwrap_or_default();
            let what = format!("sets {section}.{middle}{name}, which the repository does not");
            Err(Tampered { file: git_dir.join(CONFIG), what })
        }
    }
}

#[derive(PartialEq)]
struct Setting {
    section: String,
    subsection: Option<BString>,
    name: String,
    values: Vec<BString>,
}

fn settings(section: &SectionRef<'_>) -> Vec<Setting> {
    let header = section.header();
    let setting = |name: String| Setting {
        section: header.name().to_str_lossy().to_lowercase(),
        subsection: header.subsection_name().map(ToOwned::to_owned),
        values: section.values(&name),
        name: name.to_lowercase(),
    };
    section.value_names().map(setting).collect()
}

fn is_suspect(setting: &Setting) -> bool {
    let is = |(section, name): &(&str, Option<&str>)| {
        *section == setting.section && name.is_none_or(|name| name == setting.name)
    };
    setting.subsection.is_some() || !HARMLESS.iter().any(is)
}

/// The settings of a file, without what it includes; none where it is not there.
fn read(path: &Path) -> Result<Option<File>, Tampered> {
    let bad = |what: String| Tampered { file: path.to_owned(), what };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(meta) if meta.is_file() => {}
        _ => return Err(bad("is not a file".to_owned())),
    }
    let config = File::from_path_no_includes(path.to_owned(), Source::Worktree);
    config.map(Some).map_err(|error| bad(format!("cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;
    use crate::git::{OpenError, Repo};

    /// A repository with a linked worktree: the git dir of that.
    fn linked() -> (Fixture, PathBuf) {
        let fixture = Fixture::with_commit(&[]);
        fixture.git(&["config", "extensions.worktreeConfig", "true"]);
        fixture.git(&["config", "--worktree", "diff.external", "mine"]);
        let path = fixture.beside("tree");
        fixture.git(&["worktree", "add", "-q", "-b", "side", path.to_str().unwrap()]);
        let git_dir = fixture.root.join(".git/worktrees/tree");
        (fixture, git_dir)
    }

    fn opened(fixture: &Fixture, git_dir: &Path) -> Result<Repo, String> {
        fixture.repo().view_of(git_dir).map_err(|error| match error {
            OpenError::Tampered(Tampered { what, .. }) => what,
            error => error.to_string(),
        })
    }

    #[test]
    fn what_git_itself_writes_there_is_accepted() {
        let (fixture, git_dir) = linked();
        let tree = fixture.beside("tree");
        fixture.git_in(&tree, &["sparse-checkout", "set", "dir"]);
        fixture.git_in(&tree, &["config", "--worktree", "user.email", "other@example.org"]);
        let copied = fs::read_to_string(git_dir.join(CONFIG)).unwrap();
        assert!(copied.contains("external = mine"), "{copied}");
        let repo = opened(&fixture, &git_dir).unwrap();
        assert!(repo.is_sparse());
        repo.check_registration().unwrap();
    }

    #[test]
    fn x02_settings_of_its_own_are_refused_on_opening_and_later() {
        for (key, value) in [
            ("core.fsmonitor", "/evil"),
            ("core.hooksPath", "/evil"),
            ("core.sparseCheckout.x", "/evil"),
            ("filter.lfs.clean", "/evil"),
            ("diff.external", "/evil"),
            ("include.path", "/evil"),
            ("alias.status", "!/evil"),
            ("core.worktree", "/"),
        ] {
            let (fixture, git_dir) = linked();
            let repo = opened(&fixture, &git_dir).unwrap();
            let tree = fixture.beside("tree");
            fixture.git_in(&tree, &["config", "--worktree", key, value]);
            let said = format!("sets {}, which the repository does not", key.to_lowercase());
            let is = |what: &str| what.to_lowercase() == said;
            assert!(is(&opened(&fixture, &git_dir).unwrap_err()), "{key}");
            assert!(repo.check_registration().is_err_and(|error| is(&error.what)), "{key}");
            // The repository's own checkout is not concerned.
            opened(&fixture, &fixture.root.join(".git")).unwrap();
        }
    }

    #[test]
    fn x02_a_common_dir_elsewhere_is_refused() {
        let (fixture, git_dir) = linked();
        let repo = opened(&fixture, &git_dir).unwrap();
        let evil = fixture.beside("evil");
        fixture.git(&["clone", "-q", "--bare", ".", evil.to_str().unwrap()]);
        fs::write(git_dir.join("commondir"), format!("{}\n", evil.display())).unwrap();
        let said = opened(&fixture, &git_dir).unwrap_err();
        assert_eq!(said, "leads to another repository");
        assert_eq!(repo.check_registration().unwrap_err().what, said);
    }

    #[test]
    fn x02_a_git_dir_elsewhere_that_claims_the_repository_is_refused() {
        let (fixture, git_dir) = linked();
        let evil = fixture.beside("tree/sub");
        fs::create_dir_all(&evil).unwrap();
        for file in ["HEAD", "gitdir", "index"] {
            fs::copy(git_dir.join(file), evil.join(file)).unwrap();
        }
        let common = fixture.root.join(".git");
        fs::write(evil.join("commondir"), format!("{}\n", common.display())).unwrap();
        assert_eq!(opened(&fixture, &evil).unwrap_err(), "leads to another repository");
    }
}
