//! Conversations that outgrow the model's window: they are made shorter, and nothing is lost.
//!
//! Invariant: the strict server takes every request, so calls keep their results and what is
//! signed comes back as it was.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::flow::play::{Play, in_each_dialect};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Fault, Script, Tokens, Turn};

/// What the program asks a summary with.
const ASKED: &str = "Write what you need to go on without it";

/// A step that prints so many bytes and leaves a line in `steps.txt`.
fn step(number: usize, bytes: usize) -> Turn {
    let command =
        format!("echo {number} >> steps.txt; head -c {bytes} /dev/zero | tr '\\0' {number} | fold");
    Turn::empty()
        .and_thinking(&format!("thought {number}"))
        .and_text(&format!("Step {number}."))
        .and_call("bash", json!({"command": command}))
}

fn used(turn: Turn, input: u64) -> Turn {
    turn.tokens(Tokens { input, cached: 0, cache_write: 0, output: 10 })
}

fn done() -> Turn {
    Turn::call("finish", json!({"summary": "Done."}))
}

fn summary(text: &str) -> Turn {
    Turn::text(text).tokens(Tokens { input: 7000, cached: 0, cache_write: 0, output: 300 })
}

fn window(tokens: &str) -> Repo {
    let repo = Repo::new();
    repo.git(&["config", "agent.contextWindow", tokens]);
    repo
}

/// The last request in which the conversation went on, as text.
fn last_request(play: &Play) -> String {
    String::from_utf8(play.server.bodies().pop().expect("it was asked")).expect("it is text")
}

fn steps(play: &Play) -> usize {
    play.committed("steps.txt").lines().count()
}

#[test]
fn m07_too_long_is_made_shorter_and_goes_on() {
    in_each_dialect(|dialect| {
        // First the results are cut, which is not enough; then a summary stands for the steps.
        let steps_then = (1..=6).map(|number| step(number, 3000));
        let turns = steps_then.chain([step(7, 10).fault(Fault::TooLong, 2), done()]);
        let script = Script::new(turns).aside(ASKED, summary("I counted to six. <kept>"));
        let play = Play::start(dialect, script, &["--verify", "test -s steps.txt"]);
        let status = play.rests("done");
        assert_eq!(steps(&play), 7);
        let made = play.told("compaction");
        assert_eq!(made.len(), 2, "{made:#?}");
        assert_eq!((&made[0]["results_to"], &made[0]["longest"]), (&json!(5), &json!(2048)));
        assert_eq!(made[1]["summary"]["text"], "I counted to six. <kept>");
        assert!(
            made[0]["reason"].as_str().unwrap().contains("too long")
                || dialect != Dialect::Anthropic
        );
        // A doomed request is not sent again: each is another. The summary counts, the faults not.
        let served = play.server.served();
        assert_eq!(served, [0, 1, 2, 3, 4, 5, 6, 6, 8, 6, 7], "8 is the summary");
        assert_eq!(status["usage"]["input"], 8 * 100 + 7000);
        assert_eq!(status["steps"], 8);
        let last = last_request(&play);
        for kept in ["Mend the shop", "I counted to six.", "Step 7."] {
            assert!(last.contains(kept), "{kept}: {last}");
        }
        assert!(!last.contains("Step 1.") && !last.contains("111111"), "{last}");
        play.close();
    });
}

#[test]
fn m07_what_nothing_helps_ends_in_one_clear_word() {
    in_each_dialect(|dialect| {
        let turns = (1..=6).map(|number| step(number, 3000));
        let turns = turns.chain([done().fault(Fault::TooLong, 3)]);
        // Not even the summary fits.
        let aside = summary("").fault(Fault::TooLong, 1);
        let play = Play::start(dialect, Script::new(turns).aside(ASKED, aside), &[]);
        play.rests("paused");
        assert!(play.line().contains("no longer fits"), "{}", play.line());
        let made = play.told("compaction");
        assert_eq!(made.len(), 2, "{made:#?}");
        let titles = made[1]["summary"]["text"].as_str().unwrap();
        assert!(titles.starts_with("step 1: Step 1.\nstep 1: echo 1"), "{titles}");
        assert_eq!(play.server.served().len(), 6 + 4);
        // The journal has all of it, and a person may say what to do.
        assert_eq!(play.told("tool_call_update").len(), 6);
        play.run("resume", &[]).success();
        play.rests("done");
        assert_eq!(steps(&play), 6);
        play.close();
    });
}

