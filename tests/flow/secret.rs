//! Secrets: nothing that is stored or sent on holds one, and no tool finds one.
//!
//! Invariant: the keys are made anew here; where one is looked for, everything is looked through.

use std::fs;

use serde_json::json;

use super::play::{Play, until};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Turn};

/// What comes behind `ghp_`, so that no whole key stands in a command or in this source.
const REST: &str = "kJ8f0Zq1Xw7Lm3PdR5tY9uB2nC6vH4sA0eGx";
/// What `.env` assigns.
const DB: &str = "tR7-pq2x_mm41zz";

fn key() -> String {
    format!("ghp_{REST}")
}

fn bash(command: &str) -> Turn {
    Turn::call("bash", json!({"command": command}))
}

fn repo() -> Repo {
    let mut repo = Repo::new();
    repo.write(".gitignore", "*.tmp\n.env\n");
    repo.write(".worktreeinclude", ".env\n");
    repo.git(&["add", "."]);
    repo.commit("Ignore .env");
    repo.write(".env", &format!("PORT=3000\nDB_PASSWORD={DB}\n"));
    repo.mark();
    repo
}

#[test]
fn h12_what_a_session_stores_and_sends_holds_no_secret() {
    let long =
        format!("for i in $(seq 3000); do echo line $i; done; a=ghp_; echo ${{a}}{REST} {REST}");
    let script = Script::new([
        Turn::text(&format!("I saw {} in a comment.", key()))
            .and_call("bash", json!({"command": "cat .env; env"})),
        Turn::empty()
            .and_thinking("No secret in the thought.")
            .and_call("bash", json!({"command": long})),
        bash(&format!("a=ghp_; echo token=${{a}}{REST} > a.txt; cat a.txt; rm a.txt")),
        Turn::call("write", json!({"file_path": "b.txt", "content": format!("{}\n", key())})),
        Turn::text(&format!("Use {DB}.\n\nAnd {}.", key()))
            .and_call("bash", json!({"command": "echo done > c.txt"})),
        Turn::call("finish", json!({"summary": format!("Used {}.", key())})),
    ]);
    let play = Play::start_in(repo(), Dialect::Anthropic, script, &["--verify", "cat .env"]);
    let told = play.run("say", &[&format!("the token is {}", key())]);
    assert!(told.stderr.contains("left out what looks like a secret"), "{}", told.stderr);
    play.rests("done");
    for secret in [key().as_str(), DB, Dialect::Anthropic.key()] {
        play.assert_nowhere(secret);
        for body in play.server.bodies() {
            assert!(!String::from_utf8_lossy(&body).contains(secret), "{secret} was sent on");
        }
    }
    play.close();
}

/// How many processes of the test there are, none of which shows the key.
#[cfg(target_os = "linux")]
fn seen_without(play: &Play, key: &str) -> usize {
    let mut seen = 0;
    for pid in play.repo.home().processes() {
        let read = |file: &str| fs::read(format!("/proc/{}/{file}", pid.as_raw_nonzero()));
        // One that has ended meanwhile has nothing to show.
        let (Ok(arguments), Ok(environ)) = (read("cmdline"), read("environ")) else { continue };
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        assert!(!arguments.contains(key), "{arguments}");
        // These two talk to the model, or start who does; nobody but the superuser can look.
        if !arguments.contains(" supervise ") && !arguments.contains(" guard ") {
            let environ = String::from_utf8_lossy(&environ);
            assert!(!environ.contains(key), "{arguments}: {environ}");
        }
        seen += 1;
    }
    seen
}

#[cfg(target_os = "linux")]
#[test]
fn x16_a_tool_finds_no_key_in_its_environment_and_nobody_finds_one_in_arguments() {
    let look = "tr '\\0' '\\n' </proc/self/environ; env; \
                ls -l /proc/self/fd; while [ ! -e ../go ]; do sleep 0.02; done";
    let play = Play::start_in(
        repo(),
        Dialect::Anthropic,
        Script::new([bash(look), Turn::text("Done.")]),
        &[],
    );
    play.wait_for_call();
    let key = Dialect::Anthropic.key();
    until("its tool runs", || seen_without(&play, key) >= 2);
    fs::write(play.worktree().join("../go"), "").unwrap();
    play.rests("done");
    let ended = &play.told("tool_call_update")[0]["result"]["output"];
    let output = ended.as_str().unwrap();
    assert!(output.contains("PATH="), "{output}");
    for trace in [key, "[REDACTED:", "API_KEY"] {
        assert!(!output.contains(trace), "{trace} in {output}");
    }
    play.close();
}

/// A session whose command writes a key into a file, up to the question about it.
fn leaking() -> Play {
    let leak = format!("a=ghp_; echo token=${{a}}{REST} > app.conf; echo two > b.txt");
    let again = "echo more >> app.conf; sed -i 's/more/much more/' app.conf; cp app.conf app.tmp";
    let script = Script::new([bash(&leak), bash(again), Turn::text("Done.")]);
    let play = Play::start_in(repo(), Dialect::Anthropic, script, &[]);
    play.rests("needs-input");
    let asked = play.told("question").pop().unwrap();
    let text = "keep these changes? app.conf has what looks like a secret at line 1: github-pat \
                ghp_…; deny puts them back";
    assert_eq!(asked["text"], text);
    play
}

#[test]
fn h12_a_secret_that_is_denied_is_put_back_and_no_ref_reaches_it() {
    let play = leaking();
    play.run("deny", &[]);
    play.rests("done");
    assert_eq!(play.committed("b.txt"), "two");
    assert_eq!(play.committed("app.conf"), "much more");
    let put_back = play.told("put_back").remove(0);
    let kept = format!("{}:app.conf", put_back["kept"].as_str().unwrap());
    assert_eq!(play.repo.git(&["show", &kept]), "token=[REDACTED:github-pat]");
    let reached = play.repo.git(&["rev-list", "--all", "--objects", "--no-object-names"]);
    for object in reached.lines() {
        let object = git_agent::process::Cmd::new("git").args(["cat-file", "-p", object]);
        let text = object.dir(play.repo.main()).run().unwrap().stdout;
        assert!(memchr::memmem::find(&text, key().as_bytes()).is_none(), "{kept}");
    }
    play.close();
}

#[test]
fn h12_a_false_alarm_is_asked_about_once() {
    let play = leaking();
    play.run("approve", &[]);
    play.rests("done");
    assert_eq!(play.committed("app.conf"), format!("token={}\nmuch more", key()));
    assert_eq!(play.told("question").len(), 1);
    play.close();
}
