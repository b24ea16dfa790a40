//! `gc`: what is taken away when, and how it comes back.
//!
//! Invariant: nothing goes that is not on record, and what is listed is what is done.

use std::fs;

use serde_json::{Value, json};

use super::journey::files;
use super::play::{Play, until};
use super::time::{bash, done, status_of};
use crate::support::server::{Dialect, Script, Turn};

/// What `gc` lists, and how many bytes that is.
fn collect(play: &Play, args: &[&str]) -> (Vec<(Value, Value)>, u64) {
    let said = play.repo.agent(&[&["gc", "--json"], args].concat()).success();
    let said: Value = serde_json::from_str(&said).expect("it is JSON");
    let items = said["gc"]["items"].as_array().unwrap().iter();
    let shown = items.map(|item| (item["what"].clone(), item["session"].clone()));
    (shown.collect(), said["gc"]["bytes"].as_u64().unwrap())
}

#[test]
fn k08_gc_frees_what_has_landed_and_loses_no_record() {
    let play = done(Dialect::Chat, &[]);
    play.run("fork", &["--worktree", "open"]).success();
    play.run("fork", &["--worktree", "gone"]).success();
    let id_of = |name: &str| status_of(&play, name)["id"].as_str().unwrap().to_owned();
    let (open, gone) = (id_of("open"), id_of("gone"));
    play.repo.agent(&["worktree", "merge", &play.id]).success();
    fs::write(play.worktree().join("later.txt"), "later\n").unwrap();
    play.repo.agent(&["remove", "--force", &gone]).success();
    let collect = |args: &[&str]| collect(&play, args);
    let all = || (crate::commands::everything(&play.repo), play.repo.git(&["count-objects", "-v"]));
    let before = all();
    let planned = collect(&["--dry-run"]);
    assert!(all() == before, "a look writes nothing");
    assert_eq!(planned.0, [(json!("worktree"), json!(play.id))]);
    assert_eq!(collect(&[]), planned);
    assert!(planned.1 > 0 && !play.worktree().exists());
    assert_eq!(collect(&[]), (Vec::new(), 0), "nothing else is old");
    play.run("restore", &[]).success();
    assert_eq!(fs::read_to_string(play.worktree().join("later.txt")).unwrap(), "later\n");
    // Long after.
    for id in [&play.id, &gone, &open] {
        age(&play, id);
    }
    let planned = collect(&["--dry-run"]);
    let wanted = [("expired", &play.id), ("archived", &gone)];
    assert_eq!(planned.0, wanted.map(|(what, id)| (json!(what), json!(id))));
    assert_eq!(collect(&[]), planned);
    let refs = play.repo.git(&["for-each-ref", "--format=%(refname)", "refs/agent", "refs/heads"]);
    assert_eq!(
        refs,
        format!("refs/agent/archive\nrefs/agent/{open}\nrefs/heads/agent/open\nrefs/heads/main")
    );
    let listed = play.repo.git(&["ls-tree", "--name-only", "refs/agent/archive"]);
    let mut ids = [play.id.as_str(), gone.as_str()];
    ids.sort_unstable();
    assert_eq!(listed.lines().collect::<Vec<_>>(), ids);
    play.repo.git(&["gc", "--quiet", "--prune=now"]);
    assert_eq!(collect(&[]), (Vec::new(), 0));
    // And both are still there to be had.
    for id in ids {
        let removed = play.repo.agent(&["list", "--removed"]).success();
        assert!(removed.contains(id), "{removed}");
        play.repo.agent(&["restore", id]).success();
        assert_eq!(status_of(&play, id)["steps"], 4);
    }
    assert_eq!(fs::read_to_string(play.worktree().join("later.txt")).unwrap(), "later\n");
    let worktree = play.worktree();
    let open = worktree.with_file_name("open");
    assert_eq!(files(&open), files(&worktree.with_file_name("gone")));
    play.close();
}

