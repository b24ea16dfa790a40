//! A step as commits: the tree of the worktree, the commit on the branch, the record, in the order
//! that no crash can break.
//!
//! 1. The snapshot's tree and the commit on top of the branch are written: objects only.
//! 2. The record is written, with the commit as its last parent: objects only.
//! 3. The objects and the journal reach the disk, in one wait.
//! 4. The branch and the session's ref move in one transaction, each from where it was.
//!
//! Where the strategy holds a commit back, the tree is kept by a snapshot commit that only the
//! record points to; the branch gets it at the end of the turn, or of the session.
//!
//! What a person does to branch and worktree meanwhile is followed: see [`Foreign`].
//!
//! Invariant: what a record says of the branch was true when the ref moved; a branch that somebody
//! else has moved is never moved back, and the step's work is kept by the record all the same.

mod foreign;
mod place;

use std::path::{Path, PathBuf};

use fs_err as fs;

pub use foreign::{Foreign, ForeignError, make_branch_again};
pub use place::{Move, Place};

use super::record::{Record, RecordError, Recorder};
use super::spec::Spec;
use super::state::{Changes, State};
use super::subject::{self, Words};
use super::worktree;
use crate::config::CommitStrategy;
use crate::event;
use crate::failpoint;
use crate::file::Changed;
use crate::git::operation::Operation;
use crate::git::{
    self, Counted, DiffError, Draft, Expected, GitError, Head, Identity, LeftOut, ObjectError,
    ObjectId, RefError, RefUpdate, Repo, RevisionError, Snapshot, SnapshotError, WorktreeError,
};

/// Makes the checkpoints of one session, in its supervisor.
pub struct Checkpoints {
    repo: Repo,
    spec: Spec,
    who: Identity,
    snapshot: Snapshot,
    recorder: Recorder,
    base_tree: ObjectId,
    /// The lines of the session's changes so far, so that a step costs what it changes.
    counted: Counted,
    /// The branch's commit, as we left it.
    head: ObjectId,
    /// What holds the tree that was taken last: `head`, or a snapshot commit on top of it.
    code: ObjectId,
    /// The state in the record that this began behind.
    recorded: Option<State>,
}

/// What has just ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ends {
    /// One answer of the model, with its calls.
    Step,
    /// A turn: the model waits for a person or is done.
    Turn,
    /// The session.
    Session,
}

/// What a checkpoint is made of.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// Its number, from 1.
    pub number: u32,
    /// What has ended with it.
    pub ends: Ends,
    /// What the commit is called after.
    pub words: Words<'a>,
    /// What its calls may have changed.
    pub changed: &'a Changed,
}

/// What a checkpoint made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// The commit on the branch, if there is a new one.
    pub commit: Option<ObjectId>,
    /// The event for the journal; none if nothing has changed and nothing was committed.
    pub event: Option<event::Checkpoint>,
    /// What somebody else had done to the branch before.
    pub foreign: Option<Foreign>,
}

