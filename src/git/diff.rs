//! What differs between two trees, counted.
//!
//! Invariant: the counts of `git diff --shortstat -M`, whatever the user's configuration says of
//! renames and of how diffs look: a binary file counts no line, a renamed file counts once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use gix::bstr::{BStr, BString, ByteSlice};
use gix::diff::blob::pipeline::{Mode, WorktreeRoots};
use gix::diff::blob::platform::prepare_diff::Operation;
use gix::diff::blob::{Diff, InternedInput, Platform, ResourceKind};
use gix::diff::tree_with_rewrites::{Change, ChangeRef};
use gix::objs::tree::{EntryKind, EntryMode};

use crate::git::ObjectId;
use crate::git::attributes::Folders;
use crate::git::cause::Cause;
use crate::git::repo::Repo;

/// Files and lines that differ between two trees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiffStat {
    /// How many files.
    pub files: u64,
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// Each file, by path.
    pub paths: Vec<FileChange>,
}

/// One file that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// Its path; for a deleted file the one it had.
    pub path: BString,
    /// What happened to it.
    pub status: Status,
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
}

/// What happened to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// Its content or mode is another.
    Modified,
    /// It was moved from there, and maybe changed.
    Renamed(BString),
}

/// What was counted before, for one who compares the same tree with others, one after the other: a
/// file that differs as it did the last time is not read again.
#[derive(Debug, Default)]
pub struct Counted {
    /// What the counts are true for: the old tree, and the attributes that differ from its own.
    under: Option<(ObjectId, Vec<(BString, ObjectId)>)>,
    lines: HashMap<(Side, Side), (u64, u64)>,
}

/// The two trees could not be compared.
#[derive(Debug, thiserror::Error)]
#[error("cannot compare {old} with {new}")]
pub struct DiffError {
    /// The one tree.
    pub old: ObjectId,
    /// The other.
    pub new: ObjectId,
    /// What stood in the way.
    #[source]
    pub source: Cause,
}

impl Repo {
    /// What differs from tree `old` to tree `new`.
    ///
    /// # Errors
    /// An object cannot be read.
    pub fn diff_stat(&self, old: ObjectId, new: ObjectId) -> Result<DiffStat, DiffError> {
        self.diff_stat_again(old, new, &mut Counted::default())
    }

    /// As [`Repo::diff_stat`], with what was counted the last time.
    ///
    /// # Errors
    /// An object cannot be read.
    pub fn diff_stat_again(
        &self,
        old: ObjectId,
        new: ObjectId,
        counted: &mut Counted,
    ) -> Result<DiffStat, DiffError> {
        self.stat(old, new, counted).map_err(|source| DiffError { old, new, source: source.into() })
    }

    fn stat(&self, old: ObjectId, new: ObjectId, counted: &mut Counted) -> gix::Result<DiffStat> {
        let mut folders = Folders::default();
        folders.add_changed(self.gix(), old, new)?;
        let mut cache = self.blob_diffs(new, &folders)?;
        let mut changes = Vec::new();
        let (old, new) = (self.gix().find_tree(old)?, self.gix().find_tree(new)?);
        gix::diff::tree_with_rewrites(
            gix::objs::TreeRefIter::from_bytes(&old.data, old.id.kind()),
            gix::objs::TreeRefIter::from_bytes(&new.data, new.id.kind()),
            &mut cache,
            &mut gix::diff::tree::State::default(),
            self.gix(),
            |change| {
                changes.push(change.into_owned());
                Ok(std::ops::ControlFlow::Continue(()))
            },
            gix::diff::tree_with_rewrites::Options {
                location: Some(gix::diff::tree::recorder::Location::Path),
                rewrites: Some(gix::diff::Rewrites::default()),
            },
        )
        .map_err(gix::Error::from_error)?;
        counted.go_under(old.id, &changes);
        let mut stat = DiffStat::default();
        for change in &changes {
            let change = change.to_ref();
            if !change.entry_mode().is_tree() {
                stat.add(self.count(change, &mut cache, counted)?);
            }
        }
        stat.paths.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(stat)
    }

