//! One task over many repositories.
//!
//! Invariant: a repository that fails keeps no other from going on; of a landing of all, all land
//! or none.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::commands::transcript;
use crate::support::cmd::Out;
use crate::support::home::Home;
use crate::support::repo::Repo;

const PATIENCE: Duration = Duration::from_secs(60);

/// Repositories side by side in one home.
pub(super) fn repositories(names: &[&str]) -> Vec<Repo> {
    let home = Arc::new(Home::new());
    let make = |name: &&str| {
        let path = home.root().join(name);
        fs::create_dir(&path).unwrap();
        home.git(&path, &["init", "-q"]);
        fs::write(path.join("words.txt"), "old\n").unwrap();
        home.git(&path, &["add", "-A"]);
        home.git(&path, &["commit", "-qm", "Begin"]);
        Repo::made(Arc::clone(&home), &path, &path)
    };
    names.iter().map(make).collect()
}

/// The program, run where all of them are.
pub(super) fn batch(repos: &[Repo], args: &[&str]) -> Out {
    let home = repos[0].home();
    let args = [&["batch"], args].concat();
    home.cmd(home.program()).dir(home.root()).args(&args).run()
}

fn status(repos: &[Repo]) -> Value {
    let out = batch(repos, &["status", "--json"]);
    serde_json::from_str(&out.success()).expect("it is JSON")
}

fn main_has(repo: &Repo) -> String {
    repo.git(&["show", "main:words.txt"])
}

#[test]
fn four_repositories_one_of_which_fails() {
    let repos = repositories(&["api", "web", "tools"]);
    let root = repos[0].home().root().to_owned();
    fs::create_dir(root.join("none")).unwrap();
    let write = json!(["write", {"path": "new.txt", "content": "new\n"}]);
    let model = transcript(&repos[0], "model.jsonl", &[write, json!("All is done.")]);
    fs::write(root.join("list"), "# all of them\napi\nweb\n\nnone\ntools\napi/.git/..\n").unwrap();
    let args = ["Add a file", "-F", "list", "--budget", "5", "--wait", "--", "--model", &model];
    let out = batch(&repos, &args);
    assert_eq!(out.code, 1, "{out:#?}");
    let lines: Vec<Vec<&str>> =
        out.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 5, "{out:#?}");
    assert_eq!(lines[0][..3], ["REPOSITORY", "SESSION", "STATE"]);
    for (line, name) in [(1, "api"), (2, "web"), (4, "tools")] {
        assert_eq!((lines[line][0], lines[line][2]), (name, "done"), "{out:#?}");
    }
    assert_eq!(lines[3][..4], ["none", "-", "not", "started"]);
    assert!(out.stdout.contains("not a git repository"), "{out:#?}");
    for repo in &repos {
        assert_eq!(repo.git(&["show", "agent/add-a-file:new.txt"]), "new");
    }
    // One budget, which is the user's and no repository's.
    let state = root.join("home/.local/state/git-agent");
    let budgets: Vec<PathBuf> =
        fs::read_dir(state.join("budgets")).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(budgets.len(), 1);
    let spent = fs::read_dir(&budgets[0]).unwrap().filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".spent.toml")
    });
    assert_eq!(spent.count(), 3);
    let of = status(&repos);
    let of = &of["batch"];
    assert_eq!((&of["task"], &of["budget_usd"]), (&json!("Add a file"), &json!(5.0)));
    let states: Vec<_> =
        of["repositories"].as_array().unwrap().iter().map(|row| row["state"].clone()).collect();
    assert_eq!(states, [json!("done"), json!("done"), Value::Null, json!("done")]);
    let id = of["id"].as_str().unwrap();
    let list = batch(&repos, &["list"]).success();
    assert!(list.lines().nth(1).unwrap().starts_with(&format!("{id}  4 ")), "{list}");
    // Not all are well, so none lands.
    let refused = batch(&repos, &["merge"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("error: nothing lands: "), "{refused:#?}");
    assert!(repos.iter().all(|repo| repo.git(&["ls-tree", "main", "new.txt"]).is_empty()));
}

