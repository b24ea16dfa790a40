//! A session of two turns, as spans.
//!
//! Invariant: times are those of the events, to the millisecond.

use super::*;
use crate::event::{Fork, Origin, Unfinished, UserMessage, Waiting};
use crate::message::{StopReason, ToolResult};
use crate::session::spec::tests::sample;

fn spec() -> Spec {
    Spec { model: "anthropic/claude-opus-5".to_owned(), forked_from: None, ..sample("add-7f3k") }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_millis(millis)
}

fn event(millis: u64, step: u32, update: Update) -> Event {
    Event { format: 1, time: at(millis), step, by: None, update }
}

fn user(text: &str) -> Update {
    let (from, text) = (Origin::Task, text.to_owned());
    Update::UserMessage(UserMessage { from, text, inbox_id: None })
}

fn moves(from: &str, to: &str) -> Update {
    let (from, to) = (from.to_owned(), to.to_owned());
    Update::State(StateChange { from, to, reason: String::new(), usage: Usage::default() })
}

fn call(id: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: "bash".to_owned(), arguments: r#"{"command":"x"}"#.into() }
}

fn answer(calls: &[&str]) -> Update {
    Update::AgentMessage(Answer {
        text: "I look.".to_owned(),
        thought: String::new(),
        calls: calls.iter().map(|id| call(id)).collect(),
        stop: if calls.is_empty() { StopReason::EndTurn } else { StopReason::ToolUse },
        usage: Usage { input: 1_000, cached: 800, cache_write: 100, output: 50 },
        raw: None,
    })
}

fn ended(id: &str, millis: u64, is_error: bool) -> Update {
    let (call_id, output) = (id.to_owned(), "out".to_owned());
    let result = ToolResult { call_id, output, is_error };
    Update::ToolCallUpdate(ToolEnd { result, title: "x".to_owned(), millis })
}

fn session() -> Vec<Event> {
    vec![
        event(0, 0, moves("queued", "running")),
        event(10, 0, user("<task>")),
        event(110, 1, answer(&["a", "b"])),
        event(111, 1, Update::ToolCall(call("a"))),
        event(111, 1, Update::ToolCall(call("b"))),
        event(200, 1, ended("a", 30, false)),
        event(200, 1, ended("b", 80, true)),
        event(
            260,
            1,
            Update::Waiting(Waiting { reason: "overloaded".into(), attempt: 2, until: at(280) }),
        ),
        event(
            400,
            1,
            Update::Unfinished(Unfinished {
                usage: Usage { input: 7, ..Usage::default() },
                ..Unfinished::default()
            }),
        ),
        event(400, 2, answer(&[])),
        event(410, 2, moves("running", "verifying")),
        event(
            500,
            2,
            Update::Verify(VerifyRecord {
                command: "true".into(),
                exit: 0,
                millis: 70,
                tree: "t".into(),
                output: String::new(),
                gate: None,
            }),
        ),
        event(505, 2, moves("verifying", "running")),
        event(510, 2, moves("running", "done")),
        event(900, 2, moves("done", "queued")),
        event(1_000, 2, moves("queued", "running")),
        event(1_001, 2, user("more")),
        event(1_050, 2, Update::Unfinished(Unfinished { text: "I".into(), ..Default::default() })),
        event(1_060, 2, moves("running", "paused")),
    ]
}

fn folded(fold: &mut Fold, events: &[Event]) -> Vec<Span> {
    let mut spans = Vec::new();
    for (at, event) in (0..).zip(events) {
        spans.extend(fold.apply(at * 100, event));
    }
    spans
}

/// Name, begin and end in milliseconds.
fn told(span: &Span) -> (String, i64, i64) {
    (span.name.clone(), span.start.as_millisecond(), span.end.as_millisecond())
}

fn value<'s>(span: &'s Span, key: &str) -> Option<&'s Value> {
    span.attributes.iter().find(|it| it.key == key).map(|it| &it.value)
}

#[test]
fn otel_spans_have_the_times_of_the_journal() {
    let spans = folded(&mut Fold::new(&spec(), false), &session());
    let chat = "chat claude-opus-5".to_owned();
    let tool = "execute_tool bash".to_owned();
    let turn = "invoke_agent git-agent".to_owned();
    let expected = [
        (chat.clone(), 10, 110),
        (tool.clone(), 111, 141),
        (tool, 111, 191),
        (chat.clone(), 200, 400),
        ("verify".to_owned(), 410, 480),
        (turn.clone(), 0, 510),
        (chat, 1_001, 1_050),
        (turn, 1_000, 1_060),
    ];
    assert_eq!(spans.iter().map(told).collect::<Vec<_>>(), expected);
    let (first, second) = (&spans[5], &spans[7]);
    for (turn, members) in [(first, &spans[..5]), (second, &spans[6..7])] {
        for span in members {
            assert_eq!((span.parent, span.trace), (Some(turn.id), turn.trace));
        }
    }
    assert_eq!((second.link, first.link, first.parent), (Some(first.id), None, None));
    let ids: std::collections::HashSet<_> = spans.iter().map(|span| span.id).collect();
    assert_eq!(ids.len(), spans.len());
}

