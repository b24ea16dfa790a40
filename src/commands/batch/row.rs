//! The table of a batch: a line for each repository.
//!
//! Invariant: what is shown is what each session says of itself now.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::list::{Batch, Member};
use crate::commands::view;
use crate::error::{Result, exit};
use crate::git::Repo;
use crate::session::pull::NEEDS_PERSON;
use crate::session::state::{Phase, State, VerifyStatus};
use crate::session::store::{Session, Store};
use crate::ui::view::PullView;
use crate::ui::{Ui, json, text, units};

/// A repository of a batch as it is now.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) repository: String,
    pub(super) session: Option<String>,
    /// The session's state; none where there is no session.
    state: Option<&'static str>,
    files: u64,
    insertions: u64,
    deletions: u64,
    verify: VerifyStatus,
    cost_usd: Option<f64>,
    /// What went wrong.
    pub(super) problem: Option<String>,
    pull_request: Option<PullView>,
    /// Why there is no pull request, where there was to be one.
    pub(super) pull_problem: Option<String>,
    /// The exit code of the run that was to open it, where that was now.
    #[serde(skip)]
    pub(super) exit: i32,
    #[serde(skip)]
    pub(super) phase: Option<Phase>,
    #[serde(skip)]
    pub(super) path: PathBuf,
}

impl Row {
    /// Its session; empty where it has none.
    pub(super) fn session(&self) -> &str {
        self.session.as_deref().unwrap_or_default()
    }

    /// Whether it has not come to what was asked; of one that is at work, nobody knows yet.
    pub(super) fn has_failed(&self, was_awaited: bool) -> bool {
        let is_well = matches!(self.phase, Some(Phase::Done | Phase::Landed | Phase::NeedsInput));
        let has_none = self.pull_problem.is_some() && !self.is_by_hand();
        has_none || self.problem.is_some() || self.phase.is_none() || (was_awaited && !is_well)
    }

    /// Whether its session asks a person.
    pub(super) fn is_asking(&self) -> bool {
        self.phase == Some(Phase::NeedsInput)
    }

    /// Whether its pull request is left to a person.
    pub(super) fn is_by_hand(&self) -> bool {
        self.exit == i32::from(exit::NEEDS_PERSON)
    }

    /// Whether it may land: done, and verified where that was asked for.
    pub(super) fn is_green(&self) -> bool {
        let is_done = matches!(self.phase, Some(Phase::Done | Phase::Landed));
        is_done && self.problem.is_none() && self.verify != VerifyStatus::Failed
    }

    /// Whether there is anything to land.
    pub(super) fn is_to_land(&self) -> bool {
        self.phase == Some(Phase::Done) && self.files > 0
    }

    /// Number and page of its pull request, once there is one.
    pub(super) fn page(&self) -> Option<(u64, &str)> {
        let pull = self.pull_request.as_ref()?;
        Some((pull.number?, &pull.url))
    }

    /// Whether there is a pull request to open.
    pub(super) fn is_to_open(&self) -> bool {
        self.is_to_land() && self.is_green() && self.page().is_none()
    }

    /// Whether it may yet have a pull request, as far as nobody does more about it.
    pub(super) fn may_bring_one(&self) -> bool {
        let is_tried = self.pull_request.is_some() || self.pull_problem.is_some();
        match self.phase {
            None => self.session.is_none() && self.problem.is_none(),
            Some(Phase::Done) => self.is_to_open() && !is_tried,
            Some(Phase::NeedsInput | Phase::Paused | Phase::Interrupted) => true,
            Some(phase) => phase.needs_supervisor(),
        }
    }

    /// Looks at it anew.
    pub(super) fn refresh(&mut self) {
        let Some(id) = &self.session else { return };
        match look(&self.path, id) {
            Ok((_, state)) => self.take(&state),
            Err(error) => self.problem = Some(error.line()),
        }
    }

    fn take(&mut self, state: &State) {
        self.state = Some(state.phase.as_str());
        self.phase = Some(state.phase);
        (self.files, self.insertions) = (state.changes.files, state.changes.insertions);
        self.deletions = state.changes.deletions;
        self.verify = state.verify_status();
        self.cost_usd = state.cost_usd;
        self.problem = problem(state);
        self.pull_request = state.pull_request.as_ref().map(view::pull);
        self.pull_problem = pull_problem(state).filter(|_| self.page().is_none());
    }
}

/// All repositories of a batch, in their order.
pub(super) fn rows(batch: &Batch) -> Vec<Row> {
    batch.members.iter().map(row).collect()
}

fn row(member: &Member) -> Row {
    let mut row = Row {
        repository: view::from_here(&member.path),
        session: member.session.clone(),
        state: None,
        files: 0,
        insertions: 0,
        deletions: 0,
        verify: VerifyStatus::None,
        cost_usd: None,
        problem: member.error.clone(),
        pull_request: None,
        pull_problem: None,
        exit: 0,
        phase: None,
        path: member.path.clone(),
    };
    row.refresh();
    row
}

