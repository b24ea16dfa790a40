//! Answers and events for people and for programs.
//!
//! Invariant: stdout is the answer, stderr the narration; what comes from agents, branches and
//! files reaches a terminal only through [`text::neutral`].

mod bell;
pub mod card;
pub mod findings;
pub mod handoff;
pub mod human;
pub mod json;
pub mod live;
pub mod table;
pub mod text;
pub mod trace;
pub mod units;
pub mod view;

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IsTerminal, Write};

use unicode_width::UnicodeWidthStr;

use crate::redact;

/// Whether to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What a stream can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// A person looks: glyphs, bars and a layout that fits; else stable, full columns.
    pub terminal: bool,
    /// Colours may be used.
    pub colour: bool,
    /// Characters beyond ASCII may be used as ornament.
    pub unicode: bool,
    /// Columns there are.
    pub width: usize,
}

/// What a colour means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// What the eye should find.
    Strong,
    /// What the eye may skip.
    Faint,
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
    /// Somebody is waited for.
    Ask,
    /// It is under way.
    Busy,
}

impl Look {
    /// For output that nobody sees on a terminal.
    pub const PLAIN: Self = Self { terminal: false, colour: false, unicode: true, width: 80 };

    /// The text in the colour of its meaning, where colours may be used.
    pub fn paint(&self, tone: Tone, text: impl fmt::Display) -> String {
        let style = console::Style::new().force_styling(self.colour);
        let style = match tone {
            Tone::Plain => return text.to_string(),
            Tone::Strong => style.bold(),
            Tone::Faint => style.dim(),
            Tone::Good => style.green(),
            Tone::Bad => style.red(),
            Tone::Ask => style.yellow(),
            Tone::Busy => style.cyan(),
        };
        style.apply_to(text).to_string()
    }

    /// The first where ornament may be used, else the second.
    pub fn glyph<'a>(&self, unicode: &'a str, ascii: &'a str) -> &'a str {
        if self.unicode { unicode } else { ascii }
    }
}

/// The two streams to a person, and how much to say.
#[derive(Clone, Debug)]
pub struct Ui {
    out: Look,
    err: Look,
    verbose: u8,
    progress: bool,
}

/// What decides how a [`Ui`] looks: taken from the command line and the environment.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// `--color`.
    pub color: ColorChoice,
    /// How many `-v`.
    pub verbose: u8,
    /// `--no-progress`.
    pub no_progress: bool,
    /// Variables of the environment, by name.
    pub env: Env,
}

/// The variables that a [`Ui`] heeds.
#[derive(Clone, Debug, Default)]
pub struct Env {
    /// `NO_COLOR`: any text but none means no colour (<https://no-color.org>).
    pub no_color: Option<String>,
    /// `TERM`: `dumb` means a terminal that can do nothing.
    pub term: Option<String>,
    /// `COLUMNS`: the width a person wants; 0 and nonsense mean nothing.
    pub columns: Option<String>,
    /// The first that is set of `LC_ALL`, `LC_CTYPE` and `LANG`.
    pub locale: Option<String>,
}

impl Env {
    /// Of this process.
    pub fn of_process() -> Self {
        let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            no_color: var("NO_COLOR"),
            term: var("TERM"),
            columns: var("COLUMNS"),
            locale: ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(var),
        }
    }

    /// A locale that names another character set can't show ours; macOS terminals set none.
    fn is_unicode(&self) -> bool {
        let is_utf8 = |locale: &String| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        };
        self.locale.as_ref().map_or(cfg!(target_os = "macos"), is_utf8)
    }
}

/// The width where nothing tells it.
const DEFAULT_WIDTH: usize = 80;

/// Narrower than this nothing can be laid out; lines wrap there.
const LEAST_WIDTH: usize = 20;

impl Ui {
    /// A `Ui` on the streams of this process.
    pub fn new(setup: &Setup) -> Self {
        let out = look(setup, io::stdout().is_terminal(), console::Term::stdout().size_checked());
        let err = look(setup, io::stderr().is_terminal(), console::Term::stderr().size_checked());
        Self { out, err, verbose: setup.verbose, progress: !setup.no_progress && err.terminal }
    }

    /// What stdout can show.
    pub fn look(&self) -> Look {
        self.out
    }

    /// What stderr can show.
    pub fn narration_look(&self) -> Look {
        self.err
    }

    /// Whether everything is wanted.
    pub fn is_verbose(&self) -> bool {
        self.verbose > 0
    }

    /// Whether a moving progress line may be drawn on stderr.
    pub fn shows_progress(&self) -> bool {
        self.progress
    }

    /// Prints the answer, with a line end.
    ///
    /// # Errors
    /// The reader has gone, or the disk is full.
    pub fn answer(&self, text: &str) -> io::Result<()> {
        let text = &*shown(text, &self.out);
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.is_empty() && !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()
    }

    /// Prints bytes of the answer as they are.
    ///
    /// # Errors
    /// The reader has gone, or the disk is full.
    pub fn answer_bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Says one line of narration, such as an outcome. Its text may hold anything.
    pub fn narrate(&self, text: &str) {
        self.write_narration(&text::neutral_lines(text));
    }

    /// Says one line that is already safe and maybe coloured with [`Ui::narration_look`].
    pub fn narrate_styled(&self, text: &str) {
        self.write_narration(text);
    }

