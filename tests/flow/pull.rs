//! Pull requests: opened, brought up to date, and refused, at each kind of forge.
//!
//! Invariant: the remote is real and the forge strict; what a forge keeps is compared whole.

use std::path::PathBuf;

use serde_json::json;

use crate::commands::{ran, transcript};
use crate::support::cmd::{Cmd, Out};
use crate::support::forge::{Forge, Kind, Pull, TOKEN};
use crate::support::remote::Http;
use crate::support::repo::Repo;

/// A repository whose `origin` is `ada/shop` at a forge.
pub(super) struct Bench {
    pub(super) repo: Repo,
    pub(super) forge: Forge,
    pub(super) remote: PathBuf,
    _http: Http,
}

impl Bench {
    pub(super) fn new(kind: Kind) -> Self {
        let repo = Repo::new();
        let root = repo.home().root().join("srv");
        let remote = root.join("ada/shop.git");
        std::fs::create_dir_all(&remote).expect("a new folder");
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

    pub(super) fn cmd(&self, args: &[&str]) -> Cmd {
        let cmd = self.repo.cmd(args);
        cmd.env(self.forge.world().kind.variable(), TOKEN)
    }

    /// What was said, without what differs from run to run.
    pub(super) fn said(&self, cmd: Cmd) -> Out {
        let out = self.repo.normal(&cmd.run());
        let clean = |text: &str| text.replace(&self.forge.url(), "FORGE");
        let clean = |text: &str| clean(text).replace("http://127.0.0.1:[port]", "FORGE");
        Out { stdout: clean(&out.stdout), stderr: clean(&out.stderr), code: out.code }
    }
}

#[test]
fn one_is_opened_and_brought_up_to_date_at_each_kind_of_forge() {
    for kind in Kind::ALL {
        let bench = Bench::new(kind);
        let id = bench.session("Add one");
        let out = bench.said(bench.cmd(&["pr", "add-one", "--draft", "--reviewer", "bob"]));
        let page = match kind {
            Kind::GitHub => "pull",
            Kind::GitLab => "-/merge_requests",
            Kind::Forgejo => "pulls",
        };
        let wanted = format!(
            "Opened FORGE/ada/shop/{page}/1  (agent/add-one-[id] into main, squash of 1 commit, \
             1 file +1 -0)\n"
        );
        assert_eq!(out, Out::ok(&wanted), "{kind:?}");
        let branch = format!("agent/{id}");
        let pull = bench.forge.world().pulls[0].clone();
        let draft = ["", "Draft: ", "WIP: "][kind as usize];
        let reviewer = if kind == Kind::GitLab { "user 7" } else { "bob" };
        let whole = Pull {
            number: 1,
            title: format!("{draft}Add one"),
            body: pull.body.clone(),
            branch: branch.clone(),
            into: "main".to_owned(),
            draft: true,
            state: "open".to_owned(),
            reviewers: vec![reviewer.to_owned()],
        };
        assert_eq!(pull, whole);
        let tip = bench.forge.world().tip(&branch).expect("it was pushed");
        let log = bench.repo.git(&[
            "--git-dir",
            bench.remote.to_str().unwrap(),
            "log",
            "--format=%s",
            &tip,
        ]);
        assert_eq!(log, "Add one\nAdd the library\nBegin");
    }
}
