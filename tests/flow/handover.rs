//! A session that is handed over: as a page, as a file, by its ref.
//!
//! Invariant: who takes it over has a clone of their own, and nothing of the other's but what was
//! handed over.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::play::until;
use crate::commands::{everything, ran, transcript};
use crate::support::cmd::Out;
use crate::support::repo::{Repo, Shape};

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a session until it has taken two of its four steps, and pauses it.
fn paused(repo: &Repo) -> String {
    let go = repo.home().root().join("go");
    let wait = format!("touch ../begun; until test -e '{}'; do sleep 0.02; done", go.display());
    let items = json!([{"text": "write", "status": "done"}, {"text": "more", "status": "pending"}]);
    let model = transcript(
        repo,
        "model.jsonl",
        &[
            json!(["write", {"path": "new.txt", "content": "new\n"}]),
            json!(["bash", {"command": wait}]),
            json!(["plan", {"items": items}]),
            json!(["write", {"path": "more.txt", "content": "more\n"}]),
            json!("All is done."),
        ],
    );
    let said = repo
        .agent(&["start", "Add more files", "--model", &model, "--verify", "test -f more.txt"])
        .success();
    let id = said.split_whitespace().nth(1).expect("an id").to_owned();
    until("it runs", || repo.main().join("../shop.worktrees/begun").exists());
    repo.agent(&["pause", &id]).success();
    fs::write(go, "").unwrap();
    rests(repo, &id, "paused");
    id
}

fn rests(repo: &Repo, id: &str, state: &str) -> Value {
    let status = repo.wait_state(id, state, PATIENCE);
    let lock = repo.common_dir().join("agent/sessions").join(id).join("lock");
    until("nobody runs it", || git_agent::session::lock::holder(&lock).unwrap().is_none());
    status
}

/// A clone that somebody else works in.
fn clone_of(repo: &Repo, name: &str) -> Repo {
    let path = repo.home().root().join(name).join("shop");
    let (from, to) = (text(repo.main()), text(&path));
    repo.home().git(repo.home().root(), &["clone", "-q", from, to]);
    repo.home().git(&path, &["config", "user.name", "Bob"]);
    Repo::made(Arc::clone(repo.home()), &path, &path)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}

fn exported(repo: &Repo, id: &str) -> PathBuf {
    let path = repo.home().root().join("it.bundle");
    repo.agent(&["export", id, "-o", text(&path)]).success();
    path
}

fn tip(repo: &Repo, id: &str) -> String {
    repo.git(&["rev-parse", &format!("refs/agent/{id}")])
}

#[test]
fn a_session_goes_on_in_another_clone_and_comes_back() {
    for shape in [Shape::Plain, Shape::Sha256, Shape::Reftable] {
        let ada = Repo::with(shape);
        let bob = clone_of(&ada, "bob");
        let id = paused(&ada);
        let out = ada.normal(&ada.agent(&["export", &id]));
        assert!(
            out.stdout.starts_with(
                "Exported add-more-files-[id] to add-more-files-[id].bundle  (2 steps, "
            ),
            "{out:?}"
        );
        assert_eq!(
            out.stderr,
            "  builds on [oid]\nhint: git agent import add-more-files-[id].bundle in another clone\n"
        );
        let file = ada.dir().join(format!("{id}.bundle"));
        let heads = bob.git(&["bundle", "list-heads", text(&file)]);
        assert_eq!(heads, format!("{} refs/agent/{id}", tip(&ada, &id)));

        let out = bob.normal(&bob.agent(&["import", text(&file)]));
        let records = ada.git(&["rev-list", "--count", "--first-parent", &tip(&ada, &id), "^main"]);
        assert_eq!(
            out.stdout,
            "Imported add-more-files-[id]  (paused, 2 steps, branch agent/add-more-files)\n"
        );
        assert!(
            out.stderr.starts_with(&format!("  proven, {records} records, not signed\n")),
            "{out:?}"
        );
        assert!(out.stderr.ends_with(
            "hint: git agent resume add-more-files-[id]    git agent handoff add-more-files-[id]\n"
        ));
        assert_eq!(tip(&bob, &id), tip(&ada, &id), "the record is the original's");
        assert_eq!(
            bob.git(&["worktree", "list"]).lines().count(),
            1,
            "no worktree before a resume"
        );
        assert_eq!(bob.git(&["branch", "--list", "agent/*"]), "");

        bob.agent(&["resume", &id]).success();
        rests(&bob, &id, "done");
        let worktree = bob.main().join("../shop.worktrees/add-more-files");
        assert_eq!(fs::read_to_string(worktree.join("more.txt")).unwrap(), "more\n");
        bob.agent(&["audit", "verify", &id]).success();
        let who = bob.git(&["log", "--first-parent", "--format=%an", &tip(&bob, &id), "^main"]);
        let mut who: Vec<_> = who.lines().collect();
        who.dedup();
        assert_eq!(who, ["Bob", "Ada"]);
        bob.agent(&["merge", &id]).success();
        assert_eq!(bob.git(&["show", "main:more.txt"]), "more");

        // Back to where it came from.
        let back = exported(&bob, &id);
        let refused = ada.normal(&ada.agent(&["import", text(&back)]));
        assert_eq!(refused.code, 1);
        assert_eq!(
            refused.stderr.lines().next(),
            Some("error: session add-more-files-[id] is here already")
        );
        ada.agent(&["remove", "--force", &id]).success();
        let out = ada.agent(&["import", text(&back)]).success();
        assert!(out.contains("(done, "), "{out}");
        assert_eq!(tip(&ada, &id), tip(&bob, &id));
        let head = bob.git(&["rev-parse", "agent/add-more-files"]);
        ada.agent(&["restore", &id]).success();
        assert_eq!(ada.git(&["rev-parse", "agent/add-more-files"]), head);
        let branches = ada.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads/agent"]);
        assert_eq!(branches, "agent/add-more-files");
        fs::remove_file(file).unwrap();
        ada.assert_whole();
        bob.git(&["fsck", "--strict"]);
    }
}

