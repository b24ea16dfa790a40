//! Looking for what changed in a worktree: one `lstat` a tracked file, and the names in folders
//! that changed.
//!
//! Invariant: a scan reads no content and changes nothing but what is remembered of folders; it
//! never follows a symbolic link below the worktree's root.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::tree::EntryKind;
use gix::validate::path::component;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use crate::git::filter::{Rules, is_named};
use crate::git::index::{self, Folder, Found, Node, Stat, join};
use crate::git::snapshot::{LeftOut, SnapshotError, Why};

/// A thread takes so many folders at a time.
const BATCH: usize = 16;
/// How a folder is opened: never through a link.
pub(super) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// More threads do not make `lstat` faster on the disks it was tried on.
const THREADS: usize = 2;

/// A worktree on disk.
pub(super) struct Disk {
    root: OwnedFd,
    path: PathBuf,
    /// Names that differ only in case name one file (`core.ignoreCase`).
    pub(super) ignore_case: bool,
    /// Names come decomposed and are stored composed (`core.precomposeUnicode`, macOS).
    pub(super) precompose: bool,
}

/// Where a walk towards a path ended.
pub(super) enum Reached {
    /// In the folder that holds it.
    Parent(OwnedFd),
    /// At the first so many bytes of it, which name no folder.
    Stopped(usize),
}

/// What a scan came upon.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Files that may differ from what is known, or are new; folders that are no longer.
    pub(super) suspects: Vec<BString>,
    /// Submodules that are there.
    pub(super) modules: Vec<BString>,
    /// Ignore files that are new, or ignored themselves.
    pub(super) rule_files: Vec<BString>,
    pub(super) left_out: Vec<LeftOut>,
}

impl Disk {
    /// Opens the worktree at `path`.
    ///
    /// # Errors
    /// It is not there, or no folder.
    pub(super) fn open(path: &Path) -> Result<Self, SnapshotError> {
        let root = rustix::fs::open(path, FOLDER, Mode::empty())
            .map_err(|errno| SnapshotError::unreadable(BStr::new("."), errno.into()))?;
        Ok(Self { root, path: path.to_owned(), ignore_case: false, precompose: false })
    }

    /// Where the worktree is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Walks to the folder that holds `path`, component by component, following no link.
    ///
    /// # Errors
    /// A folder on the way cannot be entered.
    pub(super) fn parent(&self, path: &BStr) -> Result<Reached, SnapshotError> {
        let open = |from: &OwnedFd, name: &[u8]| openat(from, name, FOLDER, Mode::empty());
        let mut folder = open(&self.root, b".").map_err(|errno| unreadable(path, errno))?;
        let mut at = 0;
        while let Some(length) = path[at..].find_byte(b'/') {
            folder = match open(&folder, &path[at..at + length]) {
                Ok(inner) => inner,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                    return Ok(Reached::Stopped(at + length));
                }
                Err(errno) => return Err(unreadable(path[..at + length].as_bstr(), errno)),
            };
            at += length + 1;
        }
        Ok(Reached::Parent(folder))
    }

    /// Whether the folder at `path` is the root of another repository.
    pub(super) fn is_repository(&self, path: &BStr) -> bool {
        let kind = |name: &str| self.kind(join(path, name.into()).as_bstr());
        match kind(".git") {
            Ok(FileType::Directory) => kind(".git/HEAD").is_ok(),
            Ok(FileType::RegularFile | FileType::Symlink) => true,
            _ => false,
        }
    }

    fn kind(&self, path: &BStr) -> Result<FileType, Errno> {
        let stat = statat(&self.root, path.as_bytes(), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileType::from_raw_mode(stat.st_mode))
    }

    fn folder(&self, path: &BStr) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path.as_bytes() };
        openat(&self.root, path, FOLDER, Mode::empty())
    }
}