#[test]
fn k08_caches_that_nobody_has_used_for_long_go() {
    let play = done(Dialect::Chat, &[]);
    let cache = play.repo.common_dir().join("agent/cache");
    for (name, days) in [("8", 0), ("9", 400)] {
        let work = cache.join(name).join("home_cargo/work/work");
        fs::create_dir_all(&work).unwrap();
        fs::write(cache.join(name).join("home_cargo/crate"), vec![1; 64 << 10]).unwrap();
        fs::set_permissions(work, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
        let lock = fs::File::create(cache.join(format!("{name}.lock"))).unwrap();
        let ago = std::time::Duration::from_secs(days * 86_400);
        lock.set_modified(std::time::SystemTime::now() - ago).unwrap();
    }
    let planned = collect(&play, &["--dry-run"]);
    assert_eq!(planned.0, [(json!("cache"), json!(null))]);
    assert!(planned.1 >= 64 << 10 && cache.join("9").exists(), "{planned:?}");
    assert_eq!(collect(&play, &[]), planned);
    assert!(cache.join("8").exists() && !cache.join("9").exists());
    fs::remove_dir_all(cache.join("8")).unwrap();
    play.close();
}

/// Makes it long ago that anything happened in a session, here and on record.
fn age(play: &Play, id: &str) {
    let home = play.repo.common_dir().join("agent");
    let folder = ["sessions", "removed"].map(|folder| home.join(folder).join(id));
    let state = folder.into_iter().find(|folder| folder.exists()).unwrap().join("state.toml");
    let text = fs::read_to_string(&state).unwrap();
    let line = text.lines().find(|line| line.starts_with("updated = ")).unwrap();
    let old = text.replace(line, "updated = \"2026-01-02T03:04:05Z\"");
    fs::write(&state, &old).unwrap();
    let name = format!("refs/agent/{id}");
    let git = |args: &[&str], stdin: &str| {
        let out = play.repo.home().cmd("git").dir(play.repo.main()).args(args).stdin(stdin).run();
        out.success().trim().to_owned()
    };
    let blob = git(&["hash-object", "-w", "--stdin"], &old);
    let tree = play.repo.git(&["ls-tree", &name]);
    let lines = tree.lines().map(|line| match line.ends_with("\tstate.toml") {
        true => format!("100644 blob {blob}\tstate.toml\n"),
        false => format!("{line}\n"),
    });
    let tree = git(&["mktree"], &lines.collect::<String>());
    let parents = play.repo.git(&["log", "-1", "--format=%P", &name]);
    let parents: Vec<&str> = parents.split(' ').flat_map(|parent| ["-p", parent]).collect();
    let commit = play.repo.git(&[&["commit-tree", &tree, "-m", "old"], &parents[..]].concat());
    play.repo.git(&["update-ref", &name, &commit]);
}

/// A session that has written a file and is in this state by now.
fn ended(phase: &str) -> Play {
    let one = bash("echo 1 > one.txt");
    let hold = bash("cd ..; touch begun; while [ ! -e go ]; do sleep 0.02; done");
    let ends = (0..5).map(|_| Turn::text("Done."));
    let (turns, verify): (Vec<_>, _) = match phase {
        "failed" => ([one].into_iter().chain(ends).collect(), "false"),
        "done" => (vec![one, Turn::text("Done.")], "true"),
        _ => (vec![one, hold, Turn::text("Done.")], "true"),
    };
    let play = Play::start(Dialect::Chat, Script::new(turns), &["--verify", verify]);
    if matches!(phase, "stopped" | "paused") {
        until("it runs", || play.worktree().with_file_name("begun").exists());
        let verb = if phase == "paused" { "pause" } else { "stop" };
        play.run(verb, &[]).success();
        fs::write(play.worktree().with_file_name("go"), "").unwrap();
    }
    play.rests(phase);
    play
}

#[test]
fn k08_what_ended_long_ago_and_has_not_landed_is_removed_and_its_branch_stays() {
    for phase in ["done", "failed", "stopped"] {
        let play = ended(phase);
        let worktree = play.worktree();
        fs::write(worktree.join("later.txt"), "later\n").unwrap();
        let there = files(&worktree);
        fs::write(worktree.join(".env.tmp"), "secret\n").unwrap();
        assert_eq!(collect(&play, &["--dry-run"]), (Vec::new(), 0), "{phase}: not yet");
        age(&play, &play.id);
        let all = || (crate::commands::everything(&play.repo), play.repo.git(&["count-objects"]));
        let before = all();
        let planned = collect(&play, &["--dry-run"]);
        assert!(all() == before && planned.1 > 0, "{phase}: a look writes nothing");
        assert_eq!(planned.0, [(json!("ended"), json!(play.id))]);
        assert_eq!(collect(&play, &[]), planned);
        assert!(!worktree.exists() && !play.folder().exists());
        let refs = ["for-each-ref", "--format=%(refname)", "refs/agent", "refs/heads"];
        let (branch, main) = ("refs/heads/agent/mend-the-shop", "refs/heads/main");
        let its = format!("refs/agent/{}\n{branch}\n{main}", play.id);
        assert_eq!(play.repo.git(&refs), its, "{phase}");
        // What git ignores comes back, too, as long as it is not in the archive.
        play.run("restore", &[]).success();
        assert_eq!(fs::read_to_string(worktree.join(".env.tmp")).unwrap(), "secret\n");
        age(&play, &play.id);
        collect(&play, &[]);
        age(&play, &play.id);
        assert_eq!(collect(&play, &[]).0, [(json!("archived"), json!(play.id))]);
        assert_eq!(play.repo.git(&refs), format!("refs/agent/archive\n{branch}\n{main}"));
        play.repo.git(&["branch", "-D", "agent/mend-the-shop"]);
        play.repo.git(&["gc", "--quiet", "--prune=now"]);
        play.run("restore", &[]).success();
        assert_eq!((files(&worktree), play.status()["state"].clone()), (there, json!(phase)));
        play.close();
    }
}

#[test]
fn k08_what_rests_is_never_taken_and_nothing_goes_that_cannot_be_kept() {
    let play = ended("paused");
    age(&play, &play.id);
    assert_eq!(collect(&play, &[]), (Vec::new(), 0));
    assert!(play.worktree().join("one.txt").exists());
    play.close();
    let play = ended("done");
    play.repo.git(&["config", "agent.maxFileSize", "100"]);
    fs::write(play.worktree().join("large"), vec![b'x'; 200]).unwrap();
    age(&play, &play.id);
    let out = play.repo.agent(&["gc"]);
    assert_eq!((out.code, out.stdout.as_str()), (0, ""), "{out:#?}");
    assert!(out.stderr.contains("large (200 bytes are more than a snapshot takes)"), "{out:#?}");
    assert!(play.worktree().join("large").exists() && play.folder().exists());
    play.close();
}

#[test]
fn what_a_removal_that_died_has_left_is_listed_and_goes() {
    let play = ended("done");
    let trash = play.worktree().with_file_name(".trash-0123456789abcdef");
    fs::create_dir(&trash).unwrap();
    fs::write(trash.join("file"), vec![b'x'; 5_000]).unwrap();
    assert_eq!(collect(&play, &[]), (Vec::new(), 0), "it may be in use");
    let path = trash.to_str().unwrap();
    play.repo.home().cmd("touch").args(&["-t", "202601020304", path]).run().success();
    let planned = collect(&play, &["--dry-run"]);
    assert_eq!(planned.0, [(json!("trash"), Value::Null)]);
    assert!(planned.1 >= 4_096 && trash.exists());
    assert_eq!(collect(&play, &[]), planned);
    assert!(!trash.exists());
    play.close();
}
