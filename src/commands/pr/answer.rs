//! What came of a pull request, for people and programs.
//!
//! Invariant: the fields are format 1; one may be added, none renamed or removed.

use serde::Serialize;

use super::Job;
use super::open::{Done, Outcome, Would};
use super::stack::{self, Brought};
use crate::error::{CommandError, Kind, Result, exit};
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
    /// The session below it in its stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    stands_on: Option<&'a str>,
    /// In a dry run alone.
    title: Option<&'a str>,
    body: Option<&'a str>,
}

/// Tells what would be done.
pub(super) fn would(job: &Job<'_>, all: &[Would], as_json: bool) -> Result {
    let ui = job.context.ui;
    if as_json {
        return print(ui, job, &all.iter().map(View::would).collect::<Vec<_>>());
    }
    for (at, would) in all.iter().enumerate() {
        if at > 0 {
            ui.answer("")?;
        }
        ui.answer(&page(would))?;
        caveats(ui, &would.plan);
        if let Some(why) = &would.plan.due {
            ui.narrate(&format!("It would be verified first: {why}"));
        }
    }
    Ok(())
}

/// Tells what was done.
///
/// # Errors
/// Told, with exit code 3: a person has to open it. Or why it went no further.
pub(super) fn tell(job: &Job<'_>, brought: Brought, as_json: bool) -> Result {
    let (ui, Brought { done, refused }) = (job.context.ui, brought);
    if as_json && !done.is_empty() {
        print(ui, job, &done.iter().map(View::done).collect::<Vec<_>>())?;
    }
    let mut by_hand = None;
    for done in &done {
        if !as_json {
            ui.answer(&line(done))?;
        }
        caveats(ui, &done.ready.plan);
        match &done.outcome {
            Outcome::Opened | Outcome::Updated => {
                if done.made == Made::Nothing && !as_json {
                    ui.narrate(&format!("  {} has all of it already", done.pull.branch));
                }
            }
            // Of a stack what is in the way of one is in the way of all.
            Outcome::ByHand { why, hint } => by_hand = Some((why, hint, &done.pull.commit)),
        }
    }
    if let Some(error) = refused {
        return Err(error);
    }
    if let Some(top) = done.last().filter(|top| top.made == Made::Moved)
        && let Some(upper) = stack::above(job, &top.session.id)?
    {
        ui.hint(&format!("git agent pr {upper} --stack brings what stands on it along"));
    }
    let Some((why, hint, commit)) = by_hand else { return Ok(()) };
    ui.warning(why);
    ui.hint(hint);
    ui.hint(&format!("git format-patch -o . {}^! makes a mail of it", short(commit)));
    Err(CommandError::new(Kind::Told(exit::NEEDS_PERSON), why))
}

/// One as `pull`, a stack as `stack`, the lowest first.
fn print(ui: &Ui, job: &Job<'_>, views: &[View<'_>]) -> Result {
    let text = match views {
        [one] if !job.how.stack => json::named("pull", one)?,
        all => json::named("stack", &all)?,
    };
    Ok(ui.answer(&text)?)
}

/// What would be pushed and opened.
fn page(would: &Would) -> String {
    let Would { route, plan, title, body, known, .. } = would;
    let verb = match known.as_ref().filter(|known| known.number.is_some()) {
        Some(known) => format!("update {}", known.url),
        None => "open a pull request".to_owned(),
    };
    let (branch, into) = (&route.branch, route.base());
    let first = format!(
        "Would push {branch} to {} and {verb} into {into} ({})",
        route.push_remote,
        sum(plan)
    );
    let body = body.lines().map(|line| text::neutral(line).into_owned());
    [first, String::new(), title.clone(), String::new()]
        .into_iter()
        .chain(body)
        .collect::<Vec<_>>()
        .join("\n")
}

/// What was done, in a line.
pub(super) fn line(done: &Done) -> String {
    let Done { ready, pull, outcome, .. } = done;
    let (branch, sum) = (&pull.branch, sum(&ready.plan));
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
    fn would(would: &'a Would) -> Self {
        let Would { session, route, plan, title, body, known, .. } = would;
        let number = known.as_ref().and_then(|known| known.number);
        let outcome = if number.is_some() { "would-update" } else { "would-open" };
        View {
            number,
            title: Some(title),
            body: Some(body),
            remote: &route.push_remote,
            branch: &route.branch,
            into: &route.into,
            stands_on: route.stands_on.as_deref(),
            ..View::of(session, outcome, plan)
        }
    }

    fn done(done: &'a Done) -> Self {
        let Done { session, ready, pull, outcome, .. } = done;
        let (word, by_hand) = match outcome {
            Outcome::Opened => ("opened", None),
            Outcome::Updated => ("updated", None),
            Outcome::ByHand { why, .. } => ("pushed", Some(why.as_str())),
        };
        let some = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        View {
            forge: some(&pull.forge),
            number: pull.number,
            url: some(&pull.url),
            state: some(&pull.state),
            remote: &pull.remote,
            branch: &pull.branch,
            into: &pull.into,
            stands_on: pull.stands_on.as_deref(),
            commit: some(&pull.commit),
            by_hand,
            ..View::of(session, word, &ready.plan)
        }
    }

    fn of(session: &'a Session, outcome: &'static str, plan: &Plan) -> Self {
        View {
            session: &session.id,
            outcome,
            forge: None,
            number: None,
            url: None,
            state: None,
            remote: "",
            branch: "",
            into: "",
            stands_on: None,
            commit: None,
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
