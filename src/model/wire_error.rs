//! What servers say when they fail, and what that means for us.
//!
//! Invariant: an error inside a stream means what the same error means as a response; the tables
//! below are all that is known of vendors' wordings.

use serde::Deserialize;

use super::retry::{Cause, Failure};

/// The `error` object of all vendors, with the shapes that compatible servers make of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireError {
    #[serde(rename = "type")]
    kind: Option<String>,
    code: Option<serde_json::Value>,
    message: Option<String>,
}

impl WireError {
    /// From `{"error": {…}}`, `{"error": "…"}`, or the bare object.
    pub(super) fn read(value: &serde_json::Value) -> Self {
        match value.get("error").unwrap_or(value) {
            serde_json::Value::String(message) => {
                Self { message: Some(message.clone()), ..Self::default() }
            }
            object => Self::deserialize(object).unwrap_or_default(),
        }
    }

    /// From a body that is only text.
    pub(super) fn plain(text: &str) -> Self {
        Self { message: Some(text.to_owned()), ..Self::default() }
    }

    /// The failure; `status` is the response's, none inside a stream that began well.
    pub(super) fn failure(&self, status: Option<u16>) -> Failure {
        let kind = self.kind.as_deref().unwrap_or_default();
        let code = match &self.code {
            Some(serde_json::Value::String(code)) => code.as_str(),
            _ => "",
        };
        let message = match (&self.message, kind) {
            (Some(message), _) => message.clone(),
            (None, "") => "no reason given".to_owned(),
            (None, kind) => kind.to_owned(),
        };
        let number = self.code.as_ref().and_then(serde_json::Value::as_u64);
        let status = status
            .or_else(|| {
                number.and_then(|code| u16::try_from(code).ok()).filter(|code| *code >= 400)
            })
            .or_else(|| status_of(code).or_else(|| status_of(kind)));
        let lower = message.to_lowercase();
        let said = |words: &[&str]| {
            words.iter().any(|word| lower.contains(word) || code == *word || kind == *word)
        };
        let cause = match status {
            Some(400 | 413 | 422 | 500) | None if said(&TOO_LONG) => Cause::TooLong,
            Some(413) => Cause::TooLong,
            Some(429) | None if said(&QUOTA) => Cause::Quota,
            Some(status) => Cause::Status(status),
            // An error that nobody has a name for is more often a hiccup than a verdict.
            None => Cause::Broken,
        };
        Failure::new(cause, message)
    }
}

/// The status that an error has outside of a stream, by its name (Anthropic's types, `OpenAI`'s).
const ERROR_STATUS: [(&str, u16); 14] = [
    ("invalid_request_error", 400),
    ("invalid_prompt", 400),
    ("authentication_error", 401),
    ("invalid_api_key", 401),
    ("billing_error", 402),
    ("permission_error", 403),
    ("not_found_error", 404),
    ("timeout_error", 408),
    ("request_too_large", 413),
    ("rate_limit_error", 429),
    ("rate_limit_exceeded", 429),
    ("api_error", 500),
    ("server_error", 500),
    ("overloaded_error", 529),
];

/// How servers say that the conversation no longer fits: codes first, then Anthropic, `OpenAI`,
/// vLLM, llama.cpp, LM Studio, Gemini.
const TOO_LONG: [&str; 12] = [
    "context_length_exceeded",
    "exceed_context_size_error",
    "prompt is too long",
    "exceed context limit",
    "exceeds the context window",
    "maximum context length",
    "maximum model length",
    "exceeds the available context size",
    "context size has been exceeded",
    "greater than the context length",
    "exceeds the maximum number of tokens",
    "input is too long",
];

/// How servers say that the account is empty.
const QUOTA: [&str; 3] =
    ["insufficient_quota", "exceeded your current quota", "billing_hard_limit_reached"];

fn status_of(name: &str) -> Option<u16> {
    ERROR_STATUS.iter().find(|(known, _)| *known == name).map(|(_, status)| *status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vendors_too_long_is_known() {
        let said = |message: &str| WireError::plain(message).failure(Some(400)).cause;
        for message in [
            "prompt is too long: 208310 tokens > 200000 maximum",
            "input length and `max_tokens` exceed context limit: 199000 + 32000 > 200000",
            "Your input exceeds the context window of this model.",
            "This endpoint's maximum context length is 131072 tokens.",
            "the request exceeds the available context size",
        ] {
            assert_eq!(said(message), Cause::TooLong, "{message}");
        }
        assert_eq!(said("max_tokens: must be positive"), Cause::Status(400));
        let busy = WireError::plain("maximum context length").failure(Some(503));
        assert_eq!(busy.cause, Cause::Status(503), "a busy server is not a long conversation");
    }

    #[test]
    fn all_shapes_of_an_error_are_read() {
        for shape in [r#"{"error":{"message":"no"}}"#, r#"{"error":"no"}"#, r#"{"message":"no"}"#] {
            let value = serde_json::from_str(shape).unwrap();
            let failure = WireError::read(&value).failure(Some(404));
            assert_eq!(failure, Failure::new(Cause::Status(404), "no"), "{shape}");
        }
        let failure = WireError::read(&serde_json::json!([1])).failure(Some(500));
        assert_eq!(failure, Failure::new(Cause::Status(500), "no reason given"));
    }
}
