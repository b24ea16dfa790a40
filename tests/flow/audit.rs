//! What is on record, and whether it is what was written.
//!
//! Invariant: what is tampered with here is tampered with by git alone.

use std::fs;

use serde_json::{Value, json};

use super::play::Play;
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Turn};

fn bash(command: &str) -> Turn {
    Turn::call("bash", json!({"command": command}))
}

fn script() -> Script {
    Script::new([bash("echo 1 > a.txt"), bash("echo 2 > b.txt; false"), Turn::text("Done.")])
}

fn played(args: &[&str]) -> Play {
    let play = Play::start(Dialect::Anthropic, script(), args);
    play.rests("done");
    play
}

impl Play {
    /// What `audit verify` says, and its exit code.
    fn verified(&self, more: &[&str]) -> (String, i32) {
        let out = self.repo.agent(&[&["audit", "verify", &self.id], more].concat());
        (out.stdout.trim_end().to_owned(), out.code)
    }

    /// The session's ref.
    fn record(&self) -> String {
        format!("refs/agent/{}", self.id)
    }

    /// Makes the whole chain of records anew, each with its tree and its code; the ref follows.
    fn rewrite(&self) {
        let chain = self.repo.git(&["rev-list", "--first-parent", "--reverse", &self.record()]);
        let mut before: Option<String> = None;
        for commit in chain.lines() {
            let show = |format: &str| {
                self.repo.git(&["show", "-s", &format!("--format={format}"), commit])
            };
            let parents = show("%P");
            let parents: Vec<_> = parents.split(' ').collect();
            // Behind the first record its code comes first in this list.
            if !self.is_record(commit) {
                continue;
            }
            let tree = show("%T");
            let code = *parents.last().unwrap();
            let mut args = vec!["commit-tree", &tree, "-m", "x"];
            if let Some(before) = &before {
                args.extend(["-p", before]);
            }
            args.extend(["-p", code]);
            before = Some(self.repo.git(&args));
        }
        self.repo.git(&["update-ref", &self.record(), &before.unwrap()]);
    }

    fn is_record(&self, commit: &str) -> bool {
        let show = ["cat-file", "-e", &format!("{commit}:spec.toml")];
        self.repo.home().cmd("git").args(&show).dir(self.repo.main()).run().code == 0
    }

    /// A tree like this one, with another content at a path.
    fn with(&self, tree: &str, path: &str, content: &str) -> String {
        let index = self.repo.home().root().join("index");
        let git = |args: &[&str], stdin: &str| {
            let cmd = self.repo.home().cmd("git").args(args).dir(self.repo.main());
            cmd.env("GIT_INDEX_FILE", &index).stdin(stdin).run().success().trim_end().to_owned()
        };
        let blob = git(&["hash-object", "-w", "--stdin"], content);
        git(&["read-tree", tree], "");
        git(&["update-index", "--add", "--cacheinfo", &format!("100644,{blob},{path}")], "");
        git(&["write-tree"], "")
    }
}

#[test]
fn what_was_done_is_listed_and_proven() {
    let play = played(&["--verify", "true"]);
    let out = play.repo.agent(&["audit", &play.id]).success();
    let whats: Vec<_> = out.lines().filter_map(|line| line.get(21..)).collect();
    assert!(whats.iter().any(|it| it.starts_with("task     Mend the shop")), "{out}");
    assert!(
        whats.iter().any(|it| it.starts_with("run      bash: echo 2 > b.txt; false · exit 1")),
        "{out}"
    );
    assert!(whats.iter().any(|it| it.starts_with("verify   true · exit 0")), "{out}");
    assert!(out.contains("3 steps, 2 commands, 2 files, 0 decisions"), "{out}");
    let one: Value = serde_json::from_str(&play.run("audit", &["--json"]).stdout).unwrap();
    assert_eq!(one["audit"]["files"], json!(["a.txt", "b.txt"]));
    let all: Value = serde_json::from_str(&play.repo.agent(&["audit", "--json"]).stdout).unwrap();
    assert_eq!(all["audit"][0]["asked"], "Mend the shop");
    let (said, code) = play.verified(&[]);
    assert!(said.starts_with(&format!("{}: proven, ", play.id)), "{said}");
    assert!(said.ends_with(", 2 commits, not signed") && code == 0, "{said}");
    let all = play.repo.agent(&["audit", "verify", "--all"]);
    assert_eq!((all.stdout.trim_end(), all.code), (said.as_str(), 0));
    play.close();
}

