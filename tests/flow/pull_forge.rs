//! Pull requests where forges, and the ways to them, have their own ideas.
//!
//! Invariant: what is a stranger's is left alone.

use super::pull::{Bench, SUM};
use crate::support::cmd::Out;
use crate::support::forge::{Check, Kind, Pull};

#[test]
fn the_remote_is_where_git_says_it_is() {
    let bench = Bench::new(Kind::GitHub);
    bench.session("Add one");
    let address = bench.repo.git(&["remote", "get-url", "origin"]);
    let base = address.strip_suffix("ada/shop.git").expect("it is ours");
    bench.repo.git(&["config", &format!("url.{base}.insteadOf"), "lab:"]);
    bench.repo.git(&["remote", "set-url", "origin", "lab:ada/shop.git"]);
    let out = bench.said(bench.cmd(&["pr", "add-one"]));
    assert_eq!(out, Out::ok(&format!("Opened {}  {SUM}\n", bench.page())));
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
        let page = bench.page().replace('1', "2");
        let out = bench.said(bench.cmd(&["pr", "add-one"]));
        assert_eq!(out, Out::ok(&format!("Opened {page}  {SUM}\n")), "{kind:?}");
        let world = bench.forge.world();
        assert_eq!((world.pulls.len(), &world.pulls[0]), (2, &strange), "{kind:?}");
        let asked = world.requests.iter().filter(|it| it.target.contains("page=2"));
        assert_eq!(asked.count(), 1, "{kind:?}");
    }
}

#[test]
fn at_gitlab_who_was_asked_before_stays_asked_and_not_all_may_merge() {
    let bench = Bench::new(Kind::GitLab);
    bench.session("Add one");
    bench.cmd(&["pr", "add-one"]).run().success();
    bench.forge.world().pulls[0].reviewers = vec!["user 9".to_owned()];
    bench.cmd(&["pr", "add-one", "--reviewer", "@bob"]).run().success();
    assert_eq!(bench.forge.world().pulls[0].reviewers, ["user 7", "user 9"]);
    bench
        .forge
        .ci(|_, _| vec![Check { name: "test".to_owned(), state: "success", log: String::new() }]);
    bench.fault("/merge", 401, "", "{\"message\":\"401 Unauthorized\"}");
    let watch = ["pr", "add-one", "--watch", "--interval", "1", "--auto"];
    let out = bench.said(bench.cmd(&watch));
    let said = "error: 127.0.0.1 refused: 401 Unauthorized (401)\n\
                hint: The branch is pushed; what the token may do is set at the forge\n";
    assert!(out.code == 1 && out.stderr.ends_with(said), "{out:#?}");
    assert_eq!(bench.forge.world().pulls[0].state, "open");
}

#[test]
fn at_gitlab_the_checks_of_what_a_merge_would_give_count() {
    let bench = Bench::new(Kind::GitLab);
    bench.session("Add one");
    bench.forge.world().of_merges = true;
    let check = Check { name: "test".to_owned(), state: "failure", log: String::new() };
    bench.forge.ci(move |_, _| vec![check.clone()]);
    let watch = ["pr", "add-one", "--watch", "--interval", "1", "--tries", "0"];
    let out = bench.said(bench.cmd(&watch));
    let stdout = format!(
        "{} has failed 1 of 1 check, and has 0 new comments\n\
         CHECK  VERDICT  PAGE\ntest   failed   https://ci.example/1\n",
        bench.page()
    );
    assert_eq!((out.stdout, out.code), (stdout, 1), "{}", out.stderr);
}
