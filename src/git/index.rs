//! What a worktree holds, in memory: a tree of folders and files with ids and stat data.
//!
//! Invariant: a folder whose id is known holds exactly the entries of that tree object, so only
//! folders on the way to a change are ever written.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::tree::EntryKind;

pub(super) use gix::index::entry::Stat;
use gix::index::entry::{Flags, Mode as IndexMode, stat::Time};

use crate::git::ObjectId;
use crate::git::repo::Repo;

/// How long before the moment it was looked at a file must have changed last, in nanoseconds, to
/// be known by its stat data. The coarsest clock tick of Linux is 10 ms.
const TICK: i64 = 12_000_000;
/// The same on a file system that keeps whole seconds (two on FAT).
const COARSE_TICK: i64 = 2_000_000_000;
/// A folder that nothing is remembered about.
const UNSEEN: i64 = i64::MIN;

/// One file, link or submodule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Never `Tree`.
    pub(super) kind: EntryKind,
    pub(super) id: ObjectId,
    /// As it was before the content was read; all zero when it has not been looked at.
    pub(super) stat: Stat,
    /// Equal stat data mean equal content. Not so for what changed within a clock tick of the look.
    pub(super) settled: bool,
    /// Outside the sparse checkout: its absence is no deletion.
    pub(super) skip: bool,
}

/// A folder: its entries sorted by the bytes of their names.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) nodes: Vec<(BString, Node)>,
    id: Option<ObjectId>,
    /// Change time on disk, in nanoseconds, when its names were last read and nothing was left out.
    seen: AtomicI64,
}

/// An entry of a folder.
#[derive(Debug)]
pub(super) enum Node {
    File(File),
    Folder(Folder),
}

/// What stands at a path.
#[derive(Debug)]
pub(super) enum Found<'a> {
    Nothing,
    File(&'a File),
    Folder(&'a Folder),
    /// The first so many bytes of the path name a file, so nothing can be below.
    Below(usize),
}

impl File {
    /// A file that has not been looked at on disk.
    pub(super) fn unseen(kind: EntryKind, id: ObjectId) -> Self {
        Self { kind, id, stat: Stat::default(), settled: false, skip: false }
    }

    /// Whether these stat data prove that the content is still this one.
    pub(super) fn is_current(&self, stat: &Stat) -> bool {
        self.settled && same(&self.stat, stat)
    }
}

/// Whether two looks saw the same state of one file. Device and owner are left out: the first
/// changes with each mount of a network disk, the second also sets the change time.
pub(super) fn same(one: &Stat, other: &Stat) -> bool {
    (one.mtime, one.ctime, one.ino, one.size) == (other.mtime, other.ctime, other.ino, other.size)
}

/// Whether a file last changed as `stat` says was at rest at `now` (nanoseconds since 1970).
pub(super) fn is_settled(stat: &Stat, now: i64) -> bool {
    let tick = if stat.mtime.nsecs == 0 { COARSE_TICK } else { TICK };
    nanos(stat.mtime).max(nanos(stat.ctime)) < now - tick
}

fn nanos(time: Time) -> i64 {
    i64::from(time.secs) * 1_000_000_000 + i64::from(time.nsecs)
}

/// The time of day, in nanoseconds since 1970.
pub(super) fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX))
}

impl Default for Folder {
    fn default() -> Self {
        Self { nodes: Vec::new(), id: None, seen: AtomicI64::new(UNSEEN) }
    }
}

