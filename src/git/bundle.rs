//! Bundles: a part of the history in one file, for who has what it builds on.
//!
//! Invariant: nothing that a bundle holds gets among the repository's own objects before all of it
//! was looked at, in a place of its own.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::git::ObjectId;
use crate::git::command::{self, GitError};
use crate::git::repo::{OpenError, Repo};
use crate::process::{Finished, ProcessError};

/// The largest file that is opened, in bytes.
const LARGEST: u64 = 2 << 30;
/// The largest object that is taken, in bytes; git is kept from making a larger one of it.
const LARGEST_OBJECT: u64 = 256 << 20;
/// All objects together, unpacked, in bytes.
const LARGEST_WHOLE: u64 = 16 << 30;
/// The longest header, in bytes: a line for each ref, and for each commit it builds on.
const HEADER: u64 = 1 << 20;

/// A bundle of which the header was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The refs in it, and what they point to.
    pub refs: Vec<(String, ObjectId)>,
    /// The commits it builds on, which it does not hold.
    pub needs: Vec<ObjectId>,
    path: PathBuf,
    /// Where the objects begin, in bytes.
    pack: u64,
}

/// A bundle that cannot be used; nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It is something else.
    #[error("{} is no git bundle: {why}", path.display())]
    NotABundle {
        /// The file.
        path: PathBuf,
        /// What is not as it should be.
        why: &'static str,
    },
    /// There is more in it than is taken.
    #[error("{} is too large: {what}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is.
        what: &'static str,
    },
    /// It builds on what is not here.
    #[error("it builds on commits that are not here: {}", list(.0))]
    Lacks(Vec<ObjectId>),
    /// What is in it is not sound.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// git's own words.
        #[source]
        source: GitError,
    },
    /// git said no.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The place to look at it cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<ProcessError> for BundleError {
    fn from(error: ProcessError) -> Self {
        Self::Git(error.into())
    }
}

/// What a bundle holds, where it can be looked at and harms nobody.
#[derive(Debug)]
pub struct Quarantine {
    /// A repository with the objects of the bundle, and those of the real one behind them.
    pub view: Repo,
    pack: PathBuf,
}

/// Objects that were taken in and that no gc takes away, as long as this lives.
#[derive(Debug)]
pub struct TakenIn {
    keep: Option<PathBuf>,
}

impl Drop for TakenIn {
    fn drop(&mut self) {
        if let Some(path) = self.keep.take()
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(%error, "a pack is kept for ever");
        }
    }
}

impl Bundle {
    /// Reads the header of a bundle (gitformat-bundle(5), versions 2 and 3).
    ///
    /// # Errors
    /// The file is no bundle, holds only some of the objects, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let not = |why| BundleError::NotABundle { path: path.to_owned(), why };
        let about = std::fs::metadata(path).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
        })?;
        if !about.is_file() {
            return Err(not("it is no file"));
        }
        if about.len() > LARGEST {
            return Err(BundleError::TooLarge { path: path.to_owned(), what: "more than 2 GiB" });
        }
        let mut reader = BufReader::new(fs::File::open(path)?.take(HEADER));
        let mut bundle =
            Self { refs: Vec::new(), needs: Vec::new(), path: path.to_owned(), pack: 0 };
        let mut line = Vec::new();
        loop {
            line.clear();
            let begins = bundle.pack == 0;
            bundle.pack += reader.read_until(b'\n', &mut line)? as u64;
            let text = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
            match text {
                Some("# v2 git bundle" | "# v3 git bundle") if begins => {}
                _ if begins => return Err(not("it does not begin like one")),
                None => return Err(not("its header is cut")),
                Some("") => return Ok(bundle),
                Some(text) => bundle.header(text).ok_or_else(|| not("its header is damaged"))?,
            }
        }
    }

    /// Takes up a line of the header; none where it makes no sense.
    fn header(&mut self, line: &str) -> Option<()> {
        if let Some(capability) = line.strip_prefix('@') {
            // Any other, a filter above all, means that objects are missing.
            return capability.starts_with("object-format=").then_some(());
        }
        let (hex, rest) = match line.strip_prefix('-') {
            Some(need) => (need.split(' ').next()?, None),
            None => line.split_once(' ').map(|(hex, name)| (hex, Some(name)))?,
        };
        let id = ObjectId::from_hex(hex.as_bytes()).ok()?;
        match rest {
            Some(name) => self.refs.push((name.to_owned(), id)),
            None => self.needs.push(id),
        }
        Some(())
    }
}

