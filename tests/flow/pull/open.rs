//! One that is opened, and brought up to date.
//!
//! Invariant: what the forge keeps is compared whole.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Bench, PATIENCE, SUM};
use crate::commands::transcript;
use crate::support::cmd::Out;
use crate::support::forge::{Kind, Pull, TOKEN};

fn is_opened_and_brought_up_to_date(kind: Kind) {
    let bench = Bench::new(kind);
    let id = bench.session("Add one");
    let args = ["pr", "add-one", "--draft", "--reviewer", "bob"];
    let page = bench.page();
    assert_eq!(bench.said(bench.cmd(&args)), Out::ok(&format!("Opened {page}  {SUM}\n")));
    let branch = format!("agent-pr/{id}");
    let pull = bench.forge.world().pulls[0].clone();
    let (draft, reviewer) = match kind {
        Kind::GitHub => ("", "bob"),
        Kind::GitLab => ("Draft: ", "user 7"),
        Kind::Forgejo => ("WIP: ", "bob"),
    };
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
    let tree = bench.there(&["rev-parse", &format!("{branch}^{{tree}}")]);
    let body = format!(
        "<!-- git-agent: what is between these lines is written anew at each update -->\n\n\
         ### Task\n\n> Add one\n\n### Summary\n\nAll is done, @\u{200b}bob.\n\n\
         ### Verified\n\n`true` exited with 0 on this very tree, `{}`.\n\n\
         ### Session\n\n`{id}` by git-agent with replay/Add one, 2 steps, ? (200 tokens in, 20 out).\n\
         All of it, word for word, is in the ref `refs/agent/{id}` of whoever opened this: after \
         `git push origin refs/agent/{id}` anybody may `git fetch origin refs/agent/{id}`.\n\n\
         <!-- git-agent: end -->",
        &tree[..7]
    );
    assert_eq!(pull.body, body);
    let log = bench.there(&["log", "--format=%s", &branch]);
    assert_eq!(log, "Add one\nAdd the library\nBegin");
    // A person finds it again.
    let status = bench.repo.wait_state("add-one", "done", PATIENCE);
    let mark = if kind == Kind::GitLab { "!1 open" } else { "#1 open" };
    let url = page.replace("FORGE", &bench.forge.url());
    let known = json!({"number": 1, "url": url, "state": "open", "branch": branch});
    assert_eq!(status["pull_request"], known);
    assert!(bench.repo.agent(&["list"]).stdout.contains(mark));
    assert!(bench.repo.agent(&["log", "add-one"]).stdout.contains(&format!("{mark} {url}")));
    let record = format!("refs/agent/{id}:state.toml");
    assert!(bench.repo.git(&["cat-file", "blob", &record]).contains("[pull_request]"));
    // What a person wrote around our part stays; the title is theirs too. The base has moved.
    bench.forge.world().pulls[0].body = format!("Closes #3\n\n{body}");
    bench.forge.world().pulls[0].title = "Mine".to_owned();
    bench.repo.write("other.txt", "meanwhile\n");
    bench.repo.commit("Meanwhile");
    bench.repo.git(&["push", "-q", "origin", "main"]);
    let out = bench.said(bench.cmd(&["pr", "add-one", "--record"]));
    assert_eq!(out, Out::ok(&format!("Updated {page}  {SUM}\n")));
    let log = bench.there(&["log", "--format=%s", &branch]);
    assert_eq!(log, "Add one\nMeanwhile\nAdd the library\nBegin");
    let pull = bench.forge.world().pulls[0].clone();
    let address = bench.repo.git(&["remote", "get-url", "origin"]);
    let fetch = format!("git fetch {address} refs/agent/{id}:refs/agent/{id}");
    assert!(pull.body.starts_with("Closes #3\n\n<!--") && pull.body.contains(&fetch), "{pull:?}");
    assert_eq!(pull.title, "Mine");
    assert!(!bench.there(&["rev-parse", &format!("refs/agent/{id}")]).is_empty());
    // Nothing new is nothing to push.
    let out = bench.said(bench.cmd(&["pr", "add-one", "--json"]));
    let said: Value = serde_json::from_str(&out.stdout).expect("it is JSON");
    assert_eq!(
        (said["format"].clone(), said["pull"]["outcome"].clone()),
        (json!(1), json!("updated"))
    );
}

#[test]
fn at_github_one_is_opened_and_brought_up_to_date() {
    is_opened_and_brought_up_to_date(Kind::GitHub);
}

#[test]
fn at_gitlab_one_is_opened_and_brought_up_to_date() {
    is_opened_and_brought_up_to_date(Kind::GitLab);
}

#[test]
fn at_forgejo_one_is_opened_and_brought_up_to_date() {
    is_opened_and_brought_up_to_date(Kind::Forgejo);
}

