//! GitLab's REST interface, version 4 (<https://docs.gitlab.com/api/merge_requests/>).
//!
//! Invariant: a project is named by its whole path, as one encoded part of the address.

use reqwest::Method;
use serde_json::{Value, json};

use super::place::Address;
use super::{
    Change, Check, Comment, Draft, Forge, ForgeError, LOG, Pull, Standing, Verdict, at, fields,
    text,
};

/// Items of a page.
const PAGE: (&str, &str) = ("per_page", "100");
/// How the title of a draft begins.
const DRAFT: &str = "Draft: ";

pub(super) async fn find(
    forge: &Forge<'_>,
    from: Option<&Address>,
    branch: &str,
) -> Result<Option<Pull>, ForgeError> {
    let query = [("state", "opened"), ("source_branch", branch)];
    let found = forge.client.list(&path(forge, &["merge_requests"]), &query, None).await?;
    let home = match from.filter(|_| !found.is_empty()) {
        Some(from) => Some(project(forge, &from.path).await?),
        None => None,
    };
    // Another fork may have a branch of its name.
    let is_ours = |it: &&Value| match home {
        Some(home) => it["source_project_id"] == home,
        None => it["source_project_id"] == it["target_project_id"],
    };
    found.iter().find(is_ours).map(|it| forge.read(it, read)).transpose()
}

pub(super) async fn pull(forge: &Forge<'_>, number: &str) -> Result<Pull, ForgeError> {
    forge.get(&path(forge, &["merge_requests", number]), read).await
}

pub(super) async fn create(forge: &Forge<'_>, draft: &Draft<'_>) -> Result<Pull, ForgeError> {
    let Draft { from, branch, into, title, body, is_draft } = *draft;
    let title = if is_draft { format!("{DRAFT}{title}") } else { title.to_owned() };
    let mut ask = json!({
        "source_branch": branch, "target_branch": into, "title": title, "description": body,
    });
    let mut path = path(forge, &["merge_requests"]);
    if let Some(from) = from {
        // It is made in the project that the branch is in.
        ask["target_project_id"] = project(forge, &forge.place.address.path).await?.into();
        path[1] = &from.path;
    }
    forge.send(Method::POST, &path, &ask, read).await
}

pub(super) async fn change(
    forge: &Forge<'_>,
    number: &str,
    change: &Change<'_>,
) -> Result<Pull, ForgeError> {
    let path = path(forge, &["merge_requests", number]);
    let title = match change.title {
        Some(title) => Some(forge.titled(&path, title, DRAFT).await?),
        None => None,
    };
    let (title, body, into) = (title.as_deref(), change.body, change.into);
    let ask = fields([("title", title), ("description", body), ("target_branch", into)]);
    forge.send(Method::PUT, &path, &ask, read).await
}

pub(super) async fn ask(
    forge: &Forge<'_>,
    number: &str,
    reviewers: &[String],
) -> Result<(), ForgeError> {
    let path = path(forge, &["merge_requests", number]);
    // What is set takes the place of what was.
    let known = |it: &Value| it["reviewers"].as_array().into_iter().flatten().map(id).collect();
    let mut ids: Vec<u64> = forge.get(&path, known).await?;
    for name in reviewers.iter().map(|it| it.trim_start_matches('@')) {
        let found = forge.list(&["users"], &[("username", name)], id).await?;
        let host = forge.place.address.host.clone();
        let unknown = || ForgeError::NotFound { host, what: format!("user {name}") };
        ids.push(*found.first().ok_or_else(unknown)?);
    }
    ids.sort_unstable();
    ids.dedup();
    forge.client.send(Method::PUT, &path, &json!({"reviewer_ids": ids})).await.map(drop)
}

pub(super) async fn checks(forge: &Forge<'_>, commit: &str) -> Result<Vec<Check>, ForgeError> {
    let statuses = path(forge, &["repository", "commits", commit, "statuses"]);
    let found = forge.list(&statuses, &[PAGE], check).await?;
    if found.is_empty() { checks_of_merge(forge, commit).await } else { Ok(found) }
}

