//! The table of `list`: one session a row, what matters first, as wide as the terminal.
//!
//! Invariant: columns are aligned by display width; piped, nothing is shortened, left out or
//! ornamented, so that a script sees the same whatever the terminal.

mod cell;
mod widest;

use jiff::Timestamp;

use cell::{changes, size, verify};
pub(crate) use cell::{cost, gate, gate_name, lines, progress};

use super::text::{neutral, truncate};
use super::view::SessionView;
use super::{Look, Tone, units, width};
use crate::event::Waiting;

use widest::Widest;

/// How a state is shown.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Place in the list: what a person should look at first has the lowest.
    pub rank: u8,
    /// Its mark.
    pub glyph: &'static str,
    /// Its mark where only ASCII can be shown.
    pub ascii: &'static str,
    /// Its colour.
    pub tone: Tone,
}

/// How a state is shown; one that we do not know gets a mark that says so.
pub fn standing(state: &str) -> Standing {
    let (rank, glyph, ascii, tone) = match state {
        "running" => (0, "●", "*", Tone::Busy),
        "verifying" => (0, "◍", "*", Tone::Busy),
        "needs-input" => (1, "◐", "?", Tone::Ask),
        "failed" => (2, "✗", "!", Tone::Bad),
        "interrupted" => (2, "◌", "!", Tone::Bad),
        "paused" => (3, "◫", "=", Tone::Ask),
        "done" => (4, "✓", "+", Tone::Good),
        "queued" => (5, "○", ".", Tone::Plain),
        "stopped" => (6, "■", "x", Tone::Faint),
        "landed" => (7, "◆", "+", Tone::Faint),
        "archived" => (8, "·", "-", Tone::Faint),
        _ => (3, "?", "?", Tone::Plain),
    };
    Standing { rank, glyph, ascii, tone }
}

/// What stands between two columns.
const GAP: usize = 2;

/// Columns of a full progress bar, and of what is left of it where room is short.
const BARS: [usize; 3] = [8, 5, 0];

/// A session's id is never cut below this.
const LEAST_SESSION: usize = 5;

/// A note gets a line of its own where fewer columns than this are left beside it.
const LEAST_NOTE: usize = 16;

/// The table of these sessions, in their order. Empty for none.
pub fn sessions(sessions: &[SessionView], now: Timestamp, look: &Look) -> String {
    if sessions.is_empty() {
        return String::new();
    }
    let layout = Layout::fitting(sessions, now, look);
    let rows: Vec<_> = sessions.iter().map(|session| layout.row(session, now, look)).collect();
    let header = layout.header();
    let widths = widths(&header, &rows);
    let mut out = String::new();
    if look.terminal {
        out.push_str("  ");
    }
    out.push_str(&line(&header, &widths, None, look));
    out.push('\n');
    for (session, row) in sessions.iter().zip(rows) {
        out.push_str(&layout.line(session, &row, &widths, now, look));
        out.push('\n');
    }
    out
}

/// Any other listing: these columns, aligned. The last one is never cut: where it does not fit on a
/// terminal, it stands on a line of its own in each row.
pub fn plain(header: &[&str], rows: &[Vec<String>], look: &Look) -> String {
    let cell = |text: &str, tone| (neutral(text).into_owned(), tone);
    let header: Vec<_> = header.iter().map(|name| cell(name, Tone::Faint)).collect();
    let rows: Vec<Vec<Cell>> =
        rows.iter().map(|row| row.iter().map(|text| cell(text, Tone::Plain)).collect()).collect();
    let widths = widths(&header, &rows);
    let whole = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    let is_parted = look.terminal && whole > look.width && widths.len() > 1;
    let mut out = String::new();
    for (at, mut row) in [header].into_iter().chain(rows).enumerate() {
        let last = if is_parted { row.pop() } else { None };
        out.push_str(&line(&row, &widths, None, look));
        out.push('\n');
        if let Some((text, _)) = last.filter(|_| at > 0) {
            out.push_str(&format!("{} {text}\n", hook(look)));
        }
    }
    out
}

/// What hangs a line under its row.
fn hook(look: &Look) -> String {
    format!("  {}", look.paint(Tone::Faint, look.glyph("└", "`")))
}

