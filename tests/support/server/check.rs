//! The rules that all dialects share: what a request must be to get an answer.
//!
//! Invariant: nothing is refused here that the vendors' own servers take, save what no client of
//! ours should ever send: a repeated assistant turn, a request that is not streamed.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::script::{Block, Script};

/// Why a request is refused, in the vendor's words where they are known.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal(pub(super) String);

pub(super) type Checked<T = ()> = Result<T, Refusal>;

/// Refuses with this message unless the condition holds.
pub(super) fn demand(holds: bool, message: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Refusal(message())) }
}

/// The fields of an object, all of them known and the needed ones there.
pub(super) fn fields<'a>(
    value: &'a Value,
    at: &str,
    needed: &[&str],
    known: &[&str],
) -> Checked<&'a Map<String, Value>> {
    let Value::Object(map) = value else {
        return Err(Refusal(format!("{at}: Input should be a valid dictionary")));
    };
    for key in map.keys() {
        let is_known = needed.contains(&key.as_str()) || known.contains(&key.as_str());
        demand(is_known, || format!("{at}.{key}: Extra inputs are not permitted"))?;
    }
    for key in needed {
        demand(map.contains_key(*key), || format!("{at}.{key}: Field required"))?;
    }
    Ok(map)
}

/// The field of an object that must be a text.
pub(super) fn text<'a>(value: &'a Value, key: &str, at: &str) -> Checked<&'a str> {
    value[key]
        .as_str()
        .ok_or_else(|| Refusal(format!("{at}.{key}: Input should be a valid string")))
}

/// The field of an object that must be a list.
pub(super) fn list<'a>(value: &'a Value, key: &str, at: &str) -> Checked<&'a [Value]> {
    match &value[key] {
        Value::Array(items) => Ok(items),
        _ => Err(Refusal(format!("{at}.{key}: Input should be a valid list"))),
    }
}

/// What holds at the top of a request in each dialect.
pub(super) fn top(body: &Value, needed: &[&str], known: &[&str]) -> Checked {
    fields(body, "body", needed, known)?;
    demand(!text(body, "model", "body")?.is_empty(), || "body.model: must not be empty".into())?;
    demand(body["stream"] == true, || "body.stream: this server only streams".into())
}

/// A tool's name, unlike all before it, and the schema of its arguments.
pub(super) fn tool<'a>(
    name: &'a str,
    schema: &Value,
    at: &str,
    names: &mut HashSet<&'a str>,
) -> Checked {
    let is_name = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    demand(is_name, || {
        format!("{at}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
    })?;
    demand(names.insert(name), || "tools: Tool names must be unique.".into())?;
    demand(schema["type"] == "object", || format!("{at}: schema must be of type object"))?;
    self::schema(schema, at)
}

fn schema(schema: &Value, at: &str) -> Checked {
    const TYPES: [&str; 7] = ["object", "array", "string", "number", "integer", "boolean", "null"];
    let Value::Object(map) = schema else {
        return Err(Refusal(format!("{at}: JSON schema is invalid: not an object")));
    };
    let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    let typed = match &schema["type"] {
        Value::Null => true,
        Value::Array(types) => !types.is_empty() && types.iter().all(is_type),
        other => is_type(other),
    };
    demand(typed, || format!("{at}: JSON schema is invalid: type {}", schema["type"]))?;
    let empty = Map::new();
    let properties = match map.get("properties") {
        None => &empty,
        Some(Value::Object(properties)) => properties,
        Some(_) => return Err(Refusal(format!("{at}: JSON schema is invalid: properties"))),
    };
    for (name, property) in properties {
        self::schema(property, &format!("{at}.{name}"))?;
    }
    if let Some(items) = map.get("items") {
        self::schema(items, &format!("{at}.items"))?;
    }
    if let Some(required) = map.get("required") {
        let all_there = required.as_array().is_some_and(|names| {
            names.iter().all(|name| name.as_str().is_some_and(|name| properties.contains_key(name)))
        });
        demand(all_there, || format!("{at}: JSON schema is invalid: required {required}"))?;
    }
    if let Some(choices) = map.get("enum") {
        let some = choices.as_array().is_some_and(|choices| !choices.is_empty());
        demand(some, || format!("{at}: JSON schema is invalid: enum {choices}"))?;
    }
    Ok(())
}

/// Where in the scripts a block of an answer stands; told in its id or its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) script: usize,
    pub(super) turn: usize,
    pub(super) block: usize,
}

