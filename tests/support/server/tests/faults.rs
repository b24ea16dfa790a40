//! That each fault does to an answer what it says, and then lets the retry through.
//!
//! Invariant: the retry after a fault gets the very answer that was due.

use std::time::{Duration, Instant};

use super::super::{Dialect, Fault, Script, Server, Turn};
use super::client::{End, Heard, Talk, post};

const TEXT: &str = "A text long enough that half of its body is still within it.";

/// Asks with this fault and again without it, and returns what came of the first.
fn befallen(dialect: Dialect, fault: &Fault) -> Heard {
    let turn = Turn::text(TEXT).and_thinking("hm").fault(fault.clone(), 1);
    let server = Server::start(Script::new([turn]));
    let mut talk = Talk::new(dialect, "a task");
    let first = post(&server, dialect, &talk.request());
    talk.step(&server);
    assert_eq!(talk.text, TEXT, "{dialect:?} {fault:?}");
    assert_eq!(server.served(), [0, 0], "{dialect:?} {fault:?}");
    let harmless = matches!(
        fault,
        Fault::Split(_) | Fault::Unknown | Fault::Pings(_) | Fault::SlowPings(..) | Fault::Stall(_)
    );
    if harmless {
        assert_eq!((first.status, first.end), (200, End::Proper), "{dialect:?} {fault:?}");
        let mut talk = Talk::new(dialect, "a task");
        talk.take(&first.events());
        assert_eq!(talk.text, TEXT, "{dialect:?} {fault:?}");
    }
    server.finish();
    first
}

/// What the last event of a whole answer holds.
fn last(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Anthropic => "message_stop",
        Dialect::Responses => "response.completed",
        Dialect::Chat => "[DONE]",
    }
}

#[test]
fn broken_connections() {
    for dialect in Dialect::ALL {
        let cut = befallen(dialect, &Fault::Cut(300));
        assert_eq!((cut.status, cut.end), (200, End::Closed));
        assert!((200..300).contains(&cut.body.len()), "{}", cut.body.len());
        let reset = befallen(dialect, &Fault::Reset(300));
        assert_eq!((reset.status, reset.end), (200, End::Reset));
        let hang_up = befallen(dialect, &Fault::HangUp);
        assert_eq!((hang_up.status, hang_up.end), (0, End::Closed));
        let truncated = befallen(dialect, &Fault::Truncate);
        assert_eq!(truncated.end, End::Proper);
        assert!(!truncated.text().contains(last(dialect)));
        assert!(truncated.text().contains(&TEXT[TEXT.len() - 5..]));
    }
}

#[test]
fn refusing_statuses() {
    for dialect in Dialect::ALL {
        for status in [401, 403, 408, 409, 429, 500, 529] {
            let heard = befallen(dialect, &Fault::Status(status));
            assert_eq!((heard.status, heard.end), (status, End::Proper));
            let body: serde_json::Value = serde_json::from_slice(&heard.body).unwrap();
            assert!(body["error"]["message"].is_string() && body["error"]["type"].is_string());
        }
        let seconds = befallen(dialect, &Fault::RetryAfter(429, 3));
        assert!(seconds.head.contains("\r\nretry-after: 3\r\n"));
        let millis = befallen(dialect, &Fault::RetryAfterMs(529, 30));
        assert!(millis.head.contains("\r\nretry-after-ms: 30\r\n"));
        let page = befallen(dialect, &Fault::Html(502));
        assert!(page.status == 502 && page.text().starts_with("<html>"));
        let too_long = befallen(dialect, &Fault::TooLong);
        assert!(too_long.status == 400 && too_long.text().contains(dialect.too_long()));
    }
}

#[test]
fn broken_streams() {
    for dialect in Dialect::ALL {
        let json = befallen(dialect, &Fault::MalformedJson);
        assert!(json.text().contains("\"choices\": [{\n"));
        let sse = befallen(dialect, &Fault::MalformedSse);
        assert!(std::str::from_utf8(&sse.body).is_err());
        let error = befallen(dialect, &Fault::ErrorEvent);
        assert!(error.text().to_lowercase().contains("overloaded"));
        for heard in [json, sse, error] {
            assert_eq!((heard.status, heard.end), (200, End::Proper));
            assert!(!heard.text().contains(last(dialect)));
        }
    }
}

#[test]
fn nothing_is_wrong_with_what_is_only_strange() {
    for dialect in Dialect::ALL {
        for size in [1, 7] {
            befallen(dialect, &Fault::Split(size));
        }
        assert!(befallen(dialect, &Fault::Unknown).text().contains("future"));
        let ping = if dialect == Dialect::Anthropic { "event: ping\n" } else { ": keep-alive\n" };
        let pings = befallen(dialect, &Fault::Pings(20)).text().matches(ping).count();
        assert!(pings >= 100, "{pings}");
        befallen(dialect, &Fault::SlowPings(3, Duration::from_millis(5)));
    }
}

#[test]
fn an_unknown_block_goes_back_as_it_is() {
    let turns = [Turn::text("one").fault(Fault::Unknown, 1), Turn::text("two")];
    let server = Server::start(Script::new(turns));
    let mut talk = Talk::new(Dialect::Anthropic, "a task");
    talk.step(&server);
    talk.say("go on");
    let mut request = talk.request();
    assert_eq!(request["messages"][1]["content"][1]["type"], "future_block");
    assert_eq!(post(&server, Dialect::Anthropic, &request).status, 200);
    request["messages"][1]["content"][1]["data"] = "else".into();
    assert_eq!(post(&server, Dialect::Anthropic, &request).status, 400);
    assert_eq!(server.take_violations().len(), 1);
}

#[test]
fn a_stall_is_silence_and_ends_with_the_server() {
    let stall = Duration::from_millis(60);
    let started = Instant::now();
    befallen(Dialect::Anthropic, &Fault::Stall(stall));
    assert!(started.elapsed() >= stall);

    let turn = Turn::text(TEXT).fault(Fault::Stall(Duration::from_secs(600)), 1);
    let server = Server::start(Script::new([turn]));
    let mut stream = super::client::connect(&server);
    let body = Talk::new(Dialect::Chat, "a task").request().to_string();
    let headers = super::client::headers(Dialect::Chat);
    super::client::send(&mut stream, Dialect::Chat, &headers, body.as_bytes());
    while server.records().is_empty() {
        std::thread::yield_now();
    }
    server.finish();
    assert_ne!(super::client::hear(&mut stream).end, End::Proper);
}

#[test]
fn faults_come_one_after_the_other() {
    let turn = Turn::text(TEXT).fault(Fault::Status(529), 2).fault(Fault::Truncate, 1);
    let server = Server::start(Script::new([turn]));
    let request = Talk::new(Dialect::Anthropic, "a task").request();
    let statuses: Vec<(u16, bool)> = (0..4)
        .map(|_| post(&server, Dialect::Anthropic, &request))
        .map(|heard| (heard.status, heard.text().contains("message_stop")))
        .collect();
    assert_eq!(statuses, [(529, false), (529, false), (200, false), (200, true)]);
}
