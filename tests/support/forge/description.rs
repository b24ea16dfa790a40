//! What a forge's interface takes and answers, by its description.
//!
//! | file | from | where it is strict |
//! |---|---|---|
//! | `github.json` | `@octokit/openapi` 23.0.2 (npm, MIT), cut: see `prism.rs` | `null` only where it is said |
//! | `forgejo.json` | `swagger.v1.json` in `forgejo-api` 0.12.0 (crates.io), which is under the MIT license by its own word; cut to the paths that are used and brought to `OpenAPI` 3, without descriptions | no `null` is ever said |
//! | `gitlab.json` | written for this test: names and types as GitLab 19.5 has them in `doc/api/openapi/openapi_v3.yaml` and `lib/api` of <https://gitlab.com/gitlab-org/gitlab> | fields that are always there are required |
//!
//! Invariant: a field, a query or an operation that a description does not have is an error, and so
//! is a value of another type.

use std::sync::OnceLock;

use serde_json::Value;

use super::Kind;

/// A description.
pub struct Description {
    root: Value,
    kind: Kind,
}

/// One thing that an interface can be asked for.
pub struct Operation<'a> {
    of: &'a Description,
    /// Its path, with `{names}`.
    pub path: &'a str,
    /// What stands for the names.
    pub parts: Vec<String>,
    what: &'a Value,
}

/// Who says it: of an answer, GitHub's servers here have only what is asked for, and the other
/// descriptions do not say what may be `null`.
#[derive(Clone, Copy)]
struct Strict {
    about_required: bool,
    about_null: bool,
}

type Judged = Result<(), String>;

impl Description {
    /// The one of this kind of forge.
    pub fn of(kind: Kind) -> &'static Self {
        static ALL: [OnceLock<Description>; 3] = [const { OnceLock::new() }; 3];
        let (at, text) = match kind {
            Kind::GitHub => (0, include_str!("github.json")),
            Kind::GitLab => (1, include_str!("gitlab.json")),
            Kind::Forgejo => (2, include_str!("forgejo.json")),
        };
        let read = || Self { root: serde_json::from_str(text).expect("it is JSON"), kind };
        ALL[at].get_or_init(read)
    }

    /// What a request of this kind to this path is.
    pub fn operation(&self, method: &str, path: &str) -> Result<Operation<'_>, String> {
        let paths = self.root["paths"].as_object().expect("it has paths");
        let found = paths.iter().find_map(|(shape, all)| {
            let what = all.get(method.to_ascii_lowercase())?;
            Some(Operation { of: self, path: shape, parts: matched(shape, path)?, what })
        });
        found.ok_or_else(|| format!("there is no {method} {path}"))
    }

    /// A thing, or what it refers to.
    fn seen<'a>(&'a self, it: &'a Value) -> &'a Value {
        match it["$ref"].as_str() {
            Some(at) => self.root.pointer(&at[1..]).expect("what is referred to is there"),
            None => it,
        }
    }

    fn fits(&self, schema: &Value, value: &Value, at: &str, strict: Strict) -> Judged {
        let schema = self.seen(schema);
        if value.is_null() {
            let may_be = schema["nullable"] == true || !strict.about_null;
            return if may_be { Ok(()) } else { Err(format!("{at} is null")) };
        }
        if let Some(ways) = schema["oneOf"].as_array() {
            let fits = ways.iter().any(|way| self.fits(way, value, at, strict).is_ok());
            return if fits { Ok(()) } else { Err(format!("{at} is none of what it may be")) };
        }
        let is_of_type = match schema["type"].as_str() {
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            _ => true,
        };
        if !is_of_type {
            return Err(format!("{at} is no {}: {value}", schema["type"]));
        }
        if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
            return Err(format!("{at} is not one of {}: {value}", schema["enum"]));
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            self.fits(&schema["items"], item, &format!("{at}[{index}]"), strict)?;
        }
        self.has_fields(schema, value, at, strict)
    }

    fn has_fields(&self, schema: &Value, value: &Value, at: &str, strict: Strict) -> Judged {
        let (Some(known), Some(fields)) = (schema["properties"].as_object(), value.as_object())
        else {
            return Ok(());
        };
        for (name, value) in fields {
            let schema = known.get(name).ok_or_else(|| format!("{at} has no field {name}"))?;
            self.fits(schema, value, &format!("{at}.{name}"), strict)?;
        }
        let required = schema["required"].as_array().into_iter().flatten();
        let mut required = required.filter_map(Value::as_str).filter(|_| strict.about_required);
        match required.find(|name| !fields.contains_key(*name)) {
            Some(missing) => Err(format!("{at} lacks {missing}")),
            None => Ok(()),
        }
    }
}

