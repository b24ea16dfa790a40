//! The comparison as a table: a column for each side, a row for each thing that is known.
//!
//! Invariant: on a terminal nothing is wider than it: sides that do not fit beside each other stand
//! below; piped, nothing is cut. A row that would say nothing is left out.

use super::side::{Side, Tests};
use crate::event::Gate;
use crate::ui::text::{neutral, pad, truncate, wrap};
use crate::ui::view::VerifyStatus;
use crate::ui::{Look, Tone, table, units, width};

/// What stands between two columns.
const GAP: usize = 2;
/// A column is never narrower on a terminal.
const LEAST: usize = 20;
/// More files than these are counted, not listed, on a terminal.
const FILES: usize = 24;

/// A cell and its colour.
type Cell = (String, Tone);

/// The table.
pub(super) fn table(sides: &[Side], look: &Look) -> String {
    let rows = rows(sides, look);
    let names = rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let at_once = match look.terminal {
        true => (look.width.saturating_sub(names) / (LEAST + GAP)).max(1),
        false => sides.len(),
    };
    let mut blocks = Vec::new();
    let places: Vec<_> = (0..sides.len()).collect();
    for shown in places.chunks(at_once) {
        let room = (look.width.saturating_sub(names) / shown.len()).saturating_sub(GAP);
        let room = if look.terminal { room } else { usize::MAX };
        blocks.push(block(sides, &rows, shown, names, room, look));
    }
    blocks.push(files(sides, look));
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n\n")
}

/// What is said of a side, in words for people: name, and a cell for each.
pub(super) fn rows(sides: &[Side], look: &Look) -> Vec<(&'static str, Vec<Cell>)> {
    let all = |cell: &dyn Fn(&Side) -> Cell| sides.iter().map(cell).collect::<Vec<_>>();
    let text = |text: Option<&str>| (text.unwrap_or_default().to_owned(), Tone::Plain);
    let mut rows = vec![
        ("approach", all(&|side| text(side.approach.as_deref()))),
        ("model", all(&|side| text(side.model.as_deref()))),
        ("state", all(&|side| state(side, look))),
        ("verify", all(&|side| verify(side, look))),
        ("tests", all(&|side| side.tests.map_or_else(|| (String::new(), Tone::Plain), tests))),
        ("coverage", all(&|side| gate(side.coverage.as_ref()))),
        ("bench", all(&|side| gate(side.bench.as_ref()))),
        ("changes", all(&|side| (changes(side, look), Tone::Plain))),
        ("conflicts", all(&|side| conflicts(side, sides))),
        (
            "cost",
            all(&|side| {
                (
                    side.session.as_ref().map_or_else(String::new, |_| units::cost(side.cost_usd)),
                    Tone::Plain,
                )
            }),
        ),
        ("time", all(&|side| (side.worked.map_or_else(String::new, units::duration), Tone::Plain))),
        (
            "steps",
            all(&|side| (side.steps.map_or_else(String::new, |it| it.to_string()), Tone::Plain)),
        ),
    ];
    let least = |key: &dyn Fn(&Side) -> Option<f64>| best(sides, &|side| key(side).map(|it| -it));
    let bests = [
        ("coverage", best(sides, &|side| Some(side.coverage?.after?.median))),
        ("bench", least(&|side| Some(side.bench?.after?.median))),
        ("cost", least(&|side| side.cost_usd)),
    ];
    for (name, best) in bests {
        let row = rows.iter_mut().find(|row| row.0 == name);
        if let Some((row, at)) = row.zip(best)
            && row.1[at].1 == Tone::Plain
        {
            row.1[at].1 = Tone::Good;
        }
    }
    rows.retain(|(_, cells)| cells.iter().any(|(text, _)| !text.is_empty()));
    rows
}

