//! `list`, `status`, `log`, `diff` and `worktree list`: what is read, and never written.

use std::fs;

use serde_json::{Value, json};

use super::{curious, quick, ran, refused, said, transcript};
use crate::support::cmd::Out;
use crate::support::repo::Repo;

#[test]
fn a_list_of_none_of_one_of_several() {
    let repo = Repo::new();
    let none = "No sessions.\nhint: git agent start \"…\"\n";
    said(&repo, &["list"], 0, "", none);
    said(&repo, &["status"], 0, "", none);
    let no_worktrees = none.replace("sessions.", "sessions, so no worktrees.");
    said(&repo, &["worktree", "list"], 0, "", &no_worktrees);
    said(&repo, &["list", "--json"], 0, "{\"format\":1,\"sessions\":[]}\n", "");
    ran(&repo, "say hi", &quick(&repo), &["--verify", "true"]);
    ran(&repo, "ask me", &curious(&repo), &[]);
    let table = repo.agent(&["list"]);
    let out = repo.normal(&table).stdout;
    let words: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        words,
        [
            vec!["SESSION", "STATE", "PROGRESS", "CHANGES", "VERIFY", "COST", "AGE"],
            vec!["ask-me-[id]", "needs-input", "-", "-", "-", "?", "[time]", "Which", "store?"],
            vec!["say-hi-[id]", "done", "-", "1", "file", "+1", "passed", "?", "[time]"],
        ]
    );
    // The same wherever one stands: in a folder of the checkout, by -C, in a session's worktree.
    let root = repo.home().root();
    let columns = |out: Out| out.stdout.lines().map(str::len).collect::<Vec<_>>();
    let wanted = columns(table);
    for dir in ["shop/src", "shop.worktrees/say-hi"] {
        assert_eq!(columns(repo.cmd(&["list"]).dir(&root.join(dir)).run()), wanted, "{dir}");
    }
    let by_c = repo.cmd(&["-C", "shop.worktrees/ask-me/docs", "list"]).dir(root).run();
    assert_eq!(columns(by_c), wanted);
    assert_eq!(columns(repo.git_agent(&["ls"])), wanted);
    repo.assert_whole();
}

#[test]
fn the_json_of_a_list_has_these_keys_and_values() {
    let repo = Repo::new();
    let id = ran(&repo, "say hi", &quick(&repo), &["--verify", "true"]);
    let listed: Value = serde_json::from_str(&repo.agent(&["list", "--json"]).success()).unwrap();
    let mut session = listed["sessions"][0].clone();
    for key in ["created", "updated"] {
        assert!(session[key].take().as_str().is_some_and(|time| time.ends_with('Z')), "{key}");
    }
    assert!(session["worked_s"].take().is_u64());
    let tip = repo.git(&["rev-parse", "agent/say-hi"]);
    let tree = repo.git(&["rev-parse", "agent/say-hi^{tree}"]);
    let worktree = repo.home().root().join("shop.worktrees/say-hi");
    let wanted = json!({
        "id": id, "name": "say-hi", "task": "say hi", "state": "done", "reason": null,
        "branch": "agent/say-hi",
        "worktree": worktree, "base": repo.git(&["rev-parse", "HEAD"]), "head": tip,
        "steps": 2, "progress": {"done": 0, "total": 0},
        "files": 1, "insertions": 1, "deletions": 0,
        "verify": {"status": "passed", "command": "true", "exit": 0, "tree": tree},
        "usage": {"input": 200, "cached": 100, "output": 20, "cost_usd": null},
        "sandbox": session["sandbox"], "created": null, "updated": null, "question": null, "waiting": null,
        "queue": null, "question_kind": null, "worked_s": null,
        "limits": {
            "budget_usd": 5.0, "shared_budget": null, "tokens": null, "steps": 200,
            "timeout_s": 7200
        }
    });
    assert_eq!(session, wanted);
    assert_eq!(listed["format"], 1);

    let mut status: Value =
        serde_json::from_str(&repo.agent(&["status", "say-hi", "--json"]).success()).unwrap();
    let more = status.as_object_mut().unwrap();
    assert_eq!(more.remove("format"), Some(json!(1)));
    assert_eq!(more.remove("plan"), Some(json!([])));
    let commits = more.remove("commits").unwrap();
    assert_eq!((&commits[0]["id"], commits.as_array().unwrap().len()), (&json!(tip), 1));
    for key in ["created", "updated", "worked_s"] {
        more[key].take();
    }
    assert_eq!(status, wanted);
}

#[test]
fn a_log_reads_like_a_story() {
    let repo = Repo::new();
    let plan = |done: &str| json!(["plan", {"items": [{"text": "Write it", "status": done}]}]);
    let model = transcript(
        &repo,
        "story.jsonl",
        &[
            plan("doing"),
            json!(["write", {"path": "new.txt", "content": "new\n"}]),
            plan("done"),
            json!(["finish", {"summary": "It is written."}]),
        ],
    );
    let verify = "test -e new.txt";
    let id = ran(&repo, "Write a file.\n\nCall it new.txt.", &model, &["--verify", verify]);
    let log = repo.cmd(&["log", &id]).env("LC_ALL", "C.UTF-8").run();
    // Without the time of day, and without how long the verify took.
    let untimed = |line: &str| {
        let line = line.get(8..).unwrap_or(line);
        line.split(" exit 0 · ").next().unwrap_or_default().to_owned()
    };
    let told: Vec<String> = log.stdout.lines().map(untimed).collect();
    let told = repo.normal(&Out { stdout: told.join("\n"), ..log.clone() }).stdout;
    let wanted = "
  start    state    queued → running
  start    task     Write a file.
                    Call it new.txt.
  start    note     no price is known for this model: tokens are counted, money is not, and the budget of $5.00 cannot hold it
  step 1   plan     0/1  ▸ Write it
  step 2   write    created new.txt, 1 line
  step 2   commit   [oid]  write new.txt · 1 file +1
  step 3   plan     1/1  ✓ Write it
  step 4   finish   It is written.
  step 4   verify   ✓ test -e new.txt ·
  step 4   state    running → done";
    assert_eq!(told, wanted.trim_start_matches('\n'));
    // For programs: each line an event.
    let json = repo.agent(&["log", &id, "--json"]).success();
    let kinds: Vec<String> = json
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["update"].take())
        .map(|update| update.as_object().unwrap().keys().next().unwrap().clone())
        .collect();
    let first = ["state", "user_message", "limit_mark", "agent_message", "tool_call", "plan"];
    assert_eq!(kinds[..6], first);
    assert_eq!(kinds.last().unwrap(), "state");
}

