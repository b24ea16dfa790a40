//! The table of a batch: a line for each repository.
//!
//! Invariant: what is shown is what each session says of itself now.

use serde::Serialize;

use super::list::{Batch, Member};
use crate::commands::view;
use crate::error::Result;
use crate::event::Update;
use crate::git::Repo;
use crate::session::journal;
use crate::session::state::{Phase, State, VerifyStatus};
use crate::session::store::{Session, Store};
use crate::ui::{Ui, json, text, units};

/// A repository of a batch as it is now.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    repository: String,
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
    #[serde(skip)]
    pub(super) phase: Option<Phase>,
    #[serde(skip)]
    pub(super) path: std::path::PathBuf,
}

impl Row {
    /// Whether it has not come to what was asked; of one that is at work, nobody knows yet.
    pub(super) fn has_failed(&self, was_awaited: bool) -> bool {
        let is_well = matches!(self.phase, Some(Phase::Done | Phase::Landed | Phase::NeedsInput));
        self.problem.is_some() || self.phase.is_none() || (was_awaited && !is_well)
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
}

/// All repositories of a batch, in their order.
pub(super) fn rows(batch: &Batch) -> Vec<Row> {
    batch.members.iter().map(|member| row(batch, member)).collect()
}

fn row(batch: &Batch, member: &Member) -> Row {
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
        phase: None,
        path: member.path.clone(),
    };
    let Some(id) = &member.session else { return row };
    match look(&member.path, id) {
        Ok((session, state)) => {
            row.state = Some(state.phase.as_str());
            row.phase = Some(state.phase);
            (row.files, row.insertions) = (state.changes.files, state.changes.insertions);
            row.deletions = state.changes.deletions;
            row.verify = state.verify_status();
            row.cost_usd = state.cost_usd;
            row.problem = problem(batch, &session, &state);
        }
        Err(error) => row.problem = Some(error.line()),
    }
    row
}

fn look(path: &std::path::Path, id: &str) -> Result<(Session, State)> {
    let repo = Repo::discover(path)?;
    let session = Store::open(repo.common_dir()).find(id)?;
    let state = session.state()?;
    Ok((session, state))
}

/// Why it did not come to an end; of a command that was run, that it failed.
fn problem(batch: &Batch, session: &Session, state: &State) -> Option<String> {
    if batch.exec.is_some()
        && let Ok(events) = journal::events(&session.journal_path())
        && let Some(failed) = events.iter().find_map(|event| match &event.update {
            Update::ToolCallUpdate(end) if end.result.is_error => Some(end.title.clone()),
            _ => None,
        })
    {
        return Some(failed);
    }
    match state.phase {
        Phase::Failed | Phase::Stopped | Phase::Interrupted | Phase::Paused => {
            Some(state.reason.clone())
        }
        _ => None,
    }
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
        row.problem.clone().unwrap_or_default(),
    ]
    .map(|cell| text::neutral(&cell).into_owned())
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
