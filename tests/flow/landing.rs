//! Landings by the built program: several at once, given back, taken back.
//!
//! Invariant: what is on the branch afterwards is read with git.

use serde_json::{Value, json};

use super::journey::{plainly, run};
use super::play::Play;
use super::worktree::bash_script;
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Turn};

fn subjects(repo: &Repo, range: &str) -> Vec<String> {
    let log = repo.git(&["log", "--reverse", "--format=%s", range]);
    log.lines().map(str::to_owned).collect()
}

#[test]
fn a_train_stops_at_the_first_red_and_what_landed_stays() {
    let repo = Repo::new();
    let base = repo.git(&["rev-parse", "main"]);
    // Each is green alone; two and three are not green together.
    let verify = "test ! -e two.txt || test ! -e three.txt";
    let names = ["one", "two", "three", "four", "five"];
    for name in names {
        let script = bash_script(&format!("echo {name} >{name}.txt"));
        let out = run(&repo, &plainly, script, &[name, "--verify", verify]);
        assert_eq!(out.code, 0, "{out:#?}");
    }
    let out = repo.agent(&["merge", "one", "two", "three", "four", "five", "--json"]);
    assert_eq!(out.code, 1, "{out:#?}");
    assert!(out.stderr.contains(&format!("'{verify}' failed with exit code 1")), "{out:#?}");
    let told: Value = serde_json::from_str(&out.stdout).expect("JSON");
    let cars = told["landings"].as_array().expect("a list");
    let outcomes: Vec<_> = cars.iter().filter_map(|car| car["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["landed", "landed", "refused", "waits", "waits"], "{told:#}");
    assert_eq!(cars[1]["landing"]["verified"], json!(true));
    let range = format!("{base}..main");
    assert_eq!(subjects(&repo, &range), ["one", "two"]);
    let states = |name: &str| {
        let out = repo.agent(&["status", name, "--json"]);
        let status: Value = serde_json::from_str(&out.stdout).expect("JSON");
        status["state"].clone()
    };
    assert_eq!(names.map(states), ["landed", "landed", "done", "done", "done"]);

    // The others go on without it, and the table is for people.
    let out = repo.agent(&["merge", "four", "five"]);
    assert_eq!(out.code, 0, "{out:#?}");
    assert_eq!(out.stdout.lines().count(), 3, "{out:#?}");
    assert_eq!(subjects(&repo, &range), ["one", "two", "four", "five"]);
    assert_eq!(repo.git(&["status", "--porcelain"]), "");

    // What would be done of two that collide, in each other's way though not in the branch's.
    for text in ["left", "right"] {
        run(&repo, &plainly, bash_script(&format!("echo {text} >same.txt")), &[text]);
    }
    let would = repo.agent(&["merge", "left", "right", "-n"]);
    assert_eq!(would.code, 1, "{would:#?}");
    assert!(would.stderr.contains("conflict in same.txt"), "{would:#?}");
    assert_eq!(subjects(&repo, &range).len(), 4);

    // The last can be taken back, and the one below it only then.
    let refused = repo.agent(&["merge", "--undo", "four"]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    for name in ["five", "four"] {
        let out = repo.agent(&["merge", "--undo", name]);
        assert_eq!(out.code, 0, "{out:#?}");
    }
    assert_eq!(subjects(&repo, &range), ["one", "two"]);
    assert!(!repo.main().join("five.txt").exists());
    assert_eq!(names.map(states), ["landed", "landed", "done", "done", "done"]);
    assert!(!repo.git(&["worktree", "list"]).contains(".git-agent-"));
    repo.assert_whole();
}

#[test]
fn l03_conflicts_go_back_to_the_session_and_land_as_it_resolves_them() {
    let resolve = "printf 'one\\nzwei and 2\\nthree\\n' >src/lib.txt";
    let script = Script::new([
        Turn::call("bash", json!({ "command": "printf 'one\\n2\\nthree\\n' >src/lib.txt" })),
        Turn::text("Done."),
        Turn::call("bash", json!({ "command": resolve })),
        Turn::text("Resolved."),
    ]);
    let play = Play::start(Dialect::Anthropic, script, &["--verify", "grep -q 2 src/lib.txt"]);
    play.rests("done");
    let repo = &play.repo;
    repo.write("src/lib.txt", "one\nzwei\nthree\n");
    repo.write("docs/guide.md", "Buy more things.\n");
    let moved = repo.commit("Translate");
    let refused = play.run("merge", &[]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(refused.stderr.contains("conflict in src/lib.txt:2"), "{refused:#?}");
    assert!(refused.stderr.contains("--resolve"), "{refused:#?}");
    assert_eq!(repo.git(&["rev-parse", "main"]), moved);
    let out = play.run("merge", &["--resolve"]);
    assert_eq!(out.code, 0, "{out:#?}");
    assert_eq!(repo.git(&["show", "main:src/lib.txt"]), "one\nzwei and 2\nthree");
    assert_eq!(repo.git(&["show", "main:docs/guide.md"]), "Buy more things.");
    assert_eq!(repo.git(&["rev-list", "--count", &format!("{moved}..main")]), "1");
    assert_eq!(repo.git(&["status", "--porcelain"]), "");
    repo.assert_whole();
}

#[test]
fn a_worktree_goes_with_the_landing_where_none_is_wanted_and_a_forge_may_have_landed_it() {
    let repo = Repo::new();
    for name in ["ours", "forge"] {
        let script = bash_script(&format!("echo {name} >{name}.txt"));
        assert_eq!(run(&repo, &plainly, script, &[name]).code, 0);
    }
    let at = |name: &str| repo.home().root().join("shop.worktrees").join(name);
    repo.git(&["config", "agent.keepWorktree", "false"]);
    let out = repo.agent(&["merge", "ours"]);
    assert_eq!(out.code, 0, "{out:#?}");
    assert!(!at("ours").exists() && at("forge").exists());
    repo.git(&["merge", "-q", "--squash", "agent/forge"]);
    repo.git(&["commit", "-qm", "Forge (#1)"]);
    // `gc` sees it, `list` too, once it was looked for.
    let plan = repo.agent(&["gc", "--dry-run"]);
    assert!(plan.stdout.contains("shop.worktrees/forge"), "{plan:#?}");
    let out = repo.agent(&["conflicts"]);
    assert!(out.stderr.contains("is on main already"), "{out:#?}");
    let listed = repo.agent(&["list"]).success();
    assert!(listed.contains("its work is on main already"), "{listed}");
    let out = repo.agent(&["merge", "forge"]);
    assert_eq!(out.code, 0, "{out:#?}");
    assert!(out.stdout.contains("is on main already"), "{out:#?}");
    let status = repo.agent(&["status", "forge", "--json"]).success();
    assert!(status.contains("\"state\":\"landed\""), "{status}");
    repo.assert_whole();
}
