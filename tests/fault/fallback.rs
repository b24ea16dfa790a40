//! A model that is not to be had: another key, another model, or a person.
//!
//! Invariant: the strict server takes what one model is told of another's answers.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::flow::play::{Play, in_each_dialect, until};
use crate::support::cmd::{Cmd, Out};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Fault, Script, Server, Turn};

/// A delay that no patience of the tests is enough for: the server is given up at once.
const LATER: Fault = Fault::RetryAfter(529, 60);

fn write(path: &str) -> Turn {
    Turn::call("write", json!({"file_path": path, "content": "x\n"}))
}

fn done(words: &str) -> Turn {
    Turn::call("finish", json!({"summary": words}))
}

fn name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Anthropic => "anthropic/claude-opus-5",
        Dialect::Responses => "openai/gpt-5",
        Dialect::Chat => "chat/gpt-5",
    }
}

/// A session that finds the server in all dialects.
struct Pair {
    play: Play,
    other: Dialect,
}

impl Pair {
    fn start(own: Dialect, other: Dialect, script: Script) -> Self {
        let repo = Repo::new();
        repo.git(&["config", "agent.patience", "2"]);
        repo.git(&["config", "agent.fallbackModel", name(other)]);
        let server = Server::start(script);
        let mut pair = Self { play: Play { repo, server, dialect: own, id: String::new() }, other };
        let said = pair.cmd(&["start", "Mend the shop", "--model", name(own)]).run().success();
        let id = said.strip_prefix("Started ").and_then(|said| said.split_whitespace().next());
        id.expect("an id").clone_into(&mut pair.play.id);
        pair
    }

    fn cmd(&self, args: &[&str]) -> Cmd {
        let Self { play, other } = self;
        play.cmd(args).envs(play.server.env(*other))
    }

    fn run(&self, verb: &str, args: &[&str]) -> Out {
        self.cmd(&[&[verb, &self.play.id], args].concat()).run()
    }

    /// The dialects that were spoken, request by request.
    fn spoken(&self) -> Vec<Dialect> {
        let records = self.play.server.records();
        let asked = records.iter().filter(|record| record.turn.is_some());
        let dialect = |path: &str| Dialect::ALL.into_iter().find(|it| it.path() == path);
        asked.filter_map(|record| dialect(&record.request.path)).collect()
    }
}

#[test]
fn m03_another_model_goes_on_with_the_same_conversation_and_the_own_after_a_rest() {
    let pairs = [
        (Dialect::Anthropic, Dialect::Responses),
        (Dialect::Anthropic, Dialect::Chat),
        (Dialect::Responses, Dialect::Chat),
        (Dialect::Chat, Dialect::Anthropic),
    ];
    std::thread::scope(|scope| {
        for (own, other) in pairs {
            scope.spawn(move || goes_on(own, other));
        }
    });
}