/// Which columns are shown, and how long each may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    session: usize,
    state: usize,
    bar: usize,
    short_changes: bool,
    short_verify: bool,
    cost: bool,
    verify: bool,
    changes: bool,
    age: bool,
    progress: bool,
    size: bool,
}

/// A cell and its colour.
type Cell = (String, Tone);

impl Layout {
    const FULL: Self = Self {
        session: usize::MAX,
        state: usize::MAX,
        bar: BARS[0],
        short_changes: false,
        short_verify: false,
        cost: true,
        verify: true,
        changes: true,
        age: true,
        progress: true,
        size: false,
    };

    /// The layout that keeps most and still fits: what matters least is given up first.
    fn fitting(sessions: &[SessionView], now: Timestamp, look: &Look) -> Self {
        let size = sessions.iter().any(|session| session.size.is_some());
        let mut layout = Self { size, ..Self::FULL };
        if !look.terminal {
            return layout;
        }
        let widest = Widest::of(sessions, now, look);
        let over = |layout: &Self| layout.taken(&widest).saturating_sub(look.width);
        let sacrifices: [fn(&mut Self); 9] = [
            |layout| layout.short_changes = true,
            |layout| layout.short_verify = true,
            |layout| layout.bar = BARS[1],
            |layout| layout.bar = BARS[2],
            |layout| layout.verify = false,
            |layout| layout.cost = false,
            |layout| layout.changes = false,
            |layout| layout.age = false,
            |layout| layout.progress = false,
        ];
        for sacrifice in sacrifices {
            if over(&layout) == 0 {
                return layout;
            }
            sacrifice(&mut layout);
            // A name that is a little too long is cut rather than a column given up.
            let over = over(&layout);
            if over > 0 && layout.bar == 0 && widest.session.saturating_sub(over) >= 24 {
                layout.session = widest.session - over;
            }
        }
        if over(&layout) > 0 {
            layout.session = widest.session.saturating_sub(over(&layout)).max(LEAST_SESSION);
            layout.state = widest.state.saturating_sub(over(&layout));
        }
        layout
    }

    /// Columns of the terminal that all of it takes.
    fn taken(&self, widest: &Widest) -> usize {
        let bar = BARS.iter().position(|bar| *bar == self.bar).unwrap_or(0);
        let cells = [
            (true, widest.session.min(self.session)),
            (true, widest.state.min(self.state)),
            (self.progress, widest.progress[bar]),
            (self.changes, widest.changes[usize::from(self.short_changes)]),
            (self.verify, 1),
            (self.cost, widest.cost),
            (self.size, widest.size),
            (self.age, widest.age),
        ];
        let cells = cells.into_iter().filter_map(|(is_shown, cell)| is_shown.then_some(cell));
        let header = self.header();
        let columns = header.iter().zip(cells).map(|((name, _), cell)| cell.max(width(name)) + GAP);
        // The mark before a row is as wide as a gap.
        columns.sum()
    }

    fn header(&self) -> Vec<Cell> {
        let columns = [
            (true, "SESSION"),
            (true, "STATE"),
            (self.progress, "PROGRESS"),
            (self.changes, "CHANGES"),
            (self.verify, "VERIFY"),
            (self.cost, "COST"),
            (self.size, "SIZE"),
            (self.age, "AGE"),
        ];
        let shown = columns.into_iter().filter(|(shown, _)| *shown);
        let name = |name| match name {
            "PROGRESS" if self.bar == 0 => "PLAN",
            "VERIFY" if self.short_verify => "OK",
            name => name,
        };
        shown.map(|(_, full)| (name(full).to_owned(), Tone::Faint)).collect()
    }

