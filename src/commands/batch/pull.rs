//! The pull requests of a batch: one in each repository, each with the pages of all.
//!
//! Invariant: whoever opens one, the run of its session or a person who waits, a second one is never
//! opened; and what fails in one repository keeps no other from its own.

use std::time::Duration;

use super::list::{Batch, Pulls};
use super::row::{self, Row};
use super::{agent, why};
use crate::commands::context::Context;
use crate::commands::pr;
use crate::error::{CommandError, Kind, Result};
use crate::land::pull::Siblings;
use crate::process::Finished;
use crate::session::lock::{Lock, LockError};
use crate::session::pull::PullWish;
use crate::session::store::Session;
use crate::ui::Ui;

/// The option of `git agent pr` that goes on after it is opened.
pub(super) const WATCH: &str = "--watch";
/// Between two looks at one that is being opened by somebody else.
const LOOK: Duration = Duration::from_secs(1);

/// Opens what is still to be opened, and lets all tell of each other; what went wrong stands in the
/// rows.
pub(super) fn open_all(ui: &Ui, batch: &Batch, rows: &mut [Row]) -> Result {
    if batch.pulls.as_ref().is_some_and(|pulls| pulls.together) {
        check_all(batch, rows)?;
    }
    for row in rows.iter_mut() {
        open(ui, batch, row);
    }
    link(ui, batch, rows);
    Ok(())
}

/// Opens the one of this repository, if it has work and none is there yet.
pub(super) fn open(ui: &Ui, batch: &Batch, row: &mut Row) {
    let opened = begin(row).and_then(|begun| {
        let Some(_lock) = begun else { return Ok(None) };
        let options = batch.pulls.clone().unwrap_or_default().options;
        let args = ["pr", row.session(), "--in-background"];
        Ok(Some(agent(&row.path, &args)?.args(options).run()?))
    });
    row.refresh();
    match opened {
        Ok(None) => {}
        Ok(Some(done)) => {
            for line in String::from_utf8_lossy(&done.stdout).lines() {
                ui.narrate(&format!("  {}: {line}", row.repository));
            }
            if done.exit != 0 {
                row.pull_problem = Some(not_opened(&done));
                row.exit = done.exit;
            }
        }
        Err(error) => row.pull_problem = Some(error.line()),
    }
}

/// After the run of a session: opens its own; and who is the last lets all tell of each other.
pub(super) fn after(ui: &Ui, batch: &Batch, id: &str) -> Result {
    let mut rows = row::rows(batch);
    let Some(own) = rows.iter_mut().find(|row| row.session.as_deref() == Some(id)) else {
        return Err(CommandError::no(format!("{id} is not of batch {}", batch.id)));
    };
    open(ui, batch, own);
    let (path, has_one) = (own.path.clone(), own.page().is_some());
    // Others were opened meanwhile: who looks last sees all.
    let others = rows.iter_mut().filter(|row| row.session.as_deref() != Some(id));
    others.for_each(Row::refresh);
    if !rows.iter().any(Row::may_bring_one) {
        link(ui, batch, &rows);
    }
    let wish = PullWish::read(&row::look(&path, id)?.0)?;
    let is_watched = wish.is_some_and(|wish| wish.options.iter().any(|option| option == WATCH));
    if is_watched && has_one {
        agent(&path, &["pr", id, "--in-background", WATCH])?.run()?;
    }
    Ok(())
}

/// Lets all that are open tell of each other, where there is more than one.
pub(super) fn link(ui: &Ui, batch: &Batch, rows: &[Row]) {
    let pages: Vec<_> = rows.iter().filter_map(Row::page).map(|(_, page)| page).collect();
    if pages.len() < 2 {
        return;
    }
    let siblings = Siblings {
        batch: &batch.id,
        without: rows.len() - pages.len(),
        pages,
        is_ordered: batch.pulls.as_ref().is_some_and(|pulls| pulls.together),
    };
    for row in rows {
        let Some((number, page)) = row.page() else { continue };
        let linked = Context::open_in(ui, &row.path).and_then(|context| {
            let session = context.store.find(row.session())?;
            pr::link(&context, &session, number, &siblings.text(page))
        });
        if let Err(error) = linked {
            // It is open; the next run tells of the others.
            ui.warning(&format!("{page} does not tell of the others: {}", error.line()));
        }
    }
}

/// Refuses where not all are green, or where one could not be opened.
fn check_all(batch: &Batch, rows: &[Row]) -> Result {
    let id = &batch.id;
    let refused = |row: &Row, why: &str| {
        let message = format!("no pull request is opened: {}: {why}", row.repository);
        CommandError::no(message)
            .hint(format!("git agent batch pr {id} opens them once all is well"))
    };
    if let Some(red) = rows.iter().find(|row| !row.is_green()) {
        return Err(refused(red, red.problem.as_deref().unwrap_or("it is not done")));
    }
    for row in rows.iter().filter(|row| row.is_to_open()) {
        let done = agent(&row.path, &["pr", row.session(), "--dry-run"])?.run()?;
        if done.exit != 0 {
            return Err(refused(row, &why(&done)));
        }
    }
    Ok(())
}

/// The lock that keeps others from opening it meanwhile; none where there is none to open.
fn begin(row: &mut Row) -> Result<Option<Lock>> {
    if !row.is_to_open() {
        return Ok(None);
    }
    let (session, _) = row::look(&row.path, row.session())?;
    let lock = held(&session)?;
    let (_, state) = row::look(&row.path, row.session())?;
    let is_open = state.pull_request.is_some_and(|pull| pull.number.is_some());
    Ok(Some(lock).filter(|_| !is_open))
}

/// Waits for whoever opens it just now.
fn held(session: &Session) -> Result<Lock> {
    loop {
        match Lock::acquire_within(&session.dir.join("opening.lock"), LOOK) {
            Err(LockError::Held { .. }) => {}
            lock => return lock.map_err(|error| CommandError::from_error(Kind::No, &error)),
        }
    }
}

/// Why it was not opened: an error, or what a person has to do about it.
fn not_opened(done: &Finished) -> String {
    let said = String::from_utf8_lossy(&done.stderr);
    let warned = said.lines().find_map(|line| line.strip_prefix("warning: "));
    warned.filter(|_| done.exit != 1).map_or_else(|| why(done), str::to_owned)
}

impl Pulls {
    /// With these options of `git agent pr`.
    pub(super) fn new(options: Vec<String>, together: bool) -> Self {
        Self { together, options }
    }
}
