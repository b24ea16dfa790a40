//! Sessions for tests, made through the session room with real git and no model.
//!
//! Invariant: a bench that is dropped has left a repository that git finds nothing wrong with.

use std::path::Path;

use fs_err as fs;
use jiff::Timestamp;

use crate::config::CommitStrategy;
use crate::event::{Event, Update, VerifyRecord};
use crate::file::Changed;
use crate::git::testing::Fixture;
use crate::git::{ObjectId, Repo};
use crate::session::checkpoint::{Checkpoints, Ends, Gate, Step};
use crate::session::journal::Journal;
use crate::session::spec::{Base, Bounds, Gates, Limits, Spec};
use crate::session::state::{Phase, State};
use crate::session::store::{Session, Store};
use crate::session::subject::Words;

/// A repository with sessions.
pub(crate) struct Bench {
    pub(crate) git: Fixture,
    pub(crate) store: Store,
    /// Files of the main checkout that a test has dirtied on purpose, as `git status` shows them.
    pub(crate) dirt: String,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// With these options of `git init`.
    pub(crate) fn with(options: &[&str]) -> Self {
        let git = Fixture::with_commit(options);
        let store = Store::open(&git.root.join(".git"));
        Self { git, store, dirt: String::new() }
    }

    pub(crate) fn repo(&self) -> Repo {
        self.git.repo()
    }

    /// A session called `<name>-7f3k` at its beginning, in a worktree on a branch of its own.
    pub(crate) fn session(&self, name: &str, set: impl FnOnce(&mut Spec)) -> Session {
        let worktree = self.git.beside(&format!("worktrees/{name}"));
        let branch = format!("agent/{name}");
        self.git.git(&["worktree", "add", "-q", "-b", &branch, worktree.to_str().unwrap()]);
        let mut spec = Spec {
            format: 1,
            id: format!("{name}-7f3k"),
            name: name.to_owned(),
            task: format!("Do {name}"),
            created: Timestamp::now(),
            branch: format!("refs/heads/{branch}"),
            worktree,
            folder: String::new(),
            model: "replay/x".to_owned(),
            began_with: None,
            fallback_model: None,
            verify: Vec::new(),
            commit_prefix: String::new(),
            commit_strategy: CommitStrategy::Incremental,
            trailers: true,
            unattended: false,
            sandbox: "none".to_owned(),
            allow_net: Vec::new(),
            experiment: false,
            share_budget: None,
            base: Base {
                commit: self.git.id("HEAD").to_string(),
                name: "main".to_owned(),
                carried_on: None,
            },
            batch: None,
            context: Vec::new(),
            limits: Limits::default(),
            bounds: Bounds::default(),
            gates: Gates::default(),
            attempt: None,
            forked_from: None,
        };
        set(&mut spec);
        self.store.create(spec).unwrap()
    }

    /// One step that writes these files, or deletes those without content.
    pub(crate) fn step(&self, session: &Session, files: &[(&str, &str)]) {
        let root = &session.spec.worktree;
        write(root, files);
        let (lock, mut state) = session.lock().unwrap();
        if state.phase != Phase::Running {
            state.move_to(Phase::Running, "", Timestamp::now()).unwrap();
        }
        let mut checkpoints = self.checkpoints(session);
        let number = state.step + 1;
        let words = Words { text: "Change files", titles: &[] };
        let changed = &Changed::Anything;
        let step = Step { number, ends: Ends::Step, words, changed, models: &[] };
        let open: Gate<'_> = &|_, _, _| Ok(Vec::new());
        checkpoints.take(&step, open, &mut state, &session.journal_path()).unwrap();
        state.write(&session.state_path()).unwrap();
        drop(lock);
    }

    /// Ends the session, its verify command, if it has one, with this exit code.
    pub(crate) fn done(&self, session: &Session, exit: i32) {
        let (lock, mut state) = session.lock().unwrap();
        state.phase = Phase::Running;
        "All done.".clone_into(&mut state.summary);
        state.verify = session.spec.verify.last().map(|command| VerifyRecord {
            command: command.clone(),
            exit,
            millis: 5,
            tree: state.tree.clone().unwrap(),
            output: String::new(),
            gate: None,
        });
        let change = state.move_to(Phase::Done, "", Timestamp::now()).unwrap();
        let (mut journal, _) = Journal::open(&session.journal_path()).unwrap();
        journal.append(&[Event::now(state.step, Update::State(change))]).unwrap();
        self.checkpoints(session).record(&mut state, &session.journal_path()).unwrap();
        state.write(&session.state_path()).unwrap();
        drop(lock);
    }

    /// A session that is done: one step with these files.
    pub(crate) fn finished(&self, name: &str, files: &[(&str, &str)]) -> Session {
        let session = self.session(name, |_| {});
        self.step(&session, files);
        self.done(&session, 0);
        session
    }

    /// Every ref with what it points to.
    pub(crate) fn refs(&self) -> String {
        self.git.git(&["for-each-ref", "--format=%(refname) %(objectname)"])
    }

    pub(crate) fn show(&self, what: &str) -> String {
        self.git.git(&["show", what])
    }

    pub(crate) fn tip(&self, branch: &str) -> ObjectId {
        self.git.id(&format!("refs/heads/{branch}"))
    }

    pub(crate) fn state(&self, session: &Session) -> State {
        session.state().unwrap()
    }

    pub(crate) fn status(&self, dir: &Path) -> String {
        self.git.git_in(dir, &["status", "--porcelain", "--untracked-files=all"])
    }

    fn checkpoints(&self, session: &Session) -> Checkpoints {
        let repo = self.git.repo_at(&session.spec.worktree, &[]);
        Checkpoints::open(repo, session.spec.clone(), 1 << 20).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.git.fsck();
            if self.git.root.join(".git").is_dir() {
                assert_eq!(self.status(&self.git.root), self.dirt);
            }
        }
    }
}

pub(crate) fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path = root.join(path);
        if content.is_empty() {
            fs::remove_file(&path).unwrap();
            continue;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
    }
}
