//! Pull requests by way of other remotes than one that is named: by ssh, from a fork, and at a host
//! that nobody has named.
//!
//! Invariant: a token goes nowhere but where it is for.

use serde_json::{Value, json};

use super::{Bench, SUM};
use crate::support::cmd::Out;
use crate::support::forge::{Kind, Request};
use crate::support::remote::{Http, Ssh};

#[test]
fn the_branch_is_pushed_by_ssh() {
    let bench = Bench::new(Kind::GitHub);
    let Some(ssh) = Ssh::start(bench.repo.home()) else { return };
    let id = bench.session("Add one");
    bench.repo.git(&["remote", "set-url", "origin", &Ssh::url(&bench.remote)]);
    let pr = || bench.cmd(&["pr", "add-one"]).env("GIT_SSH_COMMAND", ssh.command());
    assert_eq!(bench.said(pr()), Out::ok(&format!("Opened {}  {SUM}\n", bench.page())));
    let log = bench.there(&["log", "--format=%s", &format!("agent-pr/{id}")]);
    assert_eq!(log, "Add one\nAdd the library\nBegin");
    // And again, from where it was.
    bench.repo.write("other.txt", "meanwhile\n");
    bench.repo.commit("Meanwhile");
    bench.there(&["fetch", "-q", bench.repo.main().to_str().unwrap(), "main:main"]);
    assert_eq!(bench.said(pr()), Out::ok(&format!("Updated {}  {SUM}\n", bench.page())));
    // Without the key nothing is done.
    let said = "error: git cannot reach origin: Could not read from remote repository.\n\
                hint: git ls-remote origin\n";
    let closed = bench.cmd(&["pr", "add-one"]).env("GIT_SSH_COMMAND", "false");
    bench.refused(closed, 1, said);
}

