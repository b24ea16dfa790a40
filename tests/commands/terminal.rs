//! Views on a terminal: colour, width, and Ctrl-C. By `script` and `timeout`, as Linux has them.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{PATIENCE, curious, go, patient, quick, ran};
use crate::flow::play::until;
use crate::support::repo::Repo;

/// What a command shows on a terminal with these variables.
fn shown(repo: &Repo, env: &[(&str, &str)], verb: &str) -> String {
    let typed = format!("git-agent {verb}");
    let cmd = repo.home().cmd("script").dir(repo.dir()).args(&["-qec", &typed, "/dev/null"]);
    let cmd = cmd.env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8");
    let cmd = env.iter().fold(cmd, |cmd, (key, value)| cmd.env(key, value));
    cmd.run().success().replace("\r\n", "\n")
}

#[test]
fn p11_every_view_fits_its_terminal() {
    let repo = Repo::new();
    let task =
        "Add 限流 to the login endpoint 👩‍💻, and say in the documentation how it is configured";
    ran(&repo, task, &curious(&repo), &["--worktree", "limit"]);
    ran(&repo, "say hi", &quick(&repo), &["--verify", "true"]);
    let everything = &["list", "status say-hi", "status limit", "log say-hi", "log limit"][..];
    for (columns, verbs) in [("80", everything), ("40", &["list"]), ("20", &["list"])] {
        for verb in verbs {
            let text = shown(&repo, &[("COLUMNS", columns), ("NO_COLOR", "1")], verb);
            // A path is never cut: it is there to be copied.
            let lines = text
                .lines()
                .filter(|line| !line.contains("worktree") && !line.starts_with("hint:"));
            for line in lines {
                let width = unicode_width::UnicodeWidthStr::width(line);
                assert!(width <= columns.parse().unwrap(), "{verb} at {columns}: {width} {line:?}");
            }
        }
    }
}

#[test]
fn p09_colour_is_for_terminals_that_want_it() {
    let repo = Repo::new();
    ran(&repo, "say hi", &quick(&repo), &[]);
    let escape = '\u{1b}';
    for verb in ["list", "status say-hi", "log say-hi", "status nope || true"] {
        assert!(shown(&repo, &[], verb).contains(escape), "{verb}");
        assert!(!shown(&repo, &[("NO_COLOR", "1")], verb).contains(escape), "{verb}");
        assert!(!shown(&repo, &[("TERM", "dumb")], verb).contains(escape), "{verb}");
    }
    let piped = repo.agent(&["list", "--color", "always"]).success();
    assert!(piped.contains(escape));
    let plain = repo.agent(&["list"]).success();
    assert!(!plain.contains(escape) && plain.is_ascii(), "{plain}");
}

#[test]
fn p07_ctrl_c_leaves_the_view_and_not_the_session() {
    let repo = Repo::new();
    repo.agent(&["start", "wait here", "--model", &patient(&repo)]).success();
    repo.wait_state("wait-here", "running", PATIENCE);
    for verb in [&["attach", "wait-here"][..], &["log", "-f", "wait-here"]] {
        let program = repo.home().program().to_str().unwrap();
        let interrupt = ["--preserve-status", "-s", "INT", "0.5", program];
        let out = repo.home().cmd("timeout").dir(repo.dir()).args(&interrupt).args(verb).run();
        let out = repo.normal(&out);
        assert_eq!(out.code, 130, "{out:#?}");
        assert_eq!(
            out.stderr,
            "Left the view; wait-here-[id] goes on\n\
             hint: git agent attach wait-here-[id]    git agent pause wait-here-[id]\n"
        );
        repo.wait_state("wait-here", "running", PATIENCE);
    }
    go(&repo);
    repo.wait_state("wait-here", "done", PATIENCE);
}

#[test]
fn a_terminal_that_follows_calls_its_person() {
    let repo = Repo::new();
    let follow = format!("start 'ask me' --model {} --attach || true", curious(&repo));
    let bell = '\u{7}';
    assert!(!shown(&repo, &[], &follow).contains(bell));
    repo.git(&["config", "agent.notify", "bell,desktop"]);
    let called = shown(&repo, &[("TERM_PROGRAM", "iTerm.app")], &follow);
    assert_eq!(called.matches(bell).count(), 1, "{called:?}");
    let notice = called.split("\u{1b}]9;").nth(1).and_then(|rest| rest.split("\u{1b}\\").next());
    let (id, text) = notice.unwrap().split_once(' ').unwrap();
    assert!(repo.session_ids().contains(&id.to_owned()), "{called:?}");
    assert_eq!(text, "needs input: Which store? 1. Redis 2. memory");
    // What has been is no news.
    assert!(!shown(&repo, &[], &format!("attach {id} || true")).contains(bell));
    // In words that a terminal could take for its own there is nothing to take.
    repo.git(&["config", "agent.notifyOn", "done"]);
    assert!(!shown(&repo, &[], &follow).contains(bell));
}

#[test]
fn p08_ctrl_c_during_a_landing_changes_nothing() {
    let repo = Repo::new();
    ran(&repo, "say hi", &quick(&repo), &[]);
    let root = repo.home().root();
    let hook = repo.common_dir().join("hooks/reference-transaction");
    let script = format!(
        "#!/bin/sh\ngrep -q refs/heads/main && until test -e '{0}/go'; do sleep 0.02; done\nexit 0\n",
        root.display()
    );
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let standing = || [repo.git(&["for-each-ref"]), repo.git(&["status", "--porcelain"])];
    let before = standing();
    let program = repo.home().program().to_str().unwrap();
    let merge = ["--preserve-status", "-s", "INT", "1", program, "worktree", "merge", "say-hi"];
    let out = repo.home().cmd("timeout").dir(repo.dir()).args(&merge).run();
    assert_eq!((out.code, out.stdout.as_str()), (130, ""), "{out:#?}");
    go(&repo);
    until("the hook has ended", || repo.home().processes().is_empty());
    assert_eq!(standing(), before);
    fs::remove_file(hook).unwrap();
    repo.agent(&["worktree", "merge", "say-hi"]).success();
    repo.git(&["fsck", "--strict", "--no-dangling"]);
}

#[test]
fn p11_a_worktree_is_shown_whole_and_as_one_types_it() {
    let repo = Repo::new();
    let id = ran(&repo, "ask me", &curious(&repo), &[]);
    let at = |columns| shown(&repo, &[("COLUMNS", columns), ("NO_COLOR", "1")], "worktree list");
    let wide = at("80");
    let row: Vec<&str> = wide.lines().nth(1).unwrap().split("  ").map(str::trim).collect();
    assert_eq!(row, [id.as_str(), "needs input", "agent/ask-me", "../shop.worktrees/ask-me"]);
    let narrow = at("50");
    assert_eq!(narrow.lines().nth(2), Some("  └ ../shop.worktrees/ask-me"), "{narrow}");
}

#[test]
fn a_terminal_of_ascii_gets_ascii() {
    let repo = Repo::new();
    ran(&repo, "ask me", &curious(&repo), &[]);
    ran(&repo, "say hi", &quick(&repo), &["--verify", "true"]);
    let start = format!("start 'one more' --model {} --wait || true", quick(&repo));
    for verb in ["list", "status ask-me", "status say-hi", "log say-hi", "worktree list", &start] {
        let text = shown(&repo, &[("LC_ALL", "C"), ("NO_COLOR", "1")], verb);
        assert!(text.is_ascii(), "{verb}: {text}");
    }
}