#[test]
fn another_model_goes_on_where_it_is_taken_in() {
    let ada = Repo::new();
    let bob = clone_of(&ada, "bob");
    let id = paused(&ada);
    let file = exported(&ada, &id);
    let import = ["import", text(&file), "--model"];
    let refused = bob.agent(&[&import[..], &["openai/gpt-5"]].concat());
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(refused.stderr.starts_with("error: no key for openai "), "{refused:#?}");
    assert_eq!(bob.session_ids(), Vec::<String>::new());
    // It answers as the third and fourth would have.
    let done = json!(["write", {"path": "more.txt", "content": "other\n"}]);
    let one = json!("-");
    let model = transcript(&bob, "other.jsonl", &[one.clone(), one, done, json!("All is done.")]);
    bob.agent(&[&import[..], &[&model]].concat()).success();
    bob.agent(&["resume", &id]).success();
    rests(&bob, &id, "done");
    assert_eq!(bob.git(&["show", "agent/add-more-files:more.txt"]), "other");
    let log = bob.agent(&["log", &id]).success();
    assert!(log.contains("model.jsonl") && log.contains("chosen where it was taken in"), "{log}");
    let card = bob.agent(&["status", &id]).success();
    assert!(card.contains("  model     replay/other.jsonl\n"), "{card}");
    // Both are named where it was at work; and it stays with the other after each rest.
    bob.agent(&["audit", "verify", &id]).success();
    let model = "model = \"replay/";
    let spec = bob.git(&["cat-file", "blob", &format!("refs/agent/{id}:spec.toml")]);
    assert!(spec.contains(model) && spec.contains("other.jsonl"), "{spec}");
    assert!(spec.contains("began_with = \"replay/"), "{spec}");
}

#[test]
fn a_question_travels_and_is_answered_elsewhere() {
    let ada = Repo::new();
    let bob = clone_of(&ada, "bob");
    let ask = json!(["ask", {"question": "Which store?", "options": ["Redis", "memory"]}]);
    let model = transcript(&ada, "curious.jsonl", &[ask, json!("All is done.")]);
    let id = ran(&ada, "Add a store", &model, &[]);
    let file = exported(&ada, &id);
    bob.agent(&["import", text(&file)]).success();
    let status = rests(&bob, &id, "needs-input");
    assert_eq!(status["question"], "Which store?");
    bob.agent(&["restore", &id]).success();
    bob.agent(&["answer", &id, "Redis"]).success();
    rests(&bob, &id, "done");
    assert_eq!(rests(&ada, &id, "needs-input")["question"], "Which store?");
}

