//! A person steers a session at awkward moments.
//!
//! Invariant: what was said is heard once, in its order, whatever the session was doing.

use std::time::Duration;

use serde_json::{Value, json};

use super::{bash, finish, held, let_go, wait_until_held};
use crate::flow::play::{Play, in_each_dialect, until};
use crate::support::server::{Dialect, Script, Turn};

#[test]
fn a_pause_waits_for_the_tool_and_keeps_its_work() {
    let play =
        Play::start(Dialect::Anthropic, Script::new([held("echo one > one.txt"), finish()]), &[]);
    wait_until_held(&play);
    play.run("pause", &[]).success();
    assert_eq!(play.status()["state"], "running", "what runs is finished first");
    let_go(&play);
    play.rests("paused");
    assert_eq!(play.server.served(), [0], "the model is not asked any more");
    assert_eq!(play.committed("one.txt"), "one");
    assert_eq!(play.git(&["status", "--porcelain"]), "");
    play.run("resume", &[]).success();
    play.rests("done");
    assert_eq!(play.server.served(), [0, 1]);
    play.close();
}

#[test]
fn what_a_job_writes_up_to_its_end_is_committed_before_a_pause() {
    let job = "trap 'echo late > late.txt; exit' TERM; while :; do sleep 0.02; done";
    let start = json!({"command": job, "background": true});
    let script = Script::new([Turn::call("bash", start), held("echo one > one.txt"), finish()]);
    let play = Play::start(Dialect::Anthropic, script, &[]);
    wait_until_held(&play);
    play.run("pause", &[]).success();
    let_go(&play);
    play.rests("paused");
    assert_eq!(play.committed("late.txt"), "late");
    assert_eq!(play.git(&["status", "--porcelain"]), "");
    play.close();
}

#[test]
fn a_pause_does_not_wait_for_an_answer() {
    in_each_dialect(|dialect| {
        let script =
            Script::new([bash("echo one > one.txt").delay(Duration::from_secs(3)), finish()]);
        let play = Play::start(dialect, script, &[]);
        play.wait_for_request(1);
        play.run("pause", &[]).success();
        let status = play.rests("paused");
        assert_eq!(status["steps"], 0, "an answer that was not heard out is no step");
        play.run("resume", &[]).success();
        play.rests("done");
        assert_eq!(play.server.served(), [0, 0, 1]);
        play.close();
    });
}

#[test]
fn a_stop_ends_the_tool_and_what_was_done_is_kept() {
    let script =
        Script::new([bash("echo half > half.txt; echo begun > ../begun; sleep 300"), finish()]);
    let play = Play::start(Dialect::Responses, script, &[]);
    wait_until_held(&play);
    play.run("stop", &[]).success();
    play.rests("stopped");
    assert_eq!(play.committed("half.txt"), "half");
    assert!(play.repo.home().processes().is_empty());
    play.run("resume", &[]).success();
    play.rests("done");
    play.close();
}

#[test]
fn a_stop_ends_the_checks_and_is_not_heard_again() {
    let verify = "echo begun > ../begun; while [ ! -e ../go ]; do sleep 0.02; done";
    let play = Play::start(Dialect::Chat, Script::new([finish()]), &["--verify", verify]);
    wait_until_held(&play);
    play.run("stop", &[]).success();
    play.rests("stopped");
    let_go(&play);
    play.run("resume", &[]).success();
    assert_eq!(play.rests("done")["verify"]["status"], "passed");
    play.close();
}

#[test]
fn a_stop_outranks_a_pause_and_a_late_pause_is_forgotten() {
    let verify = "echo begun > ../begun; while [ ! -e ../go ]; do sleep 0.02; done";
    let script = Script::new([finish(), finish()]);
    let play = Play::start(Dialect::Chat, script, &["--verify", verify]);
    wait_until_held(&play);
    play.run("pause", &[]).success();
    let_go(&play);
    // The checks were on their way: the session is done, and the wish with it.
    play.rests("done");
    play.run("say", &["And the windows?"]).success();
    until("it is heard", || play.heard().len() == 1);
    play.rests("done");
    play.close();
}

#[test]
fn what_is_said_is_heard_once_and_in_order() {
    in_each_dialect(|dialect| {
        let script = Script::new([held("echo one > one.txt"), finish(), finish()]);
        let play = Play::start(dialect, script, &[]);
        wait_until_held(&play);
        for text in ["saying-one", "saying-two", "saying-three"] {
            play.run("say", &[text]).success();
        }
        let_go(&play);
        play.rests("done");
        assert_eq!(play.heard(), ["saying-one", "saying-two", "saying-three"]);
        // To one that is done it is said as well, and is heard.
        play.run("say", &["saying-four"]).success();
        until("it is heard", || play.heard().len() == 4);
        play.rests("done");
        assert_eq!(play.server.served(), [0, 1, 2]);
        let last = String::from_utf8(play.server.bodies().pop().unwrap()).unwrap();
        for text in ["saying-one", "saying-two", "saying-three", "saying-four"] {
            assert_eq!(last.matches(text).count(), 1, "{last}");
        }
        play.close();
    });
}

