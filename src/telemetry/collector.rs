//! An OpenTelemetry collector, spoken to in OTLP over HTTP, as JSON.
//!
//! Invariant: what is said and done goes to another machine only by TLS; a server that answers with
//! no success has taken nothing.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value;
use tokio::time::timeout;

use super::span::{self, Span};
use crate::config::Otel;
use crate::http;

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Where traces are posted to, below the address of a collector (OTLP/HTTP).
const PATH: &str = "v1/traces";

/// Where traces go, as settings and environment say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Where {
    url: Url,
    /// Whether what is said and done goes there too.
    pub content: bool,
}

/// Spans that did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// The address is none, or not safe for what would go there.
    #[error("agent.otel.endpoint is no address to send traces to: {0}")]
    Address(String),
    /// There is no client for it.
    #[error("no traces can be sent: {0}")]
    Client(String),
    /// It will not take them, however often it is asked.
    #[error("the collector refuses traces: {0}")]
    Refused(String),
    /// It may take them later.
    #[error("the collector takes no traces now: {0}")]
    Later(String),
}

/// A collector.
#[derive(Debug)]
pub struct Collector {
    url: Url,
    client: Client,
    headers: HeaderMap,
    resource: Vec<(String, String)>,
}

impl Where {
    /// Where `settings` say, or else the variables that OpenTelemetry has for it; none where
    /// neither does.
    ///
    /// # Errors
    /// The address makes no sense.
    pub fn of(
        settings: &Otel,
        env: impl Fn(&str) -> Option<String>,
    ) -> Option<Result<Self, NotSent>> {
        let var = |name| env(name).filter(|value| !value.trim().is_empty());
        if var("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        let whole = || Some((var("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")?, false));
        let base = || Some((var("OTEL_EXPORTER_OTLP_ENDPOINT")?, true));
        let set = settings.endpoint.clone().map(|set| (set, true));
        let (address, is_base) = set.or_else(whole).or_else(base)?;
        Some(Self::parse(&address, is_base, settings.content))
    }

    fn parse(address: &str, is_base: bool, content: bool) -> Result<Self, NotSent> {
        let bad = |why: &str| NotSent::Address(why.to_owned());
        let mut url = Url::parse(address.trim()).map_err(|error| bad(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(bad("it must begin with https:// or http://"));
        }
        if content && url.scheme() == "http" && !http::is_loopback(&url) {
            return Err(bad("agent.otel.content needs https:// to another machine"));
        }
        if is_base && !url.path().ends_with(PATH) {
            let path = format!("{}/{PATH}", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        Ok(Self { url, content })
    }
}

impl Collector {
    /// The collector there; nothing is connected yet. `env` may name the service, and what a
    /// request carries besides.
    ///
    /// # Errors
    /// There is no client for it.
    pub fn open(there: &Where, env: impl Fn(&str) -> Option<String>) -> Result<Self, NotSent> {
        let client = http::client(&there.url);
        let client = client.map_err(|error| NotSent::Client(http::chain(&error)))?;
        let list = |name| pairs(&env(name).unwrap_or_default());
        let mut headers = HeaderMap::new();
        let both = ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"];
        for (name, value) in both.into_iter().flat_map(list) {
            let bad = || NotSent::Client(format!("{name} cannot be a header"));
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        let mut resource = list("OTEL_RESOURCE_ATTRIBUTES");
        resource.retain(|(key, _)| key != "service.version");
        resource.push(("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
        if let Some(name) = env("OTEL_SERVICE_NAME").filter(|name| !name.is_empty()) {
            resource.retain(|(key, _)| key != "service.name");
            resource.push(("service.name".to_owned(), name));
        } else if resource.iter().all(|(key, _)| key != "service.name") {
            resource.push(("service.name".to_owned(), "git-agent".to_owned()));
        }
        Ok(Self { url: there.url.clone(), client, headers, resource })
    }

    /// Sends these.
    ///
    /// # Errors
    /// They did not arrive.
    pub async fn send(&self, spans: &[Span]) -> Result<(), NotSent> {
        let body = span::request(spans, &self.resource).to_string();
        let request = self.client.post(self.url.clone()).headers(self.headers.clone());
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let answered = async { judge(request.send().await?).await };
        match timeout(LIMIT, answered).await {
            Err(_) => Err(NotSent::Later(format!("no answer in {} s", LIMIT.as_secs()))),
            Ok(Ok(judged)) => judged,
            Ok(Err(error)) => Err(NotSent::Later(http::chain(&error.without_url()))),
        }
    }
}

/// What an answer means, by what OTLP/HTTP says of statuses and of partial success.
async fn judge(answer: Response) -> Result<Result<(), NotSent>, reqwest::Error> {
    let status = answer.status();
    if !status.is_success() {
        let why = status.to_string();
        return Ok(Err(if is_final(status) { NotSent::Refused(why) } else { NotSent::Later(why) }));
    }
    let body = answer.bytes().await?;
    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
    let partial = &told["partialSuccess"];
    let rejected = match &partial["rejectedSpans"] {
        Value::String(count) => count.parse().unwrap_or(0),
        count => count.as_u64().unwrap_or(0),
    };
    Ok(match rejected {
        0 => Ok(()),
        count => {
            let why = partial["errorMessage"].as_str().unwrap_or_default();
            Err(NotSent::Refused(format!("{count} of them: {why}")))
        }
    })
}

/// Whether the same spans would be refused again. What is said of a key or an address may be
/// mended meanwhile.
fn is_final(status: StatusCode) -> bool {
    let may_pass = [401, 403, 404, 408, 429];
    status.is_client_error() && !may_pass.contains(&status.as_u16())
}

/// `key=value,key=value`, values percent-encoded, as OpenTelemetry has lists in variables.
fn pairs(list: &str) -> Vec<(String, String)> {
    // The same as the query of an address, but for its other signs.
    let query = list.replace('&', "%26").replace('+', "%2B").replace(',', "&");
    let url = Url::parse(&format!("list:?{query}")).ok();
    let pairs = url.iter().flat_map(Url::query_pairs);
    let pairs = pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
    pairs.filter(|(key, _)| !key.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(settings: &Otel, env: &[(&str, &str)]) -> Option<Result<String, String>> {
        let var = |name: &str| {
            env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let found = Where::of(settings, var)?;
        Some(found.map(|it| it.url.to_string()).map_err(|error| error.to_string()))
    }

    #[test]
    fn otel_settings_go_before_the_environment() {
        let set = |endpoint: &str| Otel { endpoint: Some(endpoint.to_owned()), content: false };
        let here = "http://127.0.0.1:4318/v1/traces";
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a.example/x/");
        let whole = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b.example/y");
        let at = |url: &str| Some(Ok(url.to_owned()));
        assert_eq!(address(&Otel::default(), &[]), None);
        assert_eq!(address(&set("http://127.0.0.1:4318"), &[base]), at(here));
        assert_eq!(address(&set(here), &[]), at(here));
        assert_eq!(address(&Otel::default(), &[base]), at("http://a.example/x/v1/traces"));
        assert_eq!(address(&Otel::default(), &[base, whole]), at("http://b.example/y"));
        assert_eq!(address(&Otel::default(), &[base, ("OTEL_SDK_DISABLED", "true")]), None);
        let open = Otel { content: true, ..set("http://a.example") };
        assert!(address(&open, &[]).unwrap().unwrap_err().contains("needs https://"));
        assert!(address(&set("localhost:4318"), &[]).unwrap().is_err());
    }

    #[test]
    fn otel_a_status_says_whether_the_same_may_be_taken_later() {
        let is_final = |status: u16| is_final(StatusCode::from_u16(status).unwrap());
        assert_eq!([400, 413, 422].map(is_final), [true; 3]);
        assert_eq!([401, 404, 408, 429, 500, 503].map(is_final), [false; 6]);
    }

    #[test]
    fn otel_lists_in_variables_are_pairs() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            pairs("api-key=a%20b+c==, x-team = 1&2,,=z"),
            [pair("api-key", "a b+c=="), pair("x-team", "1&2")]
        );
        assert_eq!(pairs(""), []);
    }
}
