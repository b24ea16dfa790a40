//! The REST interface of Forgejo and Gitea, version 1
//! (<https://codeberg.org/api/swagger>), where it is not as GitHub's.
//!
//! Invariant: only what both of them have is used.

use reqwest::Method;
use serde_json::{Value, json};

use super::github::{self, comment, path, read};
use super::place::Address;
use super::{Change, Check, Comment, Draft, Forge, ForgeError, LOG, Pull, fields};

/// Items of a page.
const PAGE: (&str, &str) = ("limit", "50");
/// How the title of a draft begins.
const WIP: &str = "WIP: ";

pub(super) async fn find(
    forge: &Forge<'_>,
    from: Option<&Address>,
    branch: &str,
) -> Result<Option<Pull>, ForgeError> {
    // Only newer ones can be asked for a branch.
    let query = [("state", "open"), ("sort", "recentupdate"), PAGE];
    let found = forge.client.list(&path(forge, &["pulls"]), &query, None).await?;
    github::ours(forge, from, branch, &found)
}

pub(super) async fn create(forge: &Forge<'_>, draft: &Draft<'_>) -> Result<Pull, ForgeError> {
    let Draft { from, branch, into, title, body, is_draft } = *draft;
    let title = if is_draft { format!("{WIP}{title}") } else { title.to_owned() };
    let head = match from.map(Address::owner_and_name) {
        Some((owner, name)) => format!("{owner}/{name}:{branch}"),
        None => branch.to_owned(),
    };
    let ask = json!({"title": title, "head": head, "base": into, "body": body});
    forge.send(Method::POST, &path(forge, &["pulls"]), &ask, read).await
}

pub(super) async fn change(
    forge: &Forge<'_>,
    number: &str,
    change: &Change<'_>,
) -> Result<Pull, ForgeError> {
    let path = path(forge, &["pulls", number]);
    let title = match change.title {
        Some(title) => Some(forge.titled(&path, title, WIP).await?),
        None => None,
    };
    let ask = fields([("title", title.as_deref()), ("body", change.body), ("base", change.into)]);
    forge.send(Method::PATCH, &path, &ask, read).await
}

pub(super) async fn checks(forge: &Forge<'_>, commit: &str) -> Result<Vec<Check>, ForgeError> {
    let path = path(forge, &["commits", commit, "status"]);
    let found = forge.client.list(&path, &[PAGE], Some("statuses")).await?;
    forge.read_all(&found, |value| {
        let mut check = github::status(value)?;
        check.log = job(&check.url).map(|(run, job)| format!("{commit} {run} {job}"));
        // Its own runner's pages are named from the host on.
        if let Some(page) = Some(&check.url).filter(|url| url.starts_with('/')) {
            check.url = forge.place.address.web.join(page).ok()?.into();
        }
        Some(check)
    })
}

/// The run and the job of a page of its own runner: `…/actions/runs/7/jobs/0`.
fn job(page: &str) -> Option<(u64, usize)> {
    let (_, rest) = page.split_once("/actions/runs/")?;
    let mut parts = rest.split('/');
    let run = parts.next()?.parse().ok()?;
    let job = parts.next().filter(|it| *it == "jobs").and_then(|_| parts.next())?;
    Some((run, job.parse().ok()?))
}

/// A job's log, where its interface knows of runs and jobs: that of older ones does not.
pub(super) async fn log(forge: &Forge<'_>, id: &str) -> Result<String, ForgeError> {
    let gone = || ForgeError::NotFound {
        host: forge.place.address.host.clone(),
        what: format!("log of the job {id}"),
    };
    let (commit, number, at) = whole(id).ok_or_else(gone)?;
    let runs = path(forge, &["actions", "runs"]);
    let query = [("head_sha", commit), PAGE];
    let runs = forge.client.list(&runs, &query, Some("workflow_runs")).await?;
    // They have two names for it.
    let is_it = |run: &&Value| ["index_in_repo", "run_number"].iter().any(|key| run[key] == number);
    let run = runs.iter().find(is_it).ok_or_else(gone)?["id"].to_string();
    let jobs = forge.client.get(&path(forge, &["actions", "runs", &run, "jobs"]), &[]).await?;
    // Gitea's is a listing with a count.
    let jobs = if jobs.is_array() { &jobs } else { &jobs["jobs"] };
    let job = jobs.get(at).ok_or_else(gone)?["id"].to_string();
    forge.client.text(&path(forge, &["actions", "jobs", &job, "logs"]), LOG).await
}

/// The commit, the run and the job that a log is asked for by.
fn whole(id: &str) -> Option<(&str, u64, usize)> {
    let mut parts = id.split(' ');
    Some((parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

pub(super) async fn comments(forge: &Forge<'_>, number: &str) -> Result<Vec<Comment>, ForgeError> {
    let at_line = |kind| move |it: &Value| comment(kind, it, ["position", "original_position"]);
    let mut comments = Vec::new();
    let reviews = path(forge, &["pulls", number, "reviews"]);
    for review in forge.client.list(&reviews, &[PAGE], None).await? {
        comments.push(forge.read(&review, at_line("review"))?);
        if review["comments_count"] == 0 {
            continue;
        }
        let id = forge.read(&review, |it| it["id"].as_u64())?.to_string();
        let lines = path(forge, &["pulls", number, "reviews", &id, "comments"]);
        let mut lines = forge.client.list(&lines, &[], None).await?;
        lines.retain(|line| line["resolver"].is_null());
        comments.extend(forge.read_all(&lines, at_line("line"))?);
    }
    let said = path(forge, &["issues", number, "comments"]);
    comments.extend(forge.list(&said, &[], at_line("comment")).await?);
    Ok(comments)
}

pub(super) async fn merge(forge: &Forge<'_>, number: &str, commit: &str) -> Result<(), ForgeError> {
    let path = path(forge, &["pulls", number, "merge"]);
    let ask = json!({"Do": "squash", "head_commit_id": commit});
    forge.client.send(Method::POST, &path, &ask).await.map(drop)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_page_of_its_own_runner_is_known() {
        assert_eq!(super::job("/ada/shop/actions/runs/7/jobs/0"), Some((7, 0)));
        let of_an_attempt = "https://git.example/lab/ada/shop/actions/runs/7/jobs/2/attempt/1";
        assert_eq!(super::job(of_an_attempt), Some((7, 2)));
        for other in
            ["https://ci.example/1", "/ada/shop/actions/runs/7", "/a/actions/runs/x/jobs/0"]
        {
            assert_eq!(super::job(other), None, "{other}");
        }
    }
}
