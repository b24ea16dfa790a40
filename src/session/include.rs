//! `.worktreeinclude`: files that git ignores and a worktree needs all the same, like `.env`.
//!
//! The file stands at the root of the checkout and holds patterns in gitignore's syntax. What
//! matches and is ignored and untracked is copied into a new worktree.
//!
//! Invariant: nothing tracked is copied, nothing that exists is written over, and no symbolic link
//! is followed, neither where it comes from nor where it goes.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use fs_err as fs;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::git::Repo;
use crate::process::ProcessError;
use crate::redact;

/// The file with the patterns, at the root of a checkout.
pub const FILE: &str = ".worktreeinclude";
/// The most copied files that are told by name.
const LISTED: usize = 10;

/// What became of the files that the patterns name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Included {
    /// Files copied, relative to the worktree, sorted.
    pub copied: Vec<PathBuf>,
    /// What matched and was not copied, each with the reason.
    pub skipped: Vec<(PathBuf, String)>,
    /// Lines that are no pattern, as `line 3: why`.
    pub bad_lines: Vec<String>,
}

impl Included {
    /// What a person is told, one line each; nothing where no pattern named anything.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.copied.is_empty() {
            let named = self.copied.iter().take(LISTED).map(|path| path.display().to_string());
            let named = named.collect::<Vec<_>>().join(", ");
            lines.push(match self.copied.len().saturating_sub(LISTED) {
                0 => format!("copied {named}"),
                more => format!("copied {named} and {more} more"),
            });
        }
        for (path, why) in &self.skipped {
            lines.push(format!("not copied: {}: {why}", path.display()));
        }
        lines.extend(self.bad_lines.iter().map(|line| format!("{FILE}, {line}")));
        lines
    }
}

/// Why nothing more could be copied.
#[derive(Debug, thiserror::Error)]
pub enum IncludeError {
    /// git did not list the ignored files.
    #[error("cannot list ignored files: {said}")]
    Git {
        /// What git said.
        said: String,
    },
    /// git could not run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The new worktree cannot be written.
    #[error("cannot copy what .worktreeinclude names")]
    Io(#[from] io::Error),
}

/// Copies what the patterns in the checkout of `from` name into the worktree at `into`.
///
/// # Errors
/// git cannot list the ignored files, or the disk of the worktree is full or not writable. A file
/// that cannot be read is no error: it is skipped and reported.
pub fn copy(from: &Repo, into: &Path) -> Result<Included, IncludeError> {
    let mut included = Included::default();
    let Some(root) = from.work_dir() else { return Ok(included) };
    let path = root.join(FILE);
    let text = match fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_file() => fs::read(&path)?,
        Ok(_) => {
            included.skipped.push((FILE.into(), "it is not a plain file".to_owned()));
            return Ok(included);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(included),
        Err(error) => return Err(error.into()),
    };
    let patterns = patterns(&String::from_utf8_lossy(&text), &mut included.bad_lines);
    if patterns.is_empty() {
        return Ok(included);
    }
    let mut copier = Copier { root, into, patterns, included };
    for path in ignored(from)? {
        copier.enter(&path)?;
    }
    let mut included = copier.included;
    included.copied.sort();
    included.skipped.sort();
    Ok(included)
}

/// The largest file that values are looked for in, in bytes.
const LARGEST: u64 = 256 << 10;

impl Included {
    /// Of what was copied the files that may hold secrets, in assignments.
    pub fn with_secrets(&self) -> Vec<PathBuf> {
        let is_one = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            name.starts_with(".env")
                || name.ends_with(".env")
                || [".npmrc", ".pypirc", ".netrc", "credentials"].contains(&name.as_str())
                || name.contains("secret")
        };
        self.copied.iter().filter(is_one).cloned().collect()
    }
}

/// Lets this process know of the secrets in these files of a worktree. One that is gone or changed
/// is no error: what it holds then is the agent's own.
pub fn learn(worktree: &Path, files: &[PathBuf]) {
    for file in files {
        let path = worktree.join(file);
        let is_one = |meta: std::fs::Metadata| meta.is_file() && meta.len() <= LARGEST;
        if !fs::symlink_metadata(&path).is_ok_and(is_one) {
            continue;
        }
        match fs::read(&path) {
            Ok(bytes) => redact::learn(redact::assignments(&String::from_utf8_lossy(&bytes))),
            Err(error) => tracing::warn!(%error, "secrets in a copied file are not known"),
        }
    }
}

/// The patterns, line by line, so that a bad one costs only itself.
fn patterns(text: &str, bad_lines: &mut Vec<String>) -> Gitignore {
    let mut builder = GitignoreBuilder::new("");
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if let Err(error) = builder.add_line(None, line) {
            bad_lines.push(format!("line {}: {error}", number + 1));
        }
    }
    match builder.build() {
        Ok(patterns) => patterns,
        Err(error) => {
            bad_lines.push(error.to_string());
            Gitignore::empty()
        }
    }
}

