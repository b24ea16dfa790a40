//! One answer over HTTP: the request, the stream of events, the tries.
//!
//! Invariant: an answer is given only when its stream has ended as the dialect says it does; of
//! everything else nothing remains but the announcement that it is tried again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use eventsource_stream::{EventStreamError, Eventsource};
use futures_util::stream::{Stream, StreamExt, unfold};
use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::time::timeout;

use super::ModelError;
use super::dialect::{Decoder, Dialect, KeyHeader, Silence};
use super::endpoint::Key;
use super::retry::{Cause, Failure, Pace, Tries};
use super::wire_error::WireError;
use crate::event::{Delta, Waiting};
use crate::http::{chain, client};
use crate::message::Answer;

/// Most of an error's body that is read.
const ERROR_BODY: usize = 64 << 10;
/// Most of a server's words that are shown, in characters.
const MESSAGE: usize = 400;
/// How long the end of a finished stream is waited for: the connection can be used again only
/// after it, and mostly it is there already.
const DRAIN: Duration = Duration::from_millis(2);
/// How long it is waited for beside the work that goes on.
const DRAIN_BESIDE: Duration = Duration::from_secs(2);

/// The way to one server.
pub(super) struct Wire {
    base: Url,
    url: Url,
    headers: HeaderMap,
    key: Option<Key>,
    /// Built with the first request: TLS roots cost time and memory.
    client: Option<Client>,
    pace: Pace,
    patience: Duration,
    silence: Silence,
    /// Whether the server has ever answered.
    met: bool,
}

impl Wire {
    /// Nothing is connected or built yet.
    pub(super) fn new(
        base: Url,
        key: Option<Key>,
        dialect: &dyn Dialect,
        pace: Pace,
        patience: Duration,
    ) -> Result<Self, ModelError> {
        let mut headers = dialect.headers();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(key) = &key {
            let (name, value) = key_header(key, dialect.key_header())?;
            headers.insert(name, value);
        }
        let mut url = base.clone();
        url.set_path(&format!("{}{}", base.path().trim_end_matches('/'), dialect.path()));
        let silence = match pace.silence {
            Some(time) => Silence { first: time, within: time },
            None => dialect.silence(),
        };
        let (client, met) = (None, false);
        Ok(Self { base, url, headers, key, client, pace, patience, silence, met })
    }

    /// Sends one request until it is answered or the patience is spent.
    pub(super) async fn answer(
        &mut self,
        body: Bytes,
        decoder: &dyn Fn() -> Box<dyn Decoder>,
        on: &mut dyn FnMut(Delta<'_>),
    ) -> Result<Answer, ModelError> {
        let client = match self.client.take() {
            Some(client) => client,
            None => client(&self.base).map_err(|error| ModelError::Client(chain(&error)))?,
        };
        let client = self.client.insert(client).clone();
        let mut tries = Tries::new(self.pace, self.patience, self.met);
        loop {
            let failure = match self.attempt(&client, body.clone(), decoder(), on).await {
                Ok(answer) => {
                    self.met = true;
                    return Ok(answer);
                }
                Err(failure) => Failure { message: self.tidy(&failure.message), ..failure },
            };
            tracing::debug!(?failure, failed = tries.failed() + 1, "no answer");
            let Some(delay) = tries.next(&failure, Instant::now(), jitter()) else {
                return Err(self.verdict(failure, tries.failed()));
            };
            let until =
                Timestamp::now() + jiff::SignedDuration::try_from(delay).unwrap_or_default();
            let reason = failure.describe();
            on(Delta::Waiting(&Waiting { reason, attempt: tries.failed() + 1, until }));
            tokio::time::sleep(delay).await;
        }
    }

    async fn attempt(
        &self,
        client: &Client,
        body: Bytes,
        mut decoder: Box<dyn Decoder>,
        on: &mut dyn FnMut(Delta<'_>),
    ) -> Result<Answer, Failure> {
        let request = client.post(self.url.clone()).headers(self.headers.clone()).body(body);
        let response = match timeout(self.silence.first, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(transport(error)),
            Err(_) => return Err(silent(self.silence.first)),
        };
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let limit = Arc::new(Mutex::new(self.silence.first));
        let mut begun = false;
        let mut events = Box::pin(living_bytes(response, Arc::clone(&limit)).eventsource());
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| match error {
                EventStreamError::Transport(failure) => failure,
                EventStreamError::Utf8(_) | EventStreamError::Parser(_) => {
                    Failure::broken("what came is not an event stream")
                }
            })?;
            let is_whole = decoder.event(&event.data, &mut |delta| {
                begun = true;
                on(delta);
            })?;
            if begun {
                *limit.lock().unwrap_or_else(PoisonError::into_inner) = self.silence.within;
            }
            if is_whole {
                let mut end = Box::pin(async move { while events.next().await.is_some() {} });
                if timeout(DRAIN, &mut end).await.is_err() {
                    tokio::spawn(timeout(DRAIN_BESIDE, end));
                }
                break;
            }
        }
        decoder.finish()
    }