#[test]
fn a_command_does_the_work_and_all_of_it_lands() {
    let repos = repositories(&["api", "web"]);
    let exec = "sed -i.orig s/old/new/ words.txt && rm words.txt.orig";
    let verify = ["--", "--verify", "grep new words.txt"];
    let args = ["Rename it", "--repos", "api,web", "--exec", exec, "--coordinate-merges"];
    let out = batch(&repos, &[&args[..], &verify].concat());
    assert_eq!(out.code, 0, "{out:#?}");
    for repo in &repos {
        assert_eq!(main_has(repo), "new");
        assert_eq!(repo.git(&["log", "-1", "--format=%s", "main"]), "Rename it");
    }
    let states = status(&repos);
    for row in states["batch"]["repositories"].as_array().unwrap() {
        assert_eq!((&row["state"], &row["verify"]), (&json!("landed"), &json!("passed")));
    }
}

#[test]
fn a_command_that_fails_is_told_and_nothing_lands() {
    let repos = repositories(&["api", "web"]);
    fs::remove_file(repos[1].main().join("words.txt")).unwrap();
    repos[1].write("others.txt", "old\n");
    repos[1].commit("Other words");
    let out = batch(
        &repos,
        &[
            "Rename it",
            "--repos",
            "api,web",
            "--exec",
            "grep -q old words.txt && echo new > words.txt",
            "--coordinate-merges",
        ],
    );
    assert_eq!(out.code, 1, "{out:#?}");
    assert!(out.stdout.contains("has failed: exit 2"), "{out:#?}");
    assert!(out.stderr.contains("error: nothing lands: "), "{out:#?}");
    assert_eq!(main_has(&repos[0]), "old");
    let states = status(&repos);
    let states = states["batch"]["repositories"].as_array().unwrap().iter();
    let states: Vec<_> = states.map(|row| row["state"].clone()).collect();
    assert_eq!(states, [json!("done"), json!("failed")]);
}

#[test]
fn half_of_what_a_command_does_is_not_landed_by_hand_either() {
    let repos = repositories(&["api"]);
    let exec = "echo half > words.txt; exit 3";
    let out = batch(&repos, &["Rename it", "--repos", "api", "--exec", exec, "--wait"]);
    assert_eq!(out.code, 1, "{out:#?}");
    let refused = repos[0].agent(&["merge", "rename-it"]);
    let said = format!("error: rename-it-[id] is not verified: '{exec}' did not do it\nhint: ");
    let refused = repos[0].normal(&refused);
    assert!(refused.code == 1 && refused.stderr.starts_with(&said), "{refused:#?}");
    assert_eq!(main_has(&repos[0]), "old");
    // Nothing is run twice in silence.
    repos[0].agent(&["resume", "rename-it"]).success();
    let status = repos[0].wait_state("rename-it", "failed", PATIENCE);
    assert_eq!(
        status["reason"].as_str().unwrap().split(" · ").next().unwrap(),
        format!("'{exec}' has failed: exit 3")
    );
    assert_eq!(repos[0].git(&["rev-list", "--count", "main..agent/rename-it"]), "1");
    repos[0].agent(&["merge", "rename-it", "--no-verify"]).success();
    assert_eq!(main_has(&repos[0]), "half");
}

#[test]
fn a_command_whose_work_does_not_pass_has_failed() {
    let repos = repositories(&["api"]);
    let exec = "echo new > words.txt";
    let args = ["Rename it", "--repos", "api", "--exec", exec, "--wait", "--", "--verify"];
    let out = batch(&repos, &[&args[..], &["grep old words.txt"]].concat());
    assert_eq!(out.code, 1, "{out:#?}");
    assert!(out.stdout.contains("verify still fails: grep old words.txt (exit 1)"), "{out:#?}");
    let refused = repos[0].agent(&["merge", "rename-it"]);
    assert!(
        refused.stderr.contains("'grep old words.txt' failed with exit code 1"),
        "{refused:#?}"
    );
}

