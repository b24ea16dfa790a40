//! What keeps work from a pull request.
//!
//! Invariant: each refusal is said in one line, with what to do next, and leaves the remote as it was.

use std::fs;

use super::{Bench, SUM};
use crate::support::cmd::Out;
use crate::support::forge::{Forge, Kind};

#[test]
fn without_a_remote_or_a_branch_there() {
    let bench = Bench::new(Kind::GitHub);
    bench.session("Add one");
    let pr = |more: &[&str]| bench.cmd(&[&["pr", "add-one"], more].concat());
    let none = "error: there is no remote 'x'; there is origin\nhint: git remote -v\n";
    bench.refused(pr(&["--remote", "x"]), 2, none);
    let none = "error: origin has no branch release\nhint: Name another: --into BRANCH\n";
    bench.refused(pr(&["--into", "release"]), 2, none);
    bench.repo.git(&["remote", "remove", "origin"]);
    let none = "error: there is no remote to push to\nhint: git remote add origin URL\n";
    bench.refused(pr(&[]), 1, none);
    assert_eq!(bench.forge.world().requests.len(), 0);
}

#[test]
fn a_limit_of_the_rate_is_waited_for_and_said() {
    for (kind, headers) in [
        (Kind::GitHub, "retry-after: 1\r\n"),
        (Kind::GitLab, "ratelimit-remaining: 0\r\nratelimit-reset: 1\r\n"),
    ] {
        let bench = Bench::new(kind);
        bench.session("Add one");
        let listing = if kind == Kind::GitLab { "/merge_requests" } else { "/pulls" };
        bench.fault(listing, 429, headers, "{}");
        let out = bench.said(bench.cmd(&["pr", "add-one"]));
        let opened = format!("Opened {}  {SUM}\n", bench.page());
        assert_eq!((out.stdout, out.code), (opened, 0), "{kind:?}");
        let digits = |c: char| if c.is_ascii_digit() { '0' } else { c };
        let stderr: String = out.stderr.replace("127.0.0.1", "HOST").chars().map(digits).collect();
        assert_eq!(stderr, "HOST limits the rate: waiting until 00:00:00 UTC\n", "{kind:?}");
    }
    // Longer than anybody sits there: it says until when, and the branch is pushed meanwhile.
    for headers in
        ["retry-after: 86400\r\n", "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 4102444800\r\n"]
    {
        let bench = Bench::new(Kind::GitHub);
        let id = bench.session("Add one");
        bench.fault("/pulls", 403, headers, "{}");
        let out = bench.said(bench.cmd(&["pr", "add-one"]));
        let stderr = "error: 127.0.0.1 limits the rate until [time]\n\
                      hint: The branch is pushed; try again later\n";
        assert_eq!(out, Out { stdout: String::new(), stderr: stderr.to_owned(), code: 1 });
        let branch = bench.there(&["rev-parse", "--abbrev-ref", &format!("agent-pr/{id}")]);
        assert_eq!(branch, format!("agent-pr/{id}"));
        let page = bench.page();
        let out = bench.said(bench.cmd(&["pr", "add-one"]));
        let stderr = "  agent-pr/add-one-[id] has all of it already\n".to_owned();
        assert_eq!(out, Out { stdout: format!("Opened {page}  {SUM}\n"), stderr, code: 0 });
    }
}

#[test]
fn a_token_that_is_not_taken_and_a_forge_that_moved() {
    let bench = Bench::new(Kind::GitHub);
    bench.session("Add one");
    let wrong = "wrong-t0ken-that-nobody-takes";
    let out = bench.said(bench.repo.cmd(&["pr", "add-one"]).env("GH_TOKEN", wrong));
    let stderr = "error: 127.0.0.1 does not take the token from GH_TOKEN: Bad credentials\n\
                  hint: The branch is pushed; with a token that may write, try again\n";
    let wanted = Out { stdout: String::new(), stderr: stderr.to_owned(), code: 3 };
    assert_eq!(out, wanted);
    // Another origin is told nothing.
    let other = Forge::serve(Kind::GitHub, &bench.remote);
    let location = format!("location: {}/repos/ada/shop/pulls\r\n", other.url());
    bench.fault("/pulls", 307, &location, "");
    let out = bench.said(bench.cmd(&["pr", "add-one"]));
    let stderr = "error: 127.0.0.1 says that this has moved to FORGE/repos/ada/shop/pulls\n\
                  hint: git remote set-url names where it is by now\n";
    assert_eq!(out, Out { stdout: String::new(), stderr: stderr.to_owned(), code: 1 });
    assert_eq!(other.world().requests.len(), 0);
}

