//! What a step's commit holds, whatever a command did to the disk.
//!
//! Invariant: each tree is compared as a whole, as git itself lists it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::journey::{plainly, run, status, told};
use super::worktree::bash_script;
use crate::support::repo::Repo;
use crate::support::server::{Script, Turn};

/// Modes and paths of a commit, one a line.
fn listed(repo: &Repo, commit: &str) -> String {
    let long = repo.git(&["ls-tree", "-r", "--full-tree", commit]);
    let short = |line: &str| {
        let (meta, path) = line.split_once('\t').expect("a line of ls-tree");
        format!("{} {path}\n", &meta[..6])
    };
    long.lines().map(short).collect()
}

/// Runs a session of these commands, a step each; it has to be done at the end.
fn did(repo: &Repo, commands: &[&str]) -> PathBuf {
    let call = |command: &&str| Turn::call("bash", json!({ "command": command }));
    let turns = commands.iter().map(call).chain([Turn::text("Done.")]);
    let out = run(repo, &plainly, Script::new(turns), &["Do it"]);
    assert_eq!(out.code, 0, "{out:#?}");
    let worktree = repo.home().root().join("shop.worktrees/do-it");
    assert_eq!(status(repo, &worktree), "");
    repo.assert_whole();
    worktree
}

#[test]
fn s21_s23_every_kind_of_change_is_kept_as_it_is() {
    let repo = Repo::new();
    let first = "chmod -x run.sh; printf x >plain; chmod +x docs/guide.md; ln -s plain link; \
                 mkdir dir; printf 1 >dir/f; mv README.md readme.md; printf 2 >'tab\there'; \
                 printf 3 >\"$(printf 'bad\\377name')\"; printf 4 >'new\nline'; mkdir empty; \
                 printf 5 >one.tmp; rm -r src; printf 7 >name; printf 8 >Name";
    let second = "rm -r dir; printf 1 >dir; rm plain; mkdir plain; printf x >plain/in; \
                  rm link; printf y >link; ln -s nowhere src; chmod -x docs/guide.md; \
                  chmod +x run.sh";
    did(&repo, &[first, second]);
    assert_eq!(
        listed(&repo, "agent/do-it~1"),
        "100644 .gitignore\n100644 Name\n100644 \"bad\\377name\"\n100644 dir/f\n\
         100755 docs/guide.md\n120000 link\n100644 name\n100644 \"new\\nline\"\n100644 plain\n\
         100644 readme.md\n100644 run.sh\n100644 \"tab\\there\"\n"
    );
    assert_eq!(
        listed(&repo, "agent/do-it"),
        "100644 .gitignore\n100644 Name\n100644 \"bad\\377name\"\n100644 dir\n\
         100644 docs/guide.md\n100644 link\n100644 name\n100644 \"new\\nline\"\n\
         100644 plain/in\n100644 readme.md\n100755 run.sh\n120000 src\n100644 \"tab\\there\"\n"
    );
}

#[test]
fn s18_links_are_stored_and_never_followed_out() {
    let repo = Repo::new();
    let outside = repo.home().root().join("outside");
    fs::create_dir(&outside).expect("a new folder");
    fs::write(outside.join("theirs.txt"), "theirs\n").expect("a new file");
    let links = format!("ln -s '{}' out; ln -s . self; ln -s loop loop", outside.display());
    let write = |path: &str| json!({"file_path": path, "content": "ours\n"});
    let edit = json!({"file_path": "out/theirs.txt", "old_string": "theirs", "new_string": "ours"});
    let script = Script::new([
        Turn::call("bash", json!({ "command": links })),
        Turn::call("write", write("out/new.txt")),
        Turn::call("edit", edit),
        Turn::call("write", write("../../outside/new.txt")),
        Turn::call("write", write(".git/hooks/post-commit")),
        Turn::call("write", write("loop/x")),
        Turn::text("Done."),
    ]);
    let out = run(&repo, &plainly, script, &["Do it"]);
    assert_eq!(out.code, 0, "{out:#?}");
    let names: Vec<_> = fs::read_dir(&outside).expect("it is there").flatten().collect();
    assert_eq!(names.len(), 1);
    let theirs = fs::read_to_string(outside.join("theirs.txt")).expect("it is there");
    assert_eq!(theirs, "theirs\n");
    let tree = listed(&repo, "agent/do-it");
    let wanted = "120000 loop\n120000 out\n100755 run.sh\n120000 self\n";
    assert!(tree.contains(wanted), "{tree}");
    let target = repo.git(&["cat-file", "blob", "agent/do-it:out"]);
    assert_eq!(Path::new(&target), outside);
    repo.assert_whole();
}