    fn row(&self, session: &SessionView, now: Timestamp, look: &Look) -> Vec<Cell> {
        let standing = standing(&session.state);
        let id = neutral(&session.id);
        let state =
            if look.terminal { session.state.replace('-', " ") } else { session.state.clone() };
        let begun = session.steps > 0;
        let cell = |text: String, tone: Tone| match (text.is_empty(), look.terminal) {
            (true, false) => ("-".to_owned(), tone),
            _ => (text, tone),
        };
        let columns = [
            (true, cell(truncate(&id, self.session, look).into_owned(), Tone::Strong)),
            (true, cell(truncate(&neutral(&state), self.state, look).into_owned(), standing.tone)),
            (self.progress, cell(progress(session.progress, self.bar, look), standing.tone)),
            (self.changes, cell(changes(session, self.short_changes, look), Tone::Plain)),
            (self.verify, verify(session, begun, look)),
            (self.cost, cell(cost(session), Tone::Plain)),
            (self.size, cell(size(session), Tone::Plain)),
            (self.age, cell(units::ago(session.created, now), Tone::Plain)),
        ];
        columns.into_iter().filter(|(shown, _)| *shown).map(|(_, cell)| cell).collect()
    }

    /// A row, its mark before it and its note behind it.
    fn line(
        &self,
        session: &SessionView,
        row: &[Cell],
        widths: &[usize],
        now: Timestamp,
        look: &Look,
    ) -> String {
        let standing = standing(&session.state);
        let note = note(session, now);
        let note = neutral(note.trim());
        let note = note.as_ref();
        if !look.terminal {
            return line(row, widths, Some(note).filter(|note| !note.is_empty()), look);
        }
        let mark = look.paint(standing.tone, look.glyph(standing.glyph, standing.ascii));
        let taken = 2 + widths.iter().sum::<usize>() + GAP * widths.len();
        let room = look.width.saturating_sub(taken);
        if note.is_empty() {
            format!("{mark} {}", line(row, widths, None, look))
        } else if room >= LEAST_NOTE.min(width(note)) {
            let note = look.paint(standing.tone, truncate(note, room, look));
            format!("{mark} {}", line(row, widths, Some(&note), look))
        } else {
            let note = truncate(note, look.width.saturating_sub(4), look);
            let note = look.paint(standing.tone, note);
            format!("{mark} {}\n{} {note}", line(row, widths, None, look), hook(look))
        }
    }
}

/// What a person should know of a session besides its row: what it asks, what it waits for, or why
/// it rests.
fn note(session: &SessionView, now: Timestamp) -> String {
    let said = match (&session.question, &session.waiting, &session.note) {
        (Some(question), _, _) => Some(question.clone()),
        (None, Some(waiting), _) => Some(waits(waiting, now)),
        (None, None, note) => note.clone(),
    };
    let colliding = session.conflicts_with.as_slice();
    let colliding =
        (!colliding.is_empty()).then(|| format!("conflicts with {}", colliding.join(", ")));
    let pull = session.pull_request.as_ref().map(|pull| pull.label.clone());
    said.into_iter().chain(pull).chain(colliding).collect::<Vec<_>>().join("; ")
}

/// `tries again in 45s (try 2): 529 overloaded`.
pub(crate) fn waits(waiting: &Waiting, now: Timestamp) -> String {
    let Waiting { reason, attempt, until } = waiting;
    format!("tries again in {} (try {attempt}): {reason}", units::ago(now, *until))
}

fn widths(header: &[Cell], rows: &[Vec<Cell>]) -> Vec<usize> {
    let column = |at: usize| {
        let cells = rows.iter().map(|row| width(&row[at].0));
        cells.chain([width(&header[at].0)]).max().unwrap_or(0)
    };
    (0..header.len()).map(column).collect()
}

