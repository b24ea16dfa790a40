//! Traces of sessions, taken by a strict collector; only where the program was built with them.
//!
//! Invariant: what a collector does, or does not do, changes nothing of the session.

use std::fs;

use serde_json::{Value, json};

use super::play::{Play, until};
use crate::support::collector::{Collector, Span};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Turn};

fn bash(command: &str) -> Turn {
    Turn::call("bash", json!({"command": command}))
}

fn turns() -> [Turn; 3] {
    [bash("echo one > a.txt"), bash("echo two; false"), Turn::text("All done.")]
}

fn repo(endpoint: &str) -> Repo {
    let repo = Repo::new();
    repo.git(&["config", "agent.otel.endpoint", endpoint]);
    repo
}

fn operations(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(Span::operation).collect()
}

/// The times of the journal's events of this kind, in nanoseconds.
fn times(play: &Play, kind: &str) -> Vec<u64> {
    let journal = fs::read_to_string(play.folder().join("journal.jsonl")).expect("it is there");
    let events = journal.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let of_kind = events.filter(|event| event["update"].get(kind).is_some());
    let nanos = |event: Value| {
        let time: jiff::Timestamp = event["time"].as_str().expect("a time").parse().expect("one");
        u64::try_from(time.as_nanosecond()).expect("after 1970")
    };
    of_kind.map(nanos).collect()
}

#[test]
fn otel_a_session_is_a_trace_and_goes_on_in_it_when_it_is_resumed() {
    let collector = Collector::start(&[]);
    let script = Script::new(turns().into_iter().chain([Turn::text("And more.")]));
    let play = Play::start_in(
        repo(collector.address()),
        Dialect::Anthropic,
        script,
        &["--verify", "true"],
    );
    play.rests("done");
    until("the first turn is sent", || collector.spans().len() == 7);
    play.run("say", &["And now more"]).success();
    play.rests("done");
    until("the second turn is sent", || collector.spans().len() == 10);
    let spans = collector.finish();
    assert_eq!(
        operations(&spans),
        [
            "chat",
            "execute_tool",
            "chat",
            "execute_tool",
            "chat",
            "verify",
            "invoke_agent",
            "chat",
            "verify",
            "invoke_agent",
        ]
    );
    assert!(spans.iter().all(|span| span.trace == spans[0].trace), "{spans:#?}");
    let turns: Vec<_> = spans.iter().filter(|it| it.operation() == "invoke_agent").collect();
    for (turn, members) in turns.iter().zip([&spans[..6], &spans[7..9]]) {
        assert!(members.iter().all(|span| span.parent == turn.id));
        assert!(members.iter().all(|span| turn.start <= span.start && span.end <= turn.end));
    }
    assert_eq!((turns[0].links, turns[1].links, turns[1].parent.as_str()), (0, 1, ""));
    // The times are the journal's, however late they were sent.
    let chats: Vec<_> = spans.iter().filter(|it| it.operation() == "chat").collect();
    let ends: Vec<_> = chats.iter().map(|chat| chat.end).collect();
    assert_eq!(ends, times(&play, "agent_message"));
    let tools: Vec<_> = spans.iter().filter(|it| it.operation() == "execute_tool").collect();
    let begins: Vec<_> = tools.iter().map(|tool| tool.start).collect();
    assert_eq!(begins, times(&play, "tool_call"));
    let errors: Vec<_> = tools.iter().map(|tool| tool.status).collect();
    assert_eq!(errors, [0, 2]);
    let used = play.status()["usage"]["input"].as_i64().expect("a count");
    let told = |span: &&Span| span.attributes["gen_ai.usage.input_tokens"].as_i64();
    assert_eq!(chats.iter().filter_map(told).sum::<i64>(), used);
    assert_eq!(turns.iter().filter_map(told).sum::<i64>(), used);
    assert_eq!(turns[0].resource["service.name"], "git-agent");
    assert_eq!(turns[0].attributes["gen_ai.conversation.id"], play.id.as_str());
    // Nothing of what was said has left the machine.
    let all = format!("{spans:?}");
    for said in ["Mend the shop", "echo", "All done", "two"] {
        assert!(!all.contains(said), "{said}");
    }
    play.close();
}

#[test]
fn otel_what_was_said_goes_along_where_that_is_set_but_no_secret() {
    let collector = Collector::start(&[]);
    // In two parts, so that no whole key stands in this source.
    let key = format!("ghp_{}", "kJ8f0Zq1Xw7Lm3PdR5tY9uB2nC6vH4sA0eGx");
    let script = Script::new([bash(&format!("echo {key}")), Turn::text("All done.")]);
    let repo = repo(collector.address());
    repo.git(&["config", "agent.otel.content", "true"]);
    let play = Play::start_in(repo, Dialect::Anthropic, script, &[]);
    play.rests("done");
    until("all is sent", || collector.spans().len() == 4);
    let spans = collector.finish();
    let all = format!("{spans:?}");
    assert!(all.contains("Mend the shop") && all.contains("All done."), "{all}");
    assert!(all.contains("[REDACTED:") && !all.contains(&key), "{all}");
    let tool = spans.iter().find(|it| it.operation() == "execute_tool").expect("a call");
    assert!(tool.attributes.contains_key("gen_ai.tool.call.result"), "{tool:#?}");
    play.close();
}

#[test]
fn otel_a_dead_collector_costs_the_session_nothing_and_is_told_of_once() {
    // Nobody listens there any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", port.local_addr().expect("it is bound"));
    drop(port);
    let script = Script::new(turns().into_iter().chain([Turn::text("And more.")]));
    let play = Play::start_in(repo(&address), Dialect::Anthropic, script, &[]);
    play.rests("done");
    let log = fs::read_to_string(play.folder().join("supervisor.log")).expect("it is there");
    let said = log.lines().filter(|line| line.contains("traces")).count();
    assert_eq!(said, 1, "{log}");
    assert!(!play.folder().join("exported.toml").exists());
    // What was not sent is sent when there is somebody, with the times of then.
    let collector = Collector::start(&[503]);
    play.repo.git(&["config", "agent.otel.endpoint", collector.address()]);
    let ends = times(&play, "agent_message");
    play.run("say", &["And more"]).success();
    play.rests("done");
    until("all is sent", || collector.spans().len() == 8);
    let spans = collector.finish();
    let chats = spans.iter().filter(|it| it.operation() == "chat");
    assert_eq!(chats.map(|chat| chat.end).take(3).collect::<Vec<_>>(), ends);
    play.close();
}

#[test]
fn otel_what_a_collector_refuses_for_good_is_not_in_the_way() {
    let collector = Collector::start(&[400]);
    let play =
        Play::start_in(repo(collector.address()), Dialect::Anthropic, Script::new(turns()), &[]);
    play.rests("done");
    until("it was asked", || collector.requests() > 0);
    until("the mark is written", || play.folder().join("exported.toml").exists());
    collector.finish();
    play.close();
}
