//! GitHub's REST interface, version 2022-11-28
//! (<https://github.com/github/rest-api-description>).
//!
//! Invariant: no request has a field that GitHub's own description does not have.

use reqwest::Method;
use serde_json::{Value, json};

use super::place::Address;
use super::{
    Change, Check, Comment, Draft, Forge, ForgeError, LOG, Pull, Standing, Verdict, at, fields,
    text,
};

/// Items of a page.
const PAGE: (&str, &str) = ("per_page", "100");

pub(super) async fn find(
    forge: &Forge<'_>,
    from: Option<&Address>,
    branch: &str,
) -> Result<Option<Pull>, ForgeError> {
    let (owner, _) = from.unwrap_or(&forge.place.address).owner_and_name();
    let head = format!("{owner}:{branch}");
    let query = [("state", "open"), ("head", head.as_str())];
    let found = forge.client.list(&path(forge, &["pulls"]), &query, None).await?;
    ours(forge, from, branch, &found)
}

/// The first of these for our branch: another fork may have one of its name.
pub(super) fn ours(
    forge: &Forge<'_>,
    from: Option<&Address>,
    branch: &str,
    found: &[Value],
) -> Result<Option<Pull>, ForgeError> {
    let (owner, name) = from.unwrap_or(&forge.place.address).owner_and_name();
    let whole = format!("{owner}/{name}");
    let is_ours = |pull: &&Value| {
        let head = &pull["head"];
        // A fork that was deleted has no name.
        let repo = head["repo"]["full_name"].as_str();
        head["ref"] == branch && repo.is_some_and(|it| it.eq_ignore_ascii_case(&whole))
    };
    found.iter().find(is_ours).map(|pull| forge.read(pull, read)).transpose()
}

pub(super) async fn pull(forge: &Forge<'_>, number: &str) -> Result<Pull, ForgeError> {
    forge.get(&path(forge, &["pulls", number]), read).await
}

pub(super) async fn create(forge: &Forge<'_>, draft: &Draft<'_>) -> Result<Pull, ForgeError> {
    let Draft { from, branch, into, title, body, is_draft } = *draft;
    let mut ask = json!({
        "title": title, "head": branch, "base": into, "body": body, "draft": is_draft,
    });
    if let Some((owner, name)) = from.map(Address::owner_and_name) {
        ask["head"] = format!("{owner}:{branch}").into();
        ask["head_repo"] = name.into();
    }
    forge.send(Method::POST, &path(forge, &["pulls"]), &ask, read).await
}

pub(super) async fn change(
    forge: &Forge<'_>,
    number: &str,
    change: &Change<'_>,
) -> Result<Pull, ForgeError> {
    let Change { title, body, into } = *change;
    let ask = fields([("title", title), ("body", body), ("base", into)]);
    forge.send(Method::PATCH, &path(forge, &["pulls", number]), &ask, read).await
}

pub(super) async fn ask(
    forge: &Forge<'_>,
    number: &str,
    reviewers: &[String],
) -> Result<(), ForgeError> {
    let name = |it: &String| it.trim_start_matches('@').to_owned();
    let (teams, people): (Vec<_>, Vec<_>) =
        reviewers.iter().map(name).partition(|it| it.contains('/'));
    let teams: Vec<_> = teams.iter().filter_map(|it| it.rsplit('/').next()).collect();
    let ask = json!({"reviewers": people, "team_reviewers": teams});
    let path = path(forge, &["pulls", number, "requested_reviewers"]);
    forge.client.send(Method::POST, &path, &ask).await.map(drop)
}

pub(super) async fn checks(forge: &Forge<'_>, commit: &str) -> Result<Vec<Check>, ForgeError> {
    let runs = path(forge, &["commits", commit, "check-runs"]);
    let runs = forge.client.list(&runs, &[PAGE], Some("check_runs")).await?;
    let mut checks = forge.read_all(&runs, check_run)?;
    let statuses = path(forge, &["commits", commit, "status"]);
    let statuses = forge.client.list(&statuses, &[PAGE], Some("statuses")).await?;
    checks.extend(forge.read_all(&statuses, status)?);
    Ok(checks)
}

