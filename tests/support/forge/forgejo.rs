//! Forgejo and Gitea, as far as they are asked (REST, version 1).
//!
//! Invariant: a check is a job of its own runner, whose page is named from the host on.

use serde_json::{Value, json};

use super::{Check, Comment, Endpoint, Pull, World, text};

/// What the numbers of jobs are above, which are others than their places in a run.
const JOBS: usize = 70;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    ("GET", "/repos/{owner}/{repo}/pulls", |world, _, _, _| {
        let found = world.pulls.iter().filter(|pull| pull.state == "open");
        (200, found.map(|pull| view(world, pull)).collect())
    }),
    ("POST", "/repos/{owner}/{repo}/pulls", |world, _, body, _| {
        let title = text(body, "title");
        let pull = Pull {
            draft: title.starts_with("WIP: "),
            title,
            body: text(body, "body"),
            branch: text(body, "head"),
            into: text(body, "base"),
            ..Pull::default()
        };
        match world.open(pull) {
            Ok(pull) => (201, view(world, &pull)),
            Err(why) if why.contains("already exists") => (409, json!({"message": why})),
            Err(why) => (404, json!({"message": why})),
        }
    }),
    ("GET", "/repos/{owner}/{repo}/pulls/{index}", |world, parts, _, _| {
        shown(world, &parts[0], 200)
    }),
    ("PATCH", "/repos/{owner}/{repo}/pulls/{index}", |world, parts, body, _| {
        world.change(&parts[0], body, ["title", "body", "base"]);
        shown(world, &parts[0], 201)
    }),
    ("POST", "/repos/{owner}/{repo}/pulls/{index}/requested_reviewers", |world, parts, body, _| {
        world.ask_both(&parts[0], body);
        (201, json!([]))
    }),
    ("POST", "/repos/{owner}/{repo}/pulls/{index}/merge", |world, parts, body, _| {
        match world.merge(&parts[0], &body["head_commit_id"]) {
            Some(_) => (200, "".into()),
            None => (409, json!({"message": "head out of date"})),
        }
    }),
    ("GET", "/repos/{owner}/{repo}/commits/{ref}/status", |world, parts, _, _| {
        let statuses: Vec<_> = world.checks(&parts[0]).iter().enumerate().map(status).collect();
        let statuses = if statuses.is_empty() { Value::Null } else { statuses.into() };
        (200, json!({"state": "pending", "sha": parts[0], "statuses": statuses}))
    }),
    ("GET", "/repos/{owner}/{repo}/actions/runs", |_, _, _, query| {
        let commit = query.iter().find(|(key, _)| key == "head_sha").map(|it| it.1.as_str());
        let runs = [(40, 8), (41, 9)].map(|(id, number)| {
            json!({"id": id, "index_in_repo": number, "commit_sha": commit, "status": "failure"})
        });
        (200, json!({"total_count": runs.len(), "workflow_runs": runs}))
    }),
    ("GET", "/repos/{owner}/{repo}/actions/runs/{run_id}/jobs", |world, parts, _, _| {
        let commit = world.pulls.last().and_then(|pull| world.tip(&pull.branch));
        let checks = world.checks(&commit.unwrap_or_default());
        let job = |(at, check): (usize, &Check)| json!({"id": JOBS + at + 1, "run_id": 41, "name": check.name, "status": check.state});
        match parts[0].as_str() {
            "41" => (200, checks.iter().enumerate().map(job).collect()),
            _ => (404, json!({"message": "not found"})),
        }
    }),
    ("GET", "/repos/{owner}/{repo}/actions/jobs/{job_id}/logs", |world, parts, _, _| {
        let at = parts[0].parse::<usize>().unwrap_or_default().saturating_sub(JOBS);
        match world.log(&at.to_string()) {
            Some(log) => (200, log.into()),
            None => (404, json!({"message": "not found"})),
        }
    }),
    ("GET", "/repos/{owner}/{repo}/pulls/{index}/reviews", |world, _, _, _| {
        let count = world.said(true).count();
        let review = |id: u64, count: usize| {
            let user = json!({"login": "bob"});
            json!({"id": id, "user": user, "body": "", "comments_count": count})
        };
        (200, json!([review(1, 0), review(2, count)]))
    }),
    ("GET", "/repos/{owner}/{repo}/pulls/{index}/reviews/{id}/comments", |world, parts, _, _| {
        let view = |(id, comment): (usize, &Comment)| {
            let mut view = comment_view((id, comment));
            view["path"] = comment.path.clone().into();
            // It is on a line that is no longer there.
            view["position"] = 0.into();
            view["original_position"] = comment.line.into();
            view["resolver"] = Value::Null;
            view
        };
        let mut found: Vec<_> = world.said(true).map(view).collect();
        let mut settled = found.first().cloned().unwrap_or_default();
        settled["resolver"] = json!({"login": "ada"});
        found.push(settled);
        if parts[1] == "2" { (200, found.into()) } else { (404, json!({"message": "no"})) }
    }),
    ("GET", "/repos/{owner}/{repo}/issues/{index}/comments", |world, _, _, _| {
        (200, world.said(false).map(comment_view).collect())
    }),
];

fn shown(world: &mut World, number: &str, status: u16) -> (u16, Value) {
    match world.pull(number).cloned() {
        Some(pull) => (status, view(world, &pull)),
        None => (404, json!({"message": "The target couldn't be found."})),
    }
}

fn view(world: &World, pull: &Pull) -> Value {
    json!({
        "number": pull.number,
        "html_url": format!("{}/ada/shop/pulls/{}", world.base, pull.number),
        "title": pull.title,
        "body": pull.body,
        "draft": pull.draft,
        "state": if pull.state == "open" { "open" } else { "closed" },
        "merged": pull.state == "merged",
        "base": {"ref": pull.into},
        "head": {
            "ref": pull.branch,
            "sha": world.tip(&pull.branch),
            "repo": {"full_name": world.home(pull)},
        },
    })
}

fn status((at, check): (usize, &Check)) -> Value {
    json!({
        "id": at + 1, "context": check.name, "status": check.state, "description": "",
        "target_url": format!("/ada/shop/actions/runs/9/jobs/{at}"),
    })
}

fn comment_view((id, comment): (usize, &Comment)) -> Value {
    json!({"id": id, "user": {"login": comment.author}, "body": comment.text})
}
