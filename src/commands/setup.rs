//! `git agent setup`: man pages and completions for this user, and their removal.
//!
//! Invariant: each file is written whole or not at all, is in the list of what was written before
//! it is there, and that list is all that `--uninstall` removes.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::generate::{self, Generated, Kind};
use crate::error::{CommandError, Result, ResultExt};
use crate::file;
use crate::process::Cmd;
use crate::ui::{Ui, units};

/// Install man pages and completions for this user
///
/// `git agent --help` shows a man page, so git needs one where `man` looks. Everything that is
/// written is listed, and --uninstall removes exactly that.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Remove what setup has written
    #[arg(long, conflicts_with = "shell")]
    uninstall: bool,
    /// Print a function for your shell that changes into a session's worktree, and install nothing
    #[arg(long, value_enum, value_name = "SHELL")]
    shell: Option<Shell>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Shell {
    /// For ~/.bashrc: eval "$(git agent setup --shell bash)"
    Bash,
    /// For ~/.zshrc: eval "$(git agent setup --shell zsh)"
    Zsh,
    /// For config.fish: git agent setup --shell fish | source
    Fish,
}

const POSIX_FUNCTION: &str = r#"# agent-cd SESSION: change into the worktree of a session of git agent
agent-cd() {
    local dir
    dir=$(git agent worktree switch "$@") || return
    cd -- "$dir"
}
"#;

const FISH_FUNCTION: &str = r#"# agent-cd SESSION: change into the worktree of a session of git agent
function agent-cd
    set -l dir (git agent worktree switch $argv)
    or return
    cd -- $dir
end
"#;

/// Installs, removes, or prints the function.
///
/// # Errors
/// The home folder is not known, or a file cannot be written or removed.
pub fn run(ui: &Ui, args: &Args, tree: clap::Command) -> Result {
    match args.shell {
        Some(Shell::Bash | Shell::Zsh) => return Ok(ui.answer(POSIX_FUNCTION)?),
        Some(Shell::Fish) => return Ok(ui.answer(FISH_FUNCTION)?),
        None => {}
    }
    let folders = Folders::of(&|name| std::env::var_os(name).map(PathBuf::from))?;
    if args.uninstall { uninstall(ui, &folders) } else { install(ui, &folders, tree) }
}

/// The user's folders, as the XDG base directory specification has them.
#[derive(Debug)]
struct Folders {
    data: PathBuf,
    config: PathBuf,
}

impl Folders {
    fn of(env: &dyn Fn(&str) -> Option<PathBuf>) -> Result<Self> {
        // The specification wants relative paths in these variables ignored.
        let absolute = |name: &str| env(name).filter(|path| path.is_absolute());
        let home = absolute("HOME").ok_or_else(|| {
            CommandError::usage("HOME is not set, so there is no place to install to")
        })?;
        Ok(Self {
            data: absolute("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share")),
            config: absolute("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
        })
    }

    /// Where a generated file goes.
    fn place(&self, generated: &Generated) -> PathBuf {
        let name = generated.name.as_str();
        match generated.kind {
            Kind::Man => self.data.join("man/man1").join(name),
            // Loaded by name, for `git-agent` and by git's own completion for `git agent`.
            Kind::Bash => self.data.join("bash-completion/completions/git-agent"),
            Kind::Zsh => self.data.join("zsh/site-functions").join(name),
            Kind::Fish => self.config.join("fish/conf.d").join(name),
        }
    }

    /// The list of what was written, files and new folders: a path a line.
    fn list(&self) -> PathBuf {
        self.data.join("git-agent/installed")
    }
}

fn install(ui: &Ui, folders: &Folders, tree: clap::Command) -> Result {
    let files = generate::files(tree)?;
    let files: Vec<_> = files.iter().map(|file| (folders.place(file), &file.bytes)).collect();
    let before = installed(folders)?;
    let now: Vec<_> = files.iter().map(|(path, _)| path.clone()).collect();
    let list = folders.list();
    let made = missing_folders(now.iter().chain([&list]));
    // First the list of all, so that whatever is interrupted can be removed.
    let is_kept = |path: &&PathBuf| path.is_dir() || now.contains(path);
    let mut all = before.clone();
    all.extend(now.iter().chain(&made).filter(|path| !before.contains(path)).cloned());
    write_list(folders, &all)?;
    for (path, bytes) in &files {
        write(path, bytes)?;
    }
    for path in before.iter().filter(|path| !is_kept(path)) {
        remove(path)?;
    }
    write_list(folders, &all.iter().filter(is_kept).cloned().collect::<Vec<_>>())?;
    let lines: Vec<_> = now.iter().map(|path| path.display().to_string()).collect();
    ui.answer(&lines.join("\n"))?;
    ui.narrate(&format!("Installed {}", units::counted(now.len() as u64, "file")));
    let pages = folders.data.join("man");
    if !man_finds_its_page() {
        ui.hint(&format!("man does not look there; export MANPATH=\"{}:\"", pages.display()));
    }
    let functions = folders.data.join("zsh/site-functions");
    if std::env::var("SHELL").is_ok_and(|shell| shell.ends_with("zsh")) {
        ui.hint(&format!("Have zsh look there: fpath=({} $fpath)", functions.display()));
    }
    ui.hint("git agent --help    git agent setup --shell bash");
    Ok(())
}

