//! Objects: blobs, trees, commits.
//!
//! Invariant: what is written is byte for byte what git would write; an object that exists is not
//! written again; nothing here moves a ref.

use std::fmt;

use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::Exists as _;
use gix::objs::tree::EntryKind;
use gix::validate::{self, path::component};

use crate::git::ObjectId;
use crate::git::cause::Cause;
use crate::git::repo::Repo;
use crate::redact;

/// A person's name and address, as commits carry them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
}

/// A moment, with the clock offset of where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Seconds east of UTC.
    pub offset: i32,
}

/// A commit to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its tree.
    pub tree: ObjectId,
    /// Its parents, the first one first.
    pub parents: Vec<ObjectId>,
    /// Whose work it is.
    pub author: Identity,
    /// Who commits it.
    pub committer: Identity,
    /// When; now, by the local clock, if none is given.
    pub time: Option<Time>,
    /// Its message, written as it is.
    pub message: String,
}

/// A commit that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitInfo {
    /// Its tree.
    pub tree: ObjectId,
    /// Its parents, the first one first.
    pub parents: Vec<ObjectId>,
    /// Whose work it is.
    pub author: Identity,
    /// Who committed it.
    pub committer: Identity,
    /// When the work was made, which a copy of the commit keeps.
    pub authored: Time,
    /// When it was committed.
    pub time: Time,
    /// Its message, lossy where it is not UTF-8.
    pub message: String,
}

/// What an entry of a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A file: 100644.
    File,
    /// A file that may be executed: 100755.
    Executable,
    /// A symbolic link: 120000.
    Link,
    /// A folder: 040000.
    Tree,
    /// A commit of a submodule: 160000.
    Commit,
}

impl Mode {
    /// Whether it is a file with content of its own, executable or not.
    pub fn is_file(self) -> bool {
        matches!(self, Self::File | Self::Executable)
    }
}

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// Its path from the tree that was listed.
    pub path: BString,
    /// What it is.
    pub mode: Mode,
    /// Its object.
    pub id: ObjectId,
}

/// Why an object was not read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}")]
pub struct ObjectError {
    /// What was attempted.
    pub what: String,
    /// What stood in the way.
    #[source]
    pub source: Cause,
}

impl ObjectError {
    pub(super) fn new(what: impl Into<String>) -> impl FnOnce(gix::Error) -> Self {
        let what = what.into();
        |source| Self { what, source: source.into() }
    }
}

impl Repo {
    /// Writes bytes as a blob, as they are: no filter is applied.
    ///
    /// # Errors
    /// The object store cannot be written.
    pub fn write_blob(&self, bytes: &[u8]) -> Result<ObjectId, ObjectError> {
        let id = self.write_kept(|| self.gix().write_blob(bytes).map(gix::Id::detach));
        Ok(self.written(id.map_err(ObjectError::new("write a blob"))?))
    }

    /// The bytes of a blob.
    ///
    /// # Errors
    /// There is no such blob, or it cannot be read.
    pub fn read_blob(&self, id: ObjectId) -> Result<Vec<u8>, ObjectError> {
        let blob = self.gix().find_blob(id).map_err(ObjectError::new(format!("read blob {id}")))?;
        Ok(blob.detach().data)
    }

    /// How many bytes an object has, without its content being read.
    ///
    /// # Errors
    /// There is no such object.
    pub fn object_size(&self, id: ObjectId) -> Result<u64, ObjectError> {
        let header = self.gix().find_header(id).map_err(ObjectError::new(format!("read {id}")))?;
        Ok(header.size())
    }

    /// Whether the repository has this object.
    pub fn has_object(&self, id: ObjectId) -> bool {
        self.gix().objects.exists(&id)
    }

    /// Writes the tree that `base` becomes with these changes: paths set, or taken away with none.
    /// Only the folders on the way are read and written. Without a base it starts empty.
    ///
    /// # Errors
    /// A path is not one that git allows in a tree, or the object store fails.
    pub fn edit_tree(
        &self,
        base: Option<ObjectId>,
        edits: &[(impl AsRef<[u8]>, Option<(Mode, ObjectId)>)],
    ) -> Result<ObjectId, ObjectError> {
        let failed = || ObjectError::new("edit a tree");
        let base = base.unwrap_or_else(|| self.empty_tree());
        let mut editor = self.gix().edit_tree(base).map_err(failed())?;
        for (path, entry) in edits {
            let path = path.as_ref().as_bstr();
            match entry {
                Some((mode, id)) => {
                    self.check_path(path, *mode)?;
                    editor.upsert(path, mode.kind(), *id)
                }
                None => editor.remove(path),
            }
            .map_err(failed())?;
        }
        let mut editor = editor.detach();
        editor
            .write(|tree| {
                let id = self.write_kept(|| self.gix().write_object(tree).map(gix::Id::detach));
                Ok(self.written(id?))
            })
            .map_err(failed())
    }