    /// Asks for the list of models, which costs nothing: is the server there, is the key good?
    /// Another refusal than of the key says nothing of either, nor does a server that is slow.
    pub(super) async fn knock(&self, limit: Duration) -> Result<(), ModelError> {
        let client = client(&self.base).map_err(|error| ModelError::Client(chain(&error)))?;
        let mut url = self.url.clone();
        let (above, _) =
            url.path().trim_end_matches("/completions").rsplit_once('/').unwrap_or_default();
        let models = format!("{above}/models");
        url.set_path(&models);
        let failure =
            match timeout(limit, client.get(url).headers(self.headers.clone()).send()).await {
                Ok(Ok(response)) if response.status() == StatusCode::UNAUTHORIZED => {
                    self.refused(response).await
                }
                Ok(Err(error)) if error.is_connect() => transport(error),
                Ok(_) | Err(_) => return Ok(()),
            };
        let failure = Failure { message: self.tidy(&failure.message), ..failure };
        Err(self.verdict(failure, 1))
    }

    /// What a response other than 2xx means.
    async fn refused(&self, response: Response) -> Failure {
        let status = response.status();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        let limit = Arc::new(Mutex::new(self.silence.within));
        let mut bytes = std::pin::pin!(living_bytes(response, limit));
        // A body that breaks off still has its status to speak for it.
        while let Some(Ok(more)) = bytes.next().await {
            body.extend_from_slice(&more);
            if body.len() > ERROR_BODY {
                break;
            }
        }
        let failure = match serde_json::from_slice::<serde_json::Value>(&body) {
            Ok(value) => WireError::read(&value).failure(Some(status.as_u16())),
            Err(_) => {
                let text = String::from_utf8_lossy(&body);
                let page = text.trim_start().starts_with('<') || text.trim().is_empty();
                let reason = status.canonical_reason().unwrap_or("no reason given");
                let said = if page { reason } else { text.trim() };
                WireError::plain(said).failure(Some(status.as_u16()))
            }
        };
        failure.heeding(&headers)
    }

    fn verdict(&self, failure: Failure, tries: u32) -> ModelError {
        let address = self.base.as_str().trim_end_matches('/').to_owned();
        let message = failure.message;
        match failure.cause {
            Cause::TooLong => ModelError::ContextTooLong(message),
            Cause::Absent => ModelError::NotThere { address, reason: message },
            Cause::Status(401 | 403) => ModelError::KeyRefused { address, message },
            Cause::Status(status @ (408 | 409 | 429 | 500..)) => {
                ModelError::Unavailable { tries, reason: format!("{status}: {message}") }
            }
            Cause::Status(status) => ModelError::Refused { status, message },
            Cause::Quota => ModelError::Refused { status: 429, message },
            Cause::Broken => ModelError::Unavailable { tries, reason: message },
        }
    }