#[test]
fn m08_near_the_window_results_go_first_and_then_the_steps() {
    in_each_dialect(|dialect| {
        let fill = |number: usize| match number {
            ..=8 => 1000 * number as u64,
            // The results have gone, and then it grows by what is said.
            9..=24 => 5000,
            _ => 14_000,
        };
        let plan = json!({"items": [{"text": "paint it", "status": "doing"}]});
        let turns = (1..=27).map(|number| {
            let turn = match number {
                1 => step(number, 9000),
                3 => Turn::call("ask", json!({"question": "Which colour?"})),
                4..=8 => step(number, 1200),
                9 => Turn::call("plan", plan.clone()),
                _ => step(number, 10).and_text(&"And so on. ".repeat(200)),
            };
            used(turn, fill(number))
        });
        let turns = turns.chain([used(done(), 1000)]);
        let script = Script::new(turns).aside(ASKED, summary("The shop is half painted."));
        let play = Play::start_in(window("16000"), dialect, script, &[]);
        play.rests("needs-input");
        play.run("say", &["A very deep “green”."]).success();
        let status = play.rests("done");
        let made = play.told("compaction");
        assert_eq!(made.len(), 2, "{made:#?}");
        assert!(made[0]["results_to"].as_u64().unwrap() > 0 && made[0]["summary"].is_null());
        let summarised = made[1]["summary"]["steps_to"].as_u64().unwrap();
        assert!((10..25).contains(&summarised), "{made:#?}");
        let reason = made[1]["reason"].as_str().unwrap();
        assert!(reason.contains("% of the model's window"), "{reason}");
        let last = last_request(&play);
        for kept in ["Mend the shop", "A very deep “green”.", "doing: paint it", "half painted"]
        {
            assert!(last.contains(kept), "{kept}: {last}");
        }
        assert!(last.contains("Step 27.") && !last.contains("Step 2."), "{last}");
        let sum: u64 = (1..=27).map(fill).sum::<u64>() + 1000 + 7000;
        assert_eq!(status["usage"]["input"], sum);
        // Everything is still there for people.
        let log = play.run("log", &[]).success();
        assert!(log.contains("are a summary now") && log.contains("Step 2."), "{log}");
        play.close();
    });
}

#[test]
fn m08_killed_in_the_middle_of_it_it_is_told_the_same() {
    in_each_dialect(|dialect| {
        let turns = |held: Duration| {
            let turns = (1..=12).map(|number| used(step(number, 10), 15_000));
            let aside = summary("So far so good.").delay(held);
            Script::new(turns.chain([done()])).aside(ASKED, aside)
        };
        let undisturbed = Play::start_in(window("16000"), dialect, turns(Duration::ZERO), &[]);
        undisturbed.rests("done");
        let play = Play::start_in(window("16000"), dialect, turns(Duration::from_secs(1)), &[]);
        let asked = |play: &Play| {
            play.server.bodies().iter().any(|body| String::from_utf8_lossy(body).contains(ASKED))
        };
        crate::flow::play::until("a summary is asked for", || asked(&play));
        play.signal(Signal::KILL);
        play.run("resume", &[]).success();
        play.rests("done");
        assert_eq!(steps(&play), 12);
        assert_eq!(play.told("compaction"), undisturbed.told("compaction"));
        let told = |play: &Play| {
            let body: Value = serde_json::from_str(&last_request(play)).unwrap();
            let list = if dialect == Dialect::Responses { "input" } else { "messages" };
            let home = play.repo.home().root().to_str().unwrap().to_owned();
            // Only the times that commands took and the places they lie in differ.
            let items = body[list].as_array().unwrap().iter();
            let plain = |it: &Value| it.to_string().replace(&home, "").replace(" ms", " s");
            let words = |text: String| text.replace(|c: char| c.is_ascii_digit() || c == '.', "");
            items.map(|it| words(plain(it))).collect::<Vec<_>>()
        };
        assert_eq!(told(&play), told(&undisturbed));
        play.close();
        undisturbed.close();
    });
}

#[test]
fn e14_a_line_of_ten_megabytes_does_not_keep_a_session_from_going_on() {
    let held = step(2, 10).delay(Duration::from_secs(1));
    let play = Play::start(Dialect::Anthropic, Script::new([step(1, 10), held, done()]), &[]);
    play.wait_for_request(2);
    play.signal(Signal::KILL);
    let journal = play.folder().join("journal.jsonl");
    let line = json!({"format": 1, "time": "2026-01-02T03:04:05Z", "step": 1,
        "update": {"notice": "x".repeat(10 << 20)}});
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, format!("{text}{line}\n")).unwrap();
    play.run("resume", &[]).success();
    play.rests("done");
    assert_eq!(steps(&play), 2);
    play.close();
}
