//! Merging in memory, without a checkout.
//!
//! Invariant: the tree of `git merge-tree --write-tree`, or a list of the paths in conflict and
//! not one object written.

use std::collections::BTreeMap;

use gix::bstr::{BString, ByteSlice};
use gix::diff::blob::Algorithm;
use gix::diff::tree_with_rewrites::Change;
use gix::merge::plumbing::tree::{Conflict, ConflictIndexEntry, TreatAsUnresolved};
use gix::merge::plumbing::{self, blob};
use gix::objs::tree::EntryMode;
use gix::objs::{Kind, TreeRefIter, Write};
use gix::odb::memory::Storage;

use crate::git::ObjectId;
use crate::git::attributes::Folders;
use crate::git::cause::Cause;
use crate::git::clash::Clash;
use crate::git::command::{self, GitError};
use crate::git::object::Mode;
use crate::git::repo::Repo;

/// What merging two commits gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It merges: this tree, which is written.
    Clean(ObjectId),
    /// It does not: these paths need a person. Nothing is written.
    Conflicts(Vec<Clash>),
}

/// Two commits could not be merged at all.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// They share no commit that is here; in a shallow clone it may be elsewhere.
    #[error("{ours} and {theirs} have no commit in common")]
    Unrelated {
        /// The one commit.
        ours: ObjectId,
        /// The other.
        theirs: ObjectId,
    },
    /// git, which merges where a merge driver is configured, failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The merge failed on the way.
    #[error("cannot merge {theirs} into {ours}")]
    Failed {
        /// The one commit.
        ours: ObjectId,
        /// The other.
        theirs: ObjectId,
        /// What stood in the way.
        #[source]
        source: Cause,
    },
}

impl Repo {
    /// Merges `theirs` into `ours`, renames followed, `.gitattributes` of `ours` obeyed.
    ///
    /// # Errors
    /// [`MergeError::Unrelated`] without a common ancestor, or an object cannot be read.
    pub fn merge_commits(&self, ours: ObjectId, theirs: ObjectId) -> Result<Merge, MergeError> {
        let failed = |source: Cause| MergeError::Failed { ours, theirs, source };
        let base = match self.merge_base(ours, theirs) {
            Ok(Some(base)) => base,
            Ok(None) => return Err(MergeError::Unrelated { ours, theirs }),
            Err(error) => return Err(failed(gix::Error::from_error(error).into())),
        };
        if has_drivers(&self.gix().config_snapshot()) {
            return self.merge_by_git(ours, theirs);
        }
        match self.merge(base, ours, theirs).map_err(|source| failed(source.into()))? {
            Some(merged) => Ok(merged),
            None => self.merge_by_git(ours, theirs),
        }
    }

    /// Lets git merge: gix gives a merge driver file names that a space in the path breaks, and
    /// takes another way than git, or tells of other paths, where something was moved.
    fn merge_by_git(&self, ours: ObjectId, theirs: ObjectId) -> Result<Merge, MergeError> {
        let args = ["merge-tree", "--write-tree", "-z", "--no-messages"];
        // A merge driver named by a relative path is the main checkout's.
        let cmd = self.git_in_main().args(args).args([ours.to_string(), theirs.to_string()]);
        // A merge with conflicts leaves nothing behind: git writes elsewhere first.
        let failed =
            |source: gix::Error| MergeError::Failed { ours, theirs, source: source.into() };
        let aside = self.aside().map_err(failed)?;
        let mut done = aside.on(cmd.clone(), self).run().map_err(GitError::from)?;
        if done.exit == 0 && !aside.is_for_memory() {
            done = cmd.run().map_err(GitError::from)?;
        }
        let mut fields = done.stdout.split_str("\0").filter(|field| !field.is_empty());
        let tree = fields.next().and_then(|hex| ObjectId::from_hex(hex).ok());
        match (done.exit, tree) {
            (0, Some(tree)) => {
                if aside.is_for_memory() {
                    aside.take(self, tree).map_err(failed)?;
                }
                Ok(Merge::Clean(tree))
            }
            (1, Some(_)) => {
                let mut clashes = BTreeMap::new();
                for (stage, path, entry) in fields.filter_map(staged) {
                    clashes.entry(path).or_insert([None; 3])[stage] = Some(entry);
                }
                Ok(Merge::Conflicts(listed(clashes)))
            }
            _ => Err(command::refusal(&done).into()),
        }
    }

