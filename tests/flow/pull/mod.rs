//! Pull requests, at each kind of forge.
//!
//! | file | what |
//! |---|---|
//! | `open.rs` | opened, and brought up to date |
//! | `stack.rs` | on top of each other |
//! | `resolve.rs` | conflicts given back to the session |
//! | `watch.rs` | `--watch`, `--babysit`, `--comments` |
//! | `refuse.rs` | what keeps work from one |
//! | `remote.rs` | by ssh, from a fork, at a host that nobody knows |
//! | `description.rs` | all that is asked of GitHub, by its own description |
//!
//! Invariant: the remote is real and the forge strict; what a forge keeps is compared whole.

mod description;
mod open;
mod refuse;
mod remote;
mod resolve;
mod stack;
mod watch;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::commands::{ran, transcript};
use crate::support::cmd::{Cmd, Out};
use crate::support::forge::{Fault, Forge, Kind, TOKEN};
use crate::support::remote::Http;
use crate::support::repo::Repo;

const PATIENCE: Duration = Duration::from_secs(60);

/// A repository whose `origin` is `ada/shop` at a forge.
pub(super) struct Bench {
    pub(super) repo: Repo,
    pub(super) forge: Forge,
    remote: PathBuf,
    _http: Http,
}

impl Bench {
    pub(super) fn new(kind: Kind) -> Self {
        Self::of(kind, Repo::new())
    }

    /// With this repository, of which there may be others in the same home.
    pub(super) fn of(kind: Kind, repo: Repo) -> Self {
        let root = repo.home().root().join(format!("srv-{}", kind.name()));
        let remote = root.join("ada/shop.git");
        fs::create_dir_all(&remote).expect("a new folder");
        let path = remote.to_str().expect("a path of ours");
        repo.git(&["init", "-q", "--bare", path]);
        repo.git(&["--git-dir", path, "config", "http.receivepack", "true"]);
        repo.git(&["push", "-q", path, "main"]);
        let http = Http::serve(&root);
        repo.git(&["remote", "add", "origin", &http.url("ada/shop.git")]);
        repo.git(&["fetch", "-q", "origin"]);
        let forge = Forge::serve(kind, &remote);
        repo.git(&["config", "agent.forge.127.0.0.1.type", kind.name()]);
        repo.git(&["config", "agent.forge.127.0.0.1.api", &forge.url()]);
        Self { repo, forge, remote, _http: http }
    }

    /// A session that wrote a file and passed `true`.
    pub(super) fn session(&self, task: &str) -> String {
        let write = json!(["write", {"path": "new.txt", "content": "new\n"}]);
        let model = transcript(&self.repo, task, &[write, json!("All is done, @bob.")]);
        ran(&self.repo, task, &model, &["--verify", "true"])
    }

    /// A session whose commands did this, and that passed `true`.
    fn session_of(&self, task: &str, command: &str, more: &[&str]) -> String {
        let bash = json!(["bash", {"command": command}]);
        let model = transcript(&self.repo, task, &[bash, json!("All is done.")]);
        ran(&self.repo, task, &model, &[&["--verify", "true"], more].concat())
    }

    pub(super) fn cmd(&self, args: &[&str]) -> Cmd {
        let cmd = self.repo.cmd(args);
        cmd.env(self.forge.world().kind.variable(), TOKEN)
    }

    /// What was said, without what differs from run to run.
    fn said(&self, cmd: Cmd) -> Out {
        let out = self.repo.normal(&cmd.run());
        let clean = |text: &str| text.replace(&self.forge.url(), "FORGE");
        let clean = |text: &str| clean(text).replace("http://127.0.0.1:[port]", "FORGE");
        Out { stdout: clean(&out.stdout), stderr: clean(&out.stderr), code: out.code }
    }

    /// git in the bare repository.
    pub(super) fn there(&self, args: &[&str]) -> String {
        let remote = self.remote.to_str().expect("a path of ours");
        self.repo.git(&[&["--git-dir", remote], args].concat())
    }

    /// Asserts that it is refused in these words, and that the remote is as it was.
    #[track_caller]
    fn refused(&self, cmd: Cmd, code: i32, stderr: &str) {
        let refs = || self.there(&["for-each-ref"]);
        let before = refs();
        let wanted = Out { stdout: String::new(), stderr: stderr.to_owned(), code };
        assert_eq!(self.said(cmd), wanted);
        assert_eq!(refs(), before);
    }

    /// The next request whose path ends so is answered with this.
    fn fault(&self, path: &'static str, status: u16, headers: &str, body: &str) {
        let (headers, body) = (headers.to_owned(), body.to_owned());
        self.forge.world().faults.push_back(Fault { path, status, headers, body });
    }

    /// The page of the first pull request.
    pub(super) fn page(&self) -> String {
        self.page_of(1)
    }

    fn page_of(&self, number: u64) -> String {
        let folder = match self.forge.world().kind {
            Kind::GitHub => "pull",
            Kind::GitLab => "-/merge_requests",
            Kind::Forgejo => "pulls",
        };
        format!("FORGE/ada/shop/{folder}/{number}")
    }
}

/// What follows `Opened` and `Updated`.
const SUM: &str = "(agent-pr/add-one-[id] into main, squash of 1 commit, 1 file +1 -0)";