/// The cells, padded to their columns; nothing is padded at the end of the line.
fn line(cells: &[Cell], widths: &[usize], note: Option<&str>, look: &Look) -> String {
    let mut out = String::new();
    for (at, ((text, tone), columns)) in cells.iter().zip(widths).enumerate() {
        let is_last = at + 1 == cells.len() && note.is_none();
        let padding = if is_last { 0 } else { columns.saturating_sub(width(text)) + GAP };
        out.push_str(&look.paint(*tone, text));
        out.push_str(&" ".repeat(padding));
    }
    out.push_str(note.unwrap_or_default());
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ui::view::{
        LimitsView, Progress, UsageView, VerifyStatus, VerifyView, sort_by_attention,
    };

    const TERMINAL: Look = Look { terminal: true, colour: false, unicode: true, width: 120 };

    pub(crate) fn now() -> Timestamp {
        "2026-11-22T15:00:00Z".parse().unwrap()
    }

    fn minutes_ago(minutes: i64) -> Timestamp {
        now() - jiff::SignedDuration::from_mins(minutes)
    }

    pub(crate) fn session(id: &str, state: &str, age: i64) -> SessionView {
        let name = id.rsplit_once('-').map_or(id, |(name, _)| name).to_owned();
        SessionView {
            size: None,
            id: id.to_owned(),
            branch: format!("agent/{name}"),
            worktree: Some(format!("/home/ada/shop.worktrees/{name}")),
            name,
            task: "Add rate limiting to the login endpoint".to_owned(),
            state: state.to_owned(),
            reason: None,
            base: "1111111111111111111111111111111111111111".to_owned(),
            head: "2222222222222222222222222222222222222222".to_owned(),
            steps: 0,
            progress: Progress::default(),
            files: 0,
            insertions: 0,
            deletions: 0,
            verify: VerifyView::default(),
            usage: UsageView::default(),
            sandbox: "none".to_owned(),
            created: minutes_ago(age),
            updated: minutes_ago(0),
            question: None,
            waiting: None,
            queue: None,
            question_kind: None,
            limits: LimitsView::default(),
            worked_s: 0,
            conflicts_with: Vec::new(),
            attempt: None,
            gates: Vec::new(),
            experiment: false,
            pull_request: None,
            note: None,
            model: "anthropic/claude".to_owned(),
        }
    }

    pub(crate) fn worked(
        view: SessionView,
        (done, total): (usize, usize),
        (files, insertions): (u64, u64),
        verify: VerifyStatus,
        cost_usd: Option<f64>,
    ) -> SessionView {
        SessionView {
            steps: 14,
            progress: Progress { done, total },
            files,
            insertions,
            verify: VerifyView { status: verify, ..VerifyView::default() },
            usage: UsageView { input: 120_000, cached: 108_000, output: 4_100, cost_usd },
            ..view
        }
    }

    fn board() -> Vec<SessionView> {
        use VerifyStatus::{None as Unverified, Passed};
        let mut sessions = vec![
            session("upgrade-axum-x0sn", "queued", 1),
            SessionView {
                question: Some("which Postgres version?".to_owned()),
                ..worked(
                    session("fix-flaky-ci-2mq8", "needs-input", 3),
                    (1, 4),
                    (1, 3),
                    Unverified,
                    Some(0.08),
                )
            },
            SessionView {
                note: Some("conflicts with add-rate-limiting".to_owned()),
                ..worked(session("docs-for-api-k91d", "done", 60), (4, 4), (9, 640), Passed, None)
            },
            worked(
                session("add-rate-limiting-7f3k", "running", 12),
                (5, 6),
                (4, 182),
                Passed,
                Some(0.41),
            ),
        ];
        sort_by_attention(&mut sessions);
        sessions
    }

    #[track_caller]
    fn assert_table(look: Look, expected: &str) {
        let table = sessions(&board(), now(), &look);
        assert_eq!(table.trim_end(), expected.trim_matches('\n'), "\n{table}");
        if look.terminal {
            assert!(table.lines().all(|line| width(line) <= look.width), "\n{table}");
        }
    }

    #[test]
    fn a_wide_terminal_shows_all() {
        assert_table(TERMINAL, "
  SESSION                 STATE        PROGRESS      CHANGES       VERIFY  COST   AGE
● add-rate-limiting-7f3k  running      ██████░░ 5/6  4 files +182  ✓       $0.41  12m
◐ fix-flaky-ci-2mq8       needs input  ██░░░░░░ 1/4  1 file  +3    –       $0.08  3m   which Postgres version?
✓ docs-for-api-k91d       done         ████████ 4/4  9 files +640  ✓       ?      1h   conflicts with add-rate-limiting
○ upgrade-axum-x0sn       queued                                                  1m
");
    }

    #[test]
    fn eighty_columns_suffice() {
        assert_table(
            Look { width: 80, ..TERMINAL },
            "
  SESSION                 STATE        PROGRESS      CHANGES  VERIFY  COST   AGE
● add-rate-limiting-7f3k  running      ██████░░ 5/6  4f +182  ✓       $0.41  12m
◐ fix-flaky-ci-2mq8       needs input  ██░░░░░░ 1/4  1f +3    –       $0.08  3m
  └ which Postgres version?
✓ docs-for-api-k91d       done         ████████ 4/4  9f +640  ✓       ?      1h
  └ conflicts with add-rate-limiting
○ upgrade-axum-x0sn       queued                                             1m
",
        );
    }

    #[test]
    fn sizes_find_room_too() {
        let mut board = board();
        for session in &mut board {
            session.size = Some(crate::ui::view::SizeView {
                worktree: 1 << 30,
                state: 0,
                logs: 0,
                total: 1 << 30,
            });
        }
        let look = Look { width: 80, ..TERMINAL };
        let text = sessions(&board, now(), &look);
        assert!(text.contains("  SIZE   "), "{text}");
        assert!(text.lines().all(|line| width(line) <= 80), "{text}");
    }

    #[test]
    fn twenty_columns_hold() {
        assert_table(
            Look { width: 20, unicode: false, ..TERMINAL },
            "
  SESSION  STATE
* add..    running
? fix..    needs i..
  ` which Postgres..
+ doc..    done
  ` conflicts with..
. upg..    queued
",
        );
    }

    #[test]
    fn piped_it_is_whole_and_without_ornament() {
        assert_table(Look { width: 40, ..Look::PLAIN }, "
SESSION                 STATE        PROGRESS  CHANGES       VERIFY  COST   AGE
add-rate-limiting-7f3k  running      5/6       4 files +182  passed  $0.41  12m
fix-flaky-ci-2mq8       needs-input  1/4       1 file  +3    -       $0.08  3m   which Postgres version?
docs-for-api-k91d       done         4/4       9 files +640  passed  ?      1h   conflicts with add-rate-limiting
upgrade-axum-x0sn       queued       -         -             -       -      1m
");
    }

    #[test]
    fn a_path_that_does_not_fit_has_a_line_of_its_own() {
        let rows = [vec!["a-7f3k".to_owned(), "done".to_owned(), "../a/long/path".to_owned()]];
        let header = ["SESSION", "STATE", "WORKTREE"];
        let at = |width| plain(&header, &rows, &Look { width, ..TERMINAL });
        assert_eq!(at(30), "SESSION  STATE  WORKTREE\na-7f3k   done   ../a/long/path\n");
        assert_eq!(at(29), "SESSION  STATE\na-7f3k   done\n  └ ../a/long/path\n");
        let piped = plain(&header, &rows, &Look { width: 20, ..Look::PLAIN });
        assert_eq!(piped, at(30));
    }

    #[test]
    fn a_bar_is_full_only_when_all_is_done() {
        let bar = |done, total| progress(Progress { done, total }, 4, &TERMINAL);
        let bars = [bar(0, 9), bar(1, 9), bar(8, 9), bar(9, 9), bar(0, 0)];
        assert_eq!(bars, ["░░░░ 0/9", "█░░░ 1/9", "███░ 8/9", "████ 9/9", ""]);
    }

    #[test]
    fn what_it_waits_for_is_said_with_the_time() {
        let until = now() + jiff::SignedDuration::from_secs(45);
        let waiting = Waiting { reason: "529 overloaded".to_owned(), attempt: 2, until };
        let waits = SessionView { waiting: Some(waiting), ..session("a-7f3k", "running", 1) };
        let table = sessions(&[waits], now(), &TERMINAL);
        assert!(
            table.trim_end().ends_with("1m   tries again in 45s (try 2): 529 overloaded"),
            "{table}"
        );
    }

    #[test]
    fn hostile_text_stays_in_its_cell() {
        let hostile = SessionView {
            question: Some("a\nb\x1b[2J".to_owned()),
            ..session("evil\u{202e}-abcd", "needs-input", 1)
        };
        let table = sessions(&[hostile], now(), &TERMINAL);
        assert_eq!(table.lines().count(), 2);
        assert!(table.contains("evil<U+202E>-abcd") && table.contains("a b^[[2J"), "{table}");
    }
}
