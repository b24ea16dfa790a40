//! The git dir that a session's commands have in place of the real one.
//!
//! It borrows the repository's objects and keeps what it makes itself, so that `git status`, `add`,
//! `commit`, `log` and `stash` work, and nothing they do reaches the real refs, index, hooks or
//! settings. What is committed there becomes a commit of the session only as the tree of the
//! worktree and the words of a message.
//!
//! Invariant: no git of ours ever runs in it, and nothing is read or written through a link that a
//! command may have put there.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use fs_err as fs;

use crate::file::{open_plain, remove_tree};
use crate::git::{Identity, ObjectId, Repo};

/// Settings of the repository that decide how its files are seen.
const SETTINGS: [&str; 12] = [
    "core.autocrlf",
    "core.eol",
    "core.filemode",
    "core.ignorecase",
    "core.precomposeunicode",
    "core.quotepath",
    "core.safecrlf",
    "core.sparsecheckout",
    "core.sparsecheckoutcone",
    "core.symlinks",
    "core.whitespace",
    "init.defaultbranch",
];

/// Files that say that something is going on which must not be disturbed.
const BUSY: [&str; 6] =
    ["MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_LOG", "rebase-merge", "rebase-apply"];

/// More commits of one step than this are not read.
const COMMITS: usize = 50;
/// A longer object is no message.
const LONGEST: usize = 256 << 10;

/// The git dir of a session's commands.
#[derive(Debug)]
pub struct Shadow {
    folder: PathBuf,
    dir: Dir,
    branch: String,
    settings: String,
    /// The commit that the branch there was set to; none as long as it was not.
    given: Option<ObjectId>,
}

/// Where the git dir is, in the folder of a session.
pub fn git_dir(folder: &Path) -> PathBuf {
    folder.join("gitdir")
}

/// What the worktree's `.git` is for its commands.
pub fn pointer(folder: &Path) -> PathBuf {
    folder.join("dotgit")
}

/// The folders of objects that a repository has: its own, and those that it borrows.
pub fn object_folders(common_dir: &Path) -> Vec<PathBuf> {
    let mut folders = vec![common_dir.join("objects")];
    let mut at = 0;
    while let Some(folder) = folders.get(at).cloned() {
        at += 1;
        let alternates = fs::read_to_string(folder.join("info/alternates")).unwrap_or_default();
        for line in alternates.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Ok(found) = fs::canonicalize(folder.join(line))
                && !folders.contains(&found)
                && at < 16
            {
                folders.push(found);
            }
        }
    }
    folders
}

impl Shadow {
    /// Makes it in the session's `folder`, where it may be from an earlier run; `repo` is the view
    /// of the session's worktree. What `HEAD` and index are there is for [`Shadow::follow`].
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn make(repo: &Repo, folder: &Path, branch: &str) -> io::Result<Self> {
        Self::fill(repo, folder, branch).or_else(|error| {
            // Commands can have made anything of it: then it is begun again.
            tracing::warn!(%error, "the git dir of the commands is made anew");
            remove_tree(&git_dir(folder))?;
            Self::fill(repo, folder, branch)
        })
    }

    fn fill(repo: &Repo, folder: &Path, branch: &str) -> io::Result<Self> {
        let git_dir = git_dir(folder);
        fs::create_dir_all(&git_dir)?;
        let dir = Dir::open_ambient_dir(&git_dir, ambient_authority())?;
        for name in ["objects/info", "refs/heads", "info"] {
            dir.create_dir_all(name)?;
        }
        let shadow = Self {
            folder: folder.to_owned(),
            dir,
            branch: branch.to_owned(),
            settings: settings(repo),
            given: None,
        };
        fs::write(pointer(folder), format!("gitdir: {}\n", git_dir.display()))?;
        shadow.put("objects/info/alternates", &alternates(repo))?;
        for name in ["info/exclude", "info/attributes"] {
            shadow.copy(&repo.common_dir().join(name), name)?;
        }
        shadow.copy(&repo.git_dir().join("info/sparse-checkout"), "info/sparse-checkout")?;
        shadow.copy(&repo.common_dir().join("shallow"), "shallow")?;
        shadow.put("packed-refs", packed_refs(repo)?.as_bytes())?;
        Ok(shadow)
    }