    /// Refuses what git refuses in a tree (`verify_path` in its read-cache.c): empty, `.`, `..`,
    /// `.git` in any spelling that some file system takes for it.
    fn check_path(&self, path: &BStr, mode: Mode) -> Result<(), ObjectError> {
        let options = component::Options {
            protect_windows: cfg!(windows),
            protect_hfs: self.config_bool("core.protectHFS").unwrap_or(cfg!(target_os = "macos")),
            protect_ntfs: self.config_bool("core.protectNTFS").unwrap_or(true),
        };
        let mode = (mode == Mode::Link).then_some(component::Mode::Symlink);
        for name in path.split_str("/") {
            validate::path::component(name.as_bstr(), mode, options)
                .map_err(gix::Error::from_error)
                .map_err(ObjectError::new(format!("store the path '{path}'")))?;
        }
        Ok(())
    }

    /// The id of the tree without entries.
    pub fn empty_tree(&self) -> ObjectId {
        ObjectId::empty_tree(self.gix().object_hash())
    }

    /// The tree of a commit.
    ///
    /// # Errors
    /// There is no such commit, or it cannot be read.
    pub fn tree_of(&self, commit: ObjectId) -> Result<ObjectId, ObjectError> {
        let failed = || ObjectError::new(format!("read commit {commit}"));
        let commit = self.gix().find_commit(commit).map_err(failed())?;
        Ok(commit.tree_id().map_err(failed())?.detach())
    }

