//! The table of what keeps commits from being pushed: what is wrong, and the command that mends it.
//!
//! Invariant: on a terminal no line is longer than it is wide but a command, which is never cut;
//! piped, each finding is one row.

use super::text::{neutral, pad, truncate, wrap};
use super::{Look, Tone, table, width};

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The name of the check.
    pub check: &'static str,
    /// The commit, short, or how many.
    pub commit: String,
    /// The session's id; may be empty.
    pub session: String,
    /// What is wrong.
    pub what: String,
    /// What mends it: a command, or a sentence.
    pub mend: String,
}

const HEADER: [&str; 4] = ["CHECK", "COMMIT", "SESSION", "WHAT IS WRONG"];
/// What is wrong gets lines of its own where fewer columns than this are left for it.
const LEAST_WHAT: usize = 24;
/// A session's id is cut to this: the command below has it whole.
const MOST_SESSION: usize = 28;

/// The table. Empty for no row.
pub fn findings(rows: &[Row], look: &Look) -> String {
    if rows.is_empty() {
        return String::new();
    }
    if !look.terminal {
        let cells = |row: &Row| {
            let session = if row.session.is_empty() { "-" } else { &row.session };
            [row.check, &row.commit, session, &row.what, &row.mend].map(str::to_owned).to_vec()
        };
        let header = [&HEADER[..], &["MEND"]].concat();
        return table::plain(&header, &rows.iter().map(cells).collect::<Vec<_>>(), look);
    }
    let session = |row: &Row| truncate(&neutral(&row.session), MOST_SESSION, look).into_owned();
    let widest = |name: &str, cell: &dyn Fn(&Row) -> usize| {
        rows.iter().map(cell).chain([width(name)]).max().unwrap_or_default()
    };
    let widths = [
        widest(HEADER[0], &|row| width(row.check)),
        widest(HEADER[1], &|row| width(&row.commit)),
        widest(HEADER[2], &|row| width(&session(row))),
    ];
    let indent = 2 + widths.iter().map(|width| width + 2).sum::<usize>();
    let beside = look.width.checked_sub(indent).filter(|room| *room >= LEAST_WHAT);
    let line = |cells: [&str; 3]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| pad(cell, width));
        cells.collect::<Vec<_>>().join("  ")
    };
    let header = format!("  {}  {}", line([HEADER[0], HEADER[1], HEADER[2]]), HEADER[3]);
    let mut out = look.paint(Tone::Faint, header.trim_end()) + "\n";
    for row in rows {
        let mark = look.paint(Tone::Bad, look.glyph("✗", "!"));
        let cells = line([row.check, &row.commit, &session(row)]);
        let what = wrap(&neutral(&row.what), beside.unwrap_or(look.width.saturating_sub(4)));
        match beside {
            Some(_) => {
                let below = format!("\n{:indent$}", "");
                out.push_str(&format!("{mark} {cells}  {}\n", what.join(&below)));
            }
            None => {
                out.push_str(&format!("{mark} {}\n", cells.trim_end()));
                out.extend(what.iter().map(|line| format!("    {line}\n")));
            }
        }
        let hook = look.paint(Tone::Faint, look.glyph("└", "`"));
        out.push_str(&format!("  {hook} {}\n", neutral(&row.mend)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> [Row; 2] {
        let row = |check, session: &str, what: &str, mend: &str| Row {
            check,
            commit: "3f2c1aa".into(),
            session: session.into(),
            what: what.into(),
            mend: mend.into(),
        };
        [
            row(
                "verify",
                "add-rate-limiting-7f3k",
                "'cargo test --workspace' failed with exit code 101",
                "git agent resume add-rate-limiting-7f3k",
            ),
            row("provenance", "", "nothing says\u{1b} which", "git agent list"),
        ]
    }

    #[test]
    fn it_fits_eighty_columns_and_narrower_ones() {
        let look = Look { terminal: true, ..Look::PLAIN };
        assert_eq!(
            findings(&rows(), &look),
            "\
\x20 CHECK       COMMIT   SESSION                 WHAT IS WRONG
✗ verify      3f2c1aa  add-rate-limiting-7f3k  'cargo test --workspace' failed
                                               with exit code 101
  └ git agent resume add-rate-limiting-7f3k
✗ provenance  3f2c1aa                          nothing says^[ which
  └ git agent list
"
        );
        let narrow = findings(&rows()[..1], &Look { width: 48, ..look });
        assert_eq!(
            narrow,
            "\
\x20 CHECK   COMMIT   SESSION                 WHAT IS WRONG
✗ verify  3f2c1aa  add-rate-limiting-7f3k
    'cargo test --workspace' failed with exit
    code 101
  └ git agent resume add-rate-limiting-7f3k
"
        );
    }

    #[test]
    fn piped_a_finding_is_a_row() {
        let text = findings(&rows(), &Look::PLAIN);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[2].starts_with("provenance  3f2c1aa  -   "), "{text}");
        assert!(lines[1].ends_with("101  git agent resume add-rate-limiting-7f3k"), "{text}");
        assert_eq!(findings(&[], &Look::PLAIN), "");
    }
}
