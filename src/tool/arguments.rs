//! The arguments of a call: from what models really send to what the tools take.
//!
//! Invariant: a value is used as the model meant it or the call is refused in words that name the
//! keys; it is never guessed from half of a call.
//!
//! Models send other tools' names for the same thing, numbers in strings, and objects encoded
//! twice; each costs a turn if refused, and none is ambiguous.

use serde_json::{Map, Value, json};

use crate::message::ToolSpec;

/// What one tool is called, does, and takes.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) keys: &'static [Key],
}

/// One key of the arguments.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    /// Nothing where the name says it all: every byte is sent with each request.
    pub(super) about: &'static str,
    /// Other names that models use for it, in `snake_case`.
    pub(super) aliases: &'static [&'static str],
}

/// The file that a tool is for.
pub(super) const FILE_PATH: Key = Key {
    name: "file_path",
    kind: Kind::Text,
    required: true,
    about: "",
    aliases: &["path", "file", "filename", "filepath", "target_file", "absolute_path"],
};

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Whole,
    Flag,
    OneOf(&'static [&'static str]),
    Texts,
    /// Objects of a `text` and one of these statuses.
    Items(&'static [&'static str]),
}

impl Shape {
    /// The tool as a model is told of it: flat, `required` first, always the same bytes.
    pub(super) fn spec(&self) -> ToolSpec {
        let required: Vec<_> = self.keys.iter().filter(|k| k.required).map(|k| k.name).collect();
        let properties: Map<_, _> =
            self.keys.iter().map(|key| (key.name.to_owned(), key.schema())).collect();
        ToolSpec {
            name: self.name.to_owned(),
            description: self.about.to_owned(),
            parameters: json!({
                "type": "object", "required": required, "properties": properties,
            }),
        }
    }

    fn takes(&self) -> String {
        self.keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
    }

    fn complaint(&self, what: &str) -> String {
        format!("arguments of {}: {what}; it takes {}.", self.name, self.takes())
    }
}

impl Key {
    fn schema(&self) -> Value {
        let mut schema = match self.kind {
            Kind::Text => json!({"type": "string"}),
            Kind::Whole => json!({"type": "integer"}),
            Kind::Flag => json!({"type": "boolean"}),
            Kind::OneOf(words) => json!({"type": "string", "enum": words}),
            Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
            Kind::Items(words) => json!({"type": "array", "items": {
                "type": "object",
                "required": ["text", "status"],
                "properties": {
                    "text": {"type": "string"},
                    "status": {"type": "string", "enum": words},
                },
            }}),
        };
        if !self.about.is_empty() {
            schema["description"] = json!(self.about);
        }
        schema
    }
}

/// The arguments of one call, under the tool's own names.
pub(super) struct Arguments {
    shape: &'static Shape,
    values: Map<String, Value>,
}

impl Arguments {
    /// Reads what the model wrote. A required key must be there; its type is judged when asked for.
    pub(super) fn parse(shape: &'static Shape, raw: &str) -> Result<Self, String> {
        let mut values = Map::new();
        for (key, value) in object(shape, raw)? {
            let key = snake_case(&key);
            let known = shape.keys.iter().find(|known| known.name == key);
            let known = known
                .or_else(|| shape.keys.iter().find(|known| known.aliases.contains(&key.as_str())));
            if let Some(known) = known
                && !value.is_null()
                && (known.name == key || !values.contains_key(known.name))
            {
                values.insert(known.name.to_owned(), value);
            }
        }
        let arguments = Self { shape, values };
        let missing = shape.keys.iter().find(|key| key.required && !arguments.has(key.name));
        missing.map_or(Ok(arguments), |key| Err(shape.complaint(&format!("no {}", key.name))))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// Whether each value is of its key's type, as far as it can be meant.
    pub(super) fn are_typed(&self) -> bool {
        self.shape.keys.iter().all(|key| match key.kind {
            Kind::Text | Kind::OneOf(_) => self.text(key.name).is_ok(),
            Kind::Whole => self.whole(key.name).is_ok(),
            Kind::Flag => self.flag(key.name).is_ok(),
            Kind::Texts | Kind::Items(_) => self.list(key.name).is_ok(),
        })
    }

    pub(super) fn is_list(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(Value::is_array)
    }

    /// A text; empty where the key is absent.
    pub(super) fn text(&self, key: &str) -> Result<String, String> {
        match self.values.get(key) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
            Some(Value::Array(lines)) if lines.iter().all(Value::is_string) => {
                let lines: Vec<_> = lines.iter().filter_map(Value::as_str).collect();
                Ok(lines.join("\n"))
            }
            Some(other) => Err(self.wrong(key, other, "a string")),
        }
    }

