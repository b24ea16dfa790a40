//! The comparison as one page: the table, and the changes of all sides beside each other.
//!
//! Invariant: the page holds no script and loads nothing; whatever a task, a file or a change holds
//! stands in it as text.

use std::fmt::Write as _;

use super::judge::Judgement;
use super::side::Side;
use super::table;
use crate::error::{CommandError, Result};
use crate::git::{ObjectId, Repo};
use crate::redact;
use crate::ui::{Look, Tone, text};

/// More files than these are named, not shown.
const FILES: usize = 300;
/// Of a longer change only the beginning is shown, in bytes.
const LONGEST: usize = 256 << 10;

const STYLE: &str = include_str!("page.css");

/// The page.
///
/// # Errors
/// The changes cannot be read.
pub(super) fn page(repo: &Repo, sides: &[Side], judgement: Option<&Judgement>) -> Result<String> {
    let mut page = String::new();
    let task = sides.iter().find_map(|side| side.task.as_deref()).unwrap_or("Worktrees");
    let title = task.lines().next().unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>{title}</h1></header>\n<main>\n",
        title = escaped(title),
    );
    facts(&mut page, sides);
    if let Some(judgement) = judgement {
        let lines = judgement.lines(sides);
        let _ = write!(page, "<section><h2>Judge</h2><pre class=\"judge\">");
        lines.iter().for_each(|line| {
            let _ = writeln!(page, "{}", escaped(line));
        });
        page.push_str("</pre></section>\n");
    }
    changes(&mut page, repo, sides)?;
    page.push_str("</main>\n</body>\n</html>\n");
    Ok(page)
}

fn facts(page: &mut String, sides: &[Side]) {
    page.push_str("<section class=\"facts\"><table>\n<thead><tr><td></td>");
    for (at, side) in sides.iter().enumerate() {
        let _ = write!(page, "<th scope=\"col\">#{} {}</th>", at + 1, escaped(&side.name));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for (name, cells) in table::rows(sides, &Look::PLAIN) {
        let _ = write!(page, "<tr><th scope=\"row\">{name}</th>");
        for (text, tone) in cells {
            let class = match tone {
                Tone::Good => " class=\"good\"",
                Tone::Bad => " class=\"bad\"",
                Tone::Ask => " class=\"ask\"",
                _ => "",
            };
            let _ = write!(page, "<td{class}>{}</td>", escaped(&text));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></section>\n");
}

fn changes(page: &mut String, repo: &Repo, sides: &[Side]) -> Result {
    let mut paths: Vec<&str> =
        sides.iter().flat_map(|side| side.paths.iter().map(|it| it.path.as_str())).collect();
    paths.sort_unstable();
    paths.dedup();
    page.push_str("<section><h2>Changes</h2>\n");
    for path in paths.iter().take(FILES) {
        let _ = write!(
            page,
            "<details open><summary>{}</summary>\n<div class=\"sides\">\n",
            escaped(path)
        );
        for (at, side) in sides.iter().enumerate() {
            let _ =
                write!(page, "<div class=\"side\"><h3>#{} {}</h3>", at + 1, escaped(&side.name));
            match side.paths.iter().any(|it| it.path == *path) {
                true => lines(page, &patch(repo, side.trees, path)?),
                false => page.push_str("<p class=\"none\">no change</p>"),
            }
            page.push_str("</div>\n");
        }
        page.push_str("</div></details>\n");
    }
    if let Some(more) = paths.len().checked_sub(FILES).filter(|more| *more > 0) {
        let _ = writeln!(page, "<p class=\"none\">{more} more files are not shown</p>");
    }
    page.push_str("</section>\n");
    Ok(())
}

/// What git shows of one path between two trees.
fn patch(repo: &Repo, trees: (ObjectId, ObjectId), path: &str) -> Result<String> {
    diff(repo, trees, &["--", path])
}

/// What git shows of all paths between two trees.
///
/// # Errors
/// git cannot read them.
pub(super) fn patch_of_all(repo: &Repo, trees: (ObjectId, ObjectId)) -> Result<String> {
    diff(repo, trees, &[])
}

fn diff(repo: &Repo, (old, new): (ObjectId, ObjectId), paths: &[&str]) -> Result<String> {
    let git = repo.git().arg("--literal-pathspecs").args([
        "diff",
        "--no-ext-diff",
        "--no-textconv",
        "--no-color",
        "--no-renames",
        "--submodule=short",
    ]);
    let done = git.args([old.to_string(), new.to_string()]).args(paths).run()?;
    if done.exit != 0 {
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(CommandError::no(format!("git diff failed: {said}")));
    }
    let shown = &done.stdout[..done.stdout.len().min(LONGEST)];
    let mut patch = redact::text(&String::from_utf8_lossy(shown)).into_owned();
    if done.stdout.len() > LONGEST {
        patch.push_str("\n… the rest is not shown\n");
    }
    Ok(patch)
}

/// A patch without its first lines, which say again what the page says.
fn lines(page: &mut String, patch: &str) {
    page.push_str("<pre>");
    let mut is_head = true;
    for line in patch.lines() {
        let class = match line.as_bytes().first() {
            Some(b'@') if line.starts_with("@@") => {
                is_head = false;
                "at"
            }
            _ if is_head && is_dull(line) => continue,
            Some(b'+') if !is_head => "add",
            Some(b'-') if !is_head => "del",
            _ => "same",
        };
        let _ = write!(page, "<span class=\"{class}\">{}\n</span>", escaped(line));
    }
    page.push_str("</pre>");
}

fn is_dull(line: &str) -> bool {
    ["diff --git ", "index ", "--- ", "+++ "].iter().any(|start| line.starts_with(start))
}

/// Text as it may stand anywhere in the page.
fn escaped(text: &str) -> String {
    let text = text::neutral_lines(text);
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_in_a_change_is_text() {
        let mut page = String::new();
        let hostile = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n\
                       -</pre><script>alert('1')</script>\n+a\u{202e}b\u{1b}[2J &amp; \"q\"\n--- gone\n";
        lines(&mut page, hostile);
        let expected = "<pre><span class=\"at\">@@ -1 +1 @@\n</span>\
            <span class=\"del\">-&lt;/pre&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;\n</span>\
            <span class=\"add\">+a&lt;U+202E&gt;b^[[2J &amp;amp; &quot;q&quot;\n</span>\
            <span class=\"del\">--- gone\n</span></pre>";
        assert_eq!(page, expected);
    }
}