impl Place {
    /// The id of a call.
    pub(super) fn id(self, prefix: &str) -> String {
        format!("{prefix}_{}x{}x{}", self.script, self.turn, self.block)
    }

    /// What signs (or encrypts) reasoning: it tells the place and a hash of the text, and has
    /// the letters that clients like to mangle.
    pub(super) fn seal(self, text: &str) -> String {
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("EqQB/{}x{}x{}+{hash:016x}==", self.script, self.turn, self.block)
    }

    /// The place that an id tells of.
    pub(super) fn of_id(id: &str) -> Option<Self> {
        Self::parse(id.rsplit_once('_')?.1)
    }

    /// The place that a seal tells of.
    pub(super) fn of_seal(seal: &str) -> Option<Self> {
        Self::parse(seal.strip_prefix("EqQB/")?.split_once('+')?.0)
    }

    fn parse(text: &str) -> Option<Self> {
        let numbers: Vec<usize> = text.split('x').map_while(|part| part.parse().ok()).collect();
        match numbers[..] {
            [script, turn, block] => Some(Self { script, turn, block }),
            _ => None,
        }
    }
}

/// What a request says of one block of an earlier answer.
pub(super) enum Said<'a> {
    /// Its visible text.
    Text(&'a str),
    /// A call by its id.
    Call(&'a str),
    /// Reasoning by its seal, with the readable text it came with.
    Thinking { seal: &'a str, text: &'a str },
}

/// Checks that what comes back of an answer is what was said, in the same places.
///
/// Text may be left out or put otherwise and calls may be left out, but reasoning has to be
/// unchanged; and with `all_thinking` complete, as far as the answer can be told from its ids. An
/// answer of another vendor, told by ids that do not begin with `own`, has no reasoning to bring.
pub(super) fn said_in_place(
    scripts: &[Script],
    said: &[Said],
    own: &str,
    all_thinking: bool,
    at: &str,
) -> Checked {
    let is_foreign = |said: &Said| matches!(said, Said::Call(id) if !id.starts_with(own));
    let all_thinking = all_thinking && !said.iter().any(is_foreign);
    let mut last: Option<Place> = None;
    let mut thoughts = 0;
    for (index, block) in said.iter().enumerate() {
        let place = match block {
            Said::Thinking { seal, text } => {
                let place = Place::of_seal(seal).filter(|place| place.seal(text) == *seal);
                thoughts += 1;
                Some(place.ok_or_else(|| {
                    Refusal(format!(
                        "{at}.content.{index}: `thinking` or `redacted_thinking` blocks in the \
                         latest assistant message cannot be modified. These blocks must remain as \
                         they were in the original response."
                    ))
                })?)
            }
            Said::Call(id) => Place::of_id(id),
            Said::Text(text) => last.and_then(|last| text_after(scripts, last, text)),
        };
        let Some(place) = place else { continue };
        if let Some(last) = last {
            let in_order = (last.script, last.turn) == (place.script, place.turn)
                && (last.block < place.block || matches!(block, Said::Text(_)));
            demand(in_order, || format!("{at}.content.{index}: not where it was in the answer"))?;
        }
        last = Some(place);
    }
    let turn = last.and_then(|last| scripts.get(last.script)?.turn(last.turn));
    if let (true, Some(turn)) = (all_thinking, turn) {
        let sent = turn.blocks.iter().filter(|block| matches!(block, Block::Thinking(_))).count();
        demand(thoughts == sent, || {
            format!(
                "{at}.content.0.type: Expected `thinking` or `redacted_thinking`, {thoughts} of \
                 {sent} came back. When `thinking` is enabled, a final `assistant` message must \
                 start with a thinking block."
            )
        })?;
    }
    Ok(())
}

/// The place of this very text after another block of the same answer.
fn text_after(scripts: &[Script], last: Place, text: &str) -> Option<Place> {
    let blocks = &scripts.get(last.script)?.turn(last.turn)?.blocks;
    let is_it = |block: &Block| matches!(block, Block::Text(said) if said == text);
    let after = blocks.iter().skip(last.block).position(is_it)?;
    Some(Place { block: last.block + after, ..last })
}
