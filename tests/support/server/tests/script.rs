//! That a script is told as it is written, in each dialect.
//!
//! Invariant: a polite client is never refused.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Dialect, Odd, Script, Server, Stop, Tokens, Turn, prefix_stability};
use super::client::{End, Talk, connect, headers, hear, post, send};

fn script() -> Script {
    Script::new([
        Turn::empty()
            .and_thinking("Let me look, “quoted” \\ and \u{1f980} …")
            .and_text("I will look.")
            .and_call("bash", json!({"command": "echo \"a\u{1f980}b\" \\ ls"}))
            .and_call("bash", json!({"command": "pwd"}))
            .tokens(Tokens { input: 1000, cached: 600, cache_write: 300, output: 50 }),
        Turn::call("bash", json!({"command": "true"})).and_thinking("").and_call("now", json!({})),
        Turn::text("Done."),
    ])
}

#[test]
fn a_script_is_told_in_each_dialect_and_a_polite_client_is_not_refused() {
    for dialect in Dialect::ALL {
        let server = Server::start(script());
        let mut talk = Talk::new(dialect, "a task");
        talk.step(&server);
        assert_eq!(talk.text, "I will look.", "{dialect:?}");
        let calls: Vec<(&str, Value)> = talk
            .calls
            .iter()
            .map(|(_, name, arguments)| (name.as_str(), serde_json::from_str(arguments).unwrap()))
            .collect();
        let wanted = [
            ("bash", json!({"command": "echo \"a\u{1f980}b\" \\ ls"})),
            ("bash", json!({"command": "pwd"})),
        ];
        assert_eq!(calls, wanted, "{dialect:?}");
        talk.step(&server);
        assert_eq!(talk.calls[1].2, "{}", "{dialect:?}");
        talk.step(&server);
        assert_eq!((talk.text.as_str(), talk.calls.len()), ("Done.", 0), "{dialect:?}");
        assert_eq!(server.served(), [0, 1, 2], "{dialect:?}");
        assert!(server.records().iter().all(|record| record.whole && record.status == 200));
        assert_eq!(server.gaps().len(), 2);
        assert!(prefix_stability(&server.bodies()) > 0.98, "{dialect:?}");
        server.finish();
    }
}

#[test]
fn a_person_may_speak_between_and_thinking_before_that_may_go() {
    for dialect in Dialect::ALL {
        let turn = |text: &str| Turn::empty().and_thinking("hm").and_text(text);
        let server = Server::start(Script::new([turn("one"), turn("two")]));
        let mut talk = Talk::new(dialect, "a task");
        talk.step(&server);
        talk.say("go on");
        let mut request = talk.request();
        if dialect == Dialect::Anthropic {
            request["messages"][1]["content"].as_array_mut().unwrap().remove(0);
        }
        let heard = post(&server, dialect, &request);
        talk.take(&heard.events());
        assert_eq!(talk.text, "two", "{dialect:?}");
        server.finish();
    }
}

#[test]
fn stop_reasons_and_usage_are_the_vendors_own() {
    let tokens = Tokens { input: 1000, cached: 600, cache_write: 300, output: 50 };
    let server = Server::start(Script::new([
        Turn::text("a").stop(Stop::MaxTokens).tokens(tokens),
        Turn::text("b").stop(Stop::Refusal),
    ]));
    let ask = |dialect| {
        let mut talk = Talk::new(dialect, "a task");
        let first = post(&server, dialect, &talk.request());
        talk.take(&first.events());
        talk.say("more");
        (first.events(), post(&server, dialect, &talk.request()).events())
    };
    let (first, second) = ask(Dialect::Anthropic);
    let usage = &first[0]["message"]["usage"];
    assert_eq!(usage["input_tokens"], 100);
    assert_eq!(usage["cache_read_input_tokens"], 600);
    assert_eq!(usage["cache_creation_input_tokens"], 300);
    let ends = |events: &[Value]| events[events.len() - 2].clone();
    assert_eq!(ends(&first)["usage"]["output_tokens"], 50);
    assert_eq!(ends(&first)["delta"]["stop_reason"], "max_tokens");
    assert_eq!(ends(&second)["delta"]["stop_reason"], "refusal");

    let (first, second) = ask(Dialect::Responses);
    let response = &first.last().unwrap()["response"];
    assert_eq!(response["usage"]["input_tokens"], 1000);
    assert_eq!(response["usage"]["input_tokens_details"]["cached_tokens"], 600);
    assert_eq!(response["incomplete_details"]["reason"], "max_output_tokens");
    let reason = &second.last().unwrap()["response"]["incomplete_details"]["reason"];
    assert_eq!(reason, "content_filter");

    let (first, second) = ask(Dialect::Chat);
    assert_eq!(first.last().unwrap()["usage"]["prompt_tokens_details"]["cached_tokens"], 600);
    assert_eq!(ends(&first)["choices"][0]["finish_reason"], "length");
    assert_eq!(ends(&second)["choices"][0]["finish_reason"], "content_filter");
}

