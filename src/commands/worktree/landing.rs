//! What came of landings, for people and programs.
//!
//! Invariant: the fields of a landing are format 1; one may be added, none renamed or removed.

use serde::Serialize;

use crate::error::{CommandError, Result};
use crate::land::apply::{Landed, short_id};
use crate::plan::{LandError, Plan, Way, target};
use crate::session::store::Session;
use crate::ui::{Ui, json, table, text, units};

/// What came of one.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It would be done so.
    Would(Box<Plan>),
    /// It was done so.
    Landed(Landed),
    /// Somebody else had brought it there.
    Found(Landed),
}

/// A landing, in format 1 of the JSON.
#[derive(Debug, Default, Serialize)]
struct View {
    session: String,
    branch: String,
    /// None in a dry run.
    commit: Option<String>,
    dry_run: bool,
    /// What follows is none where a landing that was cut off before is now finished.
    way: Option<&'static str>,
    commits: Option<usize>,
    files: Option<u64>,
    insertions: Option<u64>,
    deletions: Option<u64>,
    verified: Option<bool>,
    unverified: Option<String>,
    checkouts: Vec<String>,
    left_behind: Vec<String>,
    /// Whether it was there already, brought by somebody else.
    found: bool,
    /// Whether that is all that the session had to land.
    whole: bool,
}

/// One of several, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct Car {
    session: String,
    /// `landed`, `refused`, `waits`; `would-land` in a dry run.
    outcome: &'static str,
    error: Option<String>,
    landing: Option<View>,
}

impl Outcome {
    fn view(&self, session: &Session) -> View {
        let (landed, plan) = match self {
            Self::Would(plan) => (None, Some(plan.as_ref())),
            Self::Landed(landed) | Self::Found(landed) => (Some(landed), landed.plan.as_ref()),
        };
        let branch = plan.map(|plan| plan.target.branch.as_str());
        let branch = branch.or(landed.map(|landed| landed.branch.as_str())).unwrap_or_default();
        let checkouts = plan.map(|plan| plan.target.checkouts.as_slice()).unwrap_or_default();
        View {
            session: session.id.clone(),
            branch: target::short(branch).to_owned(),
            commit: landed.map(|landed| landed.commit.to_string()),
            dry_run: landed.is_none(),
            way: plan.map(|plan| plan.way.as_str()),
            commits: plan.map(|plan| plan.commits),
            files: plan.map(|plan| plan.stat.files),
            insertions: plan.map(|plan| plan.stat.insertions),
            deletions: plan.map(|plan| plan.stat.deletions),
            verified: plan.map(|plan| plan.verified),
            unverified: plan
                .and_then(|plan| plan.unverified.as_ref().or(plan.due.as_ref()))
                .map(ToString::to_string),
            checkouts: checkouts.iter().map(|at| at.path.to_string_lossy().into_owned()).collect(),
            left_behind: plan.map(|plan| plan.left_behind.clone()).unwrap_or_default(),
            found: matches!(self, Self::Found(_)),
            whole: plan.is_none_or(|plan| plan.is_all),
        }
    }

    fn line(&self, session: &Session) -> String {
        let id = &session.id;
        match self {
            Self::Would(plan) => {
                format!("Would land {id} on {} ({})", plan.target.name(), sum(plan))
            }
            Self::Landed(Landed { plan, branch, commit }) => {
                let (branch, commit) = (target::short(branch), short_id(*commit));
                match plan {
                    Some(plan) if plan.is_all => {
                        format!("Landed {id} on {branch} as {commit} ({})", sum(plan))
                    }
                    Some(plan) => {
                        format!("Landed some of {id} on {branch} as {commit} ({})", sum(plan))
                    }
                    None => format!(
                        "Landed {id} on {branch} as {commit} (a landing that was cut off is finished)"
                    ),
                }
            }
            Self::Found(Landed { branch, commit, .. }) => {
                let (branch, commit) = (target::short(branch), short_id(*commit));
                format!("{id} is on {branch} already, by {commit}; it has landed")
            }
        }
    }
}

/// Prints one as JSON.
pub(super) fn print(ui: &Ui, session: &Session, outcome: &Outcome) -> Result {
    Ok(ui.answer(&json::named("landing", &outcome.view(session))?)?)
}

/// One as it stands in a document of its own.
pub(super) fn value(session: &Session, outcome: &Outcome) -> Result<serde_json::Value> {
    Ok(serde_json::to_value(outcome.view(session))?)
}