#[test]
fn what_is_said_to_a_paused_session_waits_for_it() {
    let script = Script::new([held("echo one > one.txt"), finish()]);
    let play = Play::start(Dialect::Anthropic, script, &[]);
    wait_until_held(&play);
    play.run("pause", &[]).success();
    let_go(&play);
    play.rests("paused");
    play.run("say", &["one"]).success();
    play.run("say", &["two"]).success();
    assert_eq!(play.status()["state"], "paused");
    assert_eq!(play.heard(), Vec::<String>::new());
    play.run("resume", &[]).success();
    play.rests("done");
    assert_eq!(play.heard(), ["one", "two"]);
    play.close();
}

#[test]
fn what_is_said_while_the_checks_run_is_heard_before_the_end() {
    let verify = "echo begun > ../begun; while [ ! -e ../go ]; do sleep 0.02; done";
    let script = Script::new([finish(), bash("echo more > more.txt"), finish()]);
    let play = Play::start(Dialect::Responses, script, &["--verify", verify]);
    wait_until_held(&play);
    play.run("say", &["More."]).success();
    let_go(&play);
    play.rests("done");
    assert_eq!(play.heard(), ["More."]);
    assert_eq!(play.committed("more.txt"), "more");
    play.close();
}

#[test]
fn what_is_for_after_the_turn_comes_after_it() {
    let script = Script::new([held("echo one > one.txt"), bash("true"), finish(), finish()]);
    let play = Play::start(Dialect::Chat, script, &[]);
    wait_until_held(&play);
    play.run("say", &["--after-turn", "Now the windows."]).success();
    let_go(&play);
    play.rests("done");
    assert_eq!(play.heard(), ["Now the windows."]);
    let bodies = play.server.bodies();
    let hears: Vec<bool> = bodies
        .iter()
        .filter(|body| !body.is_empty())
        .map(|body| String::from_utf8_lossy(body).contains("Now the windows."))
        .collect();
    assert_eq!(hears, [false, false, false, true]);
    play.close();
}

#[test]
fn words_for_now_interrupt_an_answer() {
    let script = Script::new([bash("echo one > one.txt").delay(Duration::from_secs(3)), finish()]);
    let play = Play::start(Dialect::Anthropic, script, &[]);
    play.wait_for_request(1);
    play.run("say", &["--now", "Faster."]).success();
    play.rests("done");
    assert_eq!(play.server.served(), [0, 0, 1]);
    assert_eq!(play.heard(), ["Faster."]);
    play.close();
}

#[test]
fn a_question_is_answered_as_the_result_of_its_call() {
    in_each_dialect(|dialect| {
        let ask = |question: &str| json!({"question": question, "options": ["15", "16"]});
        let script = Script::new([
            Turn::call("ask", ask("Which Postgres?")).and_call("ask", ask("And which Redis?")),
            finish(),
        ]);
        let play = Play::start(dialect, script, &[]);
        play.rests("needs-input");
        let list = play.repo.agent(&["list", "--json"]).success();
        let list: Value = serde_json::from_str(&list).unwrap();
        assert_eq!(list["sessions"][0]["question"], "Which Postgres?");
        let refused = play.run("resume", &[]);
        assert_eq!(refused.code, 1, "{refused:?}");
        play.run("say", &["15"]).success();
        until("the next is asked", || play.status()["question"] == "And which Redis?");
        play.rests("needs-input");
        play.run("say", &["16"]).success();
        let status = play.rests("done");
        assert_eq!(status["question"], Value::Null);
        let last = String::from_utf8(play.server.bodies().pop().unwrap()).unwrap();
        let (first, second) = (last.find("\"15\""), last.rfind("\"16\""));
        assert!(first.is_some() && first < second, "{last}");
        play.close();
    });
}

#[test]
fn without_a_person_there_is_nobody_to_ask() {
    let script = Script::new([Turn::call("ask", json!({"question": "Which?"})), finish()]);
    let play = Play::start(Dialect::Anthropic, script, &["--unattended"]);
    play.rests("done");
    let told = play.told("tool_call_update");
    let output = told[0]["result"]["output"].as_str().unwrap();
    assert!(output.starts_with("there is no tool ask"), "{output}");
    play.close();
}

#[test]
fn what_was_said_before_a_question_was_seen_is_no_answer_to_it() {
    let held = held("echo one > one.txt").and_call("ask", json!({"question": "Which Postgres?"}));
    let play = Play::start(Dialect::Responses, Script::new([held, finish()]), &[]);
    wait_until_held(&play);
    play.run("say", &["Use tabs."]).success();
    let_go(&play);
    play.rests("needs-input");
    assert_eq!(play.heard(), Vec::<String>::new());
    play.run("say", &["15"]).success();
    play.rests("done");
    assert_eq!(play.heard(), ["15", "Use tabs."]);
    play.close();
}
