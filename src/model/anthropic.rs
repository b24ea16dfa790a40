//! Anthropic's Messages API, version 2023-06-01.
//!
//! Invariant: what the model sent goes back as it came (signatures, redacted thinking, blocks that
//! this program does not know), less only what the API itself would refuse.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::anthropic_stream::Stream;
use super::dialect::{
    Brief, Decoder, Dialect, History, KeyHeader, STALLED, Side, Silence, inside, own_content,
    sendable, up_to_list,
};
use crate::message::{Answer, Message};

const NAME: &str = "anthropic";
/// What ends a message whose content may still grow.
const CLOSING: &str = "]}";
/// Asked for at first: enough for all but a whole file at once, and every current model has it.
const MAX_OUTPUT: u64 = 32_000;

/// The Messages API.
pub(super) struct Anthropic;

impl Dialect for Anthropic {
    fn path(&self) -> &'static str {
        "/v1/messages"
    }

    fn headers(&self) -> HeaderMap {
        HeaderMap::from_iter([(
            HeaderName::from_static("anthropic-version"),
            HeaderValue::from_static("2023-06-01"),
        )])
    }

    fn key_header(&self) -> KeyHeader {
        KeyHeader::XApiKey
    }

    fn head(&self, brief: &Brief<'_>) -> String {
        let mut tools = brief.tools(|tool| {
            json!({
                "name": tool.name,
                "description": tool.description,
                "input_schema": tool.parameters,
            })
        });
        if let Some(Value::Object(last)) = tools.last_mut() {
            last.insert("cache_control".into(), json!({"type": "ephemeral"}));
        }
        let mut head = json!({
            "model": brief.model,
            // Demanded by the API.
            "max_tokens": brief.max_output.unwrap_or(MAX_OUTPUT),
            "stream": true,
        });
        if brief.adaptive_thinking {
            head["thinking"] = json!({"type": "adaptive"});
        }
        if let Some(effort) = brief.effort {
            head["output_config"] = json!({"effort": effort});
        }
        if !tools.is_empty() {
            head["tools"] = tools.into();
        }
        if !brief.system.trim().is_empty() {
            head["system"] = json!([{
                "type": "text",
                "text": brief.system,
                "cache_control": {"type": "ephemeral"},
            }]);
        }
        up_to_list(&head, "messages")
    }

    fn max_output(&self, known: Option<u64>) -> Option<u64> {
        Some(known.map_or(MAX_OUTPUT, |known| known.min(MAX_OUTPUT)))
    }

    fn push(&self, history: &mut History, model: &str, message: &Message) {
        match message {
            // The API refuses text blocks that show nothing.
            Message::User(text) if text.trim().is_empty() => {}
            Message::User(text) => {
                push_blocks(
                    history,
                    Side::User,
                    &json!({"type": "text", "text": text}).to_string(),
                );
            }
            Message::Results(results) => {
                let blocks: Vec<String> = results
                    .iter()
                    .map(|result| {
                        let mut block = json!({
                            "type": "tool_result",
                            "tool_use_id": wire_id(&result.call_id),
                            "content": result.output,
                        });
                        if result.is_error {
                            block["is_error"] = true.into();
                        }
                        block.to_string()
                    })
                    .collect();
                push_blocks(history, Side::User, &blocks.join(","));
            }
            Message::Assistant(answer) => match own_content(answer, NAME, model) {
                Some(content) => push_blocks(history, Side::Assistant, inside(content)),
                None => push_blocks(history, Side::Assistant, &normalised(answer)),
            },
        }
    }

    fn cache_mark(&self) -> &'static str {
        r#","cache_control":{"type":"ephemeral"}"#
    }

    fn silence(&self) -> Silence {
        // It answers at once, and pings while it thinks.
        Silence { first: STALLED, within: STALLED }
    }

    fn decoder(&self, model: &str, _calls: usize) -> Box<dyn Decoder> {
        Box::new(Stream::new(NAME, model))
    }
}