impl Operation<'_> {
    /// Whether a request is as it must be.
    pub fn takes(&self, query: &[(String, String)], body: &Value) -> Judged {
        let strict = Strict { about_required: true, about_null: true };
        let all = self.what["parameters"].as_array().into_iter().flatten();
        let all: Vec<_> = all.map(|it| self.of.seen(it)).collect();
        let fits = |is_in: &str, name: &str, text: &str| {
            let known = all.iter().find(|it| it["in"] == is_in && it["name"] == name);
            let schema = &known.ok_or_else(|| format!("there is no {is_in} {name}"))?["schema"];
            let is_text = self.of.seen(schema)["type"] == "string";
            let value = serde_json::from_str(text).ok().filter(|_| !is_text);
            self.of.fits(schema, &value.unwrap_or_else(|| text.into()), name, strict)
        };
        let names = self.path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'));
        for (name, part) in names.zip(&self.parts) {
            fits("path", name, part)?;
        }
        for (name, text) in query {
            fits("query", name, text)?;
        }
        match (&self.what["requestBody"], body) {
            (Value::Null, Value::Null) => Ok(()),
            (Value::Null, _) => Err("it takes no body".to_owned()),
            (taken, Value::Null) if taken["required"] != true => Ok(()),
            (taken, body) => {
                let schema = &self.of.seen(taken)["content"]["application/json"]["schema"];
                self.of.fits(schema, body, "body", strict)
            }
        }
    }

    /// Whether an answer is as it must be.
    pub fn answers(&self, status: u16, body: &Value) -> Judged {
        let is_github = self.of.kind == Kind::GitHub;
        let strict = Strict { about_required: !is_github, about_null: is_github };
        let said = &self.what["responses"][status.to_string()];
        if said.is_null() {
            return Err(format!("there is no answer {status}"));
        }
        let content = self.of.seen(said)["content"].as_object();
        match content.and_then(|it| it.values().next()) {
            Some(content) => self.of.fits(&content["schema"], body, "answer", strict),
            None if body.as_str().is_some_and(|it| it.is_empty() || status / 100 == 3) => Ok(()),
            None => Err(format!("the answer {status} has no body")),
        }
    }
}

/// What stands for the names in a path of this shape; none if it has another.
fn matched(shape: &str, path: &str) -> Option<Vec<String>> {
    let (shape, path): (Vec<_>, Vec<_>) = (shape.split('/').collect(), path.split('/').collect());
    let is_name = |it: &str| it.starts_with('{');
    let is_it = shape.len() == path.len()
        && shape.iter().zip(&path).all(|(wanted, part)| is_name(wanted) || wanted == part);
    let parts = shape.iter().zip(&path).filter(|(wanted, _)| is_name(wanted));
    is_it.then(|| parts.map(|(_, part)| decoded(part)).collect())
}

/// The text of a part of an address.
pub fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let hex = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                let hex = String::from_utf8_lossy(&hex).into_owned();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap_or(b'?'));
            }
            b'+' => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn what_a_description_does_not_have_is_found() {
    use serde_json::json;

    let query = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
    let pulls = "/repos/ada/shop/pulls";
    for (kind, method, path, asked, body, wanted) in [
        (Kind::GitHub, "GET", pulls, query("per_page", "x"), Value::Null, "per_page is no"),
        (Kind::GitHub, "POST", pulls, Vec::new(), json!({"head": "x"}), "body lacks base"),
        (Kind::Forgejo, "GET", pulls, query("per_page", "5"), Value::Null, "no query per_page"),
        (Kind::Forgejo, "GET", pulls, query("state", "opened"), Value::Null, "state is not one"),
        (Kind::Forgejo, "POST", pulls, Vec::new(), json!({"title": 7}), "body.title is no"),
        (
            Kind::GitLab,
            "PUT",
            "/projects/ada%2Fshop/merge_requests/1",
            Vec::new(),
            json!({"reviewers": ["bob"]}),
            "body has no field reviewers",
        ),
        (
            Kind::GitLab,
            "GET",
            "/projects/ada%2Fshop/merge_requests/one",
            Vec::new(),
            Value::Null,
            "merge_request_iid is no",
        ),
    ] {
        let operation = Description::of(kind).operation(method, path).expect("it is there");
        let said = operation.takes(&asked, &body).expect_err(wanted);
        assert!(said.contains(wanted), "{said}");
    }
    let said = Description::of(Kind::GitLab).operation("GET", pulls).err().unwrap_or_default();
    assert_eq!(said, "there is no GET /repos/ada/shop/pulls");
    let one = Description::of(Kind::GitLab)
        .operation("GET", "/projects/ada%2Fshop/repository/commits/abc/statuses")
        .expect("it is there");
    let status = json!({"id": 1, "sha": "a", "name": "b", "allow_failure": false, "status": "ok"});
    for (answer, wanted) in [
        (json!([status]), "answer[0].status is not one of"),
        (json!([{"id": 1}]), "answer[0] lacks sha"),
        (json!([{"context": "x"}]), "answer[0] has no field context"),
        (json!({}), "answer is no"),
    ] {
        let said = one.answers(200, &answer).expect_err(wanted);
        assert!(said.contains(wanted), "{said}");
    }
    assert_eq!(one.answers(418, &json!([])), Err("there is no answer 418".to_owned()));
}