/// Where `man` looks depends on `PATH`, `MANPATH` and the system: `man` itself is asked.
fn man_finds_its_page() -> bool {
    let found = Cmd::new("man").args(["-w", "git-agent"]).run();
    found.is_ok_and(|finished| finished.exit == 0)
}

fn uninstall(ui: &Ui, folders: &Folders) -> Result {
    let installed = installed(folders)?;
    if installed.is_empty() {
        ui.narrate("Nothing is installed");
        return Ok(());
    }
    let (made, files): (Vec<_>, Vec<_>) = installed.into_iter().partition(|path| path.is_dir());
    for path in &files {
        if remove(path)? {
            ui.answer(&path.display().to_string())?;
        }
    }
    remove(&folders.list())?;
    // The deepest first. One that somebody else uses by now is not empty, and stays.
    for folder in made.iter().rev() {
        drop(fs::remove_dir(folder));
    }
    ui.narrate(&format!("Removed {}", units::counted(files.len() as u64, "file")));
    Ok(())
}

/// The folders that these files lie in and that are not there yet, outer ones first.
fn missing_folders<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    let folders = files.flat_map(|file| file.ancestors().skip(1));
    let mut missing: Vec<_> =
        folders.filter(|folder| !folder.exists()).map(Path::to_owned).collect();
    missing.sort();
    missing.dedup();
    missing
}

fn installed(folders: &Folders) -> Result<Vec<PathBuf>> {
    let list = file::if_there(fs::read_to_string(folders.list()))?.unwrap_or_default();
    Ok(list.lines().map(PathBuf::from).collect())
}

fn write_list(folders: &Folders, paths: &[PathBuf]) -> Result {
    let lines: String = paths.iter().map(|path| format!("{}\n", path.display())).collect();
    write(&folders.list(), lines.as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result {
    let write = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        file::replace(path, bytes)
    };
    write().while_doing(&format!("cannot write {}", path.display()))
}

/// Removes a file; says whether it was there.
fn remove(path: &Path) -> Result<bool> {
    Ok(file::if_there(fs::remove_file(path))?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(folder: &Path) -> Vec<PathBuf> {
        let mut files: Vec<_> = ignore::WalkBuilder::new(folder)
            .standard_filters(false)
            .build()
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| path.is_file())
            .collect();
        files.sort();
        files
    }

    #[test]
    fn what_is_installed_is_listed_and_removed_exactly() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().to_owned();
        let folders = Folders::of(&|name| (name == "HOME").then(|| home.clone())).unwrap();
        let ui = Ui::new(&crate::ui::Setup::default());
        let (stale, foreign) = (
            home.join(".local/share/man/man1/git-agent-old.1"),
            home.join(".local/share/man/man1/x.1"),
        );
        write(&stale, b"").unwrap();
        write(&foreign, b"").unwrap();
        write_list(&folders, std::slice::from_ref(&stale)).unwrap();

        install(&ui, &folders, clap::Command::new("git-agent")).unwrap();
        let mut expected = installed(&folders).unwrap();
        expected.retain(|path| path.is_file());
        assert!(expected.contains(&home.join(".local/share/man/man1/git-agent.1")));
        assert!(
            expected.contains(&home.join(".local/share/bash-completion/completions/git-agent"))
        );
        assert!(expected.contains(&home.join(".config/fish/conf.d/git-agent.fish")));
        expected.extend([folders.list(), foreign.clone()]);
        expected.sort();
        assert_eq!(below(&home), expected);

        uninstall(&ui, &folders).unwrap();
        assert_eq!(below(&home), [foreign]);
        assert!(!home.join(".config").exists() && !home.join(".local/share/zsh").exists());
    }

    #[test]
    fn without_a_home_nothing_is_installed() {
        assert!(Folders::of(&|_| None).is_err());
        assert!(Folders::of(&|_| Some(PathBuf::from("relative"))).is_err());
    }
}
