//! Making worktrees, taking them away, and what must not be lost meanwhile.
//!
//! Invariant: what a refused command leaves is compared with what was there before it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;

use super::journey::{Untouched, files, plainly, run, told};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Server, Turn};

/// A session of one command.
pub(super) fn bash_script(command: &str) -> Script {
    Script::new([Turn::call("bash", json!({ "command": command })), Turn::text("Done.")])
}

/// A session that adds one file.
pub(crate) fn small_script() -> Script {
    bash_script("echo small >small.txt")
}

/// A repository with one session that is done.
fn with_session() -> Repo {
    let repo = Repo::new();
    let out = run(&repo, &plainly, small_script(), &["Do it"]);
    assert_eq!(out.code, 0, "{out:#?}");
    repo
}

fn nothing_was_made(repo: &Repo, before: &Untouched) {
    assert_eq!(&Untouched::of(repo), before);
    assert_eq!(repo.session_ids(), Vec::<String>::new());
    assert_eq!(repo.git(&["for-each-ref", "refs/agent", "refs/heads/agent"]), "");
    repo.assert_whole();
}

#[test]
fn w10_the_same_task_again_gets_names_of_its_own() {
    let repo = with_session();
    for _ in 0..2 {
        assert_eq!(run(&repo, &plainly, small_script(), &["Do it"]).code, 0);
    }
    assert_eq!(repo.session_ids().len(), 3);
    assert_eq!(repo.git(&["for-each-ref", "refs/heads/agent"]).lines().count(), 3);
    // What is left of one that was removed is in nobody's way.
    let first = repo.session_ids().remove(0);
    repo.agent(&["worktree", "remove", &first]).success();
    assert_eq!(run(&repo, &plainly, small_script(), &["Do it"]).code, 0);
    assert_eq!(repo.session_ids().len(), 4);
    repo.assert_whole();
}

#[test]
fn w04_what_stands_at_the_path_is_left_alone() {
    let repo = Repo::new();
    let path = repo.home().root().join("shop.worktrees/mine");
    fs::create_dir_all(&path).expect("a new folder");
    fs::write(path.join("precious.txt"), "precious\n").expect("a new file");
    let before = (Untouched::of(&repo), files(&path));
    let out = run(&repo, &plainly, Script::new([]), &["Do it", "--worktree", "mine"]);
    assert_eq!(out.code, 2, "{out:#?}");
    assert_eq!(files(&path), before.1);
    nothing_was_made(&repo, &before.0);
}

#[test]
fn w06_a_branch_from_a_remote_has_no_upstream() {
    let repo = Repo::new();
    let url = repo.main().to_str().expect("a path of ours");
    repo.git(&["remote", "add", "origin", url]);
    repo.git(&["fetch", "-q", "origin"]);
    repo.git(&["config", "branch.autoSetupMerge", "always"]);
    let args = ["Do it", "--base", "origin/main"];
    assert_eq!(run(&repo, &plainly, small_script(), &args).code, 0);
    let upstream = repo.git(&["for-each-ref", "--format=%(upstream)", "refs/heads/agent/do-it"]);
    assert_eq!(upstream, "");
    let out = repo.agent(&["log", "do-it"]);
    assert_eq!(out.code, 0, "{out:#?}");
    repo.assert_whole();
}

#[test]
fn w13_without_a_commit_there_is_a_hint() {
    let repo = Repo::new();
    repo.git(&["symbolic-ref", "HEAD", "refs/heads/unborn"]);
    let out = repo.agent(&["start", "x", "--model", "replay/none.jsonl"]);
    assert_eq!((out.code, out.stdout.as_str()), (1, ""), "{out:#?}");
    assert!(out.stderr.contains("there is no commit to start from yet"), "{out:#?}");
    assert!(out.stderr.contains("hint: "), "{out:#?}");
    assert_eq!(repo.session_ids(), Vec::<String>::new());
    // Another base is as good as ever.
    let out = run(&repo, &plainly, small_script(), &["Do it", "--base", "main"]);
    assert_eq!(out.code, 0, "{out:#?}");
}

