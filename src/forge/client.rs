//! Requests to a forge: the headers, the waits, the pages.
//!
//! Invariant: a token goes to the origin of the interface and nowhere else, whatever a redirect or
//! a link to the next page says; a request that may have done something is not sent twice.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{ACCEPT, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, LINK};
use reqwest::header::{LOCATION, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};
use serde_json::Value;

use super::{ForgeError, words};
use crate::http::{chain, client};

/// The longest that a limit of the rate is waited for: GitHub counts by the hour.
pub const PATIENCE: Duration = Duration::from_secs(65 * 60);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(60);
/// What is waited where a forge limits the rate and does not say how long.
const UNSAID: Duration = Duration::from_secs(60);
/// The pauses before another try where the forge fails.
pub(super) const PAUSES: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(8)];
/// More of an answer is not read, in bytes.
const LONGEST: usize = 8 << 20;
/// Pages of one listing that are read, of a hundred each.
const PAGES: usize = 10;
/// Redirects that are followed on one origin.
const REDIRECTS: usize = 3;

/// A wait that a person is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The host that is waited for.
    pub host: String,
    /// Until when.
    pub until: Timestamp,
}

/// The way to one forge.
pub(super) struct Client<'a> {
    http: reqwest::Client,
    base: Url,
    headers: HeaderMap,
    /// Where the token is from.
    source: String,
    /// What was answered before, with its mark.
    seen: RefCell<HashMap<Url, Seen>>,
    patience: Duration,
    on_wait: Box<dyn Fn(&Wait) + 'a>,
}

#[derive(Clone)]
struct Seen {
    etag: HeaderValue,
    page: Page,
}

/// One page of an answer, and where the next one is.
#[derive(Clone, Debug)]
struct Page {
    body: Value,
    next: Option<Url>,
}

/// A part of a path, and a query.
pub(super) type Query<'a> = &'a [(&'a str, &'a str)];

impl<'a> Client<'a> {
    pub(super) fn new(
        base: &Url,
        headers: HeaderMap,
        source: String,
        patience: Duration,
        on_wait: Box<dyn Fn(&Wait) + 'a>,
    ) -> Result<Self, ForgeError> {
        let http = client(base).map_err(|error| ForgeError::Client(chain(&error)))?;
        let seen = RefCell::default();
        Ok(Self { http, base: base.clone(), headers, source, seen, patience, on_wait })
    }

    /// What a `GET` gives.
    pub(super) async fn get(&self, path: &[&str], query: Query<'_>) -> Result<Value, ForgeError> {
        Ok(self.page(self.url(path, query)).await?.body)
    }

    /// All pages of a listing, as one. `field` holds the items where they are not the whole.
    pub(super) async fn list(
        &self,
        path: &[&str],
        query: Query<'_>,
        field: Option<&str>,
    ) -> Result<Vec<Value>, ForgeError> {
        let mut next = Some(self.url(path, query));
        let mut items = Vec::new();
        for _ in 0..PAGES {
            let Some(url) = next else { break };
            let page = self.page(url).await?;
            let found = match field {
                Some(field) => page.body.get(field),
                None => Some(&page.body),
            };
            match found {
                Some(Value::Array(found)) => items.extend(found.iter().cloned()),
                // Forgejo's word for none.
                Some(Value::Null) => {}
                _ => return Err(self.odd("a listing is no list")),
            }
            next = page.next;
        }
        Ok(items)
    }

