//! What will collide, beside what `git merge-tree` says of every pair.
//!
//! Invariant: git is asked about the very commits that the program looked at.

use std::time::Duration;

use serde_json::{Value, json};

use super::journey::{plainly, run};
use super::worktree::bash_script;
use crate::commands::{ran, transcript};
use crate::support::cmd::Out;
use crate::support::repo::Repo;

const PATIENCE: Duration = Duration::from_secs(60);

/// Each session, with what it does.
const SESSIONS: [(&str, &str); 8] = [
    ("top", "sed -i.bak 's/^line 1$/first/' big.txt && rm big.txt.bak"),
    ("head", "sed -i.bak 's/^line 1$/erste/' big.txt && rm big.txt.bak"),
    ("tail", "sed -i.bak 's/^line 40$/last/' big.txt && rm big.txt.bak && echo spot >spot"),
    ("move", "mv old new"),
    ("fresh", "echo z >old/z && sed -i.bak 's/Shop/Store/' README.md && rm README.md.bak"),
    ("gone", "rm src/lib.txt"),
    ("edit", "echo four >>src/lib.txt"),
    ("folder", "mkdir spot && echo a >spot/a && echo more >>docs/guide.md"),
];

/// What collides, by the nature of what they do.
const COLLIDING: [(&str, &str); 5] =
    [("top", "head"), ("tail", "folder"), ("move", "fresh"), ("gone", "edit"), ("fresh", "main")];

/// The notices of a session, as its card shows them.
fn notices(repo: &Repo, id: &str) -> Vec<String> {
    let status = repo.agent(&["log", id, "--json"]).success();
    let events = status.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let told = events.filter_map(|event| Some(event["update"]["notice"].as_str()?.to_owned()));
    told.filter(|notice| notice.starts_with("changes the same as ")).collect()
}

#[test]
fn the_person_of_each_of_two_that_collide_is_told_once() {
    let repo = Repo::new();
    let ran = |task: &str, to: &str| {
        let change = format!("sed -i.o s/two/{to}/ src/lib.txt && rm src/lib.txt.o");
        let answers =
            [json!(["bash", {"command": change}]), json!("Done."), json!("Nothing more.")];
        let model = transcript(&repo, &format!("{task}.jsonl"), &answers);
        ran(&repo, task, &model, &[])
    };
    let first = ran("first", "zwei");
    assert_eq!(notices(&repo, &first), Vec::<String>::new());
    let second = ran("second", "deux");
    // One that rests hears of it as well, from its own side.
    let words = |other: &str| vec![format!("changes the same as {other}: src/lib.txt:2")];
    assert_eq!(notices(&repo, &first), words(&second));
    assert_eq!(notices(&repo, &second), words(&first));
    assert!(repo.agent(&["status", &first]).stdout.contains(&words(&second)[0]));
    // Once: no further turn of either says it again.
    for id in [&second, &first] {
        repo.agent(&["say", id, "Look again"]).success();
        repo.wait_state(id, "done", PATIENCE);
    }
    assert_eq!(notices(&repo, &first), words(&second));
    assert_eq!(notices(&repo, &second), words(&first));
}

/// What git says of two commits: the paths that do not merge; none where they do.
fn by_git(repo: &Repo, a: &str, b: &str) -> Option<Vec<String>> {
    let args = ["merge-tree", "--write-tree", "--name-only", "--no-messages", a, b];
    let Out { code, stdout, .. } = repo.home().cmd("git").dir(repo.main()).args(&args).run();
    assert!(code < 2, "{a} {b}");
    // A file that has to give way to a folder is listed by a name of git's making.
    let name = |line: &str| line.split('~').next().unwrap_or_default().to_owned();
    (code == 1).then(|| stdout.lines().skip(1).map(name).collect())
}

fn by_us(pair: &Value) -> Option<Vec<String>> {
    let files = pair["files"].as_array().expect("a list");
    let paths: Vec<_> = files.iter().filter_map(|file| file["path"].as_str()).collect();
    let is_conflict = pair["conflict"].as_bool().expect("yes or no");
    assert_eq!(is_conflict, !paths.is_empty(), "{pair}");
    let name = |path: &str| path.split('~').next().unwrap_or_default().to_owned();
    is_conflict.then(|| paths.into_iter().map(name).collect())
}

