//! GitHub, as far as it is asked (REST, version 2022-11-28).
//!
//! Invariant: paths, fields and queries are those of its published description.

use serde_json::{Value, json};

use super::{Check, Comment, Endpoint, Pull, World, text};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/repos/ada/shop/pulls",
        query: &["state", "head", "base", "sort", "direction", "per_page", "page"],
        required: &[],
        optional: &[],
        run: |world, _, _, query| {
            let head = query.iter().find(|(key, _)| key == "head").map(|it| it.1.clone());
            let found = world.pulls.iter().filter(|pull| {
                let is_it = |head: &String| *head == format!("ada:{}", pull.branch);
                pull.state == "open" && head.as_ref().is_none_or(is_it)
            });
            (200, found.map(|pull| view(world, pull)).collect())
        },
    },
    Endpoint {
        method: "POST",
        path: "/repos/ada/shop/pulls",
        query: &[],
        required: &["head", "base"],
        optional: &["title", "head_repo", "body", "maintainer_can_modify", "draft", "issue"],
        run: |world, _, body, _| {
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
                    let error =
                        json!({"resource": "PullRequest", "code": "custom", "message": why});
                    (422, json!({"message": "Validation Failed", "errors": [error]}))
                }
            }
        },
    },
    Endpoint {
        method: "GET",
        path: "/repos/ada/shop/pulls/*",
        query: &[],
        required: &[],
        optional: &[],
        run: |world, parts, _, _| shown(world, &parts[0]),
    },
    Endpoint {
        method: "PATCH",
        path: "/repos/ada/shop/pulls/*",
        query: &[],
        required: &[],
        optional: &["title", "body", "state", "base", "maintainer_can_modify"],
        run: |world, parts, body, _| {
            if let Some(pull) = world.pull(&parts[0]) {
                let set = |field: &mut String, key: &str| {
                    if let Some(value) = body[key].as_str() {
                        value.clone_into(field);
                    }
                };
                set(&mut pull.title, "title");
                set(&mut pull.body, "body");
                set(&mut pull.into, "base");
            }
            shown(world, &parts[0])
        },
    },
    Endpoint {
        method: "POST",
        path: "/repos/ada/shop/pulls/*/requested_reviewers",
        query: &[],
        required: &[],
        optional: &["reviewers", "team_reviewers"],
        run: |world, parts, body, _| {
            let names = [&body["reviewers"], &body["team_reviewers"]];
            let names = names.iter().filter_map(|it| it.as_array()).flatten();
            let names: Vec<String> = names.filter_map(Value::as_str).map(str::to_owned).collect();
            if let Some(pull) = world.pull(&parts[0]) {
                pull.reviewers.extend(names);
            }
            let (_, value) = shown(world, &parts[0]);
            (201, value)
        },
    },
    Endpoint {
        method: "PUT",
        path: "/repos/ada/shop/pulls/*/merge",
        query: &[],
        required: &[],
        optional: &["commit_title", "commit_message", "sha", "merge_method"],
        run: |world, parts, body, _| {
            let tip = world.pull(&parts[0]).map(|pull| pull.branch.clone());
            let tip = tip.and_then(|branch| world.tip(&branch));
            if tip != body["sha"].as_str().map(str::to_owned) {
                return (409, json!({"message": "Head branch was modified"}));
            }
            if let Some(pull) = world.pull(&parts[0]) {
                "merged".clone_into(&mut pull.state);
            }
            (
                200,
                json!({"sha": tip, "merged": true, "message": "Pull Request successfully merged"}),
            )
        },
    },
    Endpoint {
        method: "GET",
        path: "/repos/ada/shop/commits/*/check-runs",
        query: &["check_name", "status", "filter", "per_page", "page", "app_id"],
        required: &[],
        optional: &[],
        run: |world, parts, _, _| {
            let runs: Vec<_> = world.checks(&parts[0]).iter().enumerate().map(run).collect();
            (200, json!({"total_count": runs.len(), "check_runs": runs}))
        },
    },
    Endpoint {
        method: "GET",
        path: "/repos/ada/shop/commits/*/status",
        query: &["per_page", "page"],
        required: &[],
        optional: &[],
        run: |_, parts, _, _| {
            (200, json!({"state": "pending", "sha": parts[0], "total_count": 0, "statuses": []}))
        },
    },
    Endpoint {
        method: "GET",
        path: "/repos/ada/shop/actions/jobs/*/logs",
        query: &[],
        required: &[],
        optional: &[],
        run: |world, parts, _, _| {
            let at = parts[0].parse::<usize>().unwrap_or_default();
            let commit = world.pulls.last().and_then(|pull| world.tip(&pull.branch));
            let checks = world.checks(&commit.unwrap_or_default());
            match checks.get(at.wrapping_sub(1)) {
                Some(check) => (200, check.log.clone().into()),
                None => (404, json!({"message": "Not Found"})),
            }
        },
    },
    Endpoint {
        method: "GET",
        path: "/repos/ada/shop/pulls/*/reviews",
        query: &["per_page", "page"],
        required: &[],
        optional: &[],
        run: |_, _, _, _| {
            (200, json!([{"id": 1, "user": {"login": "bob"}, "body": "", "state": "COMMENTED"}]))
        },
    },
    Endpoint {
        method: "GET",
        path: "/repos/ada/shop/pulls/*/comments",
        query: &["sort", "direction", "since", "per_page", "page"],
        required: &[],
        optional: &[],
        run: |world, _, _, _| (200, comments(world, |comment| !comment.path.is_empty())),
    },
    Endpoint {
        method: "GET",
        path: "/repos/ada/shop/issues/*/comments",
        query: &["since", "per_page", "page"],
        required: &[],
        optional: &[],
        run: |world, _, _, _| (200, comments(world, |comment| comment.path.is_empty())),
    },
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
        "head": {"ref": pull.branch, "sha": world.tip(&pull.branch)},
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

fn comments(world: &World, wanted: impl Fn(&Comment) -> bool) -> Value {
    let found = world.comments.iter().enumerate().filter(|(_, comment)| wanted(comment));
    let view = |(at, comment): (usize, &Comment)| {
        json!({
            "id": at + 1,
            "user": {"login": comment.author},
            "body": comment.text,
            "path": comment.path,
            "line": comment.line,
        })
    };
    found.map(view).collect()
}
