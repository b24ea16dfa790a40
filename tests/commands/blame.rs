//! `blame` and `stats`: what they print, and what they refuse.

use std::fs;

use serde_json::{Value, json};

use super::{quick, ran, refused, refused_cmd, said, transcript};
use crate::support::cmd::Out;
use crate::support::repo::Repo;

#[test]
fn what_cannot_be_blamed_is_refused_in_gits_words() {
    let repo = Repo::new();
    repo.write("data.bin", "a\0b\n");
    repo.write("empty", "");
    repo.commit("Add data");
    let no_such = "hint: git ls-files\n";
    refused(&repo, &["blame", "x"], 2, &format!("error: no such path 'x' in HEAD\n{no_such}"));
    let hint = "hint: git ls-tree -r --name-only main~1\n";
    let told = format!("error: no such path empty in main~1\n{hint}");
    refused(&repo, &["blame", "empty", "main~1"], 2, &told);
    let told = format!("error: file README.md has only 1 line\n{no_such}");
    refused(&repo, &["blame", "-L5,9", "README.md"], 2, &told);
    let told = "error: data.bin is binary: it has no lines\n\
                hint: git log --notes=agent -- data.bin\n";
    refused(&repo, &["blame", "data.bin"], 1, told);
    let told = "error: 'nope' is not a commit\nhint: git log --oneline --all\n";
    refused(&repo, &["blame", "README.md", "nope"], 2, told);
    let told = "error: '../x' is outside repository at '[ROOT]/shop'\n\
                hint: Name a file of this repository\n";
    refused(&repo, &["blame", "../x"], 2, told);
    let elsewhere = repo.cmd(&["blame", "x"]).dir(repo.home().root());
    let told = "error: not a git repository: [ROOT]\n\
                hint: cd to a repository, or name it with -C DIR; git init makes one\n";
    refused_cmd(&repo, elsewhere, 2, told);
    said(&repo, &["blame", "empty"], 0, "", "");
    let none = "No commit there comes from a session.\n";
    said(&repo, &["blame", "--export", "agent-trace", "main~1..main"], 0, "", none);
    said(&repo, &["stats"], 0, "", "No sessions.\nhint: git agent start \"…\"\n");
    let told = "error: 'soonish' is no date\nhint: --since '2 weeks ago'\n";
    refused(&repo, &["stats", "--since", "soonish"], 2, told);
}

#[test]
fn lines_stand_below_who_wrote_them() {
    let repo = Repo::new();
    let text = "old\r\n\tnew\u{1b}[2J\r\n";
    repo.write("list.txt", "old\r\n");
    repo.commit("Add a list");
    let command = r"printf 'old\r\n\tnew\033[2J\r\n' >list.txt";
    let write = json!(["bash", {"command": command}]);
    let model = transcript(&repo, "list.jsonl", &[write, json!("Done.")]);
    let id = ran(&repo, "Make the list longer", &model, &[]);
    repo.agent(&["merge", &id]).success();
    repo.write("list.txt", &format!("{text}mine\r\n"));
    let out = repo.agent(&["blame", "list.txt"]);
    let short = |revision: &str| repo.git(&["rev-parse", "--short=7", revision]);
    let wanted = format!(
        "{} Ada 2026-01-02  \"Add a list\"\n  1  old\n\
         {} {id}:1 replay/list.jsonl  \"Make the list longer\"\n  2  \tnew^[[2J\n\
         0000000 not committed yet\n  3  mine\n",
        short("main~1"),
        short("main")
    );
    assert_eq!(out, Out::ok(&wanted));
    // The same for programs that read git's.
    let porcelain = repo.agent(&["blame", "--porcelain", "-L2,2", "list.txt", "main"]).success();
    let main = repo.git(&["rev-parse", "main"]);
    let lines: Vec<_> = porcelain.lines().map(|line| line.trim_end_matches('\r')).collect();
    assert_eq!(lines[0], format!("{main} 2 2 1"));
    for line in [
        "author Ada",
        "summary Make the list longer",
        "agent builtin",
        &format!("agent-session {id}"),
        "agent-model replay/list.jsonl",
        "agent-step 1",
        "agent-words Make the list longer",
        "filename list.txt",
        "\t\tnew\u{1b}[2J",
    ] {
        assert!(lines.contains(&line), "{line}: {porcelain}");
    }

    // Without the session's history, it is still known that an agent made it.
    fs::remove_dir_all(repo.common_dir().join("agent/sessions").join(&id)).unwrap();
    repo.git(&["update-ref", "-d", &format!("refs/agent/{id}")]);
    let out = repo.agent(&["blame", "--json", "-L2,2", "list.txt", "main"]);
    let told: Value = serde_json::from_str(&out.stdout).unwrap();
    let origin = &told["blame"]["origins"][0];
    assert_eq!(
        json!([origin["by"], origin["session"], origin["step"]]),
        json!(["agent", id, null])
    );
    assert!(out.stderr.contains(&format!("the history of session {id} is not here")), "{out:#?}");
}

#[test]
fn what_a_session_in_its_worktree_has_not_committed_is_its_own() {
    let repo = Repo::new();
    let id = ran(&repo, "say hi", &quick(&repo), &["--commit-strategy", "none"]);
    let worktree = repo.home().root().join("shop.worktrees/say-hi");
    fs::write(worktree.join("new.txt"), "new\nmine\n").unwrap();
    repo.home().git(&worktree, &["add", "-N", "new.txt"]);
    let out = repo.cmd(&["blame", "new.txt"]).dir(&worktree).run().success();
    let lines: Vec<_> = out.lines().collect();
    let first = format!("0000000 {id}:1 replay/quick.jsonl  \"say hi\"");
    assert_eq!(lines, [&*first, "  1  new", "0000000 not committed yet", "  2  mine"]);
}