#[test]
fn a_rewound_and_a_forked_session_are_proven() {
    let play = played(&[]);
    play.run("rewind", &["1"]).success();
    assert_eq!(play.verified(&[]).1, 0, "{}", play.verified(&[]).0);
    play.repo.agent(&["fork", &play.id]).success();
    let out = play.repo.agent(&["audit", "verify", "--all"]);
    assert_eq!((out.stdout.lines().count(), out.code), (2, 0), "{}", out.stdout);
    play.close();
}

#[test]
fn the_first_thing_that_was_changed_is_named() {
    let play = played(&[]);
    let tip = play.repo.git(&["rev-parse", &play.record()]);
    let tree = play.repo.git(&["rev-parse", &format!("{tip}^{{tree}}")]);
    let part = "journal/0000/0000.jsonl";
    let first = play.repo.git(&["show", &format!("{tip}:{part}")]) + "\n";
    let cases = [
        (part, first.replace("Mend", "Bend"), "the journal before it is not kept as it was"),
        ("more", String::new(), "its tree holds more"),
        ("journal/0000/0099.jsonl", first.clone(), "of the journal is missing"),
    ];
    for (path, content, want) in cases {
        let tree = play.with(&tree, path, &content);
        let parents = play.repo.git(&["show", "-s", "--format=%P", &tip]);
        let parents: Vec<_> = parents.split(' ').flat_map(|parent| ["-p", parent]).collect();
        let commit = play.repo.git(&[&["commit-tree", &tree, "-m", "x"], &parents[..]].concat());
        play.repo.git(&["update-ref", &play.record(), &commit]);
        let (said, code) = play.verified(&[]);
        assert!(said.contains(&format!("not proven at {commit}: ")), "{said}");
        assert!(said.ends_with(want) && code == 1, "{said}");
    }
    play.repo.git(&["update-ref", &play.record(), &tip]);
    let journal = play.folder().join("journal.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, text.replacen("echo 1", "echo 9", 1)).unwrap();
    let (said, code) = play.verified(&[]);
    assert!(said.contains("of journal.jsonl is not as it was recorded") && code == 1, "{said}");
    fs::write(&journal, &text).unwrap();
    assert_eq!(play.verified(&[]).1, 0);
    play.close();
}

#[test]
fn a_chain_made_anew_shows_against_a_copy() {
    let play = played(&[]);
    play.repo.git(&["update-ref", "refs/copy", &play.record()]);
    assert_eq!(play.verified(&["--against", "refs/copy"]).1, 0);
    // Each record the same but for its hash.
    play.rewrite();
    assert_eq!(play.verified(&[]).1, 0, "{}", play.verified(&[]).0);
    let (said, code) = play.verified(&["--against", "refs/copy"]);
    assert!(said.contains("it does not go on from") && code == 1, "{said}");
    play.close();
}

#[test]
fn the_record_of_a_session_at_rest_is_signed_and_the_signature_judged() {
    let repo = Repo::new();
    let Some(key) = repo.home().ssh_key("key") else { return };
    let path = key.to_str().unwrap();
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let signers = repo.home().root().join("signers");
    fs::write(&signers, format!("* {public}")).unwrap();
    for (name, value) in [
        ("agent.audit.sign", "true"),
        ("gpg.format", "ssh"),
        ("user.signingKey", path),
        ("gpg.ssh.allowedSignersFile", signers.to_str().unwrap()),
    ] {
        repo.git(&["config", name, value]);
    }
    let play = Play::start_in(repo, Dialect::Anthropic, script(), &[]);
    play.rests("done");
    let (said, code) = play.verified(&[]);
    assert!(said.ends_with(", signed") && code == 0, "{said}");
    // Whoever makes the chain anew has no key.
    play.rewrite();
    let (said, code) = play.verified(&[]);
    assert!(said.ends_with("not proven: the last record is not signed") && code == 1, "{said}");
    fs::write(&signers, "").unwrap();
    play.close();
}
