//! The `index` file of a worktree of ours, in the format of gitformat-index(5).
//!
//! Invariant: it is replaced as git replaces it, under `index.lock`, and says nothing of a file
//! that its stat data do not prove.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gix::bstr::{BStr, ByteSlice};
use gix::hash::Kind;

use crate::git::index::{File, Folder, Node, index_mode};

/// So long we wait for a git command in that worktree to finish with its index.
const PATIENCE: Duration = Duration::from_millis(500);

/// Flags of an entry, and of the extended flags behind them.
const EXTENDED: u16 = 0x4000;
const SKIP_WORKTREE: u16 = 0x4000;
/// A longer path is found by its terminating zero.
const MAX_NAME_LENGTH: usize = 0xfff;

/// Why an index file was not written.
#[derive(Debug)]
pub(super) enum WriteError {
    /// Somebody else holds this lock.
    Locked(PathBuf),
    Io(io::Error),
}

/// Replaces the index in `git_dir` by one that holds `root`.
///
/// # Errors
/// It is locked, and stays so; or the disk refuses.
pub(super) fn write(git_dir: &Path, root: &Folder, hash: Kind) -> Result<(), WriteError> {
    let path = git_dir.join("index");
    let patience = gix::lock::acquire::Fail::AfterDurationWithBackoff(PATIENCE);
    let lock = gix::lock::File::acquire_to_update_resource(&path, patience, None, 0);
    let mut lock = lock.map_err(|error| {
        let lock = path.with_extension("lock");
        if lock.exists() {
            WriteError::Locked(lock)
        } else {
            WriteError::Io(io::Error::other(error))
        }
    })?;
    let written = lock.with_mut(|file| {
        let mut out = gix::hash::io::Write::new(BufWriter::new(file), hash);
        write_content(&mut out, root)?;
        let checksum = out.hash.try_finalize().map_err(io::Error::other)?;
        out.inner.write_all(checksum.as_slice())?;
        out.inner.flush()
    });
    written.map_err(WriteError::Io)?;
    lock.commit().map_err(|error| WriteError::Io(io::Error::other(error.error)))?;
    Ok(())
}

fn write_content(out: &mut impl Write, root: &Folder) -> io::Result<()> {
    let mut count: u32 = 0;
    let mut has_skipped = false;
    root.each_file(BStr::new(""), &mut |_, file| {
        count += 1;
        has_skipped |= file.skip;
    });
    out.write_all(b"DIRC")?;
    out.write_all(&u32::to_be_bytes(if has_skipped { 3 } else { 2 }))?;
    out.write_all(&count.to_be_bytes())?;
    let mut path = Vec::new();
    write_entries(out, root, &mut path)?;
    let mut trees = Vec::new();
    if write_tree(&mut trees, BStr::new(""), root)?.is_some() {
        out.write_all(b"TREE")?;
        let length = u32::try_from(trees.len()).map_err(io::Error::other)?;
        out.write_all(&length.to_be_bytes())?;
        out.write_all(&trees)?;
    }
    Ok(())
}

fn write_entries(out: &mut impl Write, folder: &Folder, path: &mut Vec<u8>) -> io::Result<()> {
    let length = path.len();
    for (name, node) in in_tree_order(folder) {
        path.extend_from_slice(name);
        match node {
            Node::File(file) => write_entry(out, path, file)?,
            Node::Folder(inner) => {
                path.push(b'/');
                write_entries(out, inner, path)?;
            }
        }
        path.truncate(length);
    }
    Ok(())
}

fn write_entry(out: &mut impl Write, path: &[u8], file: &File) -> io::Result<()> {
    let stat = &file.stat;
    // git trusts stat data once the index is a second older than the file; what may have changed
    // since it was read gets a size that makes git look, as git does itself with racy entries.
    let size = if file.settled { stat.size } else { 0 };
    let (mtime, ctime) = (stat.mtime, stat.ctime);
    let mut entry = Vec::with_capacity(80 + path.len());
    for number in [ctime.secs, ctime.nsecs, mtime.secs, mtime.nsecs, stat.dev, stat.ino] {
        entry.extend_from_slice(&number.to_be_bytes());
    }
    for number in [index_mode(file.kind).bits(), stat.uid, stat.gid, size] {
        entry.extend_from_slice(&number.to_be_bytes());
    }
    entry.extend_from_slice(file.id.as_slice());
    let name_length = u16::try_from(path.len().min(MAX_NAME_LENGTH)).unwrap_or(u16::MAX);
    let extended = if file.skip { EXTENDED } else { 0 };
    entry.extend_from_slice(&(name_length | extended).to_be_bytes());
    if file.skip {
        entry.extend_from_slice(&SKIP_WORKTREE.to_be_bytes());
    }
    entry.extend_from_slice(path);
    // At least one zero, up to a multiple of eight.
    entry.resize((entry.len() / 8 + 1) * 8, 0);
    out.write_all(&entry)
}

/// The cache of tree ids, by which `git commit` and `git diff --cached` skip what did not change.
/// Returns how many entries it covers; none if the folder's tree object is not written yet.
fn write_tree(out: &mut Vec<u8>, name: &BStr, folder: &Folder) -> io::Result<Option<u32>> {
    let Some(id) = folder.id() else { return Ok(None) };
    let (mut files, mut folders, mut inner_trees) = (0, 0, Vec::new());
    for (name, node) in in_tree_order(folder) {
        match node {
            Node::File(_) => files += 1,
            Node::Folder(inner) => {
                let Some(more) = write_tree(&mut inner_trees, name.as_bstr(), inner)? else {
                    return Ok(None);
                };
                folders += 1;
                files += more;
            }
        }
    }
    out.extend_from_slice(name);
    writeln!(out, "\0{files} {folders}")?;
    out.extend_from_slice(id.as_slice());
    out.extend_from_slice(&inner_trees);
    Ok(Some(files))
}

/// The entries as both tree objects and index files sort them: a folder as if its name ended in
/// a slash.
fn in_tree_order(folder: &Folder) -> Vec<(&[u8], &Node)> {
    let mut nodes: Vec<_> =
        folder.nodes.iter().map(|(name, node)| (name.as_bytes(), node)).collect();
    let end = |node: &Node| matches!(node, Node::Folder(_)).then_some(b'/');
    nodes.sort_by(|(one, one_node), (other, other_node)| {
        let one = one.iter().copied().chain(end(one_node));
        one.cmp(other.iter().copied().chain(end(other_node)))
    });
    nodes
}
