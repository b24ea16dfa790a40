//! Words to a session, exactly once, whatever happens in the moment they are said.
//!
//! Invariant: what a person said is in the journal once and in the order it was said, and reaches
//! the model.

use std::fs;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::json;

use super::{finish, held, let_go, wait_until_held};
use crate::flow::play::{Play, in_each_dialect, until};
use crate::support::server::{Dialect, Fault, Script, Turn};

#[test]
fn words_for_now_cut_an_answer_short_and_what_it_had_said_is_kept() {
    in_each_dialect(|dialect| {
        let words: Vec<String> = (0..400).map(|number| format!("word-{number}")).collect();
        let text = words.join(" ");
        let cut = Turn::empty()
            .and_thinking("Which first?")
            .and_text(&text)
            .and_call("bash", json!({"command": "echo never > never.txt"}))
            .fault(Fault::Stall(Duration::from_secs(50)), 1);
        let play = Play::start(dialect, Script::new([cut, finish()]), &[]);
        // What comes after the thought came with it.
        until("the answer comes in", || {
            play.run("status", &[]).success().contains("\n  now       thinking")
        });
        play.run("say", &["--now", "Faster."]).success();
        until("it is heard", || play.heard() == ["Faster."]);
        let unfinished = play.told("unfinished");
        assert_eq!(unfinished.len(), 1, "{unfinished:#?}");
        let said = unfinished[0]["text"].as_str().unwrap();
        assert!(said.len() > 100 && text.starts_with(said), "{said}");
        play.rests("done");
        // The model begins anew: the same turn, as it has answered nothing yet.
        assert_eq!(play.server.served(), [0, 0, 1]);
        let second = String::from_utf8(play.server.bodies()[2].clone()).unwrap();
        let begun = format!("You had begun to say:\\n\\n{said}");
        assert_eq!(second.matches(&begun).count(), 1, "{second}");
        assert!(second.find(&begun) < second.find("Faster."), "{second}");
        assert_eq!(
            play.told("tool_call").len(),
            2,
            "each call ran once, when its answer was whole"
        );
        let log = play.run("log", &[]).success();
        assert!(log.contains(" (cut short)"), "{log}");
        play.close();
    });
}

#[test]
fn words_for_now_do_not_cut_a_tool_short() {
    let play = Play::start(Dialect::Chat, Script::new([held("echo ran >> ran"), finish()]), &[]);
    wait_until_held(&play);
    play.run("say", &["--now", "Faster."]).success();
    play.run("say", &["--after-step", "And better."]).success();
    assert_eq!(play.told("tool_call_update").len(), 0);
    assert_eq!(play.heard(), Vec::<String>::new());
    let_go(&play);
    play.rests("done");
    assert_eq!(play.committed("ran"), "ran");
    assert_eq!(play.heard(), ["Faster.", "And better."]);
    assert_eq!(play.told("unfinished").len(), 0);
    play.close();
}

