//! Files that git ignores, kept while their worktree is away: `.env`, local data, caches.
//!
//! They are copied beside the session's live state and never become objects: what git ignores is
//! often secret, and the session's ref is made to be shared.
//!
//! Invariant: bytes, modes, links and times come back as they were; nothing is written outside the
//! folder they go to, and nothing that exists there is written over.

use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, OpenOptions, PermissionsExt};
use fs_err as fs;

use crate::file;
use crate::git::Repo;

/// What became of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Files and links that were copied.
    pub files: usize,
    /// What was not, each with the reason.
    pub left_out: Vec<(PathBuf, String)>,
}

/// Copies what git ignores in this worktree into `keep`, which is replaced. A file, or a folder
/// that holds nothing but ignored files, is left out as a whole above `limit` bytes.
///
/// # Errors
/// git cannot list them, or `keep` cannot be written.
pub fn keep(worktree: &Repo, keep: &Path, limit: u64) -> io::Result<Kept> {
    let Some(root) = worktree.work_dir() else { return Ok(Kept::default()) };
    forget(keep)?;
    fs::create_dir_all(keep)?;
    let mut copier = Copier::new(root, keep)?;
    for path in list(worktree)? {
        match copier.size(&path, limit) {
            Ok(size) if size > limit => copier.leave_out(&path, "it is too large to be kept"),
            Ok(_) => copier.copy(&path)?,
            Err(error) => copier.leave_out(&path, &error.to_string()),
        }
    }
    Ok(copier.kept)
}

/// Copies what [`keep`] kept back into a worktree.
///
/// # Errors
/// Something cannot be read or written.
pub fn put_back(keep: &Path, worktree: &Path) -> io::Result<Kept> {
    let Some(entries) = file::if_there(fs::read_dir(keep))? else { return Ok(Kept::default()) };
    let mut copier = Copier::new(keep, worktree)?;
    for entry in entries {
        copier.copy(Path::new(&entry?.file_name()))?;
    }
    Ok(copier.kept)
}

/// Deletes what was kept.
///
/// # Errors
/// It is there and cannot be deleted.
pub fn forget(keep: &Path) -> io::Result<()> {
    file::if_there(fs::remove_dir_all(keep)).map(drop)
}

/// What git ignores: files, and folders with nothing else in them.
fn list(worktree: &Repo) -> io::Result<Vec<PathBuf>> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let args = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"];
    let listed = worktree.git().args(args).run().map_err(io::Error::other)?;
    if listed.exit != 0 {
        let said = String::from_utf8_lossy(&listed.stderr).trim().to_owned();
        return Err(io::Error::other(said));
    }
    let paths = listed.stdout.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    Ok(paths.map(|path| Path::new(OsStr::from_bytes(path)).components().collect()).collect())
}

/// Both folders are held open, and no path leads out of them.
struct Copier {
    from: Dir,
    into: Dir,
    kept: Kept,
}

impl Copier {
    fn new(from: &Path, into: &Path) -> io::Result<Self> {
        let from = Dir::open_ambient_dir(from, ambient_authority())?;
        let into = Dir::open_ambient_dir(into, ambient_authority())?;
        Ok(Self { from, into, kept: Kept::default() })
    }

    /// Bytes at and below a path; counting ends above `limit`.
    fn size(&self, path: &Path, limit: u64) -> io::Result<u64> {
        let meta = self.from.symlink_metadata(path)?;
        if !meta.is_dir() {
            return Ok(if meta.is_file() { meta.len() } else { 0 });
        }
        let mut size = 0;
        for entry in self.from.read_dir(path)? {
            // An empty file is not free either: a folder of a million is build output too.
            size += BYTES_PER_ENTRY + self.size(&path.join(entry?.file_name()), limit)?;
            if size > limit {
                break;
            }
        }
        Ok(size)
    }

    fn copy(&mut self, path: &Path) -> io::Result<()> {
        let meta = self.from.symlink_metadata(path)?;
        if meta.is_dir() {
            for entry in self.from.read_dir(path)? {
                self.copy(&path.join(entry?.file_name()))?;
            }
            self.make_folders(path)?;
            // Last, since a folder may well be one that nobody may write to.
            return self.into.set_permissions(path, plain(&meta));
        }
        if self.into.symlink_metadata(path).is_ok() {
            self.leave_out(path, "there is something else");
        } else if meta.is_symlink() {
            self.make_folders(path.parent().unwrap_or(Path::new("")))?;
            self.into.symlink_contents(self.from.read_link_contents(path)?, path)?;
            self.kept.files += 1;
        } else if meta.is_file() {
            self.make_folders(path.parent().unwrap_or(Path::new("")))?;
            self.copy_file(path, &meta)?;
            self.kept.files += 1;
        } else {
            self.leave_out(path, "it is neither a file nor a link");
        }
        Ok(())
    }

