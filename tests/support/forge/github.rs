//! GitHub, as far as it is asked (REST, version 2022-11-28).
//!
//! Invariant: a log lies on another host, to which no token may go.

use serde_json::{Value, json};

use super::{Check, Comment, Endpoint, Pull, World, text};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    ("GET", "/repos/{owner}/{repo}/pulls", |world, _, _, query| {
        let head = query.iter().find(|(key, _)| key == "head").map(|it| it.1.clone());
        let found = world.pulls.iter().filter(|pull| {
            let is_it = |head: &String| *head == format!("ada:{}", pull.branch);
            pull.state == "open" && head.as_ref().is_none_or(is_it)
        });
        (200, found.map(|pull| view(world, pull)).collect())
    }),
    ("POST", "/repos/{owner}/{repo}/pulls", |world, _, body, _| {
        let pull = Pull {
            title: text(body, "title"),
            body: text(body, "body"),
            branch: text(body, "head"),
            into: text(body, "base"),
            draft: body["draft"] == true,
            ..Pull::default()
        };
        match world.open(pull) {
            Ok(pull) => (201, view(world, &pull)),
            Err(why) => {
                let error = json!({"resource": "PullRequest", "code": "custom", "message": why});
                (422, json!({"message": "Validation Failed", "errors": [error]}))
            }
        }
    }),
    ("GET", "/repos/{owner}/{repo}/pulls/{pull_number}", |world, parts, _, _| {
        shown(world, &parts[0])
    }),
    ("PATCH", "/repos/{owner}/{repo}/pulls/{pull_number}", |world, parts, body, _| {
        world.change(&parts[0], body, ["title", "body", "base"]);
        shown(world, &parts[0])
    }),
    (
        "POST",
        "/repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers",
        |world, parts, body, _| {
            world.ask_both(&parts[0], body);
            (201, shown(world, &parts[0]).1)
        },
    ),
    ("PUT", "/repos/{owner}/{repo}/pulls/{pull_number}/merge", |world, parts, body, _| match world
        .merge(&parts[0], &body["sha"])
    {
        Some(tip) => (200, json!({"sha": tip, "merged": true, "message": "It is merged"})),
        None => (409, json!({"message": "Head branch was modified"})),
    }),
    ("GET", "/repos/{owner}/{repo}/commits/{ref}/check-runs", |world, parts, _, _| {
        let runs: Vec<_> = world.checks(&parts[0]).iter().enumerate().map(run).collect();
        (200, json!({"total_count": runs.len(), "check_runs": runs}))
    }),
    ("GET", "/repos/{owner}/{repo}/commits/{ref}/status", |_, parts, _, _| {
        (200, json!({"state": "pending", "sha": parts[0], "total_count": 0, "statuses": []}))
    }),
    ("GET", "/repos/{owner}/{repo}/actions/jobs/{job_id}/logs", |world, parts, _, _| {
        (302, format!("{}/{}", world.store, parts[0]).into())
    }),
    ("GET", "/repos/{owner}/{repo}/pulls/{pull_number}/reviews", |_, _, _, _| {
        (200, json!([{"id": 1, "user": {"login": "bob"}, "body": "", "state": "COMMENTED"}]))
    }),
    ("GET", "/repos/{owner}/{repo}/pulls/{pull_number}/comments", |world, _, _, _| {
        let view = |(id, comment): (usize, &Comment)| {
            let mut view = comment_view((id, comment));
            view["path"] = comment.path.clone().into();
            view["line"] = comment.line.into();
            view
        };
        (200, world.said(true).map(view).collect())
    }),
    ("GET", "/repos/{owner}/{repo}/issues/{issue_number}/comments", |world, _, _, _| {
        (200, world.said(false).map(comment_view).collect())
    }),
];

fn shown(world: &mut World, number: &str) -> (u16, Value) {
    match world.pull(number).cloned() {
        Some(pull) => (200, view(world, &pull)),
        None => (404, json!({"message": "Not Found"})),
    }
}

fn view(world: &World, pull: &Pull) -> Value {
    let is_merged = pull.state == "merged";
    json!({
        "number": pull.number,
        "html_url": format!("{}/ada/shop/pull/{}", world.base, pull.number),
        "title": pull.title,
        "body": pull.body,
        "draft": pull.draft,
        "state": if pull.state == "open" { "open" } else { "closed" },
        "merged_at": is_merged.then_some("2026-01-02T03:04:05Z"),
        "base": {"ref": pull.into},
        "head": {
            "ref": pull.branch,
            "sha": world.tip(&pull.branch),
            "repo": {"full_name": world.home(pull)},
        },
    })
}

fn run((at, check): (usize, &Check)) -> Value {
    let is_over = check.state != "pending";
    json!({
        "id": at + 1,
        "name": check.name,
        "status": if is_over { "completed" } else { "in_progress" },
        "conclusion": is_over.then_some(check.state),
        "html_url": format!("https://ci.example/{}", at + 1),
        "output": {"title": null, "summary": null, "text": null},
        "app": {"slug": "github-actions"},
    })
}

fn comment_view((id, comment): (usize, &Comment)) -> Value {
    json!({"id": id, "user": {"login": comment.author}, "body": comment.text})
}