#[test]
fn a_ref_that_was_pushed_goes_on_where_it_is_fetched() {
    let ada = Repo::new();
    let remote = ada.home().root().join("remote.git");
    ada.git(&["clone", "-q", "--bare", ".", text(&remote)]);
    ada.git(&["remote", "add", "origin", text(&remote)]);
    let id = paused(&ada);
    let name = format!("refs/agent/{id}");
    ada.git(&["push", "-q", "origin", &name]);
    let path = ada.home().root().join("bob/shop");
    ada.git(&["clone", "-q", text(&remote), text(&path)]);
    let bob = Repo::made(Arc::clone(ada.home()), &path, &path);
    bob.git(&["fetch", "-q", "origin", &format!("{name}:{name}")]);
    let out = bob.agent(&["restore", "add-more"]).success();
    let worktree = path.with_file_name("shop.worktrees").join("add-more-files");
    assert!(out.contains(text(&worktree)), "{out}");
    bob.agent(&["resume", "add-more"]).success();
    rests(&bob, &id, "done");
    bob.agent(&["audit", "verify", &id]).success();
    assert_eq!(bob.git(&["show", "agent/add-more-files:more.txt"]), "more");
    ada.assert_whole();
    bob.assert_whole();
}

#[test]
fn what_no_remote_has_is_in_the_file() {
    let ada = Repo::new();
    let remote = ada.home().root().join("remote.git");
    ada.git(&["clone", "-q", "--bare", ".", text(&remote)]);
    ada.git(&["remote", "add", "origin", text(&remote)]);
    ada.git(&["fetch", "-q", "origin"]);
    ada.write("local.txt", "not pushed\n");
    ada.commit("Not pushed");
    let model = transcript(&ada, "model.jsonl", &[json!("All is done.")]);
    let id = ran(&ada, "Look", &model, &[]);
    let file = exported(&ada, &id);
    let path = ada.home().root().join("bob/shop");
    ada.git(&["clone", "-q", text(&remote), text(&path)]);
    let bob = Repo::made(Arc::clone(ada.home()), &path, &path);
    bob.agent(&["import", text(&file)]).success();
    bob.agent(&["restore", &id]).success();
    assert!(path.with_file_name("shop.worktrees").join("look/local.txt").exists());
    // One that has nothing takes all of it; without that, it is told what it lacks.
    let other = ada.home().root().join("other");
    ada.git(&["init", "-q", text(&other)]);
    let other = Repo::made(Arc::clone(ada.home()), &other, &other);
    let lacks = other.normal(&other.agent(&["import", text(&file)]));
    assert_eq!(lacks.code, 1);
    assert_eq!(
        lacks.stderr,
        "error: it builds on commits that are not here: [oid]\nhint: git fetch --all may bring \
         them\nhint: git agent export --whole SESSION leaves nothing out, where it is\n"
    );
    ada.agent(&["export", "--whole", &id, "-o", text(&file)]).success();
    other.agent(&["import", text(&file)]).success();
}

/// Everything in a repository, its objects too.
fn all_of(repo: &Repo) -> (Vec<PathBuf>, Vec<String>) {
    let objects = repo.git(&["cat-file", "--batch-all-objects", "--batch-check"]);
    let files = everything(repo).into_keys().collect();
    (files, objects.lines().map(str::to_owned).collect())
}

#[test]
fn a_file_that_is_no_sound_session_leaves_nothing() {
    let ada = Repo::new();
    let bob = clone_of(&ada, "bob");
    let id = paused(&ada);
    let whole = fs::read(exported(&ada, &id)).unwrap();
    let git = |args: &[&str]| ada.git(args);
    let bad = ada.home().root().join("bad.bundle");
    let bundle = |name: &str, at: &str| {
        git(&["update-ref", name, at]);
        git(&["bundle", "create", "-q", text(&bad), name, "^main"]);
        git(&["update-ref", "-d", name]);
        fs::read(&bad).unwrap()
    };
    let record = tip(&ada, &id);
    let renamed = |name: &str| {
        let from = format!(" refs/agent/{id}\n");
        let at = whole.windows(from.len()).position(|it| it == from.as_bytes()).unwrap();
        [&whole[..at], format!(" {name}\n").as_bytes(), &whole[at + from.len()..]].concat()
    };
    let code = git(&["rev-parse", &format!("{record}^2")]);
    let planted = planted(&ada, &code);
    let two = {
        git(&[
            "bundle",
            "create",
            "-q",
            text(&bad),
            &format!("refs/agent/{id}"),
            "agent/add-more-files",
            "^main",
        ]);
        fs::read(&bad).unwrap()
    };
    let cases: Vec<(&str, Vec<u8>, &str, i32)> = vec![
        ("empty", Vec::new(), "is no git bundle: it does not begin like one", 2),
        ("words", b"session = 1\n".to_vec(), "is no git bundle: it does not begin like one", 2),
        ("cut", whole[..whole.len() / 2].to_vec(), "is damaged", 1),
        ("a branch", bundle("refs/heads/evil", &code), "\"refs/heads/evil\" is no session", 2),
        ("two refs", two, "it holds 2 refs, and a session is one", 2),
        (
            "an inbox",
            bundle("refs/agent/x.inbox", &record),
            "\"refs/agent/x.inbox\" is no session",
            2,
        ),
        (
            "the archive",
            bundle("refs/agent/archive", &record),
            "\"refs/agent/archive\" is no session",
            2,
        ),
        ("a path", renamed("refs/agent/../../heads/main"), "is no session", 2),
        ("dots", renamed("refs/agent/.."), "is not a valid name", 2),
        (
            "another id",
            bundle("refs/agent/other-2222", &record),
            "it is of the session add-more",
            1,
        ),
        (
            "no record",
            bundle("refs/agent/code-2222", &code),
            "the record of code-2222 does not hold",
            1,
        ),
        ("a tree with .git", bundle("refs/agent/evil-2222", &planted), "is damaged", 1),
    ];
    bob.agent(&["import", text(&bad)]);
    let before = all_of(&bob);
    for (what, bytes, said, code) in cases {
        fs::write(&bad, bytes).unwrap();
        let out = bob.agent(&["import", text(&bad)]);
        assert!(out.stderr.contains(said) && out.code == code, "{what}: {out:#?}");
        assert!(out.stderr.contains("\nhint: "), "{what}: {out:#?}");
    }
    fs::remove_file(&bad).unwrap();
    for (path, code) in [("/dev/zero", 2), ("no-such-file", 1), (text(bob.main()), 2)] {
        let out = bob.agent(&["import", path]);
        assert_eq!(out.code, code, "{path}: {out:#?}");
    }
    let mut after = all_of(&bob);
    after.0.push(bad.clone());
    after.0.sort();
    assert_eq!(after, before);
    bob.assert_whole();
}

