//! Traps that commands leave for the program itself: links where it writes, programs where it looks
//! for some; a sandbox that is gone; and a set-up, which is a command like others.
//!
//! Invariant: what the program does outside for a session changes nothing but the session's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::network::host;
use crate::flow::play::{Play, until};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Turn};

fn bash(command: &str) -> Turn {
    Turn::call("bash", json!({ "command": command }))
}

/// A repository with a folder beside it that holds one file, where nothing is shown but what has to
/// be; none where there is no full sandbox.
fn repo() -> Option<Repo> {
    let mut repo = Repo::new();
    if !repo.agent(&["doctor"]).stdout.contains("full, by") {
        eprintln!("SKIPPED: this machine has no full sandbox");
        return None;
    }
    repo.git(&["config", "agent.sandbox.writable", ""]);
    repo.mark();
    fs::create_dir(repo.home().root().join("outside")).expect("a new folder");
    fs::write(repo.home().root().join("outside/file"), "kept\n").expect("a new file");
    Some(repo)
}

/// Asserts that nothing has come to the folder beside the repository.
fn assert_untouched(repo: &Repo) {
    let outside = repo.home().root().join("outside");
    let names: Vec<_> = fs::read_dir(&outside).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["file"]);
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "kept\n");
}

#[test]
fn x02_links_and_pipes_where_the_program_writes_lead_it_nowhere() {
    let Some(repo) = repo() else { return };
    let outside = repo.home().root().join("outside").display().to_string();
    let plant = format!(
        "cd \"$(git rev-parse --git-dir)\"; rm -rf refs info objects/info HEAD config index
         for name in refs info objects/info; do ln -s {outside} $name; done
         for name in index config; do ln -s {outside}/file $name; done; mkfifo HEAD
         mkdir -p objects/aa/b; chmod 0 objects/aa
         for n in $(seq 30); do ln -s {outside}/file /tmp/$n.sh; done"
    );
    let long = format!("echo long # {}", "x".repeat(110 << 10));
    let script = Script::new([
        bash(&plant),
        bash(&long),
        Turn::text("Done."),
        bash("git status --short && git log --oneline | tail -n 1"),
        Turn::text("Done."),
    ]);
    let play = Play::start_in(repo, Dialect::Anthropic, script, &[]);
    play.rests("done");
    play.run("say", &["Go on."]).success();
    play.wait_for_request(5);
    play.rests("done");
    let said: Vec<_> = play.told("tool_call_update").into_iter().collect();
    let output = |at: usize| said[at]["result"]["output"].as_str().unwrap().to_owned();
    assert!(output(1).contains("long"), "{said:#?}");
    assert!(output(2).starts_with("exit 0") && output(2).contains("Begin"), "{said:#?}");
    assert_untouched(&play.repo);
    play.close();
}

#[test]
fn x02_programs_in_the_worktree_are_none_of_ours_by_a_relative_path() {
    let Some(repo) = repo() else { return };
    let outside = repo.home().root().join("outside");
    let evil = format!("#!/bin/sh\ntouch {}/escaped\n", outside.display());
    let plant = format!(
        "mkdir -p bin; for name in git sh bash bwrap setsid git-lfs; do
            printf '{}' >bin/$name; chmod +x bin/$name
         done",
        evil.replace('\n', "\\n")
    );
    let path = std::env::var("PATH").unwrap();
    let program = repo.home().program().parent().unwrap().display().to_string();
    let path = format!("bin:./bin:.:{program}:{path}");
    let script = Script::new([bash(&plant), bash("true"), Turn::text("Done.")]);
    let env = [("PATH", path.clone())];
    let play = Play::start_with(repo, Dialect::Anthropic, script, &["--verify", "true"], &env);
    play.repo.wait_state("mend-the-shop", "done", crate::flow::play::SOON);
    let verbs: [&[&str]; 4] = [&["status"], &["diff"], &["rewind", "--to", "1"], &["remove", "-f"]];
    for verb in verbs {
        let args = [&verb[..1], &[play.id.as_str()], &verb[1..]].concat();
        let out = play.cmd(&args).env("PATH", &path).run();
        assert!(out.code < 128, "{verb:?}: {out:#?}");
    }
    assert_untouched(&play.repo);
}

#[test]
fn x01_a_sandbox_that_is_gone_pauses_the_session_and_is_made_anew() {
    let Some(repo) = repo() else { return };
    let script = Script::new([
        bash("touch begun; while [ ! -e go ]; do sleep 0.02; done"),
        bash("echo again >again.txt"),
        Turn::text("Done."),
    ]);
    let play = Play::start_in(repo, Dialect::Anthropic, script, &[]);
    until("a command runs", || play.worktree().join("begun").exists());
    let supervisor = play.supervisor().expect("it is run").as_raw_nonzero().get();
    let holders = holders_below(supervisor);
    assert!(!holders.is_empty());
    for pid in holders {
        kill_process(pid, Signal::KILL).expect("it is ours");
    }
    fs::write(play.worktree().join("go"), "").unwrap();
    let status = play.rests("paused");
    let reason = "the sandbox has gone: the holder of the namespaces has gone";
    assert_eq!(status["reason"], reason, "{status:#}");
    play.run("resume", &[]).success();
    play.rests("done");
    assert_eq!(play.committed("again.txt"), "again");
    play.close();
}

/// The processes that hold namespaces, among those that this one has started.
fn holders_below(parent: i32) -> Vec<Pid> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse::<i32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
        if fields.split(' ').nth(1) != Some(&parent.to_string()) {
            continue;
        }
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains("__inner") && ["\"wait\"", "{\"hold\""].iter().any(|it| line.contains(it))
        {
            found.extend(Pid::from_raw(pid));
            found.extend(holders_below(pid));
        }
    }
    found
}

