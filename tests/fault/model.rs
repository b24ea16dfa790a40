//! A model server that fails: the session waits, tries again, and does each thing once.
//!
//! Invariant: a tool appends to a file outside the tree, so that what runs twice is seen.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::flow::play::{Play, in_each_dialect};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Fault, Script, Server, Turn};

/// Faults after which the same request is sent again, and those after which it need not be.
fn faults() -> Vec<(Fault, bool)> {
    let again = [
        Fault::HangUp,
        Fault::Cut(300),
        Fault::Reset(300),
        Fault::Truncate,
        Fault::Status(408),
        Fault::Status(409),
        Fault::Status(429),
        Fault::Status(500),
        Fault::Status(529),
        Fault::RetryAfter(429, 1),
        Fault::RetryAfterMs(529, 20),
        Fault::Html(502),
        Fault::MalformedJson,
        Fault::MalformedSse,
        Fault::ErrorEvent,
    ];
    let harmless = [
        Fault::Stall(Duration::from_millis(300)),
        Fault::Split(3),
        Fault::Unknown,
        Fault::Pings(3),
        Fault::SlowPings(3, Duration::from_millis(50)),
    ];
    let again = again.map(|fault| (fault, true)).into_iter();
    again.chain(harmless.map(|fault| (fault, false))).collect()
}

/// One step that leaves a mark each time it is run, for each fault; then one that ends.
fn script(mark: &str) -> Script {
    let turn = |(number, (fault, _)): (usize, (Fault, bool))| {
        let command = format!("echo {number} >> {mark}; echo {number} >> steps.txt");
        Turn::text(&format!("Do {number}."))
            .and_call("bash", json!({"command": command}))
            .fault(fault, 1)
    };
    let end = Turn::call("finish", json!({"summary": "Did it."})).fault(Fault::Status(503), 1);
    Script::new(faults().into_iter().enumerate().map(turn).chain([end]))
}

#[test]
fn after_every_fault_the_session_ends_with_the_right_content_and_ran_nothing_twice() {
    in_each_dialect(|dialect| {
        let repo = Repo::new();
        let mark = repo.home().root().join("mark");
        let script = script(mark.to_str().unwrap());
        let play = Play::start_in(repo, dialect, script, &["--verify", "test -s steps.txt"]);
        let status = play.rests("done");
        let count = faults().len();
        let numbers: String = (0..count).map(|number| format!("{number}\n")).collect();
        assert_eq!(fs::read_to_string(&mark).unwrap(), numbers);
        assert_eq!(play.committed("steps.txt") + "\n", numbers);
        let mut asked: Vec<usize> = Vec::new();
        for (number, (_, again)) in faults().into_iter().enumerate() {
            asked.extend(std::iter::repeat_n(number, if again { 2 } else { 1 }));
        }
        asked.extend([count, count]);
        assert_eq!(play.server.served(), asked);
        // An answer that failed is no step; what the server had told of its cost is counted.
        assert_eq!(status["steps"], count + 1);
        let lost = play.told("unfinished");
        assert_eq!(lost.is_empty(), dialect != Dialect::Anthropic, "k02: {lost:#?}");
        assert!(lost.iter().all(|lost| lost["usage"]["input"] == 100), "k02: {lost:#?}");
        assert_eq!(status["usage"]["input"], 100 * (count + 1 + lost.len()));
        let waits = play.told("waiting");
        let again = faults().into_iter().filter(|(_, again)| *again).count();
        assert_eq!(waits.len(), again + 1, "each wait is in the journal: {waits:#?}");
        play.close();
    });
}

#[test]
fn what_no_patience_helps_ends_in_a_pause_and_goes_on_from_there() {
    in_each_dialect(|dialect| {
        let cases = [
            (Fault::Status(400), 1, "refuses the request (400)"),
            (Fault::TooLong, 1, "the conversation no longer fits"),
            (Fault::Status(503), 50, "no answer after"),
        ];
        for (fault, times, why) in cases {
            let repo = Repo::new();
            repo.git(&["config", "agent.patience", "1"]);
            let script = Script::new([
                Turn::call("write", json!({"file_path": "one.txt", "content": "1\n"})),
                Turn::text("Done.").fault(fault.clone(), times),
            ]);
            let play = Play::start_in(repo, dialect, script, &[]);
            play.rests("paused");
            assert!(play.line().contains(why), "{fault:?}: {}", play.line());
            let asked = play.server.served().len() - 1;
            match times {
                1 => assert_eq!(asked, 1, "{fault:?}: what is doomed is sent once"),
                _ => assert!((2..10).contains(&asked), "{fault:?}: {asked} times"),
            }
            assert_eq!(play.subjects(), ["write one.txt"]);
            if times == 1 {
                play.run("resume", &[]).success();
                play.rests("done");
            }
            play.close();
        }
    });
}

#[test]
fn a_key_that_is_refused_in_mid_run_is_asked_for_and_never_shown() {
    in_each_dialect(|dialect| {
        let script = Script::new([
            Turn::call("write", json!({"file_path": "one.txt", "content": "1\n"})),
            Turn::text("Done.").fault(Fault::Status(401), 1),
        ]);
        let play = Play::start(dialect, script, &[]);
        let status = play.rests("needs-input");
        let question = status["question"].as_str().unwrap();
        assert!(question.contains("refuses the key"), "{question}");
        // Sent once: a key that was refused stays refused.
        assert_eq!(play.server.served(), [0, 1]);
        play.run("resume", &[]).success();
        let status = play.rests("done");
        assert_eq!((status["question"].clone(), status["files"].clone()), (json!(null), json!(1)));
        assert_eq!(play.server.served(), [0, 1, 1]);
        play.assert_nowhere(dialect.key());
        play.close();
    });
}

#[test]
fn a_server_that_is_gone_is_waited_for_and_then_named() {
    let repo = Repo::new();
    repo.git(&["config", "agent.patience", "1"]);
    let script = Script::new([
        Turn::call("bash", json!({"command": "while [ ! -e ../go ]; do sleep 0.02; done"})),
        Turn::text("Done."),
    ]);
    let mut play = Play::start_in(repo, Dialect::Chat, script, &[]);
    play.wait_for_call();
    play.server = Server::start(Script::new([]));
    fs::write(play.worktree().join("../go"), "").unwrap();
    play.rests("paused");
    assert!(play.line().contains("127.0.0.1"), "it says where: {}", play.line());
    play.close();
}
