//! Sessions that are not there, cannot be read, or will not do what is asked of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{PATIENCE, curious, file_of, go, patient, quick, ran, refused, refused_cmd, said};
use crate::support::repo::Repo;

#[test]
fn nobody_of_that_name() {
    let repo = Repo::new();
    let id = ran(&repo, "say hi", &quick(&repo), &[]);
    for verb in [
        &["status"][..],
        &["log"],
        &["diff"],
        &["attach"],
        &["say"],
        &["pause"],
        &["resume"],
        &["stop"],
        &["worktree", "switch"],
    ] {
        let args = [verb, &["nope"]].concat();
        refused(&repo, &args, 2, "error: no session 'nope'\nhint: git agent list\n");
    }
    // No id ends in a 1.
    let near = format!("{}1", &id[..id.len() - 1]);
    let out = repo.agent(&["status", &near]);
    assert_eq!(out.code, 2);
    let wanted =
        format!("error: no session '{near}'\nhint: Did you mean {id}?\nhint: git agent list\n");
    assert_eq!(out.stderr, wanted);
}

#[test]
fn r20_two_that_may_be_meant_are_named() {
    let repo = Repo::new();
    let model = quick(&repo);
    let ids = [ran(&repo, "say hello", &model, &[]), ran(&repo, "say howdy", &model, &[])];
    refused(
        &repo,
        &["status", "say-h"],
        2,
        "error: 'say-h' may be any of say-hello-[id], say-howdy-[id]\nhint: Give more of its id\n",
    );
    // The same title twice: the id tells them apart, and the name is the first one's.
    let again = ran(&repo, "say hello", &model, &[]);
    let of = |given: &str| repo.agent(&["status", given]).stdout.lines().next().map(str::to_owned);
    assert_eq!(of(&again), Some(format!("{again}  done")));
    assert_eq!(of("say-hello"), Some(format!("{}  done", ids[0])));
}

#[test]
fn one_that_cannot_be_read_hides_no_other() {
    let repo = Repo::new();
    let model = quick(&repo);
    let (bad, good) = (ran(&repo, "go bad", &model, &[]), ran(&repo, "say hi", &model, &[]));
    let listed = |warning: &str| {
        let out = repo.agent(&["list"]);
        assert_eq!(repo.normal(&out).stderr, warning);
        assert!(out.stdout.contains(&good) && !out.stdout.contains(&bad), "{}", out.stdout);
        assert_eq!(out.code, 0);
    };
    let path = "[ROOT]/shop/.git/agent/sessions/go-bad-[id]";
    for (file, bytes, what) in [
        ("state.toml", "{", "is damaged: line 1: invalid key-value pair, expected key"),
        ("state.toml", "phase = \"done\"", "is damaged: line 1: missing field `format`"),
        ("spec.toml", "form", "is damaged: line 1: key with no value, expected `=`"),
        ("spec.toml", "format = 99", "is in format 99; this git-agent knows format 1"),
    ] {
        let place = file_of(&repo, &bad, file);
        let kept = fs::read(&place).unwrap();
        fs::write(&place, bytes).unwrap();
        let session = if file == "spec.toml" { "session go-bad-[id] cannot be read: " } else { "" };
        let hint = if bytes.contains("99") {
            "A newer git-agent wrote it: update this one. Nothing was changed".to_owned()
        } else {
            "git agent doctor --fix".to_owned()
        };
        let line = format!("{session}{path}/{file} {what}\nhint: {hint}\n");
        listed(&format!("warning: {line}"));
        refused(&repo, &["status", "go-bad"], 1, &format!("error: {line}"));
        refused(&repo, &["say", "go-bad", "hi"], 1, &format!("error: {line}"));
        fs::write(&place, kept).unwrap();
    }
    said(
        &repo,
        &["list", "--state", "running"],
        0,
        "",
        "No sessions.\nhint: git agent start \"…\"\n",
    );
    // The hint tells the truth.
    for file in ["state.toml", "spec.toml"] {
        let (place, before) = (file_of(&repo, &bad, file), repo.agent(&["status", &bad, "--json"]));
        fs::write(&place, "{").unwrap();
        let out = repo.agent(&["doctor", "--fix"]);
        let mended = format!("{file} of {bad} is back from its ref");
        assert!(out.stdout.contains(&mended), "{}", out.stdout);
        assert_eq!(repo.agent(&["status", &bad, "--json"]).stdout, before.stdout);
        assert_eq!(fs::read_to_string(place.with_extension("toml.damaged")).unwrap(), "{");
    }
}