#[test]
fn a_list_that_was_lost_is_found_again_in_its_sessions() {
    let repos = repositories(&["api", "web"]);
    let exec = "echo new > words.txt";
    let args = ["Rename it", "--repos", "api,web", "--exec", exec, "--budget", "3", "--wait"];
    batch(&repos, &args).success();
    let before = status(&repos);
    let id = before["batch"]["id"].as_str().unwrap().to_owned();
    let lists = repos[0].home().root().join("home/.local/state/git-agent/batch");
    fs::remove_dir_all(&lists).unwrap();
    let none = batch(&repos, &["status"]);
    let hint = "hint: git agent batch list --repos a,b finds those of these repositories\n";
    assert!(none.code == 1 && none.stderr.ends_with(hint), "{none:#?}");
    // One repository tells of itself.
    let part = repos[0].agent(&["batch", "status"]);
    let said = format!("warning: the list of {id} is lost: this repository tells of it, alone\n");
    assert!(part.code == 0 && part.stderr.starts_with(&said), "{part:#?}");
    assert_eq!(part.stdout.lines().count(), 2, "{part:#?}");
    assert!(!lists.exists());
    // All of them make it whole again.
    batch(&repos, &["status", "--repos", "web,api"]).success();
    let mut after = status(&repos);
    after["batch"]["repositories"].as_array_mut().unwrap().reverse();
    after["batch"]["created"] = before["batch"]["created"].clone();
    assert_eq!(after, before);
    assert_eq!(batch(&repos, &["merge", &id]).code, 0);
    assert_eq!((main_has(&repos[0]), main_has(&repos[1])), ("new".to_owned(), "new".to_owned()));
}

#[test]
fn where_one_cannot_land_none_does() {
    let repos = repositories(&["api", "web"]);
    let exec = "echo new > words.txt";
    let done = batch(&repos, &["Rename it", "--repos", "api,web", "--exec", exec, "--wait"]);
    assert_eq!(done.code, 0, "{done:#?}");
    // Found beforehand: a file that was changed is in the way.
    repos[1].write("words.txt", "mine\n");
    let refused = batch(&repos, &["merge"]);
    assert!(refused.code == 1 && refused.stderr.contains("nothing has landed"), "{refused:#?}");
    assert_eq!(main_has(&repos[0]), "old");
    repos[1].write("words.txt", "old\n");
    // Found only when it lands: a hook of the user says no, and the first is taken back.
    let hook = repos[1].common_dir().join("hooks/reference-transaction");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\ntest $1 != prepared || ! grep -q refs/heads/main\n").unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let refused = batch(&repos, &["merge"]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(refused.stderr.contains("  took back rename-it-"), "{refused:#?}");
    assert!(refused.stderr.contains("error: nothing has landed: "), "{refused:#?}");
    assert_eq!((main_has(&repos[0]), main_has(&repos[1])), ("old".to_owned(), "old".to_owned()));
    fs::remove_file(hook).unwrap();
    assert_eq!(batch(&repos, &["merge"]).code, 0);
    assert_eq!((main_has(&repos[0]), main_has(&repos[1])), ("new".to_owned(), "new".to_owned()));
}

#[test]
fn what_makes_no_batch_starts_nothing() {
    let repos = repositories(&["api"]);
    for (args, said) in [
        (&["--repos", "api"][..], "a batch needs a task"),
        (&["Do it"], "no repository is named"),
        (&["status", "nobody"], "no batch 'nobody'"),
    ] {
        let out = batch(&repos, args);
        assert!(out.code == 2 && out.stderr.contains(said), "{args:?}: {out:#?}");
        assert!(out.stderr.contains("\nhint: "), "{args:?}: {out:#?}");
    }
    let none = batch(&repos, &["status"]);
    assert!(
        none.code == 1 && none.stderr.starts_with("error: there is no batch yet\n"),
        "{none:#?}"
    );
    let would = batch(&repos, &["Do it", "--repos", "api,none", "--exec", "true", "--dry-run"]);
    assert_eq!(would.code, 1, "{would:#?}");
    assert!(would.stdout.contains("Would start a session on branch agent/do-it"), "{would:#?}");
    assert!(would.stdout.contains("Would fail: "), "{would:#?}");
    assert_eq!(repos[0].session_ids(), Vec::<String>::new());
    assert_eq!(batch(&repos, &["list"]).stdout, "");
}
