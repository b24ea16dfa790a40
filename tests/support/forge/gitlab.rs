//! GitLab, as far as it is asked (REST, version 4).
//!
//! Invariant: paths, fields and queries are those of <https://docs.gitlab.com/api/>.

use serde_json::{Value, json};

use super::{Check, Comment, Endpoint, Pull, World, text};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/projects/ada%2Fshop/merge_requests",
        query: &["state", "source_branch", "target_branch", "per_page", "page"],
        required: &[],
        optional: &[],
        run: |world, _, _, query| {
            let branch = query.iter().find(|(key, _)| key == "source_branch");
            let found = world
                .pulls
                .iter()
                .filter(|pull| pull.state == "open" && branch.is_none_or(|it| it.1 == pull.branch));
            (200, found.map(|pull| view(world, pull)).collect())
        },
    },
    Endpoint {
        method: "POST",
        path: "/projects/ada%2Fshop/merge_requests",
        query: &[],
        required: &["source_branch", "target_branch", "title"],
        optional: &["description", "target_project_id", "reviewer_ids", "remove_source_branch"],
        run: |world, _, body, _| {
            let title = text(body, "title");
            let pull = Pull {
                draft: title.starts_with("Draft: "),
                title,
                body: text(body, "description"),
                branch: text(body, "source_branch"),
                into: text(body, "target_branch"),
                ..Pull::default()
            };
            match world.open(pull) {
                Ok(pull) => (201, view(world, &pull)),
                Err(why) if why.contains("already exists") => (409, json!({"message": [why]})),
                Err(why) => (400, json!({"message": {"source_branch": [why]}})),
            }
        },
    },
    Endpoint {
        method: "GET",
        path: "/projects/ada%2Fshop/merge_requests/*",
        query: &[],
        required: &[],
        optional: &[],
        run: |world, parts, _, _| shown(world, &parts[0]),
    },
    Endpoint {
        method: "PUT",
        path: "/projects/ada%2Fshop/merge_requests/*",
        query: &[],
        required: &[],
        optional: &["title", "description", "target_branch", "reviewer_ids", "state_event"],
        run: |world, parts, body, _| {
            if let Some(pull) = world.pull(&parts[0]) {
                let set = |field: &mut String, key: &str| {
                    if let Some(value) = body[key].as_str() {
                        value.clone_into(field);
                    }
                };
                set(&mut pull.title, "title");
                set(&mut pull.body, "description");
                set(&mut pull.into, "target_branch");
                let ids = body["reviewer_ids"].as_array().into_iter().flatten();
                pull.reviewers.extend(ids.map(|id| format!("user {id}")));
            }
            shown(world, &parts[0])
        },
    },
    Endpoint {
        method: "GET",
        path: "/users",
        query: &["username"],
        required: &[],
        optional: &[],
        run: |_, _, _, query| match query.first() {
            Some((_, name)) if name == "bob" => (200, json!([{"id": 7, "username": "bob"}])),
            _ => (200, json!([])),
        },
    },
    Endpoint {
        method: "PUT",
        path: "/projects/ada%2Fshop/merge_requests/*/merge",
        query: &[],
        required: &[],
        optional: &["sha", "squash", "auto_merge", "should_remove_source_branch"],
        run: |world, parts, body, _| {
            let tip = world.pull(&parts[0]).map(|pull| pull.branch.clone());
            let tip = tip.and_then(|branch| world.tip(&branch));
            if tip != body["sha"].as_str().map(str::to_owned) {
                return (409, json!({"message": "SHA does not match HEAD of source branch"}));
            }
            if let Some(pull) = world.pull(&parts[0]) {
                "merged".clone_into(&mut pull.state);
            }
            shown(world, &parts[0])
        },
    },
    Endpoint {
        method: "GET",
        path: "/projects/ada%2Fshop/repository/commits/*/statuses",
        query: &["ref", "stage", "name", "all", "per_page", "page"],
        required: &[],
        optional: &[],
        run: |world, parts, _, _| {
            (200, world.checks(&parts[0]).iter().enumerate().map(status).collect())
        },
    },
    Endpoint {
        method: "GET",
        path: "/projects/ada%2Fshop/jobs/*/trace",
        query: &[],
        required: &[],
        optional: &[],
        run: |world, parts, _, _| {
            let at = parts[0].parse::<usize>().unwrap_or_default();
            let commit = world.pulls.last().and_then(|pull| world.tip(&pull.branch));
            let checks = world.checks(&commit.unwrap_or_default());
            match checks.get(at.wrapping_sub(1)) {
                Some(check) => (200, check.log.clone().into()),
                None => (404, json!({"message": "404 Not Found"})),
            }
        },
    },
    Endpoint {
        method: "GET",
        path: "/projects/ada%2Fshop/merge_requests/*/notes",
        query: &["sort", "order_by", "per_page", "page"],
        required: &[],
        optional: &[],
        run: |world, _, _, _| {
            let system = json!({
                "id": 100, "body": "added 1 commit", "author": {"username": "ada"}, "system": true,
            });
            let notes = world.comments.iter().enumerate().map(note);
            (200, [system].into_iter().chain(notes).collect())
        },
    },
];

fn shown(world: &mut World, number: &str) -> (u16, Value) {
    match world.pull(number).cloned() {
        Some(pull) => (200, view(world, &pull)),
        None => (404, json!({"message": "404 Not found"})),
    }
}

fn view(world: &World, pull: &Pull) -> Value {
    json!({
        "id": 4_000 + pull.number,
        "iid": pull.number,
        "web_url": format!("{}/ada/shop/-/merge_requests/{}", world.base, pull.number),
        "title": pull.title,
        "description": pull.body,
        "draft": pull.draft,
        "state": if pull.state == "open" { "opened" } else { &pull.state },
        "source_branch": pull.branch,
        "target_branch": pull.into,
        "sha": world.tip(&pull.branch),
    })
}

fn status((at, check): (usize, &Check)) -> Value {
    let status = match check.state {
        "failure" => "failed",
        "pending" => "running",
        state => state,
    };
    json!({
        "id": at + 1, "name": check.name, "status": status, "allow_failure": false,
        "description": null, "target_url": format!("https://ci.example/{}", at + 1),
    })
}

fn note((at, comment): (usize, &Comment)) -> Value {
    let position = (!comment.path.is_empty())
        .then(|| json!({"new_path": comment.path, "new_line": comment.line}));
    json!({
        "id": at + 1, "body": comment.text, "author": {"username": comment.author},
        "system": false, "resolvable": position.is_some(), "resolved": false, "position": position,
    })
}
