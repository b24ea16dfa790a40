//! What a person looks at before it is committed: the gate, by whatever way the change came.

use std::fs;

use serde_json::{Value, json};

use super::play::Play;
use crate::support::server::{Dialect, Script, Turn};

fn bash(command: &str) -> Turn {
    Turn::call("bash", json!({"command": command}))
}

/// A session of one command, up to the question.
fn held(command: &str, args: &[&str]) -> Play {
    let script = Script::new([bash(command), Turn::text("Done.")]);
    let play = Play::start(Dialect::Anthropic, script, args);
    play.rests("needs-input");
    play
}

fn question(play: &Play) -> String {
    let asked: Value = play.told("question").pop().expect("it asks");
    asked["text"].as_str().expect("text").to_owned()
}

#[test]
fn x07_x15_what_is_protected_waits_for_a_yes_attended_or_not() {
    let command = "mkdir -p Keys && echo 1 > Keys/a.pem && echo 2 > free.txt";
    let play = held(command, &["--protect", "keys/", "--unattended"]);
    let text = "keep these changes? Keys/a.pem is protected by keys/; deny puts them back";
    assert_eq!(question(&play), text);
    assert_eq!(play.subjects(), [""; 0], "nothing is committed");
    // Who resumes it gets no further.
    assert_eq!(play.run("resume", &[]).code, 1);
    let denied = format!("Approved {}, which goes on\n", play.id);
    assert_eq!(play.run("approve", &[]).stderr, denied);
    play.rests("done");
    assert_eq!(
        (play.committed("Keys/a.pem"), play.committed("free.txt")),
        ("1".into(), "2".into())
    );
    assert_eq!(play.told("question").len(), 1, "asked once");
    play.close();
}

#[test]
fn what_is_denied_is_put_back_and_kept_and_the_rest_is_committed() {
    let command = "echo 1 > .envrc; echo 2 > free.txt; git rm -q --cached README.md; rm README.md";
    let play = held(command, &["--protect", "README.md"]);
    let text = "keep these changes? .envrc is run by direnv; README.md is protected by README.md; \
                deny puts them back";
    assert_eq!(question(&play), text);
    let out = play.run("deny", &["leave", "that"]);
    assert_eq!(out.stderr, format!("Denied {}, which puts them back and goes on\n", play.id));
    play.rests("done");
    let changed = play.repo.git(&["diff", "--name-status", "main", "agent/mend-the-shop"]);
    assert_eq!(changed, "A\tfree.txt");
    assert!(!play.worktree().join(".envrc").exists());
    assert_eq!(play.git(&["status", "--porcelain"]), "");
    let put_back = play.told("put_back").remove(0);
    assert_eq!(put_back["paths"], json!([".envrc", "README.md"]));
    let kept = put_back["kept"].as_str().expect("a commit");
    assert_eq!(play.repo.git(&["show", &format!("{kept}:.envrc")]), "1");
    let reached = play.repo.git(&["rev-list", &format!("refs/agent/{}", play.id)]);
    assert!(reached.lines().any(|commit| commit == kept), "the session's ref holds it");
    play.close();
}

#[test]
fn a_denial_that_is_killed_is_finished_by_resume() {
    let play = held("echo 1 > .envrc; echo 2 > free.txt", &[]);
    let deny = play.cmd(&["deny", &play.id]);
    deny.envs([("GIT_AGENT_FAIL_POINT", "put-back:1".to_owned())]).run().success();
    play.rests("interrupted");
    assert_eq!(play.told("put_back").len(), 0);
    play.run("resume", &[]);
    play.rests("done");
    assert_eq!(play.repo.git(&["diff", "--name-only", "main", "agent/mend-the-shop"]), "free.txt");
    assert_eq!(play.told("put_back").len(), 1);
    play.close();
}

