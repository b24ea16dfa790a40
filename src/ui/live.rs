//! One line that moves: what is going on just now, on stderr, while somebody looks.
//!
//! Invariant: it is drawn only where progress may be, and is gone before anything else is printed.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::text::{neutral, truncate};
use super::{Look, Tone, Ui, units};

/// The line.
#[derive(Debug)]
pub struct Line<'a> {
    ui: &'a Ui,
    text: String,
    since: Instant,
    ticks: usize,
    is_drawn: bool,
}

impl<'a> Line<'a> {
    /// A line that shows nothing yet.
    pub fn new(ui: &'a Ui) -> Self {
        Self { ui, text: String::new(), since: Instant::now(), ticks: 0, is_drawn: false }
    }

    /// Shows this text and how long it has been the same; called again and again, it moves.
    pub fn show(&mut self, text: &str) {
        if !self.ui.shows_progress() {
            return;
        }
        if self.text != text {
            text.clone_into(&mut self.text);
            self.since = Instant::now();
        }
        if text.is_empty() {
            return self.clear();
        }
        self.ticks += 1;
        let line = drawn(text, self.since.elapsed(), self.ticks, &self.ui.narration_look());
        self.write(&format!("\r\x1b[K{line}"));
        self.is_drawn = true;
    }

    /// Takes the line away, so that something else can be printed.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            self.write("\r\x1b[K");
        }
    }

    fn write(&self, bytes: &str) {
        // Ornament: who cannot see it misses nothing.
        let mut err = io::stderr().lock();
        drop(err.write_all(bytes.as_bytes()).and_then(|()| err.flush()));
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

fn drawn(text: &str, elapsed: Duration, ticks: usize, look: &Look) -> String {
    let frames = if look.unicode { "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" } else { "|/-\\" };
    let frame = frames.chars().nth(ticks % frames.chars().count()).unwrap_or(' ');
    let elapsed = match elapsed.as_secs() {
        0 => String::new(),
        seconds => format!(" {}", units::duration(seconds * 1_000).replace(".0", "")),
    };
    // The last column stays free: a terminal may wrap a line that fills it.
    let room = look.width.saturating_sub(3 + elapsed.len());
    let text = neutral(text);
    let text = truncate(&text, room, look);
    let frame = look.paint(Tone::Busy, frame);
    format!("{frame} {}", look.paint(Tone::Faint, format!("{text}{elapsed}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_and_says_how_long() {
        let look = Look { terminal: true, width: 24, ..Look::PLAIN };
        let at =
            |seconds| drawn("cargo test --workspace\n", Duration::from_secs(seconds), 1, &look);
        assert_eq!(at(0), "⠙ cargo test --workspa…");
        assert_eq!(at(3), "⠙ cargo test --wor… 3 s");
        assert_eq!(at(65), "⠙ cargo test… 1 m 05 s");
    }
}