    /// The content of the file or link at a path of a tree; none if there is none.
    ///
    /// # Errors
    /// The object store cannot be read.
    pub fn read_path(
        &self,
        tree: ObjectId,
        path: impl AsRef<[u8]>,
    ) -> Result<Option<Vec<u8>>, ObjectError> {
        match self.entry(tree, path)? {
            Some(TreeEntry { mode: Mode::File | Mode::Executable | Mode::Link, id, .. }) => {
                self.read_blob(id).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The entry at a path of a tree.
    ///
    /// # Errors
    /// The object store cannot be read.
    pub fn entry(
        &self,
        tree: ObjectId,
        path: impl AsRef<[u8]>,
    ) -> Result<Option<TreeEntry>, ObjectError> {
        let path = path.as_ref().as_bstr();
        let failed = || ObjectError::new(format!("read tree {tree}"));
        let root = self.gix().find_tree(tree).map_err(failed())?;
        let entry = root.lookup_entry(path.split_str("/")).map_err(failed())?;
        Ok(entry.map(|entry| TreeEntry {
            path: path.to_owned(),
            mode: Mode::of(entry.mode().kind()),
            id: entry.object_id(),
        }))
    }

    /// The entries of one folder: `tree` itself, not what is below it.
    ///
    /// # Errors
    /// The object store cannot be read.
    pub fn list_tree(&self, tree: ObjectId) -> Result<Vec<TreeEntry>, ObjectError> {
        let failed = || ObjectError::new(format!("read tree {tree}"));
        let tree = self.gix().find_tree(tree).map_err(failed())?;
        let entries = tree.iter().map(|entry| {
            let entry = entry?;
            Ok(TreeEntry {
                path: entry.filename().to_owned(),
                mode: Mode::of(entry.mode().kind()),
                id: entry.object_id(),
            })
        });
        entries.collect::<gix::Result<_>>().map_err(failed())
    }

    /// Writes a commit, its message without secrets. It is not signed, and no hook runs.
    ///
    /// # Errors
    /// The object store cannot be written.
    pub fn write_commit(&self, draft: &Draft) -> Result<ObjectId, ObjectError> {
        let failed = || ObjectError::new("write a commit");
        let time = draft.time.map_or_else(gix::date::Time::now_local_or_utc, |time| {
            gix::date::Time::new(time.seconds, time.offset)
        });
        let commit = gix::objs::Commit {
            tree: draft.tree,
            parents: draft.parents.iter().copied().collect(),
            author: draft.author.signature(time),
            committer: draft.committer.signature(time),
            encoding: None,
            message: redact::text(&draft.message).as_ref().into(),
            extra_headers: Vec::new(),
        };
        let id = self.write_kept(|| self.gix().write_object(&commit).map(gix::Id::detach));
        Ok(self.written(id.map_err(failed())?))
    }

    /// Reads a commit.
    ///
    /// # Errors
    /// There is no such commit, or it cannot be read.
    pub fn read_commit(&self, id: ObjectId) -> Result<CommitInfo, ObjectError> {
        let failed = || ObjectError::new(format!("read commit {id}"));
        let commit = self.gix().find_commit(id).map_err(failed())?;
        let decoded = commit.decode().map_err(failed())?;
        let author = decoded.author().map_err(failed())?;
        let committer = decoded.committer().map_err(failed())?;
        let [authored, time] = [&author, &committer].map(|who| {
            let time = who.time().map_err(failed())?;
            Ok(Time { seconds: time.seconds, offset: time.offset })
        });
        Ok(CommitInfo {
            tree: decoded.tree(),
            parents: decoded.parents().collect(),
            author: Identity::of(&author),
            committer: Identity::of(&committer),
            authored: authored?,
            time: time?,
            message: decoded.message.to_str_lossy().into_owned(),
        })
    }

    /// Notes an object as written, so that it is on the disk before a ref points to it. For
    /// objects that were written around this type.
    pub fn written(&self, id: ObjectId) -> ObjectId {
        self.unsynced().add(id);
        id
    }
}

impl Identity {
    fn of(signature: &gix::actor::SignatureRef<'_>) -> Self {
        Self {
            name: signature.name.to_str_lossy().into_owned(),
            email: signature.email.to_str_lossy().into_owned(),
        }
    }

    /// git's form has no place for these characters, and git drops them too (ident.c).
    fn signature(&self, time: gix::date::Time) -> gix::actor::Signature {
        let clean =
            |text: &str| -> BString { text.replace(['<', '>', '\n', '\0'], "").trim().into() };
        gix::actor::Signature { name: clean(&self.name), email: clean(&self.email), time }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <{}>", self.name, self.email)
    }
}

impl Mode {
    pub(super) fn kind(self) -> EntryKind {
        match self {
            Self::File => EntryKind::Blob,
            Self::Executable => EntryKind::BlobExecutable,
            Self::Link => EntryKind::Link,
            Self::Tree => EntryKind::Tree,
            Self::Commit => EntryKind::Commit,
        }
    }

    pub(super) fn of(kind: EntryKind) -> Self {
        match kind {
            EntryKind::Blob => Self::File,
            EntryKind::BlobExecutable => Self::Executable,
            EntryKind::Link => Self::Link,
            EntryKind::Tree => Self::Tree,
            EntryKind::Commit => Self::Commit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    fn ada() -> Identity {
        Identity { name: "Ada <Person>".into(), email: "ada@example.org".into() }
    }

    #[test]
    fn blobs_trees_and_commits_are_what_git_writes() {
        for kind in [&[][..], &["--object-format=sha256"], &["--ref-format=reftable"]] {
            let fixture = Fixture::with_commit(kind);
            let (repo, head) = (fixture.repo(), fixture.id("HEAD"));
            let blob = repo.write_blob(b"three\n").unwrap();
            let base = repo.tree_of(head).unwrap();
            assert_eq!(base, fixture.id("HEAD^{tree}"));
            let edits = [
                ("dir/deep/c", Some((Mode::Executable, blob))),
                ("link", Some((Mode::Link, blob))),
                ("naïve file", Some((Mode::File, blob))),
                ("dir/b", None),
                ("not/there", None),
            ];
            let tree = repo.edit_tree(Some(base), &edits).unwrap();
            let one = fixture.id("HEAD:a");
            let listing = format!(
                "100644 blob {one}\ta\0100755 blob {blob}\tdir/deep/c\0\
                 120000 blob {blob}\tlink\0100644 blob {blob}\tnaïve file\0"
            );
            assert_eq!(fixture.git(&["ls-tree", "-r", "-z", &tree.to_string()]), listing);

            let commit = repo
                .write_commit(&Draft {
                    tree,
                    parents: vec![head, head],
                    author: ada(),
                    committer: Identity { name: "Bo".into(), email: "bo@example.org".into() },
                    time: Some(Time { seconds: 1_700_000_000, offset: -5400 }),
                    message: "subject\n\nbody\n".into(),
                })
                .unwrap();
            let raw = format!(
                "tree {tree}\nparent {head}\nparent {head}\n\
                 author Ada Person <ada@example.org> 1700000000 -0130\n\
                 committer Bo <bo@example.org> 1700000000 -0130\n\nsubject\n\nbody"
            );
            assert_eq!(fixture.git(&["cat-file", "commit", &commit.to_string()]), raw);
            let read = repo.read_commit(commit).unwrap();
            assert_eq!(
                (read.tree, read.parents, read.time, read.message.as_str()),
                (
                    tree,
                    vec![head, head],
                    Time { seconds: 1_700_000_000, offset: -5400 },
                    "subject\n\nbody\n"
                )
            );
            assert_eq!(
                (read.author.name.as_str(), read.committer.email.as_str()),
                ("Ada Person", "bo@example.org")
            );
            fixture.fsck();
        }
    }

    #[test]
    fn a_tree_is_read_by_path_and_by_folder() {
        let fixture = Fixture::with_commit(&[]);
        let (repo, tree) = (fixture.repo(), fixture.id("HEAD^{tree}"));
        assert_eq!(repo.read_path(tree, "dir/b").unwrap(), Some(b"two\n".to_vec()));
        for none in ["dir", "dir/c", "a/b", "nothing"] {
            assert_eq!(repo.read_path(tree, none).unwrap(), None, "{none}");
        }
        let entry = |path: &str, mode| TreeEntry {
            path: path.into(),
            mode,
            id: fixture.id(&format!("HEAD:{path}")),
        };
        let listed = repo.list_tree(tree).unwrap();
        assert_eq!(listed, [entry("a", Mode::File), entry("dir", Mode::Tree)]);
        assert!(repo.has_object(tree));
        assert!(!repo.has_object(repo.null_id()));
    }

    #[test]
    fn a_tree_starts_and_ends_empty() {
        for kind in [&[][..], &["--object-format=sha256"]] {
            let fixture = Fixture::with_commit(kind);
            let repo = fixture.repo();
            let blob = repo.write_blob(b"one\n").unwrap();
            let tree = repo.edit_tree(None, &[("a", Some((Mode::File, blob)))]).unwrap();
            let empty = repo.edit_tree(Some(tree), &[("a", None)]).unwrap();
            assert_eq!(empty, repo.empty_tree());
            assert_eq!(fixture.git(&["ls-tree", &empty.to_string()]), "");
        }
    }

    #[test]
    fn names_that_git_forbids_are_refused() {
        let fixture = Fixture::with_commit(&[]);
        let repo = fixture.repo();
        let blob = repo.write_blob(b"").unwrap();
        for path in ["", "a//b", "/a", "a/", "../a", "a/./b", ".git", "a/.GIT/hooks", "git~1"] {
            let tree = repo.edit_tree(None, &[(path, Some((Mode::File, blob)))]);
            let refused = tree.unwrap_err().to_string();
            assert_eq!(refused, format!("cannot store the path '{path}'"));
        }
        let link = repo.edit_tree(None, &[(".gitmodules", Some((Mode::Link, blob)))]);
        assert!(link.is_err());
    }

    #[test]
    fn objects_of_alternates_and_packs_are_read_and_not_written_again() {
        let lender = Fixture::with_commit(&[]);
        let clone = lender.beside("clone");
        lender.git(&["clone", "-q", "--shared", ".", clone.to_str().unwrap()]);
        lender.git(&["gc", "-q"]);
        let repo = lender.repo_at(&clone, &[]);
        let blob = repo.write_blob(b"one\n").unwrap();
        assert_eq!(repo.read_blob(blob).unwrap(), b"one\n");
        assert_eq!(lender.git_in(&clone, &["count-objects"]), "0 objects, 0 kilobytes");
        repo.sync_objects().unwrap();
    }

    #[test]
    fn an_object_packed_by_another_process_is_found() {
        let fixture = Fixture::with_commit(&[]);
        let repo = fixture.repo();
        let blob = repo.write_blob(b"late\n").unwrap();
        let tree = repo.edit_tree(None, &[("late", Some((Mode::File, blob)))]).unwrap();
        fixture.git(&["update-ref", "refs/agent/late", &tree.to_string()]);
        fixture.git(&["gc", "-q", "--prune=now"]);
        let clone = repo.clone();
        assert_eq!(clone.read_path(tree, "late").unwrap(), Some(b"late\n".to_vec()));
        clone.sync_objects().unwrap();
    }
}
