//! What commands reach of the network: what was allowed, and nothing else.
//!
//! Invariant: the hosts are listeners of the test's own, on this machine; where there is no full
//! sandbox that is said, and nothing is taken for held.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::json;

use crate::flow::play::Play;
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Turn};

/// Asks the proxy, as any program that knows the usual variables does.
const ASK: &str = r#"ask() { exec 3<>/dev/tcp/127.0.0.1/${http_proxy##*:} &&
    printf '%s HTTP/1.1\r\n\r\n' "$1" >&3 && cat <&3; echo; }
"#;

/// A host that says hello to whoever connects, for the rest of the test process.
fn host() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let mut client = client;
            let mut head = [0; 512];
            // Who does not ask is told all the same.
            drop(client.read(&mut head));
            drop(client.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello\n"));
        }
    });
    port
}

fn bash(command: &str) -> Turn {
    Turn::call("bash", json!({"command": format!("{ASK}{command}")}))
}

/// A session whose model runs these commands; none where this machine has no full sandbox.
fn play(commands: &[&str], args: &[&str]) -> Option<Play> {
    let repo = Repo::new();
    let doctor = repo.agent(&["doctor"]);
    if !doctor.stdout.contains("sandbox") || !doctor.stdout.contains("full, by") {
        eprintln!("skipped: this machine has no full sandbox");
        return None;
    }
    let turns = commands.iter().map(|command| bash(command)).chain([Turn::text("Done.")]);
    Some(Play::start_in(repo, Dialect::Anthropic, Script::new(turns), args))
}

fn outputs(play: &Play) -> Vec<String> {
    let ends = play.told("tool_call_update").into_iter();
    ends.map(|end| end["result"]["output"].as_str().expect("text").to_owned()).collect()
}

fn visits(play: &Play) -> Vec<String> {
    let visits = play.told("network").into_iter();
    visits.map(|it| format!("{} {}", it["place"], it["access"]).replace('"', "")).collect()
}

#[test]
fn x10_what_is_allowed_is_reached_through_the_proxy_and_nothing_directly() {
    let port = host();
    let here = format!("127.0.0.1:{port}");
    let direct = format!("exec 4<>/dev/tcp/127.0.0.1/{port} && echo ESCAPED; true");
    let ask = format!("ask 'GET http://{here}/'");
    let Some(play) = play(&[&direct, &ask], &["--allow-net", &here]) else { return };
    play.rests("done");
    let said = outputs(&play);
    assert!(!said[0].contains("ESCAPED"), "{said:#?}");
    assert!(said[1].contains("hello"), "{said:#?}");
    assert_eq!(visits(&play), [format!("{here} allowed")]);
    play.close();
}

#[test]
fn x17_a_host_that_is_blocked_is_told_to_the_model_and_asked_about() {
    let ask = "ask 'CONNECT evil.example:443'; ask 'GET http://169.254.169.254/latest/'";
    let Some(play) = play(&[ask, "echo again"], &[]) else { return };
    play.rests("needs-input");
    let asked: Vec<_> = play.told("question").iter().map(|it| it["text"].clone()).collect();
    let text = |host: &str| json!(format!("allow the network host {host}? deny leaves it blocked"));
    assert_eq!(asked, [text("evil.example:443"), text("169.254.169.254:80")]);
    let said = outputs(&play);
    assert!(said[0].contains("403 Forbidden"), "{said:#?}");
    assert!(said[0].contains("[network] blocked by the sandbox"), "{said:#?}");
    play.run("approve", &["--always"]).success();
    play.rests("needs-input");
    play.run("deny", &[]).success();
    play.rests("done");
    assert_eq!(play.repo.git(&["config", "agent.sandbox.allowHost"]), "evil.example");
    assert_eq!(visits(&play), ["evil.example:443 not_allowed", "169.254.169.254:80 not_allowed"]);
    play.close();
}

#[test]
fn x15_who_is_not_there_opens_nothing() {
    let Some(play) = play(&["ask 'CONNECT evil.example:443'"], &["--unattended"]) else { return };
    play.rests("done");
    let said = outputs(&play);
    assert!(said[0].contains("403 Forbidden") && said[0].contains("Go on without."), "{said:#?}");
    assert_eq!(play.told("question").len(), 0);
    play.close();
}

#[test]
fn a_host_that_is_none_and_a_sandbox_that_is_less_are_refused() {
    let repo = Repo::new();
    let start = ["start", "Do it", "--model", "replay/none", "--allow-net"];
    for host in ["*", "https://a.example", "user@a.example", "127.1"] {
        let out = repo.agent(&[&start[..], &[host]].concat());
        assert_eq!(out.code, 2, "{host}: {out:#?}");
    }
    assert_eq!(repo.session_ids(), Vec::<String>::new());
}