    /// None where only git can tell.
    fn merge(
        &self,
        base: ObjectId,
        ours: ObjectId,
        theirs: ObjectId,
    ) -> gix::Result<Option<Merge>> {
        let view = self.in_memory();
        let memory = view.gix();
        let [base_tree, our_tree, their_tree] = [base, ours, theirs].map(|commit| {
            let commit = memory.find_commit(commit)?;
            commit.tree_id().map(gix::Id::detach)
        });
        let (base_tree, our_tree) = (base_tree?, our_tree?);
        let our_paths = view.paths_between(base_tree, our_tree)?;
        let their_paths = view.paths_between(base_tree, their_tree?)?;
        if our_paths.may_move(&their_paths)
            || their_paths.may_move(&our_paths)
            || our_paths.may_stand_in(&their_paths)
        {
            return Ok(None);
        }
        let mut folders = Folders::default();
        our_paths.iter().chain(their_paths.iter()).for_each(|path| folders.add(path));

        let mut diffs = view.blob_diffs(our_tree, &folders)?;
        let mut blobs = view.blob_merges(our_tree, &folders)?;
        let commit_graph = memory.commit_graph_if_enabled()?;
        let mut graph = memory.revision_graph(commit_graph.as_ref());
        let mut outcome = plumbing::commit(
            ours,
            theirs,
            blob::builtin_driver::text::Labels::default(),
            &mut graph,
            &mut diffs,
            &mut blobs,
            memory,
            &mut |id| id.to_string(),
            plumbing::commit::Options {
                allow_missing_merge_base: false,
                use_first_merge_base: false,
                tree_merge: self.tree_merge_options()?,
            },
        )?
        .tree_merge;

        let is_unresolved = |conflict: &&Conflict| conflict.is_unresolved(TreatAsUnresolved::git());
        let mut clashes = BTreeMap::new();
        for conflict in outcome.conflicts.iter().filter(is_unresolved) {
            let Conflict { ours, theirs, .. } = conflict;
            // Something was moved: git has names of its own for what it was and is.
            if ours.location() != theirs.location()
                || [ours, theirs].iter().any(|change| matches!(change, Change::Rewrite { .. }))
            {
                return Ok(None);
            }
            let entry = |it: ConflictIndexEntry| (Mode::of(it.mode.kind()), it.id);
            let stages = conflict.entries().map(|it| it.map(entry));
            match stages {
                // What is gone here may be what git finds to be moved.
                [Some(_), None, _] | [Some(_), _, None] => return Ok(None),
                // One changed the mode alone: a file without lines is then in conflict for gix.
                [Some((_, base)), Some((_, ours)), Some((_, theirs))]
                    if base == ours || base == theirs =>
                {
                    return Ok(None);
                }
                // Nor can a file, a link and a submodule stand at one path.
                [_, Some((ours, _)), Some((theirs, _))]
                    if ours != theirs && !(ours.is_file() && theirs.is_file()) =>
                {
                    return Ok(None);
                }
                _ => {}
            }
            clashes.insert(ours.location().to_owned(), stages);
        }
        if !clashes.is_empty() {
            return Ok(Some(Merge::Conflicts(listed(clashes))));
        }
        let merged = outcome.tree.write(|tree| memory.write_object(tree).map(gix::Id::detach))?;
        self.write_from(memory.objects.reset_object_memory().unwrap_or_default(), merged)?;
        Ok(Some(Merge::Clean(merged)))
    }

    /// Writes a tree, and what it needs of the objects that are in memory only: the merges of
    /// merge bases are left behind.
    pub(super) fn write_from(&self, mut memory: Storage, tree: ObjectId) -> gix::Result<()> {
        let mut wanted = vec![tree];
        while let Some(id) = wanted.pop() {
            let Some((kind, data)) = memory.remove(&id) else { continue };
            if kind == Kind::Tree {
                for entry in TreeRefIter::from_bytes(&data, id.kind()) {
                    wanted.push(entry?.oid.to_owned());
                }
            }
            self.written(self.write_kept(|| self.gix().objects.write_buf(kind, &data))?);
        }
        Ok(())
    }

