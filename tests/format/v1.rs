//! Format 1: a finished session whose worktree was removed with a file in no commit.
//!
//! `v1/` holds what its ref pointed to, and the commits as `git fast-export` printed them.
//!
//! Invariant: the record is put together by git alone, with none of our code.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::home::Home;
use crate::support::repo::Repo;

const ID: &str = "add-a-shelf-p4uf";
const BASE: &str = "cbf8905df4787d955d6f4bde96cdda8ead467757";
const HEAD: &str = "e066c1fb9dc14c51b80df6167d3bab6039869863";
const SNAPSHOT: &str = "28f1787509aae338741d979e598b77a1c954a40b";

/// The files of the session, and where they belong in its record.
const FILES: [(&str, &str); 7] = [
    ("spec.toml", include_str!("v1/spec.toml")),
    ("state.toml", include_str!("v1/state.toml")),
    ("journal/0000/0000.jsonl", include_str!("v1/journal/0000/0000.jsonl")),
    ("journal/0000/0001.jsonl", include_str!("v1/journal/0000/0001.jsonl")),
    ("journal/0000/0002.jsonl", include_str!("v1/journal/0000/0002.jsonl")),
    ("journal/0000/0003.jsonl", include_str!("v1/journal/0000/0003.jsonl")),
    ("journal/0000/0004.jsonl", include_str!("v1/journal/0000/0004.jsonl")),
];

/// The repository of that time: the commits, and the session's ref, without branch and worktree.
fn repository() -> Repo {
    let home = std::sync::Arc::new(Home::new());
    let main = home.root().join("shop");
    fs::create_dir(&main).expect("a new folder");
    home.git(&main, &["init", "-q"]);
    let import = home.cmd("git").dir(&main).args(&["fast-import", "--quiet"]);
    import.stdin(include_str!("v1/code.fi")).run().success();
    home.git(&main, &["reset", "-q", "--hard"]);
    let repo = Repo::made(home, &main, &main);
    let first = commit(&repo, &[BASE]);
    let last = commit(&repo, &[&first, SNAPSHOT]);
    repo.git(&["update-ref", &format!("refs/agent/{ID}"), &last]);
    repo.git(&["branch", "-qD", "snapshot", "agent/add-a-shelf"]);
    repo
}

fn filled(repo: &Repo, text: &str) -> String {
    text.replace("@ROOT@", repo.home().root().to_str().expect("a path of ours"))
}

/// A record commit.
fn commit(repo: &Repo, parents: &[&str]) -> String {
    let folder = repo.home().root().join("record");
    for (path, text) in FILES {
        write(&folder.join(path), &filled(repo, text));
    }
    let index = repo.home().root().join("record.index");
    let git = |args: &[&str]| {
        let git = repo.home().cmd("git").dir(repo.main()).env("GIT_INDEX_FILE", &index);
        git.env("GIT_WORK_TREE", &folder).env("GIT_DIR", repo.main().join(".git")).args(args).run()
    };
    git(&["add", "-A", ":/"]).success();
    let tree = git(&["write-tree"]).success();
    let parents: Vec<_> = parents.iter().flat_map(|parent| ["-p", *parent]).collect();
    let message = ["-m", "a record"];
    let args = [&["commit-tree", tree.trim_end()][..], &parents, &message].concat();
    repo.git(&args)
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
    fs::write(path, text).expect("a file");
}

fn worktree(repo: &Repo) -> PathBuf {
    repo.home().root().join("shop.worktrees/add-a-shelf")
}