pub(super) async fn log(forge: &Forge<'_>, id: &str) -> Result<String, ForgeError> {
    forge.client.text(&path(forge, &["actions", "jobs", id, "logs"]), LOG).await
}

pub(super) async fn comments(forge: &Forge<'_>, number: &str) -> Result<Vec<Comment>, ForgeError> {
    let mut comments = Vec::new();
    for (kind, path) in [
        ("review", ["pulls", number, "reviews"]),
        ("line", ["pulls", number, "comments"]),
        ("comment", ["issues", number, "comments"]),
    ] {
        let read = |value: &Value| comment(kind, value, ["line", "original_line"]);
        comments.extend(forge.list(&self::path(forge, &path), &[PAGE], read).await?);
    }
    Ok(comments)
}

pub(super) async fn merge(forge: &Forge<'_>, number: &str, commit: &str) -> Result<(), ForgeError> {
    let path = path(forge, &["pulls", number, "merge"]);
    let ask = json!({"sha": commit, "merge_method": "squash"});
    forge.client.send(Method::PUT, &path, &ask).await.map(drop)
}

pub(super) fn path<'a>(forge: &'a Forge<'_>, rest: &[&'a str]) -> Vec<&'a str> {
    let (owner, name) = forge.place.address.owner_and_name();
    [&["repos", owner, name], rest].concat()
}

pub(super) fn read(value: &Value) -> Option<Pull> {
    let is_merged = value["merged_at"].is_string() || value["merged"] == true;
    Some(Pull {
        number: value["number"].as_u64()?,
        url: value["html_url"].as_str()?.to_owned(),
        title: text(value, "title"),
        body: text(value, "body"),
        into: value["base"]["ref"].as_str()?.to_owned(),
        head: value["head"]["sha"].as_str()?.to_owned(),
        standing: match value["state"].as_str()? {
            _ if is_merged => Standing::Merged,
            "open" => Standing::Open,
            _ => Standing::Closed,
        },
    })
}

fn check_run(value: &Value) -> Option<Check> {
    let verdict = match (value["status"].as_str()?, value["conclusion"].as_str()) {
        ("completed", Some("success" | "neutral" | "skipped")) => Verdict::Passed,
        ("completed", _) => Verdict::Failed,
        _ => Verdict::Pending,
    };
    let output = &value["output"];
    let said = ["title", "summary"].map(|key| text(output, key));
    let is_job = value["app"]["slug"] == "github-actions";
    Some(Check {
        name: value["name"].as_str()?.to_owned(),
        verdict,
        said: said.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join("\n"),
        url: text(value, "html_url"),
        // A job of Actions has the number of its check run.
        log: value["id"].as_u64().filter(|_| is_job).map(|id| id.to_string()),
    })
}

/// What a program has said of a commit; Forgejo has another word for its state, and more of them.
pub(super) fn status(value: &Value) -> Option<Check> {
    let state = value["state"].as_str().or_else(|| value["status"].as_str())?;
    Some(Check {
        name: value["context"].as_str()?.to_owned(),
        verdict: match state {
            "success" | "warning" | "skipped" => Verdict::Passed,
            "pending" => Verdict::Pending,
            _ => Verdict::Failed,
        },
        said: text(value, "description"),
        url: text(value, "target_url"),
        log: None,
    })
}

/// A comment, with the first of these that is the number of a line.
pub(super) fn comment(kind: &str, value: &Value, lines: [&str; 2]) -> Option<Comment> {
    let line = lines.iter().filter_map(|key| value[key].as_u64()).find(|line| *line > 0);
    Some(Comment {
        id: format!("{kind}-{}", value["id"].as_u64()?),
        author: value["user"]["login"].as_str().unwrap_or("ghost").to_owned(),
        at: at(value["path"].as_str(), line),
        text: text(value, "body"),
    })
}
