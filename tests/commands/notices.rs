//! Notices: told once, as data, beside the session; and channels that fail.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::{PATIENCE, curious, file_of, go, patient, ran, transcript};
use crate::flow::play::until;
use crate::support::repo::Repo;

/// Has each notice written to a file, one a line, as the command got it.
fn listen(repo: &Repo, on: &str) -> PathBuf {
    let told = repo.home().root().join("told");
    let line = format!("cat >>'{}'", told.display());
    repo.git(&["config", "agent.notify", "command"]);
    repo.git(&["config", "agent.notifyCommand", &line]);
    repo.git(&["config", "agent.notifyOn", on]);
    told
}

/// The notices that were told: event and text of each.
fn told(path: &PathBuf) -> Vec<(String, String)> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let notices = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    notices.map(|notice| (word(&notice["event"]), word(&notice["text"]))).collect()
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

/// Waits until no process of the test is left: what there was to tell is then told.
fn at_rest(repo: &Repo) {
    until("the supervisors have ended", || repo.home().processes().is_empty());
}

#[test]
fn k03_each_rest_and_milestone_is_told_once_over_restarts_too() {
    let repo = Repo::new();
    let file = listen(&repo, "needs-input,done,failed,milestone");
    let plan = |done: &str| json!(["plan", {"items": [{"text": "Look", "status": "done"}, {"text": "Do", "status": done}]}]);
    let ask = json!(["ask", {"question": "Which store?", "options": ["Redis"]}]);
    let answers = [plan("doing"), ask, plan("done"), json!("All is done.")];
    ran(&repo, "ask me", &transcript(&repo, "long.jsonl", &answers), &[]);
    at_rest(&repo);
    let mut wanted = owned(&[("milestone", "Look"), ("needs-input", "Which store?\n1. Redis")]);
    assert_eq!(told(&file), wanted);
    repo.agent(&["say", "ask-me", "Redis"]).success();
    repo.wait_state("ask-me", "done", PATIENCE);
    at_rest(&repo);
    wanted.extend(owned(&[("milestone", "Do"), ("done", "All is done.")]));
    assert_eq!(told(&file), wanted);
    // It runs again, and rests for want of an answer: that alone is news.
    repo.agent(&["say", "ask-me", "one more"]).success();
    repo.wait_state("ask-me", "paused", PATIENCE);
    at_rest(&repo);
    let all = told(&file);
    assert_eq!(all[..4], wanted);
    assert_eq!((all.len(), all[4].0.as_str()), (5, "needs-input"));
    let last = fs::read_to_string(&file).unwrap();
    let last: Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    let id = &repo.session_ids()[0];
    assert_eq!(last["title"], format!("{id} is paused"));
    assert_eq!(last["commands"], json!([format!("git agent resume {id}")]));
    assert_eq!(last["repository"], json!(repo.dir()));
    repo.assert_whole();
}

#[test]
fn k03_what_a_killed_run_had_told_is_not_told_again() {
    let repo = Repo::new();
    let file = listen(&repo, "needs-input,done,milestone");
    let wait =
        format!("until test -e '{}'; do sleep 0.02; done", repo.home().root().join("go").display());
    let plan = json!(["plan", {"items": [{"text": "Look", "status": "done"}]}]);
    let answers = [plan, json!(["bash", {"command": wait}]), json!("All is done.")];
    let model = transcript(&repo, "held.jsonl", &answers);
    repo.agent(&["start", "wait here", "--model", &model]).success();
    until("the milestone is told", || told(&file).len() == 1);
    let id = repo.session_ids().pop().unwrap();
    let pid = fs::read_to_string(file_of(&repo, &id, "lock")).unwrap();
    let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    repo.wait_state("wait-here", "interrupted", PATIENCE);
    at_rest(&repo);
    go(&repo);
    repo.agent(&["resume", "wait-here"]).success();
    repo.wait_state("wait-here", "done", PATIENCE);
    at_rest(&repo);
    assert_eq!(told(&file), owned(&[("milestone", "Look"), ("done", "All is done.")]));
}

#[test]
fn what_is_not_wanted_is_not_told_and_a_session_without_channels_keeps_no_mark() {
    let repo = Repo::new();
    let file = listen(&repo, "failed");
    let id = ran(&repo, "ask me", &curious(&repo), &[]);
    at_rest(&repo);
    assert_eq!(told(&file), []);
    let mark = file_of(&repo, &id, "notified.toml");
    assert!(mark.exists());
    // Who is told again later is not told of what was meanwhile.
    repo.git(&["config", "agent.notify", "none"]);
    repo.git(&["config", "agent.notifyOn", "needs-input,done"]);
    repo.agent(&["say", "ask-me", "Redis"]).success();
    repo.wait_state("ask-me", "done", PATIENCE);
    at_rest(&repo);
    assert!(!mark.exists());
    repo.git(&["config", "agent.notify", "command"]);
    repo.agent(&["say", "ask-me", "one more"]).success();
    repo.wait_state("ask-me", "paused", PATIENCE);
    at_rest(&repo);
    let told: Vec<_> = told(&file).into_iter().map(|(event, _)| event).collect();
    assert_eq!(told, ["needs-input"]);
}

