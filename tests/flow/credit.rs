//! Who wrote each line, after all that git does with commits.
//!
//! Invariant: what `blame` says is compared, line by line, with what the script and the person
//! wrote; git alone moves the commits.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::play::{Play, until};
use super::time::bash;
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Turn};

/// The file once all is done, and who made each line: a step of the session, the person who edited
/// in the session (`Ada*`), or whoever was there before (`Ada`).
const DONE: [(&str, &str); 15] = [
    ("// begin", "1"),
    ("fn first() {", "Ada"),
    ("    one();", "Ada"),
    ("}", "Ada"),
    ("", "Ada"),
    ("fn added() {", "1"),
    ("    let mine = 1;", "Ada*"),
    ("    two();", "3"),
    ("}", "1"),
    ("", "1"),
    ("fn last() {}", "Ada"),
    ("// a", "Ada"),
    ("// b", "Ada"),
    ("// c", "Ada"),
    ("// end", "3"),
];

const BASE: &str = "fn first() {\n    one();\n}\n\nfn last() {}\n// a\n// b\n// c\n";
const ONE: &str = "// begin\nfn first() {\n    one();\n}\n\nfn added() {\n    1();\n}\n\n\
                   fn last() {}\n// a\n// b\n// c\n";

/// Enough for git to know a file again that was moved and changed.
const FILLER: &str = "// filler, filler, filler, filler\n// filler, filler, filler, filler, and more\n\
                      // and still more filler, filler, filler\n";

fn done(filler: &str) -> String {
    let done: String = DONE.iter().map(|(line, _)| format!("{line}\n")).collect();
    done.replace("// end", &format!("{filler}// end"))
}

fn makers(filler: &str) -> Vec<String> {
    let mut makers: Vec<_> = DONE.iter().map(|(line, who)| format!("{who}: {line}")).collect();
    makers.splice(14..14, filler.lines().map(|line| format!("Ada: {line}")));
    makers
}

/// A session of three steps: the first one changes a file, then a person does, and the third one
/// moves it and changes it again, on other words.
fn played(repo: Repo, args: &[&str], filler: &str) -> Play {
    let [base, one] = [BASE, ONE].map(|text| text.to_owned() + filler);
    repo.write("src/list.rs", &base);
    repo.commit("Add a list");
    let edited = one.replace("    1();\n", "    let mine = 1;\n    1();\n");
    let put = |text: &str| format!("cat >src/list.rs <<'END'\n{text}END\n");
    let wait = "cd ..; touch begun; while [ ! -e go ]; do sleep 0.02; done";
    let script = Script::new([
        bash(&put(&one)),
        bash(wait),
        bash(&format!("{}mv src/list.rs src/store.rs", put(&done(filler)))),
        Turn::text("Done."),
    ]);
    let play = Play::start_in(repo, Dialect::Anthropic, script, args);
    until("it runs", || play.worktree().with_file_name("begun").exists());
    play.run("pause", &[]).success();
    fs::write(play.worktree().with_file_name("go"), "").unwrap();
    play.rests("paused");
    fs::write(play.worktree().join("src/list.rs"), edited).unwrap();
    play.run("say", &["Sort the list"]).success();
    play.run("resume", &[]).success();
    play.rests("done");
    play
}

fn blame(repo: &Repo, dir: &Path, args: &[&str]) -> Value {
    let said = repo.cmd(&[&["blame", "--json"], args].concat()).dir(dir).run();
    let said: Value = serde_json::from_str(&said.success()).expect("it is JSON");
    said["blame"].clone()
}

/// Who made each line, as [`DONE`] has it.
fn whose(blame: &Value) -> Vec<String> {
    let lines = blame["lines"].as_array().expect("a list").iter();
    lines
        .map(|line| {
            let number = line["origin"].as_u64().expect("a number");
            let origin = &blame["origins"][usize::try_from(number).expect("a small one")];
            let who = match origin["by"].as_str() {
                Some("agent") => origin["step"].to_string(),
                Some("person") if origin["session"].is_null() => origin["name"].to_string(),
                Some("person") => format!("{}*", origin["name"]),
                _ => "nobody".to_owned(),
            };
            format!("{}: {}", who.replace('"', ""), line["text"].as_str().expect("text"))
        })
        .collect()
}

/// git by the clock of now: what comes after a session is later than it.
fn git(repo: &Repo, args: &[&str]) {
    repo.home().cmd("git").dir(repo.main()).args(args).run().success();
}

