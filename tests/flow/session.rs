//! One long session over a small project: everything that a step can do to files.
//!
//! Invariant: the same script leaves the same commits in every dialect.

use std::fs;

use serde_json::{Value, json};

use super::play::{Play, in_each_dialect};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Tokens, Turn, prefix_stability};

const VERIFY: &str = "grep -qx deux src/words.txt && test -x new.sh";

/// What the commits are called, in order: each step that changed something made one.
const SUBJECTS: [&str; 20] = [
    "Translate the second word",
    "Add a script",
    "write new.sh",
    "chmod +x new.sh",
    "ln -s README.md link && ln -s docs guide",
    "rm docs/guide.md",
    "git mv src/lib.txt src/words.txt",
    "Names beyond ASCII",
    "write junk.tmp (+1 more)",
    "head -c 5000 /dev/zero > big.bin; echo small > small.bin",
    "Twice the same size at once",
    "printf 'BBBB\\n' > same.txt",
    "A file becomes a folder",
    "printf 'a\\r\\nb\\r\\n' > crlf.txt",
    "edit crlf.txt",
    "Deep down",
    "git commit as a person would",
    "Break it",
    "Mend what the check found",
    "Say it in the README",
];

/// What is in the last tree: modes and paths.
const FILES: &str = "100644 .gitignore\n100644 AGENTS.md\n100644 README.md\n100644 a/b/c/deep.txt\n\
    100644 by-hand.txt\n100644 crlf.txt\n120000 guide\n100644 kept.txt\n120000 link\n\
    100755 new.sh\n100755 run.sh\n100644 same.txt\n100644 small.bin\n100644 src/words.txt\n\
    100644 thing/inside.txt\n100644 wörter 文件 🦀.txt";

fn bash(command: &str) -> Turn {
    Turn::call("bash", json!({"command": command}))
}

fn write(path: &str, content: &str) -> Turn {
    Turn::call("write", json!({"file_path": path, "content": content}))
}

fn edit(path: &str, old: &str, new: &str) -> Turn {
    Turn::call("edit", json!({"file_path": path, "old_string": old, "new_string": new}))
}

fn plan(done: usize) -> Turn {
    let status = |at: usize| match at.cmp(&done) {
        std::cmp::Ordering::Less => "done",
        std::cmp::Ordering::Equal => "doing",
        std::cmp::Ordering::Greater => "pending",
    };
    let items = ["look", "change", "check"].into_iter().enumerate();
    let items: Vec<Value> =
        items.map(|(at, text)| json!({"text": text, "status": status(at)})).collect();
    Turn::empty().and_thinking("How far?").and_call("plan", json!({"items": items}))
}

fn script() -> Script {
    Script::new(
        [
            plan(0),
            Turn::text("I look around.")
                .and_call("read", json!({"file_path": "src/lib.txt"}))
                .and_call("read", json!({"file_path": "README.md"}))
                .and_call("search", json!({"pattern": "tw."}))
                .and_call("search", json!({"pattern": "*.md", "mode": "names"})),
            Turn::empty().and_thinking("").and_text("Translate the second word.").and_call(
                "edit",
                json!({"file_path": "src/lib.txt", "old_string": "two", "new_string": "deux"}),
            ),
            // Nothing changes, so nothing is committed.
            bash("cat src/lib.txt; git status --short"),
            write("new.sh", "#!/bin/sh\n").and_text("Add a script\n\nIt does nothing yet."),
            write("new.sh", "#!/bin/sh\necho new\n"),
            bash("chmod +x new.sh"),
            bash("ln -s README.md link && ln -s docs guide"),
            bash("rm docs/guide.md"),
            bash("git mv src/lib.txt src/words.txt"),
            plan(1),
            write("wörter 文件 🦀.txt", "grüße\n").and_text("Names beyond ASCII."),
            write("junk.tmp", "ignored\n")
                .and_call("write", json!({"file_path": "kept.txt", "content": "kept\n"})),
            bash("head -c 5000 /dev/zero > big.bin; echo small > small.bin"),
            bash("printf 'AAAA\\n' > same.txt").and_text("Twice the same size at once"),
            bash("printf 'BBBB\\n' > same.txt"),
            edit("src/words.txt", "no such words", "x"),
            bash("false"),
            bash("echo x > thing; rm thing; mkdir thing; echo in > thing/inside.txt; mkdir empty")
                .and_text("A file becomes a folder"),
            bash("printf 'a\\r\\nb\\r\\n' > crlf.txt"),
            edit("crlf.txt", "a\nb", "c\nd"),
            write("a/b/c/deep.txt", "deep\n").and_text("Deep down."),
            bash("echo hand > by-hand.txt; cat README.md AGENTS.md > /dev/null")
                .and_text("git commit as a person would"),
            bash("sed -i.orig s/deux/zwei/ src/words.txt; rm src/words.txt.orig")
                .and_text("Break it"),
            Turn::call("finish", json!({"summary": "All done."})),
            edit("src/words.txt", "zwei", "deux").and_text("Mend what the check found."),
            bash(VERIFY),
            plan(3),
            write("README.md", "# Shop\n\nIn two languages.\n").and_text("Say it in the README."),
            Turn::call("finish", json!({"summary": "Translated a word.", "checks": "They pass."})),
        ]
        .map(|turn| turn.tokens(Tokens { input: 1000, cached: 900, cache_write: 50, output: 20 })),
    )
}