/// What `list --json`, `status --json` and `log` say.
fn opens(repo: &Repo, worktree: Option<&Path>) {
    let list = repo.agent(&["list", "--json"]).success();
    let list: Value = serde_json::from_str(&list).expect("it is JSON");
    let session = json!({
        "id": ID, "name": "add-a-shelf", "task": "Add a shelf", "state": "done",
        "branch": "agent/add-a-shelf", "worktree": worktree, "base": BASE, "head": HEAD,
        "steps": 3, "progress": {"done": 0, "total": 2},
        "files": 1, "insertions": 2, "deletions": 0,
        "verify": {
            "status": "passed", "command": "grep -q books shelf.txt", "exit": 0,
            "tree": "12a9cdffbe224cdc829d9d3b8ec06634ca5d3296",
        },
        "usage": {"input": 600, "cached": 300, "output": 30, "cost_usd": null},
        "sandbox": "none",
        "created": "2026-11-22T09:42:10.831993861Z", "updated": "2026-11-22T09:42:11.859526912Z",
        "question": null,
    });
    assert_eq!(list["format"], 1);
    let listed = list["sessions"].as_array().expect("a list");
    assert_eq!(listed.len(), 1);
    for (key, value) in session.as_object().expect("an object") {
        assert_eq!(&listed[0][key], value, "{key}");
    }
    let status = repo.agent(&["status", "add", "--json"]).success();
    let status: Value = serde_json::from_str(&status).expect("it is JSON");
    let plan = json!([
        {"text": "Build it", "status": "doing"}, {"text": "Fill it", "status": "pending"},
    ]);
    assert_eq!((&status["id"], &status["plan"]), (&json!(ID), &plan));
    let log = repo.agent(&["log", "add", "--json"]).success();
    let journal: String = FILES[2..].iter().map(|(_, text)| *text).collect();
    let lines = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
    };
    assert_eq!(lines(&log), lines(&journal));
    for words in ["Plan the shelf", "Fill the shelf", "There is a shelf with books."] {
        let log = repo.agent(&["log", "add"]).success();
        assert!(log.contains(words), "{words}\n{log}");
    }
}

#[test]
fn a_session_in_format_1_opens_from_its_folder() {
    let repo = repository();
    let folder = repo.common_dir().join("agent/sessions").join(ID);
    for (path, text) in &FILES[..2] {
        write(&folder.join(path), &filled(&repo, text));
    }
    let journal: String = FILES[2..].iter().map(|(_, text)| *text).collect();
    write(&folder.join("journal.jsonl"), &journal);
    repo.git(&["branch", "agent/add-a-shelf", HEAD]);
    opens(&repo, None);
    repo.agent(&["worktree", "merge", "add"]).success();
    assert_eq!(repo.git(&["show", "main:shelf.txt"]), "wood\nbooks");
    repo.assert_whole();
}

#[test]
fn a_session_in_format_1_comes_back_from_its_ref() {
    let repo = repository();
    repo.agent(&["worktree", "restore", "add"]).success();
    opens(&repo, Some(&worktree(&repo)));
    assert_eq!(repo.git(&["rev-parse", "agent/add-a-shelf"]), HEAD);
    let status = repo.home().git(&worktree(&repo), &["status", "--porcelain"]);
    assert_eq!(status, "?? wood.txt");
    let note = repo.git(&["notes", "--ref=agent", "show", HEAD]);
    assert!(note.contains("Agent-Session: add-a-shelf-p4uf\n"), "{note}");
    let again = repo.agent(&["worktree", "restore", "add"]);
    assert_eq!(again.code, 1, "{again:#?}");
    repo.assert_whole();
}

#[test]
fn a_newer_format_is_refused_with_a_hint() {
    let repo = repository();
    let folder = repo.common_dir().join("agent/sessions").join(ID);
    for (path, text) in &FILES[..2] {
        let newer = filled(&repo, text).replacen("format = 1", "format = 2", 1);
        write(&folder.join(path), &newer);
    }
    write(&folder.join("journal.jsonl"), "");
    let state = fs::read_to_string(folder.join("state.toml")).expect("it is there");
    let out = repo.agent(&["worktree", "restore", "add"]);
    assert_eq!(out.code, 1, "{out:#?}");
    assert!(out.stderr.contains("format 2; this git-agent knows format 1"), "{out:#?}");
    assert!(out.stderr.contains("hint: "), "{out:#?}");
    assert_eq!(fs::read_to_string(folder.join("state.toml")).expect("it is there"), state);
    assert!(repo.agent(&["list"]).success().contains(ID));
}