#[test]
fn n01_lines_keep_their_makers_through_squash_amend_rebase_and_cherry_pick() {
    let play = played(Repo::new(), &[], FILLER);
    let repo = &play.repo;
    let at = |revision: &str| whose(&blame(repo, repo.main(), &["src/store.rs", revision]));
    repo.git(&["branch", "base", "main"]);
    play.run("merge", &[]).success();
    assert_eq!(at("main"), makers(FILLER), "squash");
    // From a subfolder, of the file as it lies there; and the words, whole.
    let here = blame(repo, &repo.main().join("src"), &["store.rs"]);
    assert_eq!(whose(&here), makers(FILLER));
    let origins = here["origins"].as_array().unwrap();
    let words = |step: u64| origins.iter().find(|it| it["step"] == step).unwrap()["words"].clone();
    assert_eq!((words(1), words(3)), (json!("Mend the shop"), json!("Sort the list")));
    let agent = origins.iter().find(|it| it["step"] == 3).unwrap();
    let told = json!([agent["agent"], agent["model"], agent["session"]]);
    assert_eq!(told, json!(["builtin", Dialect::Anthropic.model(), play.id]));
    assert_eq!(agent["commit"].as_str(), Some(&*repo.git(&["rev-parse", "agent/mend-the-shop"])));

    // What others do meanwhile moves the lines, and is not the agent's.
    git(repo, &["checkout", "-qb", "side", "base"]);
    repo.write("src/list.rs", &(BASE.to_owned() + FILLER).replace("// b", "// theirs\n// b"));
    repo.commit("Meanwhile");
    let mut moved = makers(FILLER);
    moved.insert(12, "Ada: // theirs".to_owned());
    git(repo, &["checkout", "-qb", "picked", "side"]);
    git(repo, &["cherry-pick", "main"]);
    assert_eq!(at("picked"), moved, "cherry-pick");
    // Nothing is left that says where it comes from, but what it changes.
    git(repo, &["checkout", "-qb", "plain"]);
    git(repo, &["commit", "-q", "--amend", "-m", "Plain words"]);
    assert_eq!(at("plain"), moved, "cherry-pick without trailers");
    git(repo, &["checkout", "-qb", "forge", "side"]);
    git(repo, &["merge", "-q", "--squash", "agent/mend-the-shop"]);
    git(repo, &["commit", "-qm", "Forge (#1)"]);
    assert_eq!(at("forge"), moved, "squash on a forge");
    // The steps themselves, and made again; what the person edited is a commit of their own there.
    let own = |lines: &[String]| -> Vec<_> { lines.iter().map(|it| it.replace('*', "")).collect() };
    assert_eq!(at("agent/mend-the-shop"), own(&makers(FILLER)), "the session's own branch");
    git(repo, &["checkout", "-qb", "rebased", "agent/mend-the-shop"]);
    git(repo, &["rebase", "-q", "--onto", "side", "base", "rebased"]);
    assert_eq!(at("rebased"), own(&moved), "rebase");
    git(repo, &["checkout", "-qb", "merged", "side"]);
    git(repo, &["merge", "-q", "--no-edit", "agent/mend-the-shop"]);
    assert_eq!(at("merged"), own(&moved), "merge");

    // What a person adds to the agent's commit is theirs: without the hook the trailers tell, with
    // it the note, which came along.
    let amended = |name: &str, message: &[&str]| {
        git(repo, &["checkout", "-qb", name, "main"]);
        repo.write(
            "src/store.rs",
            &format!("{}// amended\n", done(FILLER).replace("two();", "2();")),
        );
        git(repo, &[&["commit", "-qa", "--amend"], message].concat());
        let mut wanted = makers(FILLER);
        wanted[7] = "Ada:     2();".to_owned();
        wanted.push("Ada: // amended".to_owned());
        assert_eq!(at(name), wanted, "{name}");
    };
    amended("unhooked", &["--no-edit"]);
    repo.agent(&["hooks", "install"]).success();
    amended("hooked", &["-m", "Plain words"]);
    let squash = "sed -i.bak -e '2,9s/^pick/fixup/'";
    git(repo, &["checkout", "-q", "rebased"]);
    let fixup = repo.home().cmd("git").dir(repo.main()).env("GIT_SEQUENCE_EDITOR", squash);
    fixup.args(&["rebase", "-q", "-i", "side"]).run().success();
    assert_eq!(repo.git(&["rev-list", "--count", "side..rebased"]), "1");
    git(repo, &["commit", "-q", "--amend", "-m", "Plain words"]);
    assert_eq!(at("rebased"), moved, "steps made one");
    git(repo, &["checkout", "-q", "main"]);
    play.close();
}