#[test]
fn one_without_the_right_to_read_it() {
    let repo = Repo::new();
    let id = ran(&repo, "go bad", &quick(&repo), &[]);
    let state = file_of(&repo, &id, "state.toml");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o0)).unwrap();
    if fs::read(&state).is_ok() {
        // Who is root may read everything.
        return;
    }
    refused(
        &repo,
        &["status", "go-bad"],
        1,
        "error: failed to open file `[ROOT]/shop/.git/agent/sessions/go-bad-[id]/state.toml`: \
         Permission denied\n",
    );
    fs::set_permissions(&state, fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn what_a_newer_program_wrote_is_shown_and_left_alone() {
    let repo = Repo::new();
    let id = ran(&repo, "ask me", &curious(&repo), &[]);
    let path = file_of(&repo, &id, "state.toml");
    let newer = fs::read_to_string(&path).unwrap().replacen("format = 1", "format = 2", 1);
    fs::write(&path, format!("{newer}\n[later]\nthing = true\n")).unwrap();
    let out = repo.agent(&["list"]);
    assert!(out.stdout.contains("needs-input"), "{out:#?}");
    let refusal = "error: [ROOT]/shop/.git/agent/sessions/ask-me-[id]/state.toml is in format 2; \
                   this git-agent knows format 1\n\
                   hint: A newer git-agent wrote it: update this one. Nothing was changed\n";
    refused(&repo, &["say", "ask-me", "hi"], 1, refusal);
    fs::write(&path, newer.replace("needs-input", "paused")).unwrap();
    refused(&repo, &["resume", "ask-me"], 1, refusal);
}

#[test]
fn two_supervisors_for_one_session() {
    let repo = Repo::new();
    let model = patient(&repo);
    repo.agent(&["start", "wait here", "--model", &model]).success();
    let id = repo.session_ids().remove(0);
    repo.wait_state(&id, "running", PATIENCE);
    let common_dir = repo.common_dir();
    let out = repo.agent(&["supervise", common_dir.to_str().unwrap(), &id]);
    assert_eq!((out.code, out.stdout.as_str()), (1, ""));
    let said = repo.normal(&out).stderr;
    let (line, hint) = said.split_once('\n').unwrap();
    let line = line.trim_end_matches(|c: char| c.is_ascii_digit());
    assert_eq!(line, "error: session wait-here-[id] is run by process ");
    assert_eq!(
        hint,
        "hint: git agent status wait-here-[id]    git agent stop --kill wait-here-[id]\n"
    );
    said_nothing_to_resume(&repo);
    go(&repo);
    repo.wait_state(&id, "done", PATIENCE);
    repo.assert_whole();
}

fn said_nothing_to_resume(repo: &Repo) {
    said(repo, &["resume", "wait-here"], 0, "", "Nothing to resume: wait-here-[id] is running\n");
}

#[test]
fn what_has_landed_is_over() {
    let repo = Repo::new();
    ran(&repo, "say hi", &quick(&repo), &[]);
    repo.agent(&["worktree", "merge", "say-hi"]).success();
    refused(
        &repo,
        &["say", "say-hi", "more"],
        1,
        "error: session say-hi-[id] is landed and takes no more messages\n\
         hint: git agent start \"…\" begins another\n",
    );
    refused(
        &repo,
        &["resume", "say-hi"],
        1,
        "error: say-hi-[id] is landed and can't go on\n\
         hint: git agent start \"…\" begins another\n",
    );
    for verb in ["pause", "stop"] {
        refused(
            &repo,
            &[verb, "say-hi"],
            0,
            &format!("Nothing to {verb}: say-hi-[id] is landed\n"),
        );
    }
}

#[test]
fn what_rests_is_neither_paused_nor_resumed() {
    let repo = Repo::new();
    ran(&repo, "say hi", &quick(&repo), &[]);
    ran(&repo, "ask me", &curious(&repo), &[]);
    refused(
        &repo,
        &["resume", "say-hi"],
        1,
        "error: say-hi-[id] is done\nhint: git agent say say-hi-[id] \"…\" gives it more to do\n",
    );
    refused(&repo, &["pause", "say-hi"], 0, "Nothing to pause: say-hi-[id] is done\n");
    refused(&repo, &["stop", "say-hi"], 0, "Nothing to stop: say-hi-[id] is done\n");
    refused(
        &repo,
        &["resume", "ask-me"],
        1,
        "error: ask-me-[id] waits for an answer\nhint: git agent answer ask-me-[id] \"…\"\n",
    );
    refused(&repo, &["pause", "--all"], 0, "Nothing to pause: no session runs\n");
    let none = "Nothing to resume: no session is paused or interrupted\n";
    refused(&repo, &["resume", "--all"], 0, none);
    let how = "hint: Give it as an argument, with -F FILE, or with - on standard input\n";
    refused(
        &repo,
        &["say", "ask-me", ""],
        2,
        &format!("error: the text is empty, so nothing was done\n{how}"),
    );
    refused(&repo, &["say", "ask-me"], 2, &format!("error: there is no text\n{how}"));
    refused(
        &repo,
        &["log", "ask-me", "--record", "nowhere/t.jsonl"],
        1,
        "error: cannot write nowhere/t.jsonl: No such file or directory\n\
         hint: --record takes a file in a folder that is there, and that you may write to\n",
    );
}

#[test]
fn r16_a_worktree_that_was_deleted_by_hand() {
    let repo = Repo::new();
    let id = ran(&repo, "say hi", &quick(&repo), &[]);
    fs::remove_dir_all(repo.home().root().join("shop.worktrees/say-hi")).unwrap();
    let gone = "error: the worktree of say-hi-[id] is gone: [ROOT]/shop.worktrees/say-hi\n\
                hint: git agent worktree restore say-hi-[id]\n";
    refused(&repo, &["say", "say-hi", "more"], 1, gone);
    refused(&repo, &["diff", "say-hi", "--uncommitted"], 1, gone);
    let shown = repo.agent(&["status", &id]).success();
    assert!(shown.contains("\n  worktree  removed\n"), "{shown}");
}

#[test]
fn r19_a_folder_that_is_gone_under_ones_feet() {
    let repo = Repo::new();
    let script = format!(
        "mkdir ../brief && cd ../brief && rmdir ../brief && exec '{}' list",
        repo.home().program().display()
    );
    refused_cmd(
        &repo,
        repo.home().cmd("sh").dir(repo.dir()).args(&["-c", &script]),
        1,
        "error: the current folder is gone: No such file or directory\n\
         hint: cd to a folder that is there\n",
    );
}