fn goes_on(own: Dialect, other: Dialect) {
    // What is signed or encrypted is for its maker alone, who wants all of it back.
    let think = |path: &str| {
        let content = json!({"file_path": path, "content": "x\n"});
        Turn::empty().and_thinking("hm").and_text("I go on.").and_call("write", content)
    };
    let script = Script::new([
        think("one.txt").and_call("bash", json!({"command": "true"})),
        think("two.txt").fault(LATER, 1),
        think("three.txt"),
        done("Half of it."),
        think("four.txt"),
        done("All of it."),
    ]);
    let pair = Pair::start(own, other, script);
    pair.play.rests("done");
    assert_eq!(pair.spoken(), [own, own, other, other, other], "{own:?} {other:?}");
    let change = pair.play.told("model");
    assert_eq!(change.len(), 1, "{change:#?}");
    assert_eq!((&change[0]["from"], &change[0]["to"]), (&json!(name(own)), &json!(name(other))));
    assert!(change[0]["reason"].as_str().unwrap().contains("529"), "{change:#?}");
    let notes = pair.play.git(&["log", "--notes=agent", "--format=%N", "main..HEAD"]);
    let models: Vec<&str> = notes.lines().filter_map(|line| line.strip_prefix("Model: ")).collect();
    assert_eq!(models, [name(other), name(other), name(own)], "newest first");
    let format = "--format=%(trailers:key=Assisted-by,valueonly,separator=+)";
    let assisted = pair.play.git(&["log", format, "main..HEAD"]);
    let [theirs, ours] = [other, own].map(|it| format!("git-agent:{}", name(it)));
    assert_eq!(assisted.lines().collect::<Vec<_>>(), [theirs.as_str(), &theirs, &ours]);
    // It has rested: the session's own model has the next word.
    pair.run("say", &["The rest too."]).success();
    let status = pair.play.rests("done");
    assert_eq!(pair.spoken()[5..], [own, own]);
    let files = pair.play.repo.git(&["diff", "--name-only", "main", "agent/mend-the-shop"]);
    assert_eq!(files, "four.txt\none.txt\nthree.txt\ntwo.txt");
    // Each answer at the price of its model; the one that failed costs nothing.
    assert_eq!(status["usage"]["input"], 600);
    assert!(status["usage"]["cost_usd"].as_f64().is_some_and(|cost| cost > 0.0), "{status:#}");
    pair.play.close();
}

#[test]
fn m03_a_killed_session_goes_on_with_the_model_that_stood_in() {
    let held = write("three.txt").delay(Duration::from_secs(1));
    let script = Script::new([write("one.txt"), write("two.txt").fault(LATER, 1), held, done("x")]);
    let pair = Pair::start(Dialect::Anthropic, Dialect::Chat, script);
    pair.play.wait_for_request(4);
    pair.play.signal(Signal::KILL);
    pair.run("resume", &[]).success();
    pair.play.rests("done");
    let (own, other) = (Dialect::Anthropic, Dialect::Chat);
    assert_eq!(pair.spoken(), [own, own, other, other, other, other]);
    assert_eq!(pair.play.told("model").len(), 1);
    pair.play.close();
}

#[test]
fn m04_where_neither_is_to_be_had_the_session_pauses() {
    let script = Script::new([write("one.txt").fault(LATER, 2), done("x")]);
    let pair = Pair::start(Dialect::Responses, Dialect::Anthropic, script);
    pair.play.rests("paused");
    assert!(pair.play.line().contains("529"), "{}", pair.play.line());
    assert_eq!(pair.spoken(), [Dialect::Responses, Dialect::Anthropic]);
    pair.run("resume", &[]).success();
    pair.play.rests("done");
    assert_eq!(pair.spoken()[2..], [Dialect::Responses, Dialect::Responses]);
    pair.play.close();
}

#[test]
fn m04_another_model_without_a_key_does_not_hide_why_it_was_needed() {
    let repo = Repo::new();
    repo.git(&["config", "agent.patience", "2"]);
    repo.git(&["config", "agent.fallbackModel", name(Dialect::Anthropic)]);
    // There is a key when `start` asks for it, and none later.
    let asked = repo.home().root().join("asked");
    let once = format!("[ ! -e {0} ] && touch {0} && echo key", asked.display());
    repo.git(&["config", "agent.anthropic.keyCommand", &once]);
    let script = Script::new([write("one.txt").fault(LATER, 1), done("x")]);
    let play = Play::start_in(repo, Dialect::Responses, script, &[]);
    play.rests("paused");
    let line = play.status()["reason"].as_str().unwrap().to_owned();
    assert!(line.contains("529") && line.contains("nor can another model go on: "), "{line}");
    play.close();
}

