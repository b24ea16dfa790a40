//! Forges that refuse what the real ones refuse: GitHub, GitLab and Forgejo, with the branches of a
//! real bare repository behind them.
//!
//! Invariant: a request that the published interface does not take, and an answer that it does not
//! give, are remembered; a forge that is dropped with such a one fails the test.

pub mod description;
mod forgejo;
mod github;
mod gitlab;
pub mod prism;

use std::collections::VecDeque;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use self::description::{Description, decoded};
use super::server::http;

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
    /// The numbers of those that are from a stranger's fork.
    pub foreign: Vec<u64>,
    /// Whether GitLab's checks are of the commit that a merge would give.
    pub of_merges: bool,
    pub comments: Vec<Comment>,
    pub requests: Vec<Request>,
    pub faults: VecDeque<Fault>,
    ci: Option<Ci>,
    broken: Vec<String>,
    base: String,
    /// The host that logs are kept on.
    store: String,
}

/// A forge on a free port of 127.0.0.1, and the host of its logs on another.
pub struct Forge {
    world: Arc<Mutex<World>>,
    over: Arc<AtomicBool>,
    servers: Vec<(u16, JoinHandle<()>)>,
}

/// What is answered.
struct Answer {
    status: u16,
    headers: String,
    body: String,
}

/// From the parts of the path below the project, the body and the query to status and answer; of a
/// redirect the answer is where to.
type Run = fn(&mut World, &[String], &Value, &[(String, String)]) -> (u16, Value);

/// One thing that is played: its method, its path as it is described, and what it does.
type Endpoint = (&'static str, &'static str, Run);

