//! What was said about a pull request, for a person and for the session.
//!
//! Invariant: a comment is told to the session once.

use serde::Serialize;

use super::{Args, Job, outside, watch, way};
use crate::commands::control;
use crate::error::{CommandError, Result};
use crate::forge::Comment;
use crate::session::inbox::{Kind, When};
use crate::session::store::Session;
use crate::ui::{json, table};

/// A comment, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct View<'a> {
    id: &'a str,
    author: &'a str,
    at: Option<&'a str>,
    text: &'a str,
    /// Whether the session had not been told before.
    new: bool,
}

/// Lists them, and tells the session of the new ones unless nothing is to be done.
///
/// # Errors
/// There is no pull request, the forge cannot be asked, or the session takes no words.
pub(super) fn comments(job: &Job<'_>, session: &Session, args: &Args) -> Result {
    let context = job.context;
    let ui = context.ui;
    let known = session.state()?.pull_request;
    let Some((known, number)) = known.and_then(|known| known.number.map(|it| (known, it))) else {
        return Err(CommandError::no(format!("{} has no pull request", session.id))
            .hint(format!("git agent pr {}", session.id)));
    };
    let forge = way::forge(job, session)?;
    let all = control::block_on(forge.comments(number))??;
    let is_new = |comment: &Comment| !known.heard.contains(&comment.id);
    let views = all.iter().map(|comment| View {
        id: &comment.id,
        author: &comment.author,
        at: comment.at.as_deref(),
        text: &comment.text,
        new: is_new(comment),
    });
    let views: Vec<_> = views.collect();
    if args.json {
        ui.answer(&json::named("comments", &views)?)?;
    } else if views.is_empty() {
        ui.narrate(&format!("Nobody has said anything about {}", known.url));
    } else {
        let row = |it: &View<'_>| {
            let at = it.at.unwrap_or("-").to_owned();
            vec![it.author.to_owned(), at, it.text.split_whitespace().collect::<Vec<_>>().join(" ")]
        };
        let rows: Vec<_> = views.iter().map(row).collect();
        ui.answer(&table::plain(&["AUTHOR", "AT", "COMMENT"], &rows, &ui.look()))?;
    }
    let new: Vec<_> = all.iter().filter(|it| is_new(it)).cloned().collect();
    if new.is_empty() || args.dry_run {
        return Ok(());
    }
    let heard: Vec<_> = new.iter().map(|it| it.id.clone()).collect();
    let words = outside::words(&known, &[], &[], &new);
    watch::remember(context, session, |known| known.heard.extend(heard))?;
    control::send(session, Kind::Say { text: words, when: When::AfterStep })?;
    let woken = control::wake(context, session)?;
    let about = outside::about(&[], &new);
    ui.narrate(&format!("Told {} of {about}; it {}", session.id, woken.words()));
    ui.hint(&format!("git agent pr {} pushes what it makes of that", session.id));
    Ok(())
}
