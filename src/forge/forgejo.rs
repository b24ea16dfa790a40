//! The REST interface of Forgejo and Gitea, version 1
//! (<https://codeberg.org/api/swagger>).
//!
//! Invariant: only what both of them have is used.

use reqwest::Method;
use serde_json::{Value, json};

use super::place::Address;
use super::{
    Change, Check, Comment, Draft, Forge, ForgeError, Pull, Standing, Verdict, at, github, text,
};

/// Items of a page.
const PAGE: (&str, &str) = ("limit", "50");
/// How the title of a draft begins.
const WIP: &str = "WIP: ";

pub(super) async fn find(
    forge: &Forge<'_>,
    from: Option<&Address>,
    branch: &str,
) -> Result<Option<Pull>, ForgeError> {
    let query = [("state", "open"), PAGE];
    let mut found = forge.client.list(&path(forge, &["pulls"]), &query, None).await?;
    let (owner, name) = from.unwrap_or(&forge.place.address).owner_and_name();
    let whole = format!("{owner}/{name}");
    found.retain(|pull| {
        let head = &pull["head"];
        let is_there = |it: &str| it.eq_ignore_ascii_case(&whole);
        head["ref"] == branch && head["repo"]["full_name"].as_str().is_none_or(is_there)
    });
    Ok(forge.read_all(&found, read)?.into_iter().next())
}

pub(super) async fn pull(forge: &Forge<'_>, number: u64) -> Result<Pull, ForgeError> {
    let number = number.to_string();
    let value = forge.client.get(&path(forge, &["pulls", &number]), &[]).await?;
    forge.read(&value, read)
}

pub(super) async fn create(forge: &Forge<'_>, draft: &Draft<'_>) -> Result<Pull, ForgeError> {
    let Draft { from, branch, into, title, body, is_draft } = *draft;
    let title = if is_draft { format!("{WIP}{title}") } else { title.to_owned() };
    let head = match from.map(Address::owner_and_name) {
        Some((owner, name)) => format!("{owner}/{name}:{branch}"),
        None => branch.to_owned(),
    };
    let ask = json!({"title": title, "head": head, "base": into, "body": body});
    let value = forge.client.send(Method::POST, &path(forge, &["pulls"]), &ask).await?;
    forge.read(&value, read)
}

pub(super) async fn change(
    forge: &Forge<'_>,
    number: u64,
    change: &Change<'_>,
) -> Result<Pull, ForgeError> {
    let mut ask = json!({});
    if let Some(title) = change.title {
        let is_draft = pull(forge, number).await?.title.starts_with(WIP);
        ask["title"] = format!("{}{title}", if is_draft { WIP } else { "" }).into();
    }
    for (key, value) in [("body", change.body), ("base", change.into)] {
        if let Some(value) = value {
            ask[key] = value.into();
        }
    }
    let number = number.to_string();
    let path = path(forge, &["pulls", &number]);
    let value = forge.client.send(Method::PATCH, &path, &ask).await?;
    forge.read(&value, read)
}

pub(super) async fn ask(
    forge: &Forge<'_>,
    number: u64,
    reviewers: &[String],
) -> Result<(), ForgeError> {
    let number = number.to_string();
    let path = path(forge, &["pulls", &number, "requested_reviewers"]);
    let ask = github::people_and_teams(reviewers);
    forge.client.send(Method::POST, &path, &ask).await.map(drop)
}

pub(super) async fn checks(forge: &Forge<'_>, commit: &str) -> Result<Vec<Check>, ForgeError> {
    let path = path(forge, &["commits", commit, "status"]);
    let found = forge.client.get(&path, &[PAGE]).await?;
    let found = forge.read(&found, |it| match &it["statuses"] {
        // Without any it is null.
        Value::Null => Some(Vec::new()),
        all => all.as_array().cloned(),
    })?;
    forge.read_all(&found, check)
}

pub(super) async fn comments(forge: &Forge<'_>, number: u64) -> Result<Vec<Comment>, ForgeError> {
    let number = number.to_string();
    let mut comments = Vec::new();
    let reviews = path(forge, &["pulls", &number, "reviews"]);
    for review in forge.client.list(&reviews, &[PAGE], None).await? {
        comments.push(forge.read(&review, |it| comment("review", it))?);
        let id = forge.read(&review, |it| it["id"].as_u64())?.to_string();
        let lines = path(forge, &["pulls", &number, "reviews", &id, "comments"]);
        let lines = forge.client.list(&lines, &[], None).await?;
        comments.extend(forge.read_all(&lines, |it| comment("line", it))?);
    }
    let said = path(forge, &["issues", &number, "comments"]);
    let said = forge.client.list(&said, &[], None).await?;
    comments.extend(forge.read_all(&said, |it| comment("comment", it))?);
    comments.retain(|comment| !comment.text.trim().is_empty());
    Ok(comments)
}

pub(super) async fn merge(forge: &Forge<'_>, number: u64, commit: &str) -> Result<(), ForgeError> {
    let number = number.to_string();
    let path = path(forge, &["pulls", &number, "merge"]);
    let ask = json!({"Do": "squash", "head_commit_id": commit});
    forge.client.send(Method::POST, &path, &ask).await.map(drop)
}

fn path<'a>(forge: &'a Forge<'_>, rest: &[&'a str]) -> Vec<&'a str> {
    let (owner, name) = forge.place.address.owner_and_name();
    [&["repos", owner, name], rest].concat()
}

fn read(value: &Value) -> Option<Pull> {
    Some(Pull {
        number: value["number"].as_u64()?,
        url: value["html_url"].as_str()?.to_owned(),
        title: text(value, "title"),
        body: text(value, "body"),
        into: value["base"]["ref"].as_str()?.to_owned(),
        head: value["head"]["sha"].as_str()?.to_owned(),
        standing: match value["state"].as_str()? {
            _ if value["merged"] == true => Standing::Merged,
            "open" => Standing::Open,
            _ => Standing::Closed,
        },
    })
}

fn check(value: &Value) -> Option<Check> {
    Some(Check {
        name: value["context"].as_str()?.to_owned(),
        verdict: match value["status"].as_str()? {
            "success" | "warning" | "skipped" => Verdict::Passed,
            "pending" => Verdict::Pending,
            _ => Verdict::Failed,
        },
        said: text(value, "description"),
        url: text(value, "target_url"),
        log: None,
    })
}

fn comment(kind: &str, value: &Value) -> Option<Comment> {
    let line = value["position"].as_u64().or_else(|| value["original_position"].as_u64());
    Some(Comment {
        id: format!("{kind}-{}", value["id"].as_u64()?),
        author: value["user"]["login"].as_str().unwrap_or("ghost").to_owned(),
        at: at(value["path"].as_str(), line.filter(|line| *line > 0)),
        text: text(value, "body"),
    })
}