#[test]
fn one_is_opened_when_the_session_is_done() {
    let bench = Bench::new(Kind::GitHub);
    let write = json!(["write", {"path": "new.txt", "content": "new\n"}]);
    let model = transcript(&bench.repo, "quick", &[write, json!("All is done.")]);
    bench.cmd(&["start", "Add one", "--model", &model, "--pr"]).run().success();
    let until = Instant::now() + PATIENCE;
    loop {
        let status = bench.repo.wait_state("add-one", "done", PATIENCE);
        if status["pull_request"]["state"] == "open" {
            break;
        }
        assert!(Instant::now() < until, "{status}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(bench.forge.world().pulls.len(), 1);
}

#[test]
fn without_a_token_the_branch_is_pushed_and_a_person_goes_on() {
    let bench = Bench::new(Kind::Forgejo);
    let id = bench.session("Add one");
    let out = bench.said(bench.repo.cmd(&["pr", "add-one"]));
    let tip = bench.there(&["rev-parse", &format!("agent-pr/{id}")]);
    let short = &tip[..7];
    let stdout = format!(
        "Pushed agent-pr/add-one-[id] to origin as {short} (squash of 1 commit, 1 file +1 -0); \
         open it at\nFORGE/ada/shop/compare/main...agent-pr/add-one-[id]\n"
    );
    let stderr = format!(
        "warning: no token for 127.0.0.1; looked for FORGEJO_TOKEN, GITEA_TOKEN, git credential \
         for 127.0.0.1\n\
         hint: git credential approve keeps one for 127.0.0.1; then try again\n\
         hint: git format-patch -o . {short}^! makes a mail of it\n"
    );
    let normal = |text: &str| text.replace(short, "[oid]");
    let out = Out { stdout: normal(&out.stdout), stderr: normal(&out.stderr), ..out };
    let wanted = Out { stdout: normal(&stdout), stderr: normal(&stderr), code: 3 };
    assert_eq!(out, wanted);
    // With one from git's own helpers it goes on from there.
    let helper = format!("!f() {{ echo username=ada; echo password={TOKEN}; }}; f");
    bench.repo.git(&["config", "credential.helper", &helper]);
    let out = bench.said(bench.repo.cmd(&["pr", "add-one"]));
    let said = format!("Opened {}  {SUM}\n", bench.page());
    assert_eq!((out.stdout, out.code), (said, 0));
}

#[test]
fn at_no_forge_that_is_known_the_branch_is_pushed() {
    let bench = Bench::new(Kind::GitHub);
    bench.session("Add one");
    bench.repo.git(&["remote", "set-url", "origin", bench.remote.to_str().unwrap()]);
    let out = bench.said(bench.cmd(&["pr", "add-one"]));
    let stdout = "Pushed agent-pr/add-one-[id] to origin as [oid] (squash of 1 commit, \
                  1 file +1 -0)\n";
    let stderr = "warning: the remote origin is at no forge: [ROOT]/srv-github/ada/shop.git\n\
                  hint: git config agent.forge.<host>.type github|gitlab|forgejo names it\n\
                  hint: git format-patch -o . [oid]^! makes a mail of it\n";
    assert_eq!(out, Out { stdout: stdout.to_owned(), stderr: stderr.to_owned(), code: 3 });
    assert_eq!(bench.there(&["for-each-ref", "refs/heads"]).lines().count(), 2);
}

#[test]
fn one_that_is_there_already_is_updated() {
    for kind in Kind::ALL {
        let bench = Bench::new(kind);
        let id = bench.session("Add one");
        let pull = Pull {
            number: 1,
            title: "By hand".to_owned(),
            branch: format!("agent-pr/{id}"),
            into: "main".to_owned(),
            state: "open".to_owned(),
            ..Pull::default()
        };
        bench.forge.world().pulls = vec![pull.clone()];
        // It is not in the listing yet, and the forge refuses a second one.
        let listing = if kind == Kind::GitLab { "/merge_requests" } else { "/pulls" };
        bench.fault(listing, 200, "", "[]");
        let out = bench.said(bench.cmd(&["pr", "add-one"]));
        assert_eq!(out, Out::ok(&format!("Updated {}  {SUM}\n", bench.page())), "{kind:?}");
        assert_eq!(bench.forge.world().pulls, [pull]);
    }
}

#[test]
fn one_from_a_strangers_fork_is_left_alone_though_its_branch_is_called_as_ours() {
    for kind in Kind::ALL {
        let bench = Bench::new(kind);
        let id = bench.session("Add one");
        let strange = Pull {
            number: 1,
            title: "Mine".to_owned(),
            branch: format!("agent-pr/{id}"),
            into: "main".to_owned(),
            state: "open".to_owned(),
            ..Pull::default()
        };
        bench.forge.world().pulls = vec![strange.clone()];
        bench.forge.world().foreign = vec![1];
        // The forge may know itself by another address than ours.
        let listing = if kind == Kind::GitLab { "/merge_requests" } else { "/pulls" };
        let next = "link: <http://forge.internal/x?page=2>; rel=\"next\"\r\n";
        bench.fault(listing, 200, next, "[]");
        let page = bench.page_of(2);
        let out = bench.said(bench.cmd(&["pr", "add-one"]));
        assert_eq!(out, Out::ok(&format!("Opened {page}  {SUM}\n")), "{kind:?}");
        let world = bench.forge.world();
        assert_eq!((world.pulls.len(), &world.pulls[0]), (2, &strange), "{kind:?}");
        let asked = world.requests.iter().filter(|it| it.target.contains("page=2"));
        assert_eq!(asked.count(), 1, "{kind:?}");
    }
}