#[test]
fn what_was_recorded_gives_the_same_commits_again() {
    let repo = Repo::new();
    let id = ran(&repo, "say hi", &quick(&repo), &[]);
    let record = repo.agent(&["log", &id, "--record", "../again.jsonl"]);
    assert_eq!(
        repo.normal(&record),
        Out {
            stdout: String::new(),
            stderr: "Wrote 2 answers to ../again.jsonl\n\
                     hint: git agent start --model replay/../again.jsonl \"…\"\n"
                .to_owned(),
            code: 0
        }
    );
    ran(&repo, "say it again", "replay/../again.jsonl", &[]);
    let of = |branch: &str| repo.git(&["log", "--format=%T %s", &format!("main..{branch}")]);
    assert_eq!(of("agent/say-it-again"), of("agent/say-hi"));
    assert_eq!(of("agent/say-hi").lines().count(), 1);
    // What was not answered cannot be recorded.
    let empty = transcript(&repo, "empty.jsonl", &[]);
    ran(&repo, "nothing", &empty, &[]);
    refused(
        &repo,
        &["log", "nothing", "--record", "../none.jsonl"],
        1,
        "error: nothing-[id] has no answer of a model yet, so there is nothing to record\n",
    );
}

#[test]
fn a_diff_is_gits_own() {
    let repo = Repo::new();
    ran(&repo, "say hi", &quick(&repo), &[]);
    let by_git = repo.git(&["diff", "main", "agent/say-hi"]) + "\n";
    said(&repo, &["diff", "say-hi", "--name-only"], 0, "new.txt\n", "");
    assert_eq!(repo.agent(&["diff", "say-hi"]).success(), by_git);
    let worktree = repo.home().root().join("shop.worktrees/say-hi");
    fs::write(worktree.join("README.md"), "# Changed by hand\n").unwrap();
    said(&repo, &["diff", "say-hi", "--name-only"], 0, "new.txt\n", "");
    said(&repo, &["diff", "say-hi", "-u", "--name-only"], 0, "README.md\nnew.txt\n", "");
    said(&repo, &["diff", "say-hi", "--name-only", "--", "--", "docs"], 0, "", "");
}

#[test]
fn in_a_worktree_its_own_session_is_meant() {
    let repo = Repo::new();
    let id = ran(&repo, "say hi", &quick(&repo), &[]);
    let worktree = repo.home().root().join("shop.worktrees/say-hi");
    let out = repo.cmd(&["status"]).dir(&worktree.join("docs")).run().success();
    assert!(out.starts_with(&format!("{id}  done\n  say hi\n")), "{out}");
    said(&repo, &["worktree", "switch", "say-hi"], 0, "[ROOT]/shop.worktrees/say-hi\n", "");
    let listed = repo.normal(&repo.agent(&["worktree", "list"])).stdout;
    let words: Vec<&str> = listed.split_whitespace().collect();
    assert_eq!(
        words,
        [
            "SESSION",
            "STATE",
            "BRANCH",
            "WORKTREE",
            "say-hi-[id]",
            "done",
            "agent/say-hi",
            "[ROOT]/shop.worktrees/say-hi",
        ]
    );
}

#[test]
fn p09_a_reader_that_goes_away_is_no_failure() {
    let repo = Repo::new();
    ran(&repo, "say hi", &quick(&repo), &[]);
    for verb in ["list", "status say-hi", "log say-hi", "list --json", "--help", "doctor"] {
        let script = format!("{{ sleep 0.05; git-agent {verb}; echo \"exit $?\" >&2; }} | true");
        let out = repo.home().cmd("sh").dir(repo.dir()).args(&["-c", &script]).run();
        assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("", "exit 0\n"), "{verb}");
    }
}

#[test]
fn p10_words_of_an_agent_do_nothing_to_a_terminal() {
    let repo = Repo::new();
    let bad = "\u{1b}]0;title\u{7}\u{202e}gone\r";
    let model = transcript(&repo, "bad.jsonl", &[json!(["ask", {"question": bad}])]);
    ran(&repo, &format!("task {bad}"), &model, &[]);
    for verb in [&["list"][..], &["status", "task"], &["log", "task"], &["log", "-v", "task"]] {
        let out = repo.agent(verb);
        let all = out.stdout + &out.stderr;
        assert!(!all.contains(['\u{1b}', '\u{7}', '\r', '\u{202e}']), "{all:?}");
        assert!(all.contains("gone"), "{all:?}");
    }
    let json = repo.agent(&["list", "--json"]).success();
    assert!(!json.contains(['\u{1b}', '\u{7}', '\r']), "{json:?}");
    let listed: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(listed["sessions"][0]["question"], bad);
}