    /// What turns objects into lines, and knows which are binary.
    pub(super) fn blob_diffs(&self, tree: ObjectId, folders: &Folders) -> gix::Result<Platform> {
        let attributes = self.attributes(tree, folders)?;
        gix::diff::resource_cache(self.gix(), Mode::ToGit, attributes, WorktreeRoots::default())
    }

    fn count(
        &self,
        change: ChangeRef<'_>,
        cache: &mut Platform,
        counted: &mut Counted,
    ) -> gix::Result<FileChange> {
        let null = self.null_id();
        let (status, from, old, old_mode) = match change {
            ChangeRef::Addition { location, entry_mode, .. } => {
                (Status::Added, location, null, entry_mode)
            }
            ChangeRef::Deletion { location, id, entry_mode, .. } => {
                (Status::Deleted, location, id, entry_mode)
            }
            ChangeRef::Modification { location, previous_id, previous_entry_mode, .. } => {
                (Status::Modified, location, previous_id, previous_entry_mode)
            }
            ChangeRef::Rewrite { source_location, source_id, source_entry_mode, .. } => {
                let status = Status::Renamed(source_location.to_owned());
                (status, source_location, source_id, source_entry_mode)
            }
        };
        let (mode, id) = change.entry_mode_and_id();
        let new = if status == Status::Deleted { null } else { id.to_owned() };
        let path = change.location().to_owned();
        let (insertions, deletions) = if old == new {
            (0, 0)
        } else {
            let one = Side { id: old, mode: old_mode, path: from.to_owned() };
            let other = Side { id: new, mode, path: path.clone() };
            match counted.lines.entry((one, other)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(place) => {
                    let lines = self.lines(&place.key().0, &place.key().1, cache)?;
                    *place.insert(lines)
                }
            }
        };
        Ok(FileChange { path, status, insertions, deletions })
    }

    /// Lines added and removed between two versions of a file.
    fn lines(&self, old: &Side, new: &Side, cache: &mut Platform) -> gix::Result<(u64, u64)> {
        cache.clear_resource_cache_keep_allocation();
        // git shows a submodule as one line of text: the commit it is at.
        if old.mode.is_commit() || new.mode.is_commit() {
            return Ok((u64::from(!new.id.is_null()), u64::from(!old.id.is_null())));
        }
        for (side, kind) in
            [(old, ResourceKind::OldOrSource), (new, ResourceKind::NewOrDestination)]
        {
            let mode: EntryKind = side.mode.kind();
            cache.set_resource(side.id, mode, side.path.as_bstr(), kind, self.gix())?;
        }
        let prepared = cache.prepare_diff()?;
        let Operation::InternalDiff { algorithm } = prepared.operation else { return Ok((0, 0)) };
        // Line ends are kept: to git a last line that gains one is another line.
        let [before, after] =
            [prepared.old, prepared.new].map(|side| side.data.as_slice().unwrap_or_default());
        let diff = Diff::compute(algorithm, &InternedInput::new(before, after));
        Ok((diff.count_additions().into(), diff.count_removals().into()))
    }
}

