//! `rewind`, `fork`, `remove` and `restore`: a session at another moment of its past.
//!
//! Invariant: code and conversation move together, and what is left can be returned to.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::journey::{Node, files, status};
use super::play::{Play, SOON, in_each_dialect, until};
use crate::support::server::{Dialect, Script, Turn};

pub(super) fn bash(command: &str) -> Turn {
    Turn::call("bash", json!({"command": command}))
}

/// Three steps that change something, by all the means there are, and an end.
pub(super) fn script() -> Script {
    let three = "mkdir -p deep; mv one.txt deep/; printf '3\\n' >> two.txt; rm README.md; \
                 chmod +x two.txt; ln -s two.txt link";
    Script::new([
        Turn::empty()
            .and_thinking("One first.")
            .and_call("write", json!({"file_path": "one.txt", "content": "1\n"})),
        bash("printf '2\\n' > two.txt; rm run.sh"),
        bash(three),
        Turn::text("All is done."),
    ])
}

pub(super) fn done(dialect: Dialect, args: &[&str]) -> Play {
    let play = Play::start(dialect, script(), args);
    play.rests("done");
    play
}

pub(super) fn tip(play: &Play) -> String {
    play.git(&["rev-parse", "HEAD"])
}

/// Files, their status, and the branch.
fn moment(play: &Play) -> (BTreeMap<PathBuf, Node>, String, String) {
    let worktree = play.worktree();
    (files(&worktree), status(&play.repo, &worktree), tip(play))
}

pub(super) fn rewound(play: &Play, args: &[&str]) -> Value {
    let said = play.run("rewind", &[args, &["--json"]].concat()).success();
    let said: Value = serde_json::from_str(&said).expect("it is JSON");
    said["rewound"].clone()
}

fn paths(told: &Value) -> Vec<String> {
    let files = told["files"].as_array().expect("a list").iter();
    let line = |file: &Value| format!("{} {}", file["status"], file["path"]).replace('"', "");
    files.map(line).collect()
}

#[test]
fn s02_code_and_conversation_go_back_and_on_from_there() {
    in_each_dialect(|dialect| {
        let play = done(dialect, &[]);
        let first = play.git(&["rev-parse", "HEAD~2"]);
        let before = moment(&play);
        let told = rewound(&play, &["1"]);
        assert_eq!(
            paths(&told),
            ["A README.md", "D deep/one.txt", "D link", "A one.txt", "A run.sh", "D two.txt"]
        );
        assert_eq!(tip(&play), first);
        assert_eq!(play.git(&["status", "--porcelain"]), "");
        assert_eq!(fs::read_to_string(play.worktree().join("one.txt")).unwrap(), "1\n");
        let mode = play.worktree().join("run.sh").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "what can be run can be run again");
        let shown = play.status();
        assert_eq!(
            json!([shown["state"], shown["steps"], shown["files"], shown["head"]]),
            json!(["paused", 1, 1, first])
        );
        assert!(play.line().contains("rewound to step 1"), "{}", play.line());
        let usage = shown["usage"].clone();
        assert_eq!(usage["output"], 40, "what was spent stays spent");
        // The model is asked again where it then was; the server takes no history that is wrong.
        play.run("say", &["Do it once more"]).success();
        play.run("resume", &[]).success();
        let shown = play.rests("done");
        assert_eq!(shown["steps"], 4);
        assert_eq!(shown["usage"]["output"], 70);
        assert_eq!(play.server.served(), [0, 1, 2, 3, 1, 2, 3]);
        assert_eq!((files(&play.worktree()), play.subjects().len()), (before.0, 3));
        // All of it is in the log, and only the line that counts in a recorded transcript.
        let log = play.run("log", &[]).success();
        assert!(log.contains("  rewind   to the end of step 1"), "{log}");
        let transcript = play.repo.home().root().join("t.jsonl");
        play.run("log", &["--record", transcript.to_str().unwrap()]).success();
        assert_eq!(fs::read_to_string(&transcript).unwrap().lines().count(), 4);
        play.close();
    });
}