fn project() -> Repo {
    let mut repo = Repo::new();
    repo.write("AGENTS.md", "Say please in every file.\n");
    repo.commit("Say how to work here");
    repo.git(&["config", "agent.maxFileSize", "4k"]);
    // What is neither ours nor the session's stays as it is.
    repo.write("mine.txt", "a draft\n");
    repo.write("README.md", "# Shop, being edited\n");
    repo.git(&["add", "mine.txt"]);
    repo.mark();
    repo
}

#[test]
fn one_script_leaves_the_same_commits_in_every_dialect() {
    let histories = in_each_dialect(|dialect| {
        let play = Play::start_in(project(), dialect, script(), &["--verify", VERIFY]);
        let status = play.rests("done");
        assert_eq!(play.subjects(), SUBJECTS);
        let list = ["ls-tree", "-r", "--format=%(objectmode) %(path)", "HEAD"];
        assert_eq!(play.git(&[&["-c", "core.quotePath=false"], &list[..]].concat()), FILES);
        assert_eq!(play.committed("crlf.txt"), "c\r\nd\r");
        looks_right(&play, &status);
        commits_say_whose_they_are(&play);
        notes_can_be_read(&play);
        the_ref_holds_the_session(&play);
        requests_are_stable(&play);
        // At rest git sees in the worktree what is true: only what was left out.
        assert_eq!(play.git(&["status", "--porcelain"]), "?? big.bin");
        assert_eq!(fs::read_to_string(play.worktree().join("junk.tmp")).unwrap(), "ignored\n");
        let range = "main..agent/mend-the-shop";
        let history = play.repo.git(&["log", "--format=%T %an %ae %cn%n%s%n%b", range]);
        let history = history.replace(&play.id, "[id]").replace(dialect.model(), "[model]");
        play.close();
        history
    });
    assert_eq!(histories[0], histories[1]);
    assert_eq!(histories[0], histories[2]);
}

/// `status --json` and `list --json` say the same, and what is true.
fn looks_right(play: &Play, status: &Value) {
    let head = play.repo.git(&["rev-parse", "agent/mend-the-shop"]);
    let base = play.repo.git(&["rev-parse", "main"]);
    let tree = play.repo.git(&["rev-parse", "agent/mend-the-shop^{tree}"]);
    let stat = play.repo.git(&["diff", "--shortstat", "main", "agent/mend-the-shop"]);
    let stat: Vec<u64> = stat.split(' ').filter_map(|word| word.parse().ok()).collect();
    let worktree = play.worktree();
    let mut wanted = json!({
        "id": play.id, "name": "mend-the-shop", "task": "Mend the shop", "state": "done",
        "branch": "agent/mend-the-shop", "worktree": worktree.to_str().unwrap(),
        "base": base, "head": head, "steps": 30, "progress": {"done": 3, "total": 3},
        "files": stat[0], "insertions": stat[1], "deletions": stat[2],
        "verify": {"status": "passed", "command": VERIFY, "exit": 0, "tree": tree},
        "usage": {"input": 30_000, "cached": 27_000, "output": 600, "cost_usd": null},
        "sandbox": status["sandbox"], "created": status["created"], "updated": status["updated"],
        "reason": null, "question": null, "waiting": null, "queue": null,
        "question_kind": null, "worked_s": status["worked_s"],
        "limits": {
            "budget_usd": 5.0, "shared_budget": null, "tokens": null, "steps": 200,
            "timeout_s": 7200
        },
    });
    let list = play.repo.agent(&["list", "--json"]).success();
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list, json!({"format": 1, "sessions": [wanted]}));
    wanted["format"] = 1.into();
    wanted["plan"] = json!([
        {"text": "look", "status": "done"},
        {"text": "change", "status": "done"},
        {"text": "check", "status": "done"},
    ]);
    let range = "main..agent/mend-the-shop";
    let log = play.repo.git(&["log", "--reverse", "--format=%H%x09%s%x09%cI", range]);
    let commits = log.lines().map(|line| {
        let parts: Vec<_> = line.split('\t').collect();
        let time = parts[2].replace("+00:00", "Z");
        json!({"id": parts[0], "subject": parts[1], "time": time})
    });
    wanted["commits"] = commits.collect();
    assert_eq!(*status, wanted);
    let card = play.repo.agent(&["status", &play.id]).success();
    assert!(card.contains("big.bin"), "what was left out is told: {card}");
}