/// Why there is no checkpoint. But for [`CheckpointError::BranchMoved`], everything is as before.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Somebody else moved the branch, or deleted it. The work is kept by the session's ref.
    #[error("{branch} was {} by somebody else", match found { Some(id) => format!("moved to {id}"), None => "deleted".to_owned() })]
    BranchMoved {
        /// The branch.
        branch: String,
        /// Where it is now; none if it is gone.
        found: Option<ObjectId>,
        /// The commit that holds the step's work, on top of where the branch was.
        kept: ObjectId,
    },
    /// There is no such branch any more; the session's ref still holds the code.
    #[error("{branch} is gone")]
    BranchGone {
        /// The branch.
        branch: String,
    },
    /// What somebody else did cannot be gone on from.
    #[error(transparent)]
    Foreign(#[from] Box<ForeignError>),
    /// The worktree is gone, or is no worktree any more: its missing files are nobody's deletions.
    #[error("the worktree is gone: {}", path.display())]
    WorktreeGone {
        /// Where it was.
        path: PathBuf,
    },
    /// What leads git from the worktree to the session's git dir was changed or taken away.
    #[error(
        "{} is gone or does not lead to the session's git dir; git worktree repair mends it",
        path.display()
    )]
    NotLinked {
        /// The `.git` of the worktree.
        path: PathBuf,
    },
    /// The worktree is on another branch, so its files are not the session's.
    #[error("the worktree is on {found} instead of {branch}")]
    Elsewhere {
        /// The session's branch.
        branch: String,
        /// What the worktree is on.
        found: String,
    },
    /// A person has begun something in the worktree that is not at its end.
    #[error("the worktree is in the middle of {operation}: finish or abort it, then resume")]
    Busy {
        /// What git is about there.
        operation: Operation,
    },
    /// The worktree cannot be taken.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The files cannot follow.
    #[error(transparent)]
    Worktree(#[from] WorktreeError),
    /// The record cannot be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// An object cannot be written or read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The base is not there, in a clone that is too shallow say.
    #[error(transparent)]
    Base(#[from] RevisionError),
    /// Trees cannot be compared.
    #[error(transparent)]
    Diff(#[from] DiffError),
    /// The refs cannot be moved, or the session's ref was moved by somebody else.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// git does not know who the user is.
    #[error("the author of commits is not known")]
    Identity(#[source] GitError),
}

impl Checkpoints {
    /// Goes on where the session's last record and its branch are, or begins at its base. `repo`
    /// is the view of the session's worktree.
    ///
    /// # Errors
    /// The branch is gone, or something cannot be read.
    pub fn open(repo: Repo, spec: Spec, max_file_size: u64) -> Result<Self, CheckpointError> {
        let who = repo.identity().map_err(CheckpointError::Identity)?;
        let recorder = Recorder::open(&repo, &spec.id)?;
        let record = recorder.tip().map(|tip| Record::read(&repo, tip)).transpose()?;
        let (head, code) = foreign::begin(&repo, &spec.branch, record.as_ref())?;
        let tree = repo.tree_of(code)?;
        let snapshot = Snapshot::open(&repo, tree, max_file_size)?;
        let base_tree = repo.tree_of(repo.resolve_commit(&spec.base.commit)?)?;
        let recorded = record.map(|record| record.state);
        let counted = Counted::default();
        Ok(Self { repo, spec, who, snapshot, recorder, base_tree, counted, head, code, recorded })
    }

    /// Finishes what a crash cut between the move of the refs and the state's file: brings what
    /// the last record knows better up to it. Called once, behind [`Checkpoints::open`].
    pub fn catch_up(&self, state: &mut State) {
        let Some(recorded) = self.recorded.as_ref().filter(|it| it.recorded > state.recorded)
        else {
            return;
        };
        state.step = state.step.max(recorded.step);
        state.recorded = recorded.recorded;
        state.changes = recorded.changes;
        state.head.clone_from(&recorded.head);
        state.tree.clone_from(&recorded.tree);
        state.left_out.clone_from(&recorded.left_out);
    }

    /// The branch's commit.
    pub fn head(&self) -> ObjectId {
        self.head
    }

    /// The commit that holds the tree of the last checkpoint.
    pub fn code(&self) -> ObjectId {
        self.code
    }

    /// The tree that was taken last.
    pub fn tree(&self) -> ObjectId {
        self.snapshot.tree()
    }

    /// Who commits are made by.
    pub fn who(&self) -> &Identity {
        &self.who
    }

    /// The view of the session's worktree.
    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    /// Takes the worktree as it is, commits it if the strategy says so, and records the state with
    /// the journal up to its end. The state is brought up to date; the caller writes its file.
    ///
    /// # Errors
    /// See [`CheckpointError`]; the state has not changed then.
    pub fn take(
        &mut self,
        step: &Step<'_>,
        state: &mut State,
        journal: &Path,
    ) -> Result<Made, CheckpointError> {
        self.despite_gc(|it| it.take_once(step, state, journal))
    }

    /// Does it again where a gc has taken away under it what was written, and is there again.
    fn despite_gc<T>(
        &mut self,
        mut act: impl FnMut(&mut Self) -> Result<T, CheckpointError>,
    ) -> Result<T, CheckpointError> {
        const TRIES: usize = 20;
        for _ in 0..TRIES {
            match act(self) {
                Err(_) if self.repo.restore_kept().map_err(RefError::Sync)? > 0 => {}
                done => return done,
            }
        }
        act(self)
    }

    fn take_once(
        &mut self,
        step: &Step<'_>,
        state: &mut State,
        journal: &Path,
    ) -> Result<Made, CheckpointError> {
        self.check_worktree()?;
        let before = self.snapshot.tree();
        let taken = self.snapshot.take(step.changed)?;
        failpoint::reach("tree");
        let mut next = state.clone();
        next.step = step.number;
        note_left_out(&mut next, &taken.left_out, step.changed);
        let followed = self.follow(&mut next, journal);
        state.moved_to.clone_from(&next.moved_to);
        let foreign = followed?;
        let before = if foreign.is_some() { self.repo.tree_of(self.head)? } else { before };
        let tree = self.snapshot.tree();
        let is_new = tree != self.repo.tree_of(self.head)?;
        let commit = match is_new && self.commits_at(step.ends) {
            true => Some(self.commit(tree, step)?),
            false => None,
        };
        failpoint::reach("commit");
        let code = match commit {
            Some(commit) => commit,
            None => self.code_for(tree, step.number)?,
        };
        let event = match tree != before || commit.is_some() {
            true => Some(self.event(before, tree, commit, step, &taken.left_out)?),
            false => None,
        };
        if event.is_some() || foreign.is_some() {
            next.changes = self.changes()?;
        }
        self.settle(commit, code, &mut next, journal)?;
        *state = next;
        Ok(Made { commit, event, foreign })
    }

    /// What the tree taken last differs in from the base.
    fn changes(&mut self) -> Result<Changes, DiffError> {
        let tree = self.snapshot.tree();
        let stat = self.repo.diff_stat_again(self.base_tree, tree, &mut self.counted)?;
        let git::DiffStat { files, insertions, deletions, .. } = stat;
        Ok(Changes { files, insertions, deletions })
    }

    /// The commit that holds a tree which the branch does not get yet: one that is there, or a
    /// snapshot commit.
    fn code_for(&self, tree: ObjectId, number: u32) -> Result<ObjectId, ObjectError> {
        for code in [self.head, self.code] {
            if self.repo.tree_of(code)? == tree {
                return Ok(code);
            }
        }
        self.hold(tree, number)
    }

    /// Records the state, with the journal up to its end, where no step has ended: the session
    /// rests, goes on, or was verified.
    ///
    /// # Errors
    /// The record cannot be written, or the session's ref was moved by somebody else.
    pub fn record(&mut self, state: &mut State, journal: &Path) -> Result<(), CheckpointError> {
        self.despite_gc(|it| it.settle(None, it.code, state, journal))
    }

    /// Whether the worktree holds just the tree taken last.
    ///
    /// # Errors
    /// The worktree cannot be read.
    pub fn is_clean(&self) -> Result<bool, CheckpointError> {
        let tree = self.snapshot.tree();
        let mut look = Snapshot::open(&self.repo.in_memory(), tree, self.snapshot.max_file_size())?;
        Ok(look.take(&Changed::Anything)?.tree == tree)
    }

    /// Brings the worktree's own index up to the tree taken last, so that `git status` there says
    /// what is true. For when the session rests.
    ///
    /// # Errors
    /// Another git process holds the index locked, or it cannot be written.
    pub fn rest(&self) -> Result<(), CheckpointError> {
        Ok(self.snapshot.refresh_worktree_index()?)
    }

    /// Writes an index of the tree taken last into another git dir, for who works there.
    ///
    /// # Errors
    /// It is locked, or cannot be written.
    pub fn write_index(&self, git_dir: &Path) -> Result<(), CheckpointError> {
        Ok(self.snapshot.write_index(git_dir)?)
    }

    /// Moves the refs: both or none. If it is the branch that stands in the way, the record alone
    /// moves, so that the work is kept.
    fn settle(
        &mut self,
        commit: Option<ObjectId>,
        code: ObjectId,
        state: &mut State,
        journal: &Path,
    ) -> Result<(), CheckpointError> {
        self.repo.sync_with_objects(journal);
        let head = commit.unwrap_or(self.head);
        state.head = Some(head.to_string());
        state.tree = Some(self.snapshot.tree().to_string());
        let written =
            self.recorder.write(&self.repo, &self.spec, state, journal, code, &self.who)?;
        failpoint::reach("record");
        let mut updates = vec![written.update.clone()];
        if let Some(commit) = commit {
            updates.push(RefUpdate {
                name: self.spec.branch.clone(),
                old: Expected::Is(self.head),
                new: Some(commit),
                reason: format!("agent: step {}", state.step),
            });
        }
        match self.repo.update_refs(&updates) {
            Ok(()) => {
                failpoint::reach("refs");
                self.recorder.advance(&written);
                (self.head, self.code) = (head, code);
                Ok(())
            }
            Err(RefError::Moved { name, found, .. }) if name == self.spec.branch => {
                self.keep_work(code, state, journal)?;
                Err(CheckpointError::BranchMoved { branch: name, found, kept: code })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Moves the session's ref alone, so that the work is kept where the branch cannot have it.
    fn keep_work(
        &mut self,
        code: ObjectId,
        state: &mut State,
        journal: &Path,
    ) -> Result<(), CheckpointError> {
        state.head = Some(self.head.to_string());
        state.tree = Some(self.snapshot.tree().to_string());
        let kept = self.recorder.write(&self.repo, &self.spec, state, journal, code, &self.who)?;
        self.repo.update_refs(std::slice::from_ref(&kept.update))?;
        self.recorder.advance(&kept);
        self.code = code;
        Ok(())
    }

    /// A worktree that was deleted, or that a person has switched away, holds other files than the
    /// session's.
    fn check_worktree(&self) -> Result<(), CheckpointError> {
        let path = self.repo.work_dir().unwrap_or(&self.spec.worktree);
        let is_empty = fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none());
        if is_empty {
            return Err(CheckpointError::WorktreeGone { path: path.to_owned() });
        }
        if worktree::git_dir(path).is_none_or(|found| found != self.repo.git_dir()) {
            return Err(CheckpointError::NotLinked { path: path.join(".git") });
        }
        let found = match self.repo.head()? {
            Head::Branch { name, .. } if name == self.spec.branch => return Ok(()),
            // The branch is gone: what moves it will say so, after the work is kept.
            Head::Unborn(name) if name == self.spec.branch => return Ok(()),
            Head::Branch { name, .. } | Head::Unborn(name) => name,
            Head::Detached(id) => id.to_string(),
        };
        Err(CheckpointError::Elsewhere { branch: self.spec.branch.clone(), found })
    }

    fn commits_at(&self, ends: Ends) -> bool {
        match self.spec.commit_strategy {
            CommitStrategy::Incremental => true,
            CommitStrategy::Turn => ends >= Ends::Turn,
            CommitStrategy::Single => ends >= Ends::Session,
            CommitStrategy::None => false,
        }
    }

    fn commit(&self, tree: ObjectId, step: &Step<'_>) -> Result<ObjectId, ObjectError> {
        let (subject, body) = subject::message(&step.words, &self.spec.commit_prefix, step.number);
        let message = match body.is_empty() {
            true => format!("{subject}\n"),
            false => format!("{subject}\n\n{body}\n"),
        };
        self.write(tree, &message)
    }

    /// Keeps a tree that the branch does not get yet.
    fn hold(&self, tree: ObjectId, number: u32) -> Result<ObjectId, ObjectError> {
        self.write(tree, &format!("Snapshot after step {number}\n"))
    }

    fn write(&self, tree: ObjectId, message: &str) -> Result<ObjectId, ObjectError> {
        self.write_on(self.head, tree, message)
    }

    fn write_on(
        &self,
        parent: ObjectId,
        tree: ObjectId,
        message: &str,
    ) -> Result<ObjectId, ObjectError> {
        let message = match self.spec.trailers {
            true => git::append(message, &trailers(&self.spec)),
            false => message.to_owned(),
        };
        self.repo.write_commit(&Draft {
            tree,
            parents: vec![parent],
            author: self.who.clone(),
            committer: self.who.clone(),
            time: None,
            message,
        })
    }

    fn event(
        &self,
        before: ObjectId,
        tree: ObjectId,
        commit: Option<ObjectId>,
        step: &Step<'_>,
        left_out: &[LeftOut],
    ) -> Result<event::Checkpoint, CheckpointError> {
        let stat = self.repo.diff_stat(before, tree)?;
        let (subject, _) = subject::message(&step.words, &self.spec.commit_prefix, step.number);
        Ok(event::Checkpoint {
            commit: commit.map(|id| id.to_string()),
            tree: tree.to_string(),
            subject,
            paths: stat.paths.iter().map(|change| change.path.to_string()).collect(),
            insertions: stat.insertions,
            deletions: stat.deletions,
            left_out: left_out.iter().map(left_out_line).collect(),
        })
    }
}

/// The trailers of a commit of this session: what tells it apart, and the form that the kernel's
/// `Documentation/process/coding-assistants.rst` asks for.
pub fn trailers(spec: &Spec) -> [(&'static str, String); 2] {
    [
        ("Agent-Session", spec.id.clone()),
        ("Assisted-by", format!("git-agent:{}", spec.model_label())),
    ]
}

fn note_left_out(state: &mut State, left_out: &[LeftOut], changed: &Changed) {
    if *changed == Changed::Anything {
        state.left_out.clear();
    }
    for line in left_out.iter().map(left_out_line) {
        if !state.left_out.contains(&line) {
            state.left_out.push(line);
        }
    }
}

fn left_out_line(left_out: &LeftOut) -> String {
    format!("{}: {}", left_out.path, left_out.why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Update};
    use crate::git::testing::Fixture;
    use crate::session::journal::Journal;
    use crate::session::spec::tests::sample;
    use crate::session::state::Phase;
    use fs_err as fs;

    /// A session in a worktree of its own, at its beginning.
    struct Bench {
        git: Fixture,
        worktree: std::path::PathBuf,
        journal_path: std::path::PathBuf,
        journal: Journal,
        checkpoints: Checkpoints,
        state: State,
    }

    fn bench(options: &[&str], strategy: CommitStrategy) -> Bench {
        let git = Fixture::with_commit(options);
        let base = git.id("HEAD");
        let worktree = git.beside("wt");
        let path = worktree.to_str().unwrap();
        git.git(&["worktree", "add", "-q", "-b", "agent/add-rate", path]);
        let mut spec = sample("add-rate-7f3k");
        spec.base.commit = base.to_string();
        spec.commit_strategy = strategy;
        let journal_path = git.beside("journal.jsonl");
        let (journal, _) = Journal::open(&journal_path).unwrap();
        let repo = git.repo_at(&worktree, &[]);
        let checkpoints = Checkpoints::open(repo, spec.clone(), 1 << 20).unwrap();
        let state = State { phase: Phase::Running, ..State::new(spec.created) };
        Bench { git, worktree, journal_path, journal, checkpoints, state }
    }

    impl Bench {
        /// A step that wrote this file and said these words.
        fn step(
            &mut self,
            number: u32,
            file: &str,
            text: &str,
            ends: Ends,
        ) -> Result<Made, CheckpointError> {
            fs::write(self.worktree.join(file), format!("{number}\n")).unwrap();
            let changed = Changed::Paths(vec![file.into()]);
            self.take(number, text, ends, &changed)
        }

        fn take(
            &mut self,
            number: u32,
            text: &str,
            ends: Ends,
            changed: &Changed,
        ) -> Result<Made, CheckpointError> {
            self.journal.append(&[Event::now(number, Update::Notice(text.to_owned()))]).unwrap();
            let words = Words { text, titles: &[] };
            let step = Step { number, ends, words, changed };
            self.checkpoints.take(&step, &mut self.state, &self.journal_path)
        }

        fn log(&self) -> String {
            self.git.git(&["log", "--format=%s", "--reverse", "main..agent/add-rate"])
        }

        fn last_record(&self) -> Record {
            let repo = self.checkpoints.repo();
            Record::read(repo, repo.ref_id("refs/agent/add-rate-7f3k").unwrap().unwrap()).unwrap()
        }
    }

    #[test]
    fn each_step_is_a_commit_and_a_record_under_one_ref() {
        for options in [&[][..], &["--object-format=sha256"], &["--ref-format=reftable"]] {
            let mut bench = bench(options, CommitStrategy::Incremental);
            let first = bench.step(1, "a", "Add a. With care.", Ends::Step).unwrap();
            bench.take(2, "Look around", Ends::Step, &Changed::Nothing).unwrap();
            let third = bench.step(3, "new file", "", Ends::Step).unwrap();
            assert_eq!(bench.log(), "feat(cart): Add a\nfeat(cart): step 3");
            let message = bench.git.git(&["log", "-1", "--format=%B", "agent/add-rate~1"]);
            assert_eq!(
                message.trim_end(),
                "feat(cart): Add a\n\nWith care.\n\nAgent-Session: add-rate-7f3k\n\
                 Assisted-by: git-agent:replay/x.jsonl"
            );
            let who = bench.git.git(&["log", "-1", "--format=%an <%ae> %cn", "agent/add-rate"]);
            assert_eq!(who, "Ada Person <ada@example.org> Ada Person");
            let event = first.event.unwrap();
            assert_eq!(
                (event.paths, event.insertions, event.deletions),
                (vec!["a".to_owned()], 1, 1)
            );
            let record = bench.last_record();
            assert_eq!(
                (record.code, Some(record.code)),
                (bench.git.id("agent/add-rate"), third.commit)
            );
            assert_eq!(record.state, bench.state);
            bench.checkpoints.rest().unwrap();
            assert_eq!(bench.git.git_in(&bench.worktree, &["status", "--porcelain"]), "");
            assert_eq!(record.state.changes, Changes { files: 2, insertions: 2, deletions: 1 });
            let mut journal = Vec::new();
            record.write_journal(bench.checkpoints.repo(), &mut journal).unwrap();
            assert_eq!(journal, fs::read(&bench.journal_path).unwrap());
            bench.git.fsck();
        }
    }

    #[test]
    fn a_strategy_holds_commits_back_and_the_record_keeps_the_work() {
        let cases = [
            (CommitStrategy::Turn, "feat(cart): two\nfeat(cart): three"),
            (CommitStrategy::Single, "feat(cart): three"),
            (CommitStrategy::None, ""),
        ];
        for (strategy, want) in cases {
            let mut bench = bench(&[], strategy);
            let held = bench.step(1, "one", "one", Ends::Step).unwrap();
            assert_eq!((held.commit, held.event.unwrap().commit), (None, None));
            assert_eq!(bench.log(), "");
            let record = bench.last_record();
            let kept = bench.git.git(&["show", &format!("{}:one", record.code)]);
            assert_eq!((kept.as_str(), record.code == bench.checkpoints.head()), ("1", false));
            // A supervisor that starts anew goes on from what was held back.
            let repo = bench.git.repo_at(&bench.worktree, &[]);
            let again = Checkpoints::open(repo, bench.checkpoints.spec.clone(), 1 << 20).unwrap();
            assert_eq!((again.code, again.head), (record.code, bench.git.id("main")));
            bench.checkpoints = again;
            bench.take(2, "two", Ends::Turn, &Changed::Nothing).unwrap();
            bench.step(3, "three", "three", Ends::Session).unwrap();
            assert_eq!(bench.log(), want, "{strategy:?}");
            let files =
                bench.git.git(&["ls-tree", "--name-only", &bench.last_record().code.to_string()]);
            assert_eq!(files, "a\ndir\none\nthree");
            bench.git.fsck();
        }
    }

    impl Bench {
        /// As a supervisor that begins anew.
        fn reopen(&mut self) {
            let repo = self.git.repo_at(&self.worktree, &[]);
            let spec = self.checkpoints.spec.clone();
            self.checkpoints = Checkpoints::open(repo, spec, 1 << 20).unwrap();
        }

        fn edits(&mut self) -> Vec<Foreign> {
            self.checkpoints.take_edits(&mut self.state, &self.journal_path).unwrap()
        }

        fn show(&self, path: &str) -> String {
            self.git.git(&["show", &format!("agent/add-rate:{path}")])
        }

        /// A commit on the branch that nobody made in the worktree.
        fn commit_elsewhere(&self, path: &str, text: &str) -> ObjectId {
            let other = self.git.beside("other");
            self.git.git(&[
                "worktree",
                "add",
                "-q",
                "--detach",
                other.to_str().unwrap(),
                "agent/add-rate",
            ]);
            fs::write(other.join(path), text).unwrap();
            self.git.git_in(&other, &["add", "-A"]);
            self.git.git_in(&other, &["commit", "-qm", "theirs"]);
            let id = self.git.git_in(&other, &["rev-parse", "HEAD"]);
            self.git.git(&["worktree", "remove", "--force", other.to_str().unwrap()]);
            self.git.git(&["update-ref", "refs/heads/agent/add-rate", &id]);
            self.git.id("agent/add-rate")
        }
    }

    #[test]
    fn b05_a_commit_made_in_the_worktree_is_gone_on_from() {
        for options in [&[][..], &["--ref-format=reftable"]] {
            let mut bench = bench(options, CommitStrategy::Incremental);
            bench.step(1, "a", "one", Ends::Step).unwrap();
            fs::write(bench.worktree.join("mine"), "mine").unwrap();
            bench.git.git_in(&bench.worktree, &["add", "mine"]);
            bench.git.git_in(&bench.worktree, &["commit", "-qm", "mine", "--only", "mine"]);
            let mine = bench.git.id("agent/add-rate");
            let made = bench.step(2, "b", "two", Ends::Step).unwrap();
            let paths = vec!["mine".to_owned()];
            assert_eq!(made.foreign, Some(Foreign { commit: Some(mine), by_commit: true, paths }));
            assert_eq!(made.event.unwrap().paths, ["b"]);
            assert_eq!(bench.log(), "feat(cart): one\nmine\nfeat(cart): two");
            assert_eq!(bench.last_record().code, bench.git.id("agent/add-rate"));
            bench.git.fsck();
        }
    }

    #[test]
    fn b05_an_amended_branch_is_gone_on_from_and_what_it_lost_stays_reachable() {
        let mut bench = bench(&[], CommitStrategy::Incremental);
        let one = bench.step(1, "a", "one", Ends::Step).unwrap().commit.unwrap();
        bench.checkpoints.rest().unwrap();
        bench.git.git_in(&bench.worktree, &["commit", "-q", "--amend", "-m", "my one"]);
        bench.step(2, "b", "two", Ends::Step).unwrap();
        assert_eq!(bench.log(), "my one\nfeat(cart): two");
        let one = one.to_string();
        bench.git.git(&["merge-base", "--is-ancestor", &one, "refs/agent/add-rate-7f3k"]);
    }

    #[test]
    fn b05_a_commit_made_elsewhere_is_merged_into_the_worktree() {
        for strategy in [CommitStrategy::Incremental, CommitStrategy::Single] {
            let mut bench = bench(&[], strategy);
            bench.step(1, "a", "one", Ends::Step).unwrap();
            let theirs = bench.commit_elsewhere("theirs", "theirs\n");
            let made = bench.step(2, "b", "two", Ends::Session).unwrap();
            assert_eq!(made.foreign.unwrap().commit, Some(theirs));
            assert_eq!(fs::read_to_string(bench.worktree.join("theirs")).unwrap(), "theirs\n");
            assert_eq!((bench.show("theirs"), bench.show("b")), ("theirs".into(), "2".into()));
            bench.git.git(&["merge-base", "--is-ancestor", &theirs.to_string(), "agent/add-rate"]);
            bench.checkpoints.rest().unwrap();
            assert_eq!(bench.git.git_in(&bench.worktree, &["status", "--porcelain"]), "");
            bench.git.fsck();
        }
    }

    #[test]
    fn b05_commits_that_conflict_wait_for_a_person_who_merges_them() {
        let mut bench = bench(&[], CommitStrategy::Incremental);
        bench.step(1, "a", "one", Ends::Step).unwrap();
        let theirs = bench.commit_elsewhere("b", "theirs\n");
        for _ in 0..2 {
            let error = bench.step(2, "b", "two", Ends::Step).unwrap_err();
            let said = error.to_string();
            assert!(said.contains("conflicts with the session in b; merge and commit"), "{said}");
            assert_eq!(bench.git.id("agent/add-rate"), theirs);
            let code = bench.last_record().code;
            assert_eq!(bench.git.git(&["show", &format!("{code}:b")]), "2");
            bench.reopen();
        }
        fs::write(bench.worktree.join("b"), "both\n").unwrap();
        bench.git.git_in(&bench.worktree, &["add", "-A"]);
        bench.git.git_in(&bench.worktree, &["commit", "-qm", "merged"]);
        bench.step(3, "c", "three", Ends::Step).unwrap();
        assert_eq!(bench.log(), "feat(cart): one\ntheirs\nmerged\nfeat(cart): three");
        assert_eq!(bench.show("b"), "both");
    }

    #[test]
    fn b05_a_branch_that_lost_commits_elsewhere_waits_once() {
        let mut bench = bench(&[], CommitStrategy::Incremental);
        bench.step(1, "a", "one", Ends::Step).unwrap();
        bench.step(2, "b", "two", Ends::Step).unwrap();
        bench.git.git(&["update-ref", "refs/heads/agent/add-rate", "main"]);
        let error = bench.step(3, "c", "three", Ends::Step).unwrap_err();
        assert!(error.to_string().contains("resume goes on from there"), "{error}");
        assert_eq!(bench.git.id("agent/add-rate"), bench.git.id("main"));
        bench.checkpoints.record(&mut bench.state, &bench.journal_path).unwrap();
        bench.reopen();
        bench.step(4, "d", "four", Ends::Step).unwrap();
        assert_eq!(bench.log(), "feat(cart): four");
        assert_eq!(bench.state.moved_to, None);
    }

    #[test]
    fn b07_a_deleted_branch_is_missed_and_made_again_from_the_ref() {
        let mut bench = bench(&[], CommitStrategy::Incremental);
        bench.step(1, "a", "one", Ends::Step).unwrap();
        bench.git.git(&["update-ref", "-d", "refs/heads/agent/add-rate"]);
        let error = bench.step(2, "b", "two", Ends::Step).unwrap_err();
        assert_eq!(error.to_string(), "refs/heads/agent/add-rate was deleted by somebody else");
        let code = bench.last_record().code;
        assert_eq!(bench.git.git(&["show", &format!("{code}:b")]), "2");
        let (repo, spec) =
            (bench.git.repo_at(&bench.worktree, &[]), bench.checkpoints.spec.clone());
        let opened = Checkpoints::open(repo.clone(), spec.clone(), 1);
        assert!(matches!(opened, Err(CheckpointError::BranchGone { .. })));
        assert!(make_branch_again(&repo, &spec).unwrap());
        assert!(!make_branch_again(&repo, &spec).unwrap());
        bench.reopen();
        bench.take(3, "three", Ends::Step, &Changed::Nothing).unwrap();
        assert_eq!(bench.log(), "feat(cart): one\nfeat(cart): three");
        assert_eq!(bench.show("b"), "2");
    }

    #[test]
    fn n08_edits_while_the_session_rests_are_the_users_commit() {
        let mut bench = bench(&[], CommitStrategy::Incremental);
        bench.step(1, "a", "one", Ends::Step).unwrap();
        assert_eq!(bench.edits(), []);
        fs::write(bench.worktree.join("a"), "mine").unwrap();
        assert!(!bench.checkpoints.is_clean().unwrap());
        bench.reopen();
        let found = bench.edits();
        let tip = bench.git.id("agent/add-rate");
        let paths = vec!["a".to_owned()];
        assert_eq!(found, [Foreign { commit: Some(tip), by_commit: false, paths }]);
        assert_eq!(
            bench.git.git(&["log", "-1", "--format=%B%an", "agent/add-rate"]),
            "Edit by hand\nAda Person"
        );
        assert!(bench.checkpoints.is_clean().unwrap());
        assert_eq!((bench.edits(), bench.state.changes.files), (vec![], 1));
        bench.step(2, "b", "two", Ends::Step).unwrap();
        assert_eq!(bench.log(), "feat(cart): one\nEdit by hand\nfeat(cart): two");
        assert_eq!(bench.show("a"), "mine");
    }

    #[test]
    fn n08_where_commits_are_held_back_edits_are_too() {
        for strategy in [CommitStrategy::Single, CommitStrategy::None] {
            let mut bench = bench(&[], strategy);
            bench.step(1, "a", "one", Ends::Step).unwrap();
            fs::write(bench.worktree.join("mine"), "mine").unwrap();
            let paths = vec!["mine".to_owned()];
            assert_eq!(bench.edits(), [Foreign { commit: None, by_commit: false, paths }]);
            let code = bench.last_record().code;
            assert_eq!(bench.git.git(&["show", &format!("{code}:mine")]), "mine");
            assert_eq!(bench.log(), "");
        }
    }

    #[test]
    fn the_files_of_another_branch_are_never_taken_for_the_sessions() {
        let mut bench = bench(&[], CommitStrategy::Incremental);
        bench.git.git_in(&bench.worktree, &["switch", "-q", "-c", "other"]);
        let error = bench.step(1, "b", "x", Ends::Step).unwrap_err();
        let want = "the worktree is on refs/heads/other instead of refs/heads/agent/add-rate";
        assert_eq!(error.to_string(), want);
        assert_eq!((bench.log(), bench.state.step), (String::new(), 0));
    }

    #[test]
    fn e01_a_crash_before_the_states_file_loses_nothing_of_the_step() {
        let mut bench = bench(&[], CommitStrategy::Incremental);
        bench.step(1, "a", "one", Ends::Step).unwrap();
        let on_disk = bench.state.clone();
        bench.step(2, "b", "two", Ends::Step).unwrap();
        let repo = bench.git.repo_at(&bench.worktree, &[]);
        let again = Checkpoints::open(repo, bench.checkpoints.spec.clone(), 1 << 20).unwrap();
        let mut state = on_disk;
        again.catch_up(&mut state);
        assert_eq!(state, bench.state);
        bench.checkpoints = again;
        // What the journal and the worktree have beyond the refs becomes the next step.
        bench.step(3, "c", "three", Ends::Step).unwrap();
        assert_eq!(bench.log(), "feat(cart): one\nfeat(cart): two\nfeat(cart): three");
        let mut journal = Vec::new();
        bench.last_record().write_journal(bench.checkpoints.repo(), &mut journal).unwrap();
        assert_eq!(journal, fs::read(&bench.journal_path).unwrap());
    }

    #[test]
    fn files_left_out_are_told() {
        let mut bench = bench(&[], CommitStrategy::Incremental);
        fs::write(bench.worktree.join("big"), vec![0; 2 << 20]).unwrap();
        let made = bench.take(1, "x", Ends::Step, &Changed::Anything).unwrap();
        assert_eq!(made, Made::default());
        assert_eq!(bench.state.left_out, ["big: 2097152 bytes are more than a snapshot takes"]);
        fs::remove_file(bench.worktree.join("big")).unwrap();
        bench.take(2, "x", Ends::Step, &Changed::Anything).unwrap();
        assert!(bench.state.left_out.is_empty());
    }

    #[test]
    fn a_record_of_250_steps_reads_back_and_each_costs_its_own_part() {
        let mut bench = bench(&[], CommitStrategy::None);
        let repo = bench.checkpoints.repo().clone();
        let mut blobs = std::collections::BTreeSet::new();
        for number in 1..=250 {
            bench.take(number, &format!("step {number}"), Ends::Step, &Changed::Nothing).unwrap();
            let tree = repo.tree_of(bench.last_record().commit).unwrap();
            let path = format!("journal/{:04}/{:04}.jsonl", (number - 1) / 100, number - 1);
            let part = repo.entry(tree, &path).unwrap().unwrap();
            assert!(blobs.insert(part.id), "{path} is new");
        }
        let record = bench.last_record();
        let mut journal = Vec::new();
        record.write_journal(&repo, &mut journal).unwrap();
        assert_eq!(journal, fs::read(&bench.journal_path).unwrap());
        assert_eq!(
            bench.git.git(&["rev-list", "--count", "main..refs/agent/add-rate-7f3k"]),
            "250"
        );
        // A record writes a commit, its part, the state, and the trees root, journal and folder;
        // all there was before is the 9 of the fixture and, once, the spec.
        let objects = bench.git.git(&["count-objects"]);
        let count: u32 = objects.split(' ').next().unwrap().parse().unwrap();
        assert!((250 * 5..=250 * 6 + 10).contains(&count), "{count} objects");
        let store = crate::session::store::Store::open(&bench.git.beside("elsewhere"));
        let restored = record.restore(&repo, &store).unwrap();
        assert_eq!(fs::read(restored.journal_path()).unwrap(), journal);
        assert_eq!(restored.spec, record.spec);
        assert_eq!(restored.lock().unwrap().1.phase, Phase::Interrupted);
        bench.git.fsck();
    }
}