/// The one that is ahead of all others; none where two are, or fewer than two are known.
fn best(sides: &[Side], key: &dyn Fn(&Side) -> Option<f64>) -> Option<usize> {
    let mut known: Vec<_> =
        sides.iter().enumerate().filter_map(|(at, side)| Some((at, key(side)?))).collect();
    known.sort_by(|a, b| b.1.total_cmp(&a.1));
    match known.as_slice() {
        [(at, first), (_, second), ..] if first > second => Some(*at),
        _ => None,
    }
}

fn block(
    sides: &[Side],
    rows: &[(&str, Vec<Cell>)],
    shown: &[usize],
    names: usize,
    room: usize,
    look: &Look,
) -> String {
    let head = |at: &usize| (format!("#{} {}", at + 1, sides[*at].name), Tone::Strong);
    let heading = ("", shown.iter().map(head).collect::<Vec<_>>());
    let rows = rows.iter().map(|(name, cells)| {
        (*name, shown.iter().map(|at| cells[*at].clone()).collect::<Vec<_>>())
    });
    let all: Vec<_> = [heading].into_iter().chain(rows).collect();
    let fit = |text: &str| -> Vec<String> {
        let text = neutral(text);
        if !look.terminal {
            return vec![text.into_owned()];
        }
        let lines = wrap(&breakable(&text, room), room).into_iter();
        lines.map(|line| truncate(&line, room, look).into_owned()).collect()
    };
    let fit_all = |cells: &[Cell]| -> Vec<(Vec<String>, Tone)> {
        cells.iter().map(|(text, tone)| (fit(text), *tone)).collect()
    };
    let fitted: Vec<_> = all.iter().map(|(name, cells)| (*name, fit_all(cells))).collect();
    let widest = |column: usize| {
        let cells = fitted.iter().flat_map(|(_, cells)| cells[column].0.iter());
        cells.map(|line| width(line)).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..shown.len()).map(widest).collect();
    let mut lines = Vec::new();
    for (name, cells) in &fitted {
        let height = cells.iter().map(|(lines, _)| lines.len()).max().unwrap_or(0).max(1);
        for line in 0..height {
            let name = if line == 0 { name } else { "" };
            let mut text = look.paint(Tone::Faint, pad(name, names));
            for ((cell, tone), columns) in cells.iter().zip(&widths) {
                let part = cell.get(line).map_or("", String::as_str);
                let blanks = columns.saturating_sub(width(part));
                text.push_str(&format!("{:GAP$}{}{:blanks$}", "", look.paint(*tone, part), ""));
            }
            lines.push(text.trim_end().to_owned());
        }
    }
    lines.join("\n")
}

/// A name that is too long breaks before its last part, which tells it from others.
fn breakable(text: &str, room: usize) -> String {
    match text.rsplit_once('-') {
        Some((start, end)) if width(text) > room && !text.contains(": ") && !end.contains(' ') => {
            format!("{start}- {end}")
        }
        _ => text.to_owned(),
    }
}