#[test]
fn k04_a_channel_that_fails_or_hangs_harms_no_session() {
    let repo = Repo::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for channel in ["desktop", "command", "webhook"] {
        repo.git(&["config", "--add", "agent.notify", channel]);
    }
    repo.git(&["config", "agent.notifyCommand", "echo no such luck >&2; exit 7"]);
    repo.git(&["config", "agent.notifyWebhook", &format!("http://{free}/secret-path")]);
    let id = ran(&repo, "say hi", &super::quick(&repo), &[]);
    let log = || fs::read_to_string(file_of(&repo, &id, "supervisor.log")).unwrap();
    let is_told = |channel: &str| log().contains(&format!("not told channel=\"{channel}\""));
    until("the failures are in the log", || is_told("desktop") && is_told("command"));
    assert!(log().contains("exit 7: no such luck"), "{}", log());
    assert!(log().contains("no desktop here"), "{}", log());
    // The webhook is still being tried; a shutdown waits for nobody.
    let command = ["config", "agent.notifyCommand", "sleep 600"];
    repo.git(&command);
    ran(&repo, "say hi", &super::quick(&repo), &[]);
    until("the command hangs", || repo.home().processes().len() >= 2);
    for pid in repo.home().processes() {
        // One that has ended meanwhile is as good.
        let _ = kill_process(pid, Signal::TERM);
    }
    at_rest(&repo);
    assert!(!log().contains("secret-path"), "{}", log());
    repo.assert_whole();
}

/// Takes one request, answers it with this status, and gives it.
fn take(listener: &TcpListener, status: &str) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = String::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).unwrap();
        request.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            break;
        }
    }
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    request
}

#[test]
fn a_webhook_is_signed_and_tried_again() {
    let repo = Repo::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/hook", listener.local_addr().unwrap());
    repo.git(&["config", "agent.notify", "webhook"]);
    repo.git(&["config", "agent.notifyWebhook", &address]);
    repo.git(&["config", "agent.notifySecretCommand", "echo whsec_c2VjcmV0"]);
    let server = std::thread::spawn(move || {
        ["500 Internal Server Error", "200 OK"].map(|status| take(&listener, status))
    });
    let id = ran(&repo, "say hi", &super::quick(&repo), &[]);
    let requests = server.join().unwrap();
    let header = |request: &str, name: &str| -> String {
        let found = request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.unwrap_or_else(|| panic!("{name}: {request}")).to_owned()
    };
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"secret");
    for request in &requests {
        let body = request.split_once("\r\n\r\n").unwrap().1;
        let signed = format!(
            "{}.{}.{body}",
            header(request, "webhook-id"),
            header(request, "webhook-timestamp")
        );
        let signature = header(request, "webhook-signature");
        let tag = BASE64.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
        ring::hmac::verify(&key, signed.as_bytes(), &tag).unwrap();
        let notice: Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&notice["event"], &notice["session"], &notice["text"], &notice["branch"]),
            (&json!("done"), &json!(id), &json!("All is done."), &json!("agent/say-hi"))
        );
    }
    assert_eq!(header(&requests[0], "webhook-id"), header(&requests[1], "webhook-id"));
    at_rest(&repo);
}

#[test]
fn doctor_shows_the_channels_and_tries_them() {
    let repo = Repo::new();
    let notices = |args: &[&str]| -> Vec<String> {
        let out = repo.agent(args).stdout;
        let from = out.lines().skip_while(|line| !line.starts_with("notices"));
        from.take_while(|line| line.starts_with("notices") || line.starts_with(' '))
            .map(|line| line.trim_start_matches("notices").trim().to_owned())
            .collect()
    };
    assert_eq!(
        notices(&["doctor"]),
        ["absent  agent.notify is not set", "git config --global agent.notify desktop"]
    );
    let none = repo.agent(&["doctor", "--notify"]);
    assert_eq!(
        (none.code, none.stderr.as_str()),
        (
            1,
            "error: agent.notify names no channel, so nobody is told\n\
             hint: git config --global agent.notify desktop\n"
        )
    );
    let file = listen(&repo, "done");
    for (key, value) in
        [("agent.notify", "bell"), ("agent.notifyWebhook", "https://hooks.example.org/T00/secret")]
    {
        repo.git(&["config", "--add", key, value]);
    }
    let shown = notices(&["doctor"]);
    assert!(shown[0].starts_with("ok      command: cat >>"), "{shown:?}");
    assert_eq!(
        shown[1..],
        [
            "ok      bell: in terminals that follow a session",
            "warning agent.notifyWebhook is set, but agent.notify does not name webhook",
            "git config --global --add agent.notify webhook"
        ]
    );
    assert_eq!(
        repo.agent(&["doctor", "--notify"]).success(),
        "notices  ok      bell: rung, if this is a terminal\n         ok      command: told\n"
    );
    assert_eq!(told(&file), owned(&[("done", "This is how you are told of your sessions.")]));
    repo.git(&["config", "agent.notifyCommand", "exit 9"]);
    let out = repo.agent(&["doctor", "--notify"]);
    assert_eq!(
        (out.code, out.stdout.lines().last()),
        (1, Some("         missing command: exit 9"))
    );
}

#[test]
fn a_session_that_waits_is_not_held_up() {
    let repo = Repo::new();
    listen(&repo, "needs-input,done");
    repo.agent(&["start", "wait here", "--model", &patient(&repo)]).success();
    repo.wait_state("wait-here", "running", PATIENCE);
    repo.agent(&["pause", "wait-here"]).success();
    go(&repo);
    repo.wait_state("wait-here", "paused", PATIENCE);
    at_rest(&repo);
    // A pause by hand is no news to the hand.
    assert!(!repo.home().root().join("told").exists());
}
