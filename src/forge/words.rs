//! What forges say in words: why they refuse.
//!
//! Invariant: one line, not endless, without what is known to be secret.

use serde_json::Value;

use super::ForgeError;
use crate::redact;

/// Most of a forge's words that is shown, in characters.
const LONGEST: usize = 300;

/// Why a forge refuses, from the body of its answer.
pub(super) fn refusal(body: &[u8], otherwise: &str) -> String {
    let said = match serde_json::from_slice::<Value>(body) {
        Ok(value) => of_value(&value),
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            let is_page = text.trim_start().starts_with('<');
            if is_page { String::new() } else { text.into_owned() }
        }
    };
    let line = one_line(&said);
    if line.is_empty() { otherwise.to_owned() } else { line }
}

/// Whether a refusal is a limit of the rate that no header tells of, as GitHub's second one may be.
pub(super) fn is_limit(refused: &ForgeError) -> bool {
    let ForgeError::Refused { status: 403, said, .. } = refused else { return false };
    said.to_ascii_lowercase().contains("secondary rate limit")
}

/// `message`, and what `errors` adds: GitHub lists objects, GitLab strings or fields with strings,
/// Forgejo has a message alone.
fn of_value(value: &Value) -> String {
    let mut parts = Vec::new();
    for key in ["message", "error", "error_description", "errors"] {
        if let Some(value) = value.get(key) {
            gather(value, &mut parts);
        }
    }
    parts.dedup();
    parts.join("; ")
}

fn gather(value: &Value, parts: &mut Vec<String>) {
    match value {
        Value::String(text) => parts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| gather(item, parts)),
        Value::Object(fields) => match (fields.get("message"), fields.get("code")) {
            (Some(message), _) => gather(message, parts),
            (None, Some(Value::String(code))) => {
                let field = fields.get("field").and_then(Value::as_str).unwrap_or_default();
                parts.push(format!("{field} {code}").trim().to_owned());
            }
            (None, _) => {
                for (name, value) in fields {
                    let mut own = Vec::new();
                    gather(value, &mut own);
                    parts.extend(own.into_iter().map(|said| format!("{name} {said}")));
                }
            }
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// In one line, as far as it is shown.
pub(super) fn one_line(text: &str) -> String {
    let clean = redact::text(text);
    let line: Vec<_> = clean.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let line = line.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_only_words_tell_of_is_known() {
        let refused = |status, said: &str| ForgeError::Refused {
            host: "github.com".to_owned(),
            status,
            said: said.to_owned(),
        };
        assert!(is_limit(&refused(403, "You have exceeded a secondary rate limit. Wait.")));
        assert!(!is_limit(&refused(422, "You have exceeded a secondary rate limit. Wait.")));
        assert!(!is_limit(&refused(403, "Resource not accessible by personal access token")));
    }

    #[test]
    fn each_forge_says_it_in_its_way() {
        let said = |body: &str| refusal(body.as_bytes(), "Unprocessable Entity");
        let github = r#"{"message":"Validation Failed","errors":[{"resource":"PullRequest","code":"custom","message":"A pull request already exists for ada:x."}],"documentation_url":"https://x"}"#;
        assert_eq!(said(github), "Validation Failed; A pull request already exists for ada:x.");
        let field = r#"{"message":"Validation Failed","errors":[{"resource":"PullRequest","code":"invalid","field":"head"}]}"#;
        assert_eq!(said(field), "Validation Failed; head invalid");
        let gitlab = r#"{"message":["Another open merge request already exists for this source branch: !6"]}"#;
        assert_eq!(
            said(gitlab),
            "Another open merge request already exists for this source branch: !6"
        );
        assert_eq!(said(r#"{"message":{"title":["can't be blank"]}}"#), "title can't be blank");
        assert_eq!(
            said(r#"{"error":"insufficient_scope","error_description":"no"}"#),
            "insufficient_scope; no"
        );
        assert_eq!(said(r#"{"message":"exists","url":"https://x"}"#), "exists");
        assert_eq!(said("<html>"), "Unprocessable Entity");
        assert_eq!(said(""), "Unprocessable Entity");
        assert_eq!(said("a\nb\u{1b}"), "a b");
        assert_eq!(said(&"x".repeat(500)).chars().count(), 301);
    }
}
