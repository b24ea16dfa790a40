//! All that is asked of GitHub, held against its own `OpenAPI` description.
//!
//! Invariant: every path that the program asks for is among what is judged.

use serde_json::json;

use super::Bench;
use crate::support::forge::prism::Prism;
use crate::support::forge::{Check, Kind, Request};

#[test]
fn github_takes_every_request_by_its_own_description() {
    let Some(prism) = Prism::start() else { return };
    let bench = Bench::new(Kind::GitHub);
    bench.session("Add one");
    bench.cmd(&["pr", "add-one", "--draft", "--reviewer", "bob"]).run().success();
    let check =
        |state| move |name: &str| Check { name: name.to_owned(), state, log: String::new() };
    bench.forge.ci(move |_, _| vec![check("failure")("test")]);
    let watch = ["pr", "add-one", "--watch", "--interval", "1", "--tries", "0", "--title", "New"];
    assert_eq!(bench.cmd(&watch).run().code, 1);
    bench.forge.ci(move |_, _| vec![check("success")("test")]);
    bench.cmd(&["pr", "add-one", "--watch", "--interval", "1", "--auto"]).run().success();
    let requests = bench.forge.world().requests.clone();
    let mut asked: Vec<String> = requests
        .iter()
        .map(|it| format!("{} {}", it.method, it.target.split('?').next().unwrap_or_default()))
        .map(|it| {
            it.rsplit_once("/commits/").map_or(it.clone(), |(before, rest)| {
                let rest = rest.split_once('/').map_or("", |it| it.1);
                format!("{before}/commits/SHA/{rest}")
            })
        })
        .collect();
    asked.sort();
    asked.dedup();
    let repo = "/repos/ada/shop";
    let wanted = [
        format!("GET {repo}/actions/jobs/1/logs"),
        format!("GET {repo}/commits/SHA/check-runs"),
        format!("GET {repo}/commits/SHA/status"),
        format!("GET {repo}/issues/1/comments"),
        format!("GET {repo}/pulls"),
        format!("GET {repo}/pulls/1"),
        format!("GET {repo}/pulls/1/comments"),
        format!("GET {repo}/pulls/1/reviews"),
        format!("PATCH {repo}/pulls/1"),
        format!("POST {repo}/pulls"),
        format!("POST {repo}/pulls/1/requested_reviewers"),
        format!("PUT {repo}/pulls/1/merge"),
    ];
    assert_eq!(asked, wanted);
    let wrong: Vec<_> = requests.iter().filter_map(|request| prism.judge(request)).collect();
    assert_eq!(wrong, [""; 0]);
    // It does judge.
    let create = requests.iter().find(|it| it.method == "POST" && it.target.ends_with("/pulls"));
    let mut bad: Request = create.expect("one was opened").clone();
    bad.body = json!({"title": "x", "head": "y"}).to_string();
    bad.headers.retain(|(name, _)| name != "content-length");
    bad.headers.push(("content-length".to_owned(), bad.body.len().to_string()));
    let said = prism.judge(&bad).unwrap_or_default();
    assert!(said.contains("422") && said.contains("'base'"), "{said}");
}
