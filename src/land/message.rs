//! The message of a landed commit: the task, what the model says it did, and where it came from.
//!
//! Invariant: nothing the model says becomes a trailer of ours or a person's sign-off; what it says
//! is stored as it is meant, `#` lines and all, since no editor cleans it up.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns of a line: what `git log` shows on 80 with its indent.
const WIDTH: usize = 72;

/// What a landed commit tells.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// The task; its first line is the subject.
    pub task: &'a str,
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
        let (subject, whole) = self.subject();
        let mut paragraphs = vec![subject];
        paragraphs.extend(whole.map(|task| wrap(&task)));
        paragraphs.push(wrap(&without_sign_off(&clean(self.summary))));
        let trailers: Vec<_> =
            self.trailers.iter().map(|(key, value)| format!("{key}: {}", one_line(value))).collect();
        paragraphs.push(trailers.join("\n"));
        paragraphs.retain(|paragraph| !paragraph.is_empty());
        paragraphs.join("\n\n") + "\n"
    }

    /// The subject, and the whole first line of the task where the subject had to be cut.
    fn subject(&self) -> (String, Option<String>) {
        let task = clean(self.task);
        let first = task.lines().map(|line| one_line(line.trim_start_matches('#')));
        let first = first.filter(|line| !line.is_empty()).next().unwrap_or_default();
        let prefix = one_line(self.prefix);
        let said = first.strip_prefix(&prefix).map_or(first.as_str(), str::trim_start);
        let subject = format!("{prefix} {}", said.trim_end_matches('.')).trim().to_owned();
        if subject.width() <= WIDTH {
            return (subject, None);
        }
        let cut = &subject[..end_of_columns(&subject, WIDTH - 1)];
        // Between words, unless that would cut away most of it.
        let cut = match cut.rfind(' ') {
            Some(end) if end >= cut.len() / 2 => &cut[..end],
            _ => cut,
        };
        (format!("{}…", cut.trim_end()), Some(first))
    }
}

/// What a commit can hold: line ends as git has them, no control characters but tabs.
fn clean(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text: String = text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect();
    text.trim().to_owned()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Only a person signs off or is a co-author.
fn without_sign_off(text: &str) -> String {
    let personal = |line: &str| {
        let line = line.trim_start().to_ascii_lowercase();
        line.starts_with("signed-off-by:") || line.starts_with("co-authored-by:")
    };
    let kept: Vec<_> = text.lines().filter(|line| !personal(line)).collect();
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

/// How many bytes of `text` fit into so many columns.
fn end_of_columns(text: &str, columns: usize) -> usize {
    let mut used = 0;
    let too_far = text.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > columns
    });
    too_far.map_or(text.len(), |(start, _)| start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(task: &str, prefix: &str, summary: &str) -> String {
        let trailers = [
            ("Agent-Session".to_owned(), "add-7f3k".to_owned()),
            ("Assisted-by".to_owned(), "git-agent:replay/x".to_owned()),
        ];
        Words { task, prefix, summary, trailers: &trailers }.message()
    }

    #[test]
    fn subject_summary_and_trailers_each_have_their_paragraph() {
        let text = message("Add rate limiting.\nSecond line", "", "Done:\r\n- limiter\r\n");
        let expected = "Add rate limiting\n\nDone:\n- limiter\n\n\
                        Agent-Session: add-7f3k\nAssisted-by: git-agent:replay/x\n";
        assert_eq!(text, expected);
        let bare = Words { task: "x", prefix: "", summary: "", trailers: &[] };
        assert_eq!(bare.message(), "x\n");
    }

    #[test]
    fn the_prefix_is_there_once_and_a_heading_is_a_subject() {
        let subject = |task, prefix| message(task, prefix, "").lines().next().unwrap().to_owned();
        assert_eq!(subject("Add  it", "feat(cart):"), "feat(cart): Add it");
        assert_eq!(subject("feat(cart): add it", "feat(cart):"), "feat(cart): add it");
        assert_eq!(subject("\n# Add it #1\nmore", ""), "Add it #1");
    }

    #[test]
    fn a_long_task_is_cut_between_words_and_told_whole_below() {
        let task = "word ".repeat(30);
        let text = message(&task, "fix:", "");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].width() <= 72 && lines[0].ends_with("word…"), "{}", lines[0]);
        assert_eq!(lines[2..4].join(" ").trim(), [&task[..70], &task[70..]].concat().trim());
        let wide = "日本".repeat(40);
        assert_eq!(message(&wide, "", "").lines().next().unwrap().width(), 71);
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