#[test]
fn an_undo_returns_and_a_redo_goes_again() {
    let play = done(Dialect::Anthropic, &[]);
    let journal = || fs::read_to_string(play.folder().join("journal.jsonl")).unwrap();
    let (three, told) = (moment(&play), journal());
    rewound(&play, &["2"]);
    let two = moment(&play);
    rewound(&play, &["0"]);
    let none = moment(&play);
    assert_eq!(files(&play.worktree()), files(play.repo.main()), "the start is the base");
    for (way, there) in [("--undo", &two), ("--undo", &three), ("--redo", &two), ("--redo", &none)]
    {
        rewound(&play, &[way]);
        assert_eq!(&moment(&play), there, "{way}");
    }
    rewound(&play, &["--undo"]);
    let said = play.run("rewind", &["--undo"]).success();
    let files_changed =
        format!("Rewound {} to where it was, at step 4: 5 files changed\n", play.id);
    assert_eq!((said, moment(&play)), (files_changed, three));
    assert!(journal().starts_with(&told), "a journal only grows");
    // What was left is in the history of the session's ref, for git to find.
    let kept = play.repo.git(&["log", "--format=%H", &format!("refs/agent/{}", play.id)]);
    assert!(kept.contains(&two.2));
    play.run("resume", &[]).success();
    play.rests("done");
    assert_eq!(play.server.served(), [0, 1, 2, 3], "nothing is left to be asked");
    play.close();
}

#[test]
fn s02_what_does_not_differ_is_not_touched_and_a_look_writes_nothing() {
    let play = done(Dialect::Chat, &[]);
    let worktree = play.worktree();
    fs::write(worktree.join("build.tmp"), "ignored").unwrap();
    let times = || {
        let time = |path: &str| {
            let meta = worktree.join(path).metadata().unwrap();
            (meta.ino(), meta.mtime(), meta.mtime_nsec())
        };
        [".gitignore", "docs/guide.md", "src/lib.txt", "build.tmp"].map(time)
    };
    let objects = || play.repo.git(&["count-objects", "-v"]);
    let before = (moment(&play), times(), objects(), fs::read(worktree.join("two.txt")).unwrap());
    let out = play.run("rewind", &["2", "--dry-run"]);
    let wanted = format!(
        "A  README.md\nD  deep/one.txt\nD  link\nA  one.txt\nM  two.txt\n\
         Would rewind {} to the end of step 2: 2 steps left aside, 5 files changed\n",
        play.id
    );
    assert_eq!(out.stdout + &out.stderr, wanted);
    let now = (moment(&play), times(), objects(), fs::read(worktree.join("two.txt")).unwrap());
    assert_eq!(now, before);
    // From a folder of the worktree, too, all of it goes back.
    let below = play.cmd(&["rewind", &play.id, "2"]).dir(&worktree.join("src")).run();
    assert_eq!(below.code, 0, "{below:#?}");
    assert_eq!(times(), before.1);
    assert!(worktree.join("one.txt").exists() && !worktree.join("deep").exists());
    let mode = worktree.join("two.txt").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0);
    play.close();
}

#[test]
fn s03_what_a_person_did_since_is_kept_and_comes_back() {
    let play = done(Dialect::Responses, &[]);
    let worktree = play.worktree();
    fs::write(worktree.join("two.txt"), "as I like it\n").unwrap();
    fs::write(worktree.join("mine.txt"), "mine\n").unwrap();
    fs::write(worktree.join("src/lib.txt"), "mine too\n").unwrap();
    symlink("mine.txt", worktree.join("mine.link")).unwrap();
    play.git(&["add", "mine.txt"]);
    let mine = files(&worktree);
    let told = rewound(&play, &["2"]);
    let kept = json!(["mine.link", "mine.txt", "src/lib.txt", "two.txt"]);
    assert_eq!(told["uncommitted"], kept);
    assert_eq!(fs::read_to_string(worktree.join("two.txt")).unwrap(), "2\n");
    assert_eq!(play.git(&["status", "--porcelain"]), "", "a rewind is of all");
    rewound(&play, &["--undo"]);
    assert_eq!(files(&worktree), mine);
    assert_eq!(tip(&play), play.git(&["rev-parse", "agent/mend-the-shop"]));
    assert_eq!(play.subjects().len(), 3, "and nothing of theirs is committed by that");
    // To the end of the last step is away with what came after it.
    rewound(&play, &["4"]);
    assert_eq!(play.git(&["status", "--porcelain"]), "");
    play.close();
}