#[test]
fn b02_b03_names_are_never_taken_for_something_else() {
    let repo = Repo::new();
    repo.git(&["update-ref", "refs/heads/origin/main", "HEAD~1"]);
    repo.git(&["update-ref", "refs/tags/main", "HEAD~1"]);
    let before = Untouched::of(&repo);
    for base in [
        "--base=-rf",
        "--base=--exec-path",
        "--base=--all",
        "--base=main..HEAD",
        "--base=HEAD:README.md",
    ] {
        let out = run(&repo, &plainly, Script::new([]), &["Do it", base]);
        assert_eq!(out.code, 2, "{base}: {out:#?}");
    }
    nothing_was_made(&repo, &before);
    // HEAD is the branch, not the tag of the same name, and the file `src` is no revision.
    repo.write("agent", "a file\n");
    let out = run(&repo, &plainly, small_script(), &["Do it"]);
    assert_eq!(out.code, 0, "{out:#?}");
    assert_eq!(told(&repo, "do-it")["base"], repo.git(&["rev-parse", "refs/heads/main"]));
    repo.agent(&["worktree", "merge", "do-it"]).success();
    assert_eq!(repo.git(&["log", "-1", "--format=%s", "refs/heads/main"]), "Do it");
    assert_eq!(repo.git(&["log", "-1", "--format=%s", "refs/tags/main"]), "Begin");
}

#[test]
fn w16_w17_w19_included_files_come_along_and_are_told() {
    let mut repo = Repo::new();
    repo.write(".gitignore", "*.tmp\n.env\ncache/\n");
    repo.commit("Ignore more");
    repo.write(
        ".worktreeinclude",
        "\u{feff}.env\r\n[z-a]\r\ncache/\r\n# a comment\r\nREADME.md\r\n",
    );
    repo.write(".env", "KEY=1\n");
    repo.write("cache/run", "#!/bin/sh\n");
    let executable = fs::Permissions::from_mode(0o750);
    fs::set_permissions(repo.main().join("cache/run"), executable).expect("a file of ours");
    symlink("/nowhere", repo.main().join("cache/link")).expect("a new link");
    let fifo = repo.main().join("cache/fifo");
    repo.home().cmd("mkfifo").args(&[fifo.to_str().expect("ours")]).run().success();
    repo.mark();
    let before = Untouched::of(&repo);
    let out = run(&repo, &plainly, small_script(), &["Do it"]);
    assert_eq!(out.code, 0, "{out:#?}");
    let wanted = [".env", "cache/link", "cache/run", "cache/fifo", ".worktreeinclude, line 2"];
    for part in wanted {
        assert!(out.stderr.contains(part), "{part}: {out:#?}");
    }
    let worktree = repo.home().root().join("shop.worktrees/do-it");
    let mode = fs::metadata(worktree.join("cache/run")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o750);
    assert_eq!(fs::read_to_string(worktree.join(".env")).expect("it is there"), "KEY=1\n");
    let link = fs::read_link(worktree.join("cache/link")).expect("it is there");
    assert_eq!(link.to_str(), Some("/nowhere"));
    assert!(!worktree.join("cache/fifo").exists());
    // None of it is in a commit.
    let changed = repo.git(&["diff", "--name-only", "main", "agent/do-it"]);
    assert_eq!(changed, "small.txt");
    assert_eq!(Untouched::of(&repo), before);
    repo.assert_whole();
}

#[test]
fn a_setup_command_runs_in_the_new_worktree_or_nothing_is_made() {
    let repo = Repo::new();
    repo.git(&["config", "agent.setup", "pwd >where.tmp && test ! -e fail"]);
    let out = run(&repo, &plainly, small_script(), &["Do it"]);
    assert_eq!(out.code, 0, "{out:#?}");
    let worktree = repo.home().root().join("shop.worktrees/do-it");
    let said = fs::read_to_string(worktree.join("where.tmp")).expect("it ran");
    assert_eq!(said.trim_end(), worktree.to_str().expect("a path of ours"));
    assert_eq!(repo.git(&["diff", "--name-only", "main", "agent/do-it"]), "small.txt");
    let repo = Repo::new();
    repo.git(&["config", "agent.setup", "echo setting up; echo sad >&2; exit 7"]);
    let before = Untouched::of(&repo);
    let out = run(&repo, &plainly, Script::new([]), &["Do it"]);
    assert_eq!((out.code, out.stdout.as_str()), (1, ""), "{out:#?}");
    assert!(out.stderr.contains("agent.setup ended with exit code 7"), "{out:#?}");
    assert!(out.stderr.contains("sad"), "{out:#?}");
    nothing_was_made(&repo, &before);
    assert!(!repo.home().root().join("shop.worktrees/do-it").exists());
}

