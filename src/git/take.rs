//! Bringing a [`Snapshot`] up to the disk: everywhere, or at known paths.
//!
//! Invariant: a path is reached folder by folder, following no link, so nothing outside the
//! worktree is ever read into an object.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::tree::EntryKind;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::git::ObjectId;
use crate::git::filter::{Filter, Rules};
use crate::git::index::{self, File, Found, Stat, as_path, is_settled, join, same};
use crate::git::scan::{Findings, Reached, refused, scan, to_stat};
use crate::git::snapshot::{Change, ChangeKind, LeftOut, Snapshot, SnapshotError, Why};

/// So often is a file read again that changes while it is read.
const READS: usize = 3;

/// One take in progress.
pub(super) struct Pass {
    pub(super) filter: Filter,
    pub(super) left_out: Vec<LeftOut>,
}

/// Content on its way into the index.
enum Content {
    Stored {
        id: ObjectId,
        stat: Stat,
        settled: bool,
    },
    TooLarge(u64),
    /// It is no longer what it was a moment ago.
    Gone,
}

impl Snapshot {
    /// Compares the whole worktree.
    pub(super) fn look_everywhere(&mut self, pass: &mut Pass) -> Result<(), SnapshotError> {
        let rules = pass.filter.rules().clone();
        let rule_files = self.rule_files_now();
        if self.rule_files.as_ref() != Some(&rule_files) {
            self.root.forget();
        }
        let is_first = self.rule_files.replace(rule_files).is_none();
        let mut findings = self.scan(BStr::new(""), &rules)?;
        let known = self.loose_rules.len();
        self.loose_rules.append(&mut findings.rule_files);
        self.loose_rules.sort();
        self.loose_rules.dedup();
        if !is_first && self.loose_rules.len() > known {
            // A new rule may let in what stands in folders that were not read again.
            self.root.forget();
            findings = self.scan(BStr::new(""), &rules)?;
        }
        self.follow(findings, pass)
    }

    /// Compares one path, relative to the worktree, and what is below it.
    pub(super) fn look_at(&mut self, path: &Path, pass: &mut Pass) -> Result<(), SnapshotError> {
        let Some(path) = normal(path) else { return Ok(()) };
        for at in path.find_iter("/") {
            let folder = path[..at].as_bstr();
            if matches!(self.root.find(folder), Found::Nothing) && self.disk.is_repository(folder) {
                pass.leave_out(folder, Why::Repository);
                return Ok(());
            }
        }
        if path.split_str("/").any(|name| name == b".git") {
            return Ok(());
        }
        self.update(path.as_bstr(), pass)
    }

    /// What a take would look into.
    #[cfg(test)]
    pub(super) fn suspects(&self) -> Result<Vec<BString>, SnapshotError> {
        let rules = Rules::open(self.repo.gix(), self.disk.path(), &[]);
        let rules = rules.map_err(SnapshotError::repository)?;
        Ok(self.scan(BStr::new(""), &rules)?.suspects)
    }

    fn scan(&self, at: &BStr, rules: &Rules) -> Result<Findings, SnapshotError> {
        scan(&self.disk, rules, &self.root, at)
    }

    fn follow(&mut self, findings: Findings, pass: &mut Pass) -> Result<(), SnapshotError> {
        pass.left_out.extend(findings.left_out);
        let mut suspects = findings.suspects;
        suspects.sort();
        for path in suspects {
            self.update(path.as_bstr(), pass)?;
        }
        for path in findings.modules {
            self.look_at_submodule(path.as_bstr(), pass);
        }
        Ok(())
    }