/// Which side changes which file.
fn files(sides: &[Side], look: &Look) -> String {
    let mut paths: Vec<&str> = Vec::new();
    for changed in sides.iter().flat_map(|side| &side.paths) {
        if !paths.contains(&changed.path.as_str()) {
            paths.push(&changed.path);
        }
    }
    if paths.is_empty() {
        return String::new();
    }
    paths.sort_unstable();
    let shown = if look.terminal { FILES } else { usize::MAX };
    let cell = |side: &Side, path: &str| {
        let changed = side.paths.iter().find(|changed| changed.path == path);
        changed.map_or_else(String::new, |it| {
            match table::lines(it.insertions, it.deletions, look) {
                lines if lines.is_empty() => "changed".to_owned(),
                lines => lines.trim_start().to_owned(),
            }
        })
    };
    let columns: Vec<Vec<String>> = sides
        .iter()
        .enumerate()
        .map(|(at, side)| {
            let cells = paths.iter().take(shown).map(|path| cell(side, path));
            [format!("#{}", at + 1)].into_iter().chain(cells).collect()
        })
        .collect();
    let widths: Vec<_> =
        columns.iter().map(|cells| cells.iter().map(|it| width(it)).max().unwrap_or(0)).collect();
    let taken: usize = widths.iter().map(|columns| columns + GAP).sum();
    let heading = ["files"].into_iter().chain(paths.iter().copied().take(shown));
    let names = heading.clone().map(|path| width(&neutral(path))).max().unwrap_or(0);
    let room = look.width.saturating_sub(taken).max(LEAST);
    let room = if look.terminal { names.min(room) } else { names };
    let mut lines = Vec::new();
    for (row, path) in heading.enumerate() {
        let path = neutral(path);
        let path = if look.terminal { truncate(&path, room, look) } else { path };
        let path = pad(&path, room);
        let mut line = if row == 0 { look.paint(Tone::Faint, path) } else { path };
        for (cells, columns) in columns.iter().zip(&widths) {
            let tone = if row == 0 { Tone::Faint } else { Tone::Plain };
            let part = look.paint(tone, pad(&cells[row], *columns));
            line.push_str(&format!("{:GAP$}{part}", ""));
        }
        lines.push(line.trim_end().to_owned());
    }
    if let Some(more) = paths.len().checked_sub(shown).filter(|more| *more > 0) {
        let more = format!("{} {more} more", look.glyph("…", ".."));
        lines.push(look.paint(Tone::Faint, more));
    }
    lines.join("\n")
}

fn state(side: &Side, look: &Look) -> Cell {
    let Some(state) = &side.state else {
        let left = match side.uncommitted {
            0 => String::new(),
            count => format!("{} in no commit", units::counted(count, "file")),
        };
        return (left, Tone::Ask);
    };
    let standing = table::standing(state);
    let words = state.replace('-', " ");
    let mark = look.glyph(standing.glyph, standing.ascii);
    let text = if look.terminal { format!("{mark} {words}") } else { words };
    (text, standing.tone)
}

fn verify(side: &Side, look: &Look) -> Cell {
    let (glyph, ascii, word, tone) = match side.verify.status {
        VerifyStatus::Passed => ("✓", "+", "passed", Tone::Good),
        VerifyStatus::Failed => ("✗", "!", "failed", Tone::Bad),
        VerifyStatus::None if side.session.is_some() => ("–", "-", "unverified", Tone::Faint),
        VerifyStatus::None => return (String::new(), Tone::Plain),
    };
    let text = if look.terminal {
        format!("{} {word}", look.glyph(glyph, ascii))
    } else {
        word.to_owned()
    };
    (text, tone)
}

fn tests(Tests { passed, failed }: Tests) -> Cell {
    match failed {
        0 => (format!("{passed} passed"), Tone::Good),
        failed => (format!("{passed} passed, {failed} failed"), Tone::Bad),
    }
}

fn gate(gate: Option<&Gate>) -> Cell {
    let Some(gate) = gate else { return (String::new(), Tone::Plain) };
    match table::gate(gate) {
        Some(said) => (said, if gate.is_worse() { Tone::Bad } else { Tone::Plain }),
        None => ("not measured".to_owned(), Tone::Bad),
    }
}

fn changes(side: &Side, look: &Look) -> String {
    match side.files {
        0 => "none".to_owned(),
        files => {
            let lines = table::lines(side.insertions, side.deletions, look);
            format!("{}{lines}", units::counted(files, "file"))
        }
    }
}

/// `main, #2`.
fn conflicts(side: &Side, sides: &[Side]) -> Cell {
    if side.conflicts.is_empty() {
        return ("none".to_owned(), Tone::Plain);
    }
    let called = |with: &String| {
        let at = sides.iter().position(|other| other.name == *with);
        at.map_or_else(|| with.clone(), |at| format!("#{}", at + 1))
    };
    let with: Vec<_> = side.conflicts.iter().map(|conflict| called(&conflict.with)).collect();
    // With one another they may: one of them lands.
    let with_target = side.conflicts.iter().any(|it| Some(&it.with) == side.target.as_ref());
    (with.join(", "), if with_target { Tone::Bad } else { Tone::Plain })
}