/// A commit whose tree holds what git would run.
fn planted(repo: &Repo, parent: &str) -> String {
    let feed = |args: &[&str], text: &str| {
        let cmd = repo.home().cmd("git").dir(repo.main()).args(args).stdin(text);
        cmd.run().success().trim().to_owned()
    };
    let blob = feed(&["hash-object", "-w", "--stdin"], "#!/bin/sh\ntouch /tmp/run\n");
    let hooks = feed(&["mktree"], &format!("100755 blob {blob}\tpost-checkout\n"));
    let git = feed(&["mktree"], &format!("040000 tree {hooks}\thooks\n"));
    let tree = feed(&["mktree"], &format!("040000 tree {git}\t.git\n"));
    repo.git(&["commit-tree", &tree, "-p", parent, "-m", "x"])
}

#[test]
fn what_a_record_says_of_places_and_limits_holds_where_it_was_made() {
    let ada = Repo::new();
    let bob = clone_of(&ada, "bob");
    let id = paused(&ada);
    let record = tip(&ada, &id);
    let spec = ada.git(&["show", &format!("{record}:spec.toml")]);
    let mut spec: toml::Table = spec.parse().unwrap();
    for (key, value) in [
        ("branch", "refs/heads/main".into()),
        ("worktree", "/etc/evil".into()),
        ("name", "../../evil".into()),
        ("sandbox", "none".into()),
        ("share_budget", "theirs".into()),
        ("allow_net", vec!["*.example.com"].into()),
    ] {
        let value: toml::Value = value;
        spec.insert(key.to_owned(), value);
    }
    spec["limits"] = toml::toml! { budget = 1000000.0 }.into();
    let index = ada.home().root().join("index");
    let git = |args: &[&str], stdin: &str| {
        let cmd = ada.home().cmd("git").args(args).dir(ada.main());
        cmd.env("GIT_INDEX_FILE", &index).stdin(stdin).run().success().trim().to_owned()
    };
    let blob = git(&["hash-object", "-w", "--stdin"], &toml::to_string(&spec).unwrap());
    git(&["read-tree", &record], "");
    git(&["update-index", "--cacheinfo", &format!("100644,{blob},spec.toml")], "");
    let tree = git(&["write-tree"], "");
    let code = ada.git(&["rev-parse", &format!("{record}^2")]);
    let made = ada.git(&["commit-tree", &tree, "-p", &code, "-m", "x"]);
    ada.git(&["update-ref", &format!("refs/agent/{id}"), &made]);
    let file = exported(&ada, &id);
    let out: Value =
        serde_json::from_str(&bob.agent(&["import", "--json", text(&file)]).success()).unwrap();
    assert_eq!((&out["format"], &out["import"]["records"]), (&json!(1), &json!(1)));
    let branch = out["import"]["branch"].as_str().unwrap();
    assert_eq!(branch, "agent/evil");
    let taken = bob.common_dir().join("agent/sessions").join(&id).join("spec.toml");
    let taken: toml::Table = fs::read_to_string(taken).unwrap().parse().unwrap();
    let here = bob.main().with_file_name("shop.worktrees").join("evil");
    assert_eq!(taken["worktree"].as_str(), here.to_str());
    let would = bob.agent(&["start", "x", "--dry-run", "--model", "replay/none"]).success();
    let level = taken["sandbox"].as_str().unwrap();
    assert!(would.contains(&format!("\n  sandbox  {level}\n")), "{level}: {would}");
    assert!(!taken.contains_key("share_budget") && !taken.contains_key("allow_net"), "{taken}");
    let budget = taken["limits"]["budget"].as_float().unwrap();
    assert!(budget < 1000.0, "{budget}");
    bob.agent(&["restore", &id]).success();
    assert!(here.join("new.txt").exists());
}