#[test]
fn what_is_in_the_way_stops_it_before_anything_moves() {
    let play = done(Dialect::Chat, &[]);
    let worktree = play.worktree();
    // Ignored, so no record holds it, and where a file has to come back.
    fs::write(play.repo.common_dir().join("info/exclude"), "README.md/\n").unwrap();
    fs::create_dir(worktree.join("README.md")).unwrap();
    fs::write(worktree.join("README.md/secret"), "secret\n").unwrap();
    let before = moment(&play);
    let refused = || {
        let [done, foretold] =
            [&["1"][..], &["1", "--dry-run"]].map(|args| play.run("rewind", args));
        assert_eq!((done.code, &done), (1, &foretold));
        done.stderr
    };
    let said = refused();
    let hint = format!("hint: Move README.md/secret out of {}\n", worktree.display());
    assert!(said.ends_with(&hint), "{said}");
    assert_eq!(moment(&play), before);
    assert_eq!(play.status()["state"], "done");
    // A repository of its own, which no snapshot holds.
    fs::remove_dir_all(worktree.join("README.md")).unwrap();
    fs::write(play.repo.common_dir().join("info/exclude"), "").unwrap();
    play.git(&["init", "-q", "README.md"]);
    let said = refused();
    assert!(said.contains("README.md/.git/HEAD"), "{said}");
    assert!(worktree.join("README.md/.git/HEAD").exists());
    play.close();
}

#[test]
fn a_question_that_was_left_aside_is_asked_again_by_the_undo() {
    let ask = Turn::call("ask", json!({"question": "Which colour?", "options": ["red", "blue"]}));
    let script = Script::new([bash("echo 1 > one.txt"), ask, Turn::text("Done.")]);
    let play = Play::start(Dialect::Responses, script, &[]);
    let asked = play.rests("needs-input")["question"].clone();
    rewound(&play, &["0"]);
    let shown = play.status();
    assert_eq!(json!([shown["state"], shown["question"]]), json!(["paused", null]));
    let beyond = play.run("rewind", &["2"]);
    let wanted = format!(
        "error: {id} has no step 2: it has none yet\nhint: git agent rewind {id} --undo\n",
        id = play.id
    );
    assert_eq!((beyond.code, beyond.stderr), (2, wanted));
    rewound(&play, &["--undo"]);
    let shown = play.status();
    assert_eq!(json!([shown["state"], shown["question"]]), json!(["needs-input", asked]));
    assert!(play.line().contains("Which colour?"), "{}", play.line());
    play.run("answer", &["blue"]).success();
    play.rests("done");
    assert_eq!(play.server.served(), [0, 1, 2]);
    play.close();
}

#[test]
fn where_commits_are_held_back_the_work_goes_back_all_the_same() {
    for strategy in ["turn", "single", "none"] {
        let play = done(Dialect::Anthropic, &["--commit-strategy", strategy]);
        let three = moment(&play);
        rewound(&play, &["1"]);
        assert_eq!(play.subjects(), [""; 0], "{strategy}");
        let differs = play.git(&["diff", "HEAD", "--stat", "--name-only"]);
        assert_eq!(differs, "one.txt", "{strategy}: in no commit, as when it was made");
        rewound(&play, &["--undo"]);
        assert_eq!(moment(&play), three, "{strategy}");
        rewound(&play, &["1"]);
        play.run("resume", &[]).success();
        play.rests("done");
        assert_eq!(files(&play.worktree()), three.0, "{strategy}");
        play.close();
    }
}

/// The id that a `fork` has told.
pub(super) fn forked(said: &str) -> String {
    let id = said.split(" as ").nth(1).and_then(|rest| rest.split_whitespace().next());
    id.unwrap_or_else(|| panic!("no id in {said}")).to_owned()
}

pub(super) fn status_of(play: &Play, id: &str) -> Value {
    let said = play.repo.agent(&["status", id, "--json"]).success();
    serde_json::from_str(&said).expect("it is JSON")
}

