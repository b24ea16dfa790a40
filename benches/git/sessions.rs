//! What is paid per command and per session: start of the program, `list`, completion, notes.
//!
//! Invariant: a thousand finished sessions, fifty worktrees and a thousand packed refs, whatever
//! repository they are in.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use git_agent::config::CommitStrategy;
use git_agent::git::{ObjectId, Repo};
use git_agent::plan::forecast;
use git_agent::process::Cmd;
use git_agent::session::spec::{Base, Bounds, Gates, Limits, Spec};
use git_agent::session::state::{Phase, State};
use git_agent::session::store::Store;

use crate::support::{S, ask, git, path, sh};
use crate::{row, time};

const SESSIONS: usize = 1_000;
const WORKTREES: usize = 50;
/// Of these every two collide: 780 pairs, three quarters of what is remembered.
const COLLIDING: usize = 40;
const ROUNDS: usize = 15;
/// `git notes add` is measured on so many, and counted for all.
const NOTES: usize = 50;

pub(crate) fn measure(root: &Path) {
    let program = Path::new(env!("CARGO_BIN_EXE_git-agent"));
    let size = fs::metadata(program).unwrap().len();
    println!("| size of the program, MiB | | {:.1} | | ≤ 15 |", size as f64 / f64::from(1 << 20));
    let ours = |args: &[&str]| {
        let cmd = Cmd::new(program).args(args).dir(root);
        time(|| assert_eq!(cmd.run().unwrap().exit, 0))
    };
    let rounds = |measure: &mut dyn FnMut() -> Duration| (0..ROUNDS).map(|_| measure()).collect();
    row(
        "start of a command (`list` of none; `rev-parse HEAD`)",
        rounds(&mut || git(root, &["rev-parse", "HEAD"])),
        rounds(&mut || ours(&["list"])),
        "≤ 1.5",
    );
    make_sessions(root);
    let chain = "git for-each-ref refs/agent/ >.git/x && git worktree list --porcelain >.git/x && \
                 cat .git/agent/sessions/*/*.toml >.git/x";
    let theirs = rounds(&mut || sh(root, chain));
    row("`list`, 1,000 sessions", theirs.clone(), rounds(&mut || ours(&["list"])), "≤ 0.2");
    collide(root);
    let known = rounds(&mut || ours(&["list"]));
    row("… 780 pairs of them known to collide", theirs, known, "≤ 0.2");
    notes(root);
}

fn make_sessions(root: &Path) {
    let head = ask(root, &["rev-parse", "HEAD"]);
    let store = Store::open(&root.join(".git"));
    let first = store.create(spec(root, &head, "session-0000")).unwrap();
    let state = State { phase: Phase::Done, step: 12, ..State::new(first.spec.created) };
    state.write(&first.state_path()).unwrap();
    let spec = fs::read_to_string(first.dir.join(Spec::FILE)).unwrap();
    let state = fs::read_to_string(first.state_path()).unwrap();
    let mut refs = String::new();
    for number in 1..SESSIONS {
        let id = format!("session-{number:04}");
        let dir = first.dir.with_file_name(&id);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(Spec::FILE), spec.replace("session-0000", &id)).unwrap();
        fs::write(dir.join(State::FILE), &state).unwrap();
        writeln!(refs, "create refs/agent/{id} {head}").unwrap();
    }
    fs::write(root.join(".git/refs-to-make"), refs).unwrap();
    sh(root, "git update-ref --stdin <.git/refs-to-make && git pack-refs --all");
    for number in 0..WORKTREES {
        let path = format!("../session-{number:04}");
        git(root, &["worktree", "add", "-q", "--no-checkout", "--detach", &path]);
    }
}

/// Lets as many sessions as [`COLLIDING`] change the same line, and finds that out.
fn collide(root: &Path) {
    let file = path(S, 1);
    let (mut stream, mut refs) = (String::new(), String::new());
    for number in 0..COLLIDING {
        let text = format!("{number}\n");
        // It holds no record.
        writeln!(refs, "delete refs/agent/session-{number:04}").unwrap();
        write!(
            stream,
            "commit refs/heads/agent/session-{number:04}\ncommitter A <a@b> 1700000000 +0000\n\
             data 0\nfrom refs/heads/main^0\nM 100644 inline {file}\ndata {}\n{text}\n",
            text.len()
        )
        .unwrap();
    }
    fs::write(root.join(".git/x"), stream).unwrap();
    fs::write(root.join(".git/y"), refs).unwrap();
    sh(root, "git fast-import --quiet <.git/x && git update-ref --stdin <.git/y");
    let listed = Store::open(&root.join(".git")).list().unwrap().sessions.into_iter();
    let sessions = listed.take(COLLIDING).map(|session| {
        let state = session.state().unwrap();
        (session, state)
    });
    let repo = Repo::open(&root.join(".git")).unwrap();
    let found = forecast::look(&repo, &sessions.collect::<Vec<_>>()).unwrap();
    let colliding = found.pairs.iter().filter(|pair| pair.conflict.is_some()).count();
    assert_eq!((found.pairs.len(), colliding), (780, 780));
}

/// A session that was made at this commit.
pub(crate) fn spec(root: &Path, head: &str, id: &str) -> Spec {
    Spec {
        format: 1,
        id: id.to_owned(),
        name: id.to_owned(),
        task: "Do one thing\n\nand say why.".to_owned(),
        created: jiff::Timestamp::UNIX_EPOCH,
        branch: format!("refs/heads/agent/{id}"),
        worktree: root.join("..").join(id),
        folder: String::new(),
        model: "anthropic/claude-test".to_owned(),
        began_with: None,
        fallback_model: None,
        verify: vec!["cargo test".to_owned()],
        commit_prefix: String::new(),
        commit_strategy: CommitStrategy::Incremental,
        trailers: true,
        unattended: false,
        sandbox: "none".to_owned(),
        allow_net: Vec::new(),
        experiment: false,
        base: Base { commit: head.to_owned(), name: "main".to_owned(), carried_on: None },
        limits: Limits::default(),
        bounds: Bounds::default(),
        gates: Gates::default(),
        attempt: None,
        forked_from: None,
        batch: None,
        context: Vec::new(),
        share_budget: None,
    }
}

fn notes(root: &Path) {
    let repo = Repo::open(&root.join(".git")).unwrap();
    let listed = ask(root, &["ls-tree", "-r", "--format=%(objectname)", "HEAD"]);
    let objects: Vec<_> = listed.lines().take(SESSIONS).collect();
    let text = "session: session-0000\nstep: 12\nmodel: anthropic/claude-test\ncost-usd: 0.12\n";
    let each = objects.iter().take(NOTES);
    let add = |id: &&str| git(root, &["notes", "--ref=git", "add", "-m", text, id]);
    let theirs = each.map(add).sum::<Duration>() * SESSIONS as u32 / NOTES as u32;
    let notes = objects.iter().map(|id| (ObjectId::from_hex(id.as_bytes()).unwrap(), text.into()));
    let notes: Vec<(ObjectId, String)> = notes.collect();
    let who = repo.identity().unwrap();
    let ours = time(|| repo.write_notes("refs/notes/ours", &notes, &who, "notes\n").unwrap());
    row("1,000 notes", vec![theirs], vec![ours], "≤ 0.02");
}