    /// Says what to do next: a command, or a full sentence.
    pub fn hint(&self, text: &str) {
        self.labelled("hint", Tone::Busy, text);
    }

    /// Says what is wrong although the command goes on.
    pub fn warning(&self, text: &str) {
        self.labelled("warning", Tone::Ask, text);
    }

    /// Says `label: text`; further lines of the text are set in under it.
    pub fn labelled(&self, label: &str, tone: Tone, text: &str) {
        let text = redact::printed(text.trim_end());
        let text = under_label(label, &text::neutral_lines(&text), &self.err);
        self.write_narration(&format!("{} {text}", self.err.paint(tone, format!("{label}:"))));
    }

    fn write_narration(&self, text: &str) {
        // A closed stderr must not stop the work that it would have told of.
        drop(writeln!(io::stderr().lock(), "{}", shown(text, &self.err)));
    }
}

/// The text as a stream can show it: piped, it is the same in every locale.
fn shown<'a>(text: &'a str, look: &Look) -> Cow<'a, str> {
    if look.terminal && !look.unicode { text::ascii(text) } else { Cow::Borrowed(text) }
}

/// The text as it stands after its label. On a terminal no word is cut at the edge, and of two
/// commands that do not fit beside each other each has a line of its own.
fn under_label(label: &str, text: &str, look: &Look) -> String {
    if !look.terminal {
        return text.replace('\n', "\n  ");
    }
    let indent = label.len() + 2;
    let room = look.width.saturating_sub(indent);
    let fits = text.lines().all(|line| width(line) <= room);
    let text = if fits { text.to_owned() } else { text.replace("    ", "\n") };
    text::wrap(&text, room).join(&format!("\n{:indent$}", ""))
}

fn look(setup: &Setup, is_terminal: bool, size: Option<(u16, u16)>) -> Look {
    let Env { no_color, term, columns, .. } = &setup.env;
    let dumb = term.as_deref() == Some("dumb");
    let colour = match setup.color {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => is_terminal && !dumb && no_color.is_none(),
    };
    let asked = columns.as_ref().and_then(|columns| columns.parse().ok());
    let measured = size.map(|(_, columns)| usize::from(columns));
    let width = [asked, measured].into_iter().flatten().find(|width| *width > 0);
    Look {
        terminal: is_terminal,
        colour,
        unicode: setup.env.is_unicode(),
        width: width.unwrap_or(DEFAULT_WIDTH).max(LEAST_WIDTH),
    }
}

/// The columns that a text takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(env: Env) -> Setup {
        Setup { env, ..Setup::default() }
    }

    #[test]
    fn colour_is_for_terminals_that_want_it() {
        let look_of = |color, no_color: Option<&str>, term: Option<&str>, is_terminal| {
            let env = Env {
                no_color: no_color.map(str::to_owned),
                term: term.map(str::to_owned),
                ..Env::default()
            };
            look(&Setup { color, ..setup(env) }, is_terminal, None).colour
        };
        assert!(look_of(ColorChoice::Auto, None, None, true));
        assert!(!look_of(ColorChoice::Auto, None, None, false));
        assert!(!look_of(ColorChoice::Auto, Some("1"), None, true));
        assert!(!look_of(ColorChoice::Auto, None, Some("dumb"), true));
        assert!(look_of(ColorChoice::Always, Some("1"), None, false));
        assert!(!look_of(ColorChoice::Never, None, None, true));
    }

    #[test]
    fn a_width_of_nought_or_nonsense_is_no_width() {
        let width_of = |columns: &str, size| {
            let env = Env { columns: Some(columns.to_owned()), ..Env::default() };
            look(&setup(env), true, size).width
        };
        assert_eq!(width_of("100", Some((24, 90))), 100);
        assert_eq!(width_of("0", Some((24, 90))), 90);
        assert_eq!(width_of("x", Some((0, 0))), 80);
        assert_eq!(width_of("3", None), 20);
    }

    #[test]
    fn ornament_needs_a_locale_that_can_show_it() {
        let unicode =
            |locale: &str| Env { locale: Some(locale.to_owned()), ..Env::default() }.is_unicode();
        assert!(unicode("en_GB.UTF-8"));
        assert!(unicode("C.utf8"));
        assert!(!unicode("C"));
        assert!(!unicode("de_DE.ISO-8859-1"));
    }

    #[test]
    fn what_stands_after_a_label_fits() {
        let terminal = Look { terminal: true, width: 40, ..Look::PLAIN };
        let commands = "git agent diff add-rate    git agent status add-rate";
        let said = under_label("hint", commands, &terminal);
        assert_eq!(said, "git agent diff add-rate\n      git agent status add-rate");
        let said = under_label("hint", "git agent -h    git agent list", &terminal);
        assert_eq!(said, "git agent -h    git agent list");
        let said = under_label("error", "not a git repository: /home/ada/notes", &terminal);
        assert_eq!(said, "not a git repository:\n       /home/ada/notes");
        assert_eq!(under_label("hint", commands, &Look::PLAIN), commands);
    }

    #[test]
    fn paint_leaves_plain_streams_plain() {
        let colour = Look { colour: true, ..Look::PLAIN };
        assert_eq!(colour.paint(Tone::Good, "ok"), "\u{1b}[32mok\u{1b}[0m");
        assert_eq!(Look::PLAIN.paint(Tone::Good, "ok"), "ok");
    }
}