impl Repo {
    /// Writes to a file what a ref holds beyond these revisions; `without` may be options of
    /// `git rev-list`, as `--remotes`. An existing file is replaced.
    ///
    /// # Errors
    /// There is nothing beyond them, or the file cannot be written.
    pub fn write_bundle(&self, path: &Path, name: &str, without: &[&str]) -> Result<(), GitError> {
        let not = if without.is_empty() { None } else { Some("--not") };
        let git = self.git().args(["bundle", "create", "-q"]).arg(path).arg(name);
        command::succeed(&git.args(not).args(without)).map(drop)
    }

    /// Unpacks a bundle where it can be looked at: into `folder`, which is empty. Each object is
    /// checked as `git fsck --strict` does.
    ///
    /// # Errors
    /// What it builds on is not here, or it is damaged, or too large.
    pub fn quarantine(&self, bundle: &Bundle, folder: &Path) -> Result<Quarantine, BundleError> {
        let lacks = bundle.needs.iter().copied().filter(|need| !self.has_object(*need));
        let lacks: Vec<_> = lacks.collect();
        if !lacks.is_empty() {
            return Err(BundleError::Lacks(lacks));
        }
        let damaged = |source| BundleError::Damaged { path: bundle.path.clone(), source };
        let verify = self.git().args(["bundle", "verify", "-q"]).arg(&bundle.path);
        command::succeed(&verify).map_err(damaged)?;
        let view = self.beside(folder)?;
        let mut file = fs::File::open(&bundle.path)?;
        file.seek(SeekFrom::Start(bundle.pack))?;
        let largest = format!("--max-input-size={LARGEST}");
        let unpack = view
            .git()
            .args(["index-pack", "--stdin", "--fix-thin", "--strict", &largest])
            .env("GIT_ALLOC_LIMIT", LARGEST_OBJECT.to_string());
        let name = said(&unpack.run_on(file.into_parts().0.into())?).map_err(damaged)?;
        let name = name.strip_prefix("pack\t").unwrap_or(&name);
        let pack = folder.join(format!("objects/pack/pack-{name}.pack"));
        let quarantine = Quarantine { view, pack };
        match quarantine.too_large()? {
            Some(what) => Err(BundleError::TooLarge { path: bundle.path.clone(), what }),
            None => Ok(quarantine),
        }
    }

    /// Takes what was looked at among the repository's own objects. They are kept until a ref leads
    /// to them, if what is returned lives so long.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn take_in(&self, quarantine: &Quarantine) -> Result<TakenIn, BundleError> {
        let keep = self.git().args(["index-pack", "--stdin", "--keep=git-agent"]);
        let pack = fs::File::open(&quarantine.pack)?;
        let name = said(&keep.run_on(pack.into_parts().0.into())?)?;
        let keep = name.strip_prefix("keep\t");
        let objects = self.common_dir().join("objects/pack");
        Ok(TakenIn { keep: keep.map(|name| objects.join(format!("pack-{name}.keep"))) })
    }

    /// An empty repository in this folder that borrows the objects of this one.
    fn beside(&self, folder: &Path) -> Result<Self, BundleError> {
        let config = format!(
            "[core]\n\trepositoryformatversion = 1\n\tbare = true\n\
             [extensions]\n\tobjectFormat = {}\n",
            self.null_id().kind()
        );
        let mut borrowed = self.common_dir().join("objects").into_os_string().into_encoded_bytes();
        borrowed.push(b'\n');
        for below in ["refs", "objects/pack", "objects/info"] {
            fs::create_dir_all(folder.join(below))?;
        }
        fs::write(folder.join("HEAD"), "ref: refs/heads/none\n")?;
        fs::write(folder.join("config"), config)?;
        fs::write(folder.join("objects/info/alternates"), borrowed)?;
        Ok(self.view_of(folder)?)
    }
}

impl Quarantine {
    /// What there is too much of.
    fn too_large(&self) -> Result<Option<&'static str>, BundleError> {
        let format = format!("--object-format={}", self.view.null_id().kind());
        let index = fs::File::open(self.pack.with_extension("idx"))?;
        let list = self.view.git().args(["show-index", &format]);
        let list = said(&list.run_on(index.into_parts().0.into())?)?;
        let ids = list.lines().filter_map(|line| line.split(' ').nth(1));
        let ids: String = ids.flat_map(|id| [id, "\n"]).collect();
        let sizes = self.view.git().args(["cat-file", "--batch-check=%(objectsize)"]).stdin(ids);
        let mut whole = 0;
        for line in said(&sizes.run()?)?.lines() {
            // What has no size cannot be read, which whoever reads it finds.
            let size: u64 = line.parse().unwrap_or_default();
            if size > LARGEST_OBJECT {
                return Ok(Some("one of its objects is more than 256 MiB"));
            }
            whole += size;
        }
        Ok((whole > LARGEST_WHOLE).then_some("its objects are more than 16 GiB"))
    }
}