#[test]
fn a_protected_branch_and_one_that_somebody_else_has_pushed_to() {
    use std::os::unix::fs::PermissionsExt;

    let bench = Bench::new(Kind::GitHub);
    let id = bench.session("Add one");
    let hook = bench.remote.join("hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).expect("a folder");
    fs::write(&hook, "#!/bin/sh\necho 'GH006: Protected branch update failed.' >&2\nexit 1\n")
        .unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let said = "error: git pushed nothing to origin: [remote rejected] (pre-receive hook declined): \
                GH006: Protected branch update failed.\n\
                hint: git agent check says what the hook asks for\n";
    bench.refused(bench.cmd(&["pr", "add-one"]), 1, said);
    assert_eq!(bench.forge.world().pulls, []);
    fs::remove_file(&hook).expect("it is ours");
    bench.cmd(&["pr", "add-one"]).run().success();
    let branch = format!("agent-pr/{id}");
    bench.there(&["update-ref", &format!("refs/heads/{branch}"), "main"]);
    let said = "error: somebody else has pushed to agent-pr/add-one-[id] at origin: it is at [oid]\n\
                hint: git fetch origin agent-pr/add-one-[id] shows what they did\n\
                hint: git push origin --delete agent-pr/add-one-[id] gives it up\n";
    bench.refused(bench.cmd(&["pr", "add-one"]), 1, said);
}

#[test]
fn what_the_remote_lacks_below_the_session_is_pushed_first() {
    let bench = Bench::new(Kind::GitHub);
    bench.repo.write("mine.txt", "mine\n");
    bench.repo.commit("Mine");
    bench.session("Add one");
    let said = "error: add-one-[id] began at commits that origin/main does not have: 1 commit\n\
                hint: git push origin main\n";
    bench.refused(bench.cmd(&["pr", "add-one"]), 1, said);
    bench.repo.git(&["push", "-q", "origin", "main"]);
    bench.cmd(&["pr", "add-one"]).run().success();
}

#[test]
fn the_policy_may_forbid_it_and_our_hook_judges_it() {
    let bench = Bench::new(Kind::GitHub);
    bench.session("Add one");
    let policy = bench.repo.home().root().join("policy.toml");
    fs::write(&policy, "[capabilities]\npr = false\n").expect("a new file");
    let said = "error: pull requests are off, by capabilities.pr in [ROOT]/policy.toml\n\
                hint: git agent doctor shows the policy in force; who looks after this machine \
                sets it\n";
    let cmd = bench.cmd(&["pr", "add-one"]).env("GIT_AGENT_TEST_POLICY", &policy);
    bench.refused(cmd, 4, said);
    // With our hook in, what was verified passes.
    bench.repo.agent(&["hooks", "install"]).success();
    bench.cmd(&["pr", "add-one"]).run().success();
}

#[test]
fn a_check_that_the_policy_asks_for_is_run_and_not_passed_over() {
    let bench = Bench::new(Kind::GitHub);
    bench.session("Add one");
    let policy = bench.repo.home().root().join("policy.toml");
    let pr = |more: &[&str]| {
        let cmd = bench.cmd(&[&["pr", "add-one"], more].concat());
        cmd.env("GIT_AGENT_TEST_POLICY", &policy)
    };
    fs::write(&policy, "[verify]\nrequired = [\"test -e other.txt\"]\n").expect("a new file");
    let said = "error: nothing lands before test -e other.txt has passed, by verify.required in \
                [ROOT]/policy.toml\n\
                hint: git agent doctor shows the policy in force; who looks after this machine \
                sets it\n";
    bench.refused(pr(&["--no-verify"]), 4, said);
    let said = "error: 'test -e other.txt' failed with exit code 1 on what would land of \
                add-one-[id]\n\
                hint: git agent say add-one-[id] \"…\" tells it what is wrong\n\
                hint: git agent pr add-one-[id] --no-verify pushes it as it is\n";
    bench.refused(pr(&[]), 1, said);
    fs::write(&policy, "[verify]\nrequired = [\"test -e new.txt\"]\n").expect("a file of ours");
    assert_eq!(bench.said(pr(&[])), Out::ok(&format!("Opened {}  {SUM}\n", bench.page())));
    let body = bench.forge.world().pulls[0].body.clone();
    assert!(body.contains("`test -e new.txt` exited with 0 on this very tree"), "{body}");
}

#[test]
fn an_experiment_is_opened_by_force_alone() {
    let bench = Bench::new(Kind::GitHub);
    bench.session_of("Add one", "echo one >one.txt", &["--experiment"]);
    let said = "error: add-one-[id] is an experiment: its work is not for landing\n\
                hint: git agent pr add-one-[id] --force opens one all the same\n";
    bench.refused(bench.cmd(&["pr", "add-one"]), 1, said);
    bench.refused(bench.cmd(&["pr", "add-one", "--dry-run"]), 1, said);
    let out = bench.said(bench.cmd(&["pr", "add-one", "--force"]));
    assert_eq!(out, Out::ok(&format!("Opened {}  {SUM}\n", bench.page())));
}
