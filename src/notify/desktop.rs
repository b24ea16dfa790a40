//! A notice on the desktop: `notify-send` of libnotify, `osascript` on macOS.
//!
//! Invariant: words of an agent are arguments, never options, markup or script.

use super::{Letter, NotTold, command};
use crate::config::Occasion;
use crate::process::Cmd;

/// The longest text that is shown, in characters.
const TEXT: usize = 600;

/// Whether there is a desktop that this process can reach. By ssh there mostly is none; then the
/// terminals that follow the session may show the notice.
pub fn is_there() -> bool {
    if cfg!(target_os = "macos") {
        return which::which("osascript").is_ok();
    }
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let session =
        ["DBUS_SESSION_BUS_ADDRESS", "WAYLAND_DISPLAY", "DISPLAY"].into_iter().any(is_set);
    session && which::which("notify-send").is_ok()
}

pub(super) async fn tell(letter: &Letter) -> Result<(), NotTold> {
    if !is_there() {
        return Err(NotTold::NoDesktop);
    }
    let (title, text) = (shown(&letter.notice.title), shown(&letter.body()));
    let cmd = if cfg!(target_os = "macos") {
        osascript(&title, &text)
    } else {
        notify_send(letter.notice.occasion, &title, &text)
    };
    command::run(cmd, letter).await
}

fn notify_send(occasion: Occasion, title: &str, text: &str) -> Cmd {
    let urgency = match occasion {
        Occasion::NeedsInput | Occasion::Failed | Occasion::Budget => "critical",
        Occasion::Done | Occasion::Milestone => "normal",
    };
    // The body is markup: <https://specifications.freedesktop.org/notification-spec/latest/markup.html>.
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    Cmd::new("notify-send").args(["--app-name=git agent", "--urgency", urgency, "--", title, &text])
}

fn osascript(title: &str, text: &str) -> Cmd {
    let script = "display notification (item 2 of argv) with title (item 1 of argv)";
    let lines = ["-e", "on run argv", "-e", script, "-e", "end run", "--"];
    Cmd::new("osascript").args(lines).args([title, text])
}

/// A text without what is no text, and not endless.
fn shown(text: &str) -> String {
    let text: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).take(TEXT).collect();
    // What begins with a dash would be an option to programs that know no `--`.
    text.trim_start_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shown_as_they_are() {
        assert_eq!(shown("--a\u{1b}[2J\nb\0"), "a[2J\nb");
        let cmd = format!("{:?}", notify_send(Occasion::Done, "-t", "<b>&amp;"));
        assert!(cmd.contains(r#""--", "-t", "&lt;b&gt;&amp;amp;""#), "{cmd}");
        let cmd = format!("{:?}", osascript("t", "\" & quit"));
        assert!(cmd.contains(r#""--", "t", "\" & quit"], dir"#), "{cmd}");
    }
}