#[test]
fn e10_words_are_heard_once_though_the_supervisor_dies_in_the_moment() {
    let rounds = 6;
    let turns = std::iter::repeat_n(held("echo ran >> ran"), 3 * rounds).chain([finish()]);
    let play = Play::start(Dialect::Responses, Script::new(turns), &[]);
    let mut said = Vec::new();
    for round in 0..rounds {
        play.wait_for_call();
        for part in ["one", "two"] {
            let text = format!("{round}-{part}");
            play.run("say", &[&text]).success();
            said.push(text);
        }
        play.signal(Signal::KILL);
        until("it goes on", || {
            play.run("resume", &[]);
            play.supervisor().is_some()
        });
        // About now they are delivered.
        until("it runs", || {
            let state = fs::read_to_string(play.folder().join("state.toml")).unwrap();
            state.contains("\nphase = \"running\"\n")
        });
        std::thread::sleep(Duration::from_millis(3 * round as u64));
        if let Some(pid) = play.supervisor() {
            // It may have been killed already, never have ended by itself.
            kill_process(pid, Signal::KILL).unwrap();
            until("nobody runs it", || play.supervisor().is_none());
        }
        until("it goes on", || {
            play.run("resume", &[]);
            play.supervisor().is_some()
        });
    }
    let_go(&play);
    play.rests("done");
    assert_eq!(play.heard(), said);
    let last = String::from_utf8(play.server.bodies().pop().unwrap()).unwrap();
    let places: Vec<_> = said.iter().map(|text| last.find(&format!("\"{text}\""))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
    play.close();
}

#[test]
fn e10_what_is_said_at_the_step_cap_is_heard_when_it_goes_on() {
    let script = Script::new([held("echo ran >> ran"), finish()]);
    let play = Play::start(Dialect::Anthropic, script, &["--max-steps", "1"]);
    wait_until_held(&play);
    play.run("say", &["one"]).success();
    let_go(&play);
    let status = play.rests("needs-input");
    assert_eq!(status["question_kind"], "limit");
    assert_eq!(play.heard(), ["one"], "it came with the results of the last step");
    let told = play.run("say", &["two"]);
    let wanted = format!(
        "Told {0}, which reads it once its question is answered\n\
         hint: git agent approve {0}    git agent deny {0}\n",
        play.id
    );
    assert_eq!((told.code, told.stderr), (0, wanted));
    assert_eq!(play.status()["state"], "needs-input");
    play.run("approve", &[]).success();
    play.rests("done");
    assert_eq!(play.heard(), ["one", "two"]);
    let last = String::from_utf8(play.server.bodies().pop().unwrap()).unwrap();
    assert!(last.contains("\"two\""), "{last}");
    play.close();
}

#[test]
fn what_is_said_while_the_last_call_runs_is_heard_before_the_end() {
    in_each_dialect(|dialect| {
        let verify = "echo begun > ../begun; while [ ! -e ../go ]; do sleep 0.02; done";
        let last = held("echo ran >> ran").and_call("finish", json!({"summary": "Done."}));
        let play = Play::start(dialect, Script::new([last, finish()]), &["--verify", verify]);
        wait_until_held(&play);
        play.run("say", &["And the windows?"]).success();
        let_go(&play);
        play.rests("done");
        assert_eq!(play.heard(), ["And the windows?"]);
        let last = String::from_utf8(play.server.bodies().pop().unwrap()).unwrap();
        assert!(last.contains("And the windows?"), "{last}");
        play.close();
    });
}

#[test]
fn e15_of_two_answers_at_once_one_is_given_and_the_other_says_so() {
    let ask = Turn::call("ask", json!({"question": "Which Postgres?"}));
    let play = Play::start(Dialect::Chat, Script::new([ask, finish()]), &[]);
    play.rests("needs-input");
    let answers = ["14", "15", "16", "17"];
    let outs = std::thread::scope(|scope| {
        let play = &play;
        let given = answers.map(|text| scope.spawn(move || play.run("answer", &[text])));
        given.map(|given| given.join().unwrap())
    });
    play.rests("done");
    let (won, lost): (Vec<_>, Vec<_>) = outs.into_iter().partition(|out| out.code == 0);
    assert_eq!(won.len(), 1, "{won:?}");
    assert_eq!(won[0].stderr, format!("Answered {}, which goes on\n", play.id));
    for out in lost {
        let id = &play.id;
        let answered = format!("error: the question of {id} has been answered already\n");
        let nothing = format!("error: {id} asks nothing: it ");
        let is_said = out.stderr.starts_with(&answered) || out.stderr.starts_with(&nothing);
        assert!(out.code == 1 && is_said, "{out:?}");
        assert!(out.stderr.ends_with(&format!("hint: git agent status {id}\n")), "{out:?}");
    }
    assert_eq!(play.heard().len(), 1);
    let results = play.told("tool_call_update");
    assert_eq!(
        results.len(),
        1,
        "the finish; the answer is the result of the question: {results:#?}"
    );
    play.close();
}

#[test]
fn e07_of_stop_and_finish_one_wins_and_it_stays_so() {
    for round in 0..5 {
        let play = Play::start(Dialect::Anthropic, Script::new([finish()]), &[]);
        std::thread::sleep(Duration::from_millis(12 * round));
        let out = play.run("stop", &[]);
        assert_eq!(out.code, 0, "{out:?}");
        let ended = || ["done", "stopped"].contains(&play.status()["state"].as_str().unwrap());
        until("it has ended", || ended() && play.supervisor().is_none());
        let state = play.status()["state"].clone();
        let nothing = format!("Nothing to stop: {} is done\n", play.id);
        if out.stderr == nothing {
            assert_eq!(state, "done");
        }
        let told = play.told("notice");
        let too_late = told.iter().any(|text| text == "it was done before it could be stopped");
        assert_eq!(too_late, state == "done" && out.stderr != nothing, "{out:?} {told:?}");
        let inbox = fs::read_dir(play.folder().join("inbox")).unwrap().count();
        assert_eq!((play.status()["state"].clone(), inbox), (state, 0));
        play.close();
    }
}