    fn copy_file(&self, path: &Path, meta: &Metadata) -> io::Result<()> {
        let mut source = self.from.open(path)?;
        let mut copy =
            self.into.open_with(path, OpenOptions::new().write(true).create_new(true))?;
        io::copy(&mut source, &mut copy)?;
        copy.set_permissions(plain(meta))?;
        copy.into_std().set_modified(meta.modified()?.into_std())
    }

    fn make_folders(&self, folder: &Path) -> io::Result<()> {
        if folder.as_os_str().is_empty() { Ok(()) } else { self.into.create_dir_all(folder) }
    }

    fn leave_out(&mut self, path: &Path, why: &str) {
        self.kept.left_out.push((path.to_owned(), why.to_owned()));
    }
}

/// What a file costs besides its content.
const BYTES_PER_ENTRY: u64 = 256;

/// The mode without set-id and sticky bits, which a copy should not carry.
fn plain(meta: &Metadata) -> cap_std::fs::Permissions {
    cap_std::fs::Permissions::from_mode(meta.permissions().mode() & 0o777)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::git::testing::Fixture;

    /// Everything below a folder: path, mode, content or link, time.
    fn look(root: &Path) -> Vec<(PathBuf, u32, String, Option<std::time::SystemTime>)> {
        let mut seen = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.ends_with(".git") {
                    continue;
                }
                let meta = fs::symlink_metadata(&path).unwrap();
                let (text, time) = if meta.is_dir() {
                    folders.push(path.clone());
                    (String::new(), None)
                } else if meta.is_symlink() {
                    (fs::read_link(&path).unwrap().display().to_string(), None)
                } else {
                    (fs::read_to_string(&path).unwrap(), meta.modified().ok())
                };
                let at = path.strip_prefix(root).unwrap().to_owned();
                seen.push((at, meta.permissions().mode() & 0o777, text, time));
            }
        }
        seen.sort();
        seen
    }

    #[test]
    fn r01_ignored_files_come_back_byte_for_byte_and_build_output_is_left_out() {
        let fixture = Fixture::new(&[]);
        fixture.commit(&[(".gitignore", ".env*\n/local/\n/target/\n"), ("src/a", "a\n")]);
        let at = |path: &str| fixture.root.join(path);
        fs::create_dir_all(at("local/empty")).unwrap();
        fs::create_dir(at("target")).unwrap();
        fs::write(at(".env"), "KEY=1").unwrap();
        fs::set_permissions(at(".env"), std::fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(at("src/.env.test"), "KEY=2").unwrap();
        fs::write(at("local/run"), "#!").unwrap();
        fs::set_permissions(at("local/run"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", at("local/link")).unwrap();
        fs::set_permissions(at("local"), std::fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(at("target/big"), "x".repeat(20_000)).unwrap();
        fs::write(at("untracked"), "not ours").unwrap();

        let store = fixture.beside("kept");
        let kept = keep(&fixture.repo(), &store, 10_000).unwrap();
        let left_out = vec![("target".into(), "it is too large to be kept".to_owned())];
        assert_eq!(kept, Kept { files: 4, left_out });
        // A second time replaces the first.
        assert_eq!(keep(&fixture.repo(), &store, 10_000).unwrap(), kept);

        let back = fixture.beside("back");
        fs::create_dir(&back).unwrap();
        assert_eq!(put_back(&store, &back).unwrap(), Kept { files: 4, left_out: Vec::new() });
        let ours = |path: &Path| {
            let mut seen = look(path);
            seen.retain(|(path, ..)| {
                path.starts_with("local") || path.to_string_lossy().contains(".env")
            });
            seen
        };
        assert_eq!(ours(&back), ours(&fixture.root));
        assert_eq!(ours(&back).len(), 6);
        forget(&store).unwrap();
        assert_eq!(put_back(&store, &back).unwrap(), Kept::default());
    }

    #[test]
    fn nothing_is_written_over_nor_through_a_link_to_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["kept/data", "wt", "elsewhere"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        fs::write(at("kept/.env"), "old").unwrap();
        fs::write(at("wt/.env"), "new").unwrap();
        let back = put_back(&at("kept"), &at("wt")).unwrap();
        assert_eq!(back.left_out, [(".env".into(), "there is something else".to_owned())]);
        assert_eq!(fs::read_to_string(at("wt/.env")).unwrap(), "new");
        fs::remove_dir(at("wt/data")).unwrap();
        std::os::unix::fs::symlink(at("elsewhere"), at("wt/data")).unwrap();
        fs::write(at("kept/data/f"), "x").unwrap();
        assert!(put_back(&at("kept"), &at("wt")).is_err());
        assert_eq!(fs::read_dir(at("elsewhere")).unwrap().count(), 0);
    }
}
