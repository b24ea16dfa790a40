//! An OpenTelemetry collector, spoken to in OTLP over HTTP, as JSON.
//!
//! Invariant: what is said and done goes to another machine only by TLS; a server that answers with
//! no success has taken nothing.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use reqwest::Url;
use tokio::time::timeout;

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
    exporter: opentelemetry_otlp::SpanExporter,
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
    /// The collector there; nothing is connected yet.
    ///
    /// # Errors
    /// There is no client for it.
    pub fn open(there: &Where, resource: Vec<(&'static str, String)>) -> Result<Self, NotSent> {
        let client = http::client(&there.url);
        let client = client.map_err(|error| NotSent::Client(http::chain(&error)))?;
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpJson)
            .with_endpoint(there.url.as_str())
            .with_timeout(LIMIT)
            // Who follows the journal tries again, and knows where it was.
            .with_retry_policy(RetryPolicy::disabled())
            .build();
        let mut exporter = exporter.map_err(|error| NotSent::Client(http::chain(&error)))?;
        let is_named = std::env::var_os("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty());
        let about = Resource::builder();
        let about = if is_named { about } else { about.with_service_name("git-agent") };
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let more = resource.into_iter().map(|(key, value)| KeyValue::new(key, value));
        let about = about.with_attribute(version).with_attributes(more);
        exporter.set_resource(&about.build());
        Ok(Self { exporter })
    }

    /// Sends these.
    ///
    /// # Errors
    /// They did not arrive.
    pub async fn send(&self, spans: Vec<SpanData>) -> Result<(), NotSent> {
        match timeout(LIMIT, self.exporter.export(spans)).await {
            Err(_) => Err(NotSent::Later(format!("no answer in {} s", LIMIT.as_secs()))),
            Ok(Ok(())) => Ok(()),
            Ok(Err(OTelSdkError::InternalFailure(why))) if is_final(&why) => {
                Err(NotSent::Refused(why))
            }
            Ok(Err(error)) => Err(NotSent::Later(error.to_string())),
        }
    }
}

/// Whether the same spans would be refused again, by the status that the reason ends with: any but
/// those that OTLP/HTTP has for "later".
fn is_final(why: &str) -> bool {
    let status = why.rsplit(' ').next().and_then(|status| status.parse::<u16>().ok());
    status.is_some_and(|it| (400..500).contains(&it) && !matches!(it, 401 | 403 | 404 | 408 | 429))
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
        let failed = |status: u16| is_final(&format!("HTTP export failed with status code: {status}"));
        assert!(failed(400) && failed(413) && failed(422));
        assert!(!failed(408) && !failed(429) && !failed(503) && !failed(401) && !failed(404));
        assert!(!is_final("HTTP export failed: network error"));
    }
}
