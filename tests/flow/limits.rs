//! What a session may use up: reached, approved, denied, shared.
//!
//! Invariant: a limit that is reached is a question, and whoever answers it decides; nothing is
//! asked of the model before.

use serde_json::{Value, json};

use super::play::{Play, until};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Fault, Script, Server, Tokens, Turn};

/// A model whose price is known: five dollars for a million tokens out.
const PRICED: &str = "anthropic/claude-haiku-4-5";

/// A step that costs ten cents.
fn step(name: &str) -> Turn {
    let tokens = Tokens { input: 0, cached: 0, cache_write: 0, output: 20_000 };
    Turn::call("bash", json!({"command": format!("echo {name} >> steps.txt")})).tokens(tokens)
}

fn done() -> Turn {
    let tokens = Tokens { input: 0, cached: 0, cache_write: 0, output: 0 };
    Turn::call("finish", json!({"summary": "Done."})).tokens(tokens)
}

/// A session of a model that has a price.
fn start_priced(script: Script, args: &[&str]) -> Play {
    let (repo, server, dialect) = (Repo::new(), Server::start(script), Dialect::Anthropic);
    let mut play = Play { repo, server, dialect, id: String::new() };
    play.id = begin(&play, "Mend the shop", args);
    play
}

fn begin(play: &Play, task: &str, args: &[&str]) -> String {
    let said = play.cmd(&[&["start", task, "--model", PRICED], args].concat()).run().success();
    let id = said.strip_prefix("Started ").and_then(|said| said.split_whitespace().next());
    id.unwrap_or_else(|| panic!("no id in {said}")).to_owned()
}

fn question(status: &Value) -> &str {
    status["question"].as_str().expect("it asks")
}

#[test]
fn k01_a_budget_that_is_spent_is_asked_about_and_goes_on_with_as_much_again() {
    let script = Script::new([step("1"), step("2"), step("3"), done()]);
    let play = start_priced(script, &["--budget", "$0.12"]);
    let status = play.rests("needs-input");
    let asked = "the budget of $0.12 is spent; approve adds another $0.12";
    assert_eq!((question(&status), &status["question_kind"]), (asked, &json!("limit")));
    assert_eq!(play.server.served(), [0, 1]);
    assert_eq!(status["usage"]["cost_usd"], 0.2);
    let list = play.repo.agent(&["list"]).success();
    assert!(list.contains("needs-input") && list.contains(asked), "{list}");
    let card = play.run("status", &[]).success();
    assert!(card.contains("\n  limits    $0.20 of $0.12, "), "{card}");
    assert!(card.contains("notices\n    80 % of the budget of $0.12 is used: $0.10\n"), "{card}");

    play.run("approve", &[]).success();
    let status = play.rests("needs-input");
    assert_eq!(question(&status), "the budget of $0.24 is spent; approve adds another $0.12");
    assert_eq!(status["limits"]["budget_usd"], 0.24);
    assert_eq!(play.server.served(), [0, 1, 2]);

    let denied = play.run("deny", &["too", "dear"]);
    let id = &play.id;
    let wanted = format!(
        "Denied {id}, which pauses\nhint: git agent resume {id} asks again    git agent stop {id}\n"
    );
    assert_eq!((denied.code, denied.stderr), (0, wanted));
    play.rests("paused");
    let line = play.line();
    assert!(line.contains("the budget of $0.24 is spent, and more was denied: too dear"), "{line}");
    play.run("resume", &[]).success();
    play.rests("needs-input");
    assert_eq!(play.server.served(), [0, 1, 2], "what is denied is not asked of the model");

    play.run("approve", &["--always"]).success();
    let status = play.rests("done");
    assert_eq!(status["limits"]["budget_usd"], Value::Null);
    assert_eq!(play.server.served(), [0, 1, 2, 3]);
    let marks = play.told("limit_mark").into_iter();
    let marks: Vec<_> = marks.map(|mark| mark["percent"].clone()).collect();
    assert_eq!(marks, [json!(80)], "once, over all resumes");
    assert_eq!(play.committed("steps.txt"), "1\n2\n3");
    play.close();
}

#[test]
fn tokens_steps_and_time_are_limits_too() {
    for (flags, asked) in [
        (["--max-tokens", "0.15k"], "the limit of 150 tokens is reached; approve adds another 150"),
        (["--max-steps", "2"], "the limit of 2 steps is reached; approve adds another 2 steps"),
        (["--timeout", "1s"], "the time of 1 s is over; approve adds another 1 s"),
    ] {
        let sleep = |n| Turn::call("bash", json!({"command": format!("sleep 0.6; echo {n}")}));
        let script = Script::new([sleep(1), sleep(2), Turn::text("Done.")]);
        let play = Play::start(Dialect::Responses, script, &flags);
        let status = play.rests("needs-input");
        assert!(question(&status).starts_with(asked), "{status:#}");
        assert_eq!(play.server.served(), [0, 1], "{flags:?}");
        // What a person has allowed lasts: it is asked as often as it is reached.
        while play.status()["state"] == "needs-input" {
            play.run("approve", &[]).success();
            until("it rests", || play.supervisor().is_none());
        }
        play.rests("done");
        assert!(play.status()["worked_s"].as_u64().unwrap() >= 1);
        play.close();
    }
}