    fn update(&mut self, path: &BStr, pass: &mut Pass) -> Result<(), SnapshotError> {
        let folder = match self.disk.parent(path)? {
            Reached::Parent(folder) => folder,
            Reached::Stopped(at) => return self.update(path[..at].as_bstr(), pass),
        };
        let known = match self.root.find(path) {
            Found::Below(at) => return self.update(path[..at].as_bstr(), pass),
            Found::File(file) => Some(*file),
            Found::Folder(_) | Found::Nothing => None,
        };
        let stat = match statat(&folder, leaf(path), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => {
                self.remove(path);
                return Ok(());
            }
            Err(errno) => return Err(SnapshotError::unreadable(path, errno.into())),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        match (kind, known) {
            (FileType::Directory, Some(File { kind: EntryKind::Commit, .. })) => {
                self.look_at_submodule(path, pass);
                Ok(())
            }
            (FileType::Directory, known) => {
                if known.is_some() {
                    self.remove(path);
                }
                let rules = pass.filter.rules().clone();
                let findings = self.scan(path, &rules)?;
                self.follow(findings, pass)
            }
            (FileType::RegularFile | FileType::Symlink, Some(known)) => {
                self.store(&folder, path, kind, Some(known), pass)
            }
            (FileType::RegularFile | FileType::Symlink, None) => {
                self.remove(path);
                let excluded = pass.filter.rules().is_excluded(path, false);
                if excluded.map_err(|error| SnapshotError::unreadable(path, error))? {
                    return Ok(());
                }
                match refused(path, kind) {
                    Some(why) => self.leave_out(path, why, pass),
                    None => return self.store(&folder, path, kind, None, pass),
                }
                Ok(())
            }
            _ => {
                self.leave_out(path, Why::Special, pass);
                Ok(())
            }
        }
    }

    fn store(
        &mut self,
        folder: &OwnedFd,
        path: &BStr,
        file_type: FileType,
        known: Option<File>,
        pass: &mut Pass,
    ) -> Result<(), SnapshotError> {
        let (mut kind, content) = if file_type == FileType::Symlink {
            (EntryKind::Link, self.read_link(folder, path)?)
        } else {
            self.read_file(folder, path, known, pass)?
        };
        let (id, stat, settled) = match content {
            Content::Stored { id, stat, settled } => (id, stat, settled),
            Content::TooLarge(size) => {
                self.leave_out(path, Why::TooLarge(size), pass);
                return Ok(());
            }
            Content::Gone => return self.update(path, pass),
        };
        if !self.file_mode && kind == EntryKind::BlobExecutable && known.is_none() {
            kind = EntryKind::Blob;
        }
        match known {
            Some(known) if (known.kind, known.id) == (kind, id) => {}
            Some(_) => self.note(path, ChangeKind::Modified),
            None => self.note(path, ChangeKind::Added),
        }
        self.root.set(path, File { kind, id, stat, settled, skip: false });
        Ok(())
    }

    fn read_link(&self, folder: &OwnedFd, path: &BStr) -> Result<Content, SnapshotError> {
        let now = index::now();
        let failed = |errno: Errno| SnapshotError::unreadable(path, errno.into());
        let stat = statat(folder, leaf(path), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let target = match readlinkat(folder, leaf(path), Vec::new()) {
            Ok(target) => target,
            Err(Errno::INVAL | Errno::NOENT) => return Ok(Content::Gone),
            Err(errno) => return Err(failed(errno)),
        };
        let id = self.write_blob(target.as_bytes())?;
        let stat = to_stat(&stat);
        Ok(Content::Stored { id, stat, settled: is_settled(&stat, now) })
    }

    /// Reads a regular file, again if it changes meanwhile: a torn read must not pass for current.
    fn read_file(
        &self,
        folder: &OwnedFd,
        path: &BStr,
        known: Option<File>,
        pass: &mut Pass,
    ) -> Result<(EntryKind, Content), SnapshotError> {
        let failed = |errno: Errno| SnapshotError::unreadable(path, errno.into());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let is_link = !self.symlinks && known.is_some_and(|known| known.kind == EntryKind::Link);
        let mut kind = EntryKind::Blob;
        let mut content = Content::Gone;
        for _ in 0..READS {
            let now = index::now();
            let file = match openat(folder, leaf(path), flags, Mode::empty()) {
                Ok(file) => file,
                Err(Errno::NOENT | Errno::LOOP) => return Ok((kind, Content::Gone)),
                Err(errno) => return Err(failed(errno)),
            };
            let before = fstat(&file).map_err(failed)?;
            if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
                return Ok((kind, Content::Gone));
            }
            kind = match known {
                _ if is_link => EntryKind::Link,
                Some(known) if !self.file_mode && is_blob(known.kind) => known.kind,
                _ if before.st_mode & 0o100 != 0 => EntryKind::BlobExecutable,
                _ => EntryKind::Blob,
            };
            let file = std::fs::File::from(file);
            content = self.read_content(&file, path, known, is_link, pass)?;
            let Content::Stored { stat, settled, .. } = &mut content else { break };
            let (before, after) = (to_stat(&before), to_stat(&fstat(&file).map_err(failed)?));
            *stat = before;
            *settled = same(&before, &after) && is_settled(&before, now);
            if same(&before, &after) {
                break;
            }
        }
        Ok((kind, content))
    }

    fn read_content(
        &self,
        file: &std::fs::File,
        path: &BStr,
        known: Option<File>,
        is_link: bool,
        pass: &mut Pass,
    ) -> Result<Content, SnapshotError> {
        let size = file.metadata().map_err(|error| SnapshotError::unreadable(path, error))?.len();
        let filter = |error| SnapshotError::filter(path, error);
        // A filter such as git-lfs's stores a few bytes in place of a large file.
        let driver = if is_link { Ok(false) } else { pass.filter.has_driver(path) };
        if size > self.max_file_size && !matches!(driver, Ok(true)) {
            driver.map_err(filter)?;
            return Ok(Content::TooLarge(size));
        }
        let old = known.filter(|known| is_blob(known.kind)).map(|known| known.id);
        let stored = match driver {
            Ok(_) if !is_link => {
                pass.filter.clean(path, file, old, self.max_file_size).map_err(filter)?
            }
            driver => {
                let mut bytes = Vec::new();
                io::Read::read_to_end(&mut io::Read::take(file, self.max_file_size), &mut bytes)
                    .map_err(|error| SnapshotError::unreadable(path, error))?;
                // Where the filter was missing at checkout too, the file is what is stored.
                let hash = self.repo.gix().object_hash();
                let id = gix::objs::compute_hash(hash, gix::objs::Kind::Blob, &bytes);
                if !is_link
                    && id.map_err(SnapshotError::repository)? != old.unwrap_or(self.repo.null_id())
                {
                    driver.map_err(filter)?;
                }
                bytes
            }
        };
        let length = u64::try_from(stored.len()).unwrap_or(u64::MAX);
        if length > self.max_file_size {
            return Ok(Content::TooLarge(size.max(length)));
        }
        let id = self.write_blob(&stored)?;
        Ok(Content::Stored { id, stat: Stat::default(), settled: false })
    }

    fn write_blob(&self, bytes: &[u8]) -> Result<ObjectId, SnapshotError> {
        self.repo.write_blob(bytes).map_err(SnapshotError::repository)
    }

    /// A submodule keeps the commit that is recorded; that it moved is said.
    fn look_at_submodule(&self, path: &BStr, pass: &mut Pass) {
        let Found::File(recorded) = self.root.find(path) else { return };
        let on_disk = self.disk.path().join(as_path(path));
        // Nothing in an agent's reach is run by opening it, and no config of the user's is needed.
        let head = gix::open_opts(on_disk, gix::open::Options::isolated())
            .ok()
            .and_then(|submodule| Some(submodule.head_id().ok()?.detach()));
        if let Some(head) = head.filter(|head| *head != recorded.id) {
            pass.leave_out(path, Why::Submodule(head));
        }
    }

    fn remove(&mut self, path: &BStr) {
        let mut gone = Vec::new();
        let mut collect = |path: &BStr, file: &File| {
            if !file.skip {
                gone.push(path.to_owned());
            }
        };
        match self.root.find(path) {
            Found::File(file) => collect(path, file),
            Found::Folder(folder) => folder.each_file(path, &mut collect),
            Found::Nothing | Found::Below(..) => return,
        }
        // A folder that it leaves on disk is not known any more, so the one around it has to be read
        // again for what may come into it.
        self.root.forget_above(path);
        self.root.remove(path);
        for path in gone {
            self.note(path.as_bstr(), ChangeKind::Deleted);
        }
    }

    fn note(&mut self, path: &BStr, kind: ChangeKind) {
        self.changes.push(Change { path: path.to_owned(), kind });
    }

    fn leave_out(&self, path: &BStr, why: Why, pass: &mut Pass) {
        self.root.forget_above(path);
        pass.leave_out(path, why);
    }

    /// The ignore files that have a say, and how they are now.
    fn rule_files_now(&self) -> Vec<(PathBuf, Option<Stat>)> {
        let mut inside = self.loose_rules.clone();
        self.root.named(BStr::new(".gitignore"), &mut BString::default(), &mut inside);
        let root = self.disk.path();
        let inside = inside.iter().map(|path| root.join(as_path(path.as_bstr())));
        let files = inside.chain(self.global_rules.iter().cloned());
        let stat = |path: &Path| rustix::fs::lstat(path).ok().map(|stat| to_stat(&stat));
        files
            .map(|path| {
                let stat = stat(&path);
                (path, stat)
            })
            .collect()
    }
}

impl Pass {
    fn leave_out(&mut self, path: &BStr, why: Why) {
        self.left_out.push(LeftOut { path: path.to_owned(), why });
    }
}

fn is_blob(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::Blob | EntryKind::BlobExecutable)
}

fn leaf(path: &BStr) -> &[u8] {
    path.rsplit_once_str("/").map_or(path.as_bytes(), |(_, name)| name)
}

/// A relative path without `.` and `..`; none if it leads out of the worktree or is the worktree.
fn normal(path: &Path) -> Option<BString> {
    let mut parts: Vec<&BStr> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => parts.push(name.as_bytes().as_bstr()),
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    parts.into_iter().fold(None, |path: Option<BString>, part| {
        Some(path.map_or_else(|| part.to_owned(), |path| join(path.as_bstr(), part)))
    })
}
