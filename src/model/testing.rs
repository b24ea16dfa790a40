//! A server on this machine that plays byte scripts, for the tests of this room.
//!
//! Invariant: it answers each request with the next reply of its script, and keeps what was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::dialect::{Dialect, History};
use super::retry::Failure;
use super::{Choice, Endpoint, Model, Pace, Setup, Surroundings};
use crate::event::Delta;
use crate::message::{Answer, Message, StopReason, ToolCall, ToolResult, ToolSpec, Usage};

/// One reply.
#[derive(Clone)]
pub(super) struct Reply {
    pub(super) status: &'static str,
    pub(super) headers: &'static str,
    pub(super) body: String,
    /// The body goes out in pieces of so many bytes.
    pub(super) piece: usize,
    /// So long after each piece.
    pub(super) gap: Duration,
    pub(super) end: End,
}

/// How a reply ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Properly; the connection stays open.
    Whole,
    /// The connection is cut where the body is.
    Cut,
    /// Nothing more comes, and nothing is closed.
    Stall,
}

impl Reply {
    pub(super) fn stream(body: impl Into<String>) -> Self {
        let headers = "content-type: text/event-stream\r\n";
        Self {
            status: "200 OK",
            headers,
            body: body.into(),
            piece: usize::MAX,
            gap: Duration::ZERO,
            end: End::Whole,
        }
    }

    pub(super) fn error(status: &'static str, headers: &'static str, body: &str) -> Self {
        Self { status, headers, ..Self::stream(body) }
    }
}

/// What was asked.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) head: String,
    pub(super) body: String,
    /// Which connection it came on, from 0.
    pub(super) connection: usize,
}

/// A running server.
pub(super) struct Server {
    pub(super) address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    accepting: tokio::task::AbortHandle,
}

impl Server {
    pub(super) async fn play(script: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        let script = Arc::new(Mutex::new(script.into_iter()));
        let accepting = tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (kept, script) = (Arc::clone(&kept), Arc::clone(&script));
                tokio::spawn(async move { serve(stream, connection, &kept, &script).await });
            }
        });
        Self { address, requests, accepting: accepting.abort_handle() }
    }

    /// Takes no further connection, as if it were gone.
    pub(super) async fn leave(&self) {
        self.accepting.abort();
        while !self.accepting.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// A model at this server, impatient.
    pub(super) fn model(&self, choice: &str) -> Model {
        self.open(choice, |_| {})
    }

    pub(super) fn endpoint(&self, choice: &str, key: &str) -> Endpoint {
        let env = |name: &str| match name {
            "ANTHROPIC_BASE_URL" => Some(self.address.clone()),
            "OPENAI_BASE_URL" => Some(format!("{}/v1", self.address)),
            "ANTHROPIC_API_KEY" | "OPENAI_API_KEY" => Some(key.to_owned()),
            _ => None,
        };
        let cwd = std::path::Path::new("/");
        let around = Surroundings { env: &env, config: &|_| None, cwd };
        Endpoint::resolve(&choice.parse().unwrap(), &around).unwrap()
    }

    pub(super) fn open(&self, choice: &str, change: impl FnOnce(&mut Setup)) -> Model {
        let endpoint = self.endpoint(choice, "sk-secret-0123456789");
        let choice: Choice = choice.parse().unwrap();
        let mut setup = Setup {
            choice,
            endpoint,
            system: "Be brief.".to_owned(),
            tools: vec![ToolSpec {
                name: "bash".to_owned(),
                description: "Runs a command.".to_owned(),
                parameters: serde_json::json!({"type": "object", "properties": {}}),
            }],
            cache_key: "session-1".to_owned(),
            max_output: None,
            effort: None,
            window: None,
            patience: Duration::from_secs(2),
            pace: pace(),
        };
        change(&mut setup);
        Model::open(setup).unwrap()
    }
}

/// Milliseconds where the real one has seconds.
pub(super) fn pace() -> Pace {
    Pace { hurry: 500, silence: Some(Duration::from_secs(5)) }
}

