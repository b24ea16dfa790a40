//! Filling a new worktree with files: copied from a checkout that has them, else from objects.
//!
//! Invariant: nothing that exists is written over, and no file is copied unless its stat data
//! prove that it holds the very content wanted.

use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::tree::EntryKind;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, mkdirat, openat, statat, symlinkat};
use rustix::io::Errno;

use crate::git::filter::{FilterError, flag};
use crate::git::index::{File, Folder, same};
use crate::git::repo::Repo;
use crate::git::scan::{FOLDER, refused, to_stat};
use crate::git::smudge::{Attributes, Form, Smudge};

/// A thread takes so many files at a time.
const BATCH: usize = 64;
/// From this size on, sharing the blocks is cheaper than copying the bytes.
const WORTH_SHARING: u32 = 16 * 1024;
/// Making files is bound by the file system's own locks: more threads than these only wait.
const MAX_THREADS: usize = 4;

/// A file that could not be made.
#[derive(Debug)]
pub(super) struct CheckoutError {
    pub(super) path: BString,
    pub(super) error: FilterError,
}

/// What all threads share.
struct Target {
    root: OwnedFd,
    source: Option<OwnedFd>,
    symlinks: bool,
    /// Whether the file system shares blocks between files, as far as it was tried.
    shares: AtomicBool,
}

/// Makes all that `root` holds in the empty folder `target`, and notes the stat data. Files whose
/// stat data in `root` fit those in the checkout `source` are copied from there.
///
/// # Errors
/// A file cannot be made: the first such is named, and what was made so far stays.
pub(super) fn fill(
    repo: &Repo,
    root: &mut Folder,
    attributes: &Attributes,
    source: Option<&Path>,
    target: &Path,
) -> Result<(), CheckoutError> {
    let open = |path: &Path| rustix::fs::open(path, FOLDER, Mode::empty());
    let place = Target {
        root: open(target).map_err(|errno| failed(BStr::new("."), errno))?,
        source: source.and_then(|path| open(path).ok()),
        symlinks: flag(repo.gix(), "core.symlinks", true),
        shares: AtomicBool::new(true),
    };
    let mut folders = Vec::new();
    root.folders(BString::default(), &mut folders);
    for (path, _) in folders.iter().skip(1) {
        check_name(path.as_bstr(), FileType::Directory)?;
        mkdirat(&place.root, path.as_bytes(), Mode::from_raw_mode(0o777))
            .map_err(|errno| failed(path.as_bstr(), errno))?;
    }
    drop(folders);
    let mut files = Vec::new();
    root.files_mut(BStr::new(""), &mut files);
    let batches = &Mutex::new(files.chunks_mut(BATCH));
    let place = &place;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map(|_| repo.clone())
            .map(|repo| scope.spawn(move || make_all(&repo, place, attributes, target, batches)))
            .collect();
        let mut done = make_all(repo, place, attributes, target, batches);
        for other in others {
            match other.join() {
                Ok(theirs) => done = done.and(theirs),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    })
}

type Batches<'f, 'r> = Mutex<std::slice::ChunksMut<'f, (BString, &'r mut File)>>;

/// One thread's share. After a failure nobody finds a batch any more.
fn make_all(
    repo: &Repo,
    place: &Target,
    attributes: &Attributes,
    target: &Path,
    batches: &Batches,
) -> Result<(), CheckoutError> {
    let smudge = Smudge::open(repo, attributes, target);
    let smudge = smudge.map_err(|error| CheckoutError { path: ".".into(), error: error.into() })?;
    let mut maker = Maker { place, smudge, buffer: Vec::new() };
    loop {
        let batch = batches.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some(batch) = batch else { return Ok(()) };
        for (path, file) in batch {
            if let Err(error) = maker.make(path.as_bstr(), file) {
                let mut rest = batches.lock().unwrap_or_else(PoisonError::into_inner);
                rest.by_ref().for_each(drop);
                return Err(CheckoutError { path: path.clone(), error });
            }
        }
    }
}

struct Maker<'a> {
    place: &'a Target,
    smudge: Smudge<'a>,
    buffer: Vec<u8>,
}