#[test]
fn k02_a_try_that_fails_is_counted_and_ends_in_a_question_when_the_budget_is_spent() {
    let tokens = Tokens { input: 100_000, cached: 0, cache_write: 0, output: 1 };
    // Ten cents are told of each try before it breaks off.
    let broken = Turn::text("Never whole.").tokens(tokens).fault(Fault::Truncate, 9);
    let play = start_priced(Script::new([broken]), &["--budget", "0.25"]);
    let status = play.rests("needs-input");
    assert_eq!(question(&status), "the budget of $0.25 is spent; approve adds another $0.25");
    assert_eq!(play.server.served(), [0, 0, 0], "no further try is made");
    assert_eq!(
        (status["steps"].clone(), status["usage"]["input"].clone()),
        (json!(0), json!(300_000))
    );
    let cost = status["usage"]["cost_usd"].as_f64().unwrap();
    assert!((0.3..0.301).contains(&cost), "{cost}");
    play.close();
}

#[test]
fn an_unknown_price_binds_nothing_and_says_so_once() {
    let script = Script::new([Turn::call("read", json!({"file_path": "README.md"})), done()]);
    let play = Play::start(Dialect::Chat, script, &["--budget", "0.01"]);
    play.rests("done");
    let said = "no price is known for this model: tokens are counted, money is not, and the budget \
                of $0.01 cannot hold it";
    let log = play.run("log", &[]).success();
    assert_eq!(log.matches(said).count(), 1, "{log}");
    let card = play.run("status", &[]).success();
    assert!(card.contains("\n  limits    ? of $0.01 (no price known), "), "{card}");
    play.close();
}

#[test]
fn a_limit_is_set_anew_while_the_session_rests() {
    let read = || Turn::call("read", json!({"file_path": "README.md"}));
    let script = Script::new([read(), read(), read(), Turn::text("Done.")]);
    let play = Play::start(Dialect::Anthropic, script, &["--max-steps", "2"]);
    play.rests("needs-input");
    let id = play.id.clone();
    let refused = |args: &[&str], code: i32, stderr: String| {
        let journal = std::fs::read(play.folder().join("journal.jsonl")).unwrap();
        let out = play.run("resume", args);
        assert_eq!((out.code, out.stderr), (code, stderr));
        assert_eq!(std::fs::read(play.folder().join("journal.jsonl")).unwrap(), journal);
        assert_eq!(std::fs::read_dir(play.folder().join("inbox")).unwrap().count(), 0);
    };
    refused(
        &["--max-steps", "2"],
        2,
        format!(
            "error: {id} has used 2 steps already, so --max-steps cannot be 2 steps\n\
             hint: Give more than 2 steps, or none for no limit\n"
        ),
    );
    let waits = format!(
        "error: {id} waits for an answer\nhint: git agent approve {id}    git agent deny {id}\n"
    );
    refused(&["--budget", "7"], 1, waits.clone());
    refused(&[], 1, waits);
    play.run("resume", &["--max-steps", "3", "--budget", "7"]).success();
    let status = play.rests("needs-input");
    assert_eq!(question(&status), "the limit of 3 steps is reached; approve adds another 3 steps");
    assert_eq!(
        (&status["limits"]["steps"], &status["limits"]["budget_usd"]),
        (&json!(3), &json!(7.0))
    );
    play.run("resume", &["--max-steps", "none"]).success();
    let status = play.rests("done");
    assert_eq!(status["limits"]["steps"], Value::Null);
    play.close();
}

#[test]
fn sessions_share_a_budget_and_one_approval_is_for_all() {
    let first = Script::new([step("1"), step("2"), done()]).for_task("first task");
    let second = Script::new([done()]).for_task("second task");
    let server = Server::start_many(vec![first, second]);
    let (repo, dialect) = (Repo::new(), Dialect::Anthropic);
    let mut play = Play { repo, server, dialect, id: String::new() };
    let share = ["--share-budget", "both"];
    let one = begin(&play, "The first task", &[&share[..], &["--budget", "0.20"]].concat());
    let rests = |id: &str, state: &str| play.repo.wait_state(id, state, super::play::SOON);
    let status = rests(&one, "needs-input");
    let asked = "the shared budget both of $0.20 is spent; approve adds another $0.20";
    assert_eq!(question(&status), asked);
    // Another amount is not what they share.
    let other = ["start", "The second task", "--model", PRICED, "--budget", "3"];
    let out = play.cmd(&[&other[..], &share].concat()).run();
    let wanted = "error: the shared budget both is $0.20 already\n\
                  hint: Leave --budget out, or share another: --share-budget NAME\n";
    assert_eq!((out.code, out.stderr.as_str()), (2, wanted));
    assert_eq!(play.repo.session_ids(), [one.as_str()]);
    // What the first has spent, the second has not.
    let two = begin(&play, "The second task", &share);
    let status = rests(&two, "needs-input");
    assert_eq!((question(&status), &status["steps"]), (asked, &json!(0)));
    let out = play.cmd(&["resume", &two, "--budget", "9"]).run();
    let wanted = format!(
        "error: {two} shares the budget both, which cannot be set for it alone\n\
         hint: git agent approve raises it when it is spent\n"
    );
    assert_eq!((out.code, out.stderr), (2, wanted));
    let out = play.cmd(&["approve", &two]).run();
    let wanted = format!("{one} shares the budget and goes on\nApproved {two}, which goes on\n");
    assert_eq!((out.code, out.stderr), (0, wanted));
    rests(&one, "done");
    rests(&two, "done");
    let card = play.repo.agent(&["status", &one]).success();
    assert!(card.contains("\n  limits    $0.20 of the shared $0.40 of both, "), "{card}");
    play.id = one;
    play.rests("done");
    play.close();
}
