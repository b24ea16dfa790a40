//! GitLab, as far as it is asked (REST, version 4).
//!
//! Invariant: who is asked to look at a merge request takes the place of who was before.

use serde_json::{Value, json};

use super::{Check, Comment, Endpoint, Pull, World, text};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    ("GET", "/projects/{id}/merge_requests", |world, _, _, query| {
        let branch = query.iter().find(|(key, _)| key == "source_branch");
        let found = world
            .pulls
            .iter()
            .filter(|pull| pull.state == "open" && branch.is_none_or(|it| it.1 == pull.branch));
        (200, found.map(|pull| view(world, pull)).collect())
    }),
    ("POST", "/projects/{id}/merge_requests", |world, _, body, _| {
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
    }),
    ("GET", "/projects/{id}/merge_requests/{merge_request_iid}", |world, parts, _, _| {
        shown(world, &parts[0])
    }),
    ("PUT", "/projects/{id}/merge_requests/{merge_request_iid}", |world, parts, body, _| {
        world.change(&parts[0], body, ["title", "description", "target_branch"]);
        if let (Some(pull), Some(ids)) = (world.pull(&parts[0]), body["reviewer_ids"].as_array()) {
            pull.reviewers = ids.iter().map(|id| format!("user {id}")).collect();
        }
        shown(world, &parts[0])
    }),
    ("GET", "/users", |_, _, _, query| match query.first() {
        Some((_, name)) if name == "bob" => (200, json!([user(7, "bob")])),
        _ => (200, json!([])),
    }),
    ("PUT", "/projects/{id}/merge_requests/{merge_request_iid}/merge", |world, parts, body, _| {
        match world.merge(&parts[0], &body["sha"]) {
            Some(_) => shown(world, &parts[0]),
            None => (409, json!({"message": "SHA does not match HEAD of source branch"})),
        }
    }),
    ("GET", "/projects/{id}/repository/commits/{sha}/statuses", |world, parts, _, _| {
        let view = |(at, check): (usize, &Check)| status(&parts[0], at, check);
        let checks = if world.of_merges { Vec::new() } else { world.checks(&parts[0]) };
        (200, checks.iter().enumerate().map(view).collect())
    }),
    ("GET", "/projects/{id}/repository/commits/{sha}", |world, parts, _, _| {
        let tip = world.pulls.last().and_then(|pull| world.tip(&pull.branch));
        (200, json!({"id": parts[0], "parent_ids": ["0", tip], "title": "Merge", "message": ""}))
    }),
    ("GET", "/projects/{id}/repository/commits/{sha}/merge_requests", |world, parts, _, _| {
        let found = world.pulls.iter().map(|pull| view(world, pull));
        (200, found.filter(|it| it["sha"] == parts[0]).collect())
    }),
    ("GET", "/projects/{id}/pipelines/{pipeline_id}/jobs", |world, _, _, _| {
        let commit = world.pulls.last().and_then(|pull| world.tip(&pull.branch));
        let view = |(at, check): (usize, &Check)| {
            let mut job = status("", at, check);
            let page = job["target_url"].take();
            let fields = job.as_object_mut().expect("it is an object");
            fields.retain(|key, _| !["sha", "target_url", "description"].contains(&key.as_str()));
            job["web_url"] = page;
            job
        };
        let checks = world.checks(&commit.unwrap_or_default());
        (200, checks.iter().enumerate().map(view).collect())
    }),
    ("GET", "/projects/{id}/jobs/{job_id}/trace", |world, parts, _, _| {
        match world.log(&parts[0]) {
            Some(log) => (200, log.into()),
            None => (404, json!({"message": "404 Not Found"})),
        }
    }),
    ("GET", "/projects/{id}/merge_requests/{merge_request_iid}/notes", |world, _, _, _| {
        let system = Comment {
            author: "ada".to_owned(),
            path: String::new(),
            line: 0,
            text: "added 1 commit".to_owned(),
        };
        let mut system = note((100, &system));
        system["system"] = true.into();
        let all = world.said(true).chain(world.said(false));
        (200, [system].into_iter().chain(all.map(note)).collect())
    }),
];

fn shown(world: &mut World, number: &str) -> (u16, Value) {
    match world.pull(number).cloned() {
        Some(pull) => (200, view(world, &pull)),
        None => (404, json!({"message": "404 Not found"})),
    }
}

fn view(world: &World, pull: &Pull) -> Value {
    let ids = pull.reviewers.iter().filter_map(|it| it.strip_prefix("user ")?.parse().ok());
    let reviewers: Vec<_> = ids.map(|id| user(id, "one")).collect();
    let pipeline = world.of_merges.then(|| json!({"id": 12, "sha": "a", "status": "running"}));
    json!({
        "head_pipeline": pipeline,
        "id": 4_000 + pull.number,
        "iid": pull.number,
        "project_id": 3,
        "source_project_id": if world.home(pull) == "ada/shop" { 3 } else { 5 },
        "target_project_id": 3,
        "web_url": format!("{}/ada/shop/-/merge_requests/{}", world.base, pull.number),
        "title": pull.title,
        "description": pull.body,
        "draft": pull.draft,
        "state": if pull.state == "open" { "opened" } else { &pull.state },
        "author": user(1, "ada"),
        "reviewers": reviewers,
        "source_branch": pull.branch,
        "target_branch": pull.into,
        "sha": world.tip(&pull.branch),
    })
}

fn user(id: u64, name: &str) -> Value {
    let page = format!("https://git.example/{name}");
    json!({"id": id, "username": name, "name": name, "state": "active", "web_url": page})
}

fn status(commit: &str, at: usize, check: &Check) -> Value {
    let status = match check.state {
        "failure" => "failed",
        "pending" => "running",
        state => state,
    };
    json!({
        "id": at + 1, "sha": commit, "name": check.name, "status": status, "allow_failure": false,
        "description": null, "target_url": format!("https://ci.example/{}", at + 1),
    })
}

fn note((id, comment): (usize, &Comment)) -> Value {
    let mut note = json!({
        "id": id, "body": comment.text, "author": user(2, &comment.author), "system": false,
        "created_at": "2026-01-02T03:04:05Z", "noteable_id": 4_001, "noteable_type": "MergeRequest",
        "resolvable": !comment.path.is_empty(),
    });
    if !comment.path.is_empty() {
        let [base, start, head] = ["a", "b", "c"];
        note["resolved"] = false.into();
        note["position"] = json!({
            "base_sha": base, "start_sha": start, "head_sha": head, "position_type": "text",
            "old_path": comment.path, "new_path": comment.path, "new_line": comment.line,
        });
    }
    note
}
