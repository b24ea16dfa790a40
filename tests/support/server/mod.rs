//! A strict model server: three dialects, one script, and every way to go wrong.
//!
//! ```ignore
//! let server = Server::start(Script::new([
//!     Turn::call("bash", json!({"command": "ls"})).and_thinking("…").fault(Fault::Cut(400), 1),
//!     Turn::text("Done."),
//! ]));
//! // … run the program with `server.env(Dialect::Anthropic)` and `Dialect::Anthropic.model()` …
//! assert_eq!(server.served(), [0, 0, 1]);
//! server.finish();
//! ```
//!
//! It speaks all dialects at once, at `/v1/messages`, `/v1/responses`, `/v1/chat/completions`. A
//! request that the real servers refuse is refused in their shape and remembered; a server that
//! is dropped with violations fails the test. A bench takes it in with
//! `#[path = "../tests/support/server/mod.rs"] mod server;`.
//!
//! Invariant: which turn is due follows from the answers that the request holds, never from how
//! often it was asked; only faults count how often.

#![expect(unreachable_pub, reason = "`pub` is what tests and benches use, `pub(super)` is ours")]

mod anthropic;
mod chat;
mod check;
mod dialect;
pub mod http;
mod prefix;
mod responses;
mod script;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;

use self::check::{Place, Refusal};
pub use self::dialect::Dialect;
pub use self::http::Request;
pub use self::prefix::prefix_stability;
pub use self::script::{Fault, Odd, Script, Stop, Tokens, Turn};
use self::stream::{Events, Sent};

/// A server on a free port of 127.0.0.1, which serves until it is dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// One request, and what became of it.
#[derive(Clone, Debug)]
pub struct Record {
    /// The request as it came.
    pub request: Request,
    /// The turn that was due, if the request was taken.
    pub turn: Option<usize>,
    /// The status it is answered with; 0 before that is known.
    pub status: u16,
    /// Whether the answer was sent whole.
    pub whole: bool,
    /// When the last bytes of the answer went out.
    pub last_byte: Instant,
}

struct Shared {
    scripts: Vec<Script>,
    keyless: bool,
    stopped: AtomicBool,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    records: Vec<Record>,
    violations: Vec<String>,
    asked: HashMap<(usize, usize), usize>,
    open: Vec<Weak<TcpStream>>,
    sending: usize,
}

impl Server {
    /// Serves one session.
    pub fn start(script: Script) -> Self {
        Self::start_many(vec![script])
    }

    /// Serves several sessions: each request is for the first script whose needle it contains.
    pub fn start_many(scripts: Vec<Script>) -> Self {
        Self::listen(scripts, false)
    }

    /// Serves one session and asks for no key, as a local server does.
    pub fn start_keyless(script: Script) -> Self {
        Self::listen(vec![script], true)
    }

