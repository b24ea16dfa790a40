//! Rows as bars: how many lines, and how many of them are still there.
//!
//! Invariant: nothing is wider than the terminal; without Unicode it is all ASCII.

use super::{Row, share};
use crate::ui::{Look, Tone, text, width};

/// A bar for each row, as long as its lines are many.
pub(super) fn bars(rows: &[Row], look: &Look) -> String {
    const LONGEST_NAME: usize = 24;
    // ` 1234567 (100 %)` behind the bar, and a gap on each side of it.
    const COUNTS: usize = 18;
    let names: Vec<_> = rows
        .iter()
        .map(|row| text::truncate(&text::neutral(&row.name), LONGEST_NAME, look).into_owned())
        .collect();
    let column = names.iter().map(|name| width(name)).max().unwrap_or_default();
    let room = look.width.saturating_sub(column + COUNTS).clamp(8, 60) as u64;
    let most = rows.iter().map(|row| row.lines).max().unwrap_or_default().max(1);
    let mut out = String::new();
    for (row, name) in rows.iter().zip(names) {
        // What is there at all is seen.
        let long = |lines: u64| (lines * room).div_ceil(most);
        let (there, whole) = (long(row.there), long(row.lines));
        let mark = |glyph: &str, count: u64| glyph.repeat(usize::try_from(count).unwrap_or(0));
        let there_bar = look.paint(Tone::Good, mark(look.glyph("█", "#"), there));
        let gone_bar = look.paint(Tone::Faint, mark(look.glyph("░", "-"), whole - there));
        let count = match share(row) {
            Some(share) => format!("{} ({share} %)", row.lines),
            None => row.lines.to_string(),
        };
        let gap = if whole == 0 { "" } else { " " };
        let line = format!("{}  {there_bar}{gone_bar}{gap}{count}", text::pad(&name, column));
        out.push_str(line.trim_end());
        out.push('\n');
    }
    let legend = format!(
        "{} lines that are still there, {} lines that are gone",
        look.glyph("█", "#"),
        look.glyph("░", "-")
    );
    out + &look.paint(Tone::Faint, legend) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fit_and_what_is_there_is_seen() {
        let row = |name: &str, lines: u64, there: u64| Row {
            name: name.to_owned(),
            lines,
            there,
            ..Row::default()
        };
        let rows = [row("2026-W46", 1000, 500), row("2026-W47", 1, 1), row("2026-W48", 0, 0)];
        let shown = bars(&rows, &Look { width: 50, unicode: false, ..Look::PLAIN });
        let wanted = "2026-W46  ############------------ 1000 (50 %)\n\
                      2026-W47  # 1 (100 %)\n2026-W48  0\n\
                      # lines that are still there, - lines that are gone\n";
        assert_eq!(shown, wanted);
        let long = [row(&"model/".repeat(20), 9_999_999, 9_999_999)];
        let shown = bars(&long, &Look { terminal: true, ..Look::PLAIN });
        assert!(shown.lines().all(|line| width(line) <= 80), "{shown}");
        assert!(shown.contains("█"), "{shown}");
    }
}