/// The checks of what a merge would give: their pipeline is at that merge, which has the commit as
/// a parent.
async fn checks_of_merge(forge: &Forge<'_>, commit: &str) -> Result<Vec<Check>, ForgeError> {
    let requests = path(forge, &["repository", "commits", commit, "merge_requests"]);
    let number = |it: &Value| Some((it["sha"] == commit).then_some(it["iid"].as_u64()?));
    let numbers = forge.list(&requests, &[], number).await?;
    let Some(number) = numbers.into_iter().flatten().next() else { return Ok(Vec::new()) };
    let latest = |it: &Value| {
        let pipeline = &it["head_pipeline"];
        Some(id(pipeline).map(|id| (id.to_string(), text(pipeline, "sha"))))
    };
    let number = number.to_string();
    let latest = forge.get(&path(forge, &["merge_requests", &number]), latest).await?;
    let Some((pipeline, merge)) = latest else { return Ok(Vec::new()) };
    let is_of_it = |it: &Value| Some(it["parent_ids"].as_array()?.contains(&commit.into()));
    match forge.get(&path(forge, &["repository", "commits", &merge]), is_of_it).await {
        Ok(true) => {}
        // One of an earlier push says nothing.
        Ok(false) | Err(ForgeError::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    }
    forge.list(&path(forge, &["pipelines", &pipeline, "jobs"]), &[PAGE], check).await
}

pub(super) async fn log(forge: &Forge<'_>, id: &str) -> Result<String, ForgeError> {
    forge.client.text(&path(forge, &["jobs", id, "trace"]), LOG).await
}

pub(super) async fn comments(forge: &Forge<'_>, number: &str) -> Result<Vec<Comment>, ForgeError> {
    let path = path(forge, &["merge_requests", number, "notes"]);
    let query = [PAGE, ("sort", "asc"), ("order_by", "created_at")];
    let mut found = forge.client.list(&path, &query, None).await?;
    // What it notes itself, and what was settled.
    found.retain(|note| note["system"] != true && note["resolved"] != true);
    forge.read_all(&found, comment)
}

pub(super) async fn merge(forge: &Forge<'_>, number: &str, commit: &str) -> Result<(), ForgeError> {
    let path = path(forge, &["merge_requests", number, "merge"]);
    let ask = json!({"sha": commit, "squash": true});
    match forge.client.send(Method::PUT, &path, &ask).await {
        // So it says that who the token is of may not merge this one.
        Err(ForgeError::Unauthorized { host, said, .. }) => {
            Err(ForgeError::Refused { host, status: 401, said })
        }
        done => done.map(drop),
    }
}

/// The number of a project.
async fn project(forge: &Forge<'_>, path: &str) -> Result<u64, ForgeError> {
    forge.get(&["projects", path], id).await
}

fn path<'a>(forge: &'a Forge<'_>, rest: &[&'a str]) -> Vec<&'a str> {
    [&["projects", forge.place.address.path.as_str()], rest].concat()
}

fn id(value: &Value) -> Option<u64> {
    value["id"].as_u64()
}

fn read(value: &Value) -> Option<Pull> {
    Some(Pull {
        number: value["iid"].as_u64()?,
        url: value["web_url"].as_str()?.to_owned(),
        title: text(value, "title"),
        body: text(value, "description"),
        into: value["target_branch"].as_str()?.to_owned(),
        head: text(value, "sha"),
        standing: match value["state"].as_str()? {
            "opened" | "locked" => Standing::Open,
            "merged" => Standing::Merged,
            _ => Standing::Closed,
        },
    })
}

fn check(value: &Value) -> Option<Check> {
    let may_fail = value["allow_failure"] == true;
    Some(Check {
        name: value["name"].as_str()?.to_owned(),
        verdict: match value["status"].as_str()? {
            // One that a person starts is not waited for.
            "success" | "skipped" | "manual" => Verdict::Passed,
            "failed" | "canceled" if may_fail => Verdict::Passed,
            "failed" | "canceled" => Verdict::Failed,
            _ => Verdict::Pending,
        },
        said: text(value, "description"),
        // A job has its own page.
        url: value["target_url"].as_str().map_or_else(|| text(value, "web_url"), str::to_owned),
        log: value["id"].as_u64().map(|id| id.to_string()),
    })
}

fn comment(value: &Value) -> Option<Comment> {
    let position = &value["position"];
    Some(Comment {
        id: format!("note-{}", value["id"].as_u64()?),
        author: value["author"]["username"].as_str().unwrap_or("ghost").to_owned(),
        at: at(position["new_path"].as_str(), position["new_line"].as_u64()),
        text: text(value, "body"),
    })
}
