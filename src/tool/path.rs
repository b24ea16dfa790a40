//! Paths that a model names: which file is meant, and whether a tool may touch it.
//!
//! Invariant: files are opened relative to a folder that is held open, by means that do not follow
//! a symbolic link out of it; nothing is written outside the worktree or to git's own files.
//!
//! Readable besides the worktree, by their absolute paths: the folder of full outputs and the
//! session's temporary folder, since the model is told of both.

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::output::neutral;

/// The folders that tools may reach.
#[derive(Debug)]
pub(super) struct Reach {
    worktree: Folder,
    readable: Vec<Folder>,
}

/// A folder held open, with the names by which a model may call it.
#[derive(Debug)]
struct Folder {
    dir: Dir,
    names: Vec<PathBuf>,
}

/// One file or folder within reach.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    /// The folder that it lies in, at whatever depth.
    pub(super) dir: &'a Dir,
    /// The absolute path of that folder.
    pub(super) base: &'a Path,
    /// Its path from there; `.` for the folder itself.
    pub(super) path: PathBuf,
    /// Its path as a model should name it.
    pub(super) shown: String,
    /// Its absolute path.
    pub(super) absolute: PathBuf,
}

impl Reach {
    /// Tools reach the worktree `root`, and may read in `readable`: folders, each with another
    /// name that commands know it by.
    pub(super) fn new(root: &Path, readable: &[(&Path, &Path)]) -> io::Result<Self> {
        let open = |(path, alias): &(&Path, &Path)| {
            let mut folder = Folder::open(path)?;
            folder.names.push(alias.to_path_buf());
            Ok(folder)
        };
        let readable = readable.iter().map(open).collect::<io::Result<_>>()?;
        Ok(Self { worktree: Folder::open(root)?, readable })
    }

    /// The worktree's absolute path, symbolic links resolved.
    pub(super) fn root(&self) -> &Path {
        &self.worktree.names[0]
    }

    /// The place to read that `raw` names.
    pub(super) fn to_read(&self, raw: &str) -> Result<Place<'_>, String> {
        let raw = raw.trim();
        // The worktree first: a command's `/tmp` is another folder than the one it may lie in.
        let is_ours = self.worktree.inside(Path::new(raw)).is_some();
        for folder in self.readable.iter().filter(|_| !is_ours) {
            if let Some(inside) = folder.inside(Path::new(raw)) {
                return folder.place(inside, raw, true);
            }
        }
        self.in_worktree(raw)
    }

    /// The place to write that `raw` names: the file itself where `raw` is a symbolic link.
    pub(super) fn to_write(&self, raw: &str) -> Result<Place<'_>, String> {
        let mut place = self.in_worktree(raw.trim())?;
        refuse_git(&place.path, &place.shown)?;
        if place.path == Path::new(".") {
            return Err("the worktree itself is a folder, not a file.".to_owned());
        }
        // Resolved link by link from the nearest folder that exists, so that neither a linked
        // file nor a linked folder is an alias of something that may not be written.
        let mut missing = Vec::new();
        let mut existing = place.path.clone();
        let resolved = loop {
            match place.dir.canonicalize(&existing) {
                Ok(resolved) => break resolved,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if place.dir.symlink_metadata(&existing).is_ok() {
                        return Err(format!("{} is a symbolic link to nothing.", place.shown));
                    }
                    missing.extend(existing.file_name().map(OsStr::to_owned));
                    if !existing.pop() || existing.as_os_str().is_empty() {
                        break PathBuf::new();
                    }
                }
                Err(error) => return Err(in_words(&place.shown, &error)),
            }
        };
        place.path = missing.iter().rev().fold(resolved, |path, name| path.join(name));
        refuse_git(&place.path, &place.shown)?;
        place.absolute = self.root().join(&place.path);
        Ok(place)
    }

    /// The absolute path of the folder in the worktree that `raw` names.
    pub(super) fn folder(&self, raw: &str) -> Result<PathBuf, String> {
        let place = self.in_worktree(raw.trim())?;
        match place.dir.open_dir(&place.path) {
            Ok(_) => Ok(place.absolute),
            Err(error) => Err(in_words(&place.shown, &error)),
        }
    }

    fn in_worktree(&self, raw: &str) -> Result<Place<'_>, String> {
        if raw.contains('\0') {
            return Err("a path holds a NUL byte.".to_owned());
        }
        let path = Path::new(raw);
        if path.is_relative() {
            return self.worktree.place(path, raw, false);
        }
        let Some(inside) = self.worktree.inside(path) else {
            return Err(format!("{raw} is outside the worktree; use paths relative to it."));
        };
        self.worktree.place(inside, raw, false)
    }
}

impl Folder {
    fn open(path: &Path) -> io::Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        Ok(Self { dir, names: vec![fs_err::canonicalize(path)?, path.to_owned()] })
    }

    fn inside<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        self.names.iter().find_map(|name| path.strip_prefix(name).ok())
    }

    fn place(&self, inside: &Path, raw: &str, absolute: bool) -> Result<Place<'_>, String> {
        let mut path = PathBuf::new();
        for component in inside.components() {
            match component {
                Component::Normal(name) => path.push(name),
                Component::CurDir => {}
                Component::ParentDir if path.pop() => {}
                _ => return Err(format!("{raw} leads out of the worktree.")),
            }
        }
        let full = self.names[0].join(&path);
        if path.as_os_str().is_empty() {
            path.push(".");
        }
        let shown = if absolute { &full } else { &path };
        let shown = shown.to_string_lossy().chars().map(neutral).collect();
        Ok(Place { dir: &self.dir, base: &self.names[0], shown, path, absolute: full })
    }
}