    /// Tells git there whose commits it makes.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn introduce(&self, who: &Identity) -> io::Result<()> {
        let (name, email) = (quoted(&who.name), quoted(&who.email));
        let user = format!("[user]\n\tname = {name}\n\temail = {email}\n");
        self.put("config", format!("{}{user}", self.settings).as_bytes())
    }

    /// Where an index is written that the commands are to have.
    pub fn git_dir(&self) -> PathBuf {
        git_dir(&self.folder)
    }

    /// Whether a merge or its like is at work there: then it is left as it is.
    pub fn is_busy(&self) -> bool {
        BUSY.iter().any(|name| self.dir.symlink_metadata(name).is_ok())
    }

    /// The session's branch there goes to this commit, and `HEAD` to the branch.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn follow(&mut self, head: ObjectId) -> io::Result<()> {
        self.put(&self.branch, format!("{head}\n").as_bytes())?;
        self.put("HEAD", format!("ref: {}\n", self.branch).as_bytes())?;
        self.given = Some(head);
        Ok(())
    }

    /// The commit that the branch there was set to.
    pub fn given(&self) -> Option<ObjectId> {
        self.given
    }

    /// The messages of what was committed there since the branch was last set, the oldest first.
    pub fn messages(&self) -> Vec<String> {
        let mut messages = Vec::new();
        let mut next = self.given.and_then(|_| self.head());
        while let Some(id) = next.filter(|id| Some(*id) != self.given && messages.len() < COMMITS) {
            let Some(commit) = self.commit(id) else { break };
            let (header, message) = commit.split_once("\n\n").unwrap_or((&commit, ""));
            messages.push(message.to_owned());
            let parent = header.lines().find_map(|line| line.strip_prefix("parent "));
            next = parent.and_then(|hex| ObjectId::from_hex(hex.trim().as_bytes()).ok());
        }
        messages.reverse();
        messages
    }

    /// The commit that `HEAD` is at there.
    fn head(&self) -> Option<ObjectId> {
        let head = self.text("HEAD")?;
        let hex = match head.strip_prefix("ref: ") {
            Some(name) => self.text(name.trim())?,
            None => head,
        };
        ObjectId::from_hex(hex.trim().as_bytes()).ok()
    }

    /// A commit that was made there. What is borrowed is none: no name of an object may lead
    /// anywhere but into this folder.
    fn commit(&self, id: ObjectId) -> Option<String> {
        let hex = id.to_string();
        let path = format!("objects/{}/{}", &hex[..2], &hex[2..]);
        let bytes = self.bytes(&path)?;
        crate::git::loose_commit(&bytes, LONGEST)
    }

    fn text(&self, name: &str) -> Option<String> {
        String::from_utf8(self.bytes(name)?).ok()
    }

    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let file = open_plain(&self.dir, Path::new(name)).ok()?;
        let mut bytes = Vec::new();
        file.take(LONGEST as u64).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Replaces a file, whatever stands in its place.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if let Some(folder) = Path::new(name).parent().filter(|it| !it.as_os_str().is_empty()) {
            self.dir.create_dir_all(folder)?;
        }
        let new = format!("{name}.new");
        // A link of that name is taken away, not written through.
        match self.dir.remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = cap_std::fs::OpenOptions::new();
        let mut file = self.dir.open_with(&new, options.write(true).create_new(true))?;
        io::Write::write_all(&mut file, bytes)?;
        drop(file);
        self.dir.rename(&new, &self.dir, name)
    }

    /// Takes over a file of the real git dir, if it is there.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn copy(&self, from: &Path, name: &str) -> io::Result<()> {
        match fs::read(from) {
            Ok(bytes) => self.put(name, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn alternates(repo: &Repo) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let mut path = repo.common_dir().join("objects").as_os_str().as_bytes().to_vec();
    path.push(b'\n');
    path
}

fn settings(repo: &Repo) -> String {
    let is_sha256 = repo.null_id().as_bytes().len() == 32;
    let mut text = String::from("[core]\n\tbare = false\n\tlogallrefupdates = true\n");
    text.push_str(&format!("\trepositoryformatversion = {}\n", u8::from(is_sha256)));
    if is_sha256 {
        text.push_str("[extensions]\n\tobjectformat = sha256\n");
    }
    let mut set = |key: &str, value: &str| {
        if let Some((section, name)) = key.split_once('.') {
            text.push_str(&format!("[{section}]\n\t{name} = {}\n", quoted(value)));
        }
    };
    set("gc.auto", "0");
    set("maintenance.auto", "false");
    for key in SETTINGS {
        if let Some(value) = repo.config_value(key) {
            set(key, &value);
        }
    }
    text
}

fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

/// Branches and tags as they are now, for who wants to compare.
fn packed_refs(repo: &Repo) -> io::Result<String> {
    let mut text = String::from("# pack-refs with: sorted \n");
    for prefix in ["refs/heads/", "refs/remotes/", "refs/tags/"] {
        for (name, id) in repo.refs(prefix).map_err(io::Error::other)? {
            text.push_str(&format!("{id} {name}\n"));
        }
    }
    Ok(text)
}
