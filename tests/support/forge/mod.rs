//! Forges that refuse what the real ones refuse: GitHub, GitLab and Forgejo, with the branches of a
//! real bare repository behind them.
//!
//! Invariant: a request with a path, a field, a query or a header that the published interface does
//! not have is refused and remembered; a forge that is dropped with such a request fails the test.

mod forgejo;
mod github;
mod gitlab;
pub mod prism;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde_json::{Value, json};

/// Which one is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    GitHub,
    GitLab,
    Forgejo,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::GitHub, Self::GitLab, Self::Forgejo];

    /// What `agent.forge.<host>.type` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Forgejo => "forgejo",
        }
    }

    /// The variable of its token.
    pub fn variable(self) -> &'static str {
        match self {
            Self::GitHub => "GH_TOKEN",
            Self::GitLab => "GITLAB_TOKEN",
            Self::Forgejo => "FORGEJO_TOKEN",
        }
    }
}

/// The token that is taken.
pub const TOKEN: &str = "t0ken-of-ada";

/// A pull request as the forge keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pull {
    pub number: u64,
    pub title: String,
    pub body: String,
    pub branch: String,
    pub into: String,
    pub draft: bool,
    pub state: String,
    pub reviewers: Vec<String>,
}

/// A check as the forge tells of it: its name, `success`, `failure` or `pending`, and its log.
#[derive(Clone, Debug)]
pub struct Check {
    pub name: String,
    pub state: &'static str,
    pub log: String,
}

/// A comment on a line, or on all where the path is empty.
#[derive(Clone, Debug)]
pub struct Comment {
    pub author: String,
    pub path: String,
    pub line: u64,
    pub text: String,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// An answer in place of the right one, to the next request whose path ends so.
pub struct Fault {
    pub path: &'static str,
    pub status: u16,
    pub headers: String,
    pub body: String,
}

type Ci = Box<dyn Fn(&World, &str) -> Vec<Check> + Send>;

/// What the forge knows.
pub struct World {
    pub kind: Kind,
    /// The bare repository behind it.
    remote: PathBuf,
    pub pulls: Vec<Pull>,
    pub comments: Vec<Comment>,
    pub requests: Vec<Request>,
    pub faults: VecDeque<Fault>,
    ci: Option<Ci>,
    broken: Vec<String>,
    base: String,
}

/// A forge on a free port of 127.0.0.1.
pub struct Forge {
    port: u16,
    world: Arc<Mutex<World>>,
    over: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

/// What is answered.
struct Answer {
    status: u16,
    headers: String,
    body: String,
}

/// From the parts of the path, the body and the query to status and answer.
type Run = fn(&mut World, &[String], &Value, &[(String, String)]) -> (u16, Value);

/// One thing that the interface can be asked for.
struct Endpoint {
    method: &'static str,
    /// Parts of the path; `*` stands for any, and is given to the handler.
    path: &'static str,
    query: &'static [&'static str],
    required: &'static [&'static str],
    optional: &'static [&'static str],
    run: Run,
}

impl Forge {
    /// Plays this one over a bare repository.
    pub fn serve(kind: Kind, remote: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let world = World {
            kind,
            remote: remote.to_owned(),
            pulls: Vec::new(),
            comments: Vec::new(),
            requests: Vec::new(),
            faults: VecDeque::new(),
            ci: None,
            broken: Vec::new(),
            base: format!("http://127.0.0.1:{port}"),
        };
        let world = Arc::new(Mutex::new(world));
        let over = Arc::new(AtomicBool::new(false));
        let (served, is_over) = (Arc::clone(&world), Arc::clone(&over));
        let server = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                // A client that went away has what it wanted.
                let _ = stream.and_then(|stream| serve(stream, &served));
            }
        });
        Self { port, world, over, server: Some(server) }
    }

    /// The address of its interface.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the checks of a commit are.
    pub fn ci(&self, ci: impl Fn(&World, &str) -> Vec<Check> + Send + 'static) {
        self.world().ci = Some(Box::new(ci));
    }
}

impl Drop for Forge {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the server, which looks whether it is over.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(server) = self.server.take() {
            drop(server.join());
        }
        if !std::thread::panicking() {
            assert_eq!(self.world().broken, [""; 0], "requests that no forge would take");
        }
    }
}

impl World {
    /// What a branch of the remote is at.
    pub fn tip(&self, branch: &str) -> Option<String> {
        let done = git_agent::process::Cmd::new("git")
            .arg("--git-dir")
            .arg(&self.remote)
            .args(["rev-parse", "--verify", "--quiet", &format!("refs/heads/{branch}")])
            .run()
            .expect("git is there");
        (done.exit == 0).then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }

    /// What a file of a commit holds.
    pub fn file(&self, commit: &str, path: &str) -> Option<String> {
        let done = git_agent::process::Cmd::new("git")
            .arg("--git-dir")
            .arg(&self.remote)
            .args(["cat-file", "blob", &format!("{commit}:{path}")])
            .run()
            .expect("git is there");
        (done.exit == 0).then(|| String::from_utf8_lossy(&done.stdout).into_owned())
    }

    fn checks(&self, commit: &str) -> Vec<Check> {
        self.ci.as_ref().map(|ci| ci(self, commit)).unwrap_or_default()
    }