/// Git's own files are not written by a tool: a planted hook or a changed pointer would run or
/// redirect what others do.
fn refuse_git(path: &Path, shown: &str) -> Result<(), String> {
    if path.components().any(|part| is_git(&part.as_os_str().to_string_lossy())) {
        return Err(format!("{shown} belongs to git and is not written."));
    }
    Ok(())
}

/// Whether some file system takes the name for `.git`: NTFS drops blanks and dots at the end and
/// has a short name for it, HFS+ does not see certain characters, and neither sees case. Git
/// refuses the same names (`core.protectNTFS`, `core.protectHFS`).
fn is_git(name: &str) -> bool {
    let invisible = |letter: char| matches!(letter, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let seen: String = name.chars().filter(|letter| !invisible(*letter)).collect();
    let seen = seen.split(':').next().unwrap_or_default().trim_end_matches([' ', '.']);
    [".git", "git~1"].iter().any(|git| seen.eq_ignore_ascii_case(git))
}

/// What went wrong with a file, as a model should hear it.
pub(super) fn in_words(shown: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("{shown} does not exist."),
        // The library reports an escape as a refusal that no system call gave.
        io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => {
            format!("{shown} leads out of the worktree through a symbolic link.")
        }
        io::ErrorKind::PermissionDenied => format!("{shown}: permission denied."),
        io::ErrorKind::NotADirectory => format!("{shown}: a part of the path is not a folder."),
        io::ErrorKind::IsADirectory => format!("{shown} is a folder."),
        _ => format!("{shown}: {error}."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use fs_err as fs;

    use super::*;

    fn reach() -> (tempfile::TempDir, Reach) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("tree");
        let out = folder.path().join("out");
        fs::create_dir_all(root.join("src/nested/.git")).unwrap();
        fs::create_dir(&out).unwrap();
        fs::write(folder.path().join("secret"), "s").unwrap();
        fs::write(root.join(".git"), "gitdir: elsewhere").unwrap();
        fs::write(root.join("src/a.rs"), "a").unwrap();
        symlink("../secret", root.join("escape")).unwrap();
        symlink("/etc", root.join("etc")).unwrap();
        symlink("src/a.rs", root.join("alias")).unwrap();
        symlink("src/nested/.git", root.join("plain")).unwrap();
        symlink(".git", root.join("pointer")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        let reach = Reach::new(&root, &[(&out, &out)]).unwrap();
        (folder, reach)
    }

    #[test]
    fn a_path_is_relative_to_the_worktree_or_absolute_inside_it() {
        let (folder, reach) = reach();
        let absolute = folder.path().join("tree/src/a.rs").display().to_string();
        for raw in ["src/a.rs", "./src/a.rs", "src/../src/a.rs", " src/a.rs ", &absolute] {
            assert_eq!(reach.to_read(raw).unwrap().shown, "src/a.rs", "{raw}");
        }
        assert_eq!(reach.to_read("").unwrap().path, Path::new("."));
        let log = folder.path().join("out/1.log").display().to_string();
        assert_eq!(reach.to_read(&log).unwrap().path, Path::new("1.log"));
        assert!(reach.to_write(&log).unwrap_err().contains("outside the worktree"));
    }

    #[test]
    fn what_leads_out_is_refused() {
        let (folder, reach) = reach();
        for raw in ["..", "../secret", "src/../../secret"] {
            assert_eq!(
                reach.to_read(raw).unwrap_err(),
                format!("{raw} leads out of the worktree.")
            );
        }
        let secret = folder.path().join("secret").display().to_string();
        for raw in ["/etc/passwd", &secret] {
            assert!(reach.to_read(raw).unwrap_err().contains("is outside the worktree"));
        }
        for raw in ["escape", "etc/passwd", "etc/new"] {
            let place = reach.to_read(raw).unwrap();
            let error = in_words(&place.shown, &place.dir.open(&place.path).unwrap_err());
            assert_eq!(error, format!("{raw} leads out of the worktree through a symbolic link."));
            assert_eq!(reach.to_write(raw).unwrap_err(), error);
        }
        assert!(reach.folder("etc").unwrap_err().contains("symbolic link"));
    }

    #[test]
    fn gits_own_files_are_not_written_by_whatever_name() {
        let (_folder, reach) = reach();
        for raw in [
            ".git",
            ".GIT/config",
            "src/nested/.git/hooks/pre-commit",
            "plain/config",
            "pointer",
            ".git./config",
            "GIT~1/config",
            ".g\u{200c}it/config",
            ".git::$INDEX_ALLOCATION/config",
        ] {
            assert_eq!(
                reach.to_write(raw).unwrap_err(),
                format!("{raw} belongs to git and is not written.")
            );
        }
        assert_eq!(reach.to_write(".gitignore").unwrap().path, Path::new(".gitignore"));
    }

    #[test]
    fn a_link_inside_is_written_through_and_one_to_nothing_is_not() {
        let (_folder, reach) = reach();
        assert_eq!(reach.to_write("alias").unwrap().path, Path::new("src/a.rs"));
        assert_eq!(reach.to_write("new/b/c.rs").unwrap().path, Path::new("new/b/c.rs"));
        assert_eq!(
            reach.to_write("dangling").unwrap_err(),
            "dangling is a symbolic link to nothing."
        );
    }
}