impl Counted {
    /// Forgets what was counted for another tree, or under other attributes.
    fn go_under(&mut self, old: ObjectId, changes: &[Change]) {
        let is_attributes =
            |path: &BStr| path == ".gitattributes" || path.ends_with(b"/.gitattributes");
        let attributes = changes.iter().map(Change::to_ref).filter_map(|change| {
            let paths = [change.location(), change.source_location()];
            let path = paths.into_iter().find(|path| is_attributes(path))?;
            Some((path.to_owned(), change.entry_mode_and_id().1.to_owned()))
        });
        let under = Some((old, attributes.collect()));
        if self.under != under {
            *self = Self { under, lines: HashMap::new() };
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Side {
    id: ObjectId,
    mode: EntryMode,
    path: BString,
}

impl DiffStat {
    fn add(&mut self, file: FileChange) {
        self.files += 1;
        self.insertions += file.insertions;
        self.deletions += file.deletions;
        self.paths.push(file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;
    use fs_err as fs;
    use std::fmt::Write as _;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn numbered(lines: std::ops::Range<u32>, changed: &[u32]) -> String {
        lines.fold(String::new(), |mut text, n| {
            let word = if changed.contains(&n) { "changed" } else { "line" };
            writeln!(text, "{word} {n}").unwrap();
            text
        })
    }

    /// `git diff -M --numstat -z` and `--shortstat`, as ours would be.
    fn by_git(fixture: &Fixture, old: &str, new: &str) -> (DiffStat, String) {
        let diff = ["diff", "-M", "--no-ext-diff", "--no-textconv"];
        let numbers = fixture.git(&[&diff[..], &["--numstat", "-z", old, new]].concat());
        let mut stat = DiffStat::default();
        let mut fields = numbers.split_terminator('\0');
        while let Some(field) = fields.next() {
            let mut columns = field.splitn(3, '\t');
            let [insertions, deletions] =
                [columns.next(), columns.next()].map(|n| n.unwrap().parse().unwrap_or(0));
            let path = columns.next().unwrap();
            let status = if path.is_empty() {
                Status::Renamed(fields.next().unwrap().into())
            } else {
                Status::Modified
            };
            let path = if path.is_empty() { fields.next().unwrap() } else { path };
            stat.add(FileChange { path: path.into(), status, insertions, deletions });
        }
        stat.paths.sort_by(|one, other| one.path.cmp(&other.path));
        (stat, fixture.git(&[&diff[..], &["--shortstat", old, new]].concat()))
    }

    fn shortstat(stat: &DiffStat) -> String {
        let plural = |n: u64| if n == 1 { "" } else { "s" };
        let mut text = format!(" {} file{} changed", stat.files, plural(stat.files));
        if stat.insertions > 0 || stat.deletions == 0 {
            write!(text, ", {} insertion{}(+)", stat.insertions, plural(stat.insertions)).unwrap();
        }
        if stat.deletions > 0 || stat.insertions == 0 {
            write!(text, ", {} deletion{}(-)", stat.deletions, plural(stat.deletions)).unwrap();
        }
        text
    }

    #[test]
    fn counts_what_git_counts() {
        for kind in [&[][..], &["--object-format=sha256"], &["--ref-format=reftable"]] {
            let fixture = Fixture::with_commit(kind);
            let at = |path: &str| fixture.root.join(path);
            fs::write(at("binary"), b"a\0b\n").unwrap();
            symlink("a", at("link")).unwrap();
            fs::write(at("mode"), "same\n").unwrap();
            symlink("a", at("kind")).unwrap();
            let sub = fixture.id("HEAD").to_string();
            fixture.commit(&[
                ("moved", &numbered(0..100, &[])),
                ("moved and changed", &numbered(100..200, &[])),
                ("rewritten", &numbered(0..50, &[])),
                ("no end", "x\ny"),
                ("gone", "1\n2\n3\n"),
                ("marked", "text\n"),
                (".gitattributes", "marked -diff\nsub/*.dat binary\n"),
                ("sub/a.dat", "1\n2\n"),
                ("lib/.gitattributes", "*.txt -diff\n"),
                ("lib/x.txt", "1\n"),
            ]);
            let cache = format!("160000,{sub},module");
            fixture.git(&["update-index", "--add", "--cacheinfo", &cache]);
            fixture.git(&["commit", "-q", "-m", "a submodule"]);
            let two = fixture.id("HEAD").to_string();

            fs::rename(at("moved"), at("dir/moved")).unwrap();
            fs::remove_file(at("moved and changed")).unwrap();
            fs::write(at("binary"), b"a\0c\nd\n").unwrap();
            fs::remove_file(at("gone")).unwrap();
            fs::remove_file(at("link")).unwrap();
            symlink("dir/b", at("link")).unwrap();
            fs::remove_file(at("kind")).unwrap();
            fs::write(at("kind"), "a file\nnow\n").unwrap();
            fs::set_permissions(at("mode"), std::fs::Permissions::from_mode(0o755)).unwrap();
            for (path, content) in [
                ("changed name", numbered(100..200, &[110, 150])),
                ("rewritten", numbered(0..50, &[3, 4, 20, 49])),
                ("no end", "x\ny\n".into()),
                ("marked", "other\ntext\n".into()),
                ("sub/a.dat", "3\n".into()),
                ("lib/x.txt", "2\n3\n".into()),
                ("nouveau é", "1\n2\n".into()),
            ] {
                fs::write(at(path), content).unwrap();
            }
            fixture.git(&["add", "-A"]);
            let cache = format!("160000,{two},module");
            fixture.git(&["update-index", "--add", "--cacheinfo", &cache]);
            fixture.git(&["commit", "-q", "-m", "all kinds of changes"]);

            // What a person likes to see has no effect.
            fixture.git(&["config", "diff.renames", "false"]);
            fixture.git(&["config", "diff.noprefix", "true"]);
            let repo = fixture.repo();
            for (old, new) in
                [("HEAD~", "HEAD"), ("HEAD", "HEAD~"), ("HEAD", "HEAD"), ("HEAD~3", "HEAD")]
            {
                let [old_tree, new_tree] =
                    [old, new].map(|rev| fixture.id(&format!("{rev}^{{tree}}")));
                let stat = repo.diff_stat(old_tree, new_tree).unwrap();
                let (mut numbers, short) = by_git(&fixture, old, new);
                if old == new {
                    assert_eq!(stat, DiffStat::default());
                    continue;
                }
                // Numbers alone do not tell what is new and what is gone.
                for (ours, gits) in stat.paths.iter().zip(&mut numbers.paths) {
                    if !matches!(gits.status, Status::Renamed(_)) {
                        gits.status = ours.status.clone();
                        assert!(!matches!(ours.status, Status::Renamed(_)), "{ours:?}");
                    }
                }
                assert_eq!(stat, numbers, "{kind:?} {old} {new}");
                assert_eq!(shortstat(&stat), short);
            }
        }
    }

    #[test]
    fn says_what_happened_to_a_file() {
        let fixture = Fixture::with_commit(&[]);
        let before = fixture.id("HEAD^{tree}");
        fs::rename(fixture.root.join("a"), fixture.root.join("z")).unwrap();
        fs::remove_file(fixture.root.join("dir/b")).unwrap();
        fixture.commit(&[("new", "1\n2\n")]);
        let stat = fixture.repo().diff_stat(before, fixture.id("HEAD^{tree}")).unwrap();
        let change = |path: &str, status, insertions, deletions| FileChange {
            path: path.into(),
            status,
            insertions,
            deletions,
        };
        assert_eq!(
            stat.paths,
            [
                change("dir/b", Status::Deleted, 0, 1),
                change("new", Status::Added, 2, 0),
                change("z", Status::Renamed("a".into()), 0, 0),
            ]
        );
    }

    #[test]
    fn what_was_counted_before_is_true_until_the_attributes_change() {
        let fixture = Fixture::with_commit(&[]);
        let base = fixture.repo().tree_of(fixture.id("HEAD")).unwrap();
        let mut counted = Counted::default();
        let mut step = |files: &[(&str, &str)]| {
            fixture.commit(files);
            let repo = fixture.repo();
            let new = repo.tree_of(fixture.id("HEAD")).unwrap();
            let again = repo.diff_stat_again(base, new, &mut counted).unwrap();
            assert_eq!(again, repo.diff_stat(base, new).unwrap());
            (again.files, again.insertions, counted.lines.len())
        };
        assert_eq!(step(&[("x", "1\n2\n")]), (1, 2, 1));
        assert_eq!(step(&[("y", "1\n")]), (2, 3, 2));
        assert_eq!(step(&[("x", "1\n")]), (2, 2, 3));
        // What was a text is none any more: its lines count no longer.
        assert_eq!(step(&[("dir/.gitattributes", "*.x -diff\n"), ("dir/a.x", "1\n")]), (4, 3, 4));
        assert_eq!(step(&[(".gitattributes", "x -diff\n")]), (5, 3, 5));
    }
}
