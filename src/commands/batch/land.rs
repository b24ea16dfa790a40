//! The landing of a batch: all of it, in order, or none.
//!
//! Invariant: nothing moves before every landing was rehearsed; where one is refused all the same,
//! those before it are taken back, the last first, and what cannot be is named with the command.

use super::list::Batch;
use super::row::{self, Row};
use super::{agent, why};
use crate::error::{CommandError, Result};
use crate::ui::Ui;

/// Lands every session of a batch.
///
/// # Errors
/// One is not green, or its landing is refused; then none has landed, but what is named.
pub(super) fn land(ui: &Ui, batch: &Batch) -> Result {
    let rows = row::rows(batch);
    let id = &batch.id;
    if let Some(red) = rows.iter().find(|row| !row.is_green()) {
        let what = red.problem.clone().unwrap_or_else(|| "it is not done".to_owned());
        let message = format!("nothing lands: {}: {what}", red.path.display());
        return Err(CommandError::no(message).hint(format!("git agent batch status {id}")));
    }
    let to_land: Vec<&Row> = rows.iter().filter(|row| row.is_to_land()).collect();
    for row in &to_land {
        merge(row, &["--dry-run"]).map_err(|why| refused(row, &why, "nothing has landed"))?;
    }
    let mut landed: Vec<&Row> = Vec::new();
    for row in &to_land {
        if let Err(why) = merge(row, &[]) {
            let left = take_back(ui, &landed);
            let rest = match left.as_slice() {
                [] => "nothing has landed".to_owned(),
                left => format!("{} could not be taken back", left.len()),
            };
            let error = refused(row, &why, &rest);
            return Err(left.into_iter().fold(error, CommandError::hint));
        }
        landed.push(row);
    }
    for row in &landed {
        ui.narrate(&format!("  landed {} in {}", row.session(), row.path.display()));
    }
    Ok(())
}

fn refused(row: &Row, why: &str, rest: &str) -> CommandError {
    let message = format!("{rest}: {}: {why}", row.path.display());
    let folder = row.path.display();
    CommandError::no(message).hint(format!("git agent -C {folder} merge {}", row.session()))
}

/// Takes landings back, the last first; the commands for those that could not be.
fn take_back(ui: &Ui, landed: &[&Row]) -> Vec<String> {
    let mut left = Vec::new();
    for row in landed.iter().rev() {
        match merge(row, &["--undo"]) {
            Ok(()) => {
                ui.narrate(&format!("  took back {} in {}", row.session(), row.path.display()));
            }
            Err(why) => {
                ui.warning(&format!("{}: {why}", row.path.display()));
                let folder = row.path.display();
                left.push(format!("git agent -C {folder} merge --undo {}", row.session()));
            }
        }
    }
    left
}

fn merge(row: &Row, how: &[&str]) -> std::result::Result<(), String> {
    let args = [&["merge", row.session()], how].concat();
    let done = agent(&row.path, &args).and_then(|cmd| Ok(cmd.run()?));
    match done {
        Ok(done) if done.exit == 0 => Ok(()),
        Ok(done) => Err(why(&done)),
        Err(error) => Err(error.line()),
    }
}