/// What was told while an answer came in, one word a delta.
#[derive(Debug, Default)]
pub(super) struct Told(pub(super) Vec<String>);

impl Told {
    pub(super) fn hear(&mut self, delta: Delta<'_>) {
        self.0.push(match delta {
            Delta::Text(text) => format!("text {text}"),
            Delta::Thought(text) => format!("thought {text}"),
            Delta::Call(name) => format!("call {name}"),
            Delta::Waiting(waiting) => format!("try {}: {}", waiting.attempt, waiting.reason),
            Delta::Usage(_) => return,
        });
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    kept: &Mutex<Vec<Request>>,
    script: &Mutex<std::vec::IntoIter<Reply>>,
) {
    while let Some((head, body)) = read_request(&mut stream).await {
        kept.lock().unwrap().push(Request { head, body, connection });
        let Some(reply) = script.lock().unwrap().next() else { return };
        let head = format!(
            "HTTP/1.1 {}\r\n{}transfer-encoding: chunked\r\n\r\n",
            reply.status, reply.headers
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        for piece in reply.body.as_bytes().chunks(reply.piece.min(1 << 20)) {
            let size = format!("{:x}\r\n", piece.len());
            let chunk = [size.as_bytes(), piece, b"\r\n"].concat();
            if stream.write_all(&chunk).await.is_err() {
                return;
            }
            match reply.gap {
                Duration::ZERO => tokio::task::yield_now().await,
                gap => tokio::time::sleep(gap).await,
            }
        }
        match reply.end {
            End::Whole => stream.write_all(b"0\r\n\r\n").await.unwrap(),
            End::Cut => return,
            End::Stall => std::future::pending().await,
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut more = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let length = length.map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some((head, body.to_owned()));
            }
        }
        match stream.read(&mut more).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&more[..read]),
        }
    }
}

/// Reads events as if they had streamed in, and tells what was told.
pub(super) fn decode(
    dialect: &dyn Dialect,
    model: &str,
    events: &[&str],
) -> (Result<Answer, Failure>, Vec<String>) {
    let mut decoder = dialect.decoder(model, 4);
    let mut told = Told::default();
    for event in events {
        match decoder.event(event, &mut |delta| told.hear(delta)) {
            Ok(true) => break,
            Ok(false) => {}
            Err(failure) => return (Err(failure), told.0),
        }
    }
    (decoder.finish(), told.0)
}

/// An answer without raw content.
pub(super) fn answer(text: &str, calls: &[(&str, &str, &str)]) -> Answer {
    Answer {
        text: text.to_owned(),
        thought: String::new(),
        calls: calls.iter().map(|(id, name, arguments)| call(id, name, arguments)).collect(),
        stop: if calls.is_empty() { StopReason::EndTurn } else { StopReason::ToolUse },
        usage: Usage::default(),
        raw: None,
    }
}

pub(super) fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

pub(super) fn result(call_id: &str, output: &str, is_error: bool) -> ToolResult {
    ToolResult { call_id: call_id.to_owned(), output: output.to_owned(), is_error }
}

/// The request that these messages make, as text, with nothing in its head.
pub(super) fn history(dialect: &dyn Dialect, model: &str, messages: &[Message]) -> String {
    let mut history = History::default();
    for message in messages {
        dialect.push(&mut history, model, message);
    }
    let body = history.body("[", dialect.cache_mark());
    let text = String::from_utf8(body.to_vec()).unwrap();
    text.strip_suffix('}').unwrap().to_owned()
}

/// How much of a request the next one repeats, in bytes, and how long it is. Cache marks apart.
pub(super) fn shared(earlier: &str, later: &str, mark: &str) -> (usize, usize) {
    let plain = |body: &str| if mark.is_empty() { body.to_owned() } else { body.replace(mark, "") };
    let (earlier, later) = (plain(earlier), plain(later));
    let same = earlier.bytes().zip(later.bytes()).take_while(|(a, b)| a == b).count();
    (same, earlier.len())
}