#[test]
fn s01_s19_s22_what_is_left_out_is_said_in_journal_and_status() {
    let repo = Repo::new();
    repo.git(&["config", "agent.maxFileSize", "1k"]);
    let command = "git init -q empty-repo; echo 1 >empty-repo/f; git init -q full-repo; \
                   cd full-repo; echo 1 >f; git add f; \
                   git -c user.name=A -c user.email=a@b commit -qm x; cd ..; \
                   head -c 2000 /dev/zero >big.bin; head -c 1000 /dev/zero >small.bin; \
                   mkfifo pipe; mkdir .GIT; echo evil >.GIT/config; echo 1 >taken.txt";
    let script = bash_script(command);
    assert_eq!(run(&repo, &plainly, script, &["Do it"]).code, 0);
    let tree = listed(&repo, "agent/do-it");
    assert_eq!(
        tree,
        "100644 .gitignore\n100644 README.md\n100644 docs/guide.md\n100755 run.sh\n\
         100644 small.bin\n100644 src/lib.txt\n100644 taken.txt\n"
    );
    let left_out = [
        ".GIT: a name that git refuses",
        "big.bin: 2000 bytes are more than a snapshot takes",
        "empty-repo: a repository of its own",
        "full-repo: a repository of its own",
        "pipe: neither a file, a folder nor a link",
    ];
    let journal = repo.agent(&["log", "do-it", "--json"]).success();
    let wanted = serde_json::to_string(&left_out).expect("it is JSON");
    assert!(journal.contains(&wanted), "{wanted}\n{journal}");
    let card = repo.agent(&["status", "do-it"]).success();
    for line in left_out {
        assert!(card.contains(line), "{line}\n{card}");
    }
    // All of it is in the way of a removal, which would lose it.
    let out = repo.agent(&["worktree", "remove", "do-it"]);
    assert_eq!(out.code, 1, "{out:#?}");
    for line in left_out {
        let path = line.split(": ").next().expect("a path");
        assert!(out.stderr.contains(path), "{path}: {out:#?}");
    }
    assert!(repo.home().root().join("shop.worktrees/do-it/full-repo/f").is_file());
    repo.assert_whole();
}

#[test]
fn s22_a_thousand_files_in_one_step() {
    let repo = Repo::new();
    did(&repo, &["mkdir many && cd many && seq 1000 | split -l 1 -a 3 - f", "rm -r many"]);
    assert_eq!(listed(&repo, "agent/do-it~1").lines().count(), 5 + 1000);
    assert_eq!(listed(&repo, "agent/do-it").lines().count(), 5);
}

#[test]
fn s15_line_ends_a_mark_and_a_missing_end_are_kept_by_an_edit() {
    let mut repo = Repo::new();
    repo.write("dos.txt", "\u{feff}one\r\ntwo\r\nthree");
    repo.commit("Add a file from elsewhere");
    repo.mark();
    let edit = json!({"file_path": "dos.txt", "old_string": "two", "new_string": "2\nand more"});
    let script = Script::new([Turn::call("edit", edit), Turn::text("Done.")]);
    assert_eq!(run(&repo, &plainly, script, &["Do it"]).code, 0);
    let stored = repo.git(&["cat-file", "blob", "agent/do-it:dos.txt"]);
    assert_eq!(stored, "\u{feff}one\r\n2\r\nand more\r\nthree");
    repo.assert_whole();
}

