//! All that is asked of a forge, held against its description by Prism; the forges of the other
//! tests judge by the same descriptions, requests and answers.
//!
//! Invariant: every operation that the program asks for is among what is judged.

use std::collections::BTreeSet;

use serde_json::json;

use super::Bench;
use crate::support::forge::description::Description;
use crate::support::forge::prism::Prism;
use crate::support::forge::{Check, Comment, Kind, Request};

/// The judge is real, and nothing but this is asked for.
fn takes_every_request(kind: Kind, asked: &[&str], create: &str, lacks: &str) {
    let Some(prism) = Prism::start(kind) else { return };
    let bench = Bench::new(kind);
    bench.session("Add one");
    bench.cmd(&["pr", "add-one", "--draft", "--reviewer", "bob"]).run().success();
    let check =
        |state| move |name: &str| Check { name: name.to_owned(), state, log: String::new() };
    bench.forge.ci(move |_, _| vec![check("failure")("test")]);
    let comment = |path: &str| Comment {
        author: "bob".to_owned(),
        path: path.to_owned(),
        line: 1,
        text: "Why?".to_owned(),
    };
    bench.forge.world().comments = vec![comment("new.txt"), comment("")];
    let watch = ["pr", "add-one", "--watch", "--interval", "1", "--tries", "0", "--title", "New"];
    assert_eq!(bench.cmd(&watch).run().code, 1);
    bench.forge.world().comments.clear();
    bench.forge.ci(move |_, _| vec![check("success")("test")]);
    bench.cmd(&["pr", "add-one", "--watch", "--interval", "1", "--auto"]).run().success();
    let requests = bench.forge.world().requests.clone();
    let description = Description::of(kind);
    let operation = |it: &Request| {
        let path = it.target.split('?').next().unwrap_or_default();
        let path = description.operation(&it.method, path).map(|it| it.path.to_owned());
        format!("{} {}", it.method, path.unwrap_or_else(|why| why))
    };
    let found: BTreeSet<_> = requests.iter().map(operation).collect();
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), asked);
    let wrong: Vec<_> = requests.iter().filter_map(|request| prism.judge(request)).collect();
    assert_eq!(wrong, [""; 0]);
    // It does judge.
    let create = requests.iter().find(|it| operation(it) == create);
    let mut bad: Request = create.expect("one was opened").clone();
    bad.body = json!({"title": 7, "head": "y"}).to_string();
    bad.headers.retain(|(name, _)| name != "content-length");
    bad.headers.push(("content-length".to_owned(), bad.body.len().to_string()));
    let said = prism.judge(&bad).unwrap_or_default();
    assert!(said.contains("422") && said.contains(lacks), "{said}");
}

#[test]
fn github_takes_every_request_by_its_own_description() {
    let asked = [
        "GET /repos/{owner}/{repo}/actions/jobs/{job_id}/logs",
        "GET /repos/{owner}/{repo}/commits/{ref}/check-runs",
        "GET /repos/{owner}/{repo}/commits/{ref}/status",
        "GET /repos/{owner}/{repo}/issues/{issue_number}/comments",
        "GET /repos/{owner}/{repo}/pulls",
        "GET /repos/{owner}/{repo}/pulls/{pull_number}",
        "GET /repos/{owner}/{repo}/pulls/{pull_number}/comments",
        "GET /repos/{owner}/{repo}/pulls/{pull_number}/reviews",
        "PATCH /repos/{owner}/{repo}/pulls/{pull_number}",
        "POST /repos/{owner}/{repo}/pulls",
        "POST /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers",
        "PUT /repos/{owner}/{repo}/pulls/{pull_number}/merge",
    ];
    takes_every_request(Kind::GitHub, &asked, asked[9], "'base'");
}

#[test]
fn gitlab_takes_every_request_by_what_it_documents() {
    let asked = [
        "GET /projects/{id}/jobs/{job_id}/trace",
        "GET /projects/{id}/merge_requests",
        "GET /projects/{id}/merge_requests/{merge_request_iid}",
        "GET /projects/{id}/merge_requests/{merge_request_iid}/notes",
        "GET /projects/{id}/repository/commits/{sha}/statuses",
        "GET /users",
        "POST /projects/{id}/merge_requests",
        "PUT /projects/{id}/merge_requests/{merge_request_iid}",
        "PUT /projects/{id}/merge_requests/{merge_request_iid}/merge",
    ];
    takes_every_request(Kind::GitLab, &asked, asked[6], "'source_branch'");
}

#[test]
fn forgejo_takes_every_request_by_its_own_description() {
    let asked = [
        "GET /repos/{owner}/{repo}/actions/jobs/{job_id}/logs",
        "GET /repos/{owner}/{repo}/actions/runs",
        "GET /repos/{owner}/{repo}/actions/runs/{run_id}/jobs",
        "GET /repos/{owner}/{repo}/commits/{ref}/status",
        "GET /repos/{owner}/{repo}/issues/{index}/comments",
        "GET /repos/{owner}/{repo}/pulls",
        "GET /repos/{owner}/{repo}/pulls/{index}",
        "GET /repos/{owner}/{repo}/pulls/{index}/reviews",
        "GET /repos/{owner}/{repo}/pulls/{index}/reviews/{id}/comments",
        "PATCH /repos/{owner}/{repo}/pulls/{index}",
        "POST /repos/{owner}/{repo}/pulls",
        "POST /repos/{owner}/{repo}/pulls/{index}/merge",
        "POST /repos/{owner}/{repo}/pulls/{index}/requested_reviewers",
    ];
    takes_every_request(Kind::Forgejo, &asked, asked[10], "must be string");
}
