//! `git agent conflicts`: who will collide, before anybody lands.
//!
//! Invariant: it moves nothing, and says of each pair what `git merge-tree` says.

use clap::builder::NonEmptyStringValueParser;
use clap_complete::ArgValueCompleter;
use serde::Serialize;

use super::complete;
use super::context::Context;
use crate::error::{CommandError, Kind, Result, exit};
use crate::plan::forecast::{self, Brought, By, Clashing, Forecast, Pair};
use crate::plan::target;
use crate::session::state::Phase;
use crate::ui::{Ui, json, text, units};

/// Say which sessions will collide, with each other and with the branch they are for
///
/// Every two sessions that have not landed are merged in memory, and each with the branch that it
/// would land on; the last line is the order of landing that conflicts least. The exit code is 1 if
/// any two collide.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only what one of these sessions is in, each by any unique beginning of its id or name
    #[arg(
        value_name = "SESSION",
        value_parser = NonEmptyStringValueParser::new(),
        add = ArgValueCompleter::new(complete::sessions),
    )]
    sessions: Vec<String>,
    /// Print JSON: {"format":1,"pairs":[…],"targets":[…],"order":[…]}
    #[arg(long)]
    json: bool,
}

/// The forecast, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct Document<'a> {
    format: u32,
    pairs: Vec<PairView<'a>>,
    targets: Vec<TargetView<'a>>,
    order: &'a [String],
}

#[derive(Debug, Serialize)]
struct PairView<'a> {
    a: &'a str,
    b: &'a str,
    conflict: bool,
    files: &'a [Clashing],
}

#[derive(Debug, Serialize)]
struct TargetView<'a> {
    session: &'a str,
    branch: &'a str,
    conflict: bool,
    files: &'a [Clashing],
}

/// Prints what collides, or JSON.
///
/// # Errors
/// The sessions cannot be listed or their work not be read; told, exit code 1: some collide.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let named: Vec<String> = args
        .sessions
        .iter()
        .map(|given| context.session(given).map(|session| session.id))
        .collect::<Result<_>>()?;
    let mut sessions = Vec::new();
    for session in context.store.list()?.sessions {
        match session.state() {
            Ok(state) if forecast::is_unfinished(&state) => sessions.push((session, state)),
            Ok(_) => {}
            Err(error) => ui.warning(&CommandError::from(error).line()),
        }
    }
    let mut found = forecast::look(&context.repo, &sessions)?;
    if !named.is_empty() {
        let is_named = |id: &String| named.contains(id);
        found.pairs.retain(|pair| is_named(&pair.a) || is_named(&pair.b));
        found.targets.retain(|pair| is_named(&pair.a));
        found.order.retain(is_named);
        found.landed.retain(|it| is_named(&it.session));
    }
    for (id, why) in &found.left_out {
        ui.warning(&format!("{id} is left out: {why}"));
    }
    if args.json {
        ui.answer(&document(&found)?)?;
    } else {
        let may_land = |id: &&String| {
            sessions.iter().any(|(session, state)| {
                session.id == **id
                    && state.changes.files > 0
                    && state.phase.may_become(Phase::Landed)
            })
        };
        tell(ui, &found, &peaceful(&found, may_land))?;
    }
    let mut all = found.pairs.iter().chain(&found.targets);
    match all.any(|pair| pair.conflict.is_some()) {
        true => Err(CommandError::new(Kind::Told(exit::NO), "")),
        false => Ok(()),
    }
}

fn document(found: &Forecast) -> Result<String> {
    let files = |pair: &'_ Pair| -> Vec<Clashing> { pair.conflict.clone().unwrap_or_default() };
    let [pairs, targets] = [&found.pairs, &found.targets]
        .map(|pairs| pairs.iter().map(|pair| (pair, files(pair))).collect::<Vec<_>>());
    Ok(serde_json::to_string(&Document {
        format: json::FORMAT,
        pairs: pairs
            .iter()
            .map(|(Pair { a, b, conflict }, files)| PairView {
                a,
                b,
                conflict: conflict.is_some(),
                files,
            })
            .collect(),
        targets: targets
            .iter()
            .map(|(Pair { a, b, conflict }, files)| TargetView {
                session: a,
                branch: b,
                conflict: conflict.is_some(),
                files,
            })
            .collect(),
        order: &found.order,
    })?)
}

/// Those that land one after the other with no conflict.
fn peaceful(found: &Forecast, may_land: impl Fn(&&String) -> bool) -> Vec<&str> {
    let collide = |a: &str, b: &str| {
        let met = |pair: &&Pair| pair.a == *a && pair.b == *b || pair.a == *b && pair.b == *a;
        found.pairs.iter().find(met).is_some_and(|pair| pair.conflict.is_some())
    };
    let is_free =
        |id: &str| !found.targets.iter().any(|pair| pair.a == *id && pair.conflict.is_some());
    let mut peaceful: Vec<&str> = Vec::new();
    for id in found.order.iter().filter(may_land) {
        if is_free(id) && !peaceful.iter().any(|other| collide(id, other)) {
            peaceful.push(id);
        }
    }
    peaceful
}

fn tell(ui: &Ui, found: &Forecast, peaceful: &[&str]) -> Result {
    let Forecast { pairs, targets, order, landed, .. } = found;
    for Brought { session, branch, commit } in landed {
        let (branch, commit) = (target::short(branch), commit.get(..7).unwrap_or(commit));
        ui.narrate(&format!("{session} is on {branch} already, by {commit}"));
        ui.hint(&format!("git agent merge {session} takes note of that"));
    }
    if order.is_empty() {
        ui.narrate("No session has anything to land.");
        return Ok(());
    }
    let mut lines = Vec::new();
    let mut colliding = 0;
    for Pair { a, b, conflict } in pairs.iter().chain(targets) {
        let Some(files) = conflict else { continue };
        colliding += 1;
        let count = units::counted(files.len() as u64, "file");
        lines.push(match files.len() {
            0 => format!("{a} and {b} share no history"),
            _ => format!("{a} and {b} conflict in {count}"),
        });
        lines.extend(files.iter().flat_map(file_lines));
    }
    let all = pairs.len() + targets.len();
    lines.push(match colliding {
        0 if targets.is_empty() => {
            format!("{} {} with no branch to land on", order.len(), sessions(order.len()))
        }
        0 => format!("{} {} and what they land on merge", order.len(), sessions(order.len())),
        _ => format!("{colliding} of {all} pairs conflict, those with a target among them"),
    });
    lines.push(format!("Landing conflicts least in this order: {}", order.join(" ")));
    ui.answer(&lines.join("\n"))?;
    if peaceful.len() > 1 {
        ui.hint(&format!("git agent merge {}", peaceful.join(" ")));
    }
    Ok(())
}

fn sessions(count: usize) -> &'static str {
    if count == 1 { "session" } else { "sessions" }
}

/// `  src/shop.rs:10-14`, and below it who changed it on the two sides.
pub(super) fn file_lines(file: &Clashing) -> Vec<String> {
    let kind = match file.kind.as_str() {
        "lines" => String::new(),
        kind => format!(" ({})", kind.replace('-', " ")),
    };
    let mut lines = vec![format!("  {}{kind}", text::neutral(&file.to_string()))];
    for By { commit, author, subject } in [&file.a_by, &file.b_by].into_iter().flatten() {
        let short = commit.get(..7).unwrap_or(commit);
        let who = format!("    {short} {author}: {subject}");
        lines.push(text::neutral(&who).into_owned());
    }
    lines
}
