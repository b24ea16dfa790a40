//! GitLab's REST interface, version 4 (<https://docs.gitlab.com/api/merge_requests/>).
//!
//! Invariant: a project is named by its whole path, as one encoded part of the address.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Change, Check, Comment, Draft, Forge, ForgeError, Pull, Standing, Verdict, at, text};

/// Most of a log that is read: its end, in bytes.
const LOG: usize = 64 << 10;
/// Items of a page.
const PAGE: (&str, &str) = ("per_page", "100");

pub(super) async fn find(forge: &Forge<'_>, branch: &str) -> Result<Option<Pull>, ForgeError> {
    let query = [("state", "opened"), ("source_branch", branch)];
    let found = forge.client.list(&path(forge, &["merge_requests"]), &query, None).await?;
    Ok(forge.read_all(&found, read)?.into_iter().next())
}

pub(super) async fn pull(forge: &Forge<'_>, number: u64) -> Result<Pull, ForgeError> {
    let number = number.to_string();
    let value = forge.client.get(&path(forge, &["merge_requests", &number]), &[]).await?;
    forge.read(&value, read)
}

pub(super) async fn create(forge: &Forge<'_>, draft: &Draft<'_>) -> Result<Pull, ForgeError> {
    let Draft { from, branch, into, title, body, is_draft } = *draft;
    let title = if is_draft { format!("Draft: {title}") } else { title.to_owned() };
    let mut ask = json!({
        "source_branch": branch, "target_branch": into, "title": title, "description": body,
    });
    let mut path = path(forge, &["merge_requests"]);
    if let Some(from) = from {
        // It is made in the project that the branch is in.
        let target = forge.client.get(&self::path(forge, &[]), &[]).await?;
        ask["target_project_id"] = forge.read(&target, |it| it["id"].as_u64())?.into();
        path[1] = &from.path;
    }
    let value = forge.client.send(Method::POST, &path, &ask).await?;
    forge.read(&value, read)
}

pub(super) async fn change(
    forge: &Forge<'_>,
    number: u64,
    change: &Change<'_>,
) -> Result<Pull, ForgeError> {
    let mut ask = json!({});
    if let Some(title) = change.title {
        let is_draft = pull(forge, number).await?.title.starts_with("Draft: ");
        ask["title"] = format!("{}{title}", if is_draft { "Draft: " } else { "" }).into();
    }
    for (key, value) in [("description", change.body), ("target_branch", change.into)] {
        if let Some(value) = value {
            ask[key] = value.into();
        }
    }
    put(forge, number, &ask).await
}

pub(super) async fn ask(
    forge: &Forge<'_>,
    number: u64,
    reviewers: &[String],
) -> Result<(), ForgeError> {
    let mut ids = Vec::new();
    for name in reviewers.iter().map(|it| it.trim_start_matches('@')) {
        let found = forge.client.list(&["users"], &[("username", name)], None).await?;
        let host = forge.place.address.host.clone();
        let unknown = || ForgeError::NotFound { host, what: format!("user {name}") };
        let user = found.first().ok_or_else(unknown)?;
        ids.push(forge.read(user, |it| it["id"].as_u64())?);
    }
    put(forge, number, &json!({"reviewer_ids": ids})).await.map(drop)
}

pub(super) async fn checks(forge: &Forge<'_>, commit: &str) -> Result<Vec<Check>, ForgeError> {
    let path = path(forge, &["repository", "commits", commit, "statuses"]);
    let found = forge.client.list(&path, &[PAGE], None).await?;
    forge.read_all(&found, check)
}

pub(super) async fn log(forge: &Forge<'_>, id: &str) -> Result<String, ForgeError> {
    forge.client.text(&path(forge, &["jobs", id, "trace"]), LOG).await
}

pub(super) async fn comments(forge: &Forge<'_>, number: u64) -> Result<Vec<Comment>, ForgeError> {
    let number = number.to_string();
    let path = path(forge, &["merge_requests", &number, "notes"]);
    let query = [PAGE, ("sort", "asc"), ("order_by", "created_at")];
    let mut found = forge.client.list(&path, &query, None).await?;
    // What it notes itself, and what was settled.
    found.retain(|note| note["system"] != true && note["resolved"] != true);
    forge.read_all(&found, comment)
}

pub(super) async fn merge(forge: &Forge<'_>, number: u64, commit: &str) -> Result<(), ForgeError> {
    let number = number.to_string();
    let path = path(forge, &["merge_requests", &number, "merge"]);
    let ask = json!({"sha": commit, "squash": true});
    forge.client.send(Method::PUT, &path, &ask).await.map(drop)
}

async fn put(forge: &Forge<'_>, number: u64, ask: &Value) -> Result<Pull, ForgeError> {
    let number = number.to_string();
    let path = path(forge, &["merge_requests", &number]);
    let value = forge.client.send(Method::PUT, &path, ask).await?;
    forge.read(&value, read)
}

fn path<'a>(forge: &'a Forge<'_>, rest: &[&'a str]) -> Vec<&'a str> {
    [&["projects", forge.place.address.path.as_str()], rest].concat()
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
        url: text(value, "target_url"),
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