/// What git ignores and does not track: files, and folders with nothing else in them.
fn ignored(from: &Repo) -> Result<Vec<PathBuf>, IncludeError> {
    let list = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"];
    let listed = from.git().args(list).run()?;
    if listed.exit != 0 {
        let said = String::from_utf8_lossy(&listed.stderr).trim().to_owned();
        return Err(IncludeError::Git { said });
    }
    let paths = listed.stdout.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    Ok(paths.map(|path| Path::new(OsStr::from_bytes(path)).components().collect()).collect())
}

struct Copier<'a> {
    root: &'a Path,
    into: &'a Path,
    patterns: Gitignore,
    included: Included,
}

impl Copier<'_> {
    /// Copies what matches at this path or below it.
    fn enter(&mut self, path: &Path) -> Result<(), IncludeError> {
        let source = self.root.join(path);
        let meta = match fs::symlink_metadata(&source) {
            Ok(meta) => meta,
            Err(error) => {
                if self.matches(path, false) {
                    self.skip(path, error.to_string());
                }
                return Ok(());
            }
        };
        if meta.is_dir() {
            return self.enter_folder(path, &source);
        }
        if !self.matches(path, false) {
            return Ok(());
        }
        let kind = meta.file_type();
        if kind.is_fifo() || kind.is_socket() || kind.is_block_device() || kind.is_char_device() {
            self.skip(path, "it is neither a file nor a symbolic link".to_owned());
            return Ok(());
        }
        if let Some(why) = self.closed(path) {
            self.skip(path, why);
            return Ok(());
        }
        let target = self.into.join(path);
        // Opened before anything is made in the worktree, and without following a link that took
        // the file's place meanwhile.
        let opened = match kind.is_symlink() {
            true => fs::read_link(&source).map(Source::Link),
            false => open(&source).map(Source::File),
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.skip(path, error.to_string());
                return Ok(());
            }
        };
        self.make_folders(path)?;
        match opened {
            Source::Link(to) => std::os::unix::fs::symlink(to, &target)?,
            Source::File(mut file) => {
                let mut copy = fs::OpenOptions::new().write(true).create_new(true).open(&target)?;
                // On Linux the kernel copies, sharing blocks where the file system can.
                io::copy(&mut file, copy.file_mut())?;
                copy.set_permissions(plain_mode(meta.permissions().mode()))?;
            }
        }
        self.included.copied.push(path.to_owned());
        Ok(())
    }

    fn enter_folder(&mut self, path: &Path, source: &Path) -> Result<(), IncludeError> {
        if fs::symlink_metadata(source.join(".git")).is_ok() {
            if self.matches(path, true) {
                self.skip(path, "it is a repository of its own".to_owned());
            }
            return Ok(());
        }
        let entries = match fs::read_dir(source) {
            Ok(entries) => entries,
            Err(error) => {
                if self.matches(path, true) {
                    self.skip(path, error.to_string());
                }
                return Ok(());
            }
        };
        for entry in entries {
            self.enter(&path.join(entry?.file_name()))?;
        }
        Ok(())
    }

    fn matches(&self, path: &Path, is_dir: bool) -> bool {
        self.patterns.matched_path_or_any_parents(path, is_dir).is_ignore()
    }

    /// Why nothing can be made at this path in the worktree, if so.
    fn closed(&self, path: &Path) -> Option<String> {
        let mut at = self.into.to_owned();
        let mut parts = path.components().peekable();
        while let Some(part) = parts.next() {
            at.push(part);
            match fs::symlink_metadata(&at) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
                Err(error) => return Some(error.to_string()),
                Ok(_) if parts.peek().is_none() => {
                    return Some("it exists in the worktree".to_owned());
                }
                Ok(meta) if meta.is_dir() => {}
                Ok(meta) => {
                    let kind = if meta.is_symlink() { "a symbolic link" } else { "a file" };
                    return Some(format!("its folder is {kind} in the worktree"));
                }
            }
        }
        None
    }

    /// Makes the folders above `path` in the worktree, each with the mode of the one it copies.
    fn make_folders(&self, path: &Path) -> io::Result<()> {
        let mut folder = PathBuf::new();
        for part in path.parent().into_iter().flat_map(Path::components) {
            let Component::Normal(part) = part else { continue };
            folder.push(part);
            let target = self.into.join(&folder);
            match fs::create_dir(&target) {
                Ok(()) => {
                    let mode = fs::symlink_metadata(self.root.join(&folder))?.permissions().mode();
                    // Its owner must be able to fill it.
                    fs::set_permissions(&target, plain_mode(mode | 0o700))?;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn skip(&mut self, path: &Path, why: String) {
        self.included.skipped.push((path.to_owned(), why));
    }
}

enum Source {
    File(fs::File),
    Link(PathBuf),
}

fn open(path: &Path) -> io::Result<fs::File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let mut options = fs::OpenOptions::new();
    options.options_mut().read(true).custom_flags(flags);
    options.open(path)
}

/// The mode without set-id and sticky bits, which a copy should not carry.
fn plain_mode(mode: u32) -> std::fs::Permissions {
    std::fs::Permissions::from_mode(mode & 0o777)
}