#[test]
fn scope_and_number_of_files_hold_for_commands_too() {
    let command = "mkdir -p src/gen && for f in a b c; do echo 1 > src/$f; done; \
                   echo 1 > src/gen/x; echo 1 > top.txt";
    let play = held(command, &["--scope", "src/**", "--exclude", "src/gen/**", "--max-files", "9"]);
    let text = "keep these changes? src/gen/x is excluded by src/gen/**; top.txt is outside the \
                scope; deny puts them back";
    assert_eq!(question(&play), text);
    play.run("deny", &[]);
    play.rests("done");
    let changed = play.repo.git(&["diff", "--name-only", "main", "agent/mend-the-shop"]);
    assert_eq!(changed, "src/a\nsrc/b\nsrc/c");
    play.close();
    let play = held("for f in a b c; do echo 1 > $f; done", &["--max-files", "2"]);
    let text = "keep these changes? a is more than 2 files; b is more than 2 files; c is more than \
                2 files; deny puts them back";
    assert_eq!(question(&play), text);
    play.run("approve", &[]);
    play.rests("done");
    play.close();
}

#[test]
fn a_stop_leaves_what_waits_uncommitted_and_in_place() {
    let play = held("echo 1 > .envrc", &[]);
    play.run("stop", &[]);
    play.rests("stopped");
    assert_eq!(play.subjects(), [""; 0]);
    assert_eq!(fs::read_to_string(play.worktree().join(".envrc")).unwrap(), "1\n");
    play.close();
}

#[test]
fn x14_x15_a_rule_asks_and_always_is_a_rule_of_the_repository() {
    let repo = crate::support::repo::Repo::new();
    repo.git(&["config", "agent.permission", "ask bash(echo*)"]);
    repo.git(&["config", "--add", "agent.permission", "deny bash(touch*)"]);
    let calls = [bash("touch no"), bash("echo 1 > one.txt"), bash("echo 1 > one.txt")];
    let script = Script::new(calls.into_iter().chain([Turn::text("Done.")]));
    let play = Play::start_in(repo, Dialect::Anthropic, script, &["--unattended"]);
    play.rests("needs-input");
    assert_eq!(question(&play), "may it run echo 1 > one.txt? (ask bash(echo*))");
    assert!(play.line().contains("may it run echo 1"), "{}", play.line());
    let out = play.run("approve", &["--always"]);
    let wanted = format!(
        "Added to the repository's settings: agent.permission = allow bash(echo 1 > one.txt)\n\
         hint: git config --edit takes it back\nApproved {}, which goes on\n",
        play.id
    );
    assert_eq!(out.stderr, wanted);
    play.rests("done");
    assert_eq!(play.told("question").len(), 1);
    assert_eq!(play.committed("one.txt"), "1");
    assert!(!play.worktree().join("no").exists(), "a rule forbids it");
    let rules = play.repo.git(&["config", "--local", "--get-all", "agent.permission"]);
    assert_eq!(rules.lines().last(), Some("allow bash(echo 1 > one.txt)"));
    play.close();
}

#[test]
fn x07_a_tool_is_asked_about_what_a_link_leads_to() {
    let write = json!({"file_path": "alias/x", "content": "1"});
    let turns = [bash("mkdir -p keys && ln -s keys alias"), Turn::call("write", write)];
    let script = Script::new(turns.into_iter().chain([Turn::text("Done.")]));
    let play = Play::start(Dialect::Anthropic, script, &["--protect", "Keys"]);
    play.rests("needs-input");
    assert_eq!(question(&play), "may it write keys/x? (it is protected by Keys)");
    play.run("approve", &[]);
    play.rests("done");
    assert_eq!((play.committed("keys/x"), play.told("question").len()), ("1".to_owned(), 1));
    play.close();
}

#[test]
fn a_rule_that_makes_no_sense_pauses_what_runs() {
    let play = held("echo 1 > .envrc", &[]);
    play.repo.git(&["config", "agent.permission", "deny shell"]);
    play.run("approve", &[]);
    let status = play.rests("paused");
    let reason = status["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("bad rule 'deny shell': there is no tool shell"), "{status:#}");
    play.repo.git(&["config", "--unset", "agent.permission"]);
    play.run("resume", &[]);
    play.rests("done");
    play.close();
}
