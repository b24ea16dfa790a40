//! What came of a pull request, for people and programs.
//!
//! Invariant: the fields are format 1; one may be added, none renamed or removed.

use serde::Serialize;

use super::open::{Done, Outcome, Would};
use crate::error::{CommandError, Kind, Result, exit};
use crate::event::PullRequest;
use crate::land::pull::Made;
use crate::plan::Plan;
use crate::session::store::Session;
use crate::ui::{Ui, json, text, units};

/// A pull request, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct View<'a> {
    session: &'a str,
    /// `opened`, `updated`, `pushed`; `would-open` and `would-update` in a dry run.
    outcome: &'static str,
    forge: Option<&'a str>,
    number: Option<u64>,
    url: Option<&'a str>,
    state: Option<&'a str>,
    remote: &'a str,
    branch: &'a str,
    into: &'a str,
    commit: Option<&'a str>,
    commits: usize,
    files: u64,
    insertions: u64,
    deletions: u64,
    verified: bool,
    unverified: Option<String>,
    /// Why a person has to open it.
    by_hand: Option<&'a str>,
    /// In a dry run alone.
    title: Option<&'a str>,
    body: Option<&'a str>,
}

/// Tells what would be done.
pub(super) fn would(ui: &Ui, session: &Session, would: &Would, as_json: bool) -> Result {
    let Would { route, plan, title, body, known } = would;
    let number = known.as_ref().and_then(|known| known.number);
    if as_json {
        let outcome = if number.is_some() { "would-update" } else { "would-open" };
        let none = PullRequest::default();
        let view = View {
            number,
            title: Some(title),
            body: Some(body),
            remote: &route.push_remote,
            branch: &route.branch,
            into: &route.into,
            ..View::of(session, outcome, plan, &none)
        };
        return Ok(ui.answer(&json::named("pull", &view)?)?);
    }
    let verb = match known.as_ref().filter(|_| number.is_some()) {
        Some(known) => format!("update {}", known.url),
        None => "open a pull request".to_owned(),
    };
    let (branch, into) = (&route.branch, route.base());
    let mut lines = vec![
        format!(
            "Would push {branch} to {} and {verb} into {into} ({})",
            route.push_remote,
            sum(plan)
        ),
        String::new(),
        title.clone(),
        String::new(),
    ];
    lines.extend(body.lines().map(|line| text::neutral(line).into_owned()));
    ui.answer(&lines.join("\n"))?;
    caveats(ui, plan);
    if let Some(why) = &plan.due {
        ui.narrate(&format!("It would be verified first: {why}"));
    }
    Ok(())
}

/// Tells what was done.
///
/// # Errors
/// Told, with exit code 3: a person has to open it.
pub(super) fn tell(ui: &Ui, session: &Session, done: &Done, as_json: bool) -> Result {
    let Done { plan, pull, made, outcome } = done;
    let word = match outcome {
        Outcome::Opened => "opened",
        Outcome::Updated => "updated",
        Outcome::ByHand { .. } => "pushed",
    };
    if as_json {
        let by_hand = match outcome {
            Outcome::ByHand { why, .. } => Some(why.as_str()),
            Outcome::Opened | Outcome::Updated => None,
        };
        let view = View { by_hand, ..View::of(session, word, plan, pull) };
        ui.answer(&json::named("pull", &view)?)?;
    } else {
        ui.answer(&line(done))?;
    }
    caveats(ui, plan);
    match outcome {
        Outcome::Opened | Outcome::Updated => {
            if *made == Made::Nothing && !as_json {
                ui.narrate(&format!("  {} has all of it already", pull.branch));
            }
            Ok(())
        }
        Outcome::ByHand { why, hint } => {
            ui.warning(why);
            ui.hint(hint);
            ui.hint(&format!("git format-patch -o . {}^! makes a mail of it", short(&pull.commit)));
            Err(CommandError::new(Kind::Told(exit::NEEDS_PERSON), why))
        }
    }
}

/// What was done, in a line.
pub(super) fn line(done: &Done) -> String {
    let Done { plan, pull, outcome, .. } = done;
    let (branch, sum) = (&pull.branch, sum(plan));
    match outcome {
        Outcome::Opened => format!("Opened {}  ({branch} into {}, {sum})", pull.url, pull.into),
        Outcome::Updated => format!("Updated {}  ({branch} into {}, {sum})", pull.url, pull.into),
        Outcome::ByHand { .. } if pull.url.is_empty() => {
            format!("Pushed {branch} to {} as {} ({sum})", pull.remote, short(&pull.commit))
        }
        Outcome::ByHand { .. } => {
            let pushed = format!("Pushed {branch} to {} as {}", pull.remote, short(&pull.commit));
            format!("{pushed} ({sum}); open it at\n{}", pull.url)
        }
    }
}

impl<'a> View<'a> {
    fn of(session: &'a Session, outcome: &'static str, plan: &Plan, pull: &'a PullRequest) -> Self {
        let some = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        View {
            session: &session.id,
            outcome,
            forge: some(&pull.forge),
            number: pull.number,
            url: some(&pull.url),
            state: some(&pull.state),
            remote: &pull.remote,
            branch: &pull.branch,
            into: &pull.into,
            commit: some(&pull.commit),
            commits: plan.commits,
            files: plan.stat.files,
            insertions: plan.stat.insertions,
            deletions: plan.stat.deletions,
            verified: plan.verified,
            unverified: plan.unverified.as_ref().or(plan.due.as_ref()).map(ToString::to_string),
            by_hand: None,
            title: None,
            body: None,
        }
    }
}

fn sum(plan: &Plan) -> String {
    let commits = units::counted(plan.commits as u64, "commit");
    let files = units::counted(plan.stat.files, "file");
    let stat = format!("{files} +{} -{}", plan.stat.insertions, plan.stat.deletions);
    format!("{} of {commits}, {stat}", plan.way.as_str())
}

fn caveats(ui: &Ui, plan: &Plan) {
    match &plan.unverified {
        Some(why) => ui.warning(&format!("not verified: {why}")),
        None if !plan.verified && plan.due.is_none() => {
            ui.narrate("  unverified: the session has no verify command");
        }
        None => {}
    }
    if !plan.left_behind.is_empty() {
        let files = units::counted(plan.left_behind.len() as u64, "new file");
        ui.warning(&format!(
            "{files} in no commit, and not pushed: {}",
            plan.left_behind.join(", ")
        ));
    }
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}
