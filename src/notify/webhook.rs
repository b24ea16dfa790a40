//! A request to an address of the user's, signed as Standard Webhooks are
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! Invariant: a notice has one `webhook-id` however often it is tried, so that a server can tell a
//! repetition; and nobody is told more of the address than its host.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::{Letter, NotTold, command};
use crate::http;
use crate::process::Cmd;

/// The variable that holds the secret.
pub const SECRET: &str = "GIT_AGENT_NOTIFY_SECRET";
/// How long one try may take.
const LIMIT: Duration = Duration::from_secs(10);
/// What is waited between the tries; there is one more of them.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(8)];

/// Where notices are posted to.
pub struct Webhook {
    address: String,
    secret_command: Option<String>,
    secret: Option<SecretString>,
    /// Built with the first request: TLS roots cost time and memory.
    client: Option<Client>,
    pauses: [Duration; 3],
}

impl Webhook {
    /// Nothing is looked at or connected yet.
    pub fn new(address: &str, secret_command: Option<String>) -> Self {
        let secret = std::env::var(SECRET).ok().filter(|secret| !secret.trim().is_empty());
        Self {
            address: address.to_owned(),
            secret_command,
            secret: secret.map(SecretString::from),
            client: None,
            pauses: PAUSES,
        }
    }

    /// The host, for people: the rest of the address may be a secret.
    ///
    /// # Errors
    /// The address is none, or plain http to another machine.
    pub fn host(&self) -> Result<String, NotTold> {
        let url = self.url()?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Ok(format!("{}{port}", url.host_str().unwrap_or_default()))
    }

    /// Whether requests carry a signature.
    pub fn is_signed(&self) -> bool {
        self.secret.is_some() || self.secret_command.is_some()
    }

    fn url(&self) -> Result<Url, NotTold> {
        let bad = |why: &str| NotTold::Address(why.to_owned());
        let url = Url::parse(self.address.trim()).map_err(|error| bad(&error.to_string()))?;
        match url.scheme() {
            "https" => Ok(url),
            "http" if http::is_loopback(&url) => Ok(url),
            "http" => Err(bad("only this machine itself is talked to without TLS")),
            _ => Err(bad("it must begin with https://")),
        }
    }