    /// A whole number that is not negative.
    pub(super) fn whole(&self, key: &str) -> Result<Option<u64>, String> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be whole and in range"
            )]
            Some(number) if number.fract() == 0.0 && (0.0..1e15).contains(&number) => {
                Ok(Some(number as u64))
            }
            _ => Err(self.wrong(key, value, "a whole number")),
        }
    }

    /// A yes or no; no where the key is absent.
    pub(super) fn flag(&self, key: &str) -> Result<bool, String> {
        match self.values.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(value) => match value.to_string().trim_matches('"').to_lowercase().as_str() {
                "true" | "yes" | "1" => Ok(true),
                "false" | "no" | "0" | "" => Ok(false),
                _ => Err(self.wrong(key, value, "true or false")),
            },
        }
    }

    /// A list, empty where the key is absent. One encoded as a string is decoded; any other
    /// string is a list of its lines.
    pub(super) fn list(&self, key: &str) -> Result<Vec<Value>, String> {
        match self.values.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => Ok(list.clone()),
            Some(Value::String(text)) => Ok(serde_json::from_str(text).unwrap_or_else(|_| {
                text.lines().filter(|line| !line.trim().is_empty()).map(Value::from).collect()
            })),
            Some(other) => Err(self.wrong(key, other, "an array")),
        }
    }

    /// The complaint that `key` is not what it must be.
    pub(super) fn wrong(&self, key: &str, value: &Value, wanted: &str) -> String {
        let shown = super::output::line(&value.to_string(), 60);
        self.shape.complaint(&format!("{key} is {shown}, not {wanted}"))
    }
}

/// The object that the model meant, however often it was wrapped.
fn object(shape: &Shape, raw: &str) -> Result<Map<String, Value>, String> {
    if raw.trim().is_empty() {
        return Ok(Map::new());
    }
    let mut value: Value = serde_json::from_str(raw).map_err(|error| {
        let near: String =
            raw.lines().nth(error.line().saturating_sub(1)).map_or_else(String::new, |line| {
                line.chars().skip(error.column().saturating_sub(20)).take(40).collect()
            });
        shape.complaint(&format!("not JSON, {error}, near «{}»", super::output::line(&near, 40)))
    })?;
    for _ in 0..3 {
        value = match value {
            Value::String(inner) => match serde_json::from_str(&inner) {
                Ok(decoded) => decoded,
                Err(_) => return Err(shape.complaint("a string, not an object")),
            },
            Value::Array(mut list) if list.len() == 1 => list.remove(0),
            Value::Object(mut map) if map.len() == 1 => {
                let wrapped = ["arguments", "parameters", "input", "args"]
                    .iter()
                    .find(|key| map.get(**key).is_some_and(|v| v.is_object() || v.is_string()));
                match wrapped {
                    Some(key) if !shape.knows(key) => map.remove(*key).unwrap_or(Value::Null),
                    _ => return Ok(map),
                }
            }
            Value::Object(map) => return Ok(map),
            other => other,
        };
    }
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        _ => Err(shape.complaint("not an object")),
    }
}

impl Shape {
    fn knows(&self, key: &str) -> bool {
        self.keys.iter().any(|known| known.name == key || known.aliases.contains(&key))
    }
}