impl Maker<'_> {
    fn make(&mut self, path: &BStr, file: &mut File) -> Result<(), FilterError> {
        file.skip = false;
        let root = &self.place.root;
        let kind =
            if file.kind == EntryKind::Link { FileType::Symlink } else { FileType::RegularFile };
        check_name(path, kind).map_err(|refused| refused.error)?;
        let stat = match file.kind {
            EntryKind::Commit => {
                // The folder of a submodule that is not initialised, as git leaves it.
                mkdirat(root, path.as_bytes(), Mode::from_raw_mode(0o777))
                    .map_err(io::Error::from)?;
                return Ok(());
            }
            EntryKind::Link if self.place.symlinks => {
                let link = self.smudge.stored(file.id)?;
                symlinkat(link, root, path.as_bytes()).map_err(io::Error::from)?;
                statat(root, path.as_bytes(), AtFlags::SYMLINK_NOFOLLOW)
            }
            _ => fstat(&self.make_file(path, file)?),
        };
        file.stat = to_stat(&stat.map_err(io::Error::from)?);
        // Nobody else writes here yet. Who reads the index distrusts a file no older than it.
        file.settled = true;
        Ok(())
    }

    fn make_file(&mut self, path: &BStr, file: &File) -> Result<std::fs::File, FilterError> {
        let form = match file.kind {
            EntryKind::Link => Form::Stored,
            _ => self.smudge.form(path)?,
        };
        let source = self.same_file(path, file, form)?;
        let mode = if file.kind == EntryKind::BlobExecutable { 0o777 } else { 0o666 };
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(&self.place.root, path.as_bytes(), flags, Mode::from_raw_mode(mode));
        let mut made = std::fs::File::from(made.map_err(io::Error::from)?);
        if let Some(source) = source
            && self.copy(source, file, &made)?
        {
            return Ok(made);
        }
        if file.kind == EntryKind::Link {
            made.write_all(self.smudge.stored(file.id)?)?;
        } else {
            made.write_all(&self.smudge.checked_out(path, file.id)?)?;
        }
        Ok(made)
    }

    /// The file in the other checkout, if it is in the form wanted here and its stat data fit.
    fn same_file(
        &self,
        path: &BStr,
        file: &File,
        form: Form,
    ) -> Result<Option<std::fs::File>, FilterError> {
        let Some(source) = &self.place.source else { return Ok(None) };
        if form == Form::Converted || !file.settled || file.kind == EntryKind::Link {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(source) = openat(source, path.as_bytes(), flags, Mode::empty()) else {
            return Ok(None);
        };
        let Ok(stat) = fstat(&source) else { return Ok(None) };
        if !file.is_current(&to_stat(&stat)) {
            return Ok(None);
        }
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        if form == Form::Lines && self.smudge.size(file.id)? != size {
            return Ok(None);
        }
        Ok(Some(source.into()))
    }

    /// Copies `source` unless it changes meanwhile; `made` is then empty again.
    fn copy(
        &mut self,
        mut source: std::fs::File,
        file: &File,
        mut made: &std::fs::File,
    ) -> io::Result<bool> {
        if file.stat.size >= WORTH_SHARING && self.share(&source, made) {
            // Shared blocks are a moment of the file, like any read.
        } else {
            self.buffer.clear();
            source.read_to_end(&mut self.buffer)?;
            made.write_all(&self.buffer)?;
        }
        if same(&file.stat, &to_stat(&fstat(&source)?)) {
            return Ok(true);
        }
        made.set_len(0)?;
        made.rewind()?;
        Ok(false)
    }

    #[cfg(target_os = "linux")]
    fn share(&self, source: &std::fs::File, made: &std::fs::File) -> bool {
        if !self.place.shares.load(Ordering::Relaxed) {
            return false;
        }
        let shared = rustix::fs::ioctl_ficlone(made, source).is_ok();
        if !shared {
            self.place.shares.store(false, Ordering::Relaxed);
        }
        shared
    }

    #[cfg(not(target_os = "linux"))]
    fn share(&self, _: &std::fs::File, _: &std::fs::File) -> bool {
        false
    }
}

fn check_name(path: &BStr, kind: FileType) -> Result<(), CheckoutError> {
    match refused(path, kind) {
        None => Ok(()),
        Some(why) => Err(CheckoutError {
            path: path.to_owned(),
            error: FilterError::Io(io::Error::new(io::ErrorKind::InvalidInput, why.to_string())),
        }),
    }
}

fn failed(path: &BStr, errno: Errno) -> CheckoutError {
    CheckoutError { path: path.to_owned(), error: FilterError::Io(errno.into()) }
}