fn forecast(repo: &Repo, code: i32) -> Value {
    let out = repo.agent(&["conflicts", "--json"]);
    assert_eq!((out.code, out.stderr.as_str()), (code, ""), "{out:#?}");
    serde_json::from_str(&out.stdout).expect("JSON")
}

#[test]
fn eight_sessions_collide_as_git_says_of_every_pair() {
    let mut repo = Repo::new();
    let big: String = (1..=40).map(|n| format!("line {n}\n")).collect();
    repo.write("big.txt", &big);
    repo.write("old/x", &big.replace("line", "x"));
    repo.write("old/y", &big.replace("line", "y"));
    repo.commit("Add more");
    repo.mark();
    for (name, command) in SESSIONS {
        let out = run(&repo, &plainly, bash_script(command), &[name, "--worktree", name]);
        assert_eq!(out.code, 0, "{out:#?}");
    }
    repo.write("README.md", "# Kiosk\n");
    repo.commit("Rename the shop");
    let found = forecast(&repo, 1);
    let name = |id: &Value| {
        let id = id.as_str().expect("a word");
        id.rsplit_once('-').map_or(id, |(name, _)| name).to_owned()
    };
    let mut colliding = Vec::new();
    let pairs = found["pairs"].as_array().expect("a list");
    assert_eq!(pairs.len(), 28);
    for pair in pairs {
        let (a, b) = (name(&pair["a"]), name(&pair["b"]));
        let theirs = by_git(&repo, &format!("agent/{a}"), &format!("agent/{b}"));
        assert_eq!(by_us(pair), theirs, "{a} {b}");
        colliding.extend(theirs.map(|_| (a, b)));
    }
    let targets = found["targets"].as_array().expect("a list");
    assert_eq!(targets.len(), 8);
    for pair in targets {
        let (a, b) = (name(&pair["session"]), name(&pair["branch"]));
        let theirs = by_git(&repo, &format!("agent/{a}"), &b);
        assert_eq!(by_us(pair), theirs, "{a} {b}");
        colliding.extend(theirs.map(|_| (a, b)));
    }
    let expected = COLLIDING.map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(colliding, expected);
    let order: Vec<_> = found["order"].as_array().expect("a list").iter().map(name).collect();
    assert_eq!(order, ["top", "tail", "move", "gone", "head", "edit", "folder", "fresh"]);
    let keys: Vec<_> = found.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["format", "pairs", "targets", "order"]);

    // Asked again, it is the same, and `list` tells it too, without asking.
    assert_eq!(forecast(&repo, 1), found);
    let id = |name: &str| {
        let ids = repo.session_ids().into_iter();
        ids.filter(|id| id.starts_with(name)).min_by_key(String::len).expect("a session")
    };
    let listed = |name: &str| {
        let out = repo.agent(&["list", "--json"]);
        let list: Value = serde_json::from_str(&out.stdout).expect("JSON");
        let sessions = list["sessions"].as_array().expect("a list").clone();
        let of = sessions.into_iter().find(|session| session["name"] == name);
        of.map_or(Value::Null, |session| session["conflicts_with"].clone())
    };
    assert_eq!(listed("top"), json!([id("head")]));
    assert_eq!(listed("fresh"), json!([id("move"), "main"]));
    let table = repo.agent(&["list"]).success();
    assert!(table.contains(&format!("conflicts with {}, main", id("move"))), "{table}");

    // What moves is looked at anew.
    repo.agent(&["worktree", "merge", "head"]).success();
    assert_eq!(listed("top"), Value::Null);
    let found = forecast(&repo, 1);
    assert_eq!(found["pairs"].as_array().map(Vec::len), Some(21));
    assert_eq!(listed("top"), json!(["main"]));
    let out = repo.agent(&["conflicts", "top"]);
    let said = repo.normal(&out);
    assert_eq!(said.code, 1);
    let expected = "top-[id] and main conflict in 1 file\n  big.txt:1\n";
    assert!(said.stdout.starts_with(expected), "{said:#?}");
    let (top, folder) = (id("top"), id("folder"));
    let out = repo.agent(&["conflicts", &folder]);
    assert_eq!(out.code, 1, "{out:#?}");
    repo.agent(&["remove", "--force", &id("tail")]).success();
    let out = repo.agent(&["conflicts", &folder]);
    assert_eq!(out.code, 0, "{out:#?}");
    assert!(!out.stdout.contains(&top), "{out:#?}");
    repo.assert_whole();
}