#[test]
fn w22_r07_other_entries_that_are_broken_or_away_are_left_alone() {
    let repo = Repo::new();
    repo.git(&["worktree", "add", "-q", "-b", "b1", "../broken"]);
    repo.git(&["worktree", "add", "-q", "-b", "b2", "../away"]);
    let entries = repo.common_dir().join("worktrees");
    fs::write(entries.join("broken/HEAD"), "nonsense").expect("it is there");
    let (away, hidden) = (repo.home().root().join("away"), repo.home().root().join("hidden"));
    fs::rename(&away, &hidden).expect("it is on one file system");
    let before = files(&entries);
    assert_eq!(run(&repo, &plainly, small_script(), &["Do it"]).code, 0);
    repo.agent(&["worktree", "list"]).success();
    repo.agent(&["worktree", "merge", "do-it"]).success();
    repo.agent(&["worktree", "remove", "do-it"]).success();
    assert_eq!(files(&entries), before);
    fs::rename(&hidden, &away).expect("it is on one file system");
    assert_eq!(repo.home().git(&away, &["branch", "--show-current"]), "b2");
}

#[test]
fn r06_a_link_in_a_removed_worktree_leads_nowhere() {
    let repo = with_session();
    let outside = repo.home().root().join("outside");
    fs::create_dir(&outside).expect("a new folder");
    fs::write(outside.join("theirs.txt"), "theirs\n").expect("a new file");
    let worktree = repo.home().root().join("shop.worktrees/do-it");
    symlink(&outside, worktree.join("out")).expect("a new link");
    symlink(&outside, worktree.join("out.tmp")).expect("a new link");
    repo.agent(&["worktree", "remove", "do-it"]).success();
    assert!(!worktree.exists());
    let theirs = fs::read_to_string(outside.join("theirs.txt")).expect("it is there");
    assert_eq!(theirs, "theirs\n");
    repo.agent(&["worktree", "restore", "do-it"]).success();
    for link in ["out", "out.tmp"] {
        assert_eq!(fs::read_link(worktree.join(link)).expect("a link"), outside);
    }
}

#[test]
fn r02_r08_a_worktree_that_is_in_use_or_locked_stays() {
    let repo = with_session();
    let worktree = repo.home().root().join("shop.worktrees/do-it");
    let there = files(&worktree);
    let path = worktree.to_str().expect("a path of ours");
    repo.git(&["worktree", "lock", "--reason", "on a stick", path]);
    for args in [&["worktree", "remove", "do-it"][..], &["worktree", "remove", "do-it", "--force"]]
    {
        let out = repo.agent(args);
        assert_eq!((out.code, out.stderr.contains("on a stick")), (1, true), "{out:#?}");
    }
    repo.git(&["worktree", "unlock", path]);
    let server =
        Server::start(Script::new(
            [Turn::text("Late.").delay(std::time::Duration::from_secs(600))],
        ));
    let dialect = Dialect::Anthropic;
    let args = ["start", "Take long", "--model", dialect.model()];
    repo.cmd(&args).envs(server.env(dialect)).run().success();
    repo.wait_state("take-long", "running", std::time::Duration::from_secs(10));
    for args in [&["worktree", "remove", "take"][..], &["worktree", "remove", "take", "--force"]] {
        let out = repo.agent(args);
        assert_eq!(out.code, 1, "{out:#?}");
    }
    assert!(repo.home().root().join("shop.worktrees/take-long/README.md").is_file());
    repo.agent(&["stop", "take"]).success();
    repo.wait_state("take-long", "stopped", std::time::Duration::from_secs(10));
    assert_eq!(files(&worktree), there);
    repo.assert_whole();
}

#[test]
fn r04_a_path_that_holds_another_repository_is_refused() {
    let repo = with_session();
    let worktree = repo.home().root().join("shop.worktrees/do-it");
    fs::rename(&worktree, repo.home().root().join("moved")).expect("it is on one file system");
    fs::create_dir(&worktree).expect("it is free");
    repo.home().git(&worktree, &["init", "-q"]);
    fs::write(worktree.join("precious.txt"), "precious\n").expect("a new file");
    let there = files(&worktree);
    for args in [&["worktree", "remove", "do-it"][..], &["worktree", "remove", "do-it", "--force"]]
    {
        let out = repo.agent(args);
        assert_eq!(out.code, 1, "{out:#?}");
        assert_eq!(files(&worktree), there);
    }
}

#[test]
fn r16_a_worktree_that_was_deleted_by_hand_comes_back() {
    let repo = with_session();
    let worktree = repo.home().root().join("shop.worktrees/do-it");
    let there = files(&worktree);
    fs::remove_dir_all(&worktree).expect("it is ours");
    repo.agent(&["list"]).success();
    let out = repo.agent(&["worktree", "remove", "do-it"]);
    assert_eq!(out.code, 0, "{out:#?}");
    repo.agent(&["worktree", "restore", "do-it"]).success();
    assert_eq!(files(&worktree), there);
    repo.assert_whole();
}

