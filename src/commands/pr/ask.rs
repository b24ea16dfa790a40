//! What is asked of a forge: a pull request, opened or brought up to date.
//!
//! Invariant: one that is open already is updated, never doubled; of what a person wrote there only
//! our own part changes.

use super::HowArgs;
use super::open::Outcome;
use crate::event::PullRequest;
use crate::forge::place::{Address, Place};
use crate::forge::{Change, Draft, Forge, ForgeError, Pull, Standing};
use crate::land::pull::{self, Route};

/// What is asked for.
pub(super) struct Asked<'a> {
    pub(super) route: &'a Route,
    pub(super) how: &'a HowArgs,
    /// The title that a person wishes for.
    pub(super) title: Option<&'a str>,
    /// Its title else.
    pub(super) subject: &'a str,
    pub(super) body: &'a str,
}

/// Opens the pull request, or updates the one that is there.
///
/// # Errors
/// The forge refuses, or cannot be asked.
pub(super) async fn ask(
    forge: &Forge<'_>,
    asked: &Asked<'_>,
    known: &PullRequest,
) -> Result<(Pull, Outcome), ForgeError> {
    let Asked { route, how, .. } = asked;
    let from = (route.push_url != route.url).then(|| Address::parse(&route.push_url)).flatten();
    let from = from.filter(|from| from.path != forge.place().address.path);
    let there = match known.number {
        Some(number) => Some(forge.pull(number).await?).filter(is_open),
        None => None,
    };
    let there = match there {
        Some(there) => Some(there),
        None => forge.find(from.as_ref(), &route.branch).await?,
    };
    let (pull, outcome) = match there {
        Some(there) => (update(forge, asked, there).await?, Outcome::Updated),
        None => {
            let draft = Draft {
                from: from.as_ref(),
                branch: &route.branch,
                into: &route.into,
                title: asked.title.unwrap_or(asked.subject),
                body: asked.body,
                is_draft: how.draft,
            };
            match forge.create(&draft).await {
                Ok(pull) => (pull, Outcome::Opened),
                // Somebody was quicker, or it was not in the listing yet.
                Err(error @ ForgeError::Refused { status: 409 | 422, .. }) => {
                    let found = forge.find(from.as_ref(), &route.branch).await?;
                    let found = found.ok_or(error)?;
                    (update(forge, asked, found).await?, Outcome::Updated)
                }
                Err(error) => return Err(error),
            }
        }
    };
    if !how.reviewer.is_empty() {
        forge.ask(pull.number, &how.reviewer).await?;
    }
    Ok((pull, outcome))
}

fn is_open(pull: &Pull) -> bool {
    pull.standing == Standing::Open
}

/// Brings our part of the description up to date; a title only where one is given.
async fn update(forge: &Forge<'_>, asked: &Asked<'_>, there: Pull) -> Result<Pull, ForgeError> {
    let body = pull::renewed(&there.body, asked.body);
    let title = asked.title.filter(|title| *title != there.title);
    let into = Some(asked.route.into.as_str()).filter(|into| *into != there.into);
    let change = Change { title, body: body.as_deref(), into };
    match change {
        Change { title: None, body: None, into: None } => Ok(there),
        change => forge.change(there.number, &change).await,
    }
}

/// Brings our part of a description up to date, and nothing else.
///
/// # Errors
/// The forge refuses, or cannot be asked.
pub(super) async fn describe(
    forge: &Forge<'_>,
    there: &Pull,
    body: &str,
) -> Result<(), ForgeError> {
    let Some(body) = pull::renewed(&there.body, body) else { return Ok(()) };
    let change = Change { body: Some(&body), ..Change::default() };
    forge.change(there.number, &change).await.map(drop)
}

/// What is known of it once the forge has answered.
pub(super) fn with_number(known: &PullRequest, place: &Place, pull: &Pull) -> PullRequest {
    PullRequest {
        forge: place.kind.as_str().to_owned(),
        number: Some(pull.number),
        url: pull.url.clone(),
        state: pull.standing.as_str().to_owned(),
        ..known.clone()
    }
}