    /// What a request gives that does something.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &[&str],
        body: &Value,
    ) -> Result<Value, ForgeError> {
        let response = self.answered(&method, self.url(path, &[]), Some(body), None).await?;
        self.read(response).await
    }

    /// The end of a text, which may lie at another host: that is asked without the token.
    pub(super) async fn text(&self, path: &[&str], bytes: usize) -> Result<String, ForgeError> {
        let response = self.answered(&Method::GET, self.url(path, &[]), None, None).await;
        let response = match response {
            Err(ForgeError::Moved { to, .. }) => self.elsewhere(&to).await?,
            response => response?,
        };
        let bytes = self.tail(response, bytes).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Something in an answer that nobody has promised.
    pub(super) fn odd(&self, what: &str) -> ForgeError {
        ForgeError::Odd { host: self.host(), what: what.to_owned() }
    }

    fn host(&self) -> String {
        self.base.host_str().unwrap_or_default().to_owned()
    }

    fn url(&self, path: &[&str], query: Query<'_>) -> Url {
        let mut url = self.base.clone();
        // An address of a host always has segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn page(&self, url: Url) -> Result<Page, ForgeError> {
        let seen = self.seen.borrow().get(&url).cloned();
        let mark = seen.as_ref().map(|seen| &seen.etag);
        let response = self.answered(&Method::GET, url.clone(), None, mark).await?;
        if let Some(seen) = seen.filter(|_| response.status() == StatusCode::NOT_MODIFIED) {
            return Ok(seen.page);
        }
        let etag = response.headers().get(ETAG).cloned();
        let next = next_page(response.headers()).map(|query| {
            let mut next = response.url().clone();
            next.set_query(Some(&query));
            next
        });
        let page = Page { body: self.read(response).await?, next };
        if let Some(etag) = etag {
            self.seen.borrow_mut().insert(url, Seen { etag, page: page.clone() });
        }
        Ok(page)
    }

    /// Sends a request until it is answered with what it asked for.
    async fn answered(
        &self,
        method: &Method,
        url: Url,
        body: Option<&Value>,
        mark: Option<&HeaderValue>,
    ) -> Result<Response, ForgeError> {
        let mut url = url;
        let (mut redirects, mut pauses) = (0, PAUSES.into_iter());
        loop {
            let mut request = self.http.request(method.clone(), url.clone());
            request = request.headers(self.headers.clone()).timeout(ANSWER);
            if let Some(body) = body {
                let text =
                    serde_json::to_vec(body).map_err(|error| self.odd(&error.to_string()))?;
                request = request.header("content-type", "application/json").body(text);
            }
            if let Some(mark) = mark {
                request = request.header(IF_NONE_MATCH, mark);
            }
            let response = match request.send().await {
                Ok(response) => response,
                Err(error) => {
                    let may_repeat = *method == Method::GET || error.is_connect();
                    let reason = chain(&error.without_url());
                    match pauses.next().filter(|_| may_repeat) {
                        Some(pause) => tokio::time::sleep(pause).await,
                        None => return Err(ForgeError::Away { host: self.host(), reason }),
                    }
                    continue;
                }
            };
            let status = response.status();
            if status.is_success() || status == StatusCode::NOT_MODIFIED {
                return Ok(response);
            }
            if let Some(wait) = asked_to_wait(status, response.headers(), Timestamp::now()) {
                self.wait(wait).await?;
                continue;
            }
            if let Some(to) = redirect(&response) {
                let is_same = to.origin() == self.base.origin();
                let keeps_method = *method == Method::GET
                    || matches!(
                        status,
                        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
                    );
                if is_same && keeps_method && redirects < REDIRECTS {
                    redirects += 1;
                    url = to;
                    continue;
                }
                return Err(ForgeError::Moved { host: self.host(), to: to.into() });
            }
            if status.is_server_error()
                && *method == Method::GET
                && let Some(pause) = pauses.next()
            {
                tokio::time::sleep(pause).await;
                continue;
            }
            return Err(self.refused(response, &url).await);
        }
    }

    async fn wait(&self, wait: Duration) -> Result<(), ForgeError> {
        let host = self.host();
        let until = Timestamp::now() + SignedDuration::try_from(wait).unwrap_or_default();
        if wait > self.patience {
            return Err(ForgeError::Limited { host, until });
        }
        (self.on_wait)(&Wait { host, until });
        tokio::time::sleep(wait).await;
        Ok(())
    }

    async fn refused(&self, response: Response, url: &Url) -> ForgeError {
        let (host, status) = (self.host(), response.status());
        let bytes = self.tail(response, 64 << 10).await.unwrap_or_default();
        let said = words::refusal(&bytes, status.canonical_reason().unwrap_or("no reason given"));
        match status {
            StatusCode::UNAUTHORIZED => {
                ForgeError::Unauthorized { host, source_name: self.source.clone(), said }
            }
            StatusCode::NOT_FOUND => {
                let below = self.base.path();
                let what = url.path().strip_prefix(below).unwrap_or(url.path()).to_owned();
                ForgeError::NotFound { host, what }
            }
            status if status.is_server_error() => {
                ForgeError::Away { host, reason: format!("{}: {said}", status.as_u16()) }
            }
            status => ForgeError::Refused { host, status: status.as_u16(), said },
        }
    }

    async fn read(&self, response: Response) -> Result<Value, ForgeError> {
        match self.tail(response, LONGEST).await?.as_slice() {
            [] => Ok(Value::Null),
            bytes => serde_json::from_slice(bytes).map_err(|_| self.odd("it is no JSON")),
        }
    }

    /// The last bytes of what is answered.
    async fn tail(&self, mut response: Response, most: usize) -> Result<Vec<u8>, ForgeError> {
        let mut bytes = Vec::new();
        loop {
            let more = response.chunk().await.map_err(|error| ForgeError::Away {
                host: self.host(),
                reason: chain(&error.without_url()),
            })?;
            let Some(more) = more else { break };
            bytes.extend_from_slice(&more);
            if bytes.len() > most * 2 {
                bytes.drain(..bytes.len() - most);
            }
        }
        bytes.drain(..bytes.len().saturating_sub(most));
        Ok(bytes)
    }

    /// Asks another host, which is told nothing of us.
    async fn elsewhere(&self, to: &str) -> Result<Response, ForgeError> {
        let host = self.host();
        let moved = || ForgeError::Moved { host: host.clone(), to: to.to_owned() };
        let url = Url::parse(to).map_err(|_| moved())?;
        // In the clear only from one port of this machine to another.
        if url.scheme() != "https" && url.host_str() != self.base.host_str() {
            return Err(moved());
        }
        let away = |error: reqwest::Error| ForgeError::Away {
            host: url.host_str().unwrap_or_default().to_owned(),
            reason: chain(&error.without_url()),
        };
        let http = client(&url).map_err(|error| ForgeError::Client(chain(&error)))?;
        let response = http.get(url.clone()).timeout(ANSWER).send().await.map_err(away)?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(moved()),
        }
    }
}