#[test]
fn r01_b07_all_of_it_comes_back_without_branch_and_worktree() {
    let repo = with_session();
    let worktree = repo.home().root().join("shop.worktrees/do-it");
    fs::write(worktree.join("loose.txt"), "loose\n").expect("a new file");
    fs::write(worktree.join("own.tmp"), "ignored\n").expect("a new file");
    fs::set_permissions(worktree.join("loose.txt"), fs::Permissions::from_mode(0o755))
        .expect("a file of ours");
    let there = files(&worktree);
    repo.agent(&["worktree", "remove", "do-it"]).success();
    let tip = repo.git(&["rev-parse", "agent/do-it"]);
    repo.git(&["branch", "-qD", "agent/do-it"]);
    repo.git(&["reflog", "expire", "--expire=now", "--all"]);
    repo.git(&["gc", "-q", "--prune=now"]);
    repo.agent(&["worktree", "restore", "do-it"]).success();
    assert_eq!(files(&worktree), there);
    assert_eq!(repo.git(&["rev-parse", "agent/do-it"]), tip);
    repo.assert_whole();
}

#[test]
fn b08_s33_git_gc_and_a_moved_head_do_not_harm_a_session() {
    let mut repo = Repo::new();
    let gc = "git gc -q --prune=now";
    let main = repo.main().display().to_string();
    let script = Script::new([
        Turn::call(
            "bash",
            json!({"command": format!("echo 1 >a; git -C '{main}' gc -q --prune=now")}),
        ),
        Turn::call("bash", json!({"command": format!("echo 2 >b; {gc}")})),
        Turn::call(
            "bash",
            json!({"command": format!("echo 3 >c; git -C '{main}' checkout -q -b other")}),
        ),
        Turn::text("Done."),
    ]);
    let out = run(&repo, &plainly, script, &["Do it"]);
    assert_eq!(out.code, 0, "{out:#?}");
    assert_eq!(repo.git(&["diff", "--name-only", "main", "agent/do-it"]), "a\nb\nc");
    repo.mark();
    repo.git(&["gc", "-q", "--prune=now"]);
    repo.agent(&["worktree", "merge", "do-it", "--into", "main"]).success();
    assert_eq!(repo.git(&["diff", "--name-only", "main", "agent/do-it"]), "");
    repo.assert_whole();
}

#[test]
fn s08_the_shared_configuration_is_the_same_after_an_agent_set_out_to_break_it() {
    let repo = Repo::new();
    let before = Untouched::of(&repo);
    let command = "echo 1 >a; cd \"$PWD\" && git status --short";
    assert_eq!(run(&repo, &plainly, bash_script(command), &["Do it"]).code, 0);
    assert_eq!(Untouched::of(&repo), before);
    repo.assert_whole();
}

#[test]
fn x03_what_an_agent_planted_in_a_nested_repository_is_never_run() {
    let repo = Repo::new();
    let trace = repo.home().root().join("sprung");
    let trap = trace.display();
    let command = format!(
        "git init -q nested; cd nested; echo 1 >f; printf '#!/bin/sh\\necho x >>{trap}\\n' >t; \
         chmod +x t; cp t .git/hooks/post-checkout; git config core.fsmonitor \"$PWD/t\"; \
         git config diff.external \"$PWD/t\"; git config core.pager \"$PWD/t\"; \
         git config filter.evil.clean \"$PWD/t\"; echo '* filter=evil' >.gitattributes"
    );
    assert_eq!(run(&repo, &plainly, bash_script(&command), &["Do it"]).code, 0);
    for args in [&["list"][..], &["status", "do"], &["diff", "do"], &["worktree", "remove", "do"]] {
        repo.agent(args);
    }
    assert!(!trace.exists());
    repo.assert_whole();
}

#[test]
fn s07_a_lock_of_another_git_does_not_stop_a_session() {
    let repo = Repo::new();
    let lock = repo.main().join(".git/index.lock");
    fs::write(&lock, "").expect("a new file");
    assert_eq!(run(&repo, &plainly, small_script(), &["Do it"]).code, 0);
    assert!(lock.is_file());
    let out = repo.agent(&["worktree", "merge", "do-it"]);
    assert_eq!(out.code, 1, "{out:#?}");
    assert!(out.stderr.contains("index.lock"), "{out:#?}");
    assert_eq!(repo.git(&["log", "-1", "--format=%s", "main"]), "Add the library");
    fs::remove_file(lock).expect("it is there");
    repo.agent(&["worktree", "merge", "do-it"]).success();
    repo.assert_whole();
}
