//! Conflicts with a target that has moved, given back to the session.
//!
//! Invariant: nothing is pushed until what the session made of them merges.

use serde_json::{Value, json};

use super::Bench;
use crate::commands::{ran, transcript};
use crate::support::cmd::Out;
use crate::support::forge::Kind;

const TOLD: &str = "Told add-one-[id] of 1 file that conflict; it goes on\n";
const CONFLICT: &str = "error: origin/main and add-one-[id] conflict in src/lib.txt:2\n\
                        hint: git agent pr add-one-[id] --resolve gives them back to the session\n";

/// A session that changed the line that main at the remote has changed since; then it does this.
fn torn(then: &[Value]) -> Bench {
    let bench = Bench::new(Kind::GitHub);
    let bash = json!(["bash", {"command": "sed -i s/two/zwei/ src/lib.txt"}]);
    let answers = [&[bash, json!("All is done.")], then].concat();
    let model = transcript(&bench.repo, "Add one", &answers);
    ran(&bench.repo, "Add one", &model, &["--verify", "true"]);
    bench.repo.write("src/lib.txt", "one\ndeux\nthree\n");
    bench.repo.commit("In French");
    bench.repo.git(&["push", "-q", "origin", "main"]);
    bench
}

#[test]
fn l03_what_the_session_makes_of_both_sides_is_pushed() {
    let both = "printf 'one\\nzwei, deux\\nthree\\n' >src/lib.txt";
    let bench = torn(&[json!(["bash", {"command": both}]), json!("Both are in.")]);
    bench.refused(bench.cmd(&["pr", "add-one"]), 1, CONFLICT);
    let out = bench.said(bench.cmd(&["pr", "add-one", "--resolve"]));
    let stdout = format!(
        "Opened {}  (agent-pr/add-one-[id] into main, squash of 2 commits, 1 file +1 -1)\n",
        bench.page()
    );
    assert_eq!(out, Out { stdout, stderr: TOLD.to_owned(), code: 0 });
    let branch = bench.forge.world().pulls[0].branch.clone();
    let file = bench.there(&["show", &format!("{branch}:src/lib.txt")]);
    assert_eq!(file, "one\nzwei, deux\nthree");
    let log = bench.there(&["log", "--format=%s", &branch]);
    assert_eq!(log, "Add one\nIn French\nAdd the library\nBegin");
    let journal = bench.repo.agent(&["log", "add-one", "--json"]).success();
    let words = "origin/main has:\\n    deux\\nyours has, from line 2:\\n    zwei\\n";
    assert!(journal.contains(words), "{journal}");
}

#[test]
fn it_is_told_twice_at_most() {
    let nothing = json!("I see nothing to do.");
    let bench = torn(&[nothing.clone(), nothing.clone(), nothing]);
    let said = format!("{TOLD}{TOLD}{CONFLICT}");
    bench.refused(bench.cmd(&["pr", "add-one", "--resolve"]), 1, &said);
    assert_eq!(bench.forge.world().pulls, []);
}