    /// Opens one, if both branches are there and none is open; the words of the refusal else.
    fn open(&mut self, mut pull: Pull) -> Result<Pull, String> {
        if self.tip(&pull.branch).is_none() {
            return Err("head invalid".to_owned());
        }
        if self.tip(&pull.into).is_none() {
            return Err("base invalid".to_owned());
        }
        if let Some(there) = self.pulls.iter().find(|it| it.is_open_for(&pull.branch)) {
            let number = there.number;
            return Err(format!(
                "A pull request already exists for ada:{}: !{number}",
                pull.branch
            ));
        }
        pull.number = self.pulls.len() as u64 + 1;
        pull.state = "open".to_owned();
        self.pulls.push(pull.clone());
        Ok(pull)
    }

    fn pull(&mut self, number: &str) -> Option<&mut Pull> {
        self.pulls.iter_mut().find(|pull| pull.number.to_string() == number)
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let path = request.target.split('?').next().unwrap_or_default();
        if let Some(at) = self.faults.iter().position(|fault| path.ends_with(fault.path))
            && let Some(Fault { status, headers, body, .. }) = self.faults.remove(at)
        {
            return Answer { status, headers, body };
        }
        let token = match self.kind {
            Kind::GitHub | Kind::GitLab => format!("Bearer {TOKEN}"),
            Kind::Forgejo => format!("token {TOKEN}"),
        };
        let header = |name: &str| {
            request.headers.iter().find(|(key, _)| key == name).map(|it| it.1.as_str())
        };
        if header("authorization") != Some(&token) {
            return Answer::json(401, &json!({"message": "Bad credentials"}));
        }
        match self.check_and_run(request, &header) {
            Ok((status, value)) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let etag = format!(
                    "\"{:x}\"",
                    text.bytes().fold(7_u64, |a, b| { a.wrapping_mul(31).wrapping_add(b.into()) })
                );
                if request.method == "GET" && header("if-none-match") == Some(&etag) {
                    return Answer { status: 304, headers: String::new(), body: String::new() };
                }
                Answer { status, headers: format!("etag: {etag}\r\n"), body: text }
            }
            Err(why) => {
                let said = format!("{} {}: {why} {}", request.method, request.target, request.body);
                self.broken.push(said);
                Answer::json(400, &json!({"message": why}))
            }
        }
    }

    fn check_and_run<'a>(
        &mut self,
        request: &Request,
        header: &dyn Fn(&str) -> Option<&'a str>,
    ) -> Result<(u16, Value), String> {
        if !header("user-agent").is_some_and(|it| it.starts_with("git-agent/")) {
            return Err("no user agent".to_owned());
        }
        let accept = match self.kind {
            Kind::GitHub => "application/vnd.github+json",
            Kind::GitLab | Kind::Forgejo => "application/json",
        };
        if header("accept") != Some(accept) {
            return Err("accept".to_owned());
        }
        if self.kind == Kind::GitHub && header("x-github-api-version") != Some("2022-11-28") {
            return Err("no version".to_owned());
        }
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let endpoints = match self.kind {
            Kind::GitHub => github::ENDPOINTS,
            Kind::GitLab => gitlab::ENDPOINTS,
            Kind::Forgejo => forgejo::ENDPOINTS,
        };
        let (endpoint, parts) = endpoints
            .iter()
            .filter(|it| it.method == request.method)
            .find_map(|it| Some((it, matched(it.path, path)?)))
            .ok_or("no such path")?;
        let query: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (decoded(key), decoded(value)))
            .collect();
        if let Some((key, _)) = query.iter().find(|(key, _)| !endpoint.query.contains(&&**key)) {
            return Err(format!("query {key}"));
        }
        let body = match request.body.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).map_err(|error| error.to_string())?,
        };
        let fields = body.as_object().cloned().unwrap_or_default();
        if !fields.is_empty() && header("content-type") != Some("application/json") {
            return Err("content type".to_owned());
        }
        if let Some(missing) = endpoint.required.iter().find(|it| !fields.contains_key(**it)) {
            return Err(format!("missing {missing}"));
        }
        let known =
            |key: &str| endpoint.required.contains(&key) || endpoint.optional.contains(&key);
        if let Some(unknown) = fields.keys().find(|key| !known(key)) {
            return Err(format!("unknown field {unknown}"));
        }
        Ok((endpoint.run)(self, &parts, &body, &query))
    }
}

impl Pull {
    fn is_open_for(&self, branch: &str) -> bool {
        self.state == "open" && self.branch == branch
    }
}

impl Answer {
    fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: String::new(), body: body.to_string() }
    }
}

/// The parts of a path that stand for `*`, if it is of this shape.
fn matched(shape: &str, path: &str) -> Option<Vec<String>> {
    let (shape, path) = (shape.split('/'), path.split('/').collect::<Vec<_>>());
    let shape: Vec<_> = shape.collect();
    let mut parts = Vec::new();
    if shape.len() != path.len() {
        return None;
    }
    for (wanted, part) in shape.iter().zip(path) {
        match *wanted {
            "*" => parts.push(decoded(part)),
            wanted if wanted == part => {}
            _ => return None,
        }
    }
    Some(parts)
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let hex = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                let hex = String::from_utf8_lossy(&hex).into_owned();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap_or(b'?'));
            }
            b'+' => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn serve(mut stream: TcpStream, world: &Mutex<World>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(()) };
    let (mut headers, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        let name = name.to_ascii_lowercase();
        if name == "content-length" {
            length = value.parse().unwrap_or(0);
        }
        headers.push((name, value.to_owned()));
    }
    let mut body = String::new();
    (&mut reader).take(length).read_to_string(&mut body)?;
    let request = Request { method, target, headers, body };
    let Answer { status, headers, body } = {
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = world.answer(&request);
        world.requests.push(request);
        answer
    };
    let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{headers}");
    // Writing to a string does not fail.
    let _ =
        write!(head, "content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}