#[test]
fn e17_a_fork_shares_the_past_and_pays_for_itself_alone() {
    in_each_dialect(|dialect| {
        let play = done(dialect, &["--verify", "test -e two.txt"]);
        let (parent, updates) = (moment(&play), play.updates().len());
        let said = play.run("fork", &["--at", "2", "Try it otherwise"]).success();
        let fork = forked(&said);
        let told = play.repo.wait_state(&fork, "done", SOON);
        let worktree = play.worktree().with_file_name("mend-the-shop-2");
        let shown = json!([told["branch"], told["worktree"], told["steps"], told["base"]]);
        let base = play.repo.git(&["rev-parse", "main"]);
        assert_eq!(shown, json!(["agent/mend-the-shop-2", worktree, 4, base]));
        // Two answers of its own; the other's two are the other's to pay.
        assert_eq!(
            (&told["usage"]["output"], &told["verify"]["status"]),
            (&json!(20), &json!("passed"))
        );
        assert_eq!(files(&worktree), parent.0, "the same turns make the same files");
        assert_eq!(play.server.served(), [0, 1, 2, 3, 2, 3]);
        let shared = play.repo.git(&["merge-base", "agent/mend-the-shop", "agent/mend-the-shop-2"]);
        assert_eq!(shared, play.git(&["rev-parse", "HEAD~1"]));
        let log = play.repo.agent(&["log", &fork]).success();
        assert!(log.contains(&format!("  fork     of {} after step 2", play.id)), "{log}");
        assert!(log.contains("  you      Try it otherwise"), "{log}");
        let spec = play.folder().with_file_name(&fork).join("spec.toml");
        let spec = fs::read_to_string(spec).unwrap();
        let lineage =
            format!("[forked_from]\nsession = \"{}\"\nstep = 2\ncommit = \"{shared}\"\n", play.id);
        assert!(
            spec.contains(&lineage) && spec.contains("verify = [\"test -e two.txt\"]"),
            "{spec}"
        );
        assert_eq!(
            (moment(&play), play.updates().len()),
            (parent, updates),
            "the other is as it was"
        );
        // It can go back before the fork, too.
        play.repo.agent(&["rewind", &fork, "1"]).success();
        assert_eq!(status_of(&play, &fork)["head"], play.git(&["rev-parse", "HEAD~2"]));
        play.repo.agent(&["rewind", &fork, "0"]).success();
        assert_eq!(status_of(&play, &fork)["head"], base);
        play.close();
    });
}

#[test]
fn the_removed_one_of_a_name_is_restored_though_its_fork_is_there() {
    let play = done(Dialect::Anthropic, &[]);
    let fork = forked(&play.run("fork", &["--at", "1"]).success());
    play.run("remove", &["--force"]).success();
    let name = "mend-the-shop";
    let said = play.repo.agent(&["restore", name]).success();
    assert!(said.starts_with(&format!("Restored {} at ", play.id)), "{said}");
    // Both are there now: nothing of that name was removed any more.
    let out = play.repo.agent(&["restore", &fork]);
    let worktree = play.worktree().with_file_name("mend-the-shop-2");
    let wanted = format!(
        "error: session {fork} has its worktree at {}\nhint: git agent worktree switch {fork}\n",
        worktree.display()
    );
    assert_eq!((out.code, out.stderr), (1, wanted));
    play.close();
}

#[test]
fn a_fork_of_what_runs_ends_with_a_finished_step_and_rests() {
    let go = "cd ..; touch begun; while [ ! -e go ]; do sleep 0.02; done";
    let script = Script::new([bash("echo one > one.txt"), bash(go), Turn::text("Done.")]);
    // The command is to be seen and steered from outside.
    let args = ["--commit-strategy", "single", "--sandbox", "none"];
    let play = Play::start(Dialect::Anthropic, script, &args);
    until("it runs", || play.worktree().with_file_name("begun").exists());
    let out = play.run("fork", &["--at", "2"]);
    assert_eq!(
        (out.code, play.repo.normal(&out).stderr.as_str()),
        (
            2,
            "error: mend-the-shop-[id] has no step 2: it has 1 step\n\
             hint: git agent log mend-the-shop-[id]\n"
        )
    );
    let out = play.run("fork", &["--worktree", "other", "--branch", "try/other"]);
    let fork = forked(&out.stdout);
    let told = status_of(&play, &fork);
    let shown = json!([told["state"], told["steps"], told["branch"], told["files"]]);
    assert_eq!(shown, json!(["paused", 1, "try/other", 1]));
    let other = play.worktree().with_file_name("other");
    assert_eq!(fs::read_to_string(other.join("one.txt")).unwrap(), "one\n", "held back, but there");
    assert_eq!(play.repo.git(&["rev-parse", "try/other"]), play.repo.git(&["rev-parse", "main"]));
    fs::write(other.with_file_name("go"), "").unwrap();
    play.rests("done");
    play.cmd(&["resume", &fork]).run().success();
    play.repo.wait_state(&fork, "done", SOON);
    assert_eq!(play.repo.git(&["show", "try/other:one.txt"]), "one");
    play.close();
}

