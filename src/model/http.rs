//! One answer over HTTP: the request, the stream of events, the tries.
//!
//! Invariant: an answer is given only when its stream has ended as the dialect says it does; of
//! everything else nothing remains but the announcement that it is tried again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use eventsource_stream::{EventStreamError, Eventsource};
use futures_util::stream::{Stream, StreamExt, unfold};
use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, Url};
use tokio::time::timeout;

use super::ModelError;
use super::dialect::{Decoder, Dialect, KeyHeader, WireError};
use super::endpoint::{Key, is_loopback};
use super::retry::{Cause, Failure, Pace, Tries};
use crate::event::{Delta, Waiting};
use crate::message::Answer;

/// Most of an error's body that is read.
const ERROR_BODY: usize = 64 << 10;
/// Most of a server's words that are shown, in characters.
const MESSAGE: usize = 400;
/// How long the end of a finished stream is waited for, so that its connection can be used again.
const DRAIN: Duration = Duration::from_millis(50);

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
    silence: Duration,
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
        let silence = dialect.silence().max(pace.idle);
        Ok(Self { base, url, headers, key, client: None, pace, patience, silence })
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
        let mut tries = Tries::new(self.pace, self.patience);
        loop {
            let failure = match self.attempt(&client, body.clone(), decoder(), on).await {
                Ok(answer) => return Ok(answer),
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
        let response = match timeout(self.pace.first_byte, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(transport(error)),
            Err(_) => return Err(silent(self.pace.first_byte)),
        };
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let mut events = std::pin::pin!(living_bytes(response, self.silence).eventsource());
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| match error {
                EventStreamError::Transport(failure) => failure,
                EventStreamError::Utf8(_) | EventStreamError::Parser(_) => {
                    Failure::broken("what came is not an event stream")
                }
            })?;
            if decoder.event(&event.data, on)? {
                let end = async { while events.next().await.is_some() {} };
                if timeout(DRAIN, end).await.is_err() {
                    tracing::debug!("the server holds the stream open; the connection is left");
                }
                break;
            }
        }
        decoder.finish()
    }

    /// What a response other than 2xx means.
    async fn refused(&self, response: Response) -> Failure {
        let status = response.status();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        let mut bytes = std::pin::pin!(living_bytes(response, self.pace.idle));
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

/// A client for this address: without proxies and TLS roots where it is this machine.
fn client(base: &Url) -> Result<Client, reqwest::Error> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Loses only against another thread that installs one, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
    let mut builder = Client::builder()
        .user_agent(concat!("git-agent/", env!("CARGO_PKG_VERSION")))
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(10))
        // A key must not follow to wherever a server points.
        .redirect(reqwest::redirect::Policy::none());
    if is_loopback(base) {
        builder = builder.no_proxy();
        if base.scheme() == "http" {
            builder = builder.tls_certs_only([]);
        }
    }
    builder.build()
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

/// The bytes of a response, until they stop coming for `silence`.
fn living_bytes(
    response: Response,
    silence: Duration,
) -> impl Stream<Item = Result<Bytes, Failure>> {
    unfold(Box::pin(response.bytes_stream()), move |mut bytes| async move {
        match timeout(silence, bytes.next()).await {
            Ok(Some(more)) => Some((more.map_err(transport), bytes)),
            Ok(None) => None,
            Err(_) => Some((Err(silent(silence)), bytes)),
        }
    })
}

fn silent(time: Duration) -> Failure {
    Failure::broken(format!("nothing came for {} s", time.as_secs_f32()))
}

fn transport(error: reqwest::Error) -> Failure {
    let cause = if error.is_connect() { Cause::Absent } else { Cause::Broken };
    // The address is said elsewhere, and without what a user may have put into it.
    Failure::new(cause, chain(&error.without_url()))
}

/// An error with what is behind it: reqwest's own words alone say little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(deeper) = source {
        let more = deeper.to_string();
        if !words.contains(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        source = deeper.source();
    }
    words
}

/// From 0 to 1; without randomness from the system the middle, which harms nobody.
fn jitter() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}