/// Looks at everything under `at` (the empty path: everywhere), with what is known in `root`.
///
/// # Errors
/// Something cannot be read; it is named.
pub(super) fn scan(
    disk: &Disk,
    rules: &Rules,
    root: &Folder,
    at: &BStr,
) -> Result<Findings, SnapshotError> {
    let known = if at.is_empty() { Found::Folder(root) } else { root.find(at) };
    let Found::Folder(known) = known else {
        let mut scan = Scan { disk, rules: rules.clone(), findings: Findings::default() };
        if !scan.is_excluded(at, true)? {
            scan.new_folder(at)?;
        }
        return Ok(scan.findings);
    };
    let mut folders = Vec::new();
    known.folders(at.to_owned(), &mut folders);
    let (folders, next) = (&folders, &AtomicUsize::new(0));
    let threads = THREADS.min(folders.len() / BATCH + 1);
    std::thread::scope(|scope| {
        let scan = || Scan { disk, rules: rules.clone(), findings: Findings::default() };
        let others: Vec<_> = (1..threads)
            .map(|_| scan())
            .map(|scan| scope.spawn(move || scan.run(folders, next)))
            .collect();
        let mut findings = scan().run(folders, next)?;
        for other in others {
            match other.join() {
                Ok(more) => findings.extend(more?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(findings)
    })
}

/// One thread's share of a scan.
struct Scan<'a> {
    disk: &'a Disk,
    rules: Rules,
    findings: Findings,
}

impl Scan<'_> {
    fn run(
        mut self,
        folders: &[(BString, &Folder)],
        next: &AtomicUsize,
    ) -> Result<Findings, SnapshotError> {
        loop {
            let from = next.fetch_add(BATCH, Ordering::Relaxed);
            let Some(rest) = folders.get(from..) else { return Ok(self.findings) };
            for (path, folder) in rest.iter().take(BATCH) {
                self.visit(path.as_bstr(), folder)?;
            }
        }
    }

    /// Compares a known folder with the disk, but not the folders in it.
    fn visit(&mut self, path: &BStr, folder: &Folder) -> Result<(), SnapshotError> {
        let on_disk = match self.disk.folder(path) {
            Ok(on_disk) => on_disk,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if !path.is_empty() => {
                self.findings.suspects.push(path.to_owned());
                return Ok(());
            }
            Err(errno) => return Err(unreadable(path, errno)),
        };
        for (name, node) in &folder.nodes {
            let Node::File(file) = node else { continue };
            match statat(&on_disk, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) if file.kind == EntryKind::Commit => {
                    self.findings.modules.push(join(path, name.as_bstr()));
                }
                Ok(stat) if file.is_current(&to_stat(&stat)) => {}
                Err(Errno::NOENT) if file.skip => {}
                Ok(_) | Err(Errno::NOENT) => {
                    self.findings.suspects.push(join(path, name.as_bstr()));
                }
                Err(errno) => return Err(unreadable(join(path, name.as_bstr()).as_bstr(), errno)),
            }
        }
        let now = index::now();
        let stat = rustix::fs::fstat(&on_disk).map_err(|errno| unreadable(path, errno))?;
        let ctime = to_stat(&stat).ctime;
        if !folder.is_seen(ctime) && self.names(on_disk, path, Some(folder))? {
            folder.see(ctime, now);
        }
        Ok(())
    }

    /// Finds what is new in a folder. Returns whether nothing was left out.
    fn names(
        &mut self,
        on_disk: OwnedFd,
        path: &BStr,
        known: Option<&Folder>,
    ) -> Result<bool, SnapshotError> {
        let mut complete = true;
        for entry in Dir::new(on_disk).map_err(|errno| unreadable(path, errno))? {
            let entry = entry.map_err(|errno| unreadable(path, errno))?;
            let name = BStr::new(entry.file_name().to_bytes());
            if [".", "..", ".git"].iter().any(|own| name == own) {
                continue;
            }
            let composed =
                self.disk.precompose.then(|| gix::utils::str::precompose_bstr(name.into()));
            let name = composed.as_deref().unwrap_or(name);
            if known.is_some_and(|known| self.knows(known, name)) {
                continue;
            }
            let full = join(path, name);
            let kind = match entry.file_type() {
                FileType::Unknown => match self.disk.kind(full.as_bstr()) {
                    Ok(kind) => kind,
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(unreadable(full.as_bstr(), errno)),
                },
                kind => kind,
            };
            complete &= self.new_entry(full, kind)?;
        }
        Ok(complete)
    }

    fn new_entry(&mut self, path: BString, kind: FileType) -> Result<bool, SnapshotError> {
        let is_rule_file = is_named(path.as_bstr(), ".gitignore");
        if is_rule_file {
            self.findings.rule_files.push(path.clone());
        }
        if self.is_excluded(path.as_bstr(), kind == FileType::Directory)? {
            return Ok(true);
        }
        if let Some(why) = refused(path.as_bstr(), kind) {
            self.findings.left_out.push(LeftOut { path, why });
            return Ok(false);
        }
        if kind == FileType::Directory {
            return self.new_folder(path.as_bstr());
        }
        self.findings.suspects.push(path);
        Ok(true)
    }

    fn new_folder(&mut self, path: &BStr) -> Result<bool, SnapshotError> {
        if self.disk.is_repository(path) {
            let path = path.to_owned();
            self.findings.left_out.push(LeftOut { path, why: Why::Repository });
            return Ok(false);
        }
        match self.disk.folder(path) {
            // A folder that yields nothing is not known afterwards, so its parent has to be read
            // again for what may come into it.
            Ok(on_disk) => {
                let before = self.findings.suspects.len();
                self.names(on_disk, path, None)?;
                Ok(self.findings.suspects.len() > before)
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
            Err(errno) => Err(unreadable(path, errno)),
        }
    }

    fn knows(&self, folder: &Folder, name: &BStr) -> bool {
        folder.node(name).is_some()
            || self.disk.ignore_case
                && folder.nodes.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    fn is_excluded(&mut self, path: &BStr, is_folder: bool) -> Result<bool, SnapshotError> {
        let excluded = self.rules.is_excluded(path, is_folder);
        excluded.map_err(|source| SnapshotError::unreadable(path, source))
    }
}

impl Findings {
    fn extend(&mut self, more: Self) {
        self.suspects.extend(more.suspects);
        self.modules.extend(more.modules);
        self.rule_files.extend(more.rule_files);
        self.left_out.extend(more.left_out);
    }
}

/// Why a new entry can never be stored: its name is one by which a file system may reach `.git`
/// (the rules of git's `verify_path`, with `core.protectHFS` and `core.protectNTFS` on), or it is
/// neither file, folder nor link.
pub(super) fn refused(path: &BStr, kind: FileType) -> Option<Why> {
    let leaf = match kind {
        FileType::Symlink => Some(component::Mode::Symlink),
        FileType::RegularFile | FileType::Directory => None,
        _ => return Some(Why::Special),
    };
    let rules =
        component::Options { protect_windows: false, protect_hfs: true, protect_ntfs: true };
    let last = path.split_str("/").count() - 1;
    let bad = path.split_str("/").enumerate().any(|(at, name)| {
        let leaf = leaf.filter(|_| at == last);
        gix::validate::path::component(name.as_bstr(), leaf, rules).is_err()
    });
    bad.then_some(Why::Name)
}

/// The stat data git keeps: cut to 32 bits each, as in an index file.
#[expect(clippy::unnecessary_cast, reason = "the types of these fields differ between systems")]
pub(super) fn to_stat(stat: &rustix::fs::Stat) -> Stat {
    use gix::index::entry::stat::Time;
    Stat {
        mtime: Time { secs: stat.st_mtime as u32, nsecs: stat.st_mtime_nsec as u32 },
        ctime: Time { secs: stat.st_ctime as u32, nsecs: stat.st_ctime_nsec as u32 },
        dev: stat.st_dev as u32,
        ino: stat.st_ino as u32,
        uid: stat.st_uid as u32,
        gid: stat.st_gid as u32,
        size: stat.st_size as u32,
    }
}

fn unreadable(path: &BStr, errno: Errno) -> SnapshotError {
    SnapshotError::unreadable(path, errno.into())
}