    fn listen(scripts: Vec<Script>, keyless: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            scripts,
            keyless,
            stopped: AtomicBool::new(false),
            log: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stopped.load(Ordering::SeqCst) {
                    return;
                }
                // A client that is gone before it is served is no fault of the server.
                let Ok(stream) = stream else { continue };
                let connection = Arc::clone(&serving);
                std::thread::spawn(move || connection.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// `http://127.0.0.1:<port>`, without `/v1`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The variables by which a client finds this server, the vendor's own.
    pub fn env(&self, dialect: Dialect) -> [(&'static str, String); 2] {
        match dialect {
            Dialect::Anthropic => {
                [("ANTHROPIC_BASE_URL", self.url()), ("ANTHROPIC_API_KEY", dialect.key().into())]
            }
            Dialect::Responses | Dialect::Chat => [
                ("OPENAI_BASE_URL", format!("{}/v1", self.url())),
                ("OPENAI_API_KEY", dialect.key().into()),
            ],
        }
    }

    /// All requests so far, in the order they came.
    pub fn records(&self) -> Vec<Record> {
        self.shared.settled().records.clone()
    }

    /// The turns that were asked for, in order, each as often as it was; those answered with a
    /// fault too, and no refused request.
    pub fn served(&self) -> Vec<usize> {
        self.shared.log().records.iter().filter_map(|record| record.turn).collect()
    }

    /// The bodies of all requests, for [`prefix_stability`].
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.shared.log().records.iter().map(|record| record.request.body.clone()).collect()
    }

    /// The times from the last byte of an answer to the first byte of the next request. They
    /// mean something where one session alone was served.
    pub fn gaps(&self) -> Vec<Duration> {
        let log = self.shared.settled();
        let gap = |pair: &[Record]| {
            pair[1].request.first_byte.saturating_duration_since(pair[0].last_byte)
        };
        log.records.windows(2).map(gap).collect()
    }

    /// Takes the violations, for a test that provokes some.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.log().violations)
    }

    /// Ends the server.
    ///
    /// # Panics
    /// A request broke the rules.
    pub fn finish(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // The listener wakes to see that it is over; where it is already gone, so much the better.
        drop(TcpStream::connect(self.address));
        for stream in self.shared.log().open.drain(..).filter_map(|stream| stream.upgrade()) {
            drop(stream.shutdown(Shutdown::Both));
        }
        let violations = self.take_violations();
        if !std::thread::panicking() {
            assert!(
                violations.is_empty(),
                "the client broke the rules:\n{}",
                violations.join("\n")
            );
        }
    }
}

/// What is sent for one request.
enum Reply {
    /// An answer that is not streamed.
    Plain { status: u16, bytes: Vec<u8> },
    /// One that is.
    Stream { head: Vec<u8>, events: Events, fault: Option<Fault>, dialect: Dialect },
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log, once the answers that are on their way are noted down, which is after the client
    /// has them; those that are held up by a fault are not waited for.
    fn settled(&self) -> MutexGuard<'_, Log> {
        let patience = Instant::now() + Duration::from_millis(100);
        loop {
            let log = self.log();
            if log.sending == 0 || Instant::now() > patience {
                return log;
            }
            drop(log);
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn serve(&self, stream: TcpStream) {
        // The one handle, so that to drop it closes the connection (and resets it, if asked to).
        let stream = Arc::new(stream);
        stream.set_nodelay(true).expect("a socket that was just accepted");
        self.log().open.push(Arc::downgrade(&stream));
        let mut reader = http::Reader::new(&stream);
        while !self.is_stopped() {
            let request = match reader.request() {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(error) => {
                    // A client that hangs up in mid-request was stopped, not wrong.
                    if error.kind() == io::ErrorKind::InvalidData {
                        self.log().violations.push(format!("not HTTP: {error}"));
                    }
                    return;
                }
            };
            let number = self.begin(&request);
            let (turn, delay, reply) = self.reply(&request, number);
            let status = match &reply {
                Reply::Plain { status, .. } => *status,
                Reply::Stream { .. } => 200,
            };
            self.record(number, |record| (record.turn, record.status) = (turn, status));
            let wait = |time| stream::sleep(time, || self.is_stopped());
            let sent = match &reply {
                _ if !wait(delay) => Ok(Sent::Broken),
                Reply::Plain { bytes, .. } => {
                    let last = Instant::now();
                    (&*stream).write_all(bytes).map(|()| Sent::Whole(last))
                }
                Reply::Stream { head, events, fault, dialect } => {
                    stream::send(&stream, head, events, fault.as_ref(), *dialect, &wait)
                }
            };
            // A client that hangs up while it is answered may: it was stopped, or has had enough.
            let (whole, last_byte) = match sent {
                Ok(Sent::Whole(last_byte)) => (true, last_byte),
                Ok(Sent::Broken) | Err(_) => (false, Instant::now()),
            };
            self.record(number, |record| (record.whole, record.last_byte) = (whole, last_byte));
            self.log().sending -= 1;
            if !whole {
                return;
            }
        }
    }

    /// Keeps the request and returns its number.
    fn begin(&self, request: &Request) -> usize {
        let mut log = self.log();
        log.records.push(Record {
            request: request.clone(),
            turn: None,
            status: 0,
            whole: false,
            last_byte: Instant::now(),
        });
        log.sending += 1;
        log.records.len() - 1
    }

    fn record(&self, number: usize, change: impl FnOnce(&mut Record)) {
        change(&mut self.log().records[number]);
    }

    fn reply(&self, request: &Request, number: usize) -> (Option<usize>, Duration, Reply) {
        let path = request.path.split('?').next().unwrap_or_default();
        if request.method == "GET" && path == "/v1/models" {
            let is_anthropic = request.header("x-api-key").is_some();
            let dialect = if is_anthropic { Dialect::Anthropic } else { Dialect::Chat };
            if let Some(reply) = self.key_refused(request, dialect, number) {
                return (None, Duration::ZERO, reply);
            }
            let body = r#"{"object":"list","data":[{"id":"test","object":"model"}]}"#;
            return (None, Duration::ZERO, plain(200, "", "application/json", body));
        }
        let Some(dialect) = Dialect::of_path(path).filter(|_| request.method == "POST") else {
            // To look for what may not be there is no violation unless something is sent there.
            if request.method != "GET" {
                let line = format!("request {number}: nothing at {} {path}", request.method);
                self.log().violations.push(line);
            }
            return (None, Duration::ZERO, error(Dialect::Chat, 404, "Not found", ""));
        };
        if let Some(reply) = self.key_refused(request, dialect, number) {
            return (None, Duration::ZERO, reply);
        }
        match self.take(request, dialect) {
            Ok((place, fault, body)) => {
                let script = &self.scripts[place.script];
                let turn = script.turn(place.turn).expect("take found it");
                let ids = dialect.id_header(number);
                let reply = status_fault(dialect, fault.as_ref(), &ids).unwrap_or_else(|| {
                    let mut events = dialect.render(turn, place, &body, script);
                    if let Some(fault) = &fault {
                        stream::befall(&mut events, fault, dialect, turn.blocks.len());
                    }
                    Reply::Stream { head: http::stream_head(&ids), events, fault, dialect }
                });
                (Some(place.turn), turn.delay, reply)
            }
            Err(Refusal(message)) => (None, Duration::ZERO, self.refuse(dialect, number, &message)),
        }
    }

    /// The refusal of a key. A wrong one may be what a test is about; none at all, or the other
    /// vendor's, is a violation.
    fn key_refused(&self, request: &Request, dialect: Dialect, number: usize) -> Option<Reply> {
        let is_foreign = |other: &Dialect| {
            other.key() != dialect.key()
                && request.headers.iter().any(|(_, value)| value.contains(other.key()))
        };
        if Dialect::ALL.iter().any(is_foreign) {
            let line = format!("request {number} ({dialect:?}): carries a foreign key");
            self.log().violations.push(line);
        }
        match dialect.key_in(request) {
            Some(key) if key == dialect.key() => None,
            Some(_) => Some(error(dialect, 401, "invalid x-api-key", "")),
            None if self.keyless => None,
            None => {
                let line = format!("request {number} ({dialect:?}): carries no key");
                self.log().violations.push(line);
                Some(error(dialect, 401, "x-api-key header is required", ""))
            }
        }
    }

    /// Checks the request, and finds which turn is due and what befalls it.
    fn take(
        &self,
        request: &Request,
        dialect: Dialect,
    ) -> Result<(Place, Option<Fault>, Value), Refusal> {
        check::demand(
            request.header("content-type").is_some_and(|kind| kind.starts_with("application/json")),
            || "content-type: must be application/json".into(),
        )?;
        let body: Value = serde_json::from_slice(&request.body)
            .map_err(|error| Refusal(format!("We could not parse the JSON body: {error}")))?;
        let raw = String::from_utf8_lossy(&request.body);
        for dialect in Dialect::ALL {
            check::demand(!raw.contains(dialect.key()), || "a key is in the body".into())?;
        }
        dialect.check(request, &body, &self.scripts)?;
        let script = self.scripts.iter().position(|script| raw.contains(&script.needle));
        let script = script.ok_or_else(|| Refusal("no script is for this request".into()))?;
        let last = dialect.last(&body).map(Value::to_string).unwrap_or_default();
        let Script { turns, asides, .. } = &self.scripts[script];
        let aside = asides.iter().position(|(needle, _)| last.contains(needle));
        let turn = aside.map_or_else(|| dialect.answers(&body), |aside| turns.len() + aside);
        let in_turns = aside.is_some() || turn < turns.len();
        check::demand(in_turns, || format!("the script has no turn {turn}"))?;
        let mut log = self.log();
        let asked = log.asked.entry((script, turn)).or_default();
        *asked += 1;
        let fault = self.scripts[script].turn(turn).and_then(|turn| turn.faults.get(*asked - 1));
        Ok((Place { script, turn, block: 0 }, fault.cloned(), body))
    }

    fn refuse(&self, dialect: Dialect, number: usize, message: &str) -> Reply {
        self.log().violations.push(format!("request {number} ({dialect:?}): {message}"));
        error(dialect, 400, message, "")
    }
}

fn plain(status: u16, headers: &str, content_type: &str, body: &str) -> Reply {
    Reply::Plain { status, bytes: http::plain(status, headers, content_type, body) }
}

fn error(dialect: Dialect, status: u16, message: &str, headers: &str) -> Reply {
    plain(status, headers, "application/json", &dialect.error(status, message).to_string())
}

/// The answer of a fault that is a status.
fn status_fault(dialect: Dialect, fault: Option<&Fault>, ids: &str) -> Option<Reply> {
    let message = |status: u16| if status == 529 { "Overloaded" } else { "A fault of the script" };
    match fault? {
        Fault::Status(status) => Some(error(dialect, *status, message(*status), ids)),
        Fault::RetryAfter(status, seconds) => {
            let headers = format!("{ids}retry-after: {seconds}\r\n");
            Some(error(dialect, *status, message(*status), &headers))
        }
        Fault::RetryAfterMs(status, millis) => {
            let headers = format!("{ids}retry-after-ms: {millis}\r\n");
            Some(error(dialect, *status, message(*status), &headers))
        }
        Fault::Html(status) => {
            let body =
                format!("<html><head><title>{status}</title></head><body>nginx</body></html>");
            Some(plain(*status, ids, "text/html", &body))
        }
        Fault::TooLong => Some(error(dialect, 400, dialect.too_long(), ids)),
        _ => None,
    }
}