    fn tree_merge_options(&self) -> gix::Result<plumbing::tree::Options> {
        let mut options: plumbing::tree::Options = self.gix().tree_merge_options()?.into();
        // What git's merge-ort takes where nothing is configured; diffs have another default.
        if self.config_value("diff.algorithm").is_none() {
            options.blob_merge.text.diff_algorithm = Algorithm::Histogram;
        }
        Ok(options)
    }

    /// What merges the content of files: gix's own set-up, but with attributes from a tree.
    fn blob_merges(&self, tree: ObjectId, folders: &Folders) -> gix::Result<blob::Platform> {
        let gix = self.gix();
        let config = gix.config_snapshot();
        let mode = match config.boolean("merge.renormalize") {
            Some(true) => blob::pipeline::Mode::Renormalize,
            _ => blob::pipeline::Mode::ToGit,
        };
        let filter = gix::filter::plumbing::Pipeline::new(
            gix.command_context()?,
            gix.object_hash(),
            gix::filter::Pipeline::options(gix)?,
        );
        let large_file_threshold_bytes = match config.integer("core.bigFileThreshold") {
            Some(bytes) => u64::try_from(bytes).unwrap_or(u64::MAX),
            None => 512 * 1024 * 1024,
        };
        let pipeline = blob::Pipeline::new(
            blob::pipeline::WorktreeRoots::default(),
            filter,
            blob::pipeline::Options { large_file_threshold_bytes },
        );
        let default_driver = config.string("merge.default");
        let attributes = self.attributes(tree, folders)?;
        let options = blob::platform::Options { default_driver };
        Ok(blob::Platform::new(pipeline, mode, attributes, Vec::new(), options))
    }
}

type Stages = [Option<(Mode, ObjectId)>; 3];

fn listed(clashes: BTreeMap<BString, Stages>) -> Vec<Clash> {
    let clashes = clashes.into_iter();
    clashes.map(|(path, stages)| Clash { path: path.to_str_lossy().into_owned(), stages }).collect()
}

/// `<mode> <object> <stage>\t<path>`, as git lists what is unmerged.
fn staged(field: &[u8]) -> Option<(usize, BString, (Mode, ObjectId))> {
    let (entry, path) = field.split_once_str("\t")?;
    let mut words = entry.split_str(" ");
    let mode = EntryMode::from_bytes(words.next()?)?;
    let id = ObjectId::from_hex(words.next()?).ok()?;
    let stage = words.next()?.to_str().ok()?.parse::<usize>().ok()?.checked_sub(1)?;
    (stage < 3).then(|| (stage, path.into(), (Mode::of(mode.kind()), id)))
}

/// Whether the user lets programs merge some files, by `merge.<name>.driver`.
fn has_drivers(config: &gix::config::Snapshot<'_>) -> bool {
    let mut sections = config.plumbing().sections_by_name("merge").into_iter().flatten();
    sections.any(|section| section.contains_value_name("driver"))
}