#[test]
fn otel_tokens_of_tries_that_failed_count_and_errors_are_told() {
    let spans = folded(&mut Fold::new(&spec(), false), &session());
    let input = |at: usize| value(&spans[at], "gen_ai.usage.input_tokens").cloned();
    assert_eq!([0, 3, 5].map(input), [1_000, 1_007, 2_007].map(|it| Some(Value::Whole(it))));
    assert_eq!(spans[3].events.len(), 1);
    let failed: Vec<_> = (0..spans.len()).filter(|at| spans[*at].error.is_some()).collect();
    assert_eq!(failed, [2, 6]);
    assert_eq!(value(&spans[6], "error.type"), Some(&"cut_short".into()));
    assert_eq!(value(&spans[0], "gen_ai.provider.name"), Some(&"anthropic".into()));
    assert!(
        matches!(value(&spans[0], "git_agent.cost_usd"), Some(Value::Real(cost)) if *cost > 0.0)
    );
}

#[test]
fn otel_nothing_that_was_said_is_told_unless_that_is_wanted() {
    let text = |spans: &[Span]| format!("{spans:?}");
    let bare = text(&folded(&mut Fold::new(&spec(), false), &session()));
    assert!(!bare.contains("I look") && !bare.contains("<task>") && !bare.contains("command"));
    let spans = folded(&mut Fold::new(&spec(), true), &session());
    let messages = |at: usize, key: &str| {
        let Some(Value::Text(text)) = value(&spans[at], key) else { panic!("{key}") };
        serde_json::from_str::<Json>(text).unwrap()
    };
    assert_eq!(messages(0, "gen_ai.input.messages")[0]["parts"][0]["content"], "<task>");
    assert_eq!(messages(0, "gen_ai.output.messages")[0]["parts"][1]["id"], "a");
    // Only what is new since the last answer.
    let told = messages(3, "gen_ai.input.messages");
    assert_eq!((told.as_array().unwrap().len(), &told[0]["role"]), (2, &"tool".into()));
}

#[test]
fn otel_a_run_that_was_killed_ends_with_its_last_word_and_another_begins() {
    let events = [
        event(0, 0, moves("queued", "running")),
        event(10, 0, user("x")),
        event(20, 1, answer(&["a"])),
        event(25, 1, Update::ToolCall(call("a"))),
        event(900, 1, moves("running", "running")),
        event(901, 1, ended("a", 0, true)),
        event(950, 1, moves("running", "stopped")),
    ];
    let spans = folded(&mut Fold::new(&spec(), false), &events);
    let told: Vec<_> = spans.iter().map(told).collect();
    assert_eq!(told[1], ("invoke_agent git-agent".to_owned(), 0, 25));
    assert_eq!(told[3], ("invoke_agent git-agent".to_owned(), 900, 950));
    assert_eq!(value(&spans[1], "git_agent.state"), Some(&"interrupted".into()));
}

#[test]
fn otel_cut_anywhere_and_gone_on_with_the_spans_are_the_same() {
    let events = session();
    let whole = folded(&mut Fold::new(&spec(), true), &events);
    for cut in 0..events.len() {
        // What a run knows that begins behind the mark.
        let mut fold = Fold::new(&spec(), true);
        let before = folded(&mut fold, &events[..cut]);
        let mut again = fold.clone();
        let mut after = Vec::new();
        for (at, event) in (cut as u64..).zip(&events[cut..]) {
            after.extend(again.apply(at * 100, event));
        }
        assert_eq!([before, after].concat(), whole, "cut at {cut}");
    }
}

#[test]
fn otel_the_past_of_a_fork_is_told_by_the_session_it_is_of() {
    let mut events = session();
    // Which was itself forked from another.
    let fork = |session: &str| Update::Fork(Fork { session: session.to_owned(), step: 2 });
    events.insert(0, event(0, 0, fork("w")));
    events.push(event(2_000, 2, fork("x")));
    events.push(event(2_001, 2, moves("paused", "queued")));
    events.push(event(2_002, 2, moves("queued", "running")));
    events.push(event(2_003, 2, moves("running", "done")));
    let origin = crate::session::spec::Origin {
        session: "x".to_owned(),
        step: 2,
        commit: "c0ffee".to_owned(),
    };
    let spec = Spec { forked_from: Some(origin), ..spec() };
    let spans = folded(&mut Fold::new(&spec, false), &events);
    assert_eq!(
        spans.iter().map(told).collect::<Vec<_>>(),
        [("invoke_agent git-agent".to_owned(), 2_002, 2_003)]
    );
}