impl Forge {
    /// Plays this one over a bare repository.
    pub fn serve(kind: Kind, remote: &Path) -> Self {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let ports = listeners.each_ref().map(|it| it.local_addr().expect("it is bound").port());
        let [base, store] = ports.map(|port| format!("http://127.0.0.1:{port}"));
        let world = World {
            kind,
            remote: remote.to_owned(),
            pulls: Vec::new(),
            foreign: Vec::new(),
            of_merges: false,
            comments: Vec::new(),
            requests: Vec::new(),
            faults: VecDeque::new(),
            ci: None,
            broken: Vec::new(),
            base,
            store,
        };
        let world = Arc::new(Mutex::new(world));
        let over = Arc::new(AtomicBool::new(false));
        let answers: [fn(&mut World, &Request) -> Answer; 2] = [World::answer, World::stored];
        let servers = listeners.into_iter().zip(answers).map(|(listener, answer)| {
            let (served, is_over) = (Arc::clone(&world), Arc::clone(&over));
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    // A client that went away has what it wanted.
                    let _ = stream.and_then(|stream| serve(&stream, &served, answer));
                }
            })
        });
        let servers = ports.into_iter().zip(servers).collect();
        Self { world, over, servers }
    }

    /// The address of its interface.
    pub fn url(&self) -> String {
        self.world().base.clone()
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
        for (port, server) in self.servers.drain(..) {
            // Wakes the server, which looks whether it is over.
            drop(TcpStream::connect(("127.0.0.1", port)));
            drop(server.join());
        }
        if !std::thread::panicking() {
            assert_eq!(self.world().broken, [""; 0], "what no forge would take or answer");
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
        let is_it = |it: &&Pull| {
            it.state == "open" && it.branch == pull.branch && !self.foreign.contains(&it.number)
        };
        if let Some(there) = self.pulls.iter().find(is_it) {
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

    /// Changes what these fields say: the title, the description, the branch it is for.
    fn change(&mut self, number: &str, body: &Value, keys: [&str; 3]) {
        let Some(pull) = self.pull(number) else { return };
        let fields = [&mut pull.title, &mut pull.body, &mut pull.into];
        for (field, key) in fields.into_iter().zip(keys) {
            if let Some(value) = body[key].as_str() {
                value.clone_into(field);
            }
        }
    }

    /// Asks these to look at it.
    fn ask(&mut self, number: &str, names: impl Iterator<Item = String>) {
        if let Some(pull) = self.pull(number) {
            pull.reviewers.extend(names);
        }
    }

    /// People and teams, as two forges are told of them.
    fn ask_both(&mut self, number: &str, body: &Value) {
        let names = [&body["reviewers"], &body["team_reviewers"]];
        let names = names.into_iter().filter_map(Value::as_array).flatten();
        self.ask(number, names.filter_map(Value::as_str).map(str::to_owned));
    }

    /// Merges it, if this is what it is at: that commit.
    fn merge(&mut self, number: &str, commit: &Value) -> Option<String> {
        let branch = self.pull(number)?.branch.clone();
        let tip = self.tip(&branch).filter(|tip| commit == tip)?;
        "merged".clone_into(&mut self.pull(number)?.state);
        Some(tip)
    }

    /// The log of a check of the last one, from 1.
    fn log(&self, at: &str) -> Option<String> {
        let at = at.parse::<usize>().ok()?.checked_sub(1)?;
        let commit = self.pulls.last().and_then(|pull| self.tip(&pull.branch))?;
        self.checks(&commit).get(at).map(|check| check.log.clone())
    }

    /// The project that its branch is in.
    fn home(&self, pull: &Pull) -> &'static str {
        if self.foreign.contains(&pull.number) { "eve/shop" } else { "ada/shop" }
    }

    /// The comments that are on a line, or those that are not, with their numbers from 1.
    fn said(&self, on_line: bool) -> impl Iterator<Item = (usize, &Comment)> {
        let all = self.comments.iter().enumerate().map(|(at, comment)| (at + 1, comment));
        all.filter(move |(_, comment)| comment.path.is_empty() != on_line)
    }

    fn answer(&mut self, request: &Request) -> Answer {
        self.requests.push(request.clone());
        self.answer_to(request)
    }

    /// The host of the logs: who comes there with a token has told it to strangers.
    fn stored(&mut self, request: &Request) -> Answer {
        if request.header("authorization").is_some() {
            self.broken.push(format!("the token went to {}", self.store));
        }
        let log = self.log(request.target.trim_start_matches('/'));
        Answer { status: 200, headers: String::new(), body: log.unwrap_or_default() }
    }

    fn answer_to(&mut self, request: &Request) -> Answer {
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
        if request.header("authorization") != Some(&token) {
            return Answer::json(401, &json!({"message": "Bad credentials"}));
        }
        match self.check_and_run(request) {
            Ok((status @ 300..400, to)) => {
                let headers = format!("location: {}\r\n", to.as_str().unwrap_or_default());
                Answer { status, headers, body: String::new() }
            }
            Ok((status, value)) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let etag = format!(
                    "\"{:x}\"",
                    text.bytes().fold(7_u64, |a, b| { a.wrapping_mul(31).wrapping_add(b.into()) })
                );
                if request.method == "GET" && request.header("if-none-match") == Some(&etag) {
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

    fn check_and_run(&mut self, request: &Request) -> Result<(u16, Value), String> {
        let header = |name: &str| request.header(name);
        if !header("user-agent").is_some_and(|it| it.starts_with("git-agent/")) {
            return Err("no user agent".to_owned());
        }
        let accept = match self.kind {
            Kind::GitHub => "application/vnd.github+json",
            Kind::GitLab | Kind::Forgejo => "application/json, text/plain",
        };
        if header("accept") != Some(accept) {
            return Err("accept".to_owned());
        }
        if self.kind == Kind::GitHub && header("x-github-api-version") != Some("2022-11-28") {
            return Err("no version".to_owned());
        }
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let (endpoints, project) = match self.kind {
            Kind::GitHub => (github::ENDPOINTS, &["ada", "shop"][..]),
            Kind::GitLab => (gitlab::ENDPOINTS, &["ada/shop"][..]),
            Kind::Forgejo => (forgejo::ENDPOINTS, &["ada", "shop"][..]),
        };
        let operation = Description::of(self.kind).operation(&request.method, path)?;
        let (_, _, run) = endpoints
            .iter()
            .find(|(method, path, _)| *method == request.method && *path == operation.path)
            .ok_or("it is not played")?;
        let (whose, parts) = operation.parts.split_at(project.len().min(operation.parts.len()));
        if !whose.is_empty() && whose != project {
            return Err("it is another project".to_owned());
        }
        let query: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (decoded(key), decoded(value)))
            .collect();
        let body = match request.body.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).map_err(|error| error.to_string())?,
        };
        if !body.is_null() && header("content-type") != Some("application/json") {
            return Err("content type".to_owned());
        }
        operation.takes(&query, &body)?;
        let (status, answer) = run(self, parts, &body, &query);
        operation.answers(status, &answer).map_err(|why| format!("answered: {why}"))?;
        Ok((status, answer))
    }
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|it| it.1.as_str())
    }
}

impl Answer {
    fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: String::new(), body: body.to_string() }
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn serve(
    stream: &TcpStream,
    world: &Mutex<World>,
    answer: fn(&mut World, &Request) -> Answer,
) -> std::io::Result<()> {
    let Some(request) = http::Reader::new(stream).request()? else { return Ok(()) };
    let http::Request { method, path: target, headers, body, .. } = request;
    let body = String::from_utf8_lossy(&body).into_owned();
    let request = Request { method, target, headers, body };
    let Answer { status, headers, body } = {
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        answer(&mut world, &request)
    };
    let headers = format!("connection: close\r\n{headers}");
    let mut stream = stream;
    stream.write_all(&http::plain(status, &headers, "application/json", &body))
}