/// `filePath` and `file-path` as `file_path`.
fn snake_case(key: &str) -> String {
    let mut snake = String::with_capacity(key.len() + 2);
    for letter in key.trim().chars() {
        if letter.is_ascii_uppercase() {
            if !snake.is_empty() && !snake.ends_with('_') {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        } else {
            snake.push(if letter == '-' { '_' } else { letter });
        }
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        name: "sample",
        about: "",
        keys: &[
            FILE_PATH,
            Key { name: "limit", kind: Kind::Whole, required: false, about: "", aliases: &[] },
            Key { name: "all", kind: Kind::Flag, required: false, about: "", aliases: &[] },
            Key { name: "options", kind: Kind::Texts, required: false, about: "", aliases: &[] },
        ],
    };
    static STATIC: Shape = SHAPE;

    fn read(raw: &str) -> Result<(String, Option<u64>, bool), String> {
        let arguments = Arguments::parse(&STATIC, raw)?;
        Ok((arguments.text("file_path")?, arguments.whole("limit")?, arguments.flag("all")?))
    }

    #[test]
    fn what_models_send_is_what_they_meant() {
        let meant = Ok(("a.rs".to_owned(), Some(12), true));
        for raw in [
            r#"{"file_path":"a.rs","limit":12,"all":true}"#,
            r#"{"path":"a.rs","limit":"12","all":"true","extra":[1]}"#,
            r#"{"filePath":"a.rs","limit":12.0,"all":1}"#,
            r#""{\"file_path\":\"a.rs\",\"limit\":12,\"all\":true}""#,
            r#"{"arguments":{"file-path":"a.rs","limit":" 12 ","all":"yes"}}"#,
            r#"{"input":"{\"path\":\"a.rs\",\"limit\":12,\"all\":true}"}"#,
            r#"[{"file_path":"a.rs","limit":12,"all":true}]"#,
            r#"{"path":"b.rs","file_path":"a.rs","limit":12,"all":true}"#,
            r#"{"file_path":"a.rs","path":"b.rs","limit":12,"all":true}"#,
        ] {
            assert_eq!(read(raw), meant, "{raw}");
        }
        assert_eq!(read(r#"{"path":7,"limit":null}"#), Ok(("7".to_owned(), None, false)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_keys() {
        let takes = "; it takes file_path, limit, all, options.";
        for (raw, what) in [
            ("", "no file_path"),
            ("null", "no file_path"),
            ("{}", "no file_path"),
            (r#"{"file_path":null}"#, "no file_path"),
            ("[1,2]", "not an object"),
            (r#""hello""#, "a string, not an object"),
            (r#"{"path":{"a":1}}"#, r#"file_path is {"a":1}, not a string"#),
            (r#"{"path":"a","limit":"many"}"#, r#"limit is "many", not a whole number"#),
            (r#"{"path":"a","limit":-1}"#, "limit is -1, not a whole number"),
            (r#"{"path":"a","all":"perhaps"}"#, r#"all is "perhaps", not true or false"#),
        ] {
            assert_eq!(read(raw), Err(format!("arguments of sample: {what}{takes}")), "{raw}");
        }
        let cut = read(r#"{"file_path":"src/a.r"#).unwrap_err();
        assert!(cut.starts_with("arguments of sample: not JSON, EOF while parsing"), "{cut}");
        assert!(cut.ends_with(takes), "{cut}");
    }

    #[test]
    fn m09_a_value_of_another_type_is_noticed() {
        let typed = |raw: &str| Arguments::parse(&STATIC, raw).unwrap().are_typed();
        assert!(typed(r#"{"path":7,"limit":"12","all":"yes","options":"x"}"#));
        for wrong in [
            r#"{"path":{}}"#,
            r#"{"path":"a","limit":"many"}"#,
            r#"{"path":"a","all":[]}"#,
            r#"{"path":"a","options":{}}"#,
        ] {
            assert!(!typed(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_list_may_be_encoded_or_be_lines() {
        for raw in [
            r#"{"path":"a","options":["x","y"]}"#,
            r#"{"path":"a","options":"[\"x\",\"y\"]"}"#,
            r#"{"path":"a","options":"x\n\ny\n"}"#,
        ] {
            let arguments = Arguments::parse(&STATIC, raw).unwrap();
            assert_eq!(arguments.list("options").unwrap(), ["x", "y"]);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it(raw in ".*") {
            drop(read(&raw));
        }
    }
}