/// Adds content blocks; neighbours of one side become one message, as the API demands turns.
fn push_blocks(history: &mut History, side: Side, blocks: &str) {
    if blocks.is_empty() {
        return;
    }
    let joined = history.last() == Some(side);
    if joined {
        history.join(CLOSING, &format!(",{blocks}{CLOSING}"));
    } else {
        let role = if side == Side::User { "user" } else { "assistant" };
        history.entry(Some(side), &format!(r#"{{"role":"{role}","content":[{blocks}{CLOSING}"#));
    }
    if side == Side::User {
        // Inside of the last block, before its brace.
        history.mark(CLOSING.len() + 1, joined);
    }
}

/// An answer of another model: what it said and called, without its reasoning.
fn normalised(answer: &Answer) -> String {
    let mut blocks = String::new();
    if !answer.text.trim().is_empty() {
        blocks.push_str(&json!({"type": "text", "text": answer.text}).to_string());
    }
    for call in &answer.calls {
        if !blocks.is_empty() {
            blocks.push(',');
        }
        blocks.push_str(&format!(
            r#"{{"type":"tool_use","id":"{}","name":"{}","input":{}}}"#,
            wire_id(&call.id),
            wire_id(&call.name),
            sendable(&call.arguments),
        ));
    }
    blocks
}

/// An id or name in the letters that the API takes; what it gave out itself stays as it is.
fn wire_id(id: &str) -> String {
    id.chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::retry::Cause;
    use super::super::testing::{Reply, Server, answer, call, decode, history, result, shared};
    use super::*;
    use crate::message::{StopReason, Usage};

    /// Thinking, text, a block nobody knows, and two calls, one without arguments.
    const RICH: [&str; 24] = [
        r#"{"type":"message_start","message":{"id":"m","usage":{"input_tokens":10,"cache_creation_input_tokens":20,"cache_read_input_tokens":30,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"I \u00e9"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"Eq/+=="}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"x/y+=="}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"Let me "}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"look."}}"#,
        r#"{"type":"content_block_stop","index":2}"#,
        r#"{"type":"content_block_start","index":3,"content_block":{"type":"web_search_tool_result","n": 1.50,"b":[ ]}}"#,
        r#"{"type":"content_block_stop","index":3}"#,
        r#"{"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"toolu_1","name":"bash","input":{}}}"#,
        r#"{"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":"{\"command\": "}}"#,
        r#"{"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":"\"ls\", \"n\":1.0}"}}"#,
        r#"{"type":"content_block_stop","index":4}"#,
        r#"{"type":"content_block_start","index":5,"content_block":{"type":"tool_use","id":"toolu_2","name":"plan","input":{}}}"#,
        r#"{"type":"content_block_delta","index":5,"delta":{"type":"input_json_delta","partial_json":""}}"#,
        r#"{"type":"content_block_stop","index":5}"#,
        r#"{"type":"news","of":"tomorrow"}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":42}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    const RICH_RAW: &str = concat!(
        r#"[{"type":"thinking","thinking":"I é","signature":"Eq/+=="},"#,
        r#"{"type":"redacted_thinking","data":"x/y+=="},"#,
        r#"{"type":"text","text":"Let me look."},"#,
        r#"{"type":"web_search_tool_result","n": 1.50,"b":[ ]},"#,
        r#"{"type":"tool_use","id":"toolu_1","name":"bash","input":{"command": "ls", "n":1.0}},"#,
        r#"{"type":"tool_use","id":"toolu_2","name":"plan","input":{}}]"#,
    );

    fn rich() -> Answer {
        decode(&Anthropic, "m", &RICH).0.unwrap()
    }

    fn raw(answer: &Answer) -> &str {
        answer.raw.as_ref().unwrap().content.get()
    }

    #[test]
    fn an_answer_is_read_whole_and_kept_byte_for_byte() {
        let (answer, told) = decode(&Anthropic, "m", &RICH);
        let answer = answer.unwrap();
        assert_eq!(answer.text, "Let me look.");
        assert_eq!(answer.thought, "I é");
        let calls = [
            call("toolu_1", "bash", r#"{"command": "ls", "n":1.0}"#),
            call("toolu_2", "plan", "{}"),
        ];
        assert_eq!(answer.calls, calls);
        assert_eq!(answer.stop, StopReason::ToolUse);
        let usage = Usage { input: 60, cached: 30, cache_write: 20, output: 42 };
        assert_eq!(answer.usage, usage);
        assert_eq!(raw(&answer), RICH_RAW);
        assert_eq!(told, ["thought I é", "text Let me ", "text look.", "call bash", "call plan"]);
    }

    #[test]
    fn raw_content_goes_back_to_its_maker_alone() {
        let messages = [Message::User("go".to_owned()), Message::Assistant(rich())];
        let user = r#"{"role":"user","content":[{"type":"text","text":"go","cache_control":{"type":"ephemeral"}}]}"#;
        assert_eq!(
            history(&Anthropic, "m", &messages),
            format!(r#"[{user},{{"role":"assistant","content":{RICH_RAW}}}]"#)
        );
        let normalised = concat!(
            r#"{"role":"assistant","content":[{"type":"text","text":"Let me look."},"#,
            r#"{"type":"tool_use","id":"toolu_1","name":"bash","input":{"command": "ls", "n":1.0}},"#,
            r#"{"type":"tool_use","id":"toolu_2","name":"plan","input":{}}]}"#,
        );
        assert_eq!(history(&Anthropic, "other", &messages), format!("[{user},{normalised}]"));
    }

    #[test]
    fn sides_take_turns_and_results_come_first() {
        let foreign = answer("", &[("functions.bash:0", "bash", "{\"a\":")]);
        let messages = [
            Message::User("go".to_owned()),
            Message::User(" \n".to_owned()),
            Message::Assistant(foreign),
            Message::Results(vec![result("functions.bash:0", "bad", true)]),
            Message::User("stop".to_owned()),
            Message::Assistant(answer("", &[])),
            Message::User("now".to_owned()),
        ];
        let mark = Anthropic.cache_mark();
        let expected = [
            format!(r#"[{{"role":"user","content":[{{"type":"text","text":"go"{mark}}}]}}"#),
            r#"{"role":"assistant","content":[{"type":"tool_use","id":"functions_bash_0","name":"bash","input":{}}]}"#.to_owned(),
            format!(r#"{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"functions_bash_0","content":"bad","is_error":true}},{{"type":"text","text":"stop"}},{{"type":"text","text":"now"{mark}}}]}}]"#),
        ];
        assert_eq!(history(&Anthropic, "m", &messages), expected.join(","));
    }

    #[test]
    fn a_malformed_call_is_heard_but_goes_back_valid() {
        let mut events = RICH.to_vec();
        events[16] = r#"{"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":"\"\\ud800"}}"#;
        let answer = decode(&Anthropic, "m", &events).0.unwrap();
        assert_eq!(answer.calls[0].arguments, r#"{"command": "\ud800"#);
        let valid = RICH_RAW.replace(r#"{"command": "ls", "n":1.0}"#, "{}");
        assert_eq!(raw(&answer), valid);
    }

    #[test]
    fn a_cut_answer_keeps_what_is_whole() {
        let cut = r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{}}"#;
        let end = r#"{"type":"message_stop"}"#;
        let stop = r#"{"type":"content_block_stop","index":4}"#;
        for events in [
            [&RICH[..16], &[cut, end]].concat(),
            [&RICH[..16], &[stop, cut, end]].concat(),
            [&RICH[..15], &[stop, cut, end]].concat(),
        ] {
            let answer = decode(&Anthropic, "m", &events).0.unwrap();
            assert_eq!((answer.stop, answer.calls.len()), (StopReason::MaxTokens, 0));
            let whole = &RICH_RAW[..RICH_RAW.find(r#",{"type":"tool_use""#).unwrap()];
            assert_eq!(raw(&answer), format!("{whole}]"));
        }
        // The first call is whole, the second is not: the first may run.
        let answer = decode(&Anthropic, "m", &[&RICH[..19], &[cut, end]].concat()).0.unwrap();
        assert_eq!(answer.calls, [call("toolu_1", "bash", r#"{"command": "ls", "n":1.0}"#)]);
        // Thinking alone cannot go back.
        let answer = decode(&Anthropic, "m", &[&RICH[..8], &[cut, end]].concat()).0.unwrap();
        assert_eq!(raw(&answer), "[]");
        assert_eq!(history(&Anthropic, "m", &[Message::Assistant(answer)]), "[]");
    }

    #[test]
    fn every_end_has_its_meaning() {
        let end = |reason: &str| {
            let delta =
                format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}}}}"#);
            decode(&Anthropic, "m", &[RICH[0], &delta, r#"{"type":"message_stop"}"#]).0
        };
        for (reason, stop) in [
            ("end_turn", StopReason::EndTurn),
            ("stop_sequence", StopReason::EndTurn),
            ("tool_use", StopReason::EndTurn),
            ("max_tokens", StopReason::MaxTokens),
            ("refusal", StopReason::Refusal),
            ("pause_turn", StopReason::PauseTurn),
            ("tomorrows", StopReason::EndTurn),
        ] {
            assert_eq!(end(reason).unwrap().stop, stop, "{reason}");
        }
        let full = end("model_context_window_exceeded").unwrap_err();
        assert_eq!(full.cause, Cause::TooLong);
        let cut = decode(&Anthropic, "m", &RICH[..23]).0.unwrap_err();
        assert_eq!(cut.cause, Cause::Broken);
    }

    #[test]
    fn errors_in_a_stream_are_those_outside() {
        for (kind, cause) in [
            ("overloaded_error", Cause::Status(529)),
            ("api_error", Cause::Status(500)),
            ("rate_limit_error", Cause::Status(429)),
            ("authentication_error", Cause::Status(401)),
            ("invalid_request_error", Cause::Status(400)),
            ("request_too_large", Cause::TooLong),
            ("tomorrows_error", Cause::Broken),
        ] {
            let event = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"no"}}}}"#);
            let failure = decode(&Anthropic, "m", &[RICH[0], &event]).0.unwrap_err();
            assert_eq!((failure.cause, failure.message.as_str()), (cause, "no"), "{kind}");
        }
    }

    #[tokio::test]
    async fn a_request_begins_with_the_last_one() {
        let stream: String = RICH.iter().map(|event| format!("data: {event}\n\n")).collect();
        let server = Server::play(vec![Reply::stream(stream); 5]).await;
        let mut model = server.model("anthropic/claude-sonnet-4-6");
        model.push(&Message::User("task".to_owned()));
        for step in 0..5 {
            let answer = model.answer(None, &mut |_| {}).await.unwrap();
            let results = answer.calls.iter().map(|call| result(&call.id, "ok", false)).collect();
            model.push(&Message::Assistant(answer));
            model.push(&Message::Results(results));
            if step == 2 {
                model.push(&Message::User("and this".to_owned()));
            }
        }
        let bodies: Vec<String> =
            server.requests().into_iter().map(|request| request.body).collect();
        let mark = Anthropic.cache_mark();
        for pair in bodies.windows(2) {
            let (same, length) = shared(&pair[0], &pair[1], mark);
            assert_eq!(same + "]}".len(), length, "{}\n{}", pair[0], pair[1]);
            let request: Value = serde_json::from_str(&pair[1]).unwrap();
            assert_eq!(pair[1].matches("cache_control").count(), 4);
            assert_eq!(request["tools"][0]["cache_control"]["type"], "ephemeral");
            assert_eq!(request["system"][0]["cache_control"]["type"], "ephemeral");
            assert_eq!(request["max_tokens"], 32_000);
            assert_eq!(request["thinking"]["type"], "adaptive");
        }
        assert!(model.raise_output_limit());
        assert!(!model.raise_output_limit());
        assert_eq!(model.context_window(), Some(1_000_000));
        let price = super::super::Pricing::of(&model.name());
        assert!(price.cost(&Usage { input: 1, ..Usage::default() }).unwrap() > 0.0);
    }
}