#[test]
fn from_a_fork_its_branch_is_named_with_its_owner() {
    for kind in Kind::ALL {
        let bench = Bench::new(kind);
        let id = bench.session("Add one");
        let fork = bench.remote.with_file_name("../eve/shop.git");
        let path = fork.to_str().expect("a path of ours");
        bench.repo.git(&["clone", "-q", "--bare", bench.remote.to_str().unwrap(), path]);
        bench.repo.git(&["--git-dir", path, "config", "http.receivepack", "true"]);
        let origin = bench.repo.git(&["remote", "get-url", "origin"]);
        bench.repo.git(&["remote", "add", "mine", &origin.replace("/ada/", "/eve/")]);
        bench.repo.git(&["config", "remote.pushDefault", "mine"]);
        let listing = if kind == Kind::GitLab { "/merge_requests" } else { "/pulls" };
        bench.fault(listing, 200, "", "[]");
        bench.fault("/projects/ada%2Fshop", 200, "", "{\"id\": 7}");
        bench.fault(listing, 201, "", &opened(kind));
        let out = bench.said(bench.cmd(&["pr", "add-one"]));
        let stdout = format!("Opened https://forge.example/1  {SUM}\n");
        assert_eq!(out, Out::ok(&stdout), "{kind:?}");
        let branch = format!("agent-pr/{id}");
        let there = bench.repo.git(&["--git-dir", path, "log", "--format=%s", &branch]);
        assert_eq!(there, "Add one\nAdd the library\nBegin");
        assert_eq!(bench.there(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
        let requests = bench.forge.world().requests.clone();
        let create = requests.iter().find(|it| it.method == "POST").expect("one is opened");
        let Request { target, body, .. } = create;
        let body: Value = serde_json::from_str(body).expect("it is JSON");
        let (wanted, told) = match kind {
            Kind::GitHub => {
                let head = json!([format!("eve:{branch}"), "shop", "main"]);
                (
                    ("/repos/ada/shop/pulls", head),
                    [&body["head"], &body["head_repo"], &body["base"]],
                )
            }
            Kind::GitLab => {
                let head = json!([branch, 7, "main"]);
                let keys = ["source_branch", "target_project_id", "target_branch"];
                (("/projects/eve%2Fshop/merge_requests", head), keys.map(|key| &body[key]))
            }
            Kind::Forgejo => {
                let head = json!([format!("eve/shop:{branch}"), null, "main"]);
                (("/repos/ada/shop/pulls", head), [&body["head"], &Value::Null, &body["base"]])
            }
        };
        assert_eq!((target.as_str(), json!(told)), wanted, "{kind:?}");
        // What others are to stand on must be in the project itself.
        bench.session_of("Add two", "echo two >two.txt", &["--base", "agent/add-one"]);
        let said = "error: a stack needs its branches at origin, and pushes go to mine\n\
                    hint: git config remote.pushDefault origin, if you may push there\n\
                    hint: Without --stack it is opened by itself\n";
        bench.refused(bench.cmd(&["pr", "add-two", "--stack"]), 1, said);
    }
}

/// What a forge answers where it has opened one.
fn opened(kind: Kind) -> String {
    let oid = "1".repeat(40);
    let all = match kind {
        Kind::GitLab => json!({
            "iid": 1, "web_url": "https://forge.example/1", "title": "Add one", "description": "",
            "target_branch": "main", "sha": oid, "state": "opened",
        }),
        Kind::GitHub | Kind::Forgejo => json!({
            "number": 1, "html_url": "https://forge.example/1", "title": "Add one", "body": "",
            "base": {"ref": "main"}, "head": {"ref": "x", "sha": oid}, "state": "open",
        }),
    };
    all.to_string()
}

#[test]
fn a_host_that_nobody_has_named_is_asked_what_it_is() {
    const FORGEJO: &[(&str, &str)] =
        &[("/api/v1/version", "200 OK\r\n\r\n{\"version\": \"13.0.1\"}")];
    const GITLAB: &[(&str, &str)] =
        &[("/api/v4/version", "401 X\r\n\r\n{\"message\": \"401 Unauthorized\"}")];
    const GITHUB: &[(&str, &str)] =
        &[("/api/v3/meta", "401 X\r\nX-GitHub-Request-Id: 1\r\n\r\n{}")];
    let gitlab = "/-/merge_requests/new?merge_request%5Bsource_branch%5D=agent-pr%2Fadd-one-[id]&\
                  merge_request%5Btarget_branch%5D=main";
    for (pages, page) in [
        (FORGEJO, "/compare/main...agent-pr/add-one-[id]"),
        (GITLAB, gitlab),
        (GITHUB, "/compare/main...agent-pr/add-one-[id]?expand=1"),
        (&[], ""),
    ] {
        let bench = Bench::new(Kind::Forgejo);
        bench.session("Add one");
        bench.repo.git(&["config", "--remove-section", "agent.forge.127.0.0.1"]);
        let root = bench.remote.ancestors().nth(2).expect("it is two folders down");
        let http = Http::serve_with(root, pages);
        bench.repo.git(&["remote", "set-url", "origin", &http.url("ada/shop.git")]);
        // A vendor's variable is not for whoever says that it is one.
        let cmd = bench.cmd(&["pr", "add-one"]).env("GITLAB_TOKEN", "t0ken-of-ada");
        let out = bench.said(cmd.env("GH_TOKEN", "t0ken-of-ada"));
        let pushed = "Pushed agent-pr/add-one-[id] to origin as [oid] (squash of 1 commit, \
                      1 file +1 -0)";
        let (stdout, why) = match page {
            "" => (
                format!("{pushed}\n"),
                "127.0.0.1 is no forge that is known here\n\
                 hint: git config agent.forge.<host>.type github|gitlab|forgejo names it\n",
            ),
            page => (
                format!("{pushed}; open it at\nFORGE/ada/shop{page}\n"),
                "no token for 127.0.0.1; looked for git credential for 127.0.0.1\n\
                 hint: git credential approve keeps one for 127.0.0.1; then try again\n",
            ),
        };
        // Whoever is logged in with a vendor's program has one more place.
        let stderr =
            out.stderr.replace(", gh auth token", "").replace(", glab config get token", "");
        let mail = "hint: git format-patch -o . [oid]^! makes a mail of it\n";
        let wanted = Out { stdout, stderr: format!("warning: {why}{mail}"), code: 3 };
        assert_eq!(Out { stderr, ..out }, wanted);
    }
}
