//! The message of a landed commit: the task, what the model says it did, and where it came from.
//!
//! Invariant: nothing the model says becomes a trailer of ours or a person's sign-off; the rest is
//! stored as it is meant, `#` lines and all, since no editor cleans it up.

use unicode_width::UnicodeWidthStr;

use crate::session::subject;

/// Columns of a line: what `git log` shows on 80 with its indent.
const WIDTH: usize = 72;

/// What a landed commit tells.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// The task; its first line is the subject, as far as there is room.
    pub task: &'a str,
    /// The session's name: the subject of a task without words.
    pub name: &'a str,
    /// What the subject begins with, `feat(cart):`; may be empty.
    pub prefix: &'a str,
    /// What the model said at the end; may be empty.
    pub summary: &'a str,
    /// The trailers, in order.
    pub trailers: &'a [(String, String)],
}

impl Words<'_> {
    /// The whole message, ending in a line end.
    pub fn message(&self) -> String {
        let task = clean(self.task);
        let titles = [clean(self.name)];
        let first = one_line(task.lines().next().unwrap_or_default());
        let words = subject::Words { text: &first, titles: &titles };
        let (subject, rest) = subject::message(&words, self.prefix, 0);
        let trailers =
            self.trailers.iter().map(|(key, value)| format!("{key}: {}", one_line(value)));
        let mut paragraphs =
            vec![subject, wrap(&rest), wrap(&without_claims(&clean(self.summary)))];
        paragraphs.push(trailers.collect::<Vec<_>>().join("\n"));
        paragraphs.retain(|paragraph| !paragraph.is_empty());
        paragraphs.join("\n\n") + "\n"
    }
}

/// What a commit can hold: line ends as git has them, no control characters but tabs.
pub(super) fn clean(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text: String =
        text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect();
    text.trim().to_owned()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Only a person signs off or is a co-author, and only the program says which session it was.
fn without_claims(text: &str) -> String {
    let keys = ["signed-off-by:", "co-authored-by:", "agent-session:", "assisted-by:"];
    let claims = |line: &str| {
        let line = line.trim_start().to_ascii_lowercase();
        keys.iter().any(|key| line.starts_with(key))
    };
    let kept: Vec<_> = text.lines().filter(|line| !claims(line)).collect();
    kept.join("\n").trim_end().to_owned()
}

/// Breaks long lines between words; code, which is fenced or indented, keeps its lines.
fn wrap(text: &str) -> String {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim_end) {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        if is_fence || fenced || line.starts_with("    ") || line.starts_with('\t') {
            lines.push(line.to_owned());
        } else {
            wrap_line(line, &mut lines);
        }
    }
    lines.join("\n")
}

fn wrap_line(line: &str, lines: &mut Vec<String>) {
    let text = line.trim_start();
    let indent = &line[..line.len() - text.len()];
    let bullet = text.starts_with("- ") || text.starts_with("* ");
    let hanging = format!("{indent}{}", if bullet { "  " } else { "" });
    let mut current = indent.to_owned();
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && current.width() + 1 + word.width() > WIDTH {
            lines.push(std::mem::replace(&mut current, hanging.clone()));
        } else if !is_empty {
            current.push(' ');
        }
        current.push_str(word);
        is_empty = false;
    }
    lines.push(current);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(task: &str, prefix: &str, summary: &str) -> String {
        let trailers = [
            ("Agent-Session".to_owned(), "add-7f3k".to_owned()),
            ("Assisted-by".to_owned(), "git-agent:replay/x".to_owned()),
        ];
        Words { task, name: "add", prefix, summary, trailers: &trailers }.message()
    }

    #[test]
    fn subject_summary_and_trailers_each_have_their_paragraph() {
        let text = message("Add rate limiting.\nSecond line", "", "Done:\r\n- limiter\r\n");
        let expected = "Add rate limiting\n\nDone:\n- limiter\n\n\
                        Agent-Session: add-7f3k\nAssisted-by: git-agent:replay/x\n";
        assert_eq!(text, expected);
        let bare = Words { task: "x", name: "x", prefix: "", summary: "", trailers: &[] };
        assert_eq!(bare.message(), "x\n");
    }

    #[test]
    fn the_subject_is_the_first_line_of_the_task_and_short() {
        let subject = |task, prefix| message(task, prefix, "").lines().next().unwrap().to_owned();
        assert_eq!(subject("Add  it", "feat(cart):"), "feat(cart): Add it");
        assert_eq!(subject("\n# Add it #1\nmore", ""), "Add it #1");
        assert_eq!(subject("?", ""), "add");
        let text = message(&"word ".repeat(30), "fix:", "");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].chars().count() <= 72 && lines[0].starts_with("fix: word word"), "{text}");
        assert_eq!(lines[2..5].join(" ").trim_end(), "word ".repeat(30).trim_end());
    }

    #[test]
    fn l11_odd_lines_are_stored_as_meant_and_code_is_not_wrapped() {
        let code = format!("    {}", "x ".repeat(60));
        let summary = format!("# not a comment\n-----\n{code}\n\n```\n{}\n```", "y ".repeat(60));
        let text = message("t", "", &summary);
        let body = text.strip_prefix("t\n\n").unwrap();
        let expected = format!(
            "# not a comment\n-----\n{}\n\n```\n{}\n```\n\nAgent-Session",
            code.trim_end(),
            "y ".repeat(60).trim_end()
        );
        assert!(body.starts_with(&expected), "{body}");
        let long = message("t", "", &format!("- {}", "word ".repeat(40)));
        assert!(long.lines().all(|line| line.width() <= 72), "{long}");
        assert!(long.lines().nth(3).unwrap().starts_with("  word"), "{long}");
    }

    #[test]
    fn a_model_signs_for_nobody() {
        let forged = "All good.\0\x1b[31m\n\nSigned-off-by: A <a@b>\nCo-Authored-By: B <b@c>";
        assert_eq!(message("t", "", forged), message("t", "", "All good.[31m"));
    }
}
