//! Objects that somebody else's `git gc --prune=now` takes away while a session needs them.
//!
//! git deletes what no ref led to when it looked; it looks once, and may go on deleting for as long
//! as it takes, so a ref that has moved meanwhile protects nothing. Therefore each object that is
//! written gets a second name for some minutes, a hard link in a folder of the caller's; one that
//! has lost its first name gets it back from there. That costs two system calls an object, and no
//! space.
//!
//! Invariant: an object is let go only after it was there for [`LONG`], or when nothing that could
//! take it away is known to run.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::git::ObjectId;
use crate::git::durable::loose;
use crate::git::repo::Repo;

/// How long an object is kept: longer than git deletes for, after it has looked.
const LONG: Duration = Duration::from_secs(300);
/// How often all that is kept is looked at; what is new is at each move of a ref.
const OFTEN: Duration = Duration::from_secs(5);
/// How often an object is written again that goes away at once.
const TRIES: usize = 5;

/// What is kept; shared by all clones of a repository, and nothing unless that is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Keep(Arc<Mutex<Option<Kept>>>);

#[derive(Debug)]
struct Kept {
    folder: PathBuf,
    objects: BTreeMap<ObjectId, Instant>,
    /// Those that no look has found yet.
    new: Vec<ObjectId>,
    looked: Instant,
}

impl Keep {
    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Repo {
    /// From now on keeps what is written through this repository and its clones, in this folder,
    /// which must be on the same file system. What a run that died has left there is kept too.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn keep_written(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let now = Instant::now();
        let mut objects = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            if let Some(id) = name.to_str().and_then(|it| ObjectId::from_hex(it.as_bytes()).ok()) {
                objects.insert(id, now);
            }
        }
        let (folder, new) = (folder.to_owned(), Vec::new());
        *self.kept().lock() = Some(Kept { folder, objects, new, looked: now });
        self.restore_kept().map(drop)
    }

    /// Gives back what was taken away of what is kept, and says how much that was.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn restore_kept(&self) -> io::Result<usize> {
        self.restore(true)
    }

    /// As [`Repo::restore_kept`], of what is new alone, and of all now and then.
    pub(super) fn restore_new(&self) -> io::Result<usize> {
        self.restore(false)
    }

    fn restore(&self, all: bool) -> io::Result<usize> {
        let mut keep = self.kept().lock();
        let Some(kept) = &mut *keep else { return Ok(0) };
        let store = self.common_dir().join("objects");
        let is_due = all || kept.looked.elapsed() > OFTEN;
        let looked_at: Vec<_> = match is_due {
            true => kept.objects.keys().copied().collect(),
            false => kept.new.clone(),
        };
        let mut restored = 0;
        for id in looked_at {
            let path = loose(&store, id);
            // One that was packed meanwhile is well.
            if path.exists() || self.has_object(id) {
                continue;
            }
            give_back(&kept.folder.join(id.to_string()), &path)?;
            restored += 1;
        }
        if restored > 0 {
            tracing::warn!(restored, "objects were taken away by a gc, and are back");
        }
        if is_due {
            kept.looked = Instant::now();
            kept.new.clear();
            kept.release(|written| written.elapsed() > LONG)?;
        }
        Ok(restored)
    }

    /// Ends the keeping: for when the [`Collectors`] of that moment have ended.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn let_go(&self) -> io::Result<()> {
        self.restore_kept()?;
        if let Some(mut kept) = self.kept().lock().take() {
            kept.release(|_| true)?;
            fs::remove_dir(&kept.folder)?;
        }
        Ok(())
    }

    /// Ends the keeping, and leaves what is kept for whoever keeps in this folder next.
    pub fn leave_kept(&self) {
        *self.kept().lock() = None;
    }

    /// Writes an object and keeps it: again, where it goes away before it can be kept.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_kept<E>(&self, write: impl Fn() -> Result<ObjectId, E>) -> Result<ObjectId, E> {
        if self.kept().lock().is_none() {
            return write();
        }
        for _ in 0..TRIES {
            // A gc takes away empty folders too, which fails a write on its way into one.
            match write() {
                Ok(id) if self.keep_one(id) => return Ok(id),
                _ => {}
            }
        }
        write()
    }

    /// Says whether the object is there and will be.
    fn keep_one(&self, id: ObjectId) -> bool {
        let mut keep = self.kept().lock();
        let Some(kept) = &mut *keep else { return true };
        let path = loose(&self.common_dir().join("objects"), id);
        match std::fs::hard_link(path, kept.folder.join(id.to_string())) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // In a pack, or in the store of another repository; or gone already.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.has_object(id),
            Err(error) => {
                tracing::debug!(%error, %id, "an object cannot be kept");
                return true;
            }
        }
        kept.objects.insert(id, Instant::now());
        kept.new.push(id);
        true
    }
}