#[test]
fn r01_a_session_is_removed_whole_and_comes_back_whole() {
    let play = done(Dialect::Chat, &[]);
    let worktree = play.worktree();
    let refused = play.run("remove", &[]);
    let wanted = format!(
        "error: the work of {id} has not landed\nhint: git agent worktree merge {id}\n\
         hint: git agent remove --force {id} keeps it in the session's ref alone\n",
        id = play.id
    );
    assert_eq!((refused.code, refused.stderr), (1, wanted));
    fs::write(worktree.join("later.txt"), "later\n").unwrap();
    fs::write(worktree.join(".env.tmp"), "secret\n").unwrap();
    let there = (moment(&play), play.updates(), play.status());
    let refs =
        || play.repo.git(&["for-each-ref", "--format=%(refname)", "refs/heads", "refs/agent"]);
    for _ in 0..2 {
        let out = play.run("remove", &["--force"]);
        assert_eq!(out.code, 0, "{out:#?}");
        assert_eq!(
            out.stdout,
            format!(
                "Removed {}  (worktree {}, branch agent/mend-the-shop)\n",
                play.id,
                worktree.display()
            )
        );
        assert!(!worktree.exists() && !play.folder().exists());
        assert_eq!(refs(), format!("refs/agent/{}\nrefs/heads/main", play.id));
        assert_eq!(
            play.repo.agent(&["list", "--json"]).success(),
            "{\"format\":1,\"sessions\":[]}\n"
        );
        let listed = play.repo.agent(&["list", "--removed", "--json"]).success();
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let shown = &listed["sessions"][0];
        assert_eq!(
            json!([shown["id"], shown["state"], shown["worktree"]]),
            json!([play.id, "done", null])
        );
        // Whatever is asked of it says what became of it.
        for verb in ["status", "fork", "remove", "resume"] {
            let out = play.run(verb, &[]);
            let wanted = format!(
                "error: session {id} was removed\nhint: git agent restore {id}\n",
                id = play.id
            );
            assert_eq!((out.code, out.stderr), (1, wanted), "{verb}");
        }
        play.run("restore", &[]).success();
        let mut now = (moment(&play), play.updates(), play.status());
        now.2["updated"] = there.2["updated"].clone();
        assert_eq!(now, there);
        assert_eq!(fs::read_to_string(worktree.join(".env.tmp")).unwrap(), "secret\n");
    }
    // The ref alone is enough, too.
    play.run("remove", &["--force"]).success();
    fs::remove_dir_all(play.repo.common_dir().join("agent/removed")).unwrap();
    play.run("restore", &[]).success();
    let mut now = (moment(&play), play.updates(), play.status());
    now.2["updated"] = there.2["updated"].clone();
    let without_ignored = |(mut files, status, tip): (BTreeMap<PathBuf, Node>, String, String)| {
        files.remove(std::path::Path::new(".env.tmp"));
        (files, status, tip)
    };
    assert_eq!(
        (without_ignored(now.0), now.1, now.2),
        (without_ignored(there.0), there.1, there.2)
    );
    play.close();
}

#[test]
fn what_has_landed_or_changed_nothing_is_removed_without_force() {
    let play = done(Dialect::Chat, &[]);
    play.run("fork", &["--at", "0"]).success();
    play.repo.agent(&["worktree", "merge", &play.id]).success();
    play.repo.agent(&["remove", "mend-the-shop-2", &play.id]).success();
    assert_eq!(play.repo.session_ids(), [""; 0]);
    assert_eq!(play.repo.git(&["branch", "--format=%(refname:short)"]), "main");
    let listed = play.repo.agent(&["list", "--removed"]).success();
    assert!(listed.contains("landed") && listed.contains("paused"), "{listed}");
    // By its name, which its id does not tell.
    play.repo.agent(&["restore", "mend-the-shop-2"]).success();
    assert_eq!(status_of(&play, "mend-the-shop-2")["state"], "paused");
    play.server.finish();
}

#[test]
fn k07_sizes_are_counted_per_session() {
    let play = done(Dialect::Chat, &[]);
    fs::write(play.worktree().join("build.tmp"), vec![1; 1 << 20]).unwrap();
    let listed = play.repo.agent(&["list", "--size", "--json"]).success();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let size = &listed["sessions"][0]["size"];
    let [worktree, state, logs, total] =
        ["worktree", "state", "logs", "total"].map(|part| size[part].as_u64().unwrap());
    assert_eq!(worktree + state + logs, total);
    assert!((1 << 20..2 << 20).contains(&worktree) && state > 0, "{size}");
    let table = play.repo.agent(&["list", "--size"]).success();
    assert!(table.lines().next().unwrap().contains("  SIZE  "), "{table}");
    assert!(!play.repo.agent(&["list", "--json"]).success().contains("\"size\""));
    play.close();
}