/// Tells of one.
pub(super) fn tell(ui: &Ui, session: &Session, outcome: &Outcome) -> Result {
    let mut lines = vec![outcome.line(session)];
    if let Outcome::Would(plan) = outcome {
        for file in &plan.stat.paths {
            let path = file.path.to_string();
            lines.push(format!(
                "  {} +{} -{}",
                text::neutral(&path),
                file.insertions,
                file.deletions
            ));
        }
        for checkout in &plan.target.checkouts {
            let path = checkout.path.to_string_lossy();
            lines.push(format!("The files in {} would follow", text::neutral(&path)));
        }
        if let Some(why) = &plan.due {
            lines.push(format!("It would be verified first: {why}"));
        }
    }
    ui.answer(&lines.join("\n"))?;
    match outcome {
        Outcome::Would(plan) => caveats(ui, session, plan),
        Outcome::Landed(landed) | Outcome::Found(landed) => {
            if let Some(plan) = &landed.plan {
                caveats(ui, session, plan);
            }
            if landed.plan.as_ref().is_some_and(|plan| !plan.is_all) {
                ui.hint(&format!("git agent merge {} lands the rest", session.id));
            } else if session.spec.worktree.is_dir() {
                ui.hint(&format!("git agent worktree remove {}", session.id));
            }
        }
    }
    Ok(())
}

/// Tells of several; `why` is the one that was refused, and the reason.
pub(super) fn table(
    ui: &Ui,
    done: &[(&Session, Option<Outcome>)],
    why: Option<&(&str, String)>,
    as_json: bool,
) -> Result {
    let cars = done.iter().map(|(session, outcome)| {
        let refused = why.filter(|(id, _)| *id == session.id);
        Car {
            session: session.id.clone(),
            outcome: match (outcome, refused) {
                (Some(Outcome::Would(_)), _) => "would-land",
                (Some(_), _) => "landed",
                (None, Some(_)) => "refused",
                (None, None) => "waits",
            },
            error: refused.map(|(_, why)| why.clone()),
            landing: outcome.as_ref().map(|outcome| outcome.view(session)),
        }
    });
    let cars: Vec<_> = cars.collect();
    if as_json {
        return Ok(ui.answer(&json::named("landings", &cars)?)?);
    }
    let rows = cars.iter().zip(done).map(|(car, (session, outcome))| {
        let said = match (outcome, &car.error) {
            (Some(outcome), _) => outcome.line(session),
            (None, Some(why)) => why.clone(),
            (None, None) => "not tried".to_owned(),
        };
        vec![car.session.clone(), car.outcome.to_owned(), said]
    });
    let header = ["SESSION", "OUTCOME", "DETAIL"];
    Ok(ui.answer(&table::plain(&header, &rows.collect::<Vec<_>>(), &ui.look()))?)
}

/// A refusal, with all that a person needs to see of it.
pub(super) fn refusal(ui: &Ui, error: LandError) -> CommandError {
    match &error {
        LandError::Conflicts { files, .. } => {
            let lines = files.iter().flat_map(crate::commands::conflicts::file_lines);
            lines.for_each(|line| ui.narrate(&line));
        }
        LandError::Red { output, .. } | LandError::SetUp { output, .. } => {
            output.lines().for_each(|line| ui.narrate(&format!("  {}", text::neutral(line))));
        }
        _ => {}
    }
    error.into()
}

/// `squash of 6 commits, 4 files +182 -3`.
fn sum(plan: &Plan) -> String {
    let commits = units::counted(plan.commits as u64, "commit");
    let files = units::counted(plan.stat.files, "file");
    let stat = format!("{files} +{} -{}", plan.stat.insertions, plan.stat.deletions);
    match plan.way {
        Way::FastForward => format!("fast-forward by {commits}, {stat}"),
        // Work that the branch never got has no commits to count.
        _ if plan.commits == 0 => format!("{}, {stat}", plan.way.as_str()),
        _ => format!("{} of {commits}, {stat}", plan.way.as_str()),
    }
}

fn caveats(ui: &Ui, session: &Session, plan: &Plan) {
    match &plan.unverified {
        Some(why) => ui.warning(&format!("not verified: {why}")),
        None if !plan.verified && plan.due.is_none() => {
            ui.narrate("  unverified: the session has no verify command");
        }
        None => {}
    }
    if !plan.left_behind.is_empty() {
        let files = units::counted(plan.left_behind.len() as u64, "new file");
        let files = format!("{files} in no commit: {}", plan.left_behind.join(", "));
        let worktree = session.spec.worktree.display();
        ui.warning(&format!("not landed, and still in {worktree}: {files}"));
    }
}