#[cfg(test)]
mod random;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;
    use fs_err as fs;

    /// What `git merge-tree` says of two branches: the tree, or the conflicted paths.
    pub(super) fn by_git(
        fixture: &Fixture,
        ours: &str,
        theirs: &str,
    ) -> Result<ObjectId, Vec<String>> {
        let args = ["merge-tree", "--write-tree", "--name-only", "-z", "--no-messages"];
        let done = fixture.try_git(&fixture.root, &[&args[..], &[ours, theirs]].concat());
        assert!(done.exit < 2, "{}", String::from_utf8_lossy(&done.stderr));
        let said = String::from_utf8(done.stdout).unwrap();
        let mut fields = said.split_terminator('\0').map(str::to_owned);
        let tree = fields.next().unwrap();
        if done.exit == 0 {
            Ok(ObjectId::from_hex(tree.as_bytes()).unwrap())
        } else {
            Err(fields.collect())
        }
    }

    pub(super) fn told(merged: &Merge) -> Result<ObjectId, Vec<String>> {
        match merged {
            Merge::Clean(tree) => Ok(*tree),
            Merge::Conflicts(clashes) => {
                Err(clashes.iter().map(|clash| clash.path.clone()).collect())
            }
        }
    }

    /// A repository with `main` and `side`, which change the files of their common base.
    fn diverged(
        kind: &[&str],
        base: &[(&str, &str)],
        main: &[(&str, &str)],
        side: &[(&str, &str)],
    ) -> Fixture {
        let fixture = Fixture::new(kind);
        fixture.commit(base);
        fixture.git(&["checkout", "-q", "-b", "side"]);
        change(&fixture, side);
        fixture.git(&["checkout", "-q", "main"]);
        change(&fixture, main);
        fixture
    }

    /// Writes files; `-` removes one, `>path` moves it there.
    fn change(fixture: &Fixture, files: &[(&str, &str)]) {
        for (path, content) in files {
            let at = fixture.root.join(path);
            if let Some(to) = content.strip_prefix('>') {
                let to = fixture.root.join(to);
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::rename(at, to).unwrap();
            } else if *content == "-" {
                fs::remove_file(at).unwrap();
            } else {
                fs::create_dir_all(at.parent().unwrap()).unwrap();
                fs::write(at, content).unwrap();
            }
        }
        fixture.commit(&[]);
    }

    const TEN: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n";

    #[test]
    fn merges_what_git_merges_and_stops_where_git_stops() {
        let first = "one\n2\n3\n4\n5\n6\n7\n8\n9\n10\n";
        let last = "1\n2\n3\n4\n5\n6\n7\n8\n9\nten\n";
        let other_first = "eins\n2\n3\n4\n5\n6\n7\n8\n9\n10\n";
        type Side<'a> = &'a [(&'a str, &'a str)];
        let cases: [(&str, bool, Side, Side, Side); 16] = [
            ("apart", true, &[("f", TEN)], &[("f", first)], &[("f", last)]),
            ("same", true, &[("f", TEN)], &[("f", first)], &[("f", first)]),
            ("content", false, &[("f", TEN)], &[("f", first)], &[("f", other_first)]),
            ("renamed here", true, &[("f", TEN)], &[("f", ">d/g")], &[("f", last)]),
            (
                "renamed there",
                true,
                &[("f", TEN), ("x", "x")],
                &[("f", first), ("x", "y")],
                &[("f", ">g")],
            ),
            (
                "renamed, content",
                false,
                &[("f", TEN)],
                &[("f", ">g"), ("g", first)],
                &[("f", other_first)],
            ),
            ("deleted here", false, &[("f", TEN), ("x", "x")], &[("f", "-")], &[("f", last)]),
            ("deleted there", false, &[("f", TEN), ("x", "x")], &[("f", last)], &[("f", "-")]),
            ("both add", false, &[("x", "x")], &[("f", first)], &[("f", last)]),
            ("both add same", true, &[("x", "x")], &[("f", first)], &[("f", first)]),
            (
                "union",
                true,
                &[("f", TEN), (".gitattributes", "f merge=union\n")],
                &[("f", first)],
                &[("f", other_first)],
            ),
            (
                "union below",
                true,
                &[("d/f", TEN), ("d/.gitattributes", "f merge=union\n")],
                &[("d/f", first)],
                &[("d/f", other_first)],
            ),
            (
                "a folder moved",
                false,
                &[("d/f", TEN), ("d/g", first)],
                &[("d/f", ">e/f"), ("d/g", ">e/g")],
                &[("d/new", last)],
            ),
            (
                "folders moved apart",
                false,
                &[("d/f", TEN), ("d/g", first)],
                &[("d/f", ">e/f"), ("d/g", ">e/g")],
                &[("d/f", ">c/f"), ("d/g", ">c/g")],
            ),
            ("binary", false, &[("f", "a\0b")], &[("f", "a\0c")], &[("f", "a\0d")]),
            (
                "two",
                false,
                &[("é é", TEN), ("b", TEN)],
                &[("é é", first), ("b", first)],
                &[("é é", other_first), ("b", other_first)],
            ),
        ];
        for (name, clean, base, main, side) in cases {
            for kind in [&[][..], &["--object-format=sha256"], &["--ref-format=reftable"]] {
                let fixture = diverged(kind, base, main, side);
                let before = fixture.git(&["count-objects"]);
                let repo = fixture.repo();
                let merged = repo.merge_commits(fixture.id("main"), fixture.id("side")).unwrap();
                match &merged {
                    Merge::Clean(tree) => {
                        fixture.git(&["ls-tree", "-r", "-t", &tree.to_string()]);
                        fixture.fsck();
                    }
                    Merge::Conflicts(_) => {
                        assert_eq!(fixture.git(&["count-objects"]), before, "{name}");
                    }
                }
                assert_eq!(matches!(merged, Merge::Clean(_)), clean, "{name}: {merged:?}");
                assert_eq!(told(&merged), by_git(&fixture, "main", "side"), "{name} {kind:?}");
            }
        }
    }

    #[test]
    fn a_clean_merge_is_written_whole_and_nothing_else() {
        let base = [("f", TEN), ("d/g", TEN)];
        let fixture = diverged(
            &[],
            &base,
            &[
                ("f", "one\n2\n3\n4\n5\n6\n7\n8\n9\n10\n"),
                ("d/g", "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n"),
            ],
            &[
                ("f", "1\n2\n3\n4\n5\n6\n7\n8\n9\nten\n"),
                ("d/g", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n"),
            ],
        );
        let count =
            || fixture.git(&["count-objects"]).split(' ').next().unwrap().parse::<u32>().unwrap();
        let before = count();
        let merged = fixture.repo().merge_commits(fixture.id("main"), fixture.id("side")).unwrap();
        // Two blobs, the folder and the root.
        assert_eq!(count(), before + 4);
        assert_eq!(told(&merged), by_git(&fixture, "main", "side"));
    }

    #[test]
    fn criss_cross_merges_like_git() {
        let fixture = diverged(
            &[],
            &[("f", TEN)],
            &[("f", "one\n2\n3\n4\n5\n6\n7\n8\n9\n10\n")],
            &[("f", "1\n2\n3\n4\n5\n6\n7\n8\n9\nten\n")],
        );
        let (main, side) = (fixture.id("main"), fixture.id("side"));
        fixture.git(&["merge", "-q", "--no-edit", &side.to_string()]);
        fixture.git(&["checkout", "-q", "side"]);
        fixture.git(&["merge", "-q", "--no-edit", &main.to_string()]);
        change(&fixture, &[("f", "one\n2\n3\n4\nfive\n6\n7\n8\n9\nten\n")]);
        fixture.git(&["checkout", "-q", "main"]);
        change(&fixture, &[("g", "new\n")]);
        let merged = fixture.repo().merge_commits(fixture.id("main"), fixture.id("side")).unwrap();
        assert_eq!(told(&merged), by_git(&fixture, "main", "side"));
        assert!(matches!(merged, Merge::Clean(_)));
    }

    #[test]
    fn a_bare_clone_merges_with_the_attributes_of_the_tree() {
        let fixture = diverged(
            &[],
            &[("f", TEN), (".gitattributes", "f merge=union\n")],
            &[("f", "one\n2\n3\n4\n5\n6\n7\n8\n9\n10\n")],
            &[("f", "eins\n2\n3\n4\n5\n6\n7\n8\n9\n10\n")],
        );
        let bare = fixture.beside("bare.git");
        fixture.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
        let repo = fixture.repo_at(&bare, &[]);
        let merged = repo.merge_commits(fixture.id("main"), fixture.id("side")).unwrap();
        assert_eq!(told(&merged), by_git(&fixture, "main", "side"));
    }

    #[test]
    fn a_driver_of_the_users_merges() {
        let fixture = diverged(
            &[],
            &[("f", TEN), (".gitattributes", "f merge=mine\n")],
            &[("f", "one\n2\n3\n4\n5\n6\n7\n8\n9\n10\n")],
            &[("f", "eins\n2\n3\n4\n5\n6\n7\n8\n9\n10\n")],
        );
        fixture.git(&["config", "merge.mine.driver", "cat %B >> %A"]);
        let merged = fixture.repo().merge_commits(fixture.id("main"), fixture.id("side")).unwrap();
        assert_eq!(told(&merged), by_git(&fixture, "main", "side"));
        assert!(matches!(merged, Merge::Clean(_)));
    }

    #[test]
    fn histories_without_a_common_commit_do_not_merge() {
        let fixture = Fixture::with_commit(&[]);
        let main = fixture.id("main");
        fixture.git(&["checkout", "-q", "--orphan", "alone"]);
        let alone = fixture.commit(&[("b", "b")]);
        let refused = fixture.repo().merge_commits(main, alone);
        assert!(
            matches!(refused, Err(MergeError::Unrelated { ours, theirs }) if ours == main && theirs == alone),
            "{refused:?}"
        );
    }
}