#[test]
fn a_paused_turn_is_sent_back_as_it_is() {
    let server =
        Server::start(Script::new([Turn::text("wait").stop(Stop::PauseTurn), Turn::text("here")]));
    let mut talk = Talk::new(Dialect::Anthropic, "a task");
    talk.step(&server);
    talk.step(&server);
    assert_eq!(talk.text, "here");
}

#[test]
fn each_session_gets_its_own_script_and_an_aside_is_besides() {
    let server = Server::start_many(vec![
        Script::new([Turn::text("red"), Turn::text("redder")])
            .for_task("task-red")
            .aside("Summarise", Turn::text("short")),
        Script::new([Turn::text("blue")]).for_task("task-blue"),
    ]);
    for dialect in Dialect::ALL {
        let mut red = Talk::new(dialect, "the task-red");
        red.step(&server);
        assert_eq!(red.text, "red");
        red.say("Summarise this");
        red.step(&server);
        assert_eq!(red.text, "short");
        let mut blue = Talk::new(dialect, "the task-blue");
        blue.step(&server);
        assert_eq!(blue.text, "blue");
    }
}

#[test]
fn odd_servers_are_odd() {
    let turn = Turn::empty().and_thinking("hm").and_call("bash", json!({"command": "ls"}));
    let script = Script::new([turn])
        .odd(Odd::NoIds)
        .odd(Odd::WholeCalls)
        .odd(Odd::StopWithCalls)
        .odd(Odd::ReasoningName)
        .odd(Odd::NoUsage);
    let server = Server::start_keyless(script);
    let mut stream = connect(&server);
    let body = Talk::new(Dialect::Chat, "a task").request().to_string();
    send(&mut stream, Dialect::Chat, &headers(Dialect::Chat)[..1], body.as_bytes());
    let events = hear(&mut stream).events();
    let call = json!({"index": 0, "type": "function",
        "function": {"name": "bash", "arguments": "{\"command\":\"ls\"}"}});
    let deltas: Vec<&Value> = events.iter().map(|event| &event["choices"][0]["delta"]).collect();
    assert_eq!(deltas[1]["reasoning"], "h");
    assert_eq!(deltas[3]["tool_calls"], json!([call]));
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert!(events.iter().all(|event| event.get("usage").is_none()));
}

#[test]
fn one_connection_serves_many_requests_chunked_ones_too() {
    let server = Server::start(Script::new([Turn::text("hi").delay(Duration::from_millis(1))]));
    let mut stream = connect(&server);
    let body = Talk::new(Dialect::Chat, "a task").request().to_string();
    for _ in 0..3 {
        send(&mut stream, Dialect::Chat, &headers(Dialect::Chat), body.as_bytes());
        assert_eq!(hear(&mut stream).end, End::Proper);
    }
    let mut chunked = format!("POST {} HTTP/1.1\r\n", Dialect::Chat.path());
    for (name, value) in headers(Dialect::Chat) {
        chunked += &format!("{name}: {value}\r\n");
    }
    chunked += "transfer-encoding: chunked\r\n\r\n";
    for piece in body.as_bytes().chunks(50) {
        chunked += &format!("{:x}\r\n{}\r\n", piece.len(), std::str::from_utf8(piece).unwrap());
    }
    chunked += "0\r\n\r\n";
    stream.write_all(chunked.as_bytes()).unwrap();
    assert_eq!(hear(&mut stream).end, End::Proper);
    assert_eq!(server.served(), [0, 0, 0, 0]);
    let key = Dialect::Chat.key();
    let models = format!("GET /v1/models HTTP/1.1\r\nauthorization: Bearer {key}\r\n\r\n");
    stream.write_all(models.as_bytes()).unwrap();
    assert_eq!(hear(&mut stream).status, 200);
    stream.write_all(b"GET /api/version HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(hear(&mut stream).status, 404);
}

#[test]
fn a_server_with_violations_fails_the_test() {
    let server = Server::start(Script::new([]));
    post(&server, Dialect::Chat, &json!({}));
    let panicked = catch_unwind(AssertUnwindSafe(|| server.finish()));
    let message = panicked.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("request 0 (Chat): body.model: Field required"), "{message}");
}

#[test]
fn cache_marks_do_not_count_against_the_prefix() {
    let body = |text: &str| text.as_bytes().to_vec();
    let first = body(r#"{"m":[{"a":1,"cache_control":{"type":"ephemeral"}}"#);
    let second = body(r#"{"m":[{"a":1},{"b":2,"cache_control":{"type":"ephemeral"}}]}"#);
    let marks_aside = prefix_stability(&[first.clone(), second]);
    assert!((marks_aside - 1.0).abs() < f64::EPSILON, "{marks_aside}");
    assert!(prefix_stability(&[first, body(r#"{"x":[]}"#)]) < 0.2);
}