#[test]
fn other_tools_are_told_and_read_and_lines_are_counted() {
    // No step has a commit of its own, and so much was changed that to git the moved file is new:
    // whose each line is, is known all the same.
    let play = played(Repo::new(), &["--commit-strategy", "single"], "");
    let repo = &play.repo;
    play.run("merge", &[]).success();
    let blamed = |revision: &str| whose(&blame(repo, repo.main(), &["src/store.rs", revision]));
    assert_eq!(blamed("main"), makers(""));
    let range = "main~1..main";
    let out = repo.agent(&["blame", "--export", "agent-trace", range]).success();
    let record: Value = serde_json::from_str(&out).expect("one line of JSON");
    assert_eq!(record["vcs"]["revision"].as_str(), Some(&*repo.git(&["rev-parse", "main"])));
    let file = &record["files"][0];
    assert_eq!(file["path"], "src/store.rs");
    let conversations = file["conversations"].as_array().expect("a list").iter();
    let ranges = |conversation: &Value| {
        let ranges = conversation["ranges"].as_array().expect("a list").iter();
        let ranges = ranges.map(|it| json!([it["start_line"], it["end_line"]]));
        json!([conversation["contributor"]["type"], ranges.collect::<Vec<_>>()])
    };
    let told: Vec<_> = conversations.map(ranges).collect();
    let ai = json!(["ai", [[1, 1], [6, 6], [8, 10], [15, 15]]]);
    assert_eq!(told, [ai, json!(["human", [[2, 5], [7, 7], [11, 14]]])]);

    let out = repo.agent(&["blame", "--export", "git-ai", range]).success();
    assert_eq!(out, "Noted 1 commit in refs/notes/ai\n");
    let again = repo.agent(&["blame", "--export", "git-ai", range]).success();
    assert_eq!(again, "Noted 0 commits in refs/notes/ai\n");
    let note = repo.git(&["notes", "--ref=ai", "show", "main"]);
    assert!(note.starts_with("src/store.rs\n  "), "{note}");
    assert!(note.contains(" 1,6,8-10,15\n---\n") && note.contains("Sort the list"), "{note}");
    // What git-ai has noted of a commit of its own.
    repo.write("other.txt", "theirs\nmine\n");
    repo.commit("Add another");
    let note = r#"other.txt
  abcd1234abcd1234 1
---
{"schema_version":"authorship/3.0.0","base_commit_sha":"x","prompts":{"abcd1234abcd1234":
{"agent_id":{"tool":"cursor","id":"c-1","model":"gpt"},"messages":[]}}}"#;
    repo.git(&["notes", "--ref=ai", "add", "-m", note, "main"]);
    let other = blame(repo, repo.main(), &["other.txt"]);
    let who = |at: usize| json!([other["origins"][at]["by"], other["origins"][at]["agent"]]);
    assert_eq!([who(0), who(1)], [json!(["agent", "cursor"]), json!(["person", null])]);

    repo.write("src/store.rs", &done("").replace("    two();\n", ""));
    repo.commit("Take a line away");
    let out = repo.agent(&["stats", "--json", "--by", "agent"]).success();
    let stats: Value = serde_json::from_str(&out).expect("it is JSON");
    let row = |row: &Value| {
        let keys = ["name", "sessions", "landed", "lines", "there"];
        Value::from_iter(keys.map(|key| row[key].clone()))
    };
    let rows = stats["stats"]["rows"].as_array().expect("a list").iter().map(row);
    let wanted = [json!(["builtin", 1, 1, 6, 5]), json!(["cursor", 1, 1, 1, 1])];
    assert_eq!(rows.collect::<Vec<_>>(), wanted);
    let plot = repo.agent(&["stats", "--plot", "--by", "agent"]).success();
    assert!(plot.is_ascii() && plot.contains("6 (83 %)"), "{plot}");
    let none = repo.agent(&["stats", "--json", "--since", "2099-01-01"]).success();
    let none: Value = serde_json::from_str(&none).expect("it is JSON");
    assert_eq!(none["stats"]["rows"], json!([]));
    play.close();
}