fn commits_say_whose_they_are(play: &Play) {
    let range = "main..agent/mend-the-shop";
    let format = "--format=%an <%ae> %cn%x09%(trailers:only,unfold,separator=%x7c)";
    let log = play.repo.git(&["log", format, range]);
    let model = play.dialect.model();
    let wanted = format!(
        "Ada <ada@example.org> Ada\tAgent-Session: {}|Assisted-by: git-agent:{model}",
        play.id
    );
    assert_eq!(log.lines().collect::<Vec<_>>(), vec![wanted; SUBJECTS.len()]);
    let body = play.repo.git(&["log", "--format=%b", "--grep=Add a script", range]);
    assert!(body.starts_with("It does nothing yet.\n\nAgent-Session: "), "{body}");
}

fn notes_can_be_read(play: &Play) {
    let range = "main..agent/mend-the-shop";
    let notes = play.repo.git(&["log", "--notes=agent", "--format=%N%x00", range]);
    let notes: Vec<&str> =
        notes.split('\0').map(str::trim).filter(|note| !note.is_empty()).collect();
    assert_eq!(notes.len(), SUBJECTS.len());
    let tree = play.repo.git(&["rev-parse", "agent/mend-the-shop^{tree}"]);
    let last = format!(
        "Step 29 of {id}\n\nAgent-Session: {id}\nAgent: builtin\nModel: {}\nStep: 29\n\
         Tokens: 3000 in (2700 cached), 60 out\nCost: ?\nVerify: {VERIFY}\nVerify-Exit: 0\n\
         Verify-Tree: {tree}",
        play.dialect.model(),
        id = play.id,
    );
    assert_eq!(notes[0], last);
    let parsed = play.repo.home().cmd("git").args(&["interpret-trailers", "--parse"]);
    let parsed = parsed.stdin(notes[0]).run().success();
    assert_eq!(parsed.lines().count(), 9, "{parsed}");
    assert!(!notes[1].contains("Verify"), "verify ran on the last commit alone: {}", notes[1]);
}

/// Whoever holds `refs/agent/<id>` holds everything.
fn the_ref_holds_the_session(play: &Play) {
    let name = format!("refs/agent/{}", play.id);
    assert_eq!(play.repo.git(&["for-each-ref", "--format=%(refname)", "refs/agent"]), name);
    let tree = play.repo.git(&["ls-tree", "--name-only", &name]);
    assert_eq!(tree, "journal\nspec.toml\nstate.toml");
    let parts = play.repo.git(&["ls-tree", "-r", "--name-only", &name, "journal/"]);
    let parts: Vec<String> = parts.lines().map(|path| format!("{name}:{path}")).collect();
    let journal: String =
        parts.iter().map(|part| play.repo.git(&["cat-file", "blob", part]) + "\n").collect();
    assert_eq!(journal, fs::read_to_string(play.folder().join("journal.jsonl")).unwrap());
    let state = play.repo.git(&["cat-file", "blob", &format!("{name}:state.toml")]) + "\n";
    assert_eq!(state, fs::read_to_string(play.folder().join("state.toml")).unwrap());
    let code = play.repo.git(&["rev-parse", &format!("{name}^2")]);
    assert_eq!(code, play.repo.git(&["rev-parse", "agent/mend-the-shop"]));
}

fn requests_are_stable(play: &Play) {
    assert_eq!(play.server.served(), (0..30).collect::<Vec<_>>(), "each turn is asked for once");
    let bodies = play.server.bodies();
    let turns: Vec<Vec<u8>> = bodies.into_iter().filter(|body| !body.is_empty()).collect();
    let stability = prefix_stability(&turns);
    assert!(stability >= 0.99, "{stability}");
    let first = String::from_utf8_lossy(&turns[0]).into_owned();
    assert!(first.contains("Say please in every file."), "AGENTS.md is in the prompt");
    assert!(
        !turns
            .iter()
            .any(|body| { String::from_utf8_lossy(body).contains(Dialect::Anthropic.key()) })
    );
}