#[test]
fn s14_filters_and_line_ends_are_applied_both_ways() {
    let mut repo = Repo::new();
    repo.git(&["config", "filter.caesar.clean", "tr a-z b-za"]);
    repo.git(&["config", "filter.caesar.smudge", "tr b-za a-z"]);
    repo.git(&["config", "filter.caesar.required", "true"]);
    repo.write(".gitattributes", "*.sec filter=caesar\n*.crlf text eol=crlf\n");
    repo.write("old.sec", "abc\n");
    repo.write("old.crlf", "one\r\n");
    repo.commit("Add a secret");
    repo.mark();
    let worktree = did(
        &repo,
        &["printf 'xyz\\n' >>old.sec; printf 'new\\n' >new.sec; printf 'two\\r\\n' >>old.crlf"],
    );
    let blob = |path: &str| repo.git(&["cat-file", "blob", &format!("agent/do-it:{path}")]);
    assert_eq!(blob("old.sec"), "bcd\nyza");
    assert_eq!(blob("new.sec"), "ofx");
    assert_eq!(blob("old.crlf"), "one\ntwo");
    let text = |path: &str| fs::read_to_string(worktree.join(path)).expect("it is there");
    assert_eq!((text("old.sec"), text("old.crlf")), ("abc\nxyz\n".into(), "one\r\ntwo\r\n".into()));
    // They come back, and land, as a person sees them.
    repo.agent(&["worktree", "remove", "do-it"]).success();
    repo.agent(&["worktree", "restore", "do-it"]).success();
    assert_eq!((text("old.sec"), text("old.crlf")), ("abc\nxyz\n".into(), "one\r\ntwo\r\n".into()));
    repo.agent(&["worktree", "merge", "do-it"]).success();
    let landed = fs::read_to_string(repo.main().join("old.sec")).expect("it is there");
    assert_eq!(landed, "abc\nxyz\n");
    repo.assert_whole();
}

#[test]
fn s14_a_missing_filter_pauses_and_stores_nothing_raw() {
    let repo = Repo::new();
    let command = "printf '*.sec filter=lfs\\n' >.gitattributes; printf 'raw\\n' >a.sec";
    let out = run(&repo, &plainly, bash_script(command), &["Do it"]);
    assert_eq!(out.code, 3, "{out:#?}");
    let said = "a.sec needs the filter lfs, which is not configured";
    assert!(out.stderr.contains(said), "{out:#?}");
    assert_eq!(told(&repo, "do-it")["state"], "paused");
    assert_eq!(repo.git(&["log", "--format=%s", "main..agent/do-it"]), "");
    let raw = repo.home().cmd("git").dir(repo.main()).args(&["hash-object", "--stdin"]);
    let raw = raw.stdin("raw\n").run().success();
    let there = repo.home().cmd("git").dir(repo.main()).args(&["cat-file", "-e", raw.trim()]);
    assert_ne!(there.run().code, 0);
    repo.assert_whole();
}

#[test]
fn w02_a_filter_that_fails_ends_the_start_and_leaves_nothing() {
    let mut repo = Repo::new();
    repo.git(&["config", "filter.lfs.clean", "cat"]);
    repo.git(&["config", "filter.lfs.smudge", "cat"]);
    repo.git(&["config", "filter.lfs.required", "true"]);
    repo.write(".gitattributes", "*.sec filter=lfs\n");
    repo.write("a.sec", "a\n");
    repo.commit("Add a secret");
    repo.git(&["config", "filter.lfs.smudge", "false"]);
    repo.mark();
    let refs = repo.git(&["for-each-ref"]);
    let out = run(&repo, &plainly, Script::new([]), &["Do it"]);
    assert_eq!((out.code, out.stdout.as_str()), (1, ""), "{out:#?}");
    assert!(out.stderr.contains("a.sec"), "{out:#?}");
    assert_eq!(repo.git(&["for-each-ref"]), refs);
    assert_eq!(repo.git(&["worktree", "list"]).lines().count(), 1);
    assert!(!repo.home().root().join("shop.worktrees/do-it").exists());
    assert_eq!(repo.session_ids(), Vec::<String>::new());
    repo.assert_whole();
}

#[test]
fn s01_a_file_that_cannot_be_read_pauses_and_the_next_take_has_it() {
    // Everything is readable to root.
    if rustix::process::geteuid().is_root() {
        return;
    }
    let repo = Repo::new();
    let out = run(&repo, &plainly, bash_script("echo 1 >a; chmod 0 a; echo 2 >b"), &["Do it"]);
    assert_eq!(out.code, 3, "{out:#?}");
    assert!(out.stderr.contains("cannot read a"), "{out:#?}");
    let file = repo.home().root().join("shop.worktrees/do-it/a");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a file of ours");
    assert_eq!(repo.git(&["log", "--format=%s", "main..agent/do-it"]), "");
}