#[test]
fn a_set_up_is_held_as_the_sessions_commands_are() {
    let Some(repo) = repo() else { return };
    let root = repo.home().root().to_owned();
    fs::create_dir_all(root.join("home/.ssh")).unwrap();
    fs::write(root.join("home/.ssh/id"), "SECRET").unwrap();
    let port = host();
    let set_up = format!(
        "grep -q SECRET ~/.ssh/id {root}/home/.ssh/id && exit 11
         test -n \"$ANTHROPIC_API_KEY\" && exit 12
         (echo x >{root}/outside/file; echo x >\"$GIT_AGENT_ROOT/new\"; \
            echo x >\"$GIT_AGENT_ROOT/.git/evil\") 2>/dev/null
         mv .git git 2>/dev/null && exit 13
         bash -c 'exec 9<>/dev/tcp/127.0.0.1/{port}' 2>/dev/null && exit 14
         test -z \"$(git status --porcelain)\" || exit 15
         git log -1 --format=%s >subject.tmp
         echo \"$GIT_AGENT_SESSION\" >id.tmp",
        root = root.display(),
    );
    repo.git(&["config", "agent.setup", &set_up]);
    let play = Play::start_in(repo, Dialect::Anthropic, Script::new([Turn::text("Done.")]), &[]);
    play.rests("done");
    assert_untouched(&play.repo);
    let made = |name: &str| fs::read_to_string(play.worktree().join(name)).unwrap();
    assert_eq!(
        (made("subject.tmp"), made("id.tmp")),
        ("Add the library\n".into(), format!("{}\n", play.id))
    );
    assert!(!play.repo.main().join("new").exists());
    play.close();
}

#[test]
fn a_set_up_reaches_the_hosts_that_were_allowed_and_says_which_were_not() {
    let Some(repo) = repo() else { return };
    let here = format!("127.0.0.1:{}", host());
    let set_up = format!(
        "bash -c 'exec 3<>/dev/tcp/127.0.0.1/${{http_proxy##*:}}; \
            printf \"GET http://{here}/ HTTP/1.1\\r\\n\\r\\n\" >&3; cat <&3' | grep hello"
    );
    repo.git(&["config", "agent.setup", &set_up]);
    let start = ["start", "Mend the shop", "--model", "replay/none"];
    let transcript = crate::commands::transcript(&repo, "one.jsonl", &[json!("Done.")]);
    let model = [&start[..3], &[transcript.as_str(), "--wait"]].concat();
    let out = repo.agent(&model);
    assert_eq!(out.code, 1, "{out:#?}");
    let said = format!("the sandbox blocked {here}");
    assert!(out.stderr.contains(&said), "{out:#?}");
    let hint = format!(
        "hint: git agent start … --allow-net {here} (always: agent.sandbox.allowHost)\n\
         hint: git config --show-origin --get agent.setup; nothing was kept\n"
    );
    assert!(out.stderr.ends_with(&hint), "{out:#?}");
    assert_eq!(repo.session_ids(), Vec::<String>::new());
    let out = repo.agent(&[&model[..], &["--allow-net", &here]].concat());
    assert_eq!(out.code, 0, "{out:#?}");
    let log = repo.agent(&["log", &repo.session_ids()[0]]).success();
    assert!(log.contains(&here), "{log}");
    repo.assert_whole();
}

#[test]
fn files_that_are_no_files_are_waited_for_by_no_tool() {
    let Some(repo) = repo() else { return };
    let outside = repo.home().root().join("outside/file");
    let edit = json!({"file_path": "hard", "old_string": "kept", "new_string": "new"});
    let script = Script::new([
        bash(
            "mkfifo pipe; perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0) && bind(S, pack_sockaddr_un(\"sock\"))'; ln -s /dev/zero zero; touch begun; while [ ! -e go ]; do sleep 0.02; done",
        ),
        Turn::call("read", json!({"file_path": "pipe"}))
            .and_call("read", json!({"file_path": "sock"}))
            .and_call("read", json!({"file_path": "zero"}))
            .and_call("search", json!({"pattern": "needle"})),
        Turn::call("write", json!({"file_path": "pipe", "content": "x"})),
        Turn::call("edit", json!({"file_path": "sock", "old_string": "a", "new_string": "b"})),
        Turn::call("read", json!({"file_path": "hard"})),
        Turn::call("edit", edit),
        Turn::text("Done."),
    ]);
    let play = Play::start_in(repo, Dialect::Anthropic, script, &[]);
    until("a command runs", || play.worktree().join("begun").exists());
    // As a person may have one, or a package manager.
    fs::hard_link(&outside, play.worktree().join("hard")).unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(play.worktree().join("go"), "").unwrap();
    play.rests("done");
    let ends = play.told("tool_call_update");
    let said: Vec<_> =
        ends[1..].iter().map(|end| end["result"]["output"].as_str().unwrap()).collect();
    assert_eq!(said[0], "pipe is neither a file nor a folder.\n");
    assert_eq!(said[1], "sock is neither a file nor a folder.\n");
    assert!(said[2].contains("leads out of the worktree"), "{said:#?}");
    assert!(said[4].starts_with("pipe is not a plain file."), "{said:#?}");
    assert!(said[5].starts_with("sock is not a plain file."), "{said:#?}");
    assert_eq!(play.committed("hard"), "new");
    assert_eq!(mode(&play.worktree().join("hard")), 0o640);
    assert_untouched(&play.repo);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
