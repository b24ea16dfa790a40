//! What makes a terminal call for its person: the bell, and notices of its own.
//!
//! Invariant: only words that are safe on a terminal are in a notice, and none is sent to a terminal
//! that is not known to understand it.

use std::io::{self, Write};

use super::Ui;
use super::text::{neutral, truncate};

/// Columns of a notice.
const ROOM: usize = 200;

/// How a terminal is asked for a notice on the desktop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sequence {
    /// iTerm2's: a text.
    Osc9,
    /// rxvt's: a title and a text.
    Osc777,
}

impl Ui {
    /// Rings the bell of the terminal that narration goes to.
    pub fn ring(&self) {
        self.send("\x07");
    }

    /// Has the terminal show a notice on the desktop, where it is known to; `var` is the
    /// environment.
    pub fn pop_up(&self, title: &str, text: &str, var: impl Fn(&str) -> Option<String>) {
        let Some(sequence) = sequence(var) else { return };
        let one_line = |text: &str| {
            let line = text.lines().collect::<Vec<_>>().join(" ");
            truncate(&neutral(&line), ROOM, &self.narration_look()).into_owned()
        };
        let (title, text) = (one_line(title), one_line(text));
        self.send(&match sequence {
            Sequence::Osc9 => format!("\x1b]9;{title}: {text}\x1b\\"),
            Sequence::Osc777 => {
                format!("\x1b]777;notify;{};{}\x1b\\", title.replace(';', ","), text)
            }
        });
    }

    fn send(&self, bytes: &str) {
        if self.narration_look().terminal {
            // Who cannot be called misses what the view says all the same.
            let mut err = io::stderr().lock();
            drop(err.write_all(bytes.as_bytes()).and_then(|()| err.flush()));
        }
    }
}

/// By what the terminals say of themselves. A multiplexer passes nothing on.
fn sequence(var: impl Fn(&str) -> Option<String>) -> Option<Sequence> {
    let is_set = |name| var(name).is_some_and(|value| !value.is_empty());
    let term = var("TERM").unwrap_or_default();
    if is_set("TMUX") || is_set("STY") || term.starts_with("screen") || term.starts_with("tmux") {
        return None;
    }
    let program = var("TERM_PROGRAM").unwrap_or_default();
    if matches!(program.as_str(), "iTerm.app" | "WezTerm" | "ghostty") || term == "xterm-kitty" {
        return Some(Sequence::Osc9);
    }
    let is_777 = term.starts_with("foot") || term.starts_with("rxvt-unicode");
    (is_777 || is_set("VTE_VERSION")).then_some(Sequence::Osc777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_asked_in_its_own_way_or_not_at_all() {
        let of = |env: &[(&str, &str)]| {
            let var = |name: &str| env.iter().find(|(key, _)| *key == name);
            sequence(|name| var(name).map(|(_, value)| (*value).to_owned()))
        };
        let iterm = ("TERM_PROGRAM", "iTerm.app");
        assert_eq!(of(&[("TERM", "xterm-256color"), iterm]), Some(Sequence::Osc9));
        assert_eq!(of(&[("TERM", "xterm-kitty")]), Some(Sequence::Osc9));
        assert_eq!(of(&[("TERM", "foot")]), Some(Sequence::Osc777));
        assert_eq!(
            of(&[("TERM", "xterm-256color"), ("VTE_VERSION", "7006")]),
            Some(Sequence::Osc777)
        );
        assert_eq!(of(&[("TERM", "tmux-256color"), iterm]), None);
        assert_eq!(of(&[("TERM", "xterm-256color"), iterm, ("TMUX", "/tmp/x")]), None);
        assert_eq!(of(&[("TERM", "xterm-256color")]), None);
    }
}
