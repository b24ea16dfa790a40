//! Which of eight sessions collide, beside `git merge-tree` of every two, and of each with `main`.
//!
//! Invariant: git is asked about the very commits, and nothing is known from the time before.

use std::fs;
use std::path::Path;

use git_agent::git::Repo;
use git_agent::plan::forecast;
use git_agent::session::state::{Phase, State};
use git_agent::session::store::Store;

use crate::sessions::spec;
use crate::support::{S, ask, git, path, sh};
use crate::{row, time};

const SESSIONS: usize = 8;
const ROUNDS: usize = 15;
/// Where the program remembers what it found.
const KNOWN: &str = ".git/agent/forecast";

pub(crate) fn measure(root: &Path) {
    let tips = make(root);
    let repo = Repo::open(&root.join(".git")).unwrap();
    let listed = Store::open(&root.join(".git")).list().unwrap().sessions.into_iter();
    let sessions: Vec<_> = listed
        .map(|session| {
            let state = session.state().unwrap();
            (session, state)
        })
        .collect();
    assert_eq!(sessions.len(), SESSIONS);
    let mut script = String::new();
    for (at, a) in tips.iter().enumerate() {
        for b in tips[at + 1..].iter().map(String::as_str).chain(["main"]) {
            script += &format!("git merge-tree --write-tree {a} {b} >.git/x\n");
        }
    }
    // Those that conflict exit with 1.
    script += "true\n";
    let ours = || {
        drop(fs::remove_file(root.join(KNOWN)));
        time(|| {
            let found = forecast::look(&repo, &sessions).unwrap();
            assert_eq!((found.pairs.len(), found.targets.len()), (28, SESSIONS));
            let colliding = found.pairs.iter().filter(|pair| pair.conflict.is_some());
            assert_eq!(colliding.count(), SESSIONS / 2);
        })
    };
    let (mut theirs, mut cold, mut warm) = (vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        theirs.push(sh(root, &script));
        cold.push(ours());
        warm.push(time(|| drop(forecast::look(&repo, &sessions).unwrap())));
    }
    row("forecast, 36 pairs of 8 sessions and `main`", theirs.clone(), cold, "≤ 0.5");
    row("… when nothing has moved since", theirs, warm, "");
    for (session, _) in &sessions {
        fs::remove_dir_all(&session.dir).unwrap();
    }
    drop(fs::remove_file(root.join(KNOWN)));
}

/// Eight sessions that changed ten files each; every two neighbours changed one line of one file
/// differently. Their tips.
fn make(root: &Path) -> Vec<String> {
    let head = ask(root, &["rev-parse", "HEAD"]);
    let store = Store::open(&root.join(".git"));
    let worktree = root.with_file_name("forecast");
    git(root, &["worktree", "add", "-q", "--detach", worktree.to_str().unwrap()]);
    let mut tips = Vec::new();
    for number in 0..SESSIONS {
        let id = format!("forecast-{number}");
        git(&worktree, &["checkout", "-q", "-B", &format!("agent/{id}"), &head]);
        for file in 0..10 {
            let file = worktree.join(path(S, number * 20 + file + 1));
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, text + "one more\n").unwrap();
        }
        let shared = worktree.join(path(S, 1_000 + number / 2));
        fs::write(&shared, format!("{number}\n{}", fs::read_to_string(&shared).unwrap())).unwrap();
        git(&worktree, &["commit", "-q", "-a", "-m", "Work"]);
        let tip = ask(&worktree, &["rev-parse", "HEAD"]);
        let session = store.create(spec(root, &head, &id)).unwrap();
        let mut state = State { phase: Phase::Done, step: 1, ..State::new(session.spec.created) };
        state.head = Some(tip.clone());
        state.write(&session.state_path()).unwrap();
        tips.push(tip);
    }
    git(root, &["worktree", "remove", "--force", worktree.to_str().unwrap()]);
    git(root, &["commit", "-q", "--allow-empty", "-m", "Meanwhile"]);
    tips
}