impl Folder {
    /// Reads a tree object and all below it.
    ///
    /// # Errors
    /// An object is missing or damaged.
    pub(super) fn read(repo: &Repo, id: ObjectId) -> io::Result<Self> {
        let tree = repo.gix().find_tree(id).map_err(io::Error::other)?;
        let mut nodes = Vec::new();
        for entry in tree.iter() {
            let entry = entry.map_err(io::Error::other)?;
            let node = match entry.kind() {
                EntryKind::Tree => Node::Folder(Self::read(repo, entry.object_id())?),
                kind => Node::File(File::unseen(kind, entry.object_id())),
            };
            nodes.push((entry.filename().to_owned(), node));
        }
        nodes.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Self { nodes, id: Some(id), seen: AtomicI64::new(UNSEEN) })
    }

    /// Takes over stat data and sparse marks from an index file, where it agrees on the content.
    pub(super) fn adopt(&mut self, index: &gix::index::File) {
        let written = index.timestamp();
        let written = written.unix_seconds() * 1_000_000_000 + i64::from(written.nanoseconds());
        for entry in index.entries() {
            let path = entry.path(index);
            let skip = entry.flags.contains(Flags::SKIP_WORKTREE);
            if entry.mode == IndexMode::DIR {
                if let Some(Node::Folder(folder)) =
                    self.node_mut(path.trim_end_with(|c| c == '/').as_bstr())
                {
                    folder.each_file_mut(&mut |file| file.skip = true);
                }
            } else if let Some(Node::File(file)) = self.node_mut(path) {
                file.skip = skip;
                if entry.stage_raw() == 0
                    && entry.id == file.id
                    && entry.mode == index_mode(file.kind)
                {
                    file.stat = entry.stat;
                    file.settled = is_settled(&entry.stat, written);
                }
            }
        }
    }

    /// What stands at `path`, which is relative and not empty.
    pub(super) fn find(&self, path: &BStr) -> Found<'_> {
        let mut folder = self;
        let mut at = 0;
        loop {
            let rest = &path[at..];
            let (name, is_last) = match rest.find_byte(b'/') {
                Some(slash) => (&rest[..slash], false),
                None => (rest, true),
            };
            at += name.len();
            match folder.node(name.as_bstr()) {
                None => return Found::Nothing,
                Some(Node::File(file)) if is_last => return Found::File(file),
                Some(Node::File(_)) => return Found::Below(at),
                Some(Node::Folder(inner)) if is_last => return Found::Folder(inner),
                Some(Node::Folder(inner)) => folder = inner,
            }
            at += 1;
        }
    }

    /// The entry of this folder with that name.
    pub(super) fn node(&self, name: &BStr) -> Option<&Node> {
        self.position(name).ok().map(|at| &self.nodes[at].1)
    }

    /// Puts a file at `path`, replacing whatever stood there or on the way to it.
    pub(super) fn set(&mut self, path: &BStr, file: File) {
        let (name, rest) = split(path);
        let at = self.position(name).unwrap_or_else(|at| {
            let node =
                if rest.is_some() { Node::Folder(Self::default()) } else { Node::File(file) };
            self.nodes.insert(at, (name.to_owned(), node));
            self.id = None;
            at
        });
        let node = &mut self.nodes[at].1;
        let Some(rest) = rest else {
            if !matches!(node, Node::File(old) if old.id == file.id && old.kind == file.kind) {
                self.id = None;
            }
            *node = Node::File(file);
            return;
        };
        if matches!(node, Node::File(_)) {
            *node = Node::Folder(Self::default());
        }
        if let Node::Folder(inner) = node {
            inner.set(rest, file);
            if inner.id.is_none() {
                self.id = None;
            }
        }
    }

    /// Takes away the file at `path`, or the files below it, and folders left empty by that. What
    /// is outside the sparse checkout stays.
    pub(super) fn remove(&mut self, path: &BStr) {
        let (name, rest) = split(path);
        let Ok(at) = self.position(name) else { return };
        let gone = match (&mut self.nodes[at].1, rest) {
            (Node::File(file), None) => !file.skip,
            (Node::File(_), Some(_)) => return,
            (Node::Folder(inner), Some(rest)) => {
                inner.remove(rest);
                inner.nodes.is_empty()
            }
            (Node::Folder(inner), None) => {
                inner.remove_present();
                inner.nodes.is_empty()
            }
        };
        if gone {
            self.nodes.remove(at);
            self.id = None;
        } else if matches!(&self.nodes[at].1, Node::Folder(inner) if inner.id.is_none()) {
            self.id = None;
        }
    }

    fn remove_present(&mut self) {
        let before = self.nodes.len();
        let mut touched = false;
        self.nodes.retain_mut(|(_, node)| match node {
            Node::File(file) => file.skip,
            Node::Folder(inner) => {
                inner.remove_present();
                touched |= inner.id.is_none();
                !inner.nodes.is_empty()
            }
        });
        if touched || self.nodes.len() != before {
            self.id = None;
        }
    }

    /// Writes the tree objects that are not there yet and returns this folder's id.
    ///
    /// # Errors
    /// The object database cannot be written.
    pub(super) fn write(&mut self, repo: &Repo) -> io::Result<ObjectId> {
        if let Some(id) = self.id {
            return Ok(id);
        }
        let mut entries = Vec::with_capacity(self.nodes.len());
        for (name, node) in &mut self.nodes {
            let (kind, oid) = match node {
                Node::File(file) => (file.kind, file.id),
                Node::Folder(inner) => (EntryKind::Tree, inner.write(repo)?),
            };
            entries.push(gix::objs::tree::Entry { mode: kind.into(), filename: name.clone(), oid });
        }
        entries.sort();
        let tree = gix::objs::Tree { entries };
        let id = repo.write_kept(|| repo.gix().write_object(&tree).map(gix::Id::detach));
        let id = id.map_err(io::Error::other)?;
        repo.unsynced().add(id);
        self.id = Some(id);
        Ok(id)
    }

    /// The id of this folder's tree object, once it is written.
    pub(super) fn id(&self) -> Option<ObjectId> {
        self.id
    }

    /// Every file below, with its path under `prefix`.
    pub(super) fn each_file(&self, prefix: &BStr, visit: &mut impl FnMut(&BStr, &File)) {
        for (name, node) in &self.nodes {
            let path = join(prefix, name.as_bstr());
            match node {
                Node::File(file) => visit(path.as_bstr(), file),
                Node::Folder(inner) => inner.each_file(path.as_bstr(), visit),
            }
        }
    }

    /// Every file below, with its path; this folder's is `prefix`.
    pub(super) fn files_mut<'a>(
        &'a mut self,
        prefix: &BStr,
        into: &mut Vec<(BString, &'a mut File)>,
    ) {
        for (name, node) in &mut self.nodes {
            let path = join(prefix, name.as_bstr());
            match node {
                Node::File(file) => into.push((path, file)),
                Node::Folder(inner) => inner.files_mut(path.as_bstr(), into),
            }
        }
    }

    /// This folder and all below, each with its path; the root's is `prefix`.
    pub(super) fn folders<'a>(&'a self, prefix: BString, into: &mut Vec<(BString, &'a Self)>) {
        let at = into.len();
        into.push((prefix, self));
        for (name, node) in &self.nodes {
            if let Node::Folder(inner) = node {
                let path = join(into[at].0.as_bstr(), name.as_bstr());
                inner.folders(path, into);
            }
        }
    }

    /// Whether the names in this folder, which last changed at `ctime`, were all accounted for.
    pub(super) fn is_seen(&self, ctime: Time) -> bool {
        self.seen.load(Ordering::Relaxed) == nanos(ctime)
    }

    /// Remembers that at `now` all names in this folder were accounted for.
    pub(super) fn see(&self, ctime: Time, now: i64) {
        let tick = if ctime.nsecs == 0 { COARSE_TICK } else { TICK };
        let seen = if nanos(ctime) < now - tick { nanos(ctime) } else { UNSEEN };
        self.seen.store(seen, Ordering::Relaxed);
    }

    /// Forgets what was remembered of the names here, and of those below.
    pub(super) fn forget(&self) {
        self.seen.store(UNSEEN, Ordering::Relaxed);
        for (_, node) in &self.nodes {
            if let Node::Folder(inner) = node {
                inner.forget();
            }
        }
    }

    /// Forgets what was remembered of the names in the folders on the way to `path`.
    pub(super) fn forget_above(&self, path: &BStr) {
        self.seen.store(UNSEEN, Ordering::Relaxed);
        let (name, rest) = split(path);
        if let (Some(Node::Folder(inner)), Some(rest)) = (self.node(name), rest) {
            inner.forget_above(rest);
        }
    }

    /// The paths of all files below that have this name; `prefix` is where this folder is.
    pub(super) fn named(&self, name: &BStr, prefix: &mut BString, into: &mut Vec<BString>) {
        if matches!(self.node(name), Some(Node::File(_))) {
            into.push(join(prefix.as_bstr(), name));
        }
        let length = prefix.len();
        for (folder, node) in &self.nodes {
            if let Node::Folder(inner) = node {
                if length > 0 {
                    prefix.push(b'/');
                }
                prefix.extend_from_slice(folder);
                inner.named(name, prefix, into);
                prefix.truncate(length);
            }
        }
    }

    fn position(&self, name: &BStr) -> Result<usize, usize> {
        self.nodes.binary_search_by(|(other, _)| other.as_bstr().cmp(name))
    }

    fn node_mut(&mut self, path: &BStr) -> Option<&mut Node> {
        let (name, rest) = split(path);
        let at = self.position(name).ok()?;
        match (&mut self.nodes[at].1, rest) {
            (node, None) => Some(node),
            (Node::Folder(inner), Some(rest)) => inner.node_mut(rest),
            (Node::File(_), Some(_)) => None,
        }
    }

    fn each_file_mut(&mut self, visit: &mut impl FnMut(&mut File)) {
        for (_, node) in &mut self.nodes {
            match node {
                Node::File(file) => visit(file),
                Node::Folder(inner) => inner.each_file_mut(visit),
            }
        }
    }
}

/// The mode by which an index file names this kind.
pub(super) fn index_mode(kind: EntryKind) -> IndexMode {
    match kind {
        EntryKind::Tree => IndexMode::DIR,
        EntryKind::Blob => IndexMode::FILE,
        EntryKind::BlobExecutable => IndexMode::FILE_EXECUTABLE,
        EntryKind::Link => IndexMode::SYMLINK,
        EntryKind::Commit => IndexMode::COMMIT,
    }
}

/// `name` in the folder `prefix`, which is empty for the root.
pub(super) fn join(prefix: &BStr, name: &BStr) -> BString {
    let mut path = BString::new(Vec::with_capacity(prefix.len() + 1 + name.len()));
    path.extend_from_slice(prefix);
    if !prefix.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// A path of git's as one of the system's.
pub(super) fn as_path(path: &BStr) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

fn split(path: &BStr) -> (&BStr, Option<&BStr>) {
    match path.find_byte(b'/') {
        Some(slash) => (path[..slash].as_bstr(), Some(path[slash + 1..].as_bstr())),
        None => (path, None),
    }
}