/// The session of a repository, and where it is.
pub(super) fn look(path: &Path, id: &str) -> Result<(Session, State)> {
    let repo = Repo::discover(path)?;
    let session = Store::open(repo.common_dir()).find(id)?;
    let state = session.state()?;
    Ok((session, state))
}

/// Why it did not come to an end.
fn problem(state: &State) -> Option<String> {
    match state.phase {
        Phase::Failed | Phase::Stopped | Phase::Interrupted | Phase::Paused => {
            Some(state.reason.clone())
        }
        _ => None,
    }
}

/// What was said last of a pull request that did not come to be.
fn pull_problem(state: &State) -> Option<String> {
    let why = state.notices.iter().rev().find_map(|it| it.strip_prefix(NEEDS_PERSON))?;
    Some(why.to_owned())
}

/// A batch, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct View<'a> {
    id: &'a str,
    task: &'a str,
    created: jiff::Timestamp,
    budget_usd: Option<f64>,
    repositories: &'a [Row],
}

fn of<'a>(batch: &'a Batch, rows: &'a [Row]) -> View<'a> {
    let Batch { id, task, created, budget, .. } = batch;
    View { id, task, created: *created, budget_usd: *budget, repositories: rows }
}

/// Prints the table, or JSON.
pub(super) fn show(ui: &Ui, batch: &Batch, rows: &[Row], as_json: bool) -> Result {
    if as_json {
        return Ok(ui.answer(&json::named("batch", &of(batch, rows))?)?);
    }
    let head = ["REPOSITORY", "SESSION", "STATE", "CHANGES", "VERIFY", "COST", ""];
    let mut table = vec![head.map(str::to_owned)];
    table.extend(rows.iter().map(cells));
    Ok(ui.answer(&aligned(&table))?)
}

fn cells(row: &Row) -> [String; 7] {
    let changes = match row.files {
        0 => "-".to_owned(),
        files => {
            let files = units::counted(files, "file");
            format!("{files} +{} -{}", row.insertions, row.deletions)
        }
    };
    let verify = match row.verify {
        VerifyStatus::Passed => "passed",
        VerifyStatus::Failed => "failed",
        VerifyStatus::None => "-",
    };
    let state = row.state.unwrap_or("not started").replace('-', " ");
    let cost = if row.session.is_some() { units::cost(row.cost_usd) } else { "-".to_owned() };
    [
        row.repository.clone(),
        row.session.clone().unwrap_or_else(|| "-".to_owned()),
        state,
        changes,
        verify.to_owned(),
        cost,
        said(row),
    ]
    .map(|cell| text::neutral(&cell).into_owned())
}

/// What is to be said of it besides: what went wrong, else the page of its pull request.
fn said(row: &Row) -> String {
    let problem = row.problem.as_ref().or(row.pull_problem.as_ref());
    match (problem, &row.pull_request) {
        (Some(problem), Some(pull)) if !pull.url.is_empty() && row.problem.is_none() => {
            format!("{problem}; open it at {}", pull.url)
        }
        (Some(problem), _) => problem.clone(),
        (None, Some(pull)) => format!("{} {}", pull.url, pull.state).trim_start().to_owned(),
        (None, None) => String::new(),
    }
}

/// Columns two spaces apart, each as wide as its widest cell.
fn aligned<const N: usize>(table: &[[String; N]]) -> String {
    let width = |at: usize| table.iter().map(|row| crate::ui::width(&row[at])).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    let mut lines = String::new();
    for row in table {
        let cells = row.iter().zip(&widths).map(|(cell, width)| text::pad(cell, *width));
        lines.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        lines.push('\n');
    }
    lines
}

/// Prints all batches, or JSON.
pub(super) fn show_all(ui: &Ui, batches: &[Batch], as_json: bool) -> Result {
    if as_json {
        let rows: Vec<_> = batches.iter().map(|batch| (batch, rows(batch))).collect();
        let views: Vec<_> = rows.iter().map(|(batch, rows)| of(batch, rows)).collect();
        return Ok(ui.answer(&json::named("batches", &views)?)?);
    }
    let mut table = vec![["BATCH", "REPOSITORIES", "DONE", "FAILED", "AGE"].map(str::to_owned)];
    for batch in batches.iter().rev() {
        let rows = rows(batch);
        let count = |is: fn(&Row) -> bool| rows.iter().filter(|row| is(row)).count().to_string();
        table.push([
            batch.id.clone(),
            rows.len().to_string(),
            count(Row::is_green),
            count(|row| row.has_failed(false)),
            units::ago(batch.created, jiff::Timestamp::now()),
        ]);
    }
    match batches.is_empty() {
        true => ui.narrate("No batches yet"),
        false => ui.answer(&aligned(&table))?,
    }
    Ok(())
}