/// The headers of every request: what is wanted, and the token.
pub(super) fn headers(
    accept: &'static str,
    more: &[(&'static str, &'static str)],
    token: Option<&str>,
) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    for (name, value) in more {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(token).ok()?;
        value.set_sensitive(true);
        headers.insert(reqwest::header::AUTHORIZATION, value);
    }
    Some(headers)
}

/// How long a forge wants to be left alone, if that is what it says.
fn asked_to_wait(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| text(name)?.parse::<i64>().ok();
    let is_spent = [number("x-ratelimit-remaining"), number("ratelimit-remaining")]
        .into_iter()
        .any(|left| left == Some(0));
    let after = text(RETRY_AFTER.as_str());
    let is_limit = match status {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::FORBIDDEN | StatusCode::SERVICE_UNAVAILABLE => after.is_some() || is_spent,
        _ => false,
    };
    if !is_limit {
        return None;
    }
    if let Some(after) = after {
        if let Ok(seconds) = after.parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        if let Ok(date) = jiff::fmt::rfc2822::parse(after) {
            return Some(until(date.timestamp(), now));
        }
    }
    let reset = number("x-ratelimit-reset").or_else(|| number("ratelimit-reset"));
    let reset = reset.filter(|_| is_spent).and_then(|second| Timestamp::from_second(second).ok());
    // A second more: it is counted in whole ones.
    Some(reset.map_or(UNSAID, |reset| until(reset, now) + Duration::from_secs(1)))
}

fn until(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default()
}

fn redirect(response: &Response) -> Option<Url> {
    let to = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())?;
    response.url().join(to.to_str().ok()?).ok()
}

/// What the next page is asked by: `<https://…?page=2>; rel="next", <…>; rel="last"` (RFC 8288). A
/// forge behind a proxy may not know by which address it is reached, so only the query is taken.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let links = headers.get(LINK)?.to_str().ok()?;
    links.split(',').find_map(|link| {
        let (url, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = rest.split(';').any(|it| matches!(it.trim(), "rel=\"next\"" | "rel=next"));
        let query = url.split_once('?').filter(|_| is_next)?.1;
        Some(query.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_limit_says_how_long() {
        let now = Timestamp::from_second(1_000).unwrap();
        let wait = |status: u16, pairs: &[(&'static str, &str)]| {
            let status = StatusCode::from_u16(status).unwrap();
            asked_to_wait(status, &map(pairs), now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait(429, &[]), Some(60));
        assert_eq!(wait(429, &[("retry-after", "7")]), Some(7));
        assert_eq!(wait(429, &[("retry-after", "Thu, 01 Jan 1970 00:17:00 GMT")]), Some(20));
        let spent = ("x-ratelimit-remaining", "0");
        assert_eq!(wait(403, &[spent, ("x-ratelimit-reset", "1030")]), Some(31));
        assert_eq!(wait(403, &[spent, ("x-ratelimit-reset", "900")]), Some(1));
        assert_eq!(
            wait(429, &[("ratelimit-remaining", "0"), ("ratelimit-reset", "1005")]),
            Some(6)
        );
        assert_eq!(wait(503, &[("retry-after", "2")]), Some(2));
        // What is forbidden stays forbidden.
        assert_eq!(wait(403, &[("x-ratelimit-remaining", "10")]), None);
        assert_eq!(wait(404, &[spent]), None);
        assert_eq!(wait(503, &[]), None);
    }

    #[test]
    fn the_next_page_is_found() {
        let next = |link: &str| next_page(&map(&[("link", link)]));
        let link = "<http://a.example/x?page=1>; rel=\"prev\", <http://a.example/x?a=b&page=3>; rel=\"next\"";
        assert_eq!(next(link), Some("a=b&page=3".to_owned()));
        assert_eq!(next("<https://a.example/x?page=1>; rel=\"last\""), None);
        assert_eq!(next("nonsense"), None);
    }

    #[test]
    fn a_token_is_not_shown() {
        let headers = headers("a/b", &[], Some("Bearer t0ken")).unwrap();
        assert!(!format!("{headers:?}").contains("t0ken"));
    }
}