#[test]
fn m01_a_stream_that_stalls_is_noticed_and_pings_are_life() {
    in_each_dialect(|dialect| {
        let repo = Repo::new();
        repo.git(&["config", "agent.stallTimeout", "1"]);
        let script = Script::new([
            write("one.txt").fault(Fault::Stall(Duration::from_secs(30)), 1),
            write("two.txt").fault(Fault::SlowPings(8, Duration::from_millis(200)), 1),
            done("x"),
        ]);
        let started = Instant::now();
        let play = Play::start_in(repo, dialect, script, &[]);
        until("it has waited", || !play.told("waiting").is_empty());
        assert!(started.elapsed() < Duration::from_secs(25), "it was not waited for the rest");
        play.rests("done");
        let waits = play.told("waiting");
        assert_eq!(waits.len(), 1, "{waits:#?}");
        assert_eq!(waits[0]["reason"], "nothing came for 1 s");
        // Nothing of the half answer was run, and none of it is told.
        assert_eq!(play.server.served(), [0, 0, 1, 2]);
        assert_eq!(play.told("tool_call").len(), 3);
        play.close();
    });
}

#[test]
fn m04_a_wait_is_shown_with_the_time_of_the_next_try() {
    let script = Script::new([done("x").fault(Fault::RetryAfterMs(429, 2500), 2)]);
    let play = Play::start(Dialect::Chat, script, &[]);
    until("it is shown", || play.line().contains("(try 3): 429: A fault"));
    play.rests("done");
    let log = play.run("log", &[]).success();
    assert!(log.contains("429: A fault of the script; try 2 at "), "{log}");
    assert!(!play.line().contains("try 3"), "{}", play.line());
    play.close();
}

/// A session whose key is printed by a command: the times that it is stale are given.
fn with_key_command(dialect: Dialect, stale: &str, script: Script) -> Play {
    let repo = Repo::new();
    let server = Server::start(script);
    let asked = repo.home().root().join("asked");
    let asked = asked.to_str().unwrap();
    let command = format!(
        "echo x >> {asked}; case $(($(wc -l < {asked}))) in {stale}) echo old;; *) echo {};; esac",
        dialect.key()
    );
    let (provider, base) = match dialect {
        Dialect::Anthropic => ("anthropic", server.url()),
        Dialect::Responses => ("openai", format!("{}/v1", server.url())),
        Dialect::Chat => ("chat", format!("{}/v1", server.url())),
    };
    repo.git(&["config", &format!("agent.{provider}.keyCommand"), &command]);
    repo.git(&["config", &format!("agent.{provider}.baseUrl"), &base]);
    let said = repo.agent(&["start", "Mend the shop", "--model", dialect.model()]).success();
    let id = said.strip_prefix("Started ").and_then(|said| said.split_whitespace().next());
    let id = id.expect("an id").to_owned();
    Play { repo, server, dialect, id }
}

fn times_asked(play: &Play) -> usize {
    fs::read_to_string(play.repo.home().root().join("asked")).unwrap().lines().count()
}

#[test]
fn m05_a_key_that_has_run_out_is_asked_for_once_more() {
    in_each_dialect(|dialect| {
        // The first is asked for by `start`, the second by the session, the third after a refusal.
        let play = with_key_command(dialect, "2", Script::new([write("one.txt"), done("x")]));
        play.rests("done");
        assert_eq!(times_asked(&play), 3);
        assert_eq!(play.server.served(), [0, 1]);
        play.close();
    });
}

#[test]
fn m05_a_key_that_stays_refused_is_for_a_person() {
    in_each_dialect(|dialect| {
        let play = with_key_command(dialect, "2|3", Script::new([write("one.txt"), done("x")]));
        let status = play.rests("needs-input");
        let question = status["question"].as_str().unwrap();
        assert!(question.contains("refuses the key"), "{question}");
        let hint = format!("agent.{}.keyCommand", dialect.model().split('/').next().unwrap());
        assert!(question.contains(&hint), "it says where the key is from: {question}");
        // The same key is not sent twice.
        assert_eq!((times_asked(&play), play.server.records().len()), (3, 2));
        play.repo.agent(&["resume", &play.id]).success();
        let status = play.rests("done");
        assert_eq!(status["question"], Value::Null);
        play.close();
    });
}
