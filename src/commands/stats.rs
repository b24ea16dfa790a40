//! `git agent stats`: what sessions brought, what of it is still there, and what it took.
//!
//! Invariant: it only reads. A line counts where it landed, and once; a price that is not known is
//! `?`, and so is every sum that it is part of.

mod count;
mod plot;

use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;

use super::context::Context;
use crate::error::Result;
use crate::ui::{Ui, json, table, units};

/// Say what sessions brought to this branch: lines, how many are still there, and the cost
///
/// Lines are those that sessions wrote, by git agent blame, in the commits of HEAD; they are still
/// there where that blames them on HEAD. A session counts for the model that it was started with,
/// and in the week in which it was.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only what began, and what landed, since then: 2026-11-01, '2 weeks ago'
    #[arg(long, value_name = "DATE", value_parser = NonEmptyStringValueParser::new())]
    since: Option<String>,
    /// What each row is of
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    by: By,
    /// Print JSON: {"format":1,"stats":{"by":…,"rows":[…],"total":{…}}}
    #[arg(long)]
    json: bool,
    /// Draw the lines, and how many are still there
    #[arg(long, conflicts_with = "json")]
    plot: bool,
}

/// What a row is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum By {
    /// Who asked
    Person,
    /// The agent
    Agent,
    /// The model
    #[default]
    Model,
    /// The week, as ISO 8601 counts
    Week,
}

/// What some sessions brought.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Row {
    /// What they have in common.
    name: String,
    sessions: u64,
    /// Those that have landed.
    landed: u64,
    /// Lines that they brought.
    lines: u64,
    /// Of these, still there.
    there: u64,
    /// None where a price is not known.
    cost_usd: Option<f64>,
}

#[derive(Serialize)]
struct Document<'a> {
    by: By,
    rows: &'a [Row],
    total: &'a Row,
}

/// Prints a row for each.
///
/// # Errors
/// The date makes no sense, or sessions or commits cannot be read.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let since = args.since.as_deref().map(|since| count::moment(&context, since)).transpose()?;
    let works = count::works(&context, since)?;
    let (rows, total) = rows(&works, args.by);
    if args.json {
        let document = Document { by: args.by, rows: &rows, total: &total };
        return Ok(ui.answer(&json::named("stats", &document)?)?);
    }
    if rows.is_empty() {
        ui.narrate("No sessions.");
        ui.hint("git agent start \"…\"");
        return Ok(());
    }
    if args.plot {
        return Ok(ui.answer(&plot::bars(&rows, &ui.look()))?);
    }
    let name = match args.by {
        By::Person => "PERSON",
        By::Agent => "AGENT",
        By::Model => "MODEL",
        By::Week => "WEEK",
    };
    let header = [name, "SESSIONS", "LANDED", "LINES", "STILL THERE", "COST"];
    let mut lines: Vec<_> = rows.iter().map(cells).collect();
    if rows.len() > 1 {
        lines.push(cells(&total));
    }
    Ok(ui.answer(&table::plain(&header, &lines, &ui.look()))?)
}

fn cells(row: &Row) -> Vec<String> {
    let there = match share(row) {
        Some(share) => format!("{} ({share} %)", row.there),
        None => "-".to_owned(),
    };
    vec![
        row.name.clone(),
        row.sessions.to_string(),
        row.landed.to_string(),
        row.lines.to_string(),
        there,
        units::cost(row.cost_usd),
    ]
}

/// Of a hundred lines, how many are still there; none where there never was one.
fn share(row: &Row) -> Option<u64> {
    (row.there * 100).checked_div(row.lines)
}

/// A row for each that sessions have in common, by name, and one of all.
fn rows(works: &[count::Work], by: By) -> (Vec<Row>, Row) {
    let mut rows: Vec<Row> = Vec::new();
    let mut total = Row { name: "total".to_owned(), cost_usd: Some(0.0), ..Row::default() };
    for work in works {
        let name = match by {
            By::Person => &work.person,
            By::Agent => &work.agent,
            By::Model => &work.model,
            By::Week => &work.week,
        };
        let at = rows.iter().position(|row| row.name == *name).unwrap_or_else(|| {
            rows.push(Row { name: name.clone(), cost_usd: Some(0.0), ..Row::default() });
            rows.len() - 1
        });
        for row in [&mut rows[at], &mut total] {
            row.sessions += 1;
            row.landed += u64::from(work.landed);
            row.lines += work.lines;
            row.there += work.there;
            row.cost_usd = row.cost_usd.zip(work.cost_usd).map(|(sum, more)| sum + more);
        }
    }
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    (rows, total)
}

#[cfg(test)]
mod tests {
    use super::count::Work;
    use super::*;

    #[test]
    fn a_sum_with_an_unknown_price_is_unknown() {
        let work = |model: &str, week: &str, lines: u64, cost_usd: Option<f64>| Work {
            session: String::new(),
            person: "Ada".to_owned(),
            agent: "builtin".to_owned(),
            model: model.to_owned(),
            week: week.to_owned(),
            landed: lines > 0,
            lines,
            there: lines / 2,
            cost_usd,
        };
        let works = [
            work("b", "2026-W02", 10, Some(0.25)),
            work("a", "2026-W01", 0, Some(0.5)),
            work("b", "2026-W01", 4, None),
        ];
        let row = |name: &str, counts: [u64; 4], cost_usd| {
            let [sessions, landed, lines, there] = counts;
            Row { name: name.to_owned(), sessions, landed, lines, there, cost_usd }
        };
        let total = row("total", [3, 2, 14, 7], None);
        let by_model = vec![row("a", [1, 0, 0, 0], Some(0.5)), row("b", [2, 2, 14, 7], None)];
        assert_eq!(rows(&works, By::Model), (by_model, total.clone()));
        let by_week =
            vec![row("2026-W01", [2, 1, 4, 2], None), row("2026-W02", [1, 1, 10, 5], Some(0.25))];
        assert_eq!(rows(&works, By::Week), (by_week, total.clone()));
        assert_eq!(rows(&works, By::Person).0, [Row { name: "Ada".to_owned(), ..total }]);
        let shown = cells(&row("a", [1, 0, 0, 0], Some(0.5)));
        assert_eq!(shown, ["a", "1", "0", "0", "-", "$0.50"]);
        assert_eq!(cells(&row("b", [2, 2, 14, 7], None))[4..], ["7 (50 %)", "?"]);
    }
}
