//! A model that talks nonsense: it is told so, in words, and gets a few more tries.
//!
//! Invariant: nothing of what makes no sense is run.

use serde_json::{Value, json};

use crate::flow::play::{Play, in_each_dialect};
use crate::support::server::{Dialect, Script, Stop, Turn};

fn write(path: &str) -> Turn {
    Turn::call("write", json!({"file_path": path, "content": "x\n"}))
}

fn done() -> Turn {
    Turn::call("finish", json!({"summary": "Done."}))
}

/// What the model was told as results and by the loop, in order.
fn told(play: &Play) -> Vec<(String, bool)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().trim().to_owned();
    let said = |update: &Value| {
        if let Some(end) = update.get("tool_call_update") {
            let result = &end["result"];
            return Some((text(&result["output"]), result["is_error"] == true));
        }
        let message = update.get("user_message").filter(|message| message["from"] == "loop")?;
        Some((text(&message["text"]), false))
    };
    play.updates().iter().filter_map(said).collect()
}

#[test]
fn a_call_that_makes_no_sense_is_answered_in_words() {
    in_each_dialect(|dialect| {
        let script = Script::new([
            Turn::call("launch", json!({"rocket": 1})),
            write("a.txt"),
            Turn::empty().and_raw_call("write", "{\"file_path\": \"b.txt\", \"content\": "),
            Turn::call("write", json!({"file_path": {"no": 1}, "content": "x\n"})),
            write("c.txt"),
            Turn::call("bash", json!({})),
            done(),
        ]);
        let play = Play::start(dialect, script, &[]);
        play.rests("done");
        let told = told(&play);
        assert!(
            told[0].0.starts_with("there is no tool launch; there are ask, bash,"),
            "{told:#?}"
        );
        let errors: Vec<bool> = told.iter().map(|(_, is_error)| *is_error).collect();
        assert_eq!(errors, [true, false, true, true, false, true, false], "{told:#?}");
        assert_eq!(play.subjects(), ["write a.txt", "write c.txt"]);
        play.close();
    });
}

#[test]
fn too_many_of_them_in_a_row_are_for_a_person_to_see() {
    in_each_dialect(|dialect| {
        let senseless = [
            Turn::call("launch", json!({"rocket": 1})),
            Turn::call("write", json!({"file_path": "b.txt", "content": {"of": "a wrong type"}})),
            Turn::call("read", json!({"file_path": "a.txt", "limit": "many"})),
        ];
        let script = Script::new(senseless.into_iter().chain([write("a.txt"), done()]));
        let play = Play::start(dialect, script, &[]);
        play.rests("paused");
        assert!(play.line().contains("3 answers in a row"), "{}", play.line());
        play.run("say", &["Use the tools that are there."]).success();
        play.run("resume", &[]).success();
        play.rests("done");
        assert_eq!(play.subjects(), ["write a.txt"]);
        play.close();
    });
}

#[test]
fn an_empty_answer_gets_a_nudge_and_too_many_a_pause() {
    in_each_dialect(|dialect| {
        // No server takes an empty answer back, so this one is due again each time.
        let play = Play::start(dialect, Script::new([Turn::empty()]), &["--verify", "true"]);
        let status = play.rests("paused");
        assert!(play.line().contains("3 answers in a row"), "{}", play.line());
        assert_eq!(status["verify"]["status"], "none", "silence is no claim to be done");
        let nudge = "Your answer was empty. Go on with the task, or call `finish` if it is done.";
        assert_eq!(told(&play), vec![(nudge.to_owned(), false); 3]);
        play.close();
    });
}

#[test]
fn nothing_of_an_answer_that_was_cut_off_is_run() {
    in_each_dialect(|dialect| {
        let cut = Turn::text("Now the big file.")
            .and_call("write", json!({"file_path": "whole.txt", "content": "x\n"}))
            .and_raw_call("write", "{\"file_path\": \"big.txt\", \"content\": \"xxx")
            .stop(Stop::MaxTokens);
        let cut_words = Turn::text("I was about to").stop(Stop::MaxTokens);
        let script = Script::new([cut, write("small.txt"), cut_words, done()]);
        let play = Play::start(dialect, script, &[]);
        play.rests("done");
        assert_eq!(
            play.repo.git(&["diff", "--name-only", "main", "agent/mend-the-shop"]),
            "small.txt"
        );
        let told = told(&play);
        assert!(told.iter().filter(|(text, _)| text.contains("hit its length limit")).count() >= 2);
        play.close();
    });
}

#[test]
fn a_refusal_is_for_a_person_to_hear() {
    in_each_dialect(|dialect| {
        let refusal = Turn::text("I would rather not.").stop(Stop::Refusal);
        let script = Script::new([write("a.txt"), refusal, write("b.txt"), done()]);
        let play = Play::start(dialect, script, &["--verify", "true"]);
        let status = play.rests("needs-input");
        assert_eq!(status["question"], "the model declined: I would rather not.");
        assert_eq!(status["verify"]["status"], "none");
        play.run("say", &["It is only a shop."]).success();
        let status = play.rests("done");
        assert_eq!(status["question"], Value::Null);
        assert_eq!(play.heard(), ["It is only a shop."]);
        play.close();
    });
}

#[test]
fn a_turn_that_the_provider_pauses_is_taken_up_again() {
    let pause = Turn::text("Looking further.").stop(Stop::PauseTurn);
    let script = Script::new([write("a.txt"), pause, done()]);
    let play = Play::start(Dialect::Anthropic, script, &[]);
    play.rests("done");
    assert_eq!(play.server.served(), [0, 1, 2]);
    play.close();
}
