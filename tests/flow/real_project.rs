//! A long session on a real project: the crate `strsim`, with its own tests as the check.
//!
//! Invariant: the project is the one that this program itself is built with, so it is on every
//! machine that can build the tests, and nothing is fetched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::journey::told;
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Server, Turn, prefix_stability};

const TASK: &str = "Add the longest common subsequence\n\nA function lcs_length for two strings.";
const CHECK: &str = "cargo test --offline --quiet";

/// The function as it is written first: it forgets to carry the best of what came before.
const FIRST: &str = "

/// Length of the longest common subsequence of two strings, in characters.
pub fn lcs_length(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row = vec![0usize; b.len() + 1];
    for x in a.chars() {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == *y { diagonal + 1 } else { above };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod lcs_tests {
    use super::*;
    // next test
}
";

/// What each of these tests expects.
const CASES: [(&str, &str, &str, usize); 10] = [
    ("equal", "abc", "abc", 3),
    ("both_empty", "", "", 0),
    ("one_empty", "abc", "", 0),
    ("nothing_shared", "abc", "xyz", 0),
    ("last_letter", "xc", "abc", 1),
    ("whole_in_longer", "abc", "xaxbxc", 3),
    ("unicode", "höhe", "höhle", 4),
    ("repeated", "aaa", "aa", 2),
    ("classic", "kitten", "sitting", 4),
    ("crossed", "abcbdab", "bdcaba", 4),
];

#[expect(clippy::disallowed_methods, reason = "cargo says where the sources are")]
fn sources() -> PathBuf {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "strsim").unwrap();
    Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

/// The crate as a repository of two commits.
fn project() -> Repo {
    let mut repo = Repo::new();
    // The sandbox as people have it.
    repo.git(&["config", "agent.sandbox.writable", ""]);
    let from = sources();
    repo.git(&["rm", "-rq", "."]);
    for file in ["Cargo.toml", "README.md", "LICENSE", "src/lib.rs", "tests/lib.rs"] {
        repo.write(file, &fs::read_to_string(from.join(file)).unwrap());
    }
    repo.write(".gitignore", "target/\nCargo.lock\n");
    repo.write("AGENTS.md", "Keep each function documented.\n");
    repo.commit("strsim as it is");
    repo.mark();
    repo
}

fn edit(old: &str, new: &str) -> Value {
    json!({ "file_path": "src/lib.rs", "old_string": old, "new_string": new })
}

fn bash(command: &str) -> Value {
    json!({ "command": command, "timeout_s": 300 })
}

/// Thirty answers: a look around, the function, ten tests one by one, a finish too early, the
/// cause found, the repair, and the words that go with it.
fn script() -> Script {
    let plan = |states: [&str; 3]| {
        let items = ["Write the function", "Test it", "Say it in the README"];
        let items = items.iter().zip(states);
        let items: Vec<_> =
            items.map(|(text, status)| json!({ "text": text, "status": status })).collect();
        json!({ "items": items })
    };
    let mut turns = vec![
        Turn::call("plan", plan(["doing", "pending", "pending"])).and_text("Look around"),
        Turn::call("read", json!({ "file_path": "Cargo.toml" }))
            .and_call("read", json!({ "file_path": "src/lib.rs", "limit": 60 })),
        Turn::call("search", json!({ "pattern": "pub fn ", "path": "src" })),
        Turn::call("bash", bash("tail -n 5 src/lib.rs && wc -l src/lib.rs tests/lib.rs")),
        Turn::call("bash", bash(&format!("cat >> src/lib.rs <<'END'{FIRST}END")))
            .and_text("Add lcs_length"),
        Turn::call("bash", bash("cargo check --offline --quiet")),
        Turn::call("plan", plan(["done", "doing", "pending"])),
    ];
    for (name, a, b, length) in CASES {
        let test = format!(
            "#[test]\n    fn {name}() {{\n        assert_eq!(lcs_length({a:?}, {b:?}), {length});\n    }}\n    // next test"
        );
        turns.push(
            Turn::call("edit", edit("// next test", &test))
                .and_text(&format!("Test the case {name}")),
        );
    }
    turns.extend([
        Turn::call("search", json!({ "pattern": "fn (classic|crossed)", "path": "src" })),
        Turn::call("finish", json!({ "summary": "lcs_length is there, with ten tests." })),
        Turn::call("bash", bash("cargo test --offline --quiet --lib lcs 2>&1 | tail -n 20")),
        Turn::call("search", json!({ "pattern": "diagonal", "path": "src/lib.rs" })),
        Turn::call("read", json!({ "file_path": "src/lib.rs", "offset": 560, "limit": 40 })),
        Turn::call("edit", edit("else { above };", "else { above.max(row[j]) };")).and_text(
            "Carry the best of the row\n\nA mismatch keeps the longer of both neighbours.",
        ),
        Turn::call("bash", bash(CHECK)),
        Turn::call("edit", edit("    // next test\n", "")).and_text("Drop the marker"),
        Turn::call("bash", bash("sed -n 1,20p README.md")),
        Turn::call(
            "bash",
            bash("printf '\\n`lcs_length` gives the longest common subsequence.\\n' >> README.md"),
        )
        .and_text("Say it in the README"),
        Turn::call("plan", plan(["done", "done", "done"])),
        Turn::call(
            "bash",
            bash("git status --short && cargo test --offline --quiet 2>&1 | tail -n 4"),
        ),
        Turn::call(
            "finish",
            json!({
                "summary": "lcs_length gives the length of the longest common subsequence.",
                "checks": CHECK,
            }),
        ),
    ]);
    assert_eq!(turns.len(), 30);
    Script::new(turns)
}

#[test]
fn thirty_steps_on_a_real_crate_fail_once_are_repaired_and_land() {
    let repo = project();
    let (server, dialect) = (Server::start(script()), Dialect::Anthropic);
    let real = |key: &str, beside: &str| {
        let home = std::env::var("HOME").unwrap_or_default();
        (key.to_owned(), std::env::var(key).unwrap_or_else(|_| format!("{home}/{beside}")))
    };
    let toolchain = [real("CARGO_HOME", ".cargo"), real("RUSTUP_HOME", ".rustup")];
    let mut start = repo
        .cmd(&["start", TASK, "--model", dialect.model(), "--verify", CHECK, "--wait"])
        .args(&["--commit-prefix", "feat(lcs):"])
        .envs(server.env(dialect))
        .limit(Duration::from_secs(300));
    for (key, value) in toolchain {
        start = start.env(&key, value);
    }
    let out = start.run();
    assert_eq!(out.code, 0, "{out:#?}");
    let status = told(&repo, "add-the-longest");
    assert_eq!(
        json!([status["state"], status["steps"], status["verify"]["status"], status["progress"]]),
        json!(["done", 30, "passed", { "done": 3, "total": 3 }]),
        "{status:#}"
    );
    assert!(prefix_stability(&server.bodies()) >= 0.99);
    assert_eq!(server.served(), (0..30).collect::<Vec<_>>());
    server.finish();

    if status["sandbox"] != "full" {
        eprintln!("SKIPPED: this machine has no full sandbox");
    }
    let id = status["id"].as_str().unwrap();
    let branch = format!("agent/{}", status["name"].as_str().unwrap());
    let subjects = repo.git(&["log", "--reverse", "--format=%s", &format!("main..{branch}")]);
    let subjects: Vec<_> = subjects.lines().collect();
    assert_eq!(subjects.len(), 14, "{subjects:#?}");
    assert_eq!(subjects[0], "feat(lcs): Add lcs_length");
    assert_eq!(subjects[11], "feat(lcs): Carry the best of the row");
    let log = repo.agent(&["log", id, "--json"]).success();
    let exits = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["update"]["verify"]["exit"].as_i64()
    };
    let exits: Vec<_> = log.lines().filter_map(exits).collect();
    assert_eq!(exits, [101, 0], "red once, then green");

    assert!(repo.git(&["worktree", "list"]).contains(&branch));
    assert!(repo.git(&["for-each-ref", "refs/agent"]).contains(&format!("refs/agent/{id}")));
    let notes = repo.git(&["log", "-1", "--notes=agent", "--format=%N", &branch]);
    assert!(notes.contains(&format!("Verify: {CHECK}\n")) && notes.contains("Verify-Exit: 0"));

    repo.agent(&["worktree", "merge", id]).success();
    assert_eq!(
        repo.git(&["log", "-1", "--format=%s"]),
        "feat(lcs): Add the longest common subsequence"
    );
    assert!(repo.main().join("src/lib.rs").exists());
    let landed = fs::read_to_string(repo.main().join("src/lib.rs")).unwrap();
    assert!(landed.contains("above.max(row[j])") && !landed.contains("next test"));
    assert_eq!(repo.git(&["status", "--porcelain"]), "");
    assert_eq!(repo.git(&["fsck", "--strict"]), "");
}
