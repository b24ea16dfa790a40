//! That each request which the real servers refuse is refused, and for its own reason.
//!
//! Invariant: each case is a good request with one thing wrong.

use serde_json::{Value, json};

use super::super::{Dialect, Script, Server, Turn};
use super::client::{Talk, headers, post, post_with};

/// One thing wrong, and a part of the words it is refused with.
type Case = (&'static str, fn(&mut Value));

fn script() -> Script {
    let turn = || {
        Turn::empty()
            .and_thinking("Let me think.")
            .and_text("Look:")
            .and_call("bash", json!({"command": "ls"}))
            .and_call("bash", json!({"command": "pwd"}))
    };
    Script::new([turn(), turn(), Turn::text("Done.")])
}

/// Sends the third request of a session, good but for one thing, case by case.
fn each_is_refused(dialect: Dialect, cases: &[Case]) {
    let server = Server::start(script());
    let mut talk = Talk::new(dialect, "a task");
    talk.step(&server);
    talk.step(&server);
    let good = talk.request();
    assert_eq!(post(&server, dialect, &good).status, 200);
    assert_eq!(server.take_violations(), Vec::<String>::new());
    for (wanted, spoil) in cases {
        let mut request = good.clone();
        spoil(&mut request);
        let heard = post(&server, dialect, &request);
        let violations = server.take_violations();
        assert_eq!((heard.status, violations.len()), (400, 1), "{dialect:?}: {wanted}");
        assert!(violations[0].contains(wanted), "wanted {wanted}, got {violations:?}");
        let told: Value = serde_json::from_slice(&heard.body).unwrap();
        let message = told["error"]["message"].as_str().unwrap();
        assert!(violations[0].ends_with(message), "{message}");
    }
}

fn at(value: &mut Value, index: usize) -> &mut Vec<Value> {
    value["messages"][index]["content"].as_array_mut().unwrap()
}

#[test]
fn anthropic() {
    each_is_refused(
        Dialect::Anthropic,
        &[
            ("max_tokens: Field required", |body| {
                body.as_object_mut().unwrap().remove("max_tokens");
            }),
            ("max_tokens: Input should be", |body| body["max_tokens"] = json!(0)),
            ("body.store: Extra inputs", |body| body["store"] = json!(false)),
            ("thinking.budget_tokens", |body| {
                body["thinking"] = json!({"type": "enabled", "budget_tokens": 1000});
            }),
            ("only streams", |body| body["stream"] = json!(false)),
            ("first message must use the \"user\" role", |body| {
                body["messages"].as_array_mut().unwrap().remove(0);
            }),
            ("unexpected role \"system\"", |body| {
                body["messages"][0]["role"] = json!("system");
                body["messages"]
                    .as_array_mut()
                    .unwrap()
                    .insert(0, json!({"role": "user", "content": "x"}));
            }),
            ("two assistant messages", |body| {
                let repeated = json!({"role": "assistant", "content": "again"});
                body["messages"].as_array_mut().unwrap().insert(1, repeated);
            }),
            ("messages.2: `tool_use` ids were found without", |body| {
                at(body, 2).pop();
            }),
            ("messages.4: `tool_use` ids were found without", |body| {
                body["messages"].as_array_mut().unwrap().truncate(4);
                let tail = body["messages"][3].clone();
                body["messages"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({"role": "user", "content": "x"}));
                body["messages"].as_array_mut().unwrap().push(tail);
            }),
            ("unexpected `tool_use_id`", |body| at(body, 2)[0]["tool_use_id"] = json!("toolu_9")),
            ("single result", |body| {
                let twice = at(body, 2)[0].clone();
                at(body, 2).insert(0, twice);
            }),
            ("tool_result blocks must come first", |body| {
                at(body, 2).insert(0, json!({"type": "text", "text": "look"}));
            }),
            ("non-whitespace text", |body| at(body, 2).push(json!({"type": "text", "text": " "}))),
            ("must have non-empty content", |body| body["messages"][0]["content"] = json!("")),
            ("must have non-empty content", |body| {
                body["messages"][1]["content"] = json!([]);
            }),
            ("cannot be modified", |body| at(body, 1)[0]["thinking"] = json!("Let me think!")),
            ("cannot be modified", |body| {
                let seal = at(body, 1)[0]["signature"].as_str().unwrap().replace('+', " ");
                at(body, 1)[0]["signature"] = json!(seal);
            }),
            ("0 of 1 came back", |body| {
                at(body, 3).remove(0);
            }),
            ("not where it was", |body| at(body, 3).swap(0, 2)),
            ("not where it was", |body| {
                let thinking = at(body, 1)[0].clone();
                at(body, 3)[0] = thinking;
            }),
            ("content.0.index: Extra inputs", |body| at(body, 1)[0]["index"] = json!(0)),
            ("input: Input should be a valid dictionary", |body| {
                at(body, 1)[2]["input"] = json!("{}");
            }),
            ("does not support assistant message prefill", |body| {
                body["messages"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({"role": "assistant", "content": "Sure"}));
            }),
            ("must define tools", |body| {
                body.as_object_mut().unwrap().remove("tools");
            }),
            ("names must be unique", |body| {
                let tool = body["tools"][0].clone();
                body["tools"].as_array_mut().unwrap().push(tool);
            }),
            ("should match pattern", |body| body["tools"][0]["name"] = json!("run it")),
            ("input_schema: Field required", |body| {
                body["tools"][0].as_object_mut().unwrap().remove("input_schema");
            }),
            ("must be of type object", |body| body["tools"][0]["input_schema"] = json!({})),
            ("schema is invalid: required", |body| {
                body["tools"][0]["input_schema"]["required"] = json!(["other"]);
            }),
            ("schema is invalid: type", |body| {
                body["tools"][0]["input_schema"]["properties"]["command"]["type"] = json!("text");
            }),
            ("schema is invalid: enum", |body| {
                body["tools"][0]["input_schema"]["properties"]["command"]["enum"] = json!([]);
            }),
            ("A maximum of 4 blocks with cache_control", |body| {
                let mark = json!({"type": "ephemeral"});
                body["tools"][0]["cache_control"] = mark.clone();
                body["system"] = json!([{"type": "text", "text": "x", "cache_control": mark}]);
                for (message, block) in [(2, 0), (2, 1), (4, 1)] {
                    at(body, message)[block]["cache_control"] = mark.clone();
                }
            }),
            ("a key is in the body", |body| body["system"] = json!(Dialect::Anthropic.key())),
            ("the script has no turn 3", |body| {
                body["messages"].as_array_mut().unwrap().extend([
                    json!({"role": "assistant", "content": "Done."}),
                    json!({"role": "user", "content": "more"}),
                ]);
            }),
        ],
    );
}

#[test]
fn responses() {
    each_is_refused(
        Dialect::Responses,
        &[
            ("store: must be false", |body| body["store"] = json!(true)),
            ("include: reasoning.encrypted_content", |body| body["include"] = json!([])),
            ("body.max_tokens: Extra inputs", |body| body["max_tokens"] = json!(10)),
            ("No tool output found for function call", |body| {
                body["input"].as_array_mut().unwrap().pop();
            }),
            ("No tool call found for function call output", |body| {
                body["input"].as_array_mut().unwrap().remove(4);
            }),
            ("Duplicate output", |body| {
                let twice = body["input"][5].clone();
                body["input"].as_array_mut().unwrap().push(twice);
            }),
            ("encrypted_content: Field required", |body| {
                body["input"][1].as_object_mut().unwrap().remove("encrypted_content");
            }),
            ("not persisted", |body| body["input"][1]["encrypted_content"] = json!(null)),
            ("cannot be modified", |body| body["input"][1]["summary"][0]["text"] = json!("else")),
            ("0 of 1 came back", |body| {
                body["input"].as_array_mut().unwrap().remove(1);
            }),
            ("without its required following item", |body| {
                let reasoning = body["input"][1].clone();
                body["input"].as_array_mut().unwrap().insert(5, reasoning);
            }),
            ("not where it was", |body| body["input"].as_array_mut().unwrap().swap(1, 3)),
            ("user message holds input parts", |body| {
                body["input"][0]["content"] = json!([{"type": "output_text", "text": "x"}]);
            }),
            ("ends with an item that the model said", |body| {
                body["input"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({"role": "assistant", "content": "x"}));
            }),
            ("Invalid value for 'input[0].role'", |body| body["input"][0]["role"] = json!("tool")),
            ("Invalid value for 'input[1].type'", |body| {
                body["input"][1]["type"] = json!("thought");
            }),
            ("names must be unique", |body| {
                let tool = body["tools"][0].clone();
                body["tools"].as_array_mut().unwrap().push(tool);
            }),
            ("additionalProperties", |body| body["tools"][0]["strict"] = json!(true)),
        ],
    );
}

#[test]
fn chat() {
    each_is_refused(
        Dialect::Chat,
        &[
            ("body.system: Extra inputs", |body| body["system"] = json!("x")),
            ("did not have response messages", |body| {
                body["messages"].as_array_mut().unwrap().remove(3);
            }),
            ("did not have response messages", |body| {
                body["messages"].as_array_mut().unwrap().pop();
            }),
            ("must be a response to a preceeding", |body| {
                body["messages"].as_array_mut().unwrap().remove(1);
            }),
            ("must be a response to a preceeding", |body| {
                let twice = body["messages"][3].clone();
                body["messages"].as_array_mut().unwrap().insert(4, twice);
            }),
            ("expected a string, got null", |body| {
                body["messages"][0] = json!({"role": "assistant", "content": null});
            }),
            ("[] is too short - 'messages[1].tool_calls'", |body| {
                body["messages"][1]["tool_calls"] = json!([]);
            }),
            ("ids must be unique", |body| body["messages"][1]["tool_calls"][0]["id"] = json!("")),
            ("Invalid value: 'human'", |body| body["messages"][0]["role"] = json!("human")),
            ("two assistant messages", |body| {
                let silent = json!({"role": "assistant", "content": "x"});
                body["messages"].as_array_mut().unwrap().splice(0..1, [silent.clone(), silent]);
            }),
            ("end with an assistant message", |body| {
                body["messages"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({"role": "assistant", "content": "x"}));
            }),
            ("tool_call_id: Field required", |body| {
                body["messages"][2].as_object_mut().unwrap().remove("tool_call_id");
            }),
            ("[] is too short - 'tools'", |body| body["tools"] = json!([])),
            ("must be of type object", |body| {
                body["tools"][0]["function"]["parameters"] = json!({"type": "string"});
            }),
        ],
    );
}

#[test]
fn headers_keys_and_bodies() {
    for dialect in Dialect::ALL {
        let server = Server::start(script());
        let good = headers(dialect);
        let body = Talk::new(dialect, "a task").request().to_string();
        let ask = |headers: &[(&str, String)], body: &str| {
            let status = post_with(&server, dialect, headers, body.as_bytes()).status;
            (status, server.take_violations().len())
        };
        assert_eq!(ask(&good, &body), (200, 0));
        for index in 0..good.len() {
            let mut headers = good.clone();
            let (name, _) = headers.remove(index);
            let status = if matches!(name, "x-api-key" | "authorization") { 401 } else { 400 };
            assert_eq!(ask(&headers, &body), (status, 1), "{dialect:?} without {name}");
        }
        assert_eq!(ask(&good, "{\"model\":"), (400, 1), "{dialect:?}");
        // A wrong key is refused, and may be what a test is about.
        let mut wrong = good.clone();
        wrong.last_mut().unwrap().1 = "Bearer wrong".into();
        assert_eq!(ask(&wrong, &body), (401, 0), "{dialect:?}");
        let foreign = Dialect::ALL.into_iter().find(|other| other.key() != dialect.key()).unwrap();
        let mut leaking = good.clone();
        leaking.push(("x-extra", foreign.key().into()));
        assert_eq!(ask(&leaking, &body), (200, 1), "{dialect:?}");
    }
}