#[test]
fn the_page_tells_all_that_who_takes_over_needs() {
    let repo = Repo::new();
    let id = paused(&repo);
    let key = ["ghp", "_kJ8f0Zq1Xw7Lm3PdR5tY9uB2nC6vH4sA0eGx"].concat();
    repo.agent(&["say", &id, "Use", &key, "please"]).success();
    repo.agent(&["resume", &id]).success();
    rests(&repo, &id, "done");
    let page = repo.normal(&repo.agent(&["handoff", &id])).stdout;
    assert!(!page.contains(&key), "{page}");
    let head = page.split("\n- **Began:**").next().unwrap();
    assert_eq!(
        head,
        "# Add more files\n\n- **Session:** `add-more-files-[id]`, branch `agent/add-more-files`\n\
         - **State:** done"
    );
    for part in [
        "## What was asked\n\n> Add more files\n\nSaid since:\n\nAfter step 2:\n\n> Use [REDACTED:",
        "In the agent's own words:\n\n> All is done.\n",
        "| Step | Commit | What | Lines |\n|---:|---|---|---:|\n| 1 | `[oid]` | write new.txt | +1 −0 |\n",
        "| File | | Lines |\n|---|---|---:|\n| `more.txt` | new | +1 −0 |\n| `new.txt` | new | +1 −0 |\n\
         | **2 files** | | +2 −0 |\n",
        "- ✅ `test -f more.txt`: passed in ",
        "- [x] write\n- [ ] more\n",
        "## Questions\n\n1. Not done yet: more. Is it still wanted?\n",
        "git agent merge add-more-files-[id]    # lands its work\n",
    ] {
        assert!(page.contains(part), "{part}\n\n{page}");
    }
    let json: Value =
        serde_json::from_str(&repo.agent(&["handoff", "--json", &id]).success()).unwrap();
    assert_eq!((&json["format"], &json["handoff"]["steps"]), (&json!(1), &json!(5)));
    assert_eq!(json["handoff"]["files"][0]["path"], "more.txt");
    let file = repo.home().root().join("page.md");
    let out = repo.agent(&["handoff", &id, "-o", text(&file)]);
    assert_eq!(out.code, 0);
    assert_eq!(fs::read_to_string(file).unwrap(), repo.agent(&["handoff", &id]).stdout);
    let none = repo.agent(&["handoff", "nobody"]);
    assert_eq!((none.code, none.stdout), (2, String::new()));
}

#[test]
fn a_session_that_runs_is_exported_as_far_as_it_is() {
    let repo = Repo::new();
    let bob = clone_of(&repo, "bob");
    let go = repo.home().root().join("go");
    let wait = format!("touch ../begun; until test -e '{}'; do sleep 0.02; done", go.display());
    let write = json!(["write", {"path": "new.txt", "content": "new\n"}]);
    let model = transcript(
        &repo,
        "slow.jsonl",
        &[write, json!(["bash", {"command": wait}]), json!("All is done.")],
    );
    let said = repo.agent(&["start", "Be slow", "--model", &model]).success();
    let id = said.split_whitespace().nth(1).unwrap().to_owned();
    until("it runs", || repo.main().join("../shop.worktrees/begun").exists());
    let file = repo.home().root().join("it.bundle");
    let out: Out = repo.agent(&["export", &id, "-o", text(&file)]);
    assert!(out.stderr.contains(&format!("{id} is running: what it does from now on")), "{out:?}");
    fs::write(&go, "").unwrap();
    rests(&repo, &id, "done");
    bob.agent(&["import", text(&file)]).success();
    let status = rests(&bob, &id, "paused");
    assert_eq!(
        (&status["steps"], &status["reason"]),
        (&json!(1), &json!("taken in from elsewhere"))
    );
    bob.agent(&["resume", &id]).success();
    rests(&bob, &id, "done");
}