/// Processes that may take away what no ref led to when they looked.
#[derive(Debug)]
pub struct Collectors(Vec<u32>);

impl Collectors {
    /// Those that run now.
    pub fn now() -> Self {
        Self(collectors())
    }

    /// Whether all of them have ended; one that has begun since finds the refs as they are now.
    pub fn have_ended(&mut self) -> bool {
        if !self.0.is_empty() {
            let still = collectors();
            self.0.retain(|pid| still.contains(pid));
        }
        self.0.is_empty()
    }
}

/// The processes that may collect garbage, of this repository or another.
#[cfg(target_os = "linux")]
fn collectors() -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|it| it.file_name().to_str()?.parse().ok());
    let collects = |pid: &u32| {
        // One that has ended meanwhile collects nothing.
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        collects(line.split(|byte| *byte == 0))
    };
    pids.filter(collects).collect()
}

/// The processes that may collect garbage, of this repository or another.
#[cfg(not(target_os = "linux"))]
fn collectors() -> Vec<u32> {
    let said = crate::process::Cmd::new("ps").args(["-axo", "pid=,command="]).run();
    let said = said.map(|it| it.stdout).unwrap_or_default();
    let lines = said.split(|byte| *byte == b'\n').map(|line| line.trim_ascii_start());
    let found = lines.filter_map(|line| {
        let mut words = line.split(u8::is_ascii_whitespace);
        let pid = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        collects(words.filter(|it| !it.is_empty())).then_some(pid)
    });
    found.collect()
}

/// Whether such a command takes objects away, or starts one that does.
fn collects<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> bool {
    let is_git = words.next().is_some_and(|it| it.ends_with(b"git"));
    let verbs = [&b"gc"[..], b"prune", b"repack", b"maintenance"];
    is_git && words.any(|word| verbs.contains(&word))
}

/// Gives a file its first name back.
fn give_back(kept: &Path, path: &Path) -> io::Result<()> {
    let link = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        match fs::hard_link(kept, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    };
    for _ in 0..TRIES {
        match link() {
            // The folder is empty until the link is there, and so taken away by a gc.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            linked => return linked,
        }
    }
    link()
}

impl Kept {
    /// Takes away the second names of what is old enough.
    fn release(&mut self, is_old: impl Fn(&Instant) -> bool) -> io::Result<()> {
        let old: Vec<_> =
            self.objects.iter().filter(|(_, at)| is_old(at)).map(|(id, _)| *id).collect();
        for id in old {
            fs::remove_file(self.folder.join(id.to_string()))?;
            self.objects.remove(&id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::git::testing::Fixture;

    #[test]
    fn what_takes_objects_away_is_known_by_its_command() {
        let told = |line: &str| super::collects(line.split(' ').map(str::as_bytes));
        let collect =
            ["git gc", "/usr/lib/git-core/git prune --expire now", "git -C x maintenance run"];
        assert_eq!(collect.map(told), [true; 3]);
        assert_eq!(["git log gcc", "gc", "git-agent gc", ""].map(told), [false; 4]);
    }

    #[test]
    fn b08_what_a_gc_takes_away_comes_back() {
        for options in [&[][..], &["--object-format=sha256"]] {
            let git = Fixture::with_commit(options);
            let repo = git.repo();
            let folder = git.beside("kept");
            repo.keep_written(&folder).unwrap();
            let blob = repo.write_blob(b"in flight\n").unwrap();
            git.git(&["prune", "--expire=now"]);
            assert!(!repo.has_object(blob));
            assert_eq!(repo.restore_kept().unwrap(), 1);
            assert_eq!(repo.read_blob(blob).unwrap(), b"in flight\n");
            // Packed, it is there without.
            let tree =
                repo.edit_tree(None, &[("f", Some((crate::git::Mode::File, blob)))]).unwrap();
            git.git(&["tag", "t", &tree.to_string()]);
            git.git(&["gc", "-q", "--prune=now"]);
            assert_eq!(repo.restore_kept().unwrap(), 0);
            // A run that died left its folder; the next one takes it over.
            git.git(&["tag", "-d", "t"]);
            git.git(&["gc", "-q", "--prune=now"]);
            let next = git.repo();
            assert!(!next.has_object(blob));
            next.keep_written(&folder).unwrap();
            assert_eq!(next.read_blob(blob).unwrap(), b"in flight\n");
            next.let_go().unwrap();
            assert!(!folder.exists());
            assert_eq!(next.restore_kept().unwrap(), 0);
        }
    }
}
