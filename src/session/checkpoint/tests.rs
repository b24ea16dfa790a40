//! Checkpoints of a session in a worktree of its own, under real git.
//!
//! Invariant: what branch, record and journal say is compared whole, for each kind of repository.

use super::*;
use crate::config::CommitStrategy;
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
        let step = Step { number, ends, words, changed, models: &[] };
        let open: Gate<'_> = &|_, _, _| Ok(Vec::new());
        self.checkpoints.take(&step, open, &mut self.state, &self.journal_path)
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
        assert_eq!((event.paths, event.insertions, event.deletions), (vec!["a".to_owned()], 1, 1));
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
fn a_commit_names_each_model_whose_answers_are_in_it() {
    let bench = bench(&[], CommitStrategy::Single);
    let spec = &bench.checkpoints.spec;
    let named = |models: &[&str]| {
        let models: Vec<_> = models.iter().map(|it| (*it).to_owned()).collect();
        let trailers = trailers(spec, &models).into_iter();
        trailers.skip(1).map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>()
    };
    assert_eq!(named(&[]), ["Assisted-by: git-agent:replay/x.jsonl"], "the session's own");
    let both = ["Assisted-by: git-agent:a/x", "Assisted-by: git-agent:b/y"];
    assert_eq!(named(&["a/x", "b/y"]), both);
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

type Theirs = (Option<ObjectId>, Option<ByPerson>, Vec<String>);

impl Bench {
    /// As a supervisor that begins anew.
    fn reopen(&mut self) {
        let repo = self.git.repo_at(&self.worktree, &[]);
        let spec = self.checkpoints.spec.clone();
        self.checkpoints = Checkpoints::open(repo, spec, 1 << 20).unwrap();
    }

    /// Takes what a person did while the session rested; what the journal is to say of it.
    fn edits(&mut self) -> Vec<Theirs> {
        self.checkpoints.take_edits(&mut self.state, &self.journal_path).unwrap();
        self.told()
    }

    /// What the journal is to say of a person's work: commit, how, and the paths.
    fn told(&mut self) -> Vec<Theirs> {
        let id = |hex: String| ObjectId::from_hex(hex.as_bytes()).unwrap();
        let theirs = |it: event::Checkpoint| (it.commit.map(id), it.by_person, it.paths);
        std::mem::take(&mut self.state.untold).into_iter().map(theirs).collect()
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
        assert_eq!(bench.told(), [(Some(mine), Some(ByPerson::CommitInStep), paths)]);
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
        bench.step(2, "b", "two", Ends::Session).unwrap();
        assert_eq!(bench.told()[0].0, Some(theirs));
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
    let (repo, spec) = (bench.git.repo_at(&bench.worktree, &[]), bench.checkpoints.spec.clone());
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
    assert_eq!(found, [(Some(tip), Some(ByPerson::Edit), paths)]);
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
fn n08_where_commits_are_held_back_edits_are_a_commit_without_the_agents_work() {
    let (edit, mine) = (Some(ByPerson::Edit), vec!["mine".to_owned()]);
    for strategy in [CommitStrategy::Turn, CommitStrategy::Single] {
        let mut bench = bench(&[], strategy);
        bench.step(1, "a", "one", Ends::Step).unwrap();
        fs::write(bench.worktree.join("mine"), "mine").unwrap();
        let found = bench.edits();
        let tip = bench.git.id("agent/add-rate");
        assert_eq!(found, [(Some(tip), edit, mine.clone())]);
        let committed = bench.git.git(&["show", "--format=", "--name-only", "agent/add-rate"]);
        assert_eq!((bench.log().as_str(), committed.as_str()), ("Edit by hand", "mine"));
        let code = bench.last_record().code.to_string();
        assert_eq!(bench.git.git(&["show", &format!("{code}:a")]), "1", "held back, and kept");
        bench.reopen();
        assert_eq!(bench.edits(), []);
        bench.step(2, "b", "two", Ends::Session).unwrap();
        assert_eq!(bench.log(), "Edit by hand\nfeat(cart): two");
        let by_agent = bench.git.git(&["show", "--format=", "--name-only", "agent/add-rate"]);
        assert_eq!(by_agent, "a\nb");
        bench.git.fsck();
    }
    let mut bench = bench(&[], CommitStrategy::None);
    bench.step(1, "a", "one", Ends::Step).unwrap();
    fs::write(bench.worktree.join("mine"), "mine").unwrap();
    assert_eq!(bench.edits(), [(None, edit, mine)]);
    let code = bench.last_record().code;
    assert_eq!(bench.git.git(&["show", &format!("{code}:mine")]), "mine");
    assert_eq!(bench.log(), "");
}

#[test]
fn n08_edits_of_what_is_held_back_let_that_go_first() {
    let mut bench = bench(&[], CommitStrategy::Single);
    bench.step(1, "new", "one", Ends::Step).unwrap();
    fs::write(bench.worktree.join("new"), "mine").unwrap();
    let found = bench.edits();
    let [agents, theirs] = ["agent/add-rate~1", "agent/add-rate"].map(|it| bench.git.id(it));
    let new = || vec!["new".to_owned()];
    assert_eq!(found, [(Some(agents), None, new()), (Some(theirs), Some(ByPerson::Edit), new())]);
    assert_eq!(bench.log(), "feat(cart): Add rate limiting\nEdit by hand");
    assert_eq!(bench.git.git(&["show", &format!("{agents}:new")]), "1");
    assert_eq!(bench.show("new"), "mine");
    bench.git.fsck();
}

#[test]
fn b05_n08_a_commit_and_edits_beside_work_that_is_held_back_are_told_apart() {
    let mut bench = bench(&[], CommitStrategy::Single);
    bench.step(1, "a", "one", Ends::Step).unwrap();
    fs::write(bench.worktree.join("mine"), "mine").unwrap();
    bench.git.git_in(&bench.worktree, &["add", "mine"]);
    bench.git.git_in(&bench.worktree, &["commit", "-qm", "mine", "--only", "mine"]);
    fs::write(bench.worktree.join("edited"), "mine too").unwrap();
    let found = bench.edits();
    let [commit, edit] = ["agent/add-rate~1", "agent/add-rate"].map(|it| bench.git.id(it));
    let paths = |path: &str| vec![path.to_owned()];
    assert_eq!(
        found,
        [
            (Some(commit), Some(ByPerson::Commit), paths("mine")),
            (Some(edit), Some(ByPerson::Edit), paths("edited"))
        ]
    );
    let step = bench.step(2, "b", "two", Ends::Session).unwrap();
    assert_eq!(step.event.unwrap().paths, ["a", "b"], "all that its commit holds");
    assert_eq!(bench.log(), "mine\nEdit by hand\nfeat(cart): two");
}

#[test]
fn what_the_journal_has_still_to_say_outlives_the_run_that_found_it() {
    let mut bench = bench(&[], CommitStrategy::Incremental);
    bench.step(1, "a", "one", Ends::Step).unwrap();
    let on_disk = bench.state.clone();
    fs::write(bench.worktree.join("mine"), "mine").unwrap();
    bench.checkpoints.take_edits(&mut bench.state, &bench.journal_path).unwrap();
    let made = bench.state.untold.clone();
    assert_eq!(made.len(), 1);
    let spec = bench.checkpoints.spec.clone();
    let look = |bench: &Bench, state: &State| {
        untold(bench.checkpoints.repo(), &spec, state, &bench.journal_path).unwrap()
    };
    // The state's file knows of it or not: the record does.
    assert_eq!((look(&bench, &on_disk), look(&bench, &bench.state)), (made.clone(), made.clone()));
    let said = made.iter().cloned().map(|made| Event::now(1, Update::Checkpoint(made)));
    bench.journal.append(&said.collect::<Vec<_>>()).unwrap();
    assert_eq!((look(&bench, &on_disk), look(&bench, &bench.state)), (vec![], vec![]));
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
    assert_eq!(bench.git.git(&["rev-list", "--count", "main..refs/agent/add-rate-7f3k"]), "250");
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
