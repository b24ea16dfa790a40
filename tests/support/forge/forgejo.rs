//! Forgejo and Gitea, as far as they are asked (REST, version 1).
//!
//! Invariant: paths, fields and queries are those that <https://codeberg.org/api/swagger> lists.

use serde_json::{Value, json};

use super::{Check, Comment, Endpoint, Pull, World, text};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/repos/ada/shop/pulls",
        query: &["state", "sort", "milestone", "labels", "poster", "page", "limit"],
        required: &[],
        optional: &[],
        run: |world, _, _, _| {
            let found = world.pulls.iter().filter(|pull| pull.state == "open");
            (200, found.map(|pull| view(world, pull)).collect())
        },
    },
    Endpoint {
        method: "POST",
        path: "/repos/ada/shop/pulls",
        query: &[],
        required: &["head", "base", "title"],
        optional: &["body", "assignee", "assignees", "milestone", "labels", "due_date"],
        run: |world, _, body, _| {
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
        },
    },
    Endpoint {
        method: "GET",
        path: "/repos/ada/shop/pulls/*",
        query: &[],
        required: &[],
        optional: &[],
        run: |world, parts, _, _| shown(world, &parts[0], 200),
    },
    Endpoint {
        method: "PATCH",
        path: "/repos/ada/shop/pulls/*",
        query: &[],
        required: &[],
        optional: &["title", "body", "base", "state", "assignees", "allow_maintainer_edit"],
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
            shown(world, &parts[0], 201)
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
            (201, json!([]))
        },
    },
    Endpoint {
        method: "POST",
        path: "/repos/ada/shop/pulls/*/merge",
        query: &[],
        required: &["Do"],
        optional: &["head_commit_id", "MergeTitleField", "delete_branch_after_merge"],
        run: |world, parts, body, _| {
            let tip = world.pull(&parts[0]).map(|pull| pull.branch.clone());
            let tip = tip.and_then(|branch| world.tip(&branch));
            if tip != body["head_commit_id"].as_str().map(str::to_owned) {
                return (409, json!({"message": "head out of date"}));
            }
            if let Some(pull) = world.pull(&parts[0]) {
                "merged".clone_into(&mut pull.state);
            }
            (200, "".into())
        },
    },
    Endpoint {
        method: "GET",
        path: "/repos/ada/shop/commits/*/status",
        query: &["page", "limit"],
        required: &[],
        optional: &[],
        run: |world, parts, _, _| {
            let statuses: Vec<_> = world.checks(&parts[0]).iter().map(status).collect();
            let statuses = if statuses.is_empty() { Value::Null } else { statuses.into() };
            (200, json!({"state": "", "sha": parts[0], "statuses": statuses}))
        },
    },
    Endpoint {
        method: "GET",
        path: "/repos/ada/shop/pulls/*/reviews",
        query: &["page", "limit"],
        required: &[],
        optional: &[],
        run: |_, _, _, _| (200, json!([{"id": 1, "user": {"login": "bob"}, "body": ""}])),
    },
    Endpoint {
        method: "GET",
        path: "/repos/ada/shop/pulls/*/reviews/*/comments",
        query: &[],
        required: &[],
        optional: &[],
        run: |world, _, _, _| (200, comments(world, |comment| !comment.path.is_empty())),
    },
    Endpoint {
        method: "GET",
        path: "/repos/ada/shop/issues/*/comments",
        query: &["since", "before"],
        required: &[],
        optional: &[],
        run: |world, _, _, _| (200, comments(world, |comment| comment.path.is_empty())),
    },
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
            "repo": {"full_name": "ada/shop"},
        },
    })
}

fn status(check: &Check) -> Value {
    json!({
        "id": 1, "context": check.name, "status": check.state, "description": check.log,
        "target_url": "https://ci.example/1",
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
            "position": comment.line,
        })
    };
    found.map(view).collect()
}