    pub(super) async fn tell(&mut self, letter: &Letter) -> Result<(), NotTold> {
        let url = self.url()?;
        let host = self.host()?;
        let key = self.key(letter).await?;
        let client = match self.client.take() {
            Some(client) => client,
            None => http::client(&url).map_err(|error| NotTold::Refused {
                host: host.clone(),
                tries: 0,
                reason: http::chain(&error),
            })?,
        };
        let client = self.client.insert(client);
        let (id, body) = (id_of(letter), letter.json());
        let mut pauses = self.pauses.into_iter();
        for tries in 1.. {
            let failure = match post(client, &url, &id, &body, key.as_ref()).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            tracing::debug!(host, tries, reason = failure.reason, "a webhook failed");
            match pauses.next().filter(|_| failure.may_pass && letter.is_current()) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(NotTold::Refused { host, tries, reason: failure.reason }),
            }
        }
        Ok(())
    }

    /// What requests are signed with: asked for once.
    async fn key(&mut self, letter: &Letter) -> Result<Option<hmac::Key>, NotTold> {
        if let (None, Some(line)) = (&self.secret, &self.secret_command) {
            // Its complaints would be taken for the secret.
            let quiet = ["-c", "exec 2>/dev/null; eval \"$1\"", "sh", line];
            let asked = Cmd::new("sh").args(quiet).dir("/");
            let printed = command::run_within(asked, letter, command::LIMIT).await;
            let printed = printed.map_err(|error| NotTold::Secret(error.to_string()))?;
            let secret = printed.lines().next().map(str::trim).unwrap_or_default();
            if secret.is_empty() {
                return Err(NotTold::Secret("it printed nothing".to_owned()));
            }
            self.secret = Some(secret.to_owned().into());
        }
        let Some(secret) = &self.secret else { return Ok(None) };
        let secret = secret.expose_secret().trim();
        let bytes = match secret.strip_prefix("whsec_") {
            Some(encoded) => BASE64
                .decode(encoded)
                .map_err(|_| NotTold::Secret("what follows whsec_ is not base64".to_owned()))?,
            None => secret.as_bytes().to_vec(),
        };
        Ok(Some(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

/// A request that was not taken.
struct Failure {
    reason: String,
    /// Whether another try may be.
    may_pass: bool,
}

async fn post(
    client: &Client,
    url: &Url,
    id: &str,
    body: &str,
    key: Option<&hmac::Key>,
) -> Result<(), Failure> {
    let time = Timestamp::now().as_second();
    let mut request = client.post(url.clone()).header(CONTENT_TYPE, "application/json");
    request = request.header("webhook-id", id).header("webhook-timestamp", time);
    if let Some(key) = key {
        request = request.header("webhook-signature", signature(key, id, time, body));
    }
    let again = |reason: String| Failure { reason, may_pass: true };
    let sent = timeout(LIMIT, request.body(body.to_owned()).send()).await;
    let status = match sent {
        Err(_) => return Err(again(format!("no answer in {} s", LIMIT.as_secs()))),
        Ok(Err(error)) => return Err(again(http::chain(&error.without_url()))),
        Ok(Ok(response)) => response.status(),
    };
    let may_pass = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    match status.is_success() {
        true => Ok(()),
        false => Err(Failure { reason: status.to_string(), may_pass }),
    }
}

/// The same for one move of one session, whoever tells of it.
fn id_of(letter: &Letter) -> String {
    let (notice, session) = (&letter.notice, &letter.subject.session);
    format!("{session}.{}.{}", notice.occasion.name(), notice.time.as_nanosecond())
}

/// `v1,` and the HMAC-SHA256 of id, time and body, parted by dots, in base64.
fn signature(key: &hmac::Key, id: &str, time: i64, body: &str) -> String {
    let tag = hmac::sign(key, format!("{id}.{time}.{body}").as_bytes());
    format!("v1,{}", BASE64.encode(tag))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::testing::letter;
    use super::*;

    /// Answers each request with the next of these and gives the requests.
    async fn serve(
        answers: &'static [&'static str],
    ) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/hook?token=x", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !is_whole(&request) {
                    let count = stream.read(&mut buffer).await.unwrap();
                    request.extend_from_slice(&buffer[..count]);
                }
                requests.push(String::from_utf8(request).unwrap());
                let head =
                    format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
            }
            requests
        });
        (address, served)
    }

    fn is_whole(request: &[u8]) -> bool {
        let text = String::from_utf8_lossy(request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        length.is_some_and(|length| body.len() == length.parse::<usize>().unwrap())
    }

    fn webhook(address: &str, secret: Option<&str>) -> Webhook {
        let pauses = [Duration::from_millis(1); 3];
        let secret = secret.map(|secret| secret.to_owned().into());
        Webhook { secret, pauses, ..Webhook::new(address, None) }
    }

    fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
        request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        // The example of the specification's own libraries.
        let key = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        assert_eq!(
            signature(&key, id, 1_614_265_330, r#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[tokio::test]
    async fn what_fails_is_tried_again_with_the_same_id() {
        let folder = tempfile::tempdir().unwrap();
        let letter = letter(folder.path());
        let (address, served) = serve(&["500 Oops", "429 Slow", "204 No Content"]).await;
        webhook(&address, Some("s3cret")).tell(&letter).await.unwrap();
        let requests = served.await.unwrap();
        let id = "add-rate-7f3k.needs-input.1795359600000000000";
        assert_eq!(requests.len(), 3);
        for request in requests {
            assert_eq!(header(&request, "webhook-id"), Some(id));
            assert!(request.starts_with("POST /hook?token=x HTTP/1.1\r\n"), "{request}");
            let body = request.split_once("\r\n\r\n").unwrap().1;
            assert_eq!(body, letter.json());
            let time = header(&request, "webhook-timestamp").unwrap().parse().unwrap();
            let key = hmac::Key::new(hmac::HMAC_SHA256, b"s3cret");
            let wanted = signature(&key, id, time, body);
            assert_eq!(header(&request, "webhook-signature"), Some(wanted.as_str()));
        }
    }

    #[tokio::test]
    async fn what_will_not_pass_is_not_tried_again_and_tells_no_address() {
        let folder = tempfile::tempdir().unwrap();
        let letter = letter(folder.path());
        let (address, served) = serve(&["404 Not Found"]).await;
        let error = webhook(&address, None).tell(&letter).await.unwrap_err().to_string();
        assert!(error.ends_with(": 404 Not Found (tries: 1)"), "{error}");
        assert!(error.starts_with("127.0.0.1:") && !error.contains("token"), "{error}");
        assert_eq!(header(&served.await.unwrap()[0], "webhook-signature"), None);
        let (address, served) = serve(&["503 X", "503 X", "503 X", "503 X"]).await;
        let error = webhook(&address, None).tell(&letter).await.unwrap_err().to_string();
        assert!(error.ends_with(": 503 Service Unavailable (tries: 4)"), "{error}");
        assert_eq!(served.await.unwrap().len(), 4);
    }

    #[tokio::test]
    async fn nothing_more_is_told_of_a_session_that_was_removed() {
        let folder = tempfile::tempdir().unwrap();
        let letter = letter(&folder.path().join("gone"));
        let (address, served) = serve(&["503 X"]).await;
        let error = webhook(&address, None).tell(&letter).await.unwrap_err().to_string();
        assert!(error.ends_with("(tries: 1)"), "{error}");
        assert_eq!(served.await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_secret_comes_from_a_command_and_is_asked_for_once() {
        let folder = tempfile::tempdir().unwrap();
        let letter = letter(folder.path());
        let asked = folder.path().join("asked");
        let line =
            format!("echo >>'{}'; echo hush >&2; echo whsec_c2VjcmV0; echo more", asked.display());
        let mut webhook =
            Webhook { secret: None, ..Webhook::new("https://example.org", Some(line)) };
        for _ in 0..2 {
            let key = webhook.key(&letter).await.unwrap().unwrap();
            let wanted = signature(&hmac::Key::new(hmac::HMAC_SHA256, b"secret"), "a", 1, "b");
            assert_eq!(signature(&key, "a", 1, "b"), wanted);
        }
        assert_eq!(fs_err::read_to_string(asked).unwrap(), "\n");
        let mut webhook = Webhook {
            secret: None,
            ..Webhook::new("https://example.org", Some("false".to_owned()))
        };
        let error = webhook.tell(&letter).await.unwrap_err().to_string();
        assert_eq!(error, "agent.notifySecretCommand gave no secret: exit 1");
    }

    #[test]
    fn an_address_is_https_or_this_machine() {
        let host = |address| webhook(address, None).host().map_err(|error| error.to_string());
        assert_eq!(host("https://hooks.example.org/T0/secret"), Ok("hooks.example.org".to_owned()));
        assert_eq!(host("http://127.0.0.1:8080/x"), Ok("127.0.0.1:8080".to_owned()));
        let refused = |why| Err(format!("agent.notifyWebhook is no address to post to: {why}"));
        assert_eq!(
            host("http://example.org/x"),
            refused("only this machine itself is talked to without TLS")
        );
        assert_eq!(host("file:///x"), refused("it must begin with https://"));
        assert_eq!(host("x"), refused("relative URL without a base"));
    }
}