/// What git printed, without the last line end.
fn said(done: &Finished) -> Result<String, GitError> {
    match done.exit {
        0 => Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned()),
        _ => Err(command::refusal(done)),
    }
}

fn list(ids: &[ObjectId]) -> String {
    const SHOWN: usize = 3;
    let shown = ids.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match ids.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    const NAME: &str = "refs/agent/add-7f3k";

    /// A repository whose ref has a commit more than the one before, and the file of a bundle.
    fn bundled(options: &[&str]) -> (Fixture, ObjectId, ObjectId, PathBuf) {
        let fixture = Fixture::with_commit(options);
        let base = fixture.id("HEAD");
        let tip = fixture.commit(&[("new", "new\n")]);
        fixture.git(&["update-ref", NAME, "HEAD"]);
        fixture.git(&["reset", "-q", "--hard", "HEAD~1"]);
        let path = fixture.beside("add.bundle");
        fixture.repo().write_bundle(&path, NAME, &[&base.to_string()]).unwrap();
        (fixture, base, tip, path)
    }

    fn clone(fixture: &Fixture, name: &str) -> Repo {
        let path = fixture.beside(name);
        // A local clone would link all objects, those that no ref leads to as well.
        fixture.git(&["clone", "-q", "--no-local", ".", path.to_str().unwrap()]);
        fixture.repo_at(&path, &[])
    }

    #[test]
    fn what_is_bundled_is_looked_at_apart_and_then_taken_in() {
        for options in [&[][..], &["--object-format=sha256"], &["--ref-format=reftable"]] {
            let (fixture, base, tip, path) = bundled(options);
            let bundle = Bundle::open(&path).unwrap();
            assert_eq!(
                (&bundle.refs[..], &bundle.needs[..]),
                (&[(NAME.into(), tip)][..], &[base][..])
            );
            let clone = clone(&fixture, "clone");
            let folder = tempfile::tempdir().unwrap();
            let quarantine = clone.quarantine(&bundle, folder.path()).unwrap();
            assert!(quarantine.view.has_object(tip) && !clone.has_object(tip));
            let taken = clone.take_in(&quarantine).unwrap();
            let kept = taken.keep.clone().unwrap();
            assert!(kept.exists() && clone.has_object(tip));
            drop(taken);
            assert!(!kept.exists());
            // All of it, for one who has nothing.
            fixture.repo().write_bundle(&path, NAME, &[]).unwrap();
            assert_eq!(Bundle::open(&path).unwrap().needs, Vec::<ObjectId>::new());
        }
    }

    #[test]
    fn what_is_no_whole_bundle_is_refused() {
        let (fixture, base, _, path) = bundled(&[]);
        let whole = fs::read(&path).unwrap();
        let refused = |bytes: &[u8]| {
            let path = fixture.beside("bad.bundle");
            fs::write(&path, bytes).unwrap();
            let opened = Bundle::open(&path);
            let error = opened.and_then(|it| {
                let folder = tempfile::tempdir().unwrap();
                fixture.repo().quarantine(&it, folder.path()).map(drop)
            });
            error.unwrap_err().to_string()
        };
        assert!(refused(b"").ends_with("it does not begin like one"));
        assert!(refused(b"# v2 git bundle\n\xff").ends_with("its header is cut"));
        assert!(refused(b"# v3 git bundle\n@filter=blob:none\n\n").ends_with("header is damaged"));
        assert!(refused(b"# v2 git bundle\nnonsense\n\n").ends_with("its header is damaged"));
        let long = [b"# v2 git bundle\n".to_vec(), vec![b'-'; 2 << 20]].concat();
        assert!(refused(&long).ends_with("its header is cut"));
        assert!(refused(&whole[..whole.len() - 30]).ends_with("is damaged"));
        let mut flipped = whole.clone();
        let at = flipped.len() - 40;
        flipped[at] ^= 0x55;
        assert!(refused(&flipped).ends_with("is damaged"));
        assert!(Bundle::open(Path::new("/dev/zero")).unwrap_err().to_string().contains("no file"));
        // One who lacks the base is told which.
        let alone = Fixture::new(&[]);
        alone.commit(&[("other", "other\n")]);
        let folder = tempfile::tempdir().unwrap();
        let lacks = alone.repo().quarantine(&Bundle::open(&path).unwrap(), folder.path());
        let lacks = lacks.unwrap_err().to_string();
        assert!(lacks.ends_with(&format!("not here: {base}")), "{lacks}");
    }
}