    /// A server's words as they may be shown: one line, not endless, without our key, even where
    /// the server repeats a part of it.
    fn tidy(&self, said: &str) -> String {
        let mut said = said.to_owned();
        if let Some(key) = self.key.as_ref().map(Key::secret).filter(|key| !key.is_empty()) {
            said = said.replace(key, "[key]");
            if let Some(start) = key.get(..6).filter(|_| key.len() >= 12) {
                while let Some(at) = said.find(start) {
                    let rest = &said[at..];
                    let end = rest.find(|c: char| c.is_whitespace() || "\"',;)".contains(c));
                    said.replace_range(at..at + end.unwrap_or(rest.len()), "[key]");
                }
            }
        }
        let line: Vec<&str> = said.split(|c: char| c.is_whitespace() || c.is_control()).collect();
        let line = line.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(MESSAGE) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }
}

fn key_header(key: &Key, place: KeyHeader) -> Result<(HeaderName, HeaderValue), ModelError> {
    let (name, value) = match (key, place) {
        (Key::ApiKey(_), KeyHeader::XApiKey) => {
            (HeaderName::from_static("x-api-key"), HeaderValue::from_str(key.secret()))
        }
        (Key::ApiKey(_), KeyHeader::Authorization) | (Key::Bearer(_), _) => {
            (AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", key.secret())))
        }
    };
    let mut value = value.map_err(|_| ModelError::KeyUnusable)?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// The bytes of a response, until they stop coming for as long as `silence` says at the moment.
fn living_bytes(
    response: Response,
    silence: Arc<Mutex<Duration>>,
) -> impl Stream<Item = Result<Bytes, Failure>> {
    unfold((Box::pin(response.bytes_stream()), silence), |(mut bytes, silence)| async move {
        let limit = *silence.lock().unwrap_or_else(PoisonError::into_inner);
        match timeout(limit, bytes.next()).await {
            Ok(Some(more)) => Some((more.map_err(transport), (bytes, silence))),
            Ok(None) => None,
            Err(_) => Some((Err(silent(limit)), (bytes, silence))),
        }
    })
}

fn silent(time: Duration) -> Failure {
    Failure::broken(format!("nothing came for {} s", time.as_secs_f32()))
}

fn transport(error: reqwest::Error) -> Failure {
    // The address is said elsewhere, and without what a user may have put into it.
    let error = error.without_url();
    if error.is_connect() {
        return Failure::new(Cause::Absent, root(&error));
    }
    Failure::new(Cause::Broken, chain(&error))
}

/// What the system said; the layers above it all say that there is no connection.
fn root(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(deeper) = root.source() {
        root = deeper;
    }
    root.to_string()
}

/// From 0 to 1; without randomness from the system the middle, which harms nobody.
fn jitter() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::testing::{End, Reply, Server, Told, pace};
    use super::*;
    use crate::message::{Message, StopReason};

    /// One answer of Anthropic's that says `hi` and reads nothing.
    const HI: &str = "\
event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3}}}\n\n\
event: ping\ndata: {\"type\":\"ping\"}\n\n\
: a comment\n\n\
event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hé 🦀\"}}\n\n\
event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n\
event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

    /// Plays the script to one question; what came of it, what was told, what was asked.
    async fn ask(script: Vec<Reply>) -> (Result<Answer, ModelError>, Vec<String>, usize) {
        let server = Server::play(script).await;
        let mut model = server.model("anthropic/claude-x");
        model.push(&Message::User("hello".to_owned()));
        let mut told = Told::default();
        let answer = model.answer(None, &mut |delta| told.hear(delta)).await;
        (answer, told.0, server.requests().len())
    }

    fn said(answer: Result<Answer, ModelError>) -> String {
        let answer = answer.unwrap();
        assert_eq!(answer.stop, StopReason::EndTurn);
        answer.text
    }

    #[tokio::test]
    async fn a_stream_may_come_in_any_pieces() {
        for piece in [1, 2, 7, usize::MAX] {
            for ends in ["\n", "\r\n"] {
                let body = HI.replace('\n', ends);
                let reply = Reply { piece, ..Reply::stream(body) };
                let (answer, told, asked) = ask(vec![reply]).await;
                assert_eq!((said(answer).as_str(), asked), ("hé 🦀", 1), "pieces of {piece}");
                assert_eq!(told, ["text hé 🦀"]);
            }
        }
    }

    #[tokio::test]
    async fn what_can_be_tried_again_is() {
        let overloaded = "event: error\ndata: {\"type\":\"error\",\"error\":\
            {\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
        let half = &HI[..HI.find("event: content_block_stop").unwrap()];
        let faults = [
            (
                Reply::error(
                    "429 Too Many Requests",
                    "retry-after: 0\r\n",
                    r#"{"error":{"message":"slow"}}"#,
                ),
                "429: slow",
            ),
            (
                Reply::error(
                    "529 Overloaded",
                    "",
                    r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                ),
                "529: Overloaded",
            ),
            (
                Reply::error(
                    "502 Bad Gateway",
                    "content-type: text/html\r\n",
                    "<html>proxy</html>",
                ),
                "502: Bad Gateway",
            ),
            (Reply::error("500 Internal Server Error", "", ""), "500: Internal Server Error"),
            (Reply::stream(format!("{half}{overloaded}")), "529: Overloaded"),
            (Reply::stream(half), "the stream ended before the answer did"),
            (
                Reply::stream("data: {oops\n\n"),
                "malformed event: key must be a string at line 1 column 2",
            ),
        ];
        for (fault, reason) in faults {
            let (answer, told, asked) = ask(vec![fault, Reply::stream(HI)]).await;
            assert_eq!((said(answer).as_str(), asked), ("hé 🦀", 2), "{reason}");
            assert!(told.contains(&format!("try 2: {reason}")), "{told:?}");
        }
        let cut = Reply { end: End::Cut, ..Reply::stream(half) };
        let (answer, told, asked) = ask(vec![cut.clone(), cut, Reply::stream(HI)]).await;
        assert_eq!((said(answer).as_str(), asked), ("hé 🦀", 3));
        assert_eq!(told.iter().filter(|word| word.starts_with("try")).count(), 2, "{told:?}");
    }

    #[tokio::test]
    async fn a_silent_stream_is_given_up_but_pings_are_life() {
        let patient = |server: &Server| {
            server.open("anthropic/claude-x", |setup| {
                setup.pace = Pace { silence: Some(Duration::from_millis(80)), ..pace() };
            })
        };
        let half = &HI[..HI.find("event: content_block_stop").unwrap()];
        let stall = Reply { end: End::Stall, ..Reply::stream(half) };
        let server = Server::play(vec![stall, Reply::stream(HI)]).await;
        let mut told = Told::default();
        let answer = patient(&server).answer(None, &mut |delta| told.hear(delta)).await;
        assert_eq!(said(answer), "hé 🦀");
        assert_eq!(told.0[1], "try 2: nothing came for 0.08 s");

        let pings = ": still here\n\n".repeat(20);
        let gap = Duration::from_millis(10);
        let slow = Reply { piece: 28, gap, ..Reply::stream(format!("{pings}{HI}")) };
        let server = Server::play(vec![slow]).await;
        let answer = patient(&server).answer(None, &mut |_| {}).await;
        assert_eq!((said(answer).as_str(), server.requests().len()), ("hé 🦀", 1));
    }

    #[tokio::test]
    async fn what_is_doomed_is_sent_once() {
        let error = |status, body| ask(vec![Reply::error(status, "", body), Reply::stream(HI)]);
        let (answer, told, asked) = error("400 Bad Request", r#"{"error":{"message":"no"}}"#).await;
        assert!(
            matches!(answer, Err(ModelError::Refused { status: 400, message }) if message == "no")
        );
        assert_eq!((told.len(), asked), (0, 1));
        let long = r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#;
        let (answer, _, asked) = error("400 Bad Request", long).await;
        assert!(matches!(answer, Err(ModelError::ContextTooLong(_))));
        assert_eq!(asked, 1);
        let quota = r#"{"error":{"code":"insufficient_quota","type":"insufficient_quota","message":"You have none"}}"#;
        let (answer, _, asked) = error("429 Too Many Requests", quota).await;
        assert!(matches!(answer, Err(ModelError::Refused { status: 429, .. })));
        assert_eq!(asked, 1);
        let moved = Reply::error("308 Permanent Redirect", "location: /v1/other\r\n", "");
        let (answer, _, asked) = ask(vec![moved, Reply::stream(HI)]).await;
        assert!(matches!(answer, Err(ModelError::Refused { status: 308, .. })), "{answer:?}");
        assert_eq!(asked, 1, "a key follows nowhere");
    }

    #[tokio::test]
    async fn a_refused_key_is_told_and_never_shown() {
        let body =
            r#"{"error":{"message":"invalid x-api-key: sk-secret-0123456789, or sk-sec***6789."}}"#;
        let (answer, _, asked) = ask(vec![Reply::error("401 Unauthorized", "", body)]).await;
        let error = answer.unwrap_err();
        assert_eq!(asked, 1);
        let ModelError::KeyRefused { message, .. } = &error else { panic!("{error:?}") };
        assert_eq!(message, "invalid x-api-key: [key], or [key]");
        assert!(!format!("{error:?}{error}").contains("secret"));
    }

    #[test]
    fn a_servers_words_are_one_short_line_without_the_key() {
        let tidy = |key: &str, said: &str| {
            let base: Url = "http://127.0.0.1:1/".parse().unwrap();
            let key = Some(Key::Bearer(key.to_owned().into()));
            let dialect = super::super::anthropic::Anthropic;
            Wire::new(base, key, &dialect, pace(), Duration::ZERO).unwrap().tidy(said)
        };
        assert_eq!(tidy("k3y", "k3y? \u{1b}[31mNo.\n\n  Not k3y."), "[key]? [31mNo. Not [key].");
        assert_eq!(tidy("sk-proj-0123456789", "sk-proj-***789 is wrong"), "[key] is wrong");
        assert_eq!(tidy("k3y", &"é".repeat(500)), format!("{}…", "é".repeat(400)));
    }

    #[tokio::test]
    async fn nobody_there_is_said_soon_and_overload_late() {
        let server = Server::play(Vec::new()).await;
        server.leave().await;
        let started = Instant::now();
        let mut told = Told::default();
        let mut model = server.model("anthropic/claude-x");
        let error = model.answer(None, &mut |delta| told.hear(delta)).await.unwrap_err();
        assert!(
            matches!(&error, ModelError::NotThere { address, .. } if *address == server.address),
            "{error}"
        );
        assert!(error.to_string().contains("refused"), "{error}");
        assert!(told.0.len() >= 2 && started.elapsed() < Duration::from_secs(1), "{told:?}");

        let busy = vec![Reply::error("529 Overloaded", "", ""); 200];
        let server = Server::play(busy).await;
        let mut model = server.open("anthropic/claude-x", |setup| {
            setup.patience = Duration::from_millis(60);
        });
        let error = model.answer(None, &mut |_| {}).await.unwrap_err();
        let tries = server.requests().len();
        assert!(tries > 3, "{tries}");
        assert_eq!(
            error.to_string(),
            format!("no answer after {tries} tries: 529: no reason given")
        );
    }

    #[tokio::test]
    async fn a_knock_tells_who_is_there() {
        let knock = |choice: &'static str, reply: Reply| async move {
            let server = Server::play(vec![reply]).await;
            let come = super::super::knock(&server.endpoint(choice, "sk-secret-0123456789")).await;
            let line = server.requests()[0].head.lines().next().unwrap().to_owned();
            (come, line)
        };
        let (come, asked) = knock("anthropic/x", Reply::stream("{}")).await;
        assert_eq!((come.is_ok(), asked.as_str()), (true, "get /v1/models http/1.1"));
        let (come, asked) = knock("chat/x", Reply::error("404 Not Found", "", "")).await;
        assert_eq!((come.is_ok(), asked.as_str()), (true, "get /v1/models http/1.1"));
        let (come, asked) = knock("openai/x", Reply::error("401 Unauthorized", "", "no")).await;
        assert!(matches!(come, Err(ModelError::KeyRefused { message, .. }) if message == "no"));
        assert_eq!(asked, "get /v1/models http/1.1");
        let server = Server::play(Vec::new()).await;
        server.leave().await;
        let come = super::super::knock(&server.endpoint("chat/x", "k")).await;
        assert!(matches!(come, Err(ModelError::NotThere { .. })));
    }

    #[tokio::test]
    async fn a_server_that_has_answered_is_waited_for() {
        let server = Server::play(vec![Reply::stream(HI)]).await;
        let patience = Duration::from_millis(300);
        let mut model = server.open("anthropic/claude-x", |setup| setup.patience = patience);
        model.answer(None, &mut |_| {}).await.unwrap();
        server.leave().await;
        let started = Instant::now();
        let error = model.answer(None, &mut |_| {}).await.unwrap_err();
        assert!(matches!(error, ModelError::NotThere { .. }), "{error}");
        assert!(
            started.elapsed() > patience - Duration::from_millis(60),
            "{:?}",
            started.elapsed()
        );
    }

    #[tokio::test]
    async fn a_connection_is_used_again_and_the_headers_are_right() {
        let server = Server::play(vec![Reply::stream(HI); 3]).await;
        let mut model = server.model("anthropic/claude-x");
        for _ in 0..3 {
            model.push(&Message::User("hello".to_owned()));
            let answer = model.answer(None, &mut |_| {}).await.unwrap();
            model.push(&Message::Assistant(answer));
        }
        let requests = server.requests();
        assert_eq!(requests.iter().map(|request| request.connection).max(), Some(0));
        let head = &requests[0].head;
        assert!(head.starts_with("post /v1/messages http/1.1"), "{head}");
        assert!(head.contains("x-api-key: sk-secret-0123456789"), "{head}");
        assert!(head.contains("anthropic-version: 2023-06-01"), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        assert!(!head.contains("authorization"), "{head}");
    }

    #[tokio::test]
    async fn another_endpoint_goes_on_with_the_same_conversation() {
        let refused = Reply::error("401 Unauthorized", "", r#"{"error":{"message":"expired"}}"#);
        let server = Server::play(vec![refused, Reply::stream(HI)]).await;
        let mut model = server.model("anthropic/claude-x");
        model.push(&Message::User("hello".to_owned()));
        assert!(matches!(
            model.answer(None, &mut |_| {}).await,
            Err(ModelError::KeyRefused { .. })
        ));
        model.reconnect(server.endpoint("anthropic/claude-x", "sk-another")).unwrap();
        assert_eq!(said(model.answer(None, &mut |_| {}).await), "hé 🦀");
        let requests = server.requests();
        assert_eq!(requests[0].body, requests[1].body);
        assert!(requests[1].head.contains("x-api-key: sk-another"));
    }

    #[tokio::test]
    async fn a_dropped_question_leaves_the_conversation_as_it_was() {
        let stall = Reply { end: End::Stall, ..Reply::stream(&HI[..100]) };
        let server = Server::play(vec![stall, Reply::stream(HI)]).await;
        let mut model = server.model("anthropic/claude-x");
        model.push(&Message::User("hello".to_owned()));
        let dropped = timeout(Duration::from_millis(50), model.answer(None, &mut |_| {})).await;
        assert!(dropped.is_err());
        assert_eq!(said(model.answer(None, &mut |_| {}).await), "hé 🦀");
        let requests = server.requests();
        assert_eq!(requests[0].body, requests[1].body);
    }
}
